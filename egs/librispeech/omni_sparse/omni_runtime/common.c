/* SPDX-License-Identifier: Apache-2.0 */
#include "common.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool omni_fail(omni_error *error, const char *format, ...) {
  if (error) {
    va_list values;
    va_start(values, format);
    vsnprintf(error->text, sizeof error->text, format, values);
    va_end(values);
    for (char *c = error->text; *c; c++)
      if ((unsigned char)*c < ' ' || *c == 127) *c = ' '; /* a file's names may hold anything; it is one line */
  }
  return false;
}

bool omni_no_memory(omni_error *error) { return omni_fail(error, "no memory is left"); }

#define ALIGNMENT 64

typedef struct omni_piece {
  struct omni_piece *before;
} piece;

void *omni_take(omni_arena *arena, uint64_t count, uint64_t size) {
  const uint64_t most = SIZE_MAX / 2 - 2 * ALIGNMENT;
  if (size && count > most / size) return NULL;
  const size_t bytes = ((size_t)(count * size) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + ALIGNMENT;
  piece *made = aligned_alloc(ALIGNMENT, bytes);
  if (!made) return NULL;
  memset(made, 0, bytes);
  made->before = arena->last;
  arena->last = made;
  return (char *)made + ALIGNMENT;
}

void omni_free(omni_arena *arena) {
  while (arena->last) {
    piece *one = arena->last;
    arena->last = one->before;
    free(one);
  }
}

void *omni_reserve(void *array, size_t wanted, size_t *room, size_t size) {
  size_t more = *room ? *room : 64;
  if (wanted <= *room) return array;
  while (more < wanted && more <= SIZE_MAX / 4) more *= 2;
  void *moved = more >= wanted && more <= SIZE_MAX / 2 / size ? realloc(array, more * size) : NULL;
  if (moved) *room = more;
  return moved;
}
