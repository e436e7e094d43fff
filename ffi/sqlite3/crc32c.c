/* CRC-32C (Castagnoli) with the instruction that the processor has for it, where it has one. */
#include "statement.h"

#include <string.h>

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#if defined(__x86_64__)

#include <nmmintrin.h>

int dqlite_has_crc32c(void){
  return __builtin_cpu_supports("sse4.2") != 0;
}

__attribute__((target("sse4.2")))
static u32 update(u32 crc, const u8 *p, size_t n){
  u64 wide = crc;
  for(; n >= 8; n -= 8, p += 8){
    u64 word;
    memcpy(&word, p, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  crc = (u32)wide;
  for(; n > 0; n--) crc = _mm_crc32_u8(crc, *p++);
  return crc;
}

#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)

#include <arm_acle.h>

int dqlite_has_crc32c(void){
  return 1;
}

static u32 update(u32 crc, const u8 *p, size_t n){
  for(; n >= 8; n -= 8, p += 8){
    u64 word;
    memcpy(&word, p, 8);
    crc = __crc32cd(crc, word);
  }
  for(; n > 0; n--) crc = __crc32cb(crc, *p++);
  return crc;
}

#else

int dqlite_has_crc32c(void){
  return 0;
}

static u32 update(u32 crc, const u8 *p, size_t n){
  (void)p;
  (void)n;
  return crc;
}

#endif

int dqlite_crc32c(const void *p, int start, int end, int seed){
  return (int)~update(~(u32)seed, (const u8 *)p + start, (size_t)(end - start));
}
