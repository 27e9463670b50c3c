/* SPDX-License-Identifier: Apache-2.0
 *
 * When an utterance ends by itself; as ../omni_emformer/live/endpoint.py.
 */
#ifndef OMNI_ENDPOINT_H
#define OMNI_ENDPOINT_H

#include "common.h"

/* Whether all numbers of the rules are above 0; NaN is not. */
bool endpoint_check(const omni_endpoint_rules *rules, omni_error *error);

/* 1, 2 or 3: the first rule that ends an utterance now; 0 if none does.

   length: seconds of the utterance so far; silence: since its last symbol, all of length where it has none; is_spoken:
   whether it has one. */
int endpoint_of(const omni_endpoint_rules *rules, double length, double silence, bool is_spoken);

#endif
