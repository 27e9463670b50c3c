# SPDX-License-Identifier: Apache-2.0
"""Trains, decodes and exports unmodified icefall recipes as supernets; see docs/icefall.md.

``install(globals())``, before its ``main`` runs, makes a train.py of yours do so by itself.
"""

from omni_plugin.icefall.launch import install

__all__ = ["install"]
