/* SPDX-License-Identifier: Apache-2.0
 *
 * Greedy search, at most one symbol a frame, and the text that symbols spell.
 */
#ifndef OMNI_GREEDY_SEARCH_H
#define OMNI_GREEDY_SEARCH_H

#include "model.h"

typedef struct {
  size_t begin, end; /* bytes of the text */
  int64_t frame;     /* of its first symbol */
} word;

typedef struct {
  int32_t *tokens;
  int64_t *frames;
  size_t num_tokens, room; /* of tokens and frames */
  char *text;              /* ends with 0; NULL before the first word */
  size_t length, text_room;
  word *words;
  size_t num_words, word_room;
  bool in_word;
  int64_t num_frames; /* searched so far */
  int32_t context[MOST_CONTEXT];
  bool is_predicted;
  /* Work space: [context][decoder_dim], [decoder_dim], then [joiner_dim] twice, [vocab]. */
  float *embedded, *decoded, *predicted, *joined, *logits;
} search;

bool search_open(search *s, const omni_model *model, omni_arena *arena, omni_error *error);
void search_close(search *s);

/* Begin a stream. */
void search_start(search *s, const omni_model *model);

/* Another level's decoder from now on. */
void search_change_level(search *s);

/* Search frames of the projected encoder output, [num_frames][joiner_dim]. */
bool search_accept(search *s, const omni_model *model, const model_level *level, const float *encoder,
                   int64_t num_frames, omni_error *error);

#endif
