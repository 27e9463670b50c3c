/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed files, as ../omni_plugin/runtime/header.py and packed_file.py write them (README.md describes them).
 */
#ifndef OMNI_PACKED_FILE_H
#define OMNI_PACKED_FILE_H

#include "json.h"

#define BLOCK_ROWS 8

/* Bytes of the file, counted from the end of its header, and their CRC-32. */
typedef struct {
  uint64_t offset, size;
  uint32_t checksum;
} section;

typedef struct {
  uint64_t blocks;
  section place;
} packed_band;

/* A matrix and where its parts are; groups are block rows. */
typedef struct {
  const char *name;
  int64_t rows, cols, groups;
  bool bytes; /* values are int8, else float32 */
  section rest;
  packed_band *bands;
  int64_t num_bands;
} packed_layer;

#define MOST_DIMS 8

typedef struct {
  const char *name;
  bool is_float32;
  int num_dims;
  int64_t shape[MOST_DIMS];
  section place;
  const char *type;
  const float *copy; /* once packed_floats was asked for it */
} packed_tensor;

/* A name and what it stands for. Parts are numbered: layers, then tensors. */
typedef struct {
  const char *name;
  int64_t number;
} packed_name;

typedef struct {
  const char *name;
  const int64_t *numbers; /* bands of each layer that it uses; 0 of one that is another's */
  packed_name *own;       /* parts that it has values of its own of, by name, and which parts these are */
  int64_t num_own;
} packed_subnet;

typedef struct {
  const unsigned char *data; /* the whole file */
  size_t size, begin;        /* of the file, and where its sections begin */
  void *map;                 /* what is to be unmapped, or NULL */
  bool is_there;             /* whatever it holds */
  const json *meta;
  packed_layer *layers;
  packed_tensor *tensors;
  packed_subnet *subnets;
  int64_t num_layers, num_tensors, num_subnets;
  packed_name *parts;     /* by name */
  const char **stand_for; /* of each part, what it is a sub-network's own values of; NULL of most */
  omni_arena arena;
} packed_file;

/* Map a file, and read its header; packed_file_close even if it fails. */
bool packed_file_open(packed_file *file, const char *path, omni_error *error);

/* The same of a file in memory. */
bool packed_file_read(packed_file *file, const void *data, size_t size, omni_error *error);

void packed_file_close(packed_file *file);

/* The bytes of a section; NULL if they are damaged. */
const void *packed_section(const packed_file *file, const section *place, omni_error *error);

/* The section was copied: of a mapped file its pages may leave memory, until it is read again. */
void packed_section_done(const packed_file *file, const section *place);

/* The number of a sub-network's layer; -1 if it has none of this name and shape. */
int64_t packed_find_layer(const packed_file *file, int64_t subnet, const char *name, int64_t rows, int64_t cols,
                          omni_error *error);

/* A copy of a sub-network's float32 tensor of so many elements in all, the same at each call; NULL if it has none, or it
   is damaged. One thread at a time. */
const float *packed_floats(packed_file *file, int64_t subnet, const char *name, uint64_t count, omni_error *error);

#endif
