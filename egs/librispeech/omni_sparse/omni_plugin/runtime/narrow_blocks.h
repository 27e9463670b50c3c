/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks times 8 frames in registers of 16 lanes: two rows of a block in each, so that none is half empty.
 */
#ifndef OMNI_NARROW_BLOCKS_H
#define OMNI_NARROW_BLOCKS_H

/* Element 2 i of a block 8 times, then element 2 i + 1 8 times. */
INLINE __m512i pick_pair(int i) { return _mm512_mask_set1_epi32(_mm512_set1_epi32(2 * i), 0xff00, 2 * i + 1); }

/* acc[r][v] += a block w times x for V vectors of frames, and pairs[i] for the 8 frames that follow. */
INLINE void narrow_block(vec acc[8][MOST], __m512 pairs[4], const int V, const float *w, const float *x) {
  __builtin_prefetch(w + 8 * AHEAD);
  vec xs[MOST];
#pragma GCC unroll 3
  for (int v = 0; v < V; v++) xs[v] = GET(x + v * LANES);
#pragma GCC unroll 8
  for (int r = 0; r < 8; r++)
#pragma GCC unroll 3
    for (int v = 0; v < V; v++) acc[r][v] += w[r] * xs[v];
  const __m512 block = _mm512_castps256_ps512(_mm256_loadu_ps(w));
  const __m512 twice = _mm512_broadcast_f32x8(_mm256_loadu_ps(x + V * LANES));
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) pairs[i] = _mm512_fmadd_ps(_mm512_permutexvar_ps(pick_pair(i), block), twice, pairs[i]);
}

/* acc[r][v] += the n blocks w times their columns of x, for V vectors of frames and the half of one more. */
INLINE void multiply_narrow(vec acc[8][MOST], const int V, const float *w, const uint16_t *columns, long n,
                            const float *x, const long F) {
  __m512 pairs[4] = {}, more[4] = {};
  long j = 0;
  /* A sum waits for the one before it, and those of 8 frames alone are too few to keep the processor busy. */
  for (; V == 0 && j + 2 <= n; j += 2) {
    narrow_block(acc, pairs, V, w + 8 * j, x + columns[j] * F);
    narrow_block(acc, more, V, w + 8 * j + 8, x + columns[j + 1] * F);
  }
  for (; j < n; j++) narrow_block(acc, pairs, V, w + 8 * j, x + columns[j] * F);
  for (int i = 0; i < 4; i++) {
    const __m512 sum = _mm512_add_ps(pairs[i], more[i]);
    acc[2 * i][V] += (vec)_mm512_zextps256_ps512(_mm512_castps512_ps256(sum));
    acc[2 * i + 1][V] += (vec)_mm512_zextps256_ps512(_mm512_extractf32x8_ps(sum, 1));
  }
}

#endif
