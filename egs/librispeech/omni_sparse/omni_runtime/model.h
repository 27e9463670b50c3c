/* SPDX-License-Identifier: Apache-2.0
 *
 * A transducer of a packed file: what its streams share.
 */
#ifndef OMNI_MODEL_H
#define OMNI_MODEL_H

#include "log_mel.h"
#include "kernels.h"
#include "packed_file.h"

#define CONVOLUTIONS 3
#define CONVOLUTION_WIDTH 5
#define MOST_CONTEXT 16
/* Floats of a stream, and of its search: more is asked for by no model of use. */
#define MOST_FLOATS ((uint64_t)1 << 26)

/* ModelConfig of ../emformer/config.py; lengths are in encoder frames unless said otherwise. */
typedef struct {
  bool is_conv;                           /* the front end's convolutions; else it stacks frames */
  int64_t feature_dim, subsampling, window; /* window: frames of 10 ms that are stacked */
  int64_t dim, heads, ffn, num_layers, activation;
  int64_t segment, right, left;
  int64_t decoder_dim, context, joiner_dim, vocab;
} model_config;

/* Linear layers of an Emformer's layer, as numbers of the file's layers. */
enum { QUERY, KEY_VALUE, OUT, UP, DOWN, NUM_LINEAR };

typedef struct {
  int64_t linear[NUM_LINEAR]; /* -1 of a unit that was removed */
  norm before_attention, before_ffn, after;
} layer_parts;

/* A convolution as a matrix, and what it was made of. */
typedef struct {
  omni_layer matrix;
  const float *weight, *bias;
} convolution;

/* What a level has beside its matrices, of which it has the numbers of the file's layers. Levels share what is the same
   in the file. */
typedef struct {
  int64_t frontend, encoder_proj, decoder_proj, output;
  layer_parts *layers;
  norm frontend_norm;
  convolution convolutions[CONVOLUTIONS], decoder_convolution;
  const float *embedding;
} level_parts;

/* A level, bound to its matrices. */
typedef struct {
  emformer encoder;
  omni_layer frontend, encoder_proj, decoder_proj, output;
  const level_parts *parts;
} model_level;

struct omni_model {
  packed_file file;
  const kernels *kernels;
  model_config config;
  mel_filters filters;
  float mean, std; /* of features, which are normalised with them */
  float eps;       /* of layer norms */
  int blank;
  const char **tokens;
  bool *silent; /* tokens that stand for no text */
  double *sparsities;
  level_parts *parts; /* of each level */
  /* Filled when first asked for. */
  struct level_slot *levels;
  struct matrix_slot **matrices; /* by layer and number of bands - 1 */
};

/* A level, whose weights are read if they were not yet; NULL if they are damaged. Threads may call it at once. */
const model_level *model_level_get(omni_model *model, int level, omni_error *error);

/* Frames of 10 ms that a chunk sees, and that it consumes. */
int64_t model_window_frames(const omni_model *model);
int64_t model_chunk_frames(const omni_model *model);

#endif
