/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of bytes times activations which are rounded to bytes, too, with the dot products of 4 bytes of AVX-512 VNNI.
 *
 * 128 is added to the activations, as the instruction takes one factor without sign: the sum of (q + 128) w is that of
 * q w plus 128 times that of w, which is known beforehand.
 * Blocks come in groups of 4 of a block row, as weights[row][block].
 */
#ifndef OMNI_INT8_BLOCKS_H
#define OMNI_INT8_BLOCKS_H

#define BYTE_PRODUCTS
#define BYTE_ZERO 128
#include "int8_rounding.h"

/* Of 16 frames, the 4 bytes in the columns of a group; q_i is the i-th column's row. */
INLINE __m512i four_of_16(const uint8_t *q0, const uint8_t *q1, const uint8_t *q2, const uint8_t *q3) {
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i step = _mm512_mullo_epi32(lane, _mm512_set1_epi32(0x01010101));
  __m512i all = _mm512_castsi128_si512(_mm_loadu_si128((const void *)q0));
  all = _mm512_inserti32x4(all, _mm_loadu_si128((const void *)q1), 1);
  all = _mm512_inserti32x4(all, _mm_loadu_si128((const void *)q2), 2);
  all = _mm512_inserti32x4(all, _mm_loadu_si128((const void *)q3), 3);
  return _mm512_permutexvar_epi8(_mm512_add_epi32(step, _mm512_set1_epi32(0x30201000)), all);
}

/* The same of 8 frames, twice. */
INLINE __m512i four_of_8_twice(const uint8_t *q0, const uint8_t *q1, const uint8_t *q2, const uint8_t *q3) {
  const __m512i lane = _mm512_set_epi32(7, 6, 5, 4, 3, 2, 1, 0, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i step = _mm512_mullo_epi32(lane, _mm512_set1_epi32(0x01010101));
  const __m128i low = _mm_unpacklo_epi64(_mm_loadu_si64(q0), _mm_loadu_si64(q1));
  const __m128i high = _mm_unpacklo_epi64(_mm_loadu_si64(q2), _mm_loadu_si64(q3));
  const __m512i all = _mm512_inserti32x4(_mm512_castsi128_si512(low), high, 1);
  return _mm512_permutexvar_epi8(_mm512_add_epi32(step, _mm512_set1_epi32(0x18100800)), all);
}

/* sum += the dot products of 4 bytes. Not by its intrinsic, around which gcc copies each sum twice. */
INLINE __m512i dot(__m512i sum, __m512i q, __m512i w) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(q), "v"(w));
  return sum;
}

/* acc[r] = the n blocks w times their columns, for V vectors of frames and perhaps half of one more; n is a multiple of
   4, sums are 128 times those of the rows' bytes. */
INLINE void multiply_bytes(vec acc[8][MOST], const int V, const int narrow, const int8_t *w, const int32_t *sums,
                           const uint16_t *columns, long n, const uint8_t *q, const float *factor, const long F) {
  __m512i sum[8][MOST], pairs[4];
  for (int r = 0; r < 8; r++)
    for (int v = 0; v < V; v++) sum[r][v] = _mm512_set1_epi32(-sums[r]);
  for (int i = 0; i < 4; i++) pairs[i] = _mm512_mask_set1_epi32(_mm512_set1_epi32(-sums[2 * i]), 0xff00, -sums[2 * i + 1]);
  for (long j = 0; j < n; j += 4, w += 32) {
    __builtin_prefetch(w + 32 * AHEAD);
    const uint8_t *q0 = q + columns[j] * F, *q1 = q + columns[j + 1] * F, *q2 = q + columns[j + 2] * F,
                  *q3 = q + columns[j + 3] * F;
    __m512i x[MOST];
#pragma GCC unroll 3
    for (int v = 0; v < V; v++) x[v] = four_of_16(q0 + v * LANES, q1 + v * LANES, q2 + v * LANES, q3 + v * LANES);
#pragma GCC unroll 8
    for (int r = 0; r < 8; r++)
#pragma GCC unroll 3
      for (int v = 0; v < V; v++)
        sum[r][v] = dot(sum[r][v], x[v], _mm512_set1_epi32(((const int32_t *)w)[r]));
    if (narrow) {
      const __m512i group = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)w));
      const __m512i twice = four_of_8_twice(q0 + V * LANES, q1 + V * LANES, q2 + V * LANES, q3 + V * LANES);
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++)
        pairs[i] = dot(pairs[i], twice, _mm512_permutexvar_epi32(pick_pair(i), group));
    }
  }
  for (int r = 0; r < 8; r++)
    for (int v = 0; v < V; v++) acc[r][v] = (vec)_mm512_cvtepi32_ps(sum[r][v]) * GET(factor + v * LANES);
  for (int i = 0; narrow && i < 4; i++) {
    const vec some = GET(factor + V * LANES);
    acc[2 * i][V] = (vec)_mm512_cvtepi32_ps(_mm512_zextsi256_si512(_mm512_castsi512_si256(pairs[i]))) * some;
    acc[2 * i + 1][V] = (vec)_mm512_cvtepi32_ps(_mm512_zextsi256_si512(_mm512_extracti32x8_epi32(pairs[i], 1))) * some;
  }
}

#endif
