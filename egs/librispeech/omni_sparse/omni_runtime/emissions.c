/* SPDX-License-Identifier: Apache-2.0 */
#include "emissions.h"

#include <stdlib.h>

void emissions_start(emissions *pool) {
  pool->count = 0;
  pool->unused = NOTHING;
}

void emissions_close(emissions *pool) { free(pool->all); }

int32_t emission_add(emissions *pool, int32_t before, int32_t token, int64_t frame) {
  int32_t number = pool->unused;
  if (number != NOTHING) {
    pool->unused = pool->all[number].before;
  } else {
    emission *all = pool->count < INT32_MAX ? omni_reserve(pool->all, pool->count + 1, &pool->room, sizeof *all) : NULL;
    if (!all) return NOTHING;
    pool->all = all;
    number = (int32_t)pool->count++;
  }
  emission_hold(pool, before);
  pool->all[number] = (emission){frame, before, token, emission_length(pool, before) + 1, 1};
  return number;
}

void emission_hold(emissions *pool, int32_t number) {
  if (number != NOTHING) pool->all[number].users++;
}

void emission_drop(emissions *pool, int32_t number) {
  while (number != NOTHING && !--pool->all[number].users) {
    emission *one = &pool->all[number];
    const int32_t before = one->before;
    one->length = 0;
    one->before = pool->unused;
    pool->unused = number;
    number = before;
  }
}

int32_t emission_length(const emissions *pool, int32_t number) {
  return number == NOTHING ? 0 : pool->all[number].length;
}

bool emission_same(const emissions *pool, int32_t one, int32_t other) {
  if (emission_length(pool, one) != emission_length(pool, other)) return false;
  for (; one != other; one = pool->all[one].before, other = pool->all[other].before)
    if (pool->all[one].token != pool->all[other].token) return false;
  return true;
}
