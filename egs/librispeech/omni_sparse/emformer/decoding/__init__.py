# SPDX-License-Identifier: Apache-2.0
"""A decoding from options to result files, and the searches."""
