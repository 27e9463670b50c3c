# SPDX-License-Identifier: Apache-2.0
"""What is done to the features of training."""

import numpy as np
import pytest
import torch

from emformer.config import TrainingConfig
from emformer.data.features import make_extractor
from emformer.frontend import PAD_LOG_MEL
from emformer.training.augment import Augment, change_volume
from emformer.training.rng import seed_everything


def speech(seconds: float = 1.0) -> np.ndarray:
    """Noise with a silence in it, of shape (T,)."""
    rng = np.random.default_rng(0)
    samples = 0.1 * rng.standard_normal(int(16000 * seconds)).astype(np.float32)
    samples[4000:8000] = 0.0
    return samples


def features(samples: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(make_extractor(backend="lhotse").extract(samples, 16000))


@pytest.mark.parametrize("db", [-6.0, 3.0])
def test_a_change_of_level_is_that_of_the_samples(db):
    samples = speech()
    louder = features(samples * np.float32(10 ** (db / 20)))
    found = change_volume(features(samples)[None], torch.tensor([db]))[0]
    sounds = features(samples) > PAD_LOG_MEL + 1  # silence has no level
    assert sounds.any() and not sounds.all()
    torch.testing.assert_close(found[sounds], louder[sounds], rtol=0, atol=1e-3)


def test_no_energy_falls_below_that_of_silence():
    x = torch.full((1, 5, 80), PAD_LOG_MEL)
    assert torch.equal(change_volume(x, torch.tensor([-6.0])), x)


def test_each_utterance_has_a_level_of_its_own_within_the_bounds():
    augment = Augment(TrainingConfig(volume_db=6.0, spec_augment=None))
    seed_everything(0)
    x = torch.zeros(64, 10, 80)
    gain = augment(x, torch.full((64,), 10)) / (np.log(10) / 10)  # in decibels
    each = gain[:, 0, 0]
    assert torch.equal(gain, each[:, None, None].expand_as(gain))
    assert each.unique().numel() == 64
    assert -6 <= each.min() < -5 and 5 < each.max() <= 6


def test_the_same_seed_draws_the_same_levels():
    augment = Augment(TrainingConfig(volume_db=6.0))
    drawn = []
    for seed in (1, 1, 2):
        seed_everything(seed)
        drawn.append(augment(torch.randn(4, 50, 80), torch.full((4,), 50)))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_without_settings_nothing_changes_and_nothing_is_drawn():
    seed_everything(3)
    state = torch.get_rng_state()
    x = torch.ones(2, 20, 80)
    assert Augment(TrainingConfig(spec_augment=None))(x, torch.tensor([20, 10])) is x
    assert torch.equal(torch.get_rng_state(), state)
