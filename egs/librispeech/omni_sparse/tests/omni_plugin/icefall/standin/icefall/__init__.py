# SPDX-License-Identifier: Apache-2.0
"""Stands in for icefall: what the small recipe below needs of it, under icefall's names."""
