/* SPDX-License-Identifier: Apache-2.0 */
#include "search.h"

#include <math.h>
#include <string.h>

bool search_open(search *s, const omni_model *model, int beam_size, omni_arena *arena, omni_error *error) {
  const model_config *c = &model->config;
  if (beam_size < 1 || beam_size > MOST_HYPOTHESES)
    return omni_fail(error, "a beam of %d hypotheses; it can be 1 to %d", beam_size, MOST_HYPOTHESES);
  const uint64_t beam = (uint64_t)beam_size, dim = (uint64_t)c->joiner_dim, vocab = (uint64_t)c->vocab;
  const uint64_t joined = beam_size > 1 ? beam : GREEDY_FRAMES;
  if (2 * beam * dim + joined * (dim + vocab) > MOST_FLOATS)
    return omni_fail(error, "a beam of %d needs more than 256 MiB", beam_size);
  s->beam_size = beam_size;
  s->hypotheses = omni_take(arena, beam, sizeof *s->hypotheses);
  s->next = omni_take(arena, beam, sizeof *s->next);
  s->predicted = omni_take(arena, beam * dim, sizeof(float));
  s->next_predicted = omni_take(arena, beam * dim, sizeof(float));
  s->embedded = omni_take(arena, (uint64_t)(c->context * c->decoder_dim), sizeof(float));
  s->decoded = omni_take(arena, (uint64_t)c->decoder_dim, sizeof(float));
  s->joined = omni_take(arena, joined * dim, sizeof(float));
  s->logits = omni_take(arena, joined * vocab, sizeof(float));
  s->chosen = omni_take(arena, beam, sizeof *s->chosen);
  if (!s->hypotheses || !s->next || !s->predicted || !s->next_predicted || !s->embedded || !s->decoded || !s->joined ||
      !s->logits || !s->chosen)
    return omni_no_memory(error);
  search_start(s, model);
  return true;
}

void search_close(search *s) {
  emissions_close(&s->pool);
  transcript_close(&s->best);
}

void search_start(search *s, const omni_model *model) {
  s->num_frames = 0;
  search_next(s, model);
}

void search_next(search *s, const omni_model *model) {
  s->begin = s->num_frames;
  s->followed = NOTHING;
  emissions_start(&s->pool);
  transcript_start(&s->best);
  hypothesis *first = s->hypotheses;
  *first = (hypothesis){.last = NOTHING};
  for (int64_t i = 0; i < model->config.context; i++) first->context[i] = NOTHING;
  first->context[model->config.context - 1] = model->blank;
  s->num_hypotheses = 1;
  s->is_predicted = false;
}

void search_change_level(search *s) { s->is_predicted = false; }

/* What the decoder makes of a context, [joiner_dim]; false if there is no memory. */
static bool predict(search *s, const omni_model *model, const model_level *level, const int32_t *context, float *out) {
  const model_config *c = &model->config;
  const level_parts *parts = level->parts;
  const size_t size = (size_t)c->decoder_dim * sizeof(float);
  for (int64_t i = 0; i < c->context; i++) {
    float *to = s->embedded + i * c->decoder_dim;
    if (context[i] == NOTHING) memset(to, 0, size);
    else memcpy(to, parts->embedding + context[i] * c->decoder_dim, size);
  }
  if (model->kernels->linear(&parts->decoder_convolution.matrix, s->embedded, s->decoded, 1)) return false;
  for (int64_t i = 0; i < c->decoder_dim; i++) s->decoded[i] = s->decoded[i] > 0 ? s->decoded[i] : 0;
  return !model->kernels->linear(&level->decoder_proj, s->decoded, out, 1);
}

static double log_sum_exp(const float *x, int64_t count) {
  float most = x[0];
  double sum = 0;
  for (int64_t i = 1; i < count; i++) most = x[i] > most ? x[i] : most;
  for (int64_t i = 0; i < count; i++) sum += exp((double)x[i] - most);
  return most + log(sum);
}

/* The logarithm of a sum of probabilities, given theirs. */
static double add_logs(double a, double b) {
  const double most = a > b ? a : b, least = a > b ? b : a;
  return most + log1p(exp(least - most));
}

/* The best extensions to s->chosen, best first; how many. */
static int choose(search *s, int64_t vocab) {
  extension *chosen = s->chosen;
  int count = 0;
  for (int32_t i = 0; i < s->num_hypotheses; i++) {
    const float *logits = s->logits + i * vocab;
    const double before = s->hypotheses[i].score - log_sum_exp(logits, vocab);
    for (int32_t token = 0; token < (int32_t)vocab; token++) {
      const double score = before + logits[token];
      if (count == s->beam_size && !(score > chosen[count - 1].score)) continue;
      int at = count < s->beam_size ? count++ : count - 1;
      for (; at && score > chosen[at - 1].score; at--) chosen[at] = chosen[at - 1];
      chosen[at] = (extension){score, i, token};
    }
  }
  return count;
}

/* Whether a hypothesis like the last of those found is among those before it, which then has its probability, too. */
static bool merge(const search *s, int number, const hypothesis *found) {
  for (int i = 0; i < number; i++) {
    if (!emission_same(&s->pool, s->next[i].last, found->last)) continue;
    s->next[i].score = add_logs(s->next[i].score, found->score);
    return true;
  }
  return false;
}

/* Make an extension the next hypothesis of a number; whether there is memory. A symbol that is emitted is *emitted. */
static bool extend(search *s, const omni_model *model, const extension *by, hypothesis *made) {
  *made = s->hypotheses[by->source];
  made->score = by->score;
  if (by->token == model->blank) {
    emission_hold(&s->pool, made->last);
    return true;
  }
  const size_t kept = (size_t)model->config.context - 1;
  memmove(made->context, made->context + 1, kept * sizeof *made->context);
  made->context[kept] = by->token;
  made->last = emission_add(&s->pool, made->last, by->token, s->num_frames);
  return made->last != NOTHING;
}

/* What the joiner makes of a frame and a prediction, up to its last layer. */
static void join(const float *encoder, const float *predicted, float *joined, int64_t dim) {
  for (int64_t j = 0; j < dim; j++) joined[j] = tanhf(encoder[j] + predicted[j]);
}

/* Make all predictions, unless they are there; false if there is no memory. */
static bool predict_all(search *s, const omni_model *model, const model_level *level) {
  for (int i = 0; i < s->num_hypotheses && !s->is_predicted; i++)
    if (!predict(s, model, level, s->hypotheses[i].context, s->predicted + i * model->config.joiner_dim)) return false;
  return s->is_predicted = true;
}

/* Greedy search of frames of the projected encoder output, together as far as nothing is said; how many there were, 0 if
   there is no memory. */
static int64_t search_greedily(search *s, const omni_model *model, const model_level *level, const float *encoder,
                               int64_t num_frames) {
  const int64_t dim = model->config.joiner_dim, vocab = model->config.vocab;
  hypothesis *one = s->hypotheses;
  if (num_frames > GREEDY_FRAMES) num_frames = GREEDY_FRAMES;
  for (int64_t t = 0; t < num_frames; t++) join(encoder + t * dim, s->predicted, s->joined + t * dim, dim);
  if (model->kernels->linear(&level->output, s->joined, s->logits, (long)num_frames)) return 0;
  for (int64_t t = 0; t < num_frames; t++) {
    const float *logits = s->logits + t * vocab;
    int32_t best = 0;
    for (int32_t token = 1; token < (int32_t)vocab; token++)
      if (logits[token] > logits[best]) best = token;
    const bool is_said = best != model->blank;
    if (is_said) {
      const extension by = {.token = best};
      const int32_t before = one->last;
      if (!extend(s, model, &by, one) || !predict(s, model, level, one->context, s->predicted)) return 0;
      emission_drop(&s->pool, before);
    }
    s->num_frames++;
    if (is_said) return t + 1;
  }
  return num_frames;
}

/* A frame of the projected encoder output; false if there is no memory. */
static bool search_frame(search *s, const omni_model *model, const model_level *level, const float *encoder) {
  const int64_t dim = model->config.joiner_dim, vocab = model->config.vocab;
  for (int i = 0; i < s->num_hypotheses; i++) join(encoder, s->predicted + i * dim, s->joined + i * dim, dim);
  if (model->kernels->linear(&level->output, s->joined, s->logits, s->num_hypotheses)) return false;
  const int chosen = choose(s, vocab);
  int number = 0;
  for (int i = 0; i < chosen; i++) {
    const extension *by = &s->chosen[i];
    hypothesis *made = &s->next[number];
    if (!extend(s, model, by, made)) return false;
    if (merge(s, number, made)) {
      emission_drop(&s->pool, made->last);
      continue;
    }
    float *to = s->next_predicted + number++ * dim;
    if (by->token == model->blank) memcpy(to, s->predicted + by->source * dim, (size_t)dim * sizeof(float));
    else if (!predict(s, model, level, made->context, to)) return false;
  }
  for (int i = 0; i < s->num_hypotheses; i++) emission_drop(&s->pool, s->hypotheses[i].last);
  hypothesis *const hypotheses = s->hypotheses;
  float *const predicted = s->predicted;
  s->hypotheses = s->next, s->next = hypotheses;
  s->predicted = s->next_predicted, s->next_predicted = predicted;
  s->num_hypotheses = number;
  s->num_frames++;
  return true;
}

/* The hypothesis that is best by the log-probability a symbol, with those of the first context counted. */
static const hypothesis *best_of(const search *s, int64_t context) {
  const hypothesis *best = s->hypotheses;
  double most = 0;
  for (int i = 0; i < s->num_hypotheses; i++) {
    const hypothesis *one = &s->hypotheses[i];
    const double score = one->score / (double)(emission_length(&s->pool, one->last) + context);
    if (i && !(score > most)) continue;
    best = one;
    most = score;
  }
  return best;
}

bool search_show(search *s, const omni_model *model) {
  const int32_t last = best_of(s, model->config.context)->last;
  if (!transcript_follow(&s->best, model, &s->pool, last)) return false;
  emission_hold(&s->pool, last);
  emission_drop(&s->pool, s->followed);
  s->followed = last;
  return true;
}

bool search_accept(search *s, const omni_model *model, const model_level *level, const float *encoder,
                   int64_t num_frames, omni_error *error) {
  if (!predict_all(s, model, level)) return omni_no_memory(error);
  for (int64_t t = 0, n; t < num_frames; t += n, encoder += n * model->config.joiner_dim) {
    n = s->beam_size > 1 ? search_frame(s, model, level, encoder)
                         : search_greedily(s, model, level, encoder, num_frames - t);
    if (!n) return omni_no_memory(error);
  }
  return search_show(s, model) || omni_no_memory(error);
}
