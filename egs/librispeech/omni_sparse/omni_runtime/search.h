/* SPDX-License-Identifier: Apache-2.0
 *
 * Modified beam search: the best hypotheses, at most one symbol a frame, equal ones merged; as
 * ../emformer/decoding/search/modified_beam.py. With one hypothesis it is greedy search.
 */
#ifndef OMNI_SEARCH_H
#define OMNI_SEARCH_H

#include "transcript.h"

#define MOST_HYPOTHESES 64
#define GREEDY_FRAMES 8 /* that the joiner is run on at once, as if nothing were said in them */

typedef struct {
  double score; /* log-probability; stays 0 of a search with one hypothesis */
  int32_t last; /* emission, which it holds */
  int32_t context[MOST_CONTEXT];
} hypothesis;

/* An extension of a hypothesis by a symbol. */
typedef struct {
  double score;
  int32_t source, token;
} extension;

typedef struct {
  int beam_size, num_hypotheses; /* at most, and now */
  hypothesis *hypotheses;        /* [beam_size], as all of these; those of the frame before, and of the next one */
  hypothesis *next;
  float *predicted, *next_predicted; /* [][joiner_dim], what the decoder makes of a hypothesis' context */
  bool is_predicted;                 /* else that is still to be made, of all */
  emissions pool;
  transcript best; /* of the best hypothesis, after each call of search_accept */
  int32_t followed; /* emission that it ends with, which it holds */
  int64_t begin, num_frames; /* of the utterance, and searched so far; both from the stream's beginning */
  /* Work space: [context][decoder_dim], [decoder_dim], [n][joiner_dim], [n][vocab], [beam_size], where n is beam_size or,
     of greedy search, GREEDY_FRAMES. */
  float *embedded, *decoded, *joined, *logits;
  extension *chosen;
} search;

/* All of it must be zero before; search_close even if it fails. */
bool search_open(search *s, const omni_model *model, int beam_size, omni_arena *arena, omni_error *error);
void search_close(search *s);

/* Begin a stream, or an utterance of it: then frames go on counting. */
void search_start(search *s, const omni_model *model);
void search_next(search *s, const omni_model *model);

/* Another level's decoder from now on. */
void search_change_level(search *s);

/* Search frames of the projected encoder output, [num_frames][joiner_dim]. */
bool search_accept(search *s, const omni_model *model, const model_level *level, const float *encoder,
                   int64_t num_frames, omni_error *error);

/* Have `best` be that of the best hypothesis, as search_accept does. False if there is no memory. */
bool search_show(search *s, const omni_model *model);

#endif
