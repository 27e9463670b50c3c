/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrices in the form that the kernels compute with.
 */
#ifndef OMNI_MATRIX_H
#define OMNI_MATRIX_H

#include "layer.h"
#include "packed_file.h"

/* The matrix that has the blocks of a layer's first bands, in memory of its own.

   byte_group: how many int8 blocks the kernels multiply together. Block rows are filled up with blocks of zeros to
   whole groups, and the bytes of a group's rows stand together. */
bool matrix_of_bands(const packed_file *file, const packed_layer *layer, int64_t bands, int byte_group,
                     omni_arena *arena, omni_layer *out, omni_error *error);

/* A convolution's weight [rows][channels][width] as the matrix of [width][channels] inputs, the frames that it sees one
   after the other. bias may be NULL. */
bool matrix_of_convolution(const float *weight, const float *bias, int64_t rows, int64_t channels, int64_t width,
                           omni_arena *arena, omni_layer *out, omni_error *error);

#endif
