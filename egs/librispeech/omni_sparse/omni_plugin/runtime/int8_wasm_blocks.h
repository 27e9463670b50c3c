/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of bytes times activations which are rounded to bytes, too, with WebAssembly's dot products of 2 16-bit numbers.
 *
 * Blocks come in groups of 4 of a block row, as weights[row][block], as in int8_blocks.h.
 */
#ifndef OMNI_INT8_WASM_BLOCKS_H
#define OMNI_INT8_WASM_BLOCKS_H

#define BYTE_PRODUCTS
#define BYTE_ZERO 0
#include "int8_rounding.h"

/* Of 4 frames, the numbers in two columns, side by side; q_i is the column's row. */
INLINE v128_t two_of_4(const uint8_t *q0, const uint8_t *q1) {
  const v128_t a = wasm_v128_load32_zero(q0), b = wasm_v128_load32_zero(q1);
  return wasm_i16x8_extend_low_i8x16(wasm_i8x16_shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 0, 0, 0, 0, 0, 0, 0, 0));
}

/* acc[r] = the n blocks w times their columns, for V vectors of frames; n is a multiple of 4. */
INLINE void multiply_bytes(vec acc[8][MOST], const int V, const int narrow, const int8_t *w, const int32_t *sums,
                           const uint16_t *columns, long n, const uint8_t *q, const float *factor, const long F) {
  (void)narrow, (void)sums;
  for (int v = 0; v < V; v++, q += LANES, factor += LANES) {
    v128_t sum[8];
    for (int r = 0; r < 8; r++) sum[r] = wasm_i32x4_splat(0);
    for (long j = 0; j < n; j += 4) {
      const v128_t first = two_of_4(q + columns[j] * F, q + columns[j + 1] * F);
      const v128_t second = two_of_4(q + columns[j + 2] * F, q + columns[j + 3] * F);
      const int8_t *group = w + 8 * j;
#define DOT(row, pair, x) \
  sum[row] = wasm_i32x4_add(sum[row], wasm_i32x4_dot_i16x8(x, wasm_i32x4_shuffle(two, two, pair, pair, pair, pair)))
#define ROWS(row) \
  { \
    const v128_t two = wasm_i16x8_load8x8(group + 4 * (row)); /* weights of two rows */ \
    DOT(row, 0, first), DOT(row, 1, second), DOT(row + 1, 2, first), DOT(row + 1, 3, second); \
  }
      ROWS(0) ROWS(2) ROWS(4) ROWS(6)
#undef ROWS
#undef DOT
    }
    for (int r = 0; r < 8; r++) acc[r][v] = (vec)wasm_f32x4_convert_i32x4(sum[r]) * GET(factor);
  }
}

#endif
