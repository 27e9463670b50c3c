/* SPDX-License-Identifier: Apache-2.0
 *
 * A matrix of 8x1 blocks, as compiled code gets it from those who read files (blocks.py, ../../omni_runtime/matrix.c).
 */
#ifndef OMNI_LAYER_H
#define OMNI_LAYER_H

#include <stdint.h>

/* Its arrays are checked before it is made: nothing here can point outside of them. */
typedef struct {
  const int32_t *starts;   /* first block of each block row, and the end */
  const uint16_t *columns; /* of each block */
  const void *values;      /* 8 of each block, floats or bytes */
  const float *scales;     /* of the rows, padded to a multiple of 8 */
  const float *bias;       /* likewise */
  const int32_t *sums;     /* 128 times the sums of the rows' bytes, for int8_blocks.h only */
  int64_t rows, cols, bytes;
} omni_layer;

#endif
