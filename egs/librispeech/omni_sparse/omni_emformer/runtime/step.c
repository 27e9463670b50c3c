/* SPDX-License-Identifier: Apache-2.0
 *
 * One chunk of a stream through all layers of an Emformer: what torchaudio's Emformer.infer computes without memory
 * elements, for one stream. Activations are feature-major (see block_layer.h): the chunk's S frames, then the R of its
 * right context, then lanes which hold nothing that is used. Attention has no positions, so the order of keys is free.
 */
#include "step.h"

#include "block_layer.h"

#include <string.h>

static long up_to(long n, long unit) { return (n + unit - 1) / unit * unit; }

/* Layer norm over the features of each frame. */
static void layer_norm(const norm *a, const float *x, float *y, long dim, long F, float eps) {
  for (long t = 0; t < F; t += LANES) {
    vec part[4] = {}; /* four sums, as an addition waits for the one before it */
    for (long d = 0; d < dim; d++) part[d & 3] += GET(x + d * F + t);
    const vec mean = (part[0] + part[1] + part[2] + part[3]) * (1.0f / dim);
    part[0] = part[1] = part[2] = part[3] = (vec){};
    for (long d = 0; d < dim; d++) {
      const vec c = GET(x + d * F + t) - mean;
      part[d & 3] += c * c;
    }
    vec scale = (part[0] + part[1] + part[2] + part[3]) * (1.0f / dim) + eps;
    for (int i = 0; i < LANES; i++) scale[i] = 1.0f / __builtin_sqrtf(scale[i]);
    for (long d = 0; d < dim; d++) AT(y + d * F + t) = (GET(x + d * F + t) - mean) * (scale * a->weight[d]) + a->bias[d];
  }
}

/* y[r] = sum_j w[j * step + r * apart] * x[j] for some rows r, times a factor of each frame if there is one. */
INLINE void dense_rows(const int rows, const float *w, long step, long apart, long n, const float *x, float *y, long F,
                       const float *factor) {
  for (long t = 0; t < F; t += LANES) {
    vec acc[8][MOST] = {};
    multiply(acc, rows, 1, w, step, apart, 0, n, x + t, F);
    for (int r = 0; r < rows; r++) {
      if (factor) acc[r][0] *= GET(factor + t);
      AT(y + r * F + t) = acc[r][0];
    }
  }
}

/* Scores to weights of the keys, up to a factor of each frame that is returned apart. */
static void softmax(float *scores, float *factor, long keys, long F, float scaling) {
  for (long t = 0; t < F; t += LANES) {
    vec most = GET(scores + t), sum = {};
    for (long k = 1; k < keys; k++) most = vmax(most, GET(scores + k * F + t));
    for (long k = 0; k < keys; k++) {
      const vec e = vexp((GET(scores + k * F + t) - most) * scaling);
      AT(scores + k * F + t) = e;
      sum += e;
    }
    AT(factor + t) = 1.0f / sum;
  }
}

/* The keys' frames are columns: those of the right context, then a ring of those of the left context and the segment. */
static void remember(float *state, const float *x, long dim, long stride, long F, long S, long R, long ring, long past) {
  const long at = past % ring, first = S < ring - at ? S : ring - at;
  for (long d = 0; d < dim; d++, state += stride, x += F) {
    memcpy(state, x + S, sizeof(float) * R);
    memcpy(state + R + at, x, sizeof(float) * first);
    memcpy(state + R, x + first, sizeof(float) * (S - first));
  }
}

static void attention(const emformer *m, const float *query, const float *key, const float *value, float *out,
                      float *scores, long keys, long stride, long F) {
  const long size = m->dim / m->heads;
  float *factor = scores + stride * F;
  for (long h = 0; h < m->heads; h++) {
    const long at = h * size;
    for (long k = 0; k < keys; k += 8)
      dense_rows(8, key + at * stride + k, stride, 1, size, query + at * F, scores + k * F, F, 0);
    softmax(scores, factor, keys, F, 1.0f / __builtin_sqrtf(size));
    long d = 0;
    for (; d + 8 <= size; d += 8)
      dense_rows(8, value + (at + d) * stride, 1, stride, keys, scores, out + (at + d) * F, F, factor);
    for (; d < size; d++) dense_rows(1, value + (at + d) * stride, 1, stride, keys, scores, out + (at + d) * F, F, factor);
  }
}

/* Features of the widest activation. */
static long widest(const emformer *m) { return m->ffn > 2 * m->dim ? m->ffn : 2 * m->dim; }

static long key_stride(const emformer *m) { return up_to(m->right + m->left + m->segment, 8); }

/* Floats of a stream's state. */
long EXPORT(emformer_state_size)(const emformer *m) { return m->num_layers * 2 * m->dim * key_stride(m); }

/* Floats of work space. */
long EXPORT(emformer_work_size)(const emformer *m) {
  const long F = up_to(m->segment + m->right, LANES);
  return F * (3 * up_to(m->dim, 8) + key_stride(m) + 1 + up_to(widest(m), 8)) + layer_work(widest(m), F);
}

/* x[S + R][dim] to out[S][dim]; past is the number of frames that the stream has had before. */
void EXPORT(emformer_step)(const emformer *m, const float *x, float *out, float *state, float *work, long past) {
  const long S = m->segment, R = m->right, dim = m->dim, F = up_to(S + R, LANES);
  const long stride = key_stride(m), ring = m->left + S, rows = up_to(dim, 8) * F;
  const long keys = R + (past + S < ring ? past + S : ring);
  float *h = work, *normed = h + rows, *query = normed + rows, *scores = query + rows;
  float *wide = scores + (stride + 1) * F, *bytes = wide + up_to(widest(m), 8) * F;
  to_features(x, h, S + R, dim, F);
  for (const emformer_layer *a = m->layers; a < m->layers + m->num_layers; a++, state += 2 * dim * stride) {
    if (a->query.rows) {
      float *key = state, *value = state + dim * stride;
      layer_norm(&a->before_attention, h, normed, dim, F, m->eps);
      omni_layer_run(&a->query, normed, query, 0, S + R, F, NO_ACTIVATION, bytes);
      omni_layer_run(&a->key_value, normed, wide, 0, S + R, F, NO_ACTIVATION, bytes);
      remember(key, wide, dim, stride, F, S, R, ring, past);
      remember(value, wide + dim * F, dim, stride, F, S, R, ring, past);
      attention(m, query, key, value, normed, scores, keys, stride, F);
      omni_layer_run(&a->out, normed, h, h, S + R, F, NO_ACTIVATION, bytes);
    }
    if (a->up.rows) {
      layer_norm(&a->before_ffn, h, normed, dim, F, m->eps);
      omni_layer_run(&a->up, normed, wide, 0, S + R, F, m->activation, bytes);
      omni_layer_run(&a->down, wide, h, h, S + R, F, NO_ACTIVATION, bytes);
    }
    layer_norm(&a->after, h, h, dim, F, m->eps);
  }
  to_frames(h, out, S, dim, F);
}
