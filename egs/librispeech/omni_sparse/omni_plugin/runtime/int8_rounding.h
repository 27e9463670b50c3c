/* SPDX-License-Identifier: Apache-2.0
 *
 * Activations as bytes: a frame's are divided by its largest magnitude / 127, rounded, and BYTE_ZERO is added.
 */
#ifndef OMNI_INT8_ROUNDING_H
#define OMNI_INT8_ROUNDING_H

typedef uint8_t lane_bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

/* x[dim][F] to q[dim][F], and the factor of each frame. */
static void round_to_bytes(const float *x, uint8_t *q, float *factor, long dim, long F) {
  for (long t = 0; t < F; t += LANES) {
    vec most = fill(1e-30f);
    for (long d = 0; d < dim; d++) most = vmax(most, vmax(GET(x + d * F + t), -GET(x + d * F + t)));
    AT(factor + t) = most * (1.0f / 127);
    const vec inverse = 127.0f / most;
    for (long d = 0; d < dim; d++) {
      /* The sum with 1.5 * 2^23 is rounded to a whole number, which is in its last bits. */
      const vec shifted = GET(x + d * F + t) * inverse + (12582912.0f + BYTE_ZERO);
      *(lane_bytes *)(q + d * F + t) = __builtin_convertvector((ivec)shifted & 255, lane_bytes);
    }
  }
}

#endif
