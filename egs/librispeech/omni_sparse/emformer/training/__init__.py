# SPDX-License-Identifier: Apache-2.0
"""The training loop, and the seam where another method enters it."""
