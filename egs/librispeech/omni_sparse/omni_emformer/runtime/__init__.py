# SPDX-License-Identifier: Apache-2.0
"""Sub-networks in packed files, on the sparse CPU runtime."""
