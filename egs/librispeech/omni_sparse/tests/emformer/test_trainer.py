# SPDX-License-Identifier: Apache-2.0
"""The training loop on the tiny corpus, with the real loss."""

import logging
import math
import os
import signal
import subprocess

import pytest
import torch
from torch import nn

from emformer.checkpoint import list_checkpoints, load_checkpoint
from emformer.errors import RecipeError
from emformer.method import TrainingMethod
from emformer.oom_scan import scan_for_out_of_memory
from emformer.progress import LossMeter
from emformer.report import read_metrics
from tests.emformer.training import (
    Interrupted,
    difference,
    interrupt_at,
    same_state,
    train_process,
    trainer,
    words,
    write_config,
)

SMALL_BATCHES = {"max_duration": 9}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def one_thread():
    """The order of a sum depends on the number of threads, and with it the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def config(root):
    return write_config(root / "tiny.yaml", **SMALL_BATCHES)


@pytest.fixture(scope="module")
def undisturbed(root, config, tiny_data):
    """The exp folder of a run from end to end."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trainer(tiny_data, config, root / "undisturbed").fit()
    torch.set_num_threads(threads)
    return root / "undisturbed"


@pytest.fixture(scope="module")
def updates_per_epoch(undisturbed):
    return load_checkpoint(undisturbed / "epoch-1.pt")["update"]


def batches(run) -> list:
    """The batches of the first epoch, as the trainer sees them."""
    loader = run.data.train_dataloader(run.cut_filter, run.settings, run.seed, 1)
    return [run.make_batch(raw, augment=False) for raw in loader]


def weights(run) -> dict:
    return {name: value.clone() for name, value in run.model.state_dict().items()}


# Going on.


def test_the_tiny_run_has_what_these_tests_rely_on(undisturbed, updates_per_epoch):
    state = load_checkpoint(undisturbed / "epoch-2.pt")
    assert 9 < updates_per_epoch < 60
    assert state["update"] > updates_per_epoch + 5
    assert state["model_avg"]["num_samples"] == state["update"] // 2


def test_a_run_repeats_bit_for_bit(undisturbed, config, tiny_data, tmp_path):
    trainer(tiny_data, config, tmp_path).fit()
    assert same_state(tmp_path / "epoch-2.pt", undisturbed / "epoch-2.pt") is None


def test_another_seed_gives_other_weights(undisturbed, config, tiny_data, tmp_path):
    run = trainer(tiny_data, config, tmp_path, "--seed", "1", "--num-epochs", "1")
    run.fit()
    assert same_state(tmp_path / "epoch-1.pt", undisturbed / "epoch-1.pt").startswith("/model")


@pytest.mark.parametrize(
    "at", ["mid-epoch", "between checkpoints", "between epochs", "in the second epoch"]
)
def test_going_on_equals_going_through(
    undisturbed, updates_per_epoch, config, tiny_data, tmp_path, at
):
    update = {
        "mid-epoch": 5,
        "between checkpoints": 8,
        "between epochs": updates_per_epoch,
        "in the second epoch": updates_per_epoch + 6,
    }[at]
    with pytest.raises(Interrupted):
        trainer(tiny_data, config, tmp_path, method=interrupt_at(update)).fit()
    trainer(tiny_data, config, tmp_path).fit()
    assert same_state(tmp_path / "epoch-1.pt", undisturbed / "epoch-1.pt") is None
    assert same_state(tmp_path / "epoch-2.pt", undisturbed / "epoch-2.pt") is None


def test_interrupted_again_and_again_it_gets_there(undisturbed, config, tiny_data, tmp_path):
    for update in (6, 11, 16):
        with pytest.raises(Interrupted):
            trainer(tiny_data, config, tmp_path, method=interrupt_at(update)).fit()
    trainer(tiny_data, config, tmp_path).fit()
    assert same_state(tmp_path / "epoch-2.pt", undisturbed / "epoch-2.pt") is None


def test_going_on_with_a_loader_process_equals_going_through(
    undisturbed, root, tiny_data, tmp_path
):
    config = write_config(root / "one-worker.yaml", num_workers=1, **SMALL_BATCHES)
    with pytest.raises(Interrupted):
        trainer(tiny_data, config, tmp_path, method=interrupt_at(7)).fit()
    trainer(tiny_data, config, tmp_path).fit()
    ours = load_checkpoint(tmp_path / "epoch-2.pt")
    theirs = load_checkpoint(undisturbed / "epoch-2.pt")
    for name in ("model", "model_avg", "optimizer", "scheduler", "update"):
        assert difference(ours[name], theirs[name], name) is None


def test_epochs_can_be_added(config, tiny_data, tmp_path):
    trainer(tiny_data, config, tmp_path, "--num-epochs", "1").fit()
    run = trainer(tiny_data, config, tmp_path, "--num-epochs", "2")
    assert run.epoch == 2
    # The learning rate is the longer schedule's, not the end of the shorter one's.
    fresh = trainer(tiny_data, config, tmp_path / "fresh", "--num-epochs", "2")
    for _ in range(run.update):
        fresh.scheduler.step()
    assert run.optimizer.param_groups[0]["lr"] == fresh.optimizer.param_groups[0]["lr"]


def test_going_on_says_nothing_of_the_schedulers_order(config, tiny_data, tmp_path, recwarn):
    with pytest.raises(Interrupted):
        trainer(tiny_data, config, tmp_path, method=interrupt_at(6)).fit()
    run = trainer(tiny_data, config, tmp_path)
    assert run.update == 5
    assert not [w for w in recwarn if "lr_scheduler" in str(w.message)]


def test_a_finished_run_returns_at_once(undisturbed, config, tiny_data, caplog):
    run = trainer(tiny_data, config, undisturbed, method=interrupt_at(-1))
    run.data = None  # needs no data either
    with caplog.at_level(logging.INFO):
        run.fit()
    assert "all 2 epochs are trained" in caplog.text


def test_killed_in_the_middle_it_ends_with_the_same_weights(
    undisturbed, config, tiny_data, tmp_path
):
    process = train_process(tiny_data, config, tmp_path)
    for line in process.stderr:
        if "update 8/" in line:
            os.kill(process.pid, signal.SIGKILL)
            break
    process.stderr.read()
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    assert not (tmp_path / "epoch-2.pt").exists()

    again = train_process(tiny_data, config, tmp_path)
    log = again.stderr.read()
    assert again.wait() == 0, log
    again.stderr.close()
    assert "going on from" in log
    assert same_state(tmp_path / "epoch-2.pt", undisturbed / "epoch-2.pt") is None

    # The experiment's own script repeats the command.
    done = subprocess.run(
        ["bash", "run.sh"], cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "all 2 epochs are trained" in done.stderr


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more"])
def test_a_damaged_newest_checkpoint_is_named_and_trained_again(
    undisturbed, config, tiny_data, tmp_path, caplog, content
):
    trainer(tiny_data, config, tmp_path).fit()
    before = list_checkpoints(tmp_path)[-2]
    (tmp_path / "epoch-2.pt").write_bytes(content)
    with caplog.at_level(logging.INFO):
        trainer(tiny_data, config, tmp_path).fit()
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warned) == 1 and "epoch-2.pt: damaged" in warned[0]
    assert f"going on from {before}" in caplog.text
    assert same_state(tmp_path / "epoch-2.pt", undisturbed / "epoch-2.pt") is None


# Refusals.


@pytest.fixture
def interrupted(config, tiny_data, tmp_path):
    with pytest.raises(Interrupted):
        trainer(tiny_data, config, tmp_path / "exp", method=interrupt_at(5)).fit()
    return tmp_path / "exp"


def test_another_seed_is_refused(interrupted, config, tiny_data):
    with pytest.raises(RecipeError, match="trained with --seed 0; use another --exp-dir"):
        trainer(tiny_data, config, interrupted, "--seed", "7")


def test_another_setting_is_refused_by_name(interrupted, config, tiny_data):
    with pytest.raises(RecipeError, match=r"trained with training.base_lr 0.003, now 0.5; use"):
        trainer(tiny_data, config, interrupted, "--base-lr", "0.5")


def test_another_architecture_is_refused_by_name(interrupted, tiny_data, tmp_path):
    other = write_config(tmp_path / "other.yaml", right_context=2, **SMALL_BATCHES)
    with pytest.raises(RecipeError, match=r"trained with model.right_context 1, now 2; use"):
        trainer(tiny_data, other, interrupted)


def test_another_bpe_model_is_refused(interrupted, config, tiny_data, tmp_path):
    from local.train_bpe_model import main

    data = tmp_path / "data"
    data.mkdir()
    for name in ("manifests", "fbank"):
        (data / name).symlink_to(tiny_data / name)
    main(["--corpus", "synthetic", "--data-dir", str(data), "--vocab-size", "48"])
    with pytest.raises(RecipeError, match="trained with another BPE model; use another --exp-dir"):
        trainer(tiny_data, config, interrupted, "--lang-dir", str(data / "lang_bpe_48"))


def test_settings_that_change_no_weight_may_change(interrupted, tiny_data, tmp_path):
    free = {"num_workers": 1, "log_interval": 1, "save_every_n": 7, "keep_last_k": 9}
    other = write_config(tmp_path / "other.yaml", **free, **SMALL_BATCHES)
    assert trainer(tiny_data, other, interrupted).update == 5


def test_a_refused_run_leaves_the_description_as_it_was(interrupted, config, tiny_data):
    before = {p.name: p.read_bytes() for p in interrupted.iterdir() if p.is_file()}
    with pytest.raises(RecipeError):
        trainer(tiny_data, config, interrupted, "--base-lr", "0.5")
    assert {p.name: p.read_bytes() for p in interrupted.iterdir() if p.is_file()} == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_float16_without_a_gpu_is_refused(config, tiny_data, tmp_path):
    with pytest.raises(RecipeError, match="float16 needs a GPU"):
        trainer(tiny_data, config, tmp_path, "--dtype", "float16")


# Batches that are skipped.


def breaking_at(updates: set[int], what: str) -> type[TrainingMethod]:
    """A method whose loss or gradient is not finite at some updates; it keeps all weights."""

    class Breaking(TrainingMethod):
        seen: list = []

        def loss(self, model, batch, which, update):
            loss, info = super().loss(model, batch, which, update)
            if not model.training:
                return loss, info
            self.seen.append({n: p.detach().clone() for n, p in model.state_dict().items()})
            if update not in updates:
                return loss, info
            # The square root's value at 0 is 0, its derivative is not finite.
            parameter = next(model.parameters()).flatten()[0]
            bad = parameter * math.nan if what == "loss" else (parameter * 0).sqrt()
            return loss + bad, info

    Breaking.seen = []
    return Breaking


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_batch_that_is_not_finite_changes_no_weight(config, tiny_data, tmp_path, what, caplog):
    method = breaking_at({3, 4}, what)
    run = trainer(tiny_data, config, tmp_path, "--num-epochs", "1", method=method)
    run.fit()
    for before in (3, 4):
        assert difference(method.seen[before], method.seen[before + 1]) is None
    assert difference(method.seen[5], method.seen[6]) is not None
    assert f"update 3: the {what} is not finite; batch skipped" in caplog.text


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_batch_that_is_not_finite_is_counted(config, tiny_data, tmp_path, what):
    method = breaking_at({0, 4}, what)
    trainer(tiny_data, config, tmp_path, "--num-epochs", "1", method=method).fit()
    state = load_checkpoint(tmp_path / "epoch-1.pt")
    assert state["skipped"] == 2
    assert state["train_updates"] == state["update"] - 2
    assert all(torch.isfinite(v).all() for v in state["model"].values())


def test_too_many_skipped_batches_end_the_run(config, tiny_data, tmp_path):
    method = breaking_at(set(range(1000)), "loss")
    run = trainer(tiny_data, config, tmp_path, "--num-epochs", "9", method=method)
    with pytest.raises(RecipeError, match="21 batches .* not finite; lower training.base_lr"):
        run.fit()


# What a method decides.


def passes_of(number: int) -> type[TrainingMethod]:
    class Passes(TrainingMethod):
        def passes(self, update):
            return range(number)

        def loss(self, model, batch, which, update):
            loss, info = super().loss(model, batch, which, update)
            return loss / number, info

    return Passes


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


class Counting(TrainingMethod):
    """Has a state; ends the run at ``stop``."""

    stop = None

    def __init__(self, *args):
        super().__init__(*args)
        self.drawn = torch.zeros(1, dtype=torch.int64)

    def passes(self, update):
        if update == self.stop:
            raise Interrupted
        self.drawn += 1
        return super().passes(update)

    def state_dict(self):
        return {"drawn": self.drawn}

    def load_state_dict(self, state):
        self.drawn = state["drawn"].clone()


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


# What a run leaves.


def test_the_loss_falls(undisturbed):
    losses = [r["simple_loss"] for r in read_metrics(undisturbed) if r["group"] == "train"]
    assert losses[-1] < 0.7 * losses[0]


def test_the_folder_tells_how_it_was_made(undisturbed):
    for name in ("config.yaml", "environment.json", "run.sh", "metrics.jsonl", "tensorboard"):
        assert (undisturbed / name).exists()


def test_only_as_many_checkpoints_as_asked_for_are_kept(undisturbed):
    names = [p.name for p in list_checkpoints(undisturbed)]
    assert sum(name.startswith("checkpoint-") for name in names) == 3
    assert "epoch-1.pt" in names and "epoch-2.pt" in names


def test_metrics_of_an_interrupted_run_are_those_of_an_undisturbed_one(
    undisturbed, config, tiny_data, tmp_path
):
    with pytest.raises(Interrupted):
        trainer(tiny_data, config, tmp_path, method=interrupt_at(9)).fit()
    with open(tmp_path / "metrics.jsonl", "a") as f:
        f.write('{"group": "train", "upd')  # cut off by a full disk or a crash
    trainer(tiny_data, config, tmp_path).fit()
    keys = [[(r["update"], r["group"]) for r in read_metrics(d)] for d in (tmp_path, undisturbed)]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == len(keys[0])


# Out of memory.


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
    monkeypatch.setattr("emformer.trainer.scan_for_out_of_memory", lambda run: 1 / 0)
    trainer(tiny_data, config, tmp_path, "--num-epochs", "1").fit()


def test_options_that_make_no_sense_are_refused(config, tiny_data, tmp_path):
    from emformer.train import get_parser

    for option in ("--num-epochs=0", "--max-duration=-1", "--base-lr=0", "--scan-oom=perhaps"):
        with pytest.raises(SystemExit) as e:
            get_parser().parse_args(words(tiny_data, config, tmp_path, option))
        assert e.value.code == 2
