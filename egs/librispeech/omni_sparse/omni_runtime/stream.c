/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream: sound to features, chunks of features through the encoder, and its output to the search.
 */
#include "endpoint.h"
#include "stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool take_work_space(omni_stream *s, int beam_size, omni_error *error) {
  const model_config *c = &s->model->config;
  const int64_t frames = c->segment + c->right, window = model_window_frames(s->model);
  const int64_t widest = c->feature_dim > c->dim ? c->feature_dim : c->dim;
  const int64_t unfolded = c->is_conv ? window * CONVOLUTION_WIDTH * widest : frames * c->window * c->feature_dim;
  const long state = s->model->kernels->state_size(&s->level->encoder);
  const long work = s->model->kernels->work_size(&s->level->encoder);
  s->state_size = (size_t)state;
  const struct {
    float **to;
    int64_t size;
  } arrays[] = {{&s->window, window * c->feature_dim}, {&s->unfolded, unfolded},
                {&s->normal, window * widest},         {&s->input, frames * c->dim},
                {&s->output, c->segment * c->dim},     {&s->projected, c->segment * c->joiner_dim},
                {&s->state, state},                    {&s->work, work}};
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
    if (!(*arrays[i].to = omni_take(&s->arena, (uint64_t)arrays[i].size, sizeof(float)))) return omni_no_memory(error);
  return search_open(&s->search, s->model, beam_size, &s->arena, error);
}

omni_stream *omni_stream_open(omni_model *model, int level, omni_error *error) {
  return omni_stream_open_beam(model, level, 1, error);
}

omni_stream *omni_stream_open_beam(omni_model *model, int level, int beam_size, omni_error *error) {
  omni_stream *s = calloc(1, sizeof *s);
  if (!s) return omni_no_memory(error), NULL;
  s->model = model;
  s->level_number = level;
  s->level = model_level_get(model, level, error);
  if (!s->level || !take_work_space(s, beam_size, error)) {
    omni_stream_close(s);
    return NULL;
  }
  frame_buffer_start(&s->sound);
  return s;
}

void omni_stream_close(omni_stream *s) {
  if (!s) return;
  search_close(&s->search);
  omni_free(&s->arena);
  free(s->waiting);
  free(s);
}

static void start_encoder(omni_stream *s) {
  memset(s->state, 0, s->state_size * sizeof(float));
  s->past = 0;
}

void omni_stream_reset(omni_stream *s) {
  frame_buffer_start(&s->sound);
  search_start(&s->search, s->model);
  start_encoder(s);
  s->num_samples = s->num_frames = s->silence = 0;
  s->waiting_begin = s->waiting_end = 0;
  s->endpoint = 0;
  s->phase = RUNNING;
}

bool omni_stream_set_level(omni_stream *s, int level, omni_error *error) {
  const model_level *found = model_level_get(s->model, level, error);
  if (!found) return false;
  s->level_number = level;
  s->level = found;
  search_change_level(&s->search);
  return true;
}

int omni_stream_level(const omni_stream *s) { return s->level_number; }

/* y of frames whose inputs are `seen` values from each `step`-th value of x on; relu after it, if wanted. */
static bool unfolded_linear(omni_stream *s, const omni_layer *layer, const float *x, int64_t step, int64_t frames,
                            float *y) {
  for (int64_t t = 0; t < frames; t++)
    memcpy(s->unfolded + t * layer->cols, x + t * step, (size_t)layer->cols * sizeof(float));
  return !s->model->kernels->linear(layer, s->unfolded, y, (long)frames);
}

static void layer_norm(const norm *a, float *x, int64_t frames, int64_t dim, float eps) {
  for (int64_t t = 0; t < frames; t++, x += dim) {
    double mean = 0, square = 0;
    for (int64_t d = 0; d < dim; d++) mean += x[d];
    mean /= (double)dim;
    for (int64_t d = 0; d < dim; d++) square += (x[d] - mean) * (x[d] - mean);
    const float scale = (float)(1 / sqrt(square / (double)dim + eps));
    for (int64_t d = 0; d < dim; d++) x[d] = (x[d] - (float)mean) * scale * a->weight[d] + a->bias[d];
  }
}

/* The window to the encoder's input; false if there is no memory. */
static bool run_frontend(omni_stream *s) {
  const omni_model *model = s->model;
  const level_parts *parts = s->level->parts;
  const model_config *c = &model->config;
  int64_t frames = model_window_frames(model), dim = c->feature_dim;
  for (int64_t i = 0; i < frames * dim; i++) s->normal[i] = (s->window[i] - model->mean) / model->std;
  for (int i = 0; c->is_conv && i < CONVOLUTIONS; i++) {
    const int64_t stride = i < 2 ? 2 : 1;
    frames = (frames - CONVOLUTION_WIDTH) / stride + 1;
    if (!unfolded_linear(s, &parts->convolutions[i].matrix, s->normal, stride * dim, frames, s->normal)) return false;
    dim = c->dim;
    for (int64_t j = 0; j < frames * dim; j++) s->normal[j] = s->normal[j] > 0 ? s->normal[j] : 0;
  }
  frames = c->segment + c->right;
  if (!unfolded_linear(s, &s->level->frontend, s->normal, c->is_conv ? dim : c->subsampling * dim, frames, s->input))
    return false;
  layer_norm(&parts->frontend_norm, s->input, frames, c->dim, model->eps);
  return true;
}

int64_t stream_ring(const omni_stream *s) { return s->model->config.left + s->model->config.segment; }

static void run_encoder(omni_stream *s) {
  const model_config *c = &s->model->config;
  const int64_t ring = stream_ring(s);
  s->model->kernels->step(&s->level->encoder, s->input, s->output, s->state, s->work, (long)s->past);
  s->past += c->segment;
  /* Beyond a full ring of keys only the place in it matters; so it never grows large. */
  if (s->past >= 2 * ring) s->past -= ring;
}

/* The rule by which the utterance ends now, or 0. */
static int find_endpoint(const omni_stream *s) {
  const search *found = &s->search;
  if (!s->has_rules) return 0;
  const bool is_spoken = found->best.num_tokens;
  const int64_t last = is_spoken ? found->best.frames[found->best.num_tokens - 1] : found->begin - 1;
  /* Milliseconds of a frame are whole; a quotient of whole numbers is rounded once, as in the Python runtime. */
  const double ms = (double)(s->model->config.subsampling * FRAME_SHIFT * 1000 / OMNI_SAMPLE_RATE);
  const int64_t length = found->num_frames - found->begin, silence = found->num_frames - 1 - last;
  return endpoint_of(&s->rules, (double)length * ms / 1000, (double)silence * ms / 1000, is_spoken);
}

static bool run_chunk(omni_stream *s, omni_error *error) {
  const omni_model *model = s->model;
  const model_config *c = &model->config;
  const int64_t window = model_window_frames(model), step = model_chunk_frames(model);
  if (!run_frontend(s)) return omni_no_memory(error);
  run_encoder(s);
  if (model->kernels->linear(&s->level->encoder_proj, s->output, s->projected, (long)c->segment))
    return omni_no_memory(error);
  if (!search_accept(&s->search, model, s->level, s->projected, c->segment, error)) return false;
  if (s->watcher) {
    const omni_chunk chunk = {s->window, (int)window, (int)c->feature_dim, s->output, (int)c->segment, (int)c->dim};
    s->watcher(s->user, &chunk);
  }
  s->endpoint = find_endpoint(s);
  s->num_frames = window - step;
  memmove(s->window, s->window + step * c->feature_dim, (size_t)(s->num_frames * c->feature_dim) * sizeof(float));
  return true;
}

/* Runs samples up to an endpoint; *num_samples are left. */
static bool run(omni_stream *s, const float *samples, size_t *num_samples, omni_error *error) {
  const omni_model *model = s->model;
  const int64_t window = model_window_frames(model);
  while (*num_samples && !s->endpoint) {
    float *to = s->window + s->num_frames * model->config.feature_dim;
    if (!frame_buffer_accept(&s->sound, &model->filters, &samples, num_samples, to)) continue;
    if (++s->num_frames == window && !run_chunk(s, error)) {
      s->phase = FAILED;
      return false;
    }
  }
  return true;
}

/* Whether a call is one that the stream takes now. */
static bool is_open(const omni_stream *s, omni_error *error) {
  if (s->phase != RUNNING) return omni_fail(error, "the stream has ended; reset it");
  if (s->endpoint) return omni_fail(error, "an utterance has ended; call omni_stream_next_utterance first");
  return true;
}

bool omni_stream_accept(omni_stream *s, const float *samples, size_t num_samples, omni_error *error) {
  if (!is_open(s, error)) return false;
  for (size_t i = 0; i < num_samples; i++)
    if (!isfinite(samples[i])) return omni_fail(error, "samples that are not finite numbers");
  s->num_samples += (int64_t)num_samples;
  size_t left = num_samples;
  if (!run(s, samples, &left, error)) return false;
  if (!left) return true;
  float *waiting = omni_reserve(s->waiting, left, &s->waiting_room, sizeof *waiting);
  if (!waiting) {
    s->phase = FAILED;
    return omni_no_memory(error);
  }
  s->waiting = waiting;
  memcpy(waiting, samples + num_samples - left, left * sizeof *waiting);
  s->waiting_begin = 0;
  s->waiting_end = left;
  return true;
}

/* Run what was not yet for an endpoint, up to the next one. */
static bool go_on(omni_stream *s, omni_error *error) {
  static const float silence[FRAME_SHIFT];
  size_t left = s->waiting_end - s->waiting_begin;
  const bool good = !left || run(s, s->waiting + s->waiting_begin, &left, error);
  s->waiting_begin = s->waiting_end - left;
  while (good && s->silence && !s->endpoint) {
    const size_t part = s->silence < FRAME_SHIFT ? (size_t)s->silence : FRAME_SHIFT;
    left = part;
    if (!run(s, silence, &left, error)) return false;
    s->silence -= (int64_t)(part - left);
  }
  return good;
}

bool omni_stream_finish(omni_stream *s, omni_error *error) {
  if (!is_open(s, error)) return false;
  /* Silence which lets all chunks that cover the sound run, and no more; as ../omni_emformer/live/features.py. */
  const int64_t chunk = model_chunk_frames(s->model), frames = (s->num_samples + FRAME_SHIFT / 2) / FRAME_SHIFT;
  const int64_t chunks = frames > chunk ? (frames + chunk - 1) / chunk : 1;
  const int64_t all = ((chunks - 1) * chunk + model_window_frames(s->model) + 1) * FRAME_SHIFT;
  s->silence = all > s->num_samples ? all - s->num_samples : 0;
  s->phase = FINISHED;
  return go_on(s, error);
}

bool omni_stream_set_rules(omni_stream *s, const omni_endpoint_rules *rules, omni_error *error) {
  if (rules && !endpoint_check(rules, error)) return false;
  s->has_rules = rules;
  if (rules) s->rules = *rules;
  return true;
}

int omni_stream_endpoint(const omni_stream *s) { return s->endpoint; }

bool omni_stream_next_utterance(omni_stream *s, omni_error *error) {
  if (s->phase == FAILED) return omni_fail(error, "the stream has failed; reset it");
  search_next(&s->search, s->model);
  if (s->endpoint == 1 || s->endpoint == 2) start_encoder(s);
  s->endpoint = 0;
  return go_on(s, error);
}

void omni_stream_watch(omni_stream *s, void (*watcher)(void *user, const omni_chunk *chunk), void *user) {
  s->watcher = watcher;
  s->user = user;
}

int64_t omni_stream_num_samples(const omni_stream *s) { return s->num_samples; }

size_t omni_stream_num_tokens(const omni_stream *s) { return s->search.best.num_tokens; }

const int32_t *omni_stream_tokens(const omni_stream *s) { return s->search.best.tokens; }

const int64_t *omni_stream_frames(const omni_stream *s) { return s->search.best.frames; }

const char *omni_stream_text(const omni_stream *s) { return s->search.best.text ? s->search.best.text : ""; }

size_t omni_stream_num_words(const omni_stream *s) { return s->search.best.num_words; }

const omni_word *omni_stream_words(const omni_stream *s) { return s->search.best.words; }
