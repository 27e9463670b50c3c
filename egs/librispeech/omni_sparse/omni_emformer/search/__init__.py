# SPDX-License-Identifier: Apache-2.0
"""The best sub-network of every size."""
