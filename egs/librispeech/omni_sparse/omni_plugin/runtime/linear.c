/* SPDX-License-Identifier: Apache-2.0
 *
 * A linear layer on frame-major tensors: what PackedLinear calls.
 */
#include "block_layer.h"

#include <stdlib.h>
#include <string.h>

/* acc += the n blocks w times their elements of x. Four sums, as an addition waits for the one before it. */
INLINE void add_blocks(row8 acc[4], const float *w, const uint16_t *columns, long n, const float *x) {
  const row8 *blocks = (const row8 *)w;
  long j = 0;
  for (; j + 4 <= n; j += 4)
    for (int u = 0; u < 4; u++) acc[u] += blocks[j + u] * x[columns[j + u]];
  for (; j < n; j++) acc[0] += blocks[j] * x[columns[j]];
}

/* One frame: the lanes are the 8 rows of a block. */
static void one_frame(const omni_layer *a, const float *x, float *y) {
  for (long b = 0; b < (a->rows + 7) / 8; b++) {
    const long first = a->starts[b], n = a->starts[b + 1] - first;
    row8 acc[4] = {};
    if (!a->bytes) {
      add_blocks(acc, (const float *)a->values + 8 * first, a->columns + first, n, x);
    } else {
      float widened[8 * WIDENED];
      for (long j = 0; j < n; j += WIDENED) {
        const long m = n - j < WIDENED ? n - j : WIDENED;
        widen((const int8_t *)a->values + 8 * (first + j), widened, m);
        add_blocks(acc, widened, a->columns + first + j, m, x);
      }
    }
    const row8 sum = (acc[0] + acc[1] + acc[2] + acc[3]) * ((const row8 *)a->scales)[b] + ((const row8 *)a->bias)[b];
    memcpy(y + 8 * b, &sum, sizeof(float) * (a->rows - 8 * b < 8 ? a->rows - 8 * b : 8));
  }
}

/* y[frames][rows] = W x[frames][cols] + bias. Returns 0, or -1 if there is no memory. */
int EXPORT(omni_linear)(const omni_layer *a, const float *x, float *y, long frames) {
#ifdef BYTE_PRODUCTS
  const int alone = !a->bytes; /* bytes come in groups; and a frame's result is the same in any company */
#else
  const int alone = 1;
#endif
  if (frames == 1 && alone) one_frame(a, x, y);
  if (frames < 1 || (frames == 1 && alone)) return 0;
  const long most = frames < MOST * LANES ? (frames + LANES - 1) / LANES * LANES : MOST * LANES;
  const long rows = (a->rows + 7) / 8 * 8, room = most * (a->cols + rows) + layer_work(a->cols, most);
  float *turned = aligned_alloc(64, (sizeof(float) * room + 63) & ~63l);
  if (!turned) return -1;
  for (long n; frames > 0; frames -= n, x += n * a->cols, y += n * a->rows) {
    n = frames < most ? frames : most;
    const long F = (n + LANES - 1) / LANES * LANES;
    float *out = turned + a->cols * F;
    to_features(x, turned, n, a->cols, F);
    omni_layer_run(a, turned, out, 0, n, F, NO_ACTIVATION, out + rows * F);
    to_frames(out, y, n, a->rows, F);
  }
  free(turned);
  return 0;
}
