# SPDX-License-Identifier: Apache-2.0
"""Runs of the trainer on the tiny corpus."""

import pytest

from emformer.experiment.checkpoint import load_checkpoint
from tests.support.training import SMALL_BATCHES, trainer, write_config


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def config(root):
    return write_config(root / "tiny.yaml", **SMALL_BATCHES)


@pytest.fixture(scope="module")
def undisturbed(root, one_thread, config, tiny_data):
    """The exp folder of a run from end to end."""
    trainer(tiny_data, config, root / "undisturbed").fit()
    return root / "undisturbed"


@pytest.fixture(scope="module")
def updates_per_epoch(undisturbed):
    return load_checkpoint(undisturbed / "epoch-1.pt")["update"]
