/* SPDX-License-Identifier: Apache-2.0
 *
 * Log-mel features of sound that is still coming, as Kaldi computes them without dither and with snip_edges off; the
 * recipe's are defined in ../emformer/data/features.py.
 */
#ifndef OMNI_LOG_MEL_H
#define OMNI_LOG_MEL_H

#include "common.h"

#define FRAME_LENGTH 400 /* samples, 25 ms */
#define FRAME_SHIFT 160
#define FFT_SIZE 512
#define FFT_BINS (FFT_SIZE / 2)
#define MOST_MEL_BINS 256

/* What all streams of a model share. */
typedef struct {
  int num_bins;
  float floor;                      /* of an energy, before the logarithm */
  int first[MOST_MEL_BINS];         /* FFT bin of a mel bin's first weight */
  int count[MOST_MEL_BINS];         /* of its weights */
  float weights[2 * FFT_BINS + 2];  /* of all mel bins, one after the other: filters overlap by half */
  double window[FRAME_LENGTH];
  double cosine[FFT_SIZE / 2], sine[FFT_SIZE / 2];
} mel_filters;

/* low and high are in Hz; high may count from the Nyquist frequency, and is then 0 or less. */
bool mel_filters_make(mel_filters *filters, int64_t num_bins, double low, double high, double floor, omni_error *error);

/* The samples of a stream that the next frame needs. */
typedef struct {
  float samples[FRAME_LENGTH];
  int filled;
  bool begun;
} frame_buffer;

/* Begin a stream. */
void frame_buffer_start(frame_buffer *buffer);

/* Take some of *num_samples samples, which are counted down; whether that completed a frame. Its features are then
   written to out[num_bins]. */
bool frame_buffer_accept(frame_buffer *buffer, const mel_filters *filters, const float **samples, size_t *num_samples,
                         float *out);

#endif
