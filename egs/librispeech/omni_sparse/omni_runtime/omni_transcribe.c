/* SPDX-License-Identifier: Apache-2.0
 *
 * omni-transcribe: sound to text on the command line.
 */
#include "omni_runtime.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: omni-transcribe MODEL SOUND [--sparsity X | --subnet NAME] [--beam-size N] [--timestamps] ...\n"
    "       omni-transcribe MODEL --list\n"
    "\n"
    "Prints what is said in SOUND, as it is recognised, a line an utterance.\n"
    "\n"
    "MODEL          a packed file (python3 -m omni_emformer.runtime.pack)\n"
    "SOUND          a wav file at 16 kHz, 16-bit PCM or 32-bit floating point; of several channels it is\n"
    "               the mean. - for standard input: a wav file, or 16-bit little-endian PCM of one channel\n"
    "--sparsity X   the level with a share X of zeros, such as 0.7 (default: the file's first level)\n"
    "--subnet NAME  the level of a name, such as dense or front/3\n"
    "--beam-size N  modified beam search with N hypotheses, such as 4; then an utterance is printed when it\n"
    "               has ended (default 1: greedy search)\n"
    "--timestamps   a line a word: seconds of the encoder frame that began it, and the word\n"
    "--list         names and sparsities of the levels\n"
    "--help         this text\n"
    "\n"
    "Where utterances end; names and defaults are those of python3 -m omni_emformer.transcribe:\n"
    "--enable-endpoint BOOL                false: all sound is one utterance, and memory grows with it\n"
    "--rule1-min-trailing-silence SECONDS  of silence that end an utterance, said or not (default 2.4)\n"
    "--rule2-min-trailing-silence SECONDS  the same once something was said (default 1.2)\n"
    "--rule3-min-utterance-length SECONDS  after which an utterance ends whatever is said (default 20)\n"
    "\n"
    "The environment's OMNI_INSTRUCTIONS names an instruction set to use, such as plain; by default it is the\n"
    "best of the machine.\n";

typedef struct {
  const char *model, *sound, *level;
  bool timestamps, list, no_endpoint;
  long beam_size;
  omni_endpoint_rules rules;
} options;

static int failed(const char *where, const char *what) {
  fprintf(stderr, "omni-transcribe: %s%s%s\n", where ? where : "", where ? ": " : "", what);
  return 1;
}

/* Reads an option with a value; what is wrong with it, or NULL. */
static const char *read_value(const char *name, const char *value, options *o) {
  const struct {
    const char *name;
    double *seconds;
  } rules[] = {{"--rule1-min-trailing-silence", &o->rules.rule1_min_trailing_silence},
               {"--rule2-min-trailing-silence", &o->rules.rule2_min_trailing_silence},
               {"--rule3-min-utterance-length", &o->rules.rule3_min_utterance_length}};
  char *end = NULL;
  for (int i = 0; i < 3; i++) {
    if (strcmp(name, rules[i].name)) continue;
    *rules[i].seconds = strtod(value, &end);
    return end == value || *end || !(*rules[i].seconds > 0) ? "takes seconds, above 0" : NULL;
  }
  if (!strcmp(name, "--enable-endpoint")) {
    o->no_endpoint = !strcmp(value, "false");
    return o->no_endpoint || !strcmp(value, "true") ? NULL : "takes true or false";
  }
  if (!strcmp(name, "--beam-size")) {
    o->beam_size = strtol(value, &end, 10);
    return end == value || *end || o->beam_size < 1 || o->beam_size > 64 ? "takes a number from 1 to 64" : NULL;
  }
  if (o->level) return "one of --sparsity and --subnet at the most";
  o->level = value;
  return NULL;
}

/* 0, or the exit status. */
static int read_options(int count, char **words, options *o) {
  static const char *const valued[] = {"--sparsity", "--subnet", "--beam-size", "--enable-endpoint",
                                       "--rule1-min-trailing-silence", "--rule2-min-trailing-silence",
                                       "--rule3-min-utterance-length"};
  for (int i = 1; i < count; i++) {
    bool takes_value = false;
    for (size_t j = 0; j < sizeof valued / sizeof *valued; j++) takes_value |= !strcmp(words[i], valued[j]);
    if (takes_value) {
      const char *wrong = i + 1 < count ? read_value(words[i], words[i + 1], o) : "takes a value";
      if (wrong) return failed(words[i], wrong), 2;
      i++;
    } else if (!strcmp(words[i], "--timestamps")) {
      o->timestamps = true;
    } else if (!strcmp(words[i], "--list")) {
      o->list = true;
    } else if (words[i][0] == '-' && words[i][1]) {
      return failed(words[i], "no such option; see --help"), 2;
    } else if (!o->model) {
      o->model = words[i];
    } else if (!o->sound) {
      o->sound = words[i];
    } else {
      return failed(words[i], "one sound at a time"), 2;
    }
  }
  if (!o->model || (!o->sound && !o->list)) return fputs(usage, stderr), 2;
  return 0;
}

static void print_levels(const omni_model *model) {
  for (int i = 0; i < omni_model_num_levels(model); i++)
    printf("%s\t%.4f\n", omni_model_level_name(model, i), omni_model_level_sparsity(model, i));
}

/* What is printed of an utterance. */
typedef struct {
  const omni_model *model;
  omni_stream *stream;
  const options *options;
  size_t printed; /* bytes of its text or, with time stamps, words */
  double limit;   /* seconds of sound, once they are known: where words stand that are heard in the silence after it */
} printer;

/* Print what is new: of words with time stamps only those that are complete, unless the utterance is; of a beam, which
   may still change its mind, nothing before. */
static void print_new(printer *p, bool is_complete) {
  const char *text = omni_stream_text(p->stream);
  if (p->options->beam_size > 1 && !is_complete) return;
  if (!p->options->timestamps) {
    p->printed += (size_t)printf("%s", text + p->printed);
  } else {
    const omni_word *words = omni_stream_words(p->stream);
    const size_t number = omni_stream_num_words(p->stream), end = number && !is_complete ? number - 1 : number;
    for (; p->printed < end; p->printed++) {
      const omni_word *one = &words[p->printed];
      const double at = (double)one->first_frame * omni_model_frame_seconds(p->model);
      printf("%.2f %.*s\n", at < p->limit ? at : p->limit, (int)(one->end - one->begin), text + one->begin);
    }
  }
  if (is_complete && p->printed && !p->options->timestamps) putchar('\n');
  if (is_complete) p->printed = 0;
  fflush(stdout);
}

/* Print all utterances that have ended, and what is there of the next one. */
static bool print_utterances(printer *p, omni_error *error) {
  while (omni_stream_endpoint(p->stream)) {
    print_new(p, true);
    if (!omni_stream_next_utterance(p->stream, error)) return false;
  }
  print_new(p, false);
  return true;
}

static bool transcribe(printer *p, omni_sound *sound, omni_error *error) {
  float samples[OMNI_SAMPLE_RATE / 10];
  if (!p->options->no_endpoint && !omni_stream_set_rules(p->stream, &p->options->rules, error)) return false;
  for (int64_t read; (read = omni_sound_read(sound, samples, sizeof samples / sizeof *samples, error));)
    if (read < 0 || !omni_stream_accept(p->stream, samples, (size_t)read, error) || !print_utterances(p, error)) return false;
  p->limit = (double)omni_stream_num_samples(p->stream) / OMNI_SAMPLE_RATE;
  if (!omni_stream_finish(p->stream, error) || !print_utterances(p, error)) return false;
  print_new(p, true);
  return true;
}

static int run(omni_model *model, const options *o) {
  omni_error error;
  const int level = o->level ? omni_model_find_level(model, o->level) : 0;
  if (level < 0) {
    fprintf(stderr, "omni-transcribe: %s: no level is called %s; known:", o->model, o->level);
    for (int i = 0; i < omni_model_num_levels(model); i++) fprintf(stderr, " %s", omni_model_level_name(model, i));
    fputc('\n', stderr);
    return 1;
  }
  if (o->list) return print_levels(model), 0;
  int status = 1;
  omni_stream *stream = NULL;
  omni_sound *sound = omni_sound_open(o->sound, &error);
  if (!sound) failed(o->sound, error.text);
  else if (!(stream = omni_stream_open_beam(model, level, (int)o->beam_size, &error))) failed(o->model, error.text);
  else if (!transcribe(&(printer){model, stream, o, 0, INFINITY}, sound, &error)) failed(o->sound, error.text);
  else status = ferror(stdout) ? failed(NULL, "standard output cannot be written") : 0;
  omni_stream_close(stream);
  omni_sound_close(sound);
  return status;
}

int main(int count, char **words) {
  options o = {.beam_size = 1, .rules = OMNI_ENDPOINT_RULES};
  omni_error error;
  for (int i = 1; i < count; i++)
    if (!strcmp(words[i], "--help") || !strcmp(words[i], "-h")) return fputs(usage, stdout) < 0;
  const int status = read_options(count, words, &o);
  if (status) return status;
  omni_model *model = omni_model_open(o.model, &error);
  if (!model) return failed(NULL, error.text);
  const int done = run(model, &o);
  omni_model_close(model);
  return done;
}
