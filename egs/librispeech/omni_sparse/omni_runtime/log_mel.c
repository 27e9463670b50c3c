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

/* Complex numbers, half as many as there are real ones to be transformed. */
typedef struct {
  double re[FFT_BINS], im[FFT_BINS];
} spectrum;

/* A pass of Stockham's transform of radix 4: `number` interleaved transforms of `size` numbers each to four times as many
   of a quarter of the size. The order of numbers comes out right of itself. */
static void pass(const mel_filters *filters, const spectrum *x, spectrum *y, int size, int number) {
  const int quarter = size / 4 * number;
  for (int p = 0; p < size / 4; p++) {
    const double c1 = filters->cosine[p * (FFT_SIZE / size)], s1 = filters->sine[p * (FFT_SIZE / size)];
    const double c2 = c1 * c1 - s1 * s1, s2 = 2 * c1 * s1, c3 = c1 * c2 - s1 * s2, s3 = c1 * s2 + s1 * c2;
    const double *ar = x->re + p * number, *ai = x->im + p * number;
    double *yr = y->re + 4 * p * number, *yi = y->im + 4 * p * number;
    for (int q = 0; q < number; q++) {
      const double *r = ar + q, *i = ai + q;
      const double sum_r = r[0] + r[2 * quarter], sum_i = i[0] + i[2 * quarter];
      const double diff_r = r[0] - r[2 * quarter], diff_i = i[0] - i[2 * quarter];
      const double odd_sum_r = r[quarter] + r[3 * quarter], odd_sum_i = i[quarter] + i[3 * quarter];
      const double odd_diff_r = r[quarter] - r[3 * quarter], odd_diff_i = i[quarter] - i[3 * quarter];
      const double r1 = diff_r + odd_diff_i, i1 = diff_i - odd_diff_r;
      const double r2 = sum_r - odd_sum_r, i2 = sum_i - odd_sum_i;
      const double r3 = diff_r - odd_diff_i, i3 = diff_i + odd_diff_r;
      yr[q] = sum_r + odd_sum_r, yi[q] = sum_i + odd_sum_i;
      yr[q + number] = r1 * c1 - i1 * s1, yi[q + number] = r1 * s1 + i1 * c1;
      yr[q + 2 * number] = r2 * c2 - i2 * s2, yi[q + 2 * number] = r2 * s2 + i2 * c2;
      yr[q + 3 * number] = r3 * c3 - i3 * s3, yi[q + 3 * number] = r3 * s3 + i3 * c3;
    }
  }
}

/* Energies of FFT_SIZE real numbers, of which the even ones are x->re and the odd ones x->im: their transforms are the
   even and the odd part of one transform. x is overwritten. */
static void energies_of(const mel_filters *filters, spectrum *x, double energies[FFT_BINS]) {
  spectrum other;
  pass(filters, x, &other, 256, 1);
  pass(filters, &other, x, 64, 4);
  pass(filters, x, &other, 16, 16);
  pass(filters, &other, x, 4, 64);
  energies[0] = (x->re[0] + x->im[0]) * (x->re[0] + x->im[0]);
  for (int k = 1; k < FFT_BINS; k++) {
    const double r = x->re[k], i = x->im[k], mirror_r = x->re[FFT_BINS - k], mirror_i = x->im[FFT_BINS - k];
    const double even_r = r + mirror_r, even_i = i - mirror_i, odd_r = i + mirror_i, odd_i = mirror_r - r;
    const double c = filters->cosine[k], s = filters->sine[k];
    const double re = even_r + odd_r * c - odd_i * s, im = even_i + odd_r * s + odd_i * c;
    energies[k] = 0.25 * (re * re + im * im);
  }
}

static void features_of(const mel_filters *filters, const float samples[FRAME_LENGTH], float *out) {
  spectrum x = {{0}, {0}};
  double energies[FFT_BINS], mean = 0;
  for (int i = 0; i < FRAME_LENGTH; i++) mean += samples[i];
  mean /= FRAME_LENGTH;
  double before = samples[0] - mean;
  for (int i = 0; i < FRAME_LENGTH; i++) {
    const double now = samples[i] - mean;
    (i % 2 ? x.im : x.re)[i / 2] = (now - PREEMPHASIS * before) * filters->window[i];
    before = now;
  }
  energies_of(filters, &x, energies);
  const float *weight = filters->weights;
  for (int bin = 0; bin < filters->num_bins; bin++) {
    double energy = 0;
    for (int i = filters->first[bin], end = i + filters->count[bin]; i < end; i++) energy += *weight++ * energies[i];
    out[bin] = logf(energy > filters->floor ? (float)energy : filters->floor);
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
