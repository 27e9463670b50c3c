/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams of one model in several threads, each with endpoints and saved time and again; then once more, one after the
 * other. Prints a line a stream: whether it heard the same both times, and how many bytes of text. usage: threads MODEL
 */
#include "omni_runtime.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 6
#define SAMPLES 32000
#define PIECE 4000
#define ROOM 100000

static omni_model *model;
static float sound[SAMPLES];

static void check(bool good, const omni_error *error) {
  if (good) return;
  fprintf(stderr, "%s\n", error->text);
  exit(1);
}

static omni_stream *restored(omni_stream *stream) {
  omni_error error;
  const size_t size = omni_stream_state_size(stream);
  void *state = malloc(size);
  check(omni_stream_save(stream, state, size, &error), &error);
  omni_stream *other = omni_stream_restore(model, state, size, &error);
  check(other, &error);
  free(state);
  omni_stream_close(stream);
  return other;
}

/* All that a stream hears; levels and beams differ by its number. */
static void *hear(void *number) {
  const omni_endpoint_rules rules = {0.5, 0.3, 1.5};
  const int of = *(int *)number;
  omni_error error;
  char *text = calloc(1, ROOM);
  omni_stream *stream = omni_stream_open_beam(model, of % omni_model_num_levels(model), of % 2 ? 4 : 1, &error);
  check(stream, &error);
  check(omni_stream_set_rules(stream, &rules, &error), &error);
  for (int i = 0; i < SAMPLES; i += PIECE) {
    check(omni_stream_accept(stream, sound + i, PIECE, &error), &error);
    while (omni_stream_endpoint(stream)) {
      strncat(text, omni_stream_text(stream), ROOM - strlen(text) - 1);
      check(omni_stream_next_utterance(stream, &error), &error);
    }
    stream = restored(stream);
  }
  omni_stream_close(stream);
  return text;
}

int main(int count, char **words) {
  omni_error error = {"usage: threads MODEL"};
  check(count == 2, &error);
  model = omni_model_open(words[1], &error);
  check(model, &error);
  unsigned random = 1;
  for (int i = 0; i < SAMPLES; i++) { /* noise that stops every half second; see Knuth, TAOCP 3.3.4, line 16 */
    random = random * 1664525u + 1013904223u;
    sound[i] = (float)((int)(random >> 16) % 1000) / 4000 * (float)(i / 8000 % 2);
  }
  pthread_t threads[THREADS];
  int numbers[THREADS];
  for (int i = 0; i < THREADS; i++) {
    numbers[i] = i;
    if (pthread_create(&threads[i], NULL, hear, &numbers[i])) return 1;
  }
  void *texts[THREADS];
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], &texts[i]);
  for (int i = 0; i < THREADS; i++) {
    char *again = hear(&numbers[i]);
    printf("%s %zu\n", strcmp(again, texts[i]) ? "other" : "same", strlen(again));
    free(again);
    free(texts[i]);
  }
  omni_model_close(model);
  return 0;
}
