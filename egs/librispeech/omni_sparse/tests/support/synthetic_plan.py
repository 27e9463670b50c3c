# SPDX-License-Identifier: Apache-2.0
"""Sizes of a small synthetic corpus."""

SIZES = {"train": 300, "dev": 40, "test-clean": 60, "test-other": 60, "search": 50}
HELD_OUT = [split for split in SIZES if split != "train"]
