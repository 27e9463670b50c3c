/* SPDX-License-Identifier: Apache-2.0
 *
 * What the meta part of a packed transducer's header says of it.
 */
#ifndef OMNI_DESCRIPTION_H
#define OMNI_DESCRIPTION_H

#include "model.h"

/* Fill a model's config, filters, tokens and constants. */
bool description_read(omni_model *model, omni_error *error);

#endif
