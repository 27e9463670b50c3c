/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include "description.h"
#include "matrix.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Several threads may make the same; the first to be done gives it to all. */
typedef struct {
  omni_layer layer;
  omni_arena arena;
} matrix;

struct matrix_slot {
  _Atomic(matrix *) made;
};

typedef struct {
  model_level level;
  omni_arena arena;
} bound_level;

struct level_slot {
  _Atomic(bound_level *) made;
};

static void free_matrix(matrix *one) {
  if (one) omni_free(&one->arena);
  free(one);
}

static void free_level(bound_level *one) {
  if (one) omni_free(&one->arena);
  free(one);
}

static const omni_layer *get_matrix(omni_model *model, int64_t layer, int64_t bands, omni_error *error) {
  struct matrix_slot *slot = &model->matrices[layer][bands - 1];
  matrix *made = atomic_load(&slot->made), *before = NULL;
  if (made) return &made->layer;
  made = calloc(1, sizeof *made);
  if (!made) return omni_no_memory(error), NULL;
  const int group = model->kernels->byte_group;
  if (!matrix_of_bands(&model->file, &model->file.layers[layer], bands, group, &made->arena, &made->layer, error)) {
    free_matrix(made);
    return NULL;
  }
  if (!atomic_compare_exchange_strong(&slot->made, &before, made)) {
    free_matrix(made);
    made = before;
  }
  return &made->layer;
}

/* A level's matrix, or none of a unit that was removed. */
static bool bind(omni_model *model, int level, int64_t layer, omni_layer *out, omni_error *error) {
  if (layer < 0) return true;
  const omni_layer *found = get_matrix(model, layer, model->file.subnets[level].numbers[layer], error);
  if (found) *out = *found;
  return found;
}

static bool bind_level(omni_model *model, int number, bound_level *made, omni_error *error) {
  const model_config *c = &model->config;
  const level_parts *found = &model->parts[number];
  model_level *level = &made->level;
  emformer_layer *layers = omni_take(&made->arena, (uint64_t)c->num_layers, sizeof *layers);
  if (!layers) return omni_no_memory(error);
  for (int64_t i = 0; i < c->num_layers; i++) {
    const layer_parts *parts = &found->layers[i];
    omni_layer *const to[NUM_LINEAR] = {&layers[i].query, &layers[i].key_value, &layers[i].out, &layers[i].up,
                                        &layers[i].down};
    for (int j = 0; j < NUM_LINEAR; j++)
      if (!bind(model, number, parts->linear[j], to[j], error)) return false;
    layers[i].before_attention = parts->before_attention;
    layers[i].before_ffn = parts->before_ffn;
    layers[i].after = parts->after;
  }
  level->encoder = (emformer){layers,     c->num_layers, c->dim,  c->heads,      c->ffn,
                              c->segment, c->right,      c->left, c->activation, model->eps};
  level->parts = found;
  return bind(model, number, found->frontend, &level->frontend, error) &&
         bind(model, number, found->encoder_proj, &level->encoder_proj, error) &&
         bind(model, number, found->decoder_proj, &level->decoder_proj, error) &&
         bind(model, number, found->output, &level->output, error);
}

const model_level *model_level_get(omni_model *model, int number, omni_error *error) {
  if (number < 0 || number >= omni_model_num_levels(model))
    return omni_fail(error, "there is no level %d; the file has %d", number, omni_model_num_levels(model)), NULL;
  bound_level *made = atomic_load(&model->levels[number].made), *before = NULL;
  if (made) return &made->level;
  made = calloc(1, sizeof *made);
  if (!made) return omni_no_memory(error), NULL;
  if (!bind_level(model, number, made, error)) {
    free_level(made);
    return NULL;
  }
  if (!atomic_compare_exchange_strong(&model->levels[number].made, &before, made)) {
    free_level(made);
    made = before;
  }
  return &made->level;
}

/* Names of parts of an Emformer's layer. */
static const char *part_name(char *name, size_t size, int64_t layer, const char *part) {
  snprintf(name, size, "encoder.emformer.emformer_layers.%lld.%s", (long long)layer, part);
  return name;
}

static bool find_norm(omni_model *model, int64_t level, const char *name, norm *out, omni_error *error) {
  char full[128];
  snprintf(full, sizeof full, "%s.weight", name);
  out->weight = packed_floats(&model->file, level, full, (uint64_t)model->config.dim, error);
  snprintf(full, sizeof full, "%s.bias", name);
  out->bias = out->weight ? packed_floats(&model->file, level, full, (uint64_t)model->config.dim, error) : NULL;
  return out->bias;
}

static bool is_removed(const omni_model *model, int64_t layer, const char *unit) {
  char name[64];
  snprintf(name, sizeof name, "%lld.%s", (long long)layer, unit);
  const json *units = omni_json_get(omni_json_get(omni_json_get(model->file.meta, "config"), "model"), "removed_units");
  for (const json *one = units ? units->first : NULL; one; one = one->next)
    if (one->kind == JSON_TEXT && !strcmp(one->text, name)) return true;
  return false;
}

static bool find_layer(omni_model *model, int64_t level, int64_t number, omni_error *error) {
  const int64_t dim = model->config.dim, ffn = model->config.ffn;
  const struct {
    const char *name, *unit;
    int64_t rows, cols;
  } linear[NUM_LINEAR] = {{"attention.emb_to_query", "attention", dim, dim},
                          {"attention.emb_to_key_value", "attention", 2 * dim, dim},
                          {"attention.out_proj", "attention", dim, dim},
                          {"pos_ff.1", "ffn", ffn, dim},
                          {"pos_ff.4", "ffn", dim, ffn}};
  char name[96];
  layer_parts *parts = &model->parts[level].layers[number];
  for (int i = 0; i < NUM_LINEAR; i++) {
    parts->linear[i] = -1;
    if (is_removed(model, number, linear[i].unit)) continue;
    part_name(name, sizeof name, number, linear[i].name);
    parts->linear[i] = packed_find_layer(&model->file, level, name, linear[i].rows, linear[i].cols, error);
    if (parts->linear[i] < 0) return false;
  }
  const bool attention = parts->linear[QUERY] >= 0, ffn_there = parts->linear[UP] >= 0;
  if (attention &&
      !find_norm(model, level, part_name(name, sizeof name, number, "layer_norm_input"), &parts->before_attention, error))
    return false;
  if (ffn_there && !find_norm(model, level, part_name(name, sizeof name, number, "pos_ff.0"), &parts->before_ffn, error))
    return false;
  return find_norm(model, level, part_name(name, sizeof name, number, "layer_norm_output"), &parts->after, error);
}

/* Make a convolution's matrix, unless another level has it: the first one, or the one before. */
static bool make_convolution(omni_model *model, const convolution *first, const convolution *before, int64_t rows,
                             int64_t channels, int64_t width, convolution *out, omni_error *error) {
  const convolution *const others[] = {first, before};
  for (int i = 0; i < 2; i++)
    if (others[i]->weight == out->weight && others[i]->bias == out->bias && others[i] != out) {
      *out = *others[i];
      return true;
    }
  return matrix_of_convolution(out->weight, out->bias, rows, channels, width, &model->file.arena, &out->matrix, error);
}

static bool find_convolutions(omni_model *model, int64_t level, omni_error *error) {
  packed_file *file = &model->file;
  const model_config *c = &model->config;
  level_parts *parts = &model->parts[level], *first = model->parts, *before = level ? parts - 1 : parts;
  for (int i = 0; c->is_conv && i < CONVOLUTIONS; i++) {
    char weight[64], bias[64];
    const int64_t channels = i ? c->dim : c->feature_dim;
    snprintf(weight, sizeof weight, "encoder.frontend.conv.%d.weight", 2 * i);
    snprintf(bias, sizeof bias, "encoder.frontend.conv.%d.bias", 2 * i);
    const uint64_t count = (uint64_t)(c->dim * channels * CONVOLUTION_WIDTH);
    convolution *out = &parts->convolutions[i];
    out->weight = packed_floats(file, level, weight, count, error);
    out->bias = out->weight ? packed_floats(file, level, bias, (uint64_t)c->dim, error) : NULL;
    if (!out->bias || !make_convolution(model, &first->convolutions[i], &before->convolutions[i], c->dim, channels,
                                        CONVOLUTION_WIDTH, out, error))
      return false;
  }
  const uint64_t count = (uint64_t)(c->decoder_dim * c->decoder_dim * c->context);
  convolution *out = &parts->decoder_convolution;
  out->weight = packed_floats(file, level, "decoder.conv.weight", count, error);
  return out->weight && make_convolution(model, &first->decoder_convolution, &before->decoder_convolution,
                                         c->decoder_dim, c->decoder_dim, c->context, out, error);
}

/* Find all parts of a level, and see that they fit together. */
static bool find_parts(omni_model *model, int64_t level, omni_error *error) {
  const model_config *c = &model->config;
  packed_file *file = &model->file;
  level_parts *parts = &model->parts[level];
  const int64_t input = c->is_conv ? c->dim : c->feature_dim * c->window;
  parts->frontend = packed_find_layer(file, level, "encoder.frontend.linear", c->dim, input, error);
  if (parts->frontend < 0 || !find_norm(model, level, "encoder.frontend.norm", &parts->frontend_norm, error)) return false;
  parts->layers = omni_take(&file->arena, (uint64_t)c->num_layers, sizeof *parts->layers);
  if (!parts->layers) return omni_no_memory(error);
  for (int64_t i = 0; i < c->num_layers; i++)
    if (!find_layer(model, level, i, error)) return false;
  parts->encoder_proj = packed_find_layer(file, level, "joiner.encoder_proj", c->joiner_dim, c->dim, error);
  if (parts->encoder_proj < 0) return false;
  parts->decoder_proj = packed_find_layer(file, level, "joiner.decoder_proj", c->joiner_dim, c->decoder_dim, error);
  if (parts->decoder_proj < 0) return false;
  parts->output = packed_find_layer(file, level, "joiner.output_linear", c->vocab, c->joiner_dim, error);
  if (parts->output < 0) return false;
  const uint64_t count = (uint64_t)(c->vocab * c->decoder_dim);
  parts->embedding = packed_floats(file, level, "decoder.embedding.weight", count, error);
  return parts->embedding && find_convolutions(model, level, error);
}

static bool find_all_parts(omni_model *model, omni_error *error) {
  model->parts = omni_take(&model->file.arena, (uint64_t)model->file.num_subnets, sizeof *model->parts);
  if (!model->parts) return omni_no_memory(error);
  for (int64_t level = 0; level < model->file.num_subnets; level++)
    if (!find_parts(model, level, error)) return false;
  return true;
}

static bool make_slots(omni_model *model, omni_error *error) {
  packed_file *file = &model->file;
  model->levels = omni_take(&file->arena, (uint64_t)file->num_subnets, sizeof *model->levels);
  struct matrix_slot **matrices = omni_take(&file->arena, (uint64_t)file->num_layers, sizeof *matrices);
  if (!model->levels || !matrices) return omni_no_memory(error);
  for (int64_t i = 0; i < file->num_layers; i++) {
    matrices[i] = omni_take(&file->arena, (uint64_t)file->layers[i].num_bands, sizeof **matrices);
    if (!matrices[i]) return omni_no_memory(error);
  }
  model->matrices = matrices;
  return true;
}

/* Open what path names or, without a path, what data holds. */
static omni_model *open_model(const char *path, const void *data, size_t size, omni_error *error) {
  omni_model *model = calloc(1, sizeof *model);
  omni_error why;
  if (!model) return omni_no_memory(error), NULL;
  model->kernels = kernels_of_machine();
  const bool is_read = path ? packed_file_open(&model->file, path, &why) : packed_file_read(&model->file, data, size, &why);
  if (is_read && description_read(model, &why) && find_all_parts(model, &why) && make_slots(model, &why)) return model;
  omni_fail(error, "%.120s: %.220s%s", path ? path : "packed file", why.text,
            model->file.is_there ? "; make or fetch it again" : "");
  omni_model_close(model);
  return NULL;
}

omni_model *omni_model_open(const char *path, omni_error *error) { return open_model(path, NULL, 0, error); }

omni_model *omni_model_open_memory(const void *data, size_t size, omni_error *error) {
  if (!data || (uintptr_t)data % 64) return omni_fail(error, "a packed file must begin at a multiple of 64 bytes"), NULL;
  return open_model(NULL, data, size, error);
}

void omni_model_close(omni_model *model) {
  if (!model) return;
  for (int64_t i = 0; model->matrices && i < model->file.num_layers; i++)
    for (int64_t j = 0; j < model->file.layers[i].num_bands; j++) free_matrix(atomic_load(&model->matrices[i][j].made));
  for (int64_t i = 0; model->matrices && i < model->file.num_subnets; i++)
    free_level(atomic_load(&model->levels[i].made));
  packed_file_close(&model->file);
  free(model);
}

int omni_model_num_levels(const omni_model *model) { return (int)model->file.num_subnets; }

static bool has_level(const omni_model *model, int level) { return level >= 0 && level < omni_model_num_levels(model); }

const char *omni_model_level_name(const omni_model *model, int level) {
  return has_level(model, level) ? model->file.subnets[level].name : "";
}

double omni_model_level_sparsity(const omni_model *model, int level) {
  return has_level(model, level) ? model->sparsities[level] : NAN;
}

/* Sums over the layers of a level: blocks, and the bytes of a block's values and column. */
static int64_t count_level(const omni_model *model, int level, bool in_bytes) {
  if (!has_level(model, level)) return -1;
  uint64_t sum = 0;
  for (int64_t i = 0; i < model->file.num_layers; i++) {
    const packed_layer *layer = &model->file.layers[i];
    const uint64_t each = in_bytes ? BLOCK_ROWS * (layer->bytes ? 1 : sizeof(float)) + sizeof(uint16_t) : 1;
    for (int64_t band = 0; band < model->file.subnets[level].numbers[i]; band++) sum += each * layer->bands[band].blocks;
  }
  return (int64_t)sum;
}

int64_t omni_model_level_blocks(const omni_model *model, int level) { return count_level(model, level, false); }

int64_t omni_model_level_bytes(const omni_model *model, int level) { return count_level(model, level, true); }

/* The number that a whole text is, or NaN. */
static double number_of(const char *text) {
  double value;
  const char *end = omni_decimal(text, &value);
  return end && !*end ? value : NAN;
}

int omni_model_find_level(const omni_model *model, const char *name) {
  const double wanted = number_of(name);
  for (int i = 0; i < omni_model_num_levels(model); i++)
    if (!strcmp(model->file.subnets[i].name, name)) return i;
  for (int i = 0; i < omni_model_num_levels(model); i++) {
    const char *found = model->file.subnets[i].name;
    if (fabs((strcmp(found, "dense") ? number_of(found) : 0) - wanted) < 0.005) return i;
  }
  return -1;
}

int omni_model_num_tokens(const omni_model *model) { return (int)model->config.vocab; }

const char *omni_model_token(const omni_model *model, int token) {
  return token >= 0 && token < model->config.vocab ? model->tokens[token] : "";
}

int64_t model_chunk_frames(const omni_model *model) { return model->config.segment * model->config.subsampling; }

int64_t model_window_frames(const omni_model *model) {
  const model_config *c = &model->config;
  return (c->segment + c->right) * c->subsampling + (c->is_conv ? 25 : c->window - c->subsampling);
}

double omni_model_frame_seconds(const omni_model *model) {
  return (double)(model->config.subsampling * FRAME_SHIFT) / OMNI_SAMPLE_RATE;
}

int omni_model_chunk_samples(const omni_model *model) { return (int)(model_chunk_frames(model) * FRAME_SHIFT); }

int omni_model_lookahead_samples(const omni_model *model) {
  const int64_t frames = model_window_frames(model) - model_chunk_frames(model);
  /* A frame reaches beyond its shift, by as much as it begins before. */
  return (int)(frames * FRAME_SHIFT) + (FRAME_LENGTH - FRAME_SHIFT) / 2;
}
