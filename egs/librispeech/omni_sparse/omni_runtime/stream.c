/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream: sound to features, chunks of features through the encoder, and its output to the search.
 */
#include "greedy_search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct omni_stream {
  omni_model *model;
  const model_level *level;
  frame_buffer sound;
  int64_t num_samples;
  bool is_ended; /* finished, or failed */
  search search;
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

static bool take_work_space(omni_stream *s, omni_error *error) {
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
  return search_open(&s->search, s->model, &s->arena, error);
}

omni_stream *omni_stream_open(omni_model *model, int level, omni_error *error) {
  omni_stream *s = calloc(1, sizeof *s);
  if (!s) return omni_no_memory(error), NULL;
  s->model = model;
  s->level = model_level_get(model, level, error);
  if (!s->level || !take_work_space(s, error)) {
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
  free(s);
}

void omni_stream_reset(omni_stream *s) {
  frame_buffer_start(&s->sound);
  search_start(&s->search, s->model);
  memset(s->state, 0, s->state_size * sizeof(float));
  s->num_samples = s->num_frames = s->past = 0;
  s->is_ended = false;
}

bool omni_stream_set_level(omni_stream *s, int level, omni_error *error) {
  const model_level *found = model_level_get(s->model, level, error);
  if (!found) return false;
  s->level = found;
  search_change_level(&s->search);
  return true;
}

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
  const model_config *c = &model->config;
  int64_t frames = model_window_frames(model), dim = c->feature_dim;
  for (int64_t i = 0; i < frames * dim; i++) s->normal[i] = (s->window[i] - model->mean) / model->std;
  for (int i = 0; c->is_conv && i < CONVOLUTIONS; i++) {
    const int64_t stride = i < 2 ? 2 : 1;
    frames = (frames - CONVOLUTION_WIDTH) / stride + 1;
    if (!unfolded_linear(s, &model->convolutions[i], s->normal, stride * dim, frames, s->normal)) return false;
    dim = c->dim;
    for (int64_t j = 0; j < frames * dim; j++) s->normal[j] = s->normal[j] > 0 ? s->normal[j] : 0;
  }
  frames = c->segment + c->right;
  if (!unfolded_linear(s, &s->level->frontend, s->normal, c->is_conv ? dim : c->subsampling * dim, frames, s->input))
    return false;
  layer_norm(&model->frontend_norm, s->input, frames, c->dim, model->eps);
  return true;
}

static void run_encoder(omni_stream *s) {
  const model_config *c = &s->model->config;
  const int64_t ring = c->left + c->segment;
  s->model->kernels->step(&s->level->encoder, s->input, s->output, s->state, s->work, (long)s->past);
  s->past += c->segment;
  /* Beyond a full ring of keys only the place in it matters; so it never grows large. */
  if (s->past >= 2 * ring) s->past -= ring;
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
  s->num_frames = window - step;
  memmove(s->window, s->window + step * c->feature_dim, (size_t)(s->num_frames * c->feature_dim) * sizeof(float));
  return true;
}

static bool run(omni_stream *s, const float *samples, size_t num_samples, omni_error *error) {
  const omni_model *model = s->model;
  const int64_t window = model_window_frames(model);
  while (num_samples) {
    float *to = s->window + s->num_frames * model->config.feature_dim;
    if (!frame_buffer_accept(&s->sound, &model->filters, &samples, &num_samples, to)) continue;
    if (++s->num_frames == window && !run_chunk(s, error)) {
      s->is_ended = true;
      return false;
    }
  }
  return true;
}

bool omni_stream_accept(omni_stream *s, const float *samples, size_t num_samples, omni_error *error) {
  if (s->is_ended) return omni_fail(error, "the stream has ended; reset it");
  for (size_t i = 0; i < num_samples; i++)
    if (!isfinite(samples[i])) return omni_fail(error, "samples that are not finite numbers");
  s->num_samples += (int64_t)num_samples;
  return run(s, samples, num_samples, error);
}

bool omni_stream_finish(omni_stream *s, omni_error *error) {
  if (s->is_ended) return omni_fail(error, "the stream has ended; reset it");
  /* Silence which lets all chunks that cover the sound run, and no more; as ../omni_emformer/live/features.py. */
  const int64_t chunk = model_chunk_frames(s->model), frames = (s->num_samples + FRAME_SHIFT / 2) / FRAME_SHIFT;
  const int64_t chunks = frames > chunk ? (frames + chunk - 1) / chunk : 1;
  const int64_t all = ((chunks - 1) * chunk + model_window_frames(s->model) + 1) * FRAME_SHIFT;
  static const float silence[FRAME_SHIFT];
  for (int64_t left = all - s->num_samples; left > 0; left -= FRAME_SHIFT)
    if (!run(s, silence, (size_t)(left < FRAME_SHIFT ? left : FRAME_SHIFT), error)) return false;
  s->is_ended = true;
  return true;
}

void omni_stream_watch(omni_stream *s, void (*watcher)(void *user, const omni_chunk *chunk), void *user) {
  s->watcher = watcher;
  s->user = user;
}

size_t omni_stream_num_tokens(const omni_stream *s) { return s->search.num_tokens; }

const int32_t *omni_stream_tokens(const omni_stream *s) { return s->search.tokens; }

const int64_t *omni_stream_frames(const omni_stream *s) { return s->search.frames; }

const char *omni_stream_text(const omni_stream *s) { return s->search.text ? s->search.text : ""; }

size_t omni_stream_num_words(const omni_stream *s) { return s->search.num_words; }

void omni_stream_word(const omni_stream *s, size_t number, size_t *begin, size_t *end, int64_t *frame) {
  const word none = {0, 0, 0}, *found = number < s->search.num_words ? &s->search.words[number] : &none;
  *begin = found->begin;
  *end = found->end;
  *frame = found->frame;
}
