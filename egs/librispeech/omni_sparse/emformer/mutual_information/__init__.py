# SPDX-License-Identifier: Apache-2.0
"""The recursion of the RNN-T losses on a GPU, for loss libraries compiled without CUDA."""
