/* SPDX-License-Identifier: Apache-2.0 */
#include "transcript.h"

#include <stdlib.h>
#include <string.h>

void transcript_close(transcript *t) {
  free(t->tokens);
  free(t->frames);
  free(t->marks);
  free(t->text);
  free(t->words);
}

/* Take back all symbols but the first ones. */
static void keep_first(transcript *t, size_t number) {
  static const mark before = {.emission = NOTHING};
  t->num_tokens = number;
  t->state = number ? t->marks[number - 1] : before;
  t->length = t->state.length;
  t->num_words = t->state.num_words;
  if (t->text) t->text[t->length] = 0;
  if (!t->num_words) return;
  t->words[t->num_words - 1].end = t->length; /* a text ends with a word */
  t->words[t->num_words - 1].last_frame = t->state.last_frame;
}

void transcript_start(transcript *t) { keep_first(t, 0); }

static bool put_char(transcript *t, char c) {
  char *text = omni_reserve(t->text, t->length + 2, &t->text_room, 1);
  if (!text) return false;
  t->text = text;
  t->text[t->length++] = c;
  t->text[t->length] = 0;
  return true;
}

static bool put_word(transcript *t, int64_t frame) {
  if (t->length && !put_char(t, ' ')) return false;
  omni_word *words = omni_reserve(t->words, t->num_words + 1, &t->word_room, sizeof *words);
  if (!words) return false;
  t->words = words;
  t->words[t->num_words++] = (omni_word){t->length, t->length, t->state.after_mark ? t->state.mark_frame : frame, frame};
  t->state.after_mark = false;
  return t->state.in_word = true;
}

/* Append what a symbol spells: the mark of a word's beginning, and spaces, end a word. As the symbol of that mark alone
   begins the word which the next one spells, so does its frame; as ../omni_recognizer/words.py. */
static bool spell(transcript *t, const char *token, int64_t frame) {
  static const char begins[] = "\xe2\x96\x81"; /* U+2581, of sentencepiece */
  while (*token) {
    const bool is_mark = !strncmp(token, begins, sizeof begins - 1);
    if (is_mark || strchr(" \t\n\r\v\f", *token)) {
      token += is_mark ? sizeof begins - 1 : 1;
      t->state.in_word = false;
      t->state.after_mark = true;
      t->state.mark_frame = frame;
      continue;
    }
    if (!t->state.in_word && !put_word(t, frame)) return false;
    if (!put_char(t, *token++)) return false;
    t->words[t->num_words - 1].end = t->length;
    t->words[t->num_words - 1].last_frame = frame;
  }
  return true;
}

static bool make_room(transcript *t, size_t number) {
  int32_t *tokens = omni_reserve(t->tokens, number, &t->token_room, sizeof *tokens);
  if (tokens) t->tokens = tokens;
  int64_t *frames = omni_reserve(t->frames, number, &t->frame_room, sizeof *frames);
  if (frames) t->frames = frames;
  mark *marks = omni_reserve(t->marks, number, &t->mark_room, sizeof *marks);
  if (marks) t->marks = marks;
  return tokens && frames && marks;
}

bool transcript_follow(transcript *t, const omni_model *model, const emissions *pool, int32_t last) {
  const size_t wanted = (size_t)emission_length(pool, last);
  if (wanted && !make_room(t, wanted)) return false;
  size_t kept = wanted;
  for (; kept; kept--, last = pool->all[last].before) {
    if (kept <= t->num_tokens && t->marks[kept - 1].emission == last) break;
    t->tokens[kept - 1] = pool->all[last].token;
    t->frames[kept - 1] = pool->all[last].frame;
    t->marks[kept - 1].emission = last;
  }
  keep_first(t, kept);
  for (size_t i = kept; i < wanted; i++) {
    const int32_t token = t->tokens[i];
    if (!model->silent[token] && !spell(t, model->tokens[token], t->frames[i])) return false;
    t->state.emission = t->marks[i].emission;
    t->state.length = t->length;
    t->state.num_words = t->num_words;
    t->state.last_frame = t->num_words ? t->words[t->num_words - 1].last_frame : 0;
    t->marks[i] = t->state;
    t->num_tokens = i + 1;
  }
  return true;
}
