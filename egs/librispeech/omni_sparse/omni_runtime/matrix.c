/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix.h"

#include <inttypes.h>
#include <string.h>

/* A band while it is read, block row after block row. */
typedef struct {
  const unsigned char *values;
  const uint16_t *columns, *counts;
  uint64_t at, end, blocks;
} reader;

static bool open_bands(const packed_file *file, const packed_layer *layer, int64_t bands, reader *readers,
                       omni_error *error) {
  const uint64_t width = BLOCK_ROWS * (layer->bytes ? 1 : sizeof(float));
  for (int64_t i = 0; i < bands; i++) {
    const packed_band *band = &layer->bands[i];
    const unsigned char *data = packed_section(file, &band->place, error);
    if (!data) return false;
    const uint16_t *columns = (const uint16_t *)(data + width * band->blocks);
    readers[i] = (reader){.values = data, .columns = columns, .counts = columns + band->blocks, .blocks = band->blocks};
    uint64_t counted = 0;
    for (int64_t g = 0; g < layer->groups; g++) counted += readers[i].counts[g];
    if (counted != band->blocks)
      return omni_fail(error, "%" PRIu64 " blocks, of which block rows count %" PRIu64, band->blocks, counted);
  }
  return true;
}

/* Blocks of the matrix, filled up to whole groups; more than the kernels can count are refused. */
static bool count_blocks(const packed_layer *layer, int64_t bands, const reader *readers, uint64_t group,
                         int32_t *starts, omni_error *error) {
  uint64_t total = 0;
  for (int64_t g = 0; g < layer->groups; g++) {
    uint64_t row = 0;
    for (int64_t i = 0; i < bands; i++) row += readers[i].counts[g];
    if (row > (uint64_t)layer->cols) return omni_fail(error, "two bands have a block in common");
    total += (row + group - 1) / group * group;
    if (total > INT32_MAX / BLOCK_ROWS) return omni_fail(error, "%s is too large", layer->name);
    starts[g + 1] = (int32_t)total;
  }
  return true;
}

/* The band with the next block of a block row, that is the one of the least column; NULL at its end. */
static reader *next_block(reader *readers, int64_t bands) {
  reader *next = NULL;
  for (reader *one = readers; one < readers + bands; one++)
    if (one->at < one->end && (!next || one->columns[one->at] < next->columns[next->at])) next = one;
  return next;
}

static bool merge(const packed_layer *layer, int64_t bands, reader *readers, const int32_t *starts, uint16_t *columns,
                  unsigned char *values, omni_error *error) {
  const size_t width = BLOCK_ROWS * (layer->bytes ? 1 : sizeof(float));
  for (int64_t g = 0; g < layer->groups; g++) {
    for (int64_t i = 0; i < bands; i++) {
      readers[i].end += readers[i].counts[g];
      /* Counted before, but a file may be changed meanwhile. */
      if (readers[i].end > readers[i].blocks) return omni_fail(error, "the file was changed while it was read");
    }
    int32_t to = starts[g];
    int64_t before = -1;
    for (reader *one; (one = next_block(readers, bands)); one->at++, to++) {
      const int64_t column = one->columns[one->at];
      if (column >= layer->cols) return omni_fail(error, "a block in column %" PRId64 " of %" PRId64, column, layer->cols);
      if (column == before) return omni_fail(error, "two bands have a block in common, or one has it twice");
      if (column < before) return omni_fail(error, "blocks out of order");
      if (to >= starts[g + 1]) return omni_fail(error, "the file was changed while it was read");
      before = column;
      columns[to] = (uint16_t)column;
      memcpy(values + (size_t)to * width, one->values + one->at * width, width);
    }
  }
  return true;
}

/* Blocks of bytes to groups of 4 with the bytes of each row together, and 128 times the sums of the rows. */
static void group_bytes(const packed_layer *layer, const int32_t *starts, int8_t *values, int32_t *sums) {
  for (int64_t g = 0; g < layer->groups; g++)
    for (int32_t j = starts[g]; j < starts[g + 1]; j += 4) {
      int8_t turned[4 * BLOCK_ROWS], *group = values + (int64_t)j * BLOCK_ROWS;
      for (int block = 0; block < 4; block++)
        for (int r = 0; r < BLOCK_ROWS; r++) {
          const int8_t value = group[block * BLOCK_ROWS + r];
          turned[r * 4 + block] = value;
          sums[g * BLOCK_ROWS + r] += 128 * value;
        }
      memcpy(group, turned, sizeof turned);
    }
}

/* Bias and scales, of rows filled up to whole blocks. */
static bool read_rest(const packed_file *file, const packed_layer *layer, omni_arena *arena, omni_layer *out,
                      omni_error *error) {
  const uint64_t rows = (uint64_t)layer->groups * BLOCK_ROWS;
  const float *rest = packed_section(file, &layer->rest, error);
  if (!rest) return false;
  float *bias = omni_take(arena, rows, sizeof *bias), *scales = omni_take(arena, rows, sizeof *scales);
  if (!bias || !scales) return omni_no_memory(error);
  memcpy(bias, rest, rows * sizeof *bias);
  for (uint64_t r = 0; r < rows; r++) scales[r] = layer->bytes ? rest[rows + r] : 1.0f;
  packed_section_done(file, &layer->rest);
  out->bias = bias;
  out->scales = scales;
  return true;
}

bool matrix_of_bands(const packed_file *file, const packed_layer *layer, int64_t bands, int byte_group,
                     omni_arena *arena, omni_layer *out, omni_error *error) {
  const uint64_t group = layer->bytes ? (uint64_t)byte_group : 1, groups = (uint64_t)layer->groups;
  *out = (omni_layer){.rows = layer->rows, .cols = layer->cols, .bytes = layer->bytes};
  reader *readers = omni_take(arena, (uint64_t)bands, sizeof *readers);
  int32_t *starts = omni_take(arena, groups + 1, sizeof *starts);
  int32_t *sums = omni_take(arena, groups * BLOCK_ROWS, sizeof *sums);
  if (!readers || !starts || !sums) return omni_no_memory(error);
  if (!read_rest(file, layer, arena, out, error)) return false;
  if (!open_bands(file, layer, bands, readers, error)) return false;
  if (!count_blocks(layer, bands, readers, group, starts, error)) return false;
  const uint64_t total = (uint64_t)starts[groups];
  uint16_t *columns = omni_take(arena, total, sizeof *columns);
  unsigned char *values = omni_take(arena, total, BLOCK_ROWS * (layer->bytes ? 1 : sizeof(float)));
  if (!columns || !values) return omni_no_memory(error);
  if (!merge(layer, bands, readers, starts, columns, values, error)) return false;
  for (int64_t i = 0; i < bands; i++) packed_section_done(file, &layer->bands[i].place);
  if (group == 4) group_bytes(layer, starts, (int8_t *)values, sums);
  out->starts = starts;
  out->columns = columns;
  out->values = values;
  out->sums = sums;
  return true;
}

bool matrix_of_convolution(const float *weight, const float *bias, int64_t rows, int64_t channels, int64_t width,
                           omni_arena *arena, omni_layer *out, omni_error *error) {
  const int64_t cols = channels * width, groups = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS, padded = groups * BLOCK_ROWS;
  if (cols > UINT16_MAX || groups * cols > INT32_MAX / BLOCK_ROWS) return omni_fail(error, "a convolution is too large");
  int32_t *starts = omni_take(arena, (uint64_t)groups + 1, sizeof *starts);
  uint16_t *columns = omni_take(arena, (uint64_t)(groups * cols), sizeof *columns);
  float *values = omni_take(arena, (uint64_t)(groups * cols), BLOCK_ROWS * sizeof *values);
  float *scales = omni_take(arena, (uint64_t)padded, sizeof *scales);
  float *biases = omni_take(arena, (uint64_t)padded, sizeof *biases);
  int32_t *sums = omni_take(arena, (uint64_t)padded, sizeof *sums);
  if (!starts || !columns || !values || !scales || !biases || !sums) return omni_no_memory(error);
  for (int64_t r = 0; r < padded; r++) scales[r] = 1.0f;
  if (bias) memcpy(biases, bias, (size_t)rows * sizeof *bias);
  for (int64_t g = 0; g < groups; g++) {
    starts[g + 1] = (int32_t)((g + 1) * cols);
    for (int64_t at = 0; at < cols; at++) {
      columns[g * cols + at] = (uint16_t)at;
      const int64_t offset = at % channels * width + at / channels;
      for (int64_t r = 0; r < BLOCK_ROWS && g * BLOCK_ROWS + r < rows; r++)
        values[(g * cols + at) * BLOCK_ROWS + r] = weight[(g * BLOCK_ROWS + r) * cols + offset];
    }
  }
  *out = (omni_layer){.starts = starts, .columns = columns, .values = values, .scales = scales, .bias = biases,
                      .sums = sums, .rows = rows, .cols = cols};
  return true;
}
