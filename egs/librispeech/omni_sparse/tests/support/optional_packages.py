# SPDX-License-Identifier: Apache-2.0
"""Packages that tests can do without, if they say so."""

from __future__ import annotations

import importlib

import pytest


def torchaudio_or_skip(module: str):
    """A module of torchaudio; skips loudly where its compiled part does not fit the torch."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as e:
        pytest.skip(f"{module.upper()} IS MISSING: {str(e).splitlines()[0]}")
