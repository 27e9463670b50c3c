/* SPDX-License-Identifier: Apache-2.0
 *
 * The compiled kernels (../omni_plugin/runtime/linear.c, ../omni_emformer/runtime/step.c) of this machine.
 */
#ifndef OMNI_KERNELS_H
#define OMNI_KERNELS_H

#include "step.h"

/* What one compilation of the sources gives; see the sources for what the functions do. */
typedef struct {
  const char *name;
  int byte_group; /* int8 blocks that are multiplied together */
  int (*linear)(const omni_layer *layer, const float *x, float *y, long frames);
  void (*step)(const emformer *model, const float *x, float *out, float *state, float *work, long past);
  long (*state_size)(const emformer *model);
  long (*work_size)(const emformer *model);
} kernels;

/* Those of the best instruction set, or of a lesser one that the environment's OMNI_INSTRUCTIONS names. */
const kernels *kernels_of_machine(void);

#endif
