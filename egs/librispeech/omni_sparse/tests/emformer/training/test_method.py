# SPDX-License-Identifier: Apache-2.0
"""What a method decides in the training loop."""

import pytest
import torch
from torch import nn

from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint
from emformer.training.method import TrainingMethod
from emformer.training.progress import LossMeter
from tests.support.training import (
    Counting,
    Interrupted,
    batches,
    passes_of,
    trainer,
    write_config,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_gradients_of_all_passes_are_added_up(root, tiny_data, tmp_path):
    config = write_config(tmp_path / "plain.yaml", dropout=0.0)
    gradients = []
    for number in (1, 2):
        run = trainer(tiny_data, config, tmp_path / str(number), method=passes_of(number))
        run.wrapped.train()
        run.train_step(batches(run)[0], LossMeter())
        gradients.append({n: p.grad.clone() for n, p in run.model.named_parameters()})
    for name, one in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], one, rtol=1e-4, atol=1e-6)


def test_passes_are_counted(config, tiny_data, tmp_path):
    method = passes_of(2)
    trainer(tiny_data, config, tmp_path, "--num-epochs", "1", method=method).fit()
    state = load_checkpoint(tmp_path / "epoch-1.pt")
    assert state["train_passes"] == 2 * state["train_updates"] == 2 * state["update"]


def test_a_methods_state_survives_an_interruption(config, tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr(Counting, "stop", 7)
    with pytest.raises(Interrupted):
        trainer(tiny_data, config, tmp_path, "--num-epochs", "1", method=Counting).fit()
    monkeypatch.setattr(Counting, "stop", None)
    trainer(tiny_data, config, tmp_path, "--num-epochs", "1", method=Counting).fit()
    state = load_checkpoint(tmp_path / "epoch-1.pt")
    assert int(state["method"]["drawn"]) == state["update"]


def test_a_run_of_another_method_is_refused(config, tiny_data, tmp_path):
    trainer(tiny_data, config, tmp_path, "--num-epochs", "1", method=Counting).fit()
    with pytest.raises(RecipeError, match="^the checkpoint is of another training method"):
        trainer(tiny_data, config, tmp_path)


class Wrapper(nn.Module):
    """Has an attribute of the name that DDP has for what it wraps."""

    def __init__(self, model):
        super().__init__()
        self.module = model
        self.calls = {True: 0, False: 0}

    def forward(self, *args, **kwargs):
        self.calls[self.training] += 1
        return self.module(*args, **kwargs)


class Wrapping(TrainingMethod):
    def wrap(self, model):
        return Wrapper(model)


def test_training_and_validation_go_through_the_wrapper(config, tiny_data, tmp_path):
    run = trainer(tiny_data, config, tmp_path, "--num-epochs", "1", method=Wrapping)
    run.fit()
    assert run.wrapped.calls[True] == run.update
    assert run.wrapped.calls[False] > 0


def test_checkpoints_hold_the_model_itself_and_not_its_wrapper(config, tiny_data, tmp_path):
    run = trainer(tiny_data, config, tmp_path, "--num-epochs", "1", method=Wrapping)
    run.fit()
    state = load_checkpoint(tmp_path / "epoch-1.pt")
    assert state["model"].keys() == run.model.state_dict().keys()
    assert not any(name.startswith("module.") for name in state["model"])
