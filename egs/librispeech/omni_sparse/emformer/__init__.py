# SPDX-License-Identifier: Apache-2.0
"""The dense baseline: a streaming Emformer transducer."""

import warnings

# Of torch 1.13, at every start: its use of setuptools, and that a machine has no GPU.
warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
warnings.filterwarnings("ignore", message="CUDA initialization: ")
