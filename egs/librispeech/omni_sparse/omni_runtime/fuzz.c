/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzer of packed files and saved streams: opens thousands of altered copies of a file, and runs what of them opens,
 * and what goes on of altered copies of its streams.
 *
 * Built with sanitizers by `make fuzzer`; they end it at the first access to memory that is not its own. In that
 * build checksums may be any, as in a file that is made to do harm. usage: omni-fuzz FILE NUMBER [SEED]
 */
#include "omni_runtime.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START 20
#define ALIGNMENT 64
#define ROOM 4096 /* bytes that a copy may be longer */

/* Xorshift, see G. Marsaglia, "Xorshift RNGs", 2003. */
static uint64_t state;

static size_t below(size_t bound) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return bound ? (size_t)(state % bound) : 0;
}

/* Replaces bytes by others, which may be more or fewer; the new size. */
static size_t splice(unsigned char *data, size_t size, size_t begin, size_t old, const void *bytes, size_t number) {
  memmove(data + begin + number, data + begin + old, size - begin - old);
  memcpy(data + begin, bytes, number);
  return size - old + number;
}

/* A number of the header's text, or a letter, becomes another. */
static size_t change_text(unsigned char *data, size_t size) {
  static const char *const odd[] = {"0",   "1",     "-1",    "7",       "8",   "63",   "64",  "65",   "128",  "65535",
                                    "65536", "1e3", "2147483648", "4611686018427387904", "99999999999999999999",
                                    "null",  "[]",  "{}",    "\"\"",    "true", "NaN", "3",   "2",    "16",   "4096"};
  uint32_t length;
  memcpy(&length, data + 12, sizeof length);
  if (length > size - START) return size;
  const size_t at = START + below(length);
  if (data[at] < '0' || data[at] > '9') {
    if (!below(8)) data[at] ^= (unsigned char)(1 << below(7));
    return size;
  }
  size_t begin = at, end = at;
  while (begin > START && data[begin - 1] >= '0' && data[begin - 1] <= '9') begin--;
  while (end < START + length && data[end] >= '0' && data[end] <= '9') end++;
  const char *text = odd[below(sizeof odd / sizeof *odd)];
  char near[32];
  if (below(2) && end - begin < 10) {
    snprintf(near, sizeof near, "%lld", atoll((const char *)data + begin) + (long long)below(5) - 2);
    text = near;
  }
  const size_t added = strlen(text), old = end - begin;
  size = splice(data, size, begin, old, text, added);
  length = (uint32_t)(length - old + added);
  /* Spaces at the end keep the sections aligned. */
  for (; length && data[START + length - 1] == ' '; length--) size = splice(data, size, START + length - 1, 1, "", 0);
  for (; (START + length) % ALIGNMENT; length++) size = splice(data, size, START + length, 0, " ", 1);
  memcpy(data + 12, &length, sizeof length);
  return size;
}

/* Some bytes, anywhere or among the numbers of the sections, become others, or are lost. */
static size_t change_bytes(unsigned char *data, size_t size) {
  static const size_t lengths[] = {1, 1, 2, 4, 64, 1000};
  const size_t begin = below(size), wanted = lengths[below(6)], number = wanted < size - begin ? wanted : size - begin;
  switch (below(5)) {
    case 0: data[begin] ^= (unsigned char)(1 << below(8)); break;
    case 1: memset(data + begin, (int)below(256), number); break;
    case 2: for (size_t i = 0; i < number; i++) data[begin + i] = (unsigned char)below(256); break;
    case 3: return below(4) ? splice(data, size, begin, number, "", 0) : begin;
    default: memmove(data + below(size - number + 1), data + begin, number);
  }
  return size;
}

static void check(bool good, const char *what) {
  if (good) return;
  fprintf(stderr, "omni-fuzz: %s\n", what);
  exit(1);
}

static long num_saved, num_restored;

/* Let a stream hear sound, utterance by utterance. */
static void hear(omni_stream *stream, const float *sound, size_t number) {
  omni_error error = {{0}};
  check(omni_stream_accept(stream, sound, number, &error), error.text);
  while (omni_stream_endpoint(stream)) {
    check(strlen(omni_stream_text(stream)) < 100000, "an endless text");
    check(omni_stream_next_utterance(stream, &error), error.text);
  }
  check(strlen(omni_stream_text(stream)) < 100000, "an endless text");
}

/* Alter copies of what a stream is saved as, and let what is still a stream go on. */
static void restore(omni_model *model, const omni_stream *stream, const float *sound) {
  omni_error error = {{0}};
  const size_t size = omni_stream_state_size(stream);
  for (int i = 0; i < 4; i++) {
    unsigned char *state = malloc(size + ROOM);
    check(state && omni_stream_save(stream, state, size, &error), error.text);
    size_t now = size;
    for (size_t changes = below(3); changes && now > START; changes--) {
      /* Most numbers that can do harm stand near the end. */
      const size_t begin = below(2) || now < 400 ? 0 : now - 400;
      now = begin + change_bytes(state + begin, now - begin);
    }
    unsigned char *exact = realloc(state, now + !now); /* so that what is read beyond its end is seen */
    check(exact, "no memory");
    omni_stream *other = omni_stream_restore(model, exact, now, &error);
    free(exact);
    num_saved++;
    num_restored += other != NULL;
    check(other || error.text[0], "refused without a word");
    if (other && omni_stream_accept(other, sound, 0, &error)) hear(other, sound, 4000); /* unless it has ended */
    omni_stream_close(other);
  }
}

/* Whether a file opens; each level of it has then heard some sound. */
static bool run(const void *data, size_t size) {
  omni_error error = {{0}};
  omni_model *model = omni_model_open_memory(data, size, &error);
  if (!model) {
    check(error.text[0] && !strchr(error.text, '\n'), "refused without one line that says why");
    return false;
  }
  float sound[8000];
  for (size_t i = 0; i < 8000; i++) sound[i] = (float)below(20001) / 10000 - 1;
  omni_stream *stream = NULL;
  for (int level = 0; level < omni_model_num_levels(model); level++) {
    if (!stream) stream = omni_stream_open_beam(model, level, below(2) ? 1 : (int)below(8) + 1, &error);
    else if (!omni_stream_set_level(stream, level, &error)) continue;
    if (!stream) continue;
    const omni_endpoint_rules rules = {0.2, 0.1, 0.4};
    check(omni_stream_set_rules(stream, below(2) ? &rules : NULL, &error), error.text);
    hear(stream, sound, 8000);
    restore(model, stream, sound);
    if (!below(2)) continue;
    check(omni_stream_finish(stream, &error), error.text);
    omni_stream_reset(stream);
  }
  omni_stream_close(stream);
  omni_model_close(model);
  return true;
}

static unsigned char *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  check(file, "the file cannot be read");
  check(!fseek(file, 0, SEEK_END), "the file cannot be read");
  *size = (size_t)ftell(file);
  rewind(file);
  unsigned char *data = malloc(*size + 1);
  check(data && fread(data, 1, *size, file) == *size && *size > START, "the file cannot be read");
  fclose(file);
  return data;
}

int main(int count, char **words) {
  check(count == 3 || count == 4, "usage: omni-fuzz FILE NUMBER [SEED]");
  size_t size;
  unsigned char *whole = read_file(words[1], &size), *copy = malloc(size + ROOM);
  check(copy, "no memory");
  state = 88172645463325252u + (count == 4 ? strtoull(words[3], NULL, 10) : 0);
  long opened = 0, number = atol(words[2]);
  for (long i = 0; i < number; i++) {
    size_t now = size;
    memcpy(copy, whole, size);
    for (size_t changes = 1 + below(3); changes && now > START; changes--) now = below(2) ? change_text(copy, now) : change_bytes(copy, now);
    /* Memory of exactly its size, so that what is read beyond its end is seen. */
    void *data;
    check(!posix_memalign(&data, ALIGNMENT, now), "no memory");
    memcpy(data, copy, now);
    opened += run(data, now);
    free(data);
  }
  printf("%ld altered files: %ld opened, %ld refused\n", number, opened, number - opened);
  printf("%ld altered streams: %ld restored, %ld not\n", num_saved, num_restored, num_saved - num_restored);
  free(copy);
  free(whole);
  return 0;
}
