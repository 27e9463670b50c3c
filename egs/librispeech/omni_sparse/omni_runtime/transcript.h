/* SPDX-License-Identifier: Apache-2.0
 *
 * Symbols with their frames, and the words that they spell.
 */
#ifndef OMNI_TRANSCRIPT_H
#define OMNI_TRANSCRIPT_H

#include "emissions.h"
#include "model.h"

/* What a symbol left behind, to take back what followed it. */
typedef struct {
  int32_t emission;
  bool in_word;       /* the next character belongs to the last word */
  bool after_mark;    /* a word has begun, of which no character is there yet */
  int64_t mark_frame; /* of that beginning */
  size_t length, num_words;
  int64_t last_frame; /* of the last word */
} mark;

/* All zero at first. */
typedef struct {
  int32_t *tokens;
  int64_t *frames;
  mark *marks;
  size_t num_tokens, token_room, frame_room, mark_room;
  char *text; /* ends with 0; NULL before the first word */
  size_t length, text_room;
  omni_word *words;
  size_t num_words, word_room;
  mark state; /* after the last symbol */
} transcript;

/* Begin anew, and keep the memory. */
void transcript_start(transcript *t);
void transcript_close(transcript *t);

/* Have it say what leads to an emission. The time that takes is that of the symbols which differ from before: the
   emission of the call before must still be held, as its number else may be another's. False if there is no memory. */
bool transcript_follow(transcript *t, const omni_model *model, const emissions *pool, int32_t last);

#endif
