/* A row as JSON text, the way Hrana writes it: see statement.h. */
#include "statement.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned char u8;
typedef unsigned int u32;
typedef sqlite3_int64 i64;
typedef sqlite3_uint64 u64;

/* Writes up to the end of the buffer and counts on beyond it, so that the size needed is known. */
typedef struct Writer Writer;
struct Writer {
  u8 *p;
  size_t at;
  size_t n;
};

static void put(Writer *w, const void *p, size_t n){
  if( w->at + n <= w->n ) memcpy(w->p + w->at, p, n);
  w->at += n;
}

static void putByte(Writer *w, u8 c){
  if( w->at < w->n ) w->p[w->at] = c;
  w->at++;
}

#define PUT_LITERAL(w, z) put((w), (z), sizeof(z) - 1)

static void putInteger(Writer *w, i64 value){
  char buffer[20];
  char *p = buffer + sizeof(buffer);
  sqlite3_uint64 rest = value < 0 ? 0 - (sqlite3_uint64)value : (sqlite3_uint64)value;
  do{
    *--p = (char)('0' + rest % 10);
    rest /= 10;
  }while( rest );
  if( value < 0 ) *--p = '-';
  put(w, p, (size_t)(buffer + sizeof(buffer) - p));
}

/* The largest magnitude up to which every whole number is a double. */
#define WHOLE_MAX 9007199254740992.0

/*
** Writes a finite double such that it reads back as the same one. Most reals in a database have few
** decimals: where value * 10^k is a whole number m below 2^53 and m / 10^k is the value again, the
** decimal fraction m / 10^k is it, as reading it rounds the same way as that division does.
*/
static void putReal(Writer *w, double value){
  static const double aPower[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
  int nPower = (int)(sizeof(aPower) / sizeof(aPower[0]));
  char buffer[40];
  int k, precision;
  for(k = 0; k < nPower; k++){
    double whole = rint(value * aPower[k]);
    if( fabs(whole) >= WHOLE_MAX ) break;
    if( whole / aPower[k] != value ) continue;
    if( signbit(value) ) putByte(w, '-');
    value = fabs(whole);
    putInteger(w, (i64)value / (i64)aPower[k]);
    putByte(w, '.');
    if( k == 0 ){
      putByte(w, '0');
    }else{
      i64 fraction = (i64)value % (i64)aPower[k];
      int i;
      for(i = k; i > 0; i--){
        buffer[i - 1] = (char)('0' + fraction % 10);
        fraction /= 10;
      }
      put(w, buffer, (size_t)k);
    }
    return;
  }
  for(precision = 15; precision < 17; precision++){
    snprintf(buffer, sizeof(buffer), "%.*g", precision, value);
    if( strtod(buffer, 0) == value ) break;
  }
  if( precision == 17 ) snprintf(buffer, sizeof(buffer), "%.17g", value);
  /* A locale may ask for another sign than the point. */
  for(k = 0; buffer[k]; k++){
    if( buffer[k] == ',' ) buffer[k] = '.';
  }
  put(w, buffer, strlen(buffer));
}

static void putEscaped(Writer *w, u8 c){
  static const char aHex[] = "0123456789abcdef";
  char aEscape[6] = {'\\', 'u', '0', '0', aHex[c >> 4], aHex[c & 15]};
  switch( c ){
    case '"': PUT_LITERAL(w, "\\\""); break;
    case '\\': PUT_LITERAL(w, "\\\\"); break;
    case '\n': PUT_LITERAL(w, "\\n"); break;
    case '\r': PUT_LITERAL(w, "\\r"); break;
    case '\t': PUT_LITERAL(w, "\\t"); break;
    default: put(w, aEscape, sizeof(aEscape)); break;
  }
}

#define EACH_BYTE(c) (0x0101010101010101ull * (c))
/* Sets the top bit of each byte of x that is zero; and of some byte above one that is. */
#define ZERO_BYTES(x) (((x) - EACH_BYTE(1)) & ~(x) & EACH_BYTE(0x80))

/* Whether one of eight bytes must be escaped: below 0x20, a quote, a backslash. */
static int mustEscape(const u8 *p){
  u64 x;
  memcpy(&x, p, 8);
  return ((((x) - EACH_BYTE(0x20)) & ~(x) & EACH_BYTE(0x80))
          | ZERO_BYTES(x ^ EACH_BYTE('"')) | ZERO_BYTES(x ^ EACH_BYTE('\\'))) != 0;
}

static void putText(Writer *w, const u8 *p, size_t n){
  const u8 *pEnd = p + n;
  while( p < pEnd ){
    const u8 *pStart = p;
    while( pEnd - p >= 8 && !mustEscape(p) ) p += 8;
    while( p < pEnd && *p >= 0x20 && *p != '"' && *p != '\\' ) p++;
    put(w, pStart, (size_t)(p - pStart));
    if( p < pEnd ) putEscaped(w, *p++);
  }
}

static void putBase64(Writer *w, const u8 *p, size_t n){
  static const char aDigit[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while( n > 0 ){
    u32 bits = (u32)p[0] << 16 | (n > 1 ? (u32)p[1] << 8 : 0) | (n > 2 ? (u32)p[2] : 0);
    size_t nByte = n > 2 ? 3 : n;
    char aGroup[4];
    aGroup[0] = aDigit[bits >> 18];
    aGroup[1] = aDigit[bits >> 12 & 63];
    aGroup[2] = aDigit[bits >> 6 & 63];
    aGroup[3] = aDigit[bits & 63];
    put(w, aGroup, nByte + 1);
    p += nByte;
    n -= nByte;
  }
}

static void putValue(Writer *w, sqlite3_value *pValue, int *pRc){
  int type = sqlite3_value_type(pValue);
  const void *p;
  size_t n;
  double real;
  switch( type ){
    case SQLITE_INTEGER:
      PUT_LITERAL(w, "{\"type\":\"integer\",\"value\":\"");
      putInteger(w, sqlite3_value_int64(pValue));
      PUT_LITERAL(w, "\"}");
      return;
    case SQLITE_FLOAT:
      real = sqlite3_value_double(pValue);
      if( !isfinite(real) ) break;
      PUT_LITERAL(w, "{\"type\":\"float\",\"value\":");
      putReal(w, real);
      putByte(w, '}');
      return;
    case SQLITE_TEXT:
    case SQLITE_BLOB:
      /* The pointer first: it may convert UTF-16 to UTF-8, which decides the number of bytes. */
      p = type == SQLITE_TEXT ? (const void *)sqlite3_value_text(pValue)
                              : sqlite3_value_blob(pValue);
      n = (size_t)sqlite3_value_bytes(pValue);
      if( p == 0 && (n > 0 || type == SQLITE_TEXT) ){
        *pRc = SQLITE_NOMEM;
        return;
      }
      if( type == SQLITE_TEXT ){
        PUT_LITERAL(w, "{\"type\":\"text\",\"value\":\"");
        putText(w, p, n);
      }else{
        PUT_LITERAL(w, "{\"type\":\"blob\",\"base64\":\"");
        putBase64(w, p, n);
      }
      PUT_LITERAL(w, "\"}");
      return;
    default:
      break;
  }
  PUT_LITERAL(w, "{\"type\":\"null\"}");
}

size_t dqliteRowJson(sqlite3_stmt *pStmt, int nColumn, void *pOut, size_t nOut, int *pRc){
  Writer w = {pOut, 0, nOut};
  int i;
  putByte(&w, '[');
  for(i = 0; i < nColumn; i++){
    if( i ) putByte(&w, ',');
    /* Unprotected, which is enough: a connection of ours is used by one thread at a time. */
    putValue(&w, sqlite3_column_value(pStmt, i), pRc);
  }
  putByte(&w, ']');
  return w.at;
}
