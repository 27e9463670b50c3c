/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of LANES floats and functions of them. A file is compiled once for each instruction set (see native.py),
 * which gives LANES and a suffix for the names of its functions.
 */
#ifndef OMNI_VECTOR_H
#define OMNI_VECTOR_H

#include <stdint.h>
#ifdef __SSE__
#include <immintrin.h>
#endif
#ifdef __ARM_NEON
#include <arm_neon.h>
#endif
#ifdef __wasm_simd128__
#include <wasm_simd128.h>
#endif

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float row8 __attribute__((vector_size(32), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define EXPORT(name) PASTE(name, SUFFIX)
#define AT(p) (*(vec *)(p))
#define GET(p) (*(const vec *)(p))

INLINE vec choose(ivec mask, vec yes, vec no) { return (vec)(((ivec)yes & mask) | ((ivec)no & ~mask)); }
INLINE vec vmax(vec a, vec b) { return choose(a > b, a, b); }
INLINE vec vmin(vec a, vec b) { return choose(a < b, a, b); }
INLINE vec fill(float a) { return (vec){} + a; }

/* sum + w x. Of 32-bit ARM, gcc leaves vectors of floats unused where it is not told, as they round tiny numbers to 0. */
INLINE vec multiply_add(vec sum, float w, vec x) {
#if defined(__ARM_NEON) && !defined(__aarch64__)
  return (vec)vmlaq_n_f32((float32x4_t)sum, (float32x4_t)x, w);
#else
  return sum + w * x;
#endif
}

/* exp(x) = 2^n exp(r), |r| <= ln(2) / 2, with the Taylor series of exp(r); relative error below 3e-7. */
INLINE vec vexp(vec x) {
  x = vmin(vmax(x, fill(-87.0f)), fill(88.0f));
  const vec shifted = x * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: the sum is rounded to a whole number */
  const vec n = shifted - 12582912.0f;
  const vec r = x - n * 0.693145752f - n * 1.42860677e-6f; /* ln(2) in two parts */
  vec p = r * (1.0f / 720) + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = (p * r + 1.0f) * r + 1.0f;
  return p * (vec)((__builtin_convertvector(n, ivec) + 127) << 23);
}

/* x times the normal distribution function; erf by formula 7.1.26 of Abramowitz and Stegun, error below 2e-7. */
INLINE vec gelu(vec x) {
  const vec a = vmax(x, -x) * 0.70710678f;
  const vec t = 1.0f / (1.0f + a * 0.3275911f);
  vec p = t * 1.061405429f - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = (p * t + 0.254829592f) * t;
  const vec tail = 0.5f * p * vexp(-a * a); /* of the distribution beyond |x| */
  return x * choose(x < 0, tail, 1.0f - tail);
}

/* y[j][i] = x[i][j] for 4 rows and columns, of arrays of so many columns each. */
INLINE void turn_4x4(const float *x, long x_columns, float *y, long y_columns) {
#ifdef __SSE__
  __m128 row[4];
  for (int i = 0; i < 4; i++) row[i] = _mm_loadu_ps(x + i * x_columns);
  _MM_TRANSPOSE4_PS(row[0], row[1], row[2], row[3]);
  for (int i = 0; i < 4; i++) _mm_storeu_ps(y + i * y_columns, row[i]);
#else
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) y[j * y_columns + i] = x[i * x_columns + j];
#endif
}

/* Features that are turned at once: what is feature-major stays in the first-level cache, and what is frame-major is
   read or written in long runs, as its rows may be a power of two apart and push one another out of the cache. */
#define TURNED 128

/* x[frames][dim] to y[dim][F], fewer than LANES more; zeros in the lanes beyond the frames. */
static inline void to_features(const float *x, float *y, long frames, long dim, long F) {
  for (long d0 = 0; d0 < dim; d0 += TURNED) {
    const long d1 = d0 + TURNED < dim ? d0 + TURNED : dim;
    long t = 0;
    for (long d = d0; d < d1; d++) AT(y + (d + 1) * F - LANES) = (vec){};
    for (; t + 4 <= frames && d1 % 4 == 0; t += 4)
      for (long d = d0; d < d1; d += 4) turn_4x4(x + t * dim + d, dim, y + d * F + t, F);
    for (; t < frames; t++)
      for (long d = d0; d < d1; d++) y[d * F + t] = x[t * dim + d];
  }
}

/* The other way round. */
static inline void to_frames(const float *x, float *y, long frames, long dim, long F) {
  for (long d0 = 0; d0 < dim; d0 += TURNED) {
    const long d1 = d0 + TURNED < dim ? d0 + TURNED : dim;
    long t = 0;
    for (; t + 4 <= frames && d1 % 4 == 0; t += 4)
      for (long d = d0; d < d1; d += 4) turn_4x4(x + d * F + t, F, y + t * dim + d, dim);
    for (; t < frames; t++)
      for (long d = d0; d < d1; d++) y[t * dim + d] = x[d * F + t];
  }
}

#endif
