/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream as bytes: a start, then all that it remembers, in the order of exchange(). Numbers are little-endian, and
 * none depends on the machine.
 */
#include "checksum.h"
#include "endpoint.h"
#include "stream.h"

#include <string.h>

#define VERSION 1
#define MOST_SAMPLES ((int64_t)1 << 60)

#define MAGIC "OMNISTRM"

typedef struct {
  char magic[8];
  uint32_t version, checksum; /* CRC-32 of all that follows */
  uint64_t fingerprint;       /* of the model */
  int32_t level, beam_size;
} start;

_Static_assert(sizeof(start) == 32 && sizeof(emission) == 24, "the form of what is saved");
_Static_assert(sizeof(int) == 4 && sizeof(stream_phase) == 4, "the form of what is saved");

/* Bytes on their way out or in; if there are none, they are counted. */
typedef struct {
  unsigned char *to;
  const unsigned char *from;
  size_t at, size;
  bool is_bad; /* bytes are missing, or there is no memory, or a number is impossible */
} archive;

static void pass(archive *a, void *value, size_t size) {
  if (!size) return;
  if (a->to) memcpy(a->to + a->at, value, size);
  if (a->from && (a->is_bad = a->is_bad || size > a->size - a->at)) return;
  if (a->from) memcpy(value, a->from + a->at, size);
  a->at += size;
}

static void pass_bool(archive *a, bool *value) {
  uint32_t number = *value;
  pass(a, &number, sizeof number);
  *value = number;
}

/* A number of elements that follow, from `least` to `most`. */
static void pass_count(archive *a, uint64_t *count, uint64_t least, uint64_t most) {
  pass(a, count, sizeof *count);
  if (*count >= least && *count <= most) return;
  a->is_bad = true;
  *count = least;
}

static void exchange_search(archive *a, search *s, const model_config *c) {
  uint64_t hypotheses = (uint64_t)s->num_hypotheses, count = s->pool.count;
  pass(a, &s->begin, sizeof s->begin);
  pass(a, &s->num_frames, sizeof s->num_frames);
  pass_bool(a, &s->is_predicted);
  pass_count(a, &hypotheses, 1, (uint64_t)s->beam_size);
  s->num_hypotheses = (int)hypotheses;
  for (uint64_t i = 0; i < hypotheses; i++) {
    hypothesis *one = &s->hypotheses[i];
    pass(a, &one->score, sizeof one->score);
    pass(a, &one->last, sizeof one->last);
    pass(a, one->context, sizeof one->context);
  }
  pass(a, s->predicted, (size_t)(hypotheses * (uint64_t)c->joiner_dim) * sizeof(float));
  pass_count(a, &count, 0, a->from ? (a->size - a->at) / sizeof(emission) : UINT64_MAX);
  if (a->from && count) {
    emission *all = omni_reserve(s->pool.all, (size_t)count, &s->pool.room, sizeof *all);
    if ((a->is_bad = a->is_bad || !all)) return;
    s->pool.all = all;
    s->pool.count = (size_t)count;
  }
  pass(a, s->pool.all, (size_t)count * sizeof(emission));
}

static void exchange(archive *a, omni_stream *s) {
  const model_config *c = &s->model->config;
  pass(a, &s->num_samples, sizeof s->num_samples);
  pass(a, &s->phase, sizeof s->phase);
  pass_bool(a, &s->has_rules);
  pass(a, &s->rules, sizeof s->rules);
  pass(a, s->sound.samples, sizeof s->sound.samples);
  pass(a, &s->sound.filled, sizeof s->sound.filled);
  pass_bool(a, &s->sound.begun);
  pass(a, &s->num_frames, sizeof s->num_frames);
  pass(a, s->window, (size_t)(model_window_frames(s->model) * c->feature_dim) * sizeof(float));
  pass(a, &s->past, sizeof s->past);
  pass(a, s->state, s->state_size * sizeof(float));
  exchange_search(a, &s->search, c);
}

/* Whether emissions form chains of symbols of one frame each, the later ones at later frames. */
static bool are_emissions_possible(const search *s, int64_t vocab) {
  const emissions *pool = &s->pool;
  for (size_t i = 0; i < pool->count; i++) {
    const emission *one = &pool->all[i], *before = NULL;
    if (!one->length) continue;
    if (one->token < 0 || one->token >= vocab || one->frame < s->begin || one->frame >= s->num_frames) return false;
    if (one->before != NOTHING && (one->before < 0 || (size_t)one->before >= pool->count)) return false;
    if (one->before != NOTHING) before = &pool->all[one->before];
    if (before ? !before->length || before->frame >= one->frame || one->length - 1 != before->length : one->length != 1)
      return false;
  }
  return true;
}

/* Count who uses each emission, and list those that nobody does. */
static bool restore_emissions(search *s, const model_config *c) {
  emissions *pool = &s->pool;
  if (pool->count > INT32_MAX || !are_emissions_possible(s, c->vocab)) return false;
  for (size_t i = 0; i < pool->count; i++) pool->all[i].users = 0;
  for (size_t i = 0; i < pool->count; i++)
    if (pool->all[i].length) emission_hold(pool, pool->all[i].before);
  for (int i = 0; i < s->num_hypotheses; i++) {
    const hypothesis *one = &s->hypotheses[i];
    if (one->last < NOTHING || (one->last >= 0 && (size_t)one->last >= pool->count)) return false;
    if (one->last != NOTHING && !pool->all[one->last].length) return false;
    emission_hold(pool, one->last);
    for (int64_t j = 0; j < c->context; j++)
      if (one->context[j] < NOTHING || one->context[j] >= c->vocab) return false;
  }
  pool->unused = NOTHING;
  for (size_t i = pool->count; i-- > 0;) {
    emission *one = &pool->all[i];
    if (!one->users != !one->length) return false;
    if (one->length) continue;
    one->before = pool->unused;
    pool->unused = (int32_t)i;
  }
  return true;
}

static bool is_possible(omni_stream *s) {
  const search *found = &s->search;
  return s->num_samples >= 0 && s->num_samples <= MOST_SAMPLES && (s->phase == RUNNING || s->phase == FINISHED) &&
         (!s->has_rules || endpoint_check(&s->rules, NULL)) && s->sound.filled >= 0 && s->sound.filled < FRAME_LENGTH &&
         s->num_frames >= 0 && s->num_frames < model_window_frames(s->model) && s->past >= 0 &&
         s->past < 2 * stream_ring(s) && found->begin >= 0 && found->begin <= found->num_frames &&
         found->num_frames <= MOST_SAMPLES && restore_emissions(&s->search, &s->model->config);
}

static uint64_t fingerprint(const omni_model *model) {
  return fingerprint_of(model->file.data, model->file.begin); /* the header, which has all checksums */
}

size_t omni_stream_state_size(const omni_stream *s) {
  archive a = {.at = sizeof(start)};
  exchange(&a, (omni_stream *)s); /* which only counts */
  return a.at;
}

bool omni_stream_save(const omni_stream *s, void *state, size_t size, omni_error *error) {
  const size_t wanted = omni_stream_state_size(s);
  if (s->phase == FAILED) return omni_fail(error, "the stream has failed; reset it");
  if (s->endpoint) return omni_fail(error, "an utterance has ended; call omni_stream_next_utterance first");
  if (size < wanted) return omni_fail(error, "%zu bytes for a stream of %zu", size, wanted);
  start head = {.version = VERSION, .fingerprint = fingerprint(s->model), .level = s->level_number,
                .beam_size = s->search.beam_size};
  memcpy(head.magic, MAGIC, sizeof head.magic);
  archive a = {.to = state, .at = sizeof head};
  exchange(&a, (omni_stream *)s); /* which leaves it as it is */
  memcpy(state, &head, sizeof head);
  const size_t checked = offsetof(start, fingerprint);
  head.checksum = checksum_of((const unsigned char *)state + checked, wanted - checked);
  memcpy(state, &head, sizeof head);
  return true;
}

omni_stream *omni_stream_restore(omni_model *model, const void *state, size_t size, omni_error *error) {
  start head;
  const size_t checked = offsetof(start, fingerprint);
  if (size < sizeof head || memcmp(state, MAGIC, sizeof head.magic)) return omni_fail(error, "it is no saved stream"), NULL;
  memcpy(&head, state, sizeof head);
  if (head.version != VERSION)
    return omni_fail(error, "a stream saved as version %u; this program reads version %d", (unsigned)head.version,
                     VERSION), NULL;
  if (!checksum_fits((const unsigned char *)state + checked, size - checked, head.checksum))
    return omni_fail(error, "the saved stream is damaged"), NULL;
  if (head.fingerprint != fingerprint(model)) return omni_fail(error, "the stream was saved with another model"), NULL;
  omni_stream *s = omni_stream_open_beam(model, head.level, head.beam_size, error);
  if (!s) return NULL;
  archive a = {.from = state, .at = sizeof head, .size = size};
  exchange(&a, s);
  if (a.is_bad || a.at != size || !is_possible(s)) omni_fail(error, "the saved stream is damaged");
  else if (search_show(&s->search, model)) return s;
  else omni_no_memory(error);
  omni_stream_close(s);
  return NULL;
}
