/*
** Rows as JSON text, the way Hrana writes them:
**
**     null {"type":"null"} · integer {"type":"integer","value":"123"} · real {"type":"float","value":1.5}
**     text {"type":"text","value":"…"} · blob {"type":"blob","base64":"…"} without padding
**
** An infinite real has no number in JSON and becomes null.
*/
#include "statement.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned char u8;
typedef unsigned int u32;
typedef sqlite3_int64 i64;

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

static void putText(Writer *w, const u8 *p, size_t n){
  const u8 *pEnd = p + n;
  while( p < pEnd ){
    const u8 *pStart = p;
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

/* Reads a number of `n` bytes, little-endian. */
static sqlite3_uint64 getNumber(const u8 *p, int n){
  sqlite3_uint64 value = 0;
  while( n-- > 0 ) value = value << 8 | p[n];
  return value;
}

/* Writes one value; returns what follows it, NULL when it is not well formed. */
static const u8 *putValue(Writer *w, const u8 *p, const u8 *pEnd){
  sqlite3_uint64 bits;
  size_t n;
  u8 type;
  if( p >= pEnd ) return 0;
  type = *p++;
  if( type == DQLITE_NULL ){
    PUT_LITERAL(w, "{\"type\":\"null\"}");
    return p;
  }
  if( type == DQLITE_INTEGER || type == DQLITE_REAL ){
    double real;
    if( pEnd - p < 8 ) return 0;
    bits = getNumber(p, 8);
    memcpy(&real, &bits, 8);
    if( type == DQLITE_INTEGER ){
      PUT_LITERAL(w, "{\"type\":\"integer\",\"value\":\"");
      putInteger(w, (i64)bits);
      PUT_LITERAL(w, "\"}");
    }else if( !isfinite(real) ){
      PUT_LITERAL(w, "{\"type\":\"null\"}");
    }else{
      PUT_LITERAL(w, "{\"type\":\"float\",\"value\":");
      putReal(w, real);
      putByte(w, '}');
    }
    return p + 8;
  }
  if( (type != DQLITE_TEXT && type != DQLITE_BLOB) || pEnd - p < 4 ) return 0;
  n = (size_t)getNumber(p, 4);
  p += 4;
  if( (size_t)(pEnd - p) < n ) return 0;
  if( type == DQLITE_TEXT ){
    PUT_LITERAL(w, "{\"type\":\"text\",\"value\":\"");
    putText(w, p, n);
  }else{
    PUT_LITERAL(w, "{\"type\":\"blob\",\"base64\":\"");
    putBase64(w, p, n);
  }
  PUT_LITERAL(w, "\"}");
  return p + n;
}

sqlite3_int64 dqlite_rows_json(
  const void *pRows, int nBytes, int nRow, int nColumn, void *pOut, int nOut
){
  const u8 *p = pRows;
  const u8 *pEnd = p + nBytes;
  Writer w = {pOut, 0, (size_t)nOut};
  int i, j;
  for(i = 0; i < nRow; i++){
    putByte(&w, i ? ',' : '[');
    putByte(&w, '[');
    for(j = 0; j < nColumn; j++){
      if( j ) putByte(&w, ',');
      p = putValue(&w, p, pEnd);
      if( p == 0 ) return -1;
    }
    putByte(&w, ']');
  }
  if( nRow == 0 ) putByte(&w, '[');
  putByte(&w, ']');
  return p == pEnd ? (sqlite3_int64)w.at : -1;
}
