/* SPDX-License-Identifier: Apache-2.0 */
#include "log_mel.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846
#define PREEMPHASIS 0.97f
/* The first frame is centred on its shift, and so begins before the sound does. */
#define BEFORE ((FRAME_LENGTH - FRAME_SHIFT) / 2)

static double mel_of(double frequency) { return 1127.0 * log(1.0 + frequency / 700.0); }

bool mel_filters_make(mel_filters *filters, int64_t num_bins, double low, double high, double floor,
                      omni_error *error) {
  const double nyquist = OMNI_SAMPLE_RATE / 2.0;
  if (high <= 0) high += nyquist;
  if (num_bins < 1 || num_bins > MOST_MEL_BINS || !(low >= 0 && low < high && high <= nyquist) || !(floor > 0))
    return omni_fail(error, "%lld mel bins from %g to %g Hz cannot be computed", (long long)num_bins, low, high);
  filters->num_bins = (int)num_bins;
  filters->floor = (float)floor;
  const double first = mel_of(low), step = (mel_of(high) - first) / (double)(num_bins + 1);
  int used = 0;
  for (int bin = 0; bin < filters->num_bins; bin++) {
    const double left = first + bin * step, centre = left + step, right = centre + step;
    filters->count[bin] = 0;
    for (int i = 0; i < FFT_BINS; i++) {
      const double mel = mel_of(i * (double)OMNI_SAMPLE_RATE / FFT_SIZE);
      if (mel <= left || mel >= right) continue;
      if (used == (int)(sizeof filters->weights / sizeof *filters->weights)) return omni_fail(error, "too many mel bins");
      if (!filters->count[bin]++) filters->first[bin] = i;
      filters->weights[used++] = (float)(mel <= centre ? (mel - left) / step : (right - mel) / step);
    }
  }
  for (int i = 0; i < FRAME_LENGTH; i++) /* Povey's window */
    filters->window[i] = pow(0.5 - 0.5 * cos(2 * PI * i / (FRAME_LENGTH - 1)), 0.85);
  for (int i = 0; i < FFT_SIZE / 2; i++) {
    filters->cosine[i] = cos(2 * PI * i / FFT_SIZE);
    filters->sine[i] = -sin(2 * PI * i / FFT_SIZE);
  }
  return true;
}

/* Fourier transform in place, by Cooley and Tukey's algorithm; x is in bit-reversed order. */
static void transform(const mel_filters *filters, double re[FFT_SIZE], double im[FFT_SIZE]) {
  for (int half = 1; half < FFT_SIZE; half *= 2)
    for (int begin = 0; begin < FFT_SIZE; begin += 2 * half)
      for (int k = 0; k < half; k++) {
        const int a = begin + k, b = a + half, angle = k * (FFT_SIZE / 2 / half);
        const double c = filters->cosine[angle], s = filters->sine[angle];
        const double r = re[b] * c - im[b] * s, i = re[b] * s + im[b] * c;
        re[b] = re[a] - r, im[b] = im[a] - i;
        re[a] += r, im[a] += i;
      }
}

static void features_of(const mel_filters *filters, const float samples[FRAME_LENGTH], float *out) {
  double re[FFT_SIZE] = {0}, im[FFT_SIZE] = {0}, mean = 0;
  for (int i = 0; i < FRAME_LENGTH; i++) mean += samples[i];
  mean /= FRAME_LENGTH;
  for (int i = 0, reversed = 0; i < FFT_SIZE; i++) {
    if (i < FRAME_LENGTH) {
      const double before = samples[i ? i - 1 : 0] - mean;
      re[reversed] = (samples[i] - mean - PREEMPHASIS * before) * filters->window[i];
    }
    int bit = FFT_SIZE / 2; /* to i + 1, in bits that are read backwards */
    for (; reversed & bit; bit /= 2) reversed -= bit;
    reversed += bit;
  }
  transform(filters, re, im);
  const float *weight = filters->weights;
  for (int bin = 0; bin < filters->num_bins; bin++) {
    double energy = 0;
    for (int i = filters->first[bin], end = i + filters->count[bin]; i < end; i++)
      energy += *weight++ * (re[i] * re[i] + im[i] * im[i]);
    out[bin] = (float)log(energy > filters->floor ? energy : filters->floor);
  }
}

void frame_buffer_start(frame_buffer *buffer) {
  buffer->filled = BEFORE;
  buffer->begun = false;
}

bool frame_buffer_accept(frame_buffer *buffer, const mel_filters *filters, const float **samples, size_t *num_samples,
                         float *out) {
  const size_t room = (size_t)(FRAME_LENGTH - buffer->filled), taken = *num_samples < room ? *num_samples : room;
  memcpy(buffer->samples + buffer->filled, *samples, taken * sizeof(float));
  *samples += taken;
  *num_samples -= taken;
  buffer->filled += (int)taken;
  if (buffer->filled < FRAME_LENGTH) return false;
  if (!buffer->begun) /* the sound is mirrored at its beginning */
    for (int i = 0; i < BEFORE; i++) buffer->samples[i] = buffer->samples[2 * BEFORE - 1 - i];
  buffer->begun = true;
  features_of(filters, buffer->samples, out);
  buffer->filled = FRAME_LENGTH - FRAME_SHIFT;
  memmove(buffer->samples, buffer->samples + FRAME_SHIFT, (size_t)buffer->filled * sizeof(float));
  return true;
}
