/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEEPEST 64
#define NODES 256 /* that are allocated at once */

typedef struct {
  char *at;
  const char *end; /* where the 0 is */
  omni_arena *arena;
  json *nodes;
  int left;
  const char *problem; /* the first */
} parser;

static bool problem(parser *p, const char *what) {
  if (!p->problem) p->problem = what;
  return false;
}

static json *new_node(parser *p) {
  if (!p->left) {
    p->nodes = omni_take(p->arena, NODES, sizeof(json));
    p->left = NODES;
  }
  if (!p->nodes) return NULL;
  p->left--;
  return p->nodes++;
}

static void skip_space(parser *p) {
  while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r') p->at++;
}

static bool take(parser *p, const char *word) {
  const size_t length = strlen(word);
  if (strncmp(p->at, word, length)) return false;
  p->at += length;
  return true;
}

/* 4 hexadecimal digits; -1 if there are none. */
static long four_digits(const char *at) {
  long value = 0;
  for (int i = 0; i < 4; i++) {
    const char c = at[i], low = (char)(c | 32);
    if (c >= '0' && c <= '9') value = value * 16 + (c - '0');
    else if (low >= 'a' && low <= 'f') value = value * 16 + (low - 'a' + 10);
    else return -1;
  }
  return value;
}

static char *put_utf8(char *out, long code) {
  if (code < 0x80) {
    *out++ = (char)code;
  } else if (code < 0x800) {
    *out++ = (char)(0xc0 | code >> 6);
    *out++ = (char)(0x80 | (code & 63));
  } else if (code < 0x10000) {
    *out++ = (char)(0xe0 | code >> 12);
    *out++ = (char)(0x80 | (code >> 6 & 63));
    *out++ = (char)(0x80 | (code & 63));
  } else {
    *out++ = (char)(0xf0 | code >> 18);
    *out++ = (char)(0x80 | (code >> 12 & 63));
    *out++ = (char)(0x80 | (code >> 6 & 63));
    *out++ = (char)(0x80 | (code & 63));
  }
  return out;
}

/* Bytes of the UTF-8 character at a place; 0 if there is none (RFC 3629). */
static int utf8_length(const unsigned char *c) {
  if (c[0] < 0x80) return 1;
  const int length = c[0] >= 0xc2 && c[0] < 0xe0 ? 2 : c[0] >= 0xe0 && c[0] < 0xf0 ? 3 : c[0] >= 0xf0 && c[0] < 0xf5 ? 4 : 0;
  for (int i = 1; i < length; i++)
    if ((c[i] & 0xc0) != 0x80) return 0;
  if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f)) return 0;
  if ((c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f)) return 0;
  return length;
}

/* After \u: a character, which may take two escapes. */
static long escaped_character(parser *p) {
  const long first = four_digits(p->at);
  if (first <= 0) return -1; /* a 0 would end the text */
  p->at += 4;
  if (first < 0xd800 || first > 0xdfff) return first;
  if (first > 0xdbff || p->at[0] != '\\' || p->at[1] != 'u') return -1;
  const long second = four_digits(p->at + 2);
  if (second < 0xdc00 || second > 0xdfff) return -1;
  p->at += 6;
  return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
}

/* After the first quote. What is unescaped is never longer, and is written over what was read. */
static const char *parse_text(parser *p) {
  static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
  char *const begin = p->at, *out = begin;
  while (*p->at != '"') {
    if ((unsigned char)*p->at < ' ') return problem(p, "a text that does not end"), NULL;
    if (*p->at != '\\') {
      const int length = utf8_length((unsigned char *)p->at);
      if (!length) return problem(p, "a text that is no UTF-8"), NULL;
      for (int i = 0; i < length; i++) *out++ = *p->at++;
      continue;
    }
    p->at++;
    const char *found = *p->at ? strchr(escapes, *p->at) : NULL;
    if (found) {
      *out++ = meant[found - escapes];
      p->at++;
    } else if (*p->at == 'u') {
      p->at++;
      const long code = escaped_character(p);
      if (code < 0) return problem(p, "a character that is none"), NULL;
      out = put_utf8(out, code);
    } else {
      return problem(p, "an escape that is none"), NULL;
    }
  }
  p->at++;
  *out = 0;
  return begin;
}

/* Digits at *at, which goes to their end, appended to a number; how many they are. */
static int digits(const char **at, double *value) {
  int number = 0;
  for (; **at >= '0' && **at <= '9'; ++*at, number++) *value = *value * 10 + (**at - '0');
  return number;
}

const char *omni_decimal(const char *text, double *value) {
  const char *at = text;
  const bool negative = *at == '-';
  double found = 0, exponent = 0;
  at += negative;
  const char *first = at;
  int fraction = 0;
  if (!digits(&at, &found) || (*first == '0' && at > first + 1)) return NULL;
  if (*at == '.') {
    at++;
    if (!(fraction = digits(&at, &found))) return NULL;
  }
  if (*at == 'e' || *at == 'E') {
    at++;
    const bool down = *at == '-';
    at += down || *at == '+';
    if (!digits(&at, &exponent)) return NULL;
    if (down) exponent = -exponent;
  }
  exponent -= fraction;
  found = exponent < 0 ? found / pow(10, -exponent) : found * pow(10, exponent);
  *value = negative ? -found : found;
  return at;
}

static bool parse_number(parser *p, json *node) {
  const char *begin = p->at;
  const bool negative = *begin == '-';
  node->kind = JSON_REAL;
  if (!strncmp(begin + negative, "Infinity", 8) || !strncmp(begin + negative, "NaN", 3)) {
    node->real = NAN;
    p->at += negative + (begin[negative] == 'N' ? 3 : 8);
    return true;
  }
  const char *end = omni_decimal(begin, &node->real);
  if (!end) return problem(p, "a value that is none");
  p->at += end - begin;
  /* What 64 bits cannot hold is no number of ours. */
  if (strcspn(begin, ".eE") >= (size_t)(end - begin) && end - begin < 19) {
    node->kind = JSON_WHOLE;
    node->whole = strtoll(begin, NULL, 10);
  }
  return true;
}

static json *parse_value(parser *p, int depth);

/* After the first bracket: values up to the last one, in an object with keys. */
static bool parse_items(parser *p, json *node, char last, int depth) {
  json **end = &node->first;
  skip_space(p);
  if (*p->at == last) return p->at++, true;
  while (true) {
    const char *key = NULL;
    skip_space(p);
    if (last == '}') {
      if (*p->at++ != '"' || !(key = parse_text(p))) return problem(p, "a key that is none");
      skip_space(p);
      if (*p->at++ != ':') return problem(p, "a key without a value");
    }
    json *item = parse_value(p, depth + 1);
    if (!item) return false;
    item->key = key;
    *end = item;
    end = &item->next;
    node->count++;
    skip_space(p);
    const char c = *p->at++;
    if (c == last) return true;
    if (c != ',') return problem(p, "a list that does not end");
  }
}

static json *parse_value(parser *p, int depth) {
  json *node = new_node(p);
  if (!node) return problem(p, "no memory is left"), NULL;
  if (depth > DEEPEST) return problem(p, "it is nested too deeply"), NULL;
  skip_space(p);
  bool good = true;
  if (*p->at == '{' || *p->at == '[') {
    node->kind = *p->at == '{' ? JSON_OBJECT : JSON_LIST;
    p->at++;
    good = parse_items(p, node, node->kind == JSON_OBJECT ? '}' : ']', depth);
  } else if (*p->at == '"') {
    p->at++;
    node->kind = JSON_TEXT;
    good = (node->text = parse_text(p)) != NULL;
  } else if (take(p, "true")) {
    node->kind = JSON_BOOL, node->whole = 1;
  } else if (take(p, "false")) {
    node->kind = JSON_BOOL;
  } else if (!take(p, "null")) {
    good = parse_number(p, node);
  }
  return good ? node : NULL;
}

const json *omni_json(char *text, size_t size, omni_arena *arena, omni_error *error) {
  parser p = {.at = text, .end = text + size, .arena = arena};
  const json *value = parse_value(&p, 0);
  if (value) {
    skip_space(&p);
    if (p.at != p.end) value = NULL, problem(&p, "more than one value");
  }
  if (!value) omni_fail(error, "%s", p.problem);
  return value;
}

const json *omni_json_get(const json *object, const char *key) {
  const json *found = NULL;
  if (object && object->kind == JSON_OBJECT)
    for (const json *item = object->first; item; item = item->next)
      if (!strcmp(item->key, key)) found = item;
  return found;
}

bool omni_json_whole(const json *value, const char *what, int64_t least, int64_t most, int64_t *out, omni_error *error) {
  if (!value || value->kind != JSON_WHOLE || value->whole < least || value->whole > most)
    return omni_fail(error, "%.60s is no whole number from %" PRId64 " to %" PRId64, what, least, most);
  *out = value->whole;
  return true;
}

bool omni_json_member(const json *object, const char *key, int64_t least, int64_t most, int64_t *out,
                      omni_error *error) {
  return omni_json_whole(omni_json_get(object, key), key, least, most, out, error);
}

const char *omni_json_text(const json *object, const char *key) {
  const json *value = omni_json_get(object, key);
  return value && value->kind == JSON_TEXT ? value->text : NULL;
}

bool omni_json_number(const json *object, const char *key, double *out) {
  const json *value = omni_json_get(object, key);
  if (!value || (value->kind != JSON_WHOLE && value->kind != JSON_REAL) || !isfinite(value->real)) return false;
  *out = value->real;
  return true;
}
