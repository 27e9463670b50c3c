/* SPDX-License-Identifier: Apache-2.0
 *
 * An Emformer, as step.c gets it from those who read files (encoder.py, ../../omni_runtime/level.c).
 */
#ifndef OMNI_STEP_H
#define OMNI_STEP_H

#include "layer.h"

typedef struct {
  const float *weight, *bias;
} norm;

typedef struct {
  omni_layer query, key_value, out, up, down; /* rows is 0 where a unit was removed from the model */
  norm before_attention, before_ffn, after;
} emformer_layer;

typedef struct {
  const emformer_layer *layers;
  int64_t num_layers, dim, heads, ffn, segment, right, left, activation; /* activation: see block_layer.h */
  float eps;
} emformer;

#endif
