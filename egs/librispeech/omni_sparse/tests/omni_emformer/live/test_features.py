# SPDX-License-Identifier: Apache-2.0
"""Features of a stream against those of the recipe."""

import numpy as np
import torch

from emformer.data.features import SAMPLE_RATE, make_extractor
from emformer.frontend import PAD_LOG_MEL
from omni_emformer.live.features import LiveFeatures

SAMPLES = (0.1 * np.random.default_rng(0).standard_normal(20000)).astype(np.float32)


def test_a_stream_has_the_recipes_features_but_for_the_mirrored_end():
    expected = torch.as_tensor(make_extractor().extract(SAMPLES, SAMPLE_RATE))
    found = LiveFeatures().accept(np.concatenate([SAMPLES, np.zeros(1600, dtype=np.float32)]))
    assert (found[: len(expected) - 1] - expected[:-1]).abs().max() < 1e-3
    assert (found[len(expected) - 1] - expected[-1]).abs().max() > 1e-2


def test_features_in_pieces_are_those_of_the_whole():
    pieces, whole = LiveFeatures(), LiveFeatures().accept(SAMPLES)
    found = [pieces.accept(SAMPLES[i : i + 777]) for i in range(0, len(SAMPLES), 777)]
    assert torch.equal(torch.cat(found), whole)


def test_frames_that_are_not_complete_wait():
    features = LiveFeatures()
    assert features.accept(SAMPLES[:100]).shape == (0, 80)
    assert features.accept(SAMPLES[100:400]).shape == (1, 80)


def test_silence_is_what_utterances_are_padded_with():
    found = LiveFeatures().accept(np.zeros(1600, dtype=np.float32))
    assert (found - PAD_LOG_MEL).abs().max() < 1e-4
