/* SPDX-License-Identifier: Apache-2.0
 *
 * What a stream is made of.
 */
#ifndef OMNI_STREAM_H
#define OMNI_STREAM_H

#include "search.h"

typedef enum { RUNNING, FINISHED, FAILED } stream_phase;

struct omni_stream {
  omni_model *model;
  int level_number;
  const model_level *level;
  frame_buffer sound;
  int64_t num_samples;
  stream_phase phase;
  search search;
  bool has_rules;
  omni_endpoint_rules rules;
  int endpoint;       /* number of the rule that ended the utterance; 0 while it goes on */
  float *waiting;     /* samples that came after an endpoint, from waiting_begin on */
  size_t waiting_room, waiting_begin, waiting_end;
  int64_t silence;    /* samples that are still to be run after the sound's end */
  void (*watcher)(void *user, const omni_chunk *chunk);
  void *user;
  int64_t past;       /* encoder frames before; see run_encoder */
  int64_t num_frames; /* in window */
  float *window;      /* [window_frames][feature_dim], the next chunk's features */
  float *unfolded;    /* of the front end: what each of its frames sees, one after the other */
  float *normal;      /* the same shape as window or, after a convolution, [frames][dim] */
  float *input;       /* of the encoder, [segment + right][dim] */
  float *output;      /* [segment][dim] */
  float *projected;   /* [segment][joiner_dim] */
  float *state, *work;
  size_t state_size;
  omni_arena arena;
};

/* Frames that the encoder's keys of the left context and the segment have room for. */
int64_t stream_ring(const omni_stream *s);

#endif
