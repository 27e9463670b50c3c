/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether bytes are what somebody wrote.
 */
#ifndef OMNI_CHECKSUM_H
#define OMNI_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* CRC-32 of ISO 3309, as in zlib. */
uint32_t checksum_of(const unsigned char *data, size_t size);

/* Whether bytes have a CRC-32. A fuzzer of what comes after lets all of them pass (OMNI_ANY_CHECKSUM). */
bool checksum_fits(const unsigned char *data, size_t size, uint32_t checksum);

/* 64 bits by which to tell texts apart: FNV-1a, see G. Fowler and others, "The FNV Non-Cryptographic Hash Algorithm". */
uint64_t fingerprint_of(const unsigned char *data, size_t size);

#endif
