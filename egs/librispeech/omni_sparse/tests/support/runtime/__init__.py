# SPDX-License-Identifier: Apache-2.0
"""Layers, streams and damaged files for the sparse runtime."""
