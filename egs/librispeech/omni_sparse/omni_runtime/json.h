/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON texts (RFC 8259), such as the header of a packed file.
 */
#ifndef OMNI_JSON_H
#define OMNI_JSON_H

#include "common.h"

typedef enum { JSON_NULL, JSON_BOOL, JSON_WHOLE, JSON_REAL, JSON_TEXT, JSON_LIST, JSON_OBJECT } json_kind;

typedef struct json {
  json_kind kind;
  const char *key;  /* in an object */
  const char *text; /* UTF-8 */
  int64_t whole;    /* of JSON_WHOLE: numbers without fraction and exponent; 0 or 1 of JSON_BOOL */
  double real;      /* of either number */
  struct json *first, *next;
  int64_t count; /* of a list or an object */
} json;

/* The value that a text of so many bytes is, which a 0 must follow; it is changed, and pointed into. NULL: it is not
   JSON, nested too deeply, or there is no memory. NaN and Infinity are taken for numbers, as Python writes them. */
const json *omni_json(char *text, size_t size, omni_arena *arena, omni_error *error);

/* An object's value, the last of several; NULL if it has none or is no object. */
const json *omni_json_get(const json *object, const char *key);

/* A whole number between bounds; what says what it is. */
bool omni_json_whole(const json *value, const char *what, int64_t least, int64_t most, int64_t *out, omni_error *error);

/* The same of a member. */
bool omni_json_member(const json *object, const char *key, int64_t least, int64_t most, int64_t *out, omni_error *error);

/* A member that is a text; NULL if it is none. */
const char *omni_json_text(const json *object, const char *key);

/* A member that is a finite number; false if it is none. */
bool omni_json_number(const json *object, const char *key, double *out);

/* The decimal number that a text begins with, in any locale; where it ends, or NULL. */
const char *omni_decimal(const char *text, double *value);

#endif
