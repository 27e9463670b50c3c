# SPDX-License-Identifier: Apache-2.0
import random

import numpy as np
import torch

from emformer.experiment import plain_file
from emformer.training.rng import get_rng_state, seed_everything, set_rng_state


def _draws() -> tuple:
    return random.random(), float(np.random.rand()), float(np.random.randn()), float(torch.rand(1))


def test_the_same_key_gives_the_same_draws():
    seed_everything(3, "train", 7)
    first = _draws()
    seed_everything(3, "train", 7)
    assert _draws() == first


def test_another_key_gives_other_draws():
    seed_everything(3, "train", 7)
    first = _draws()
    seed_everything(3, "train", 8)
    assert all(a != b for a, b in zip(_draws(), first, strict=True))


def test_a_saved_state_survives_a_file(tmp_path):
    seed_everything(1)
    random.gauss(0, 1)  # leaves half a pair behind, which is state as well
    with open(tmp_path / "rng.pt", "wb") as f:
        plain_file.dump(get_rng_state(), {}, f)
    expected = (*_draws(), random.gauss(0, 1))
    seed_everything(2)
    set_rng_state(plain_file.load(tmp_path / "rng.pt")[0])
    assert (*_draws(), random.gauss(0, 1)) == expected
