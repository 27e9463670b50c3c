/* SPDX-License-Identifier: Apache-2.0
 *
 * Sound from wav files, and from 16-bit PCM without a header.
 */
#ifndef OMNI_WAV_H
#define OMNI_WAV_H

#include "omni_runtime.h"

#include <stdio.h>

typedef struct {
  FILE *file;
  int channels, bytes; /* bytes of a sample: 2 of whole numbers, 4 of floating point */
  uint64_t left;       /* bytes of samples; UINT64_MAX where they go on to the end */
  unsigned char head[12];
  size_t head_read, head_used; /* what was read ahead, of PCM */
} sound;

/* Read up to the first sample. What is no wav file is 16-bit little-endian PCM of one channel if may_be_pcm. */
bool sound_open(sound *s, FILE *file, bool may_be_pcm, omni_error *error);

/* Up to `most` samples in [-1, 1], the mean over channels; how many, 0 at the end. An incomplete last one is left out. */
size_t sound_read(sound *s, float *samples, size_t most);

#endif
