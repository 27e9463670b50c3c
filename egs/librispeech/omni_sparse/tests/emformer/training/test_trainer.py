# SPDX-License-Identifier: Apache-2.0
"""The training loop on the tiny corpus, with the real loss."""

import math
from pathlib import Path

import pytest
import torch

from emformer.data.manifests import read_manifest, write_manifest
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint, numbered
from emformer.report import read_metrics
from emformer.training.method import TrainingMethod
from tests.support.training import (
    Interrupted,
    difference,
    interrupt_at,
    trainer,
    words,
    write_config,
)

pytestmark = pytest.mark.usefixtures("one_thread")


# What a run leaves.


def test_the_loss_falls(undisturbed):
    losses = [r["simple_loss"] for r in read_metrics(undisturbed) if r["group"] == "train"]
    assert losses[-1] < 0.7 * losses[0]


def test_the_folder_tells_how_it_was_made(undisturbed):
    for name in ("config.yaml", "environment.json", "run.sh", "metrics.jsonl", "tensorboard"):
        assert (undisturbed / name).exists()


def test_only_as_many_checkpoints_as_asked_for_are_kept(undisturbed):
    assert len(numbered(undisturbed, "checkpoint")) == 3
    assert list(numbered(undisturbed, "epoch")) == [1, 2]


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


# Cuts that are left out.


def change_dev_texts(tiny_data, folder, change, step: int = 1) -> Path:
    """A copy of the corpus in which texts of every so many dev utterances are changed."""
    (folder / "fbank").mkdir(parents=True)
    for path in (tiny_data / "fbank").glob("*.jsonl.gz"):
        cuts = read_manifest(path)
        if "_cuts_dev." in path.name:
            for cut in cuts[::step]:
                cut.supervisions[0].text = change(cut.supervisions[0].text)
        write_manifest(cuts, folder / "fbank" / path.name)
    return folder


def trainer_of(data, lang_of, config, exp_dir):
    return trainer(data, config, exp_dir, "--lang-dir", str(lang_of / "lang_bpe_64"))


def test_nothing_to_validate_on_is_told_before_training(tiny_data, config, tmp_path):
    data = change_dev_texts(tiny_data, tmp_path / "data", str.lower)
    message = "left for validating .12 a character unknown to the BPE model.; mend the manifests"
    with pytest.raises(RecipeError, match=message):
        trainer_of(data, tiny_data, config, tmp_path / "exp")
    assert not (tmp_path / "exp").exists()


def test_what_validation_leaves_out_is_told_by_reason(tiny_data, config, tmp_path, caplog):
    data = change_dev_texts(tiny_data, tmp_path / "data", str.lower, step=3)
    with caplog.at_level("INFO"):
        trainer_of(data, tiny_data, config, tmp_path / "exp")
    (line,) = [m for m in caplog.messages if m.startswith("validating on 8 of 12 cuts")]
    assert line.endswith("left out: 4 a character unknown to the BPE model")


def test_dev_texts_in_another_form_of_unicode_are_the_same_texts(tiny_data, config, tmp_path):
    data = change_dev_texts(tiny_data, tmp_path / "data", full_width)
    one = trainer_of(data, tiny_data, config, tmp_path / "exp")
    other = trainer(tiny_data, config, tmp_path / "other")
    for a, b in zip(valid_batches(one), valid_batches(other), strict=True):
        assert torch.equal(a.symbols, b.symbols)


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in text)


def valid_batches(run) -> list:
    loader = run.data.valid_dataloader(run.cut_filter, 16)
    return [run.make_batch(raw, augment=False) for raw in loader]


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


def test_options_that_make_no_sense_are_refused(config, tiny_data, tmp_path):
    from emformer.train import get_parser

    for option in ("--num-epochs=0", "--max-duration=-1", "--base-lr=0", "--scan-oom=perhaps"):
        with pytest.raises(SystemExit) as e:
            get_parser().parse_args(words(tiny_data, config, tmp_path, option))
        assert e.value.code == 2


# Epochs that are a share of the training set.


@pytest.fixture
def half(tmp_path):
    return write_config(tmp_path / "half.yaml", max_duration=9, epoch_share=0.5)


def test_an_epoch_may_be_a_share_of_the_batches(undisturbed, half, tiny_data, tmp_path):
    whole = load_checkpoint(undisturbed / "epoch-2.pt")["update"]
    run = trainer(tiny_data, half, tmp_path / "exp")
    assert run.total_updates == 2 * round(whole / 2 * 0.5)
    run.fit()
    assert load_checkpoint(tmp_path / "exp" / "epoch-2.pt")["update"] == run.total_updates


def test_a_run_of_such_epochs_goes_on_where_it_was(half, tiny_data, tmp_path):
    trainer(tiny_data, half, tmp_path / "one").fit()
    for update in (3, 8):
        with pytest.raises(Interrupted):
            trainer(tiny_data, half, tmp_path / "two", method=interrupt_at(update)).fit()
    trainer(tiny_data, half, tmp_path / "two").fit()
    states = [load_checkpoint(tmp_path / name / "epoch-2.pt") for name in ("one", "two")]
    assert difference(*(state["model"] for state in states)) is None


def test_an_epoch_has_at_least_a_batch(tiny_data, tmp_path):
    config = write_config(tmp_path / "least.yaml", epoch_share=0.001)
    assert trainer(tiny_data, config, tmp_path / "exp").total_updates == 2
