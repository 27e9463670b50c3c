# SPDX-License-Identifier: Apache-2.0
"""Sub-networks as files for other programs."""
