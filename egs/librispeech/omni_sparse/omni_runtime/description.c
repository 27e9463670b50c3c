/* SPDX-License-Identifier: Apache-2.0 */
#include "description.h"

#include <string.h>

#define VERSION 2 /* of ../omni_emformer/runtime/description.py */

static bool read_sizes(const json *meta, model_config *c, omni_error *error) {
  const json *config = omni_json_get(omni_json_get(meta, "config"), "model");
  const struct {
    const char *name;
    int64_t least, most, *value;
  } sizes[] = {
      {"feature_dim", 1, MOST_MEL_BINS, &c->feature_dim},
      {"subsampling", 1, 100, &c->subsampling},
      {"stack_window", 1, 1000, &c->window},
      {"encoder_dim", 1, 32767, &c->dim},
      {"num_heads", 1, 32767, &c->heads},
      {"ffn_dim", 1, 65535, &c->ffn},
      {"num_layers", 1, 1000, &c->num_layers},
      {"segment", 1, 1000, &c->segment},
      {"right_context", 0, 1000, &c->right},
      {"left_context", 0, 10000, &c->left},
      {"decoder_dim", 1, 65535, &c->decoder_dim},
      {"context_size", 1, MOST_CONTEXT, &c->context},
      {"joiner_dim", 1, 65535, &c->joiner_dim},
  };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    if (!omni_json_member(config, sizes[i].name, sizes[i].least, sizes[i].most, sizes[i].value, error)) return false;
  const char *frontend = omni_json_text(config, "frontend"), *activation = omni_json_text(config, "activation");
  c->is_conv = frontend && !strcmp(frontend, "conv");
  if (!c->is_conv && (!frontend || strcmp(frontend, "stack"))) return omni_fail(error, "its front end is unknown");
  static const char *const names[] = {"relu", "gelu", "silu"}; /* from 1 on, as block_layer.h numbers them */
  for (int i = 0; i < 3 && activation; i++)
    if (!strcmp(names[i], activation)) c->activation = i + 1;
  if (!c->activation) return omni_fail(error, "its activation is unknown");
  if (c->dim % c->heads) return omni_fail(error, "%lld heads of %lld", (long long)c->heads, (long long)c->dim);
  if (c->is_conv ? c->subsampling != 4 : c->window < c->subsampling)
    return omni_fail(error, "a subsampling of %lld does not fit its front end", (long long)c->subsampling);
  const uint64_t frames = (uint64_t)(c->segment + c->right) + 16, keys = (uint64_t)(c->right + c->left + c->segment) + 8;
  const uint64_t widest = (uint64_t)(c->ffn > 2 * c->dim ? c->ffn : 2 * c->dim) + 8;
  const uint64_t state = (uint64_t)(c->num_layers * 2 * c->dim) * keys;
  const uint64_t work = frames * (3 * ((uint64_t)c->dim + 8) + keys + 8 + 2 * widest);
  const uint64_t input = frames * (uint64_t)(c->subsampling * c->feature_dim + c->window * c->feature_dim +
                                             CONVOLUTION_WIDTH * (c->feature_dim + c->dim) * 4);
  if (state + work + input > MOST_FLOATS) return omni_fail(error, "its streams need more than 256 MiB each");
  return true;
}

/* The options of features that are computed here; others are refused. */
static bool read_features(omni_model *model, const json *features, omni_error *error) {
  static const struct {
    const char *name;
    double value;
  } fixed[] = {{"sample_rate", OMNI_SAMPLE_RATE}, {"frame_length", FRAME_LENGTH}, {"frame_shift", FRAME_SHIFT},
               {"fft_size", FFT_SIZE}, {"preemphasis", 0.97}};
  double value, low, high, floor, mean, std;
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
    if (!omni_json_number(features, fixed[i].name, &value) || value < fixed[i].value - 1e-9 ||
        value > fixed[i].value + 1e-9)
      return omni_fail(error, "its features have another %s than %g", fixed[i].name, fixed[i].value);
  const char *window = omni_json_text(features, "window");
  if (!window || strcmp(window, "povey")) return omni_fail(error, "its features have another window than povey");
  if (!omni_json_number(features, "low_freq", &low) || !omni_json_number(features, "high_freq", &high) ||
      !omni_json_number(features, "floor", &floor) || !omni_json_number(features, "mean", &mean) ||
      !omni_json_number(features, "std", &std) || !(std > 0))
    return omni_fail(error, "it does not say how its features are made");
  model->mean = (float)mean;
  model->std = (float)std;
  return mel_filters_make(&model->filters, model->config.feature_dim, low, high, floor, error);
}

static bool read_tokens(omni_model *model, const json *meta, const json *about, omni_error *error) {
  const json *tokens = omni_json_get(meta, "tokens"), *silent = omni_json_get(about, "silent_tokens");
  if (!tokens || tokens->kind != JSON_LIST || !tokens->count || tokens->count > 1000000)
    return omni_fail(error, "it has no tokens");
  const int64_t vocab = model->config.vocab = tokens->count;
  model->tokens = omni_take(&model->file.arena, (uint64_t)vocab, sizeof *model->tokens);
  model->silent = omni_take(&model->file.arena, (uint64_t)vocab, sizeof *model->silent);
  if (!model->tokens || !model->silent) return omni_no_memory(error);
  int64_t id = 0, blank = 0;
  for (const json *token = tokens->first; token; token = token->next, id++) {
    if (token->kind != JSON_TEXT) return omni_fail(error, "a token is no text");
    model->tokens[id] = token->text;
  }
  if (!silent || silent->kind != JSON_LIST) return omni_fail(error, "it does not say which tokens are no text");
  for (const json *one = silent->first; one; one = one->next) {
    if (!omni_json_whole(one, "a token", 0, vocab - 1, &id, error)) return false;
    model->silent[id] = true;
  }
  if (!omni_json_member(about, "blank", 0, vocab - 1, &blank, error)) return false;
  model->blank = (int)blank;
  return true;
}

static bool read_sparsities(omni_model *model, const json *meta, omni_error *error) {
  const packed_file *file = &model->file;
  model->sparsities = omni_take(&model->file.arena, (uint64_t)file->num_subnets, sizeof *model->sparsities);
  if (!model->sparsities) return omni_no_memory(error);
  for (int64_t i = 0; i < file->num_subnets; i++) {
    const json *info = omni_json_get(omni_json_get(meta, "infos"), file->subnets[i].name);
    if (!omni_json_number(info, "sparsity", &model->sparsities[i]))
      return omni_fail(error, "it does not say how sparse %.60s is", file->subnets[i].name);
  }
  return true;
}

bool description_read(omni_model *model, omni_error *error) {
  const json *meta = model->file.meta, *about = omni_json_get(meta, "transducer");
  int64_t version;
  double eps;
  if (!about)
    return omni_fail(error, omni_json_get(meta, "tokens") ? "an older program wrote it, without what features it takes"
                                                          : "it holds no transducer");
  if (!omni_json_member(about, "version", 0, INT32_MAX, &version, error)) return false;
  if (version != VERSION)
    return omni_fail(error, "its transducer is of version %d; this program reads version %d", (int)version, VERSION);
  if (!omni_json_number(about, "layer_norm_eps", &eps) || !(eps > 0)) return omni_fail(error, "its norms have no eps");
  model->eps = (float)eps;
  return read_sizes(meta, &model->config, error) && read_features(model, omni_json_get(about, "features"), error) &&
         read_tokens(model, meta, about, error) && read_sparsities(model, meta, error);
}
