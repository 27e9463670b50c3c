/* SPDX-License-Identifier: Apache-2.0
 *
 * y = W x + bias for a matrix W of 8x1 blocks (8 rows, 1 column), of which only the kept ones are stored.
 *
 * Activations are feature-major: x[column][frame], y[row][frame], with F frames a row, a multiple of LANES. So a block
 * times its row of x is 8 rows of multiply-adds over whole vectors of frames, wherever in W it stands: no gathering, no
 * summing across a vector, and what follows (norm, activation, attention) is the same for each lane.
 */
#ifndef OMNI_BLOCK_LAYER_H
#define OMNI_BLOCK_LAYER_H

#include "layer.h"
#include "vector.h"

/* Vectors of frames that are done at once: 8 rows of them must fit into the registers. */
#if LANES == 16
#define MOST 3
#elif defined(__aarch64__)
#define MOST 2
#else
#define MOST 1
#endif
/* Blocks whose bytes are widened at once, into the first-level cache. */
#define WIDENED 64
/* Blocks ahead of use that are fetched from memory, for weights that are beyond the caches. */
#define AHEAD 128

/* acc[r] += sum_j w[j * step + r * apart] * x[columns[j]] for rows r and V vectors of frames; without columns, x[j]. */
INLINE void multiply(vec acc[8][MOST], const int rows, const int V, const float *w, const long step, const long apart,
                     const uint16_t *columns, long n, const float *x, const long F) {
  for (long j = 0; j < n; j++, w += step) {
    const float *xj = x + (columns ? columns[j] : j) * F;
    if (columns) __builtin_prefetch(w + step * AHEAD);
    vec xs[MOST];
#pragma GCC unroll 3
    for (int v = 0; v < V; v++) xs[v] = GET(xj + v * LANES);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
      for (int v = 0; v < V; v++) acc[r][v] = multiply_add(acc[r][v], w[r * apart], xs[v]);
  }
}

#ifdef __AVX512F__
#include "narrow_blocks.h"
#endif
#ifdef __AVX512VNNI__
#include "int8_blocks.h"
#elif defined(__ARM_FEATURE_DOTPROD)
#include "int8_arm_blocks.h"
#elif defined(OMNI_WASM_DOT)
#include "int8_wasm_blocks.h"
#endif

static inline void widen(const int8_t *bytes, float *values, long blocks) {
  for (long i = 0; i < 8 * blocks; i++) values[i] = bytes[i];
}

/* The n blocks w times x. If narrow, 8 frames follow the V vectors; they are half of one more. */
INLINE void multiply_blocks(vec acc[8][MOST], const int V, const int narrow, const float *w, const uint16_t *columns,
                            long n, const float *x, const long F) {
#ifdef __AVX512F__
  if (narrow) {
    multiply_narrow(acc, V, w, columns, n, x, F);
    return;
  }
#endif
  (void)narrow;
  multiply(acc, 8, V, w, 8, 1, columns, n, x, F);
}

/* 8 rows of the result for some frames. */
INLINE void block_row(const omni_layer *a, long b, const float *x, float *y, const float *residual, const long F,
                      const int V, const int narrow, const uint8_t *q, const float *factor) {
  const long first = a->starts[b], n = a->starts[b + 1] - first;
  const uint16_t *columns = a->columns + first;
  vec acc[8][MOST] = {};
  if (!a->bytes) {
    multiply_blocks(acc, V, narrow, (const float *)a->values + 8 * first, columns, n, x, F);
  } else {
    const int8_t *w = (const int8_t *)a->values + 8 * first;
#ifdef BYTE_PRODUCTS
    multiply_bytes(acc, V, narrow, w, a->sums + 8 * b, columns, n, q, factor, F);
#else
    (void)q, (void)factor;
    float widened[8 * WIDENED];
    for (long j = 0; j < n; j += WIDENED) {
      const long m = n - j < WIDENED ? n - j : WIDENED;
      __builtin_prefetch(w + 8 * (j + m + AHEAD));
      widen(w + 8 * j, widened, m);
      multiply_blocks(acc, V, narrow, widened, columns + j, m, x, F);
    }
#endif
  }
#pragma GCC unroll 8
  for (int r = 0; r < 8; r++)
#pragma GCC unroll 3
    for (int v = 0; v < V + narrow; v++) {
      const long at = (8 * b + r) * F + v * LANES;
      acc[r][v] = acc[r][v] * a->scales[8 * b + r] + a->bias[8 * b + r];
      if (residual) acc[r][v] += GET(residual + at);
      AT(y + at) = acc[r][v];
    }
}

enum { NO_ACTIVATION, RELU, GELU, SILU };

INLINE void activate(float *y, long n, int activation) {
  for (long i = 0; i < n; i += LANES) {
    const vec x = GET(y + i);
    if (activation == RELU) AT(y + i) = vmax(x, (vec){});
    if (activation == GELU) AT(y + i) = gelu(x);
    if (activation == SILU) AT(y + i) = x / (1.0f + vexp(-x));
  }
}

/* Floats of work space that a layer of so many columns needs: its input as bytes, and a factor of each frame. */
static inline long layer_work(long cols, long F) { return F + cols * F / 4; }

/* y = activation(W x + bias + residual) for some frames, which rows of F have room for. y has rows up to a multiple of
   8, and may be the residual, which may be NULL. Block rows are the outer loop: weights come from memory once. */
static void omni_layer_run(const omni_layer *a, const float *x, float *y, const float *residual, long frames, long F,
                           int activation, float *work) {
  const float *factor = work;
  const uint8_t *q = (const uint8_t *)(work + F);
#ifdef BYTE_PRODUCTS
  if (a->bytes) round_to_bytes(x, (uint8_t *)(work + F), work, a->cols, F);
#endif
  for (long b = 0; b < (a->rows + 7) / 8; b++) {
    for (long t = 0, taken; t < frames; t += taken) {
      const float *add = residual ? residual + t : residual;
#define ROWS(V, narrow) block_row(a, b, x + t, y + t, add, F, V, narrow, q + t, factor + t)
      const long left = frames - t;
#if LANES == 16
      taken = left > 40 ? 48 : (left + 7) / 8 * 8;
      if (left > 40) ROWS(3, 0);
      else if (left > 32) ROWS(2, 1);
      else if (left > 24) ROWS(2, 0);
      else if (left > 16) ROWS(1, 1);
      else if (left > 8) ROWS(1, 0);
      else ROWS(0, 1);
#else
      taken = MOST > 1 && left > LANES ? 2 * LANES : LANES;
      if (taken > LANES) ROWS(MOST > 1 ? 2 : 1, 0);
      else ROWS(1, 0);
#endif
#undef ROWS
    }
    if (activation) activate(y + 8 * b * F, 8 * F, activation);
  }
}

#endif
