# SPDX-License-Identifier: Apache-2.0
"""Random numbers that an interrupted run can repeat."""

from __future__ import annotations

import random
import zlib

import numpy as np
import torch


def seed_everything(*key: int | str) -> None:
    """Seed Python's, numpy's and torch's generators (all devices) from a key.

    The trainer calls it at every update with (seed, rank, update): dropout and SpecAugment are then
    functions of the update's number, on every rank, and going on from a checkpoint needs no
    generator's state.

    Example:
      >>> seed_everything(1, "train", 5); a = torch.rand(1)
      >>> seed_everything(1, "train", 5); bool(a == torch.rand(1))
      True
    """
    seed = zlib.crc32(repr(key).encode())
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def get_rng_state() -> dict:
    """State of all generators of this process, of plain types and tensors."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    version, words, gauss_next = random.getstate()
    return {
        "python": [version, torch.tensor(words), gauss_next],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_rng_state(state: dict) -> None:
    """Restore what :func:`get_rng_state` gave."""
    version, words, gauss_next = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss_next))
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
