/* SPDX-License-Identifier: Apache-2.0
 *
 * omni-transcribe: sound to text on the command line.
 */
#include "wav.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: omni-transcribe MODEL SOUND [--sparsity X | --subnet NAME] [--timestamps]\n"
    "       omni-transcribe MODEL --list\n"
    "\n"
    "Prints what is said in SOUND, as it is recognised.\n"
    "\n"
    "MODEL          a packed file (python3 -m omni_emformer.runtime.pack)\n"
    "SOUND          a wav file at 16 kHz, 16-bit PCM or 32-bit floating point; of several channels it is\n"
    "               the mean. - for standard input: a wav file, or 16-bit little-endian PCM of one channel\n"
    "--sparsity X   the level with a share X of zeros, such as 0.7 (default: the file's first level)\n"
    "--subnet NAME  the level of a name, such as dense or front/3\n"
    "--timestamps   a line a word: seconds of the encoder frame that began it, and the word\n"
    "--list         names and sparsities of the levels\n"
    "--help         this text\n"
    "\n"
    "The environment's OMNI_INSTRUCTIONS names an instruction set to use, such as plain; by default it is the\n"
    "best of the machine.\n";

typedef struct {
  const char *model, *sound, *level;
  bool timestamps, list;
} options;

static int failed(const char *where, const char *what) {
  fprintf(stderr, "omni-transcribe: %s%s%s\n", where ? where : "", where ? ": " : "", what);
  return 1;
}

/* 0, or the exit status. */
static int read_options(int count, char **words, options *o) {
  for (int i = 1; i < count; i++) {
    const bool takes_value = !strcmp(words[i], "--sparsity") || !strcmp(words[i], "--subnet");
    if (takes_value) {
      if (i + 1 == count) return failed(words[i], "takes a value"), 2;
      if (o->level) return failed(words[i], "one of --sparsity and --subnet at the most"), 2;
      o->level = words[++i];
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

/* What is new of a stream: of words with time stamps only those that are complete, unless all is. */
static void print_new(const omni_model *model, const omni_stream *stream, const options *o, bool all, size_t *printed) {
  const char *text = omni_stream_text(stream);
  if (!o->timestamps) {
    *printed += (size_t)printf("%s", text + *printed);
  } else {
    const size_t words = omni_stream_num_words(stream), end = words && !all ? words - 1 : words;
    for (; *printed < end; ++*printed) {
      size_t from, to;
      int64_t frame;
      omni_stream_word(stream, *printed, &from, &to, &frame);
      printf("%.2f %.*s\n", (double)frame * omni_model_frame_seconds(model), (int)(to - from), text + from);
    }
  }
  fflush(stdout);
}

static bool transcribe(const omni_model *model, omni_stream *stream, sound *s, const options *o, omni_error *error) {
  float samples[OMNI_SAMPLE_RATE / 10];
  size_t printed = 0;
  for (size_t read; (read = sound_read(s, samples, sizeof samples / sizeof *samples));) {
    if (!omni_stream_accept(stream, samples, read, error)) return false;
    print_new(model, stream, o, false, &printed);
  }
  if (!omni_stream_finish(stream, error)) return false;
  print_new(model, stream, o, true, &printed);
  if (!o->timestamps) putchar('\n');
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
  const bool is_stdin = !strcmp(o->sound, "-");
  FILE *file = is_stdin ? stdin : fopen(o->sound, "rb");
  if (!file) return failed(o->sound, strerror(errno));
  sound s;
  int status = 1;
  omni_stream *stream = NULL;
  if (!sound_open(&s, file, is_stdin, &error)) failed(o->sound, error.text);
  else if (!(stream = omni_stream_open(model, level, &error))) failed(o->model, error.text);
  else if (!transcribe(model, stream, &s, o, &error) || ferror(file)) failed(o->sound, ferror(file) ? strerror(errno) : error.text);
  else status = ferror(stdout) ? failed(NULL, "standard output cannot be written") : 0;
  omni_stream_close(stream);
  if (!is_stdin) fclose(file);
  return status;
}

int main(int count, char **words) {
  options o = {0};
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
