/* SPDX-License-Identifier: Apache-2.0
 *
 * Sound from wav files, and from 16-bit PCM without a header.
 */
#include "common.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PCM = 1, FLOATING = 3, EXTENSIBLE = 0xfffe };
#define MOST_CHANNELS 64
/* Sizes from this one on are what writers put there that do not know it yet; others write 0. */
#define UNKNOWN_SIZE 0x7ffff000u

struct omni_sound {
  FILE *file;
  int channels, bytes; /* bytes of a sample: 2 of whole numbers, 4 of floating point */
  uint64_t left;       /* bytes of samples; UINT64_MAX where they go on to the end */
  unsigned char head[12];
  size_t head_read, head_used; /* what was read ahead, of PCM */
};

static unsigned number(const unsigned char *at, int bytes) {
  unsigned value = 0;
  for (int i = 0; i < bytes; i++) value |= (unsigned)at[i] << 8 * i;
  return value;
}

static size_t read_bytes(omni_sound *s, unsigned char *to, size_t size) {
  size_t done = 0;
  for (; done < size && s->head_used < s->head_read; done++) to[done] = s->head[s->head_used++];
  return done + (done < size ? fread(to + done, 1, size - done, s->file) : 0);
}

/* What a format chunk tells. */
static bool read_format(omni_sound *s, const unsigned char *form, size_t size, omni_error *error) {
  unsigned kind = number(form, 2);
  const unsigned channels = number(form + 2, 2), rate = number(form + 4, 4), bits = number(form + 14, 2);
  if (kind == EXTENSIBLE && size >= 26) kind = number(form + 24, 2);
  if (!((kind == PCM && bits == 16) || (kind == FLOATING && bits == 32)))
    return omni_fail(error, "a wav file of kind %u with %u bits; 16-bit PCM and 32-bit floating point are read", kind,
                     bits);
  if (rate != OMNI_SAMPLE_RATE) return omni_fail(error, "%u samples a second; resample it to %d", rate, OMNI_SAMPLE_RATE);
  if (!channels || channels > MOST_CHANNELS) return omni_fail(error, "a wav file of %u channels", channels);
  s->channels = (int)channels;
  s->bytes = (int)bits / 8;
  return true;
}

static bool skip(omni_sound *s, uint64_t size) {
  unsigned char rest[256];
  for (size_t part; size; size -= part) {
    part = size < sizeof rest ? (size_t)size : sizeof rest;
    if (read_bytes(s, rest, part) < part) return false;
  }
  return true;
}

static bool read_header(omni_sound *s, omni_error *error) {
  unsigned char chunk[8], form[40];
  while (read_bytes(s, chunk, 8) == 8) {
    const uint64_t size = number(chunk + 4, 4), padded = size + size % 2; /* chunks begin at even places */
    if (!memcmp(chunk, "data", 4)) {
      if (!s->channels) return omni_fail(error, "a wav file without a format");
      s->left = size && size < UNKNOWN_SIZE ? size : UINT64_MAX;
      return true;
    }
    uint64_t read = 0;
    if (!memcmp(chunk, "fmt ", 4)) {
      if (size < 16) return omni_fail(error, "a wav file without a format");
      read = padded < sizeof form ? padded : sizeof form;
      if (read_bytes(s, form, (size_t)read) < read) break;
      if (!read_format(s, form, (size_t)size, error)) return false;
    }
    if (!skip(s, padded - read)) break;
  }
  return omni_fail(error, "a wav file that ends within its header");
}

/* Up to the first sample. */
static bool begin(omni_sound *s, bool may_be_pcm, omni_error *error) {
  s->left = UINT64_MAX;
  s->head_read = fread(s->head, 1, sizeof s->head, s->file);
  if (ferror(s->file)) return omni_fail(error, "%s", strerror(errno)); /* such as of a folder */
  if (s->head_read == sizeof s->head && !memcmp(s->head, "RIFF", 4) && !memcmp(s->head + 8, "WAVE", 4)) {
    s->head_used = s->head_read;
    return read_header(s, error);
  }
  if (!may_be_pcm) return omni_fail(error, "it is no wav file");
  s->channels = 1;
  s->bytes = 2;
  return true;
}

omni_sound *omni_sound_open(const char *path, omni_error *error) {
  const bool is_stdin = !strcmp(path, "-");
  omni_sound *s = calloc(1, sizeof *s);
  if (!s) return omni_no_memory(error), NULL;
  s->file = is_stdin ? stdin : fopen(path, "rb");
  if (!s->file) omni_fail(error, "%s", strerror(errno));
  else if (begin(s, is_stdin, error)) return s;
  omni_sound_close(s);
  return NULL;
}

int64_t omni_sound_read(omni_sound *s, float *samples, size_t most, omni_error *error) {
  unsigned char frame[MOST_CHANNELS * 4];
  const size_t size = (size_t)(s->channels * s->bytes);
  size_t done = 0;
  for (; done < most && s->left >= size && read_bytes(s, frame, size) == size; done++) {
    float sum = 0;
    for (int c = 0; c < s->channels; c++) {
      const unsigned bits = number(frame + c * s->bytes, s->bytes);
      float value;
      if (s->bytes == 2) value = (float)(bits < 0x8000 ? (int)bits : (int)bits - 0x10000) / 32768.0f;
      else memcpy(&value, &bits, sizeof value);
      sum += value;
    }
    samples[done] = sum / (float)s->channels;
    if (s->left != UINT64_MAX) s->left -= size;
  }
  if (ferror(s->file)) return omni_fail(error, "%s", strerror(errno)), -1;
  return (int64_t)done;
}

void omni_sound_close(omni_sound *s) {
  if (s && s->file && s->file != stdin) fclose(s->file);
  free(s);
}
