# SPDX-License-Identifier: Apache-2.0
"""When the host waits for a GPU in a training update."""

import pytest
import torch

from emformer.config import SpecAugmentConfig
from emformer.model import make_model
from emformer.training.augment import Augment
from emformer.training.loss import read_info
from emformer.training.method import TrainingMethod
from tests.support.made_up_batches import CONFIG
from tests.support.meta_device import META, batch_on_meta, complete_meta


@pytest.fixture(autouse=True)
def complete(monkeypatch):
    complete_meta(monkeypatch)


def test_a_pass_does_not_wait():
    model = make_model(CONFIG.model, 20).to(META)
    loss, info = TrainingMethod(CONFIG.training, 100).loss(model, batch_on_meta(), None, 50)
    assert loss.is_meta and info["loss"].is_meta
    assert info["frames"] > 0


def test_a_pass_whose_lengths_are_on_the_device_would_wait():
    model, batch = make_model(CONFIG.model, 20).to(META), batch_on_meta()
    with pytest.raises((NotImplementedError, RuntimeError)):
        model.encoder(batch.features, batch.feature_lens.to(META))


def test_augmentation_does_not_wait():
    batch = batch_on_meta()
    settings = CONFIG.with_training(volume_db=6.0, spec_augment=SpecAugmentConfig()).training
    assert Augment(settings)(batch.features, batch.feature_lens).is_meta


def test_what_passes_tell_is_read_in_one_go(monkeypatch):
    waits, tolist = [], torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda x: waits.append(x) or tolist(x))
    infos = [{"loss": torch.tensor(1.5), "frames": 7}, {"loss": torch.tensor(2.5), "frames": 8}]
    found = read_info(infos, torch.tensor(0.25))
    assert found == ([{"loss": 1.5, "frames": 7}, {"loss": 2.5, "frames": 8}], [0.25])
    assert len(waits) == 1


def test_of_no_passes_nothing_is_read():
    assert read_info([]) == ([], [])
