/* SPDX-License-Identifier: Apache-2.0
 *
 * The symbols of a search's hypotheses. Hypotheses that begin alike share them: an emission is a symbol after another.
 * What no hypothesis has any more is used again, so that memory is bounded by what the living ones say.
 */
#ifndef OMNI_EMISSIONS_H
#define OMNI_EMISSIONS_H

#include "common.h"

#define NOTHING (-1) /* before the first symbol, and of a hypothesis without one */

typedef struct {
  int64_t frame;  /* of the encoder, from the stream's beginning */
  int32_t before; /* number of the emission before it, or NOTHING */
  int32_t token;
  int32_t length; /* emissions up to this one; 0 if it is not in use */
  int32_t users;  /* emissions after it, hypotheses and others that hold it */
} emission;

/* All zero at first. */
typedef struct {
  emission *all;
  size_t count, room; /* count: of those that were ever in use since the beginning */
  int32_t unused;     /* the first of a list by `before`, or NOTHING; means nothing while count is 0 */
} emissions;

/* Forget all, and keep the memory. */
void emissions_start(emissions *pool);
void emissions_close(emissions *pool);

/* A symbol after another, which is then held once; NOTHING if there is no memory. */
int32_t emission_add(emissions *pool, int32_t before, int32_t token, int64_t frame);

/* Hold an emission once more, or once less; NOTHING is allowed. */
void emission_hold(emissions *pool, int32_t number);
void emission_drop(emissions *pool, int32_t number);

/* Symbols up to an emission; 0 of NOTHING. */
int32_t emission_length(const emissions *pool, int32_t number);

/* Whether the same symbols lead to both, at whichever frames. */
bool emission_same(const emissions *pool, int32_t one, int32_t other);

#endif
