/* SPDX-License-Identifier: Apache-2.0
 *
 * What all files of the library share: one way to tell what went wrong, and memory that is freed together.
 */
#ifndef OMNI_COMMON_H
#define OMNI_COMMON_H

#include "omni_runtime.h"

/* Writes what went wrong to *error, which may be NULL; false. */
bool omni_fail(omni_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for memory that there is not. */
bool omni_no_memory(omni_error *error);

/* Memory that is freed together; all zero at first. */
typedef struct {
  struct omni_piece *last;
} omni_arena;

/* count times size bytes, zeroed, at a multiple of 64; NULL if there is no memory. */
void *omni_take(omni_arena *arena, uint64_t count, uint64_t size);
void omni_free(omni_arena *arena);

/* The array, moved where it has no room for so many elements (at least 1); NULL, and all as before, if there is no
   memory. For free. */
void *omni_reserve(void *array, size_t wanted, size_t *room, size_t size);

#endif
