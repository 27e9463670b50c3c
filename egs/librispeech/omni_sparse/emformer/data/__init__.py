# SPDX-License-Identifier: Apache-2.0
"""Cuts, features and batches, and the checks that come before them."""
