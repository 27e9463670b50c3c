/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of bytes times activations which are rounded to bytes, too, with the dot products of 4 bytes of ARMv8.2.
 *
 * Blocks come in groups of 4 of a block row, as weights[row][block], as in int8_blocks.h.
 */
#ifndef OMNI_INT8_ARM_BLOCKS_H
#define OMNI_INT8_ARM_BLOCKS_H

#define BYTE_PRODUCTS
#define BYTE_ZERO 0
#include "int8_rounding.h"

#include <string.h>

/* Of 4 frames, the 4 bytes in the columns of a group; q_i is the i-th column's row. */
INLINE int8x16_t four_of_4(const uint8_t *q0, const uint8_t *q1, const uint8_t *q2, const uint8_t *q3) {
  static const uint8_t turned[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
  uint32_t all[4];
  memcpy(all, q0, 4), memcpy(all + 1, q1, 4), memcpy(all + 2, q2, 4), memcpy(all + 3, q3, 4);
  return vreinterpretq_s8_u8(vqtbl1q_u8(vreinterpretq_u8_u32(vld1q_u32(all)), vld1q_u8(turned)));
}

/* acc[r] = the n blocks w times their columns, for V vectors of frames; n is a multiple of 4. */
INLINE void multiply_bytes(vec acc[8][MOST], const int V, const int narrow, const int8_t *w, const int32_t *sums,
                           const uint16_t *columns, long n, const uint8_t *q, const float *factor, const long F) {
  (void)narrow, (void)sums;
  int32x4_t sum[8][MOST];
  for (int r = 0; r < 8; r++)
    for (int v = 0; v < V; v++) sum[r][v] = vdupq_n_s32(0);
  for (long j = 0; j < n; j += 4, w += 32) {
    __builtin_prefetch(w + 32 * AHEAD);
    const int8x16_t low = vld1q_s8(w), high = vld1q_s8(w + 16); /* rows 0 to 3, 4 to 7 */
    const uint8_t *q0 = q + columns[j] * F, *q1 = q + columns[j + 1] * F, *q2 = q + columns[j + 2] * F,
                  *q3 = q + columns[j + 3] * F;
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) {
      const long t = v * LANES;
      const int8x16_t x = four_of_4(q0 + t, q1 + t, q2 + t, q3 + t);
#define DOT(row, half) sum[row][v] = vdotq_laneq_s32(sum[row][v], x, half, (row) % 4)
      DOT(0, low), DOT(1, low), DOT(2, low), DOT(3, low);
      DOT(4, high), DOT(5, high), DOT(6, high), DOT(7, high);
#undef DOT
    }
  }
  for (int r = 0; r < 8; r++)
    for (int v = 0; v < V; v++) acc[r][v] = (vec)vcvtq_f32_s32(sum[r][v]) * GET(factor + v * LANES);
}

#endif
