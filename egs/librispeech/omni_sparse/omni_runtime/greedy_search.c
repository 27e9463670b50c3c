/* SPDX-License-Identifier: Apache-2.0 */
#include "greedy_search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NOTHING (-1) /* before the first symbol */

bool search_open(search *s, const omni_model *model, omni_arena *arena, omni_error *error) {
  const model_config *c = &model->config;
  s->embedded = omni_take(arena, (uint64_t)(c->context * c->decoder_dim), sizeof(float));
  s->decoded = omni_take(arena, (uint64_t)c->decoder_dim, sizeof(float));
  s->predicted = omni_take(arena, (uint64_t)c->joiner_dim, sizeof(float));
  s->joined = omni_take(arena, (uint64_t)c->joiner_dim, sizeof(float));
  s->logits = omni_take(arena, (uint64_t)c->vocab, sizeof(float));
  if (!s->embedded || !s->decoded || !s->predicted || !s->joined || !s->logits) return omni_no_memory(error);
  search_start(s, model);
  return true;
}

void search_close(search *s) {
  free(s->tokens);
  free(s->frames);
  free(s->text);
  free(s->words);
}

void search_start(search *s, const omni_model *model) {
  s->num_tokens = s->num_words = s->length = 0;
  s->num_frames = 0;
  s->in_word = false;
  if (s->text) *s->text = 0;
  for (int64_t i = 0; i < model->config.context; i++) s->context[i] = NOTHING;
  s->context[model->config.context - 1] = model->blank;
  s->is_predicted = false;
}

void search_change_level(search *s) { s->is_predicted = false; }

/* The array, moved where it has no room for one more of its elements; NULL if there is no memory. */
static void *grow(void *array, size_t count, size_t *room, size_t size) {
  if (count < *room) return array;
  const size_t wanted = *room ? *room * 2 : 64;
  void *grown = wanted <= SIZE_MAX / 2 / size ? realloc(array, wanted * size) : NULL;
  if (grown) *room = wanted;
  return grown;
}

static bool put_char(search *s, char c) {
  char *text = grow(s->text, s->length + 1, &s->text_room, 1);
  if (!text) return false;
  s->text = text;
  s->text[s->length++] = c;
  s->text[s->length] = 0;
  return true;
}

static bool put_word(search *s, int64_t frame) {
  if (s->length && !put_char(s, ' ')) return false;
  word *words = grow(s->words, s->num_words, &s->word_room, sizeof *words);
  if (!words) return false;
  s->words = words;
  s->words[s->num_words++] = (word){s->length, s->length, frame};
  return s->in_word = true;
}

/* Append what a symbol spells: the mark of a word's beginning, and spaces, end a word. */
static bool spell(search *s, const char *token, int64_t frame) {
  static const char mark[] = "\xe2\x96\x81"; /* U+2581, of sentencepiece */
  while (*token) {
    const bool is_mark = !strncmp(token, mark, sizeof mark - 1);
    if (is_mark || strchr(" \t\n\r\v\f", *token)) {
      token += is_mark ? sizeof mark - 1 : 1;
      s->in_word = false;
      continue;
    }
    if (!s->in_word && !put_word(s, frame)) return false;
    if (!put_char(s, *token++)) return false;
    s->words[s->num_words - 1].end = s->length;
  }
  return true;
}

static bool emit(search *s, const omni_model *model, int32_t token, int64_t frame) {
  size_t room = s->room; /* of both arrays */
  int32_t *tokens = grow(s->tokens, s->num_tokens, &room, sizeof *tokens);
  if (tokens) s->tokens = tokens;
  int64_t *frames = tokens ? grow(s->frames, s->num_tokens, &s->room, sizeof *frames) : NULL;
  if (!frames) return false;
  s->frames = frames;
  s->tokens[s->num_tokens] = token;
  s->frames[s->num_tokens++] = frame;
  const size_t kept = (size_t)model->config.context - 1;
  memmove(s->context, s->context + 1, kept * sizeof *s->context);
  s->context[kept] = token;
  s->is_predicted = false;
  return model->silent[token] || spell(s, model->tokens[token], frame);
}

static bool predict(search *s, const omni_model *model, const model_level *level) {
  const model_config *c = &model->config;
  const size_t size = (size_t)c->decoder_dim * sizeof(float);
  for (int64_t i = 0; i < c->context; i++) {
    float *to = s->embedded + i * c->decoder_dim;
    if (s->context[i] == NOTHING) memset(to, 0, size);
    else memcpy(to, model->embedding + s->context[i] * c->decoder_dim, size);
  }
  if (model->kernels->linear(&model->decoder_convolution, s->embedded, s->decoded, 1)) return false;
  for (int64_t i = 0; i < c->decoder_dim; i++) s->decoded[i] = s->decoded[i] > 0 ? s->decoded[i] : 0;
  return s->is_predicted = !model->kernels->linear(&level->decoder_proj, s->decoded, s->predicted, 1);
}

bool search_accept(search *s, const omni_model *model, const model_level *level, const float *encoder,
                   int64_t num_frames, omni_error *error) {
  const model_config *c = &model->config;
  for (int64_t t = 0; t < num_frames; t++, encoder += c->joiner_dim) {
    if (!s->is_predicted && !predict(s, model, level)) return omni_no_memory(error);
    for (int64_t i = 0; i < c->joiner_dim; i++) s->joined[i] = tanhf(encoder[i] + s->predicted[i]);
    if (model->kernels->linear(&level->output, s->joined, s->logits, 1)) return omni_no_memory(error);
    int32_t best = 0;
    for (int32_t i = 1; i < (int32_t)c->vocab; i++)
      if (s->logits[i] > s->logits[best]) best = i;
    if (best != model->blank && !emit(s, model, best, s->num_frames)) return omni_no_memory(error);
    s->num_frames++;
  }
  return true;
}
