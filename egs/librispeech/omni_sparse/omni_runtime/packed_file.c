/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE /* madvise */
#include "packed_file.h"

#include "checksum.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#ifndef __wasm__ /* where there are no files, only memory */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "packed files are little-endian, and so must be the machine that reads them"
#endif

#define NEWEST 2 /* version; in the first no sub-network has values of its own */
#define START 20 /* bytes: magic, version, bytes of the JSON text that follows, its CRC-32 */
#define ALIGNMENT 64
#define MOST_COLUMNS 65535
#define LARGEST_HEADER (1 << 26)
#define LARGEST ((int64_t)1 << 62)

static uint32_t number_at(const unsigned char *data) {
  uint32_t value;
  memcpy(&value, data, sizeof value);
  return value;
}

static bool read_section(const packed_file *file, const json *offset, const json *checksum, uint64_t size,
                         section *place, omni_error *error) {
  int64_t at, sum;
  if (!omni_json_whole(offset, "an offset", 0, LARGEST, &at, error)) return false;
  if (!omni_json_whole(checksum, "a checksum", 0, UINT32_MAX, &sum, error)) return false;
  const uint64_t all = file->size - file->begin;
  if (at % ALIGNMENT || (uint64_t)at > all || size > all - (uint64_t)at)
    return omni_fail(error, "a section of %" PRIu64 " bytes at %" PRId64 " of %" PRIu64, size, at, all);
  *place = (section){(uint64_t)at, size, (uint32_t)sum};
  return true;
}

/* The values of a list of so many; false if it is none. */
static bool items_of(const json *list, const json **items, int64_t count, const char *what, omni_error *error) {
  if (!list || list->kind != JSON_LIST || list->count != count) return omni_fail(error, "%s is of another form", what);
  for (const json *item = list->first; item; item = item->next) *items++ = item;
  return true;
}

static bool is_list(const json *value) { return value && value->kind == JSON_LIST; }

static bool read_layer(packed_file *file, const json *value, packed_layer *layer, omni_error *error) {
  const json *part[6], *rest[2];
  if (!items_of(value, part, 6, "a layer", error)) return false;
  if (part[0]->kind != JSON_TEXT || part[3]->kind != JSON_TEXT || !is_list(part[5]))
    return omni_fail(error, "a layer is of another form");
  layer->name = part[0]->text;
  /* No file has room for the counts of more rows, so that sizes stay within 64 bits. */
  if (!omni_json_whole(part[1], "a number of rows", 1, (int64_t)1 << 40, &layer->rows, error)) return false;
  if (!omni_json_whole(part[2], "a number of columns", 1, MOST_COLUMNS, &layer->cols, error)) return false;
  layer->bytes = !strcmp(part[3]->text, "int8");
  if (!layer->bytes && strcmp(part[3]->text, "float32")) return omni_fail(error, "type '%.60s' is unknown", part[3]->text);
  layer->groups = (layer->rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
  const uint64_t groups = (uint64_t)layer->groups;
  if (!items_of(part[4], rest, 2, "a place", error)) return false;
  if (!read_section(file, rest[0], rest[1], groups * BLOCK_ROWS * 4 * (layer->bytes ? 2 : 1), &layer->rest, error))
    return false;
  layer->num_bands = part[5]->count;
  layer->bands = omni_take(&file->arena, (uint64_t)layer->num_bands, sizeof *layer->bands);
  if (!layer->bands) return omni_no_memory(error);
  packed_band *band = layer->bands;
  for (const json *one = part[5]->first; one; one = one->next, band++) {
    const json *of[3];
    int64_t blocks;
    if (!items_of(one, of, 3, "a band", error)) return false;
    if (!omni_json_whole(of[0], "a number of blocks", 0, layer->groups * layer->cols, &blocks, error)) return false;
    band->blocks = (uint64_t)blocks;
    const uint64_t size = band->blocks * (BLOCK_ROWS * (layer->bytes ? 1 : 4) + 2) + 2 * groups;
    if (!read_section(file, of[1], of[2], size, &band->place, error)) return false;
  }
  return true;
}

static int type_size(const char *type) {
  static const struct {
    const char *name;
    int size;
  } types[] = {{"float32", 4}, {"float16", 2}, {"bfloat16", 2}, {"float64", 8}, {"int64", 8},
               {"int32", 4},   {"int16", 2},   {"int8", 1},     {"uint8", 1},   {"bool", 1}};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (!strcmp(types[i].name, type)) return types[i].size;
  return 0;
}

static bool read_tensor(packed_file *file, const json *value, packed_tensor *tensor, omni_error *error) {
  const json *part[4], *place[2];
  if (!items_of(value, part, 4, "a tensor", error) || !items_of(part[3], place, 2, "a place", error)) return false;
  if (part[0]->kind != JSON_TEXT || part[1]->kind != JSON_TEXT || !is_list(part[2]) || part[2]->count > MOST_DIMS)
    return omni_fail(error, "a tensor is of another form");
  tensor->name = part[0]->text;
  const int size = type_size(part[1]->text);
  if (!size) return omni_fail(error, "type '%.60s' is unknown", part[1]->text);
  tensor->type = part[1]->text;
  tensor->is_float32 = !strcmp(tensor->type, "float32");
  uint64_t bytes = (uint64_t)size;
  for (const json *dim = part[2]->first; dim; dim = dim->next) {
    int64_t *length = &tensor->shape[tensor->num_dims++];
    if (!omni_json_whole(dim, "a length", 0, LARGEST, length, error)) return false;
    if (*length && bytes > (uint64_t)LARGEST / (uint64_t)*length) return omni_fail(error, "a tensor that is too large");
    bytes *= (uint64_t)*length;
  }
  return read_section(file, place[0], place[1], bytes, &tensor->place, error);
}

static bool read_subnet(packed_file *file, const json *value, int64_t least, packed_subnet *subnet, omni_error *error) {
  subnet->name = value->key;
  if (!is_list(value) || value->count != file->num_layers) return omni_fail(error, "a sub-network is of another form");
  int64_t *number = omni_take(&file->arena, (uint64_t)file->num_layers, sizeof *number);
  if (!number) return omni_no_memory(error);
  subnet->numbers = number;
  const packed_layer *layer = file->layers;
  for (const json *one = value->first; one; one = one->next, layer++, number++)
    if (!omni_json_whole(one, "a number of bands", least, layer->num_bands, number, error)) return false;
  return true;
}

static int compare_names(const void *a, const void *b) {
  return strcmp(((const packed_name *)a)->name, ((const packed_name *)b)->name);
}

static bool sort_names(packed_name *names, int64_t count, omni_error *error) {
  qsort(names, (size_t)count, sizeof *names, compare_names);
  for (int64_t i = 1; i < count; i++)
    if (!strcmp(names[i - 1].name, names[i].name)) return omni_fail(error, "two of its parts have the same name");
  return true;
}

/* The number that a name has among sorted ones, or -1. */
static int64_t number_of(const packed_name *names, int64_t count, const char *name) {
  const packed_name wanted = {.name = name};
  const packed_name *found = count ? bsearch(&wanted, names, (size_t)count, sizeof *names, compare_names) : NULL;
  return found ? found->number : -1;
}

/* Sort the names of parts, and of *subnets; no two may be the same. */
static bool name_parts(packed_file *file, packed_name **subnets, omni_error *error) {
  const int64_t parts = file->num_layers + file->num_tensors;
  file->parts = omni_take(&file->arena, (uint64_t)parts, sizeof *file->parts);
  file->stand_for = omni_take(&file->arena, (uint64_t)parts, sizeof *file->stand_for);
  *subnets = omni_take(&file->arena, (uint64_t)file->num_subnets, sizeof **subnets);
  if (!file->parts || !file->stand_for || !*subnets) return omni_no_memory(error);
  for (int64_t i = 0; i < parts; i++) {
    const int64_t tensor = i - file->num_layers;
    file->parts[i] = (packed_name){tensor < 0 ? file->layers[i].name : file->tensors[tensor].name, i};
  }
  for (int64_t i = 0; i < file->num_subnets; i++) (*subnets)[i] = (packed_name){file->subnets[i].name, i};
  return sort_names(file->parts, parts, error) && sort_names(*subnets, file->num_subnets, error);
}

/* Whether one part can take the place of another. */
static bool are_alike(const packed_file *file, int64_t one, int64_t other) {
  const int64_t layers = file->num_layers;
  if (one >= layers && other >= layers) {
    const packed_tensor *a = &file->tensors[one - layers], *b = &file->tensors[other - layers];
    return !strcmp(a->type, b->type) && a->num_dims == b->num_dims && !memcmp(a->shape, b->shape, sizeof a->shape);
  }
  if (one >= layers || other >= layers) return false;
  const packed_layer *a = &file->layers[one], *b = &file->layers[other];
  return a->rows == b->rows && a->cols == b->cols && a->bytes == b->bytes;
}

/* The values that a sub-network has of its own. */
static bool read_own(packed_file *file, const json *value, packed_subnet *subnet, omni_error *error) {
  const int64_t parts = file->num_layers + file->num_tensors;
  if (value->kind != JSON_OBJECT) return omni_fail(error, "a sub-network's own values are of another form");
  if (subnet->own) return omni_fail(error, "two members of it have the same name");
  subnet->num_own = value->count;
  packed_name *own = subnet->own = omni_take(&file->arena, (uint64_t)value->count, sizeof *subnet->own);
  if (!own) return omni_no_memory(error);
  for (const json *one = value->first; one; one = one->next, own++) {
    if (one->kind != JSON_TEXT) return omni_fail(error, "a sub-network's own values are of another form");
    const int64_t part = number_of(file->parts, parts, one->key), stored = number_of(file->parts, parts, one->text);
    if (part < 0 || stored < 0)
      return omni_fail(error, "values of '%.60s', which is none of its parts", part < 0 ? one->key : one->text);
    if (!are_alike(file, part, stored))
      return omni_fail(error, "'%.60s' is of another form than '%.60s'", one->text, one->key);
    const char **is_of = &file->stand_for[stored];
    if (*is_of && strcmp(*is_of, one->key)) return omni_fail(error, "'%.60s' stands for two parts", one->text);
    *is_of = one->key;
    *own = (packed_name){one->key, stored};
  }
  return sort_names(subnet->own, subnet->num_own, error);
}

/* The number of a part as a sub-network has it; -1 if it has none of this name. */
static int64_t part_of(const packed_file *file, const packed_subnet *subnet, const char *name) {
  const int64_t own = number_of(subnet->own, subnet->num_own, name);
  const int64_t part = number_of(file->parts, file->num_layers + file->num_tensors, name);
  if (part < 0 || file->stand_for[part]) return -1;
  return own < 0 ? part : own;
}

/* Whether each sub-network uses bands of the layers that are its own, and of no other ones. */
static bool uses_its_layers(const packed_file *file, const packed_subnet *subnet, omni_error *error) {
  for (int64_t i = 0; i < file->num_layers; i++) {
    const char *name = file->layers[i].name, *part = file->stand_for[i] ? file->stand_for[i] : name;
    const bool is_used = part_of(file, subnet, part) == i;
    if (is_used != (subnet->numbers[i] > 0))
      return omni_fail(error, "'%.60s' uses %" PRId64 " bands of '%.60s'", subnet->name, subnet->numbers[i], name);
  }
  return true;
}

static bool read_all_own(packed_file *file, const json *own, const packed_name *subnets, omni_error *error) {
  if (!own || own->kind != JSON_OBJECT) return omni_fail(error, "it lacks a part");
  for (const json *one = own->first; one; one = one->next) {
    const int64_t subnet = number_of(subnets, file->num_subnets, one->key);
    if (subnet < 0) return omni_fail(error, "values of '%.60s', which is no sub-network", one->key);
    if (!read_own(file, one, &file->subnets[subnet], error)) return false;
  }
  const int64_t parts = file->num_layers + file->num_tensors;
  for (int64_t i = 0; i < parts; i++) {
    const char *is_of = file->stand_for[i];
    if (is_of && file->stand_for[number_of(file->parts, parts, is_of)])
      return omni_fail(error, "'%.60s' stands for a part, and others for it", is_of);
  }
  for (int64_t i = 0; i < file->num_subnets; i++)
    if (!uses_its_layers(file, &file->subnets[i], error)) return false;
  return true;
}

/* An array for the values of a list or an object. */
static void *array_for(packed_file *file, const json *value, size_t size, int64_t *count) {
  *count = value->count;
  return omni_take(&file->arena, (uint64_t)value->count, size);
}

static bool read_parts(packed_file *file, const json *header, uint32_t version, omni_error *error) {
  const json *layers = omni_json_get(header, "layers"), *tensors = omni_json_get(header, "tensors");
  const json *subnets = omni_json_get(header, "subnets");
  file->meta = omni_json_get(header, "meta");
  if (!is_list(layers) || !is_list(tensors) || !subnets || subnets->kind != JSON_OBJECT || !file->meta)
    return omni_fail(error, "it lacks a part");
  file->layers = array_for(file, layers, sizeof *file->layers, &file->num_layers);
  file->tensors = array_for(file, tensors, sizeof *file->tensors, &file->num_tensors);
  file->subnets = array_for(file, subnets, sizeof *file->subnets, &file->num_subnets);
  if (!file->layers || !file->tensors || !file->subnets) return omni_no_memory(error);
  int64_t i = 0;
  for (const json *one = layers->first; one; one = one->next)
    if (!read_layer(file, one, &file->layers[i++], error)) return false;
  i = 0;
  for (const json *one = tensors->first; one; one = one->next)
    if (!read_tensor(file, one, &file->tensors[i++], error)) return false;
  i = 0;
  for (const json *one = subnets->first; one; one = one->next)
    if (!read_subnet(file, one, version == 1, &file->subnets[i++], error)) return false;
  if (!file->num_subnets) return omni_fail(error, "it has no sub-network");
  packed_name *names;
  if (!name_parts(file, &names, error)) return false;
  return version == 1 || read_all_own(file, omni_json_get(header, "own"), names, error);
}

bool packed_file_read(packed_file *file, const void *data, size_t size, omni_error *error) {
  file->is_there = true;
  file->data = data;
  file->size = size;
  if (size < START || memcmp(data, "OMNIPACK", 8)) return omni_fail(error, "it is no packed file");
  const uint32_t version = number_at(file->data + 8), length = number_at(file->data + 12);
  if (version < 1 || version > NEWEST)
    return omni_fail(error, "it is of version %" PRIu32 "; this program reads versions 1 and %d", version, NEWEST);
  if (length > size - START || length > LARGEST_HEADER ||
      !checksum_fits(file->data + START, length, number_at(file->data + 16)))
    return omni_fail(error, "its header is damaged");
  char *text = omni_take(&file->arena, (uint64_t)length + 1, 1);
  if (!text) return omni_no_memory(error);
  memcpy(text, file->data + START, length);
  file->begin = START + length;
  omni_error why;
  int64_t told = 0;
  const json *header = omni_json(text, length, &file->arena, &why);
  if (!header || !omni_json_member(header, "size", 0, LARGEST, &told, &why))
    return omni_fail(error, "its header is impossible: %.200s", why.text);
  if (file->begin % ALIGNMENT || (uint64_t)told != size - file->begin)
    return omni_fail(error, "it has %zu bytes where its header tells of %" PRIu64, size, file->begin + (uint64_t)told);
  if (!read_parts(file, header, version, &why)) return omni_fail(error, "its header is impossible: %.200s", why.text);
  return true;
}

#ifdef __wasm__
bool packed_file_open(packed_file *file, const char *path, omni_error *error) {
  (void)file, (void)path;
  return omni_fail(error, "there are no files here; omni_model_open_memory takes the bytes of one");
}

void packed_file_close(packed_file *file) { omni_free(&file->arena); }
#else
bool packed_file_open(packed_file *file, const char *path, omni_error *error) {
  const int handle = open(path, O_RDONLY | O_CLOEXEC);
  struct stat about;
  if (handle < 0 || fstat(handle, &about)) {
    const int number = errno;
    if (handle >= 0) close(handle);
    return omni_fail(error, "cannot be read (%s)", strerror(number));
  }
  file->is_there = S_ISREG(about.st_mode);
  if (!file->is_there || about.st_size < START || (uint64_t)about.st_size > SIZE_MAX / 2) {
    close(handle);
    return omni_fail(error, S_ISDIR(about.st_mode) ? "cannot be read (Is a directory)" : "it is no packed file");
  }
  const size_t size = (size_t)about.st_size;
  void *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, handle, 0);
  const int number = errno;
  close(handle);
  if (map == MAP_FAILED) return omni_fail(error, "cannot be read (%s)", strerror(number));
  file->map = map;
  return packed_file_read(file, map, size, error);
}

void packed_file_close(packed_file *file) {
  if (file->map) munmap(file->map, file->size);
  omni_free(&file->arena);
}
#endif

const void *packed_section(const packed_file *file, const section *place, omni_error *error) {
  const unsigned char *data = file->data + file->begin + place->offset;
  if (!checksum_fits(data, (size_t)place->size, place->checksum)) {
    omni_fail(error, "%" PRIu64 " bytes at %" PRIu64 " are damaged", place->size, place->offset);
    return NULL;
  }
  return data;
}

void packed_section_done(const packed_file *file, const section *place) {
#ifdef MADV_DONTNEED
  if (!file->map) return;
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  const uintptr_t first = (uintptr_t)(file->data + file->begin + place->offset), begin = first / page * page;
  /* What else is on its pages is read anew when it is wanted. */
  madvise((void *)begin, (size_t)(first - begin + place->size), MADV_DONTNEED);
#else
  (void)file, (void)place;
#endif
}

int64_t packed_find_layer(const packed_file *file, int64_t subnet, const char *name, int64_t rows, int64_t cols,
                          omni_error *error) {
  const int64_t found = part_of(file, &file->subnets[subnet], name);
  if (found < 0 || found >= file->num_layers) return omni_fail(error, "it has no layer %s", name), -1;
  const packed_layer *layer = &file->layers[found];
  if (layer->rows == rows && layer->cols == cols) return found;
  omni_fail(error, "%s is of shape (%" PRId64 ", %" PRId64 ") and not (%" PRId64 ", %" PRId64 ")", name, layer->rows,
            layer->cols, rows, cols);
  return -1;
}

const float *packed_floats(packed_file *file, int64_t subnet, const char *name, uint64_t count, omni_error *error) {
  const int64_t found = part_of(file, &file->subnets[subnet], name) - file->num_layers;
  packed_tensor *tensor = found < 0 ? NULL : &file->tensors[found];
  if (!tensor || !tensor->is_float32 || tensor->place.size != count * sizeof(float))
    return omni_fail(error, "it has no tensor %s of %" PRIu64 " float32", name, count), NULL;
  if (tensor->copy) return tensor->copy;
  const void *data = packed_section(file, &tensor->place, error);
  if (!data) return NULL;
  float *copy = omni_take(&file->arena, count, sizeof *copy);
  if (!copy) return omni_no_memory(error), NULL;
  tensor->copy = memcpy(copy, data, count * sizeof *copy);
  packed_section_done(file, &tensor->place);
  return tensor->copy;
}
