# SPDX-License-Identifier: Apache-2.0
"""The scan for batches that do not fit into memory."""

import pytest
import torch

from emformer.errors import RecipeError
from emformer.training.method import TrainingMethod
from emformer.training.oom_scan import scan_for_out_of_memory
from tests.support.training import (
    Counting,
    Interrupted,
    batches,
    difference,
    passes_of,
    same_state,
    trainer,
    weights,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_scan_for_memory_leaves_the_weights_as_they_are(
    undisturbed, config, tiny_data, tmp_path
):
    trainer(tiny_data, config, tmp_path, "--scan-oom", "true").fit()
    assert same_state(tmp_path / "epoch-2.pt", undisturbed / "epoch-2.pt") is None


def test_the_scan_puts_back_weights_that_a_method_changes(config, tiny_data, tmp_path):
    class Shrinking(TrainingMethod):
        def wrap(self, model):
            self.model = model
            return model

        def passes(self, update):
            with torch.no_grad():
                for parameter in self.model.parameters():
                    parameter.mul_(0.5)
            return super().passes(update)

    run = trainer(tiny_data, config, tmp_path, method=Shrinking)
    before = weights(run)
    scan_for_out_of_memory(run)
    assert difference(weights(run), before) is None


def test_the_scan_leaves_the_methods_state_as_it_is(config, tiny_data, tmp_path):
    options = ["--num-epochs", "1", "--scan-oom", "true"]
    run = trainer(tiny_data, config, tmp_path, *options, method=Counting)
    run.fit()
    assert int(run.method.drawn) == run.update


def test_the_scan_runs_every_pass_on_the_largest_batches(config, tiny_data, tmp_path):
    seen = []

    class Watching(passes_of(2)):
        def loss(self, model, batch, which, update):
            seen.append((which, batch.features.size(0), batch.features.size(1)))
            return super().loss(model, batch, which, update)

    run = trainer(tiny_data, config, tmp_path, "--scan-oom", "true", method=Watching)
    everything = [tuple(b.features.shape[:2]) for b in batches(run)]
    run._train_epoch = lambda writer: (_ for _ in ()).throw(Interrupted)
    with pytest.raises(Interrupted):
        run.fit()
    assert {which for which, *_ in seen} == {0, 1}
    assert max(n for _, n, _ in seen) == max(n for n, _ in everything)
    assert max(t for *_, t in seen) == max(t for _, t in everything)


def test_the_scan_runs_the_passes_of_the_last_update_too(config, tiny_data, tmp_path):
    seen = set()

    class Growing(TrainingMethod):
        def passes(self, update):
            return range(2) if update == self.total_updates - 1 else range(1)

        def loss(self, model, batch, which, update):
            seen.add(which)
            return super().loss(model, batch, which, update)

    scan_for_out_of_memory(trainer(tiny_data, config, tmp_path, method=Growing))
    assert seen == {0, 1}


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_a_batch_that_does_not_fit_is_one_line(config, tiny_data, tmp_path, error):
    class Large(TrainingMethod):
        def loss(self, model, batch, which, update):
            raise error

    run = trainer(tiny_data, config, tmp_path, "--scan-oom", "true", method=Large)
    said = r"out of memory in a batch of \d+ cuts, the longest of [\d.]+ s; lower .*, now 9 s"
    with pytest.raises(RecipeError, match=said):
        run.fit()


def test_another_error_within_the_scan_is_not_taken_for_lack_of_memory(config, tiny_data, tmp_path):
    class Wrong(TrainingMethod):
        def loss(self, model, batch, which, update):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    run = trainer(tiny_data, config, tmp_path, "--scan-oom", "true", method=Wrong)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run.fit()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_there_is_no_scan_on_the_cpu_by_default(config, tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr("emformer.training.trainer.scan_for_out_of_memory", lambda run: 1 / 0)
    trainer(tiny_data, config, tmp_path, "--num-epochs", "1").fit()
