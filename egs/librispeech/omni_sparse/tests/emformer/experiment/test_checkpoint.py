# SPDX-License-Identifier: Apache-2.0
import itertools
import os
import pickle

import pytest
import torch

from emformer.config import Config
from emformer.errors import RecipeError
from emformer.experiment import checkpoint
from emformer.experiment.averaging import RunningAverage, average_between
from emformer.experiment.checkpoint import (
    load_checkpoint,
    load_model_for_decoding,
    load_newest,
    load_weights,
    numbered,
    remove_old,
    save_checkpoint,
)
from emformer.model import make_model
from tests.support.processes import run_python

CONFIG = Config.from_dict(
    {"model": {"encoder_dim": 8, "num_heads": 2, "ffn_dim": 8, "num_layers": 1, "decoder_dim": 8}}
)


def _save(exp_dir, name: str, weight: float = 0.0, samples: int = 0, **more):
    model = make_model(CONFIG.model, 5)
    for p in model.parameters():
        p.data.fill_(weight)
    average = RunningAverage(model)
    for _ in range(samples):
        average.update(model)
    content = {"model_avg": average.state_dict(), "config": CONFIG.to_dict(), "vocab_size": 5}
    save_checkpoint(exp_dir / name, {"model": model.state_dict(), **content, **more})
    return model


def _weight(model) -> float:
    return float(next(model.parameters()).flatten()[0])


def test_nested_values_come_back(tmp_path):
    content = {
        "a": 0.1, "b": [1, None, True, "x"], "c": {"d": torch.arange(3), 7: {"e": float("inf")}},
        "f": 2**63, "g": {},
    }  # fmt: skip
    save_checkpoint(tmp_path / "epoch-1.pt", {"model": {"w": torch.ones(2)}, **content})
    found = load_checkpoint(tmp_path / "epoch-1.pt")
    assert torch.equal(found.pop("model")["w"], torch.ones(2))
    assert torch.equal(found["c"].pop("d"), content["c"].pop("d"))
    assert {key: found[key] for key in content} == content


def test_the_model_is_where_other_tools_look_for_it(tmp_path):
    model = _save(tmp_path, "epoch-1.pt", weight=3.0)
    found = torch.load(tmp_path / "epoch-1.pt", weights_only=True)["model"]
    assert found.keys() == model.state_dict().keys()


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "epoch-1.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(RecipeError, match="epoch-1.pt: damaged or not a checkpoint"):
        load_checkpoint(tmp_path / "epoch-1.pt")
    torch.save({"model": Evil()}, tmp_path / "epoch-2.pt")
    with pytest.raises(RecipeError, match="epoch-2.pt"):
        load_checkpoint(tmp_path / "epoch-2.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut off"])
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_it_used(tmp_path, damage):
    _save(tmp_path, "epoch-1.pt", update=1)
    _save(tmp_path, "checkpoint-9.pt", update=9)
    (tmp_path / "checkpoint-9.pt").write_bytes(damage)
    warnings = []
    path, state = load_newest(tmp_path, warnings.append)
    assert (path.name, state["update"]) == ("epoch-1.pt", 1)
    assert len(warnings) == 1 and "checkpoint-9.pt: damaged" in warnings[0]


def test_an_altered_checkpoint_is_not_read_as_a_good_one(tmp_path):
    _save(tmp_path, "epoch-1.pt")
    content = bytearray((tmp_path / "epoch-1.pt").read_bytes())
    (tmp_path / "epoch-1.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(RecipeError, match="damaged"):
        load_checkpoint(tmp_path / "epoch-1.pt")


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path):
    _save(tmp_path, "epoch-1.pt", update=1)
    before = (tmp_path / "epoch-1.pt").read_bytes()
    # A process of its own, since torch's writer would abort it where the disk is full; the limit
    # on file sizes makes writing fail as a full disk does.
    script = f"""
import resource, signal, sys
from pathlib import Path
import torch
from emformer.experiment.checkpoint import save_checkpoint
from emformer.errors import run_main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
path = Path({str(tmp_path)!r}) / "epoch-1.pt"
sys.exit(run_main(lambda: save_checkpoint(path, {{"model": {{"w": torch.ones(100_000)}}}})))
"""
    done = run_python("-c", script, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "make room" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["epoch-1.pt"]
    assert (tmp_path / "epoch-1.pt").read_bytes() == before


def _as_if_written_in_this_order(exp_dir, names) -> None:
    """The times that copying by name, unpacking or fetching leaves."""
    for second, name in enumerate(names):
        os.utime(exp_dir / name, (second, second))


@pytest.mark.parametrize(
    "updates, newest",
    [
        ({"epoch-9.pt": 90, "epoch-10.pt": 100, "checkpoint-95.pt": 95}, "epoch-10.pt"),
        ({"epoch-9.pt": 90, "epoch-10.pt": 100, "checkpoint-105.pt": 105}, "checkpoint-105.pt"),
        ({"epoch-2.pt": 20, "epoch-1.pt": 10}, "epoch-2.pt"),
        ({"checkpoint-1000.pt": 1000, "checkpoint-500.pt": 500}, "checkpoint-1000.pt"),
    ],
)
def test_the_checkpoint_of_most_updates_is_the_newest_whatever_the_times(tmp_path, updates, newest):
    for name, update in updates.items():
        _save(tmp_path, name, update=update)
    for names in itertools.permutations(updates):
        _as_if_written_in_this_order(tmp_path, names)
        path, state = load_newest(tmp_path, pytest.fail)
        assert (path.name, state["update"]) == (newest, updates[newest])


def test_files_of_other_names_are_no_checkpoints_of_a_run(tmp_path):
    for name in ("epoch-3.pt", "epoch-best.pt", "my-epoch-7.pt", "epoch-8.pt.part", "epoch-12.pth"):
        _save(tmp_path, name, update=3)
    assert numbered(tmp_path, "epoch") == {3: tmp_path / "epoch-3.pt"}
    model, found = load_model_for_decoding(tmp_path, use_averaged_model=False)
    assert found["epoch"] == 3


def test_the_batch_checkpoints_of_most_updates_are_kept_whatever_the_times(tmp_path):
    names = ("checkpoint-1000.pt", "checkpoint-500.pt", "checkpoint-1500.pt")
    for name in (*names, "epoch-1.pt"):
        _save(tmp_path, name)
    _as_if_written_in_this_order(tmp_path, names)
    remove_old(tmp_path, keep=2)
    assert {p.name for p in tmp_path.iterdir()} == {names[0], names[2], "epoch-1.pt"}


def test_the_average_between_two_checkpoints_is_that_of_the_samples_between():
    model = torch.nn.Linear(1, 1, bias=False)
    average, states = RunningAverage(model), []
    for value in (1.0, 2.0, 4.0, 9.0):
        model.weight.data.fill_(value)
        average.update(model)
        weights = {"weight": average.weights["weight"].clone()}
        states.append({"num_samples": average.num_samples, "weights": weights})
    assert float(average_between(None, states[3])["weight"]) == pytest.approx(4.0)
    assert float(average_between(states[1], states[3])["weight"]) == pytest.approx(6.5)
    with pytest.raises(ValueError, match="no sample"):
        average_between(states[2], states[2])


def test_decoding_takes_the_newest_epoch_as_it_is(tmp_path):
    _save(tmp_path, "epoch-2.pt", weight=2.0)
    _save(tmp_path, "epoch-10.pt", weight=10.0)
    model, found = load_model_for_decoding(tmp_path, use_averaged_model=False)
    assert (found["epoch"], _weight(model), model.training) == (10, 10.0, False)


def test_decoding_can_average_over_updates_or_over_epochs(tmp_path):
    _save(tmp_path, "epoch-1.pt", weight=1.0, samples=1)
    _save(tmp_path, "epoch-2.pt", weight=4.0, samples=3)
    over_updates, _ = load_model_for_decoding(tmp_path, 2, 1, use_averaged_model=True)
    assert _weight(over_updates) == pytest.approx((4.0 * 3 - 1.0 * 1) / 2)
    over_epochs, _ = load_model_for_decoding(tmp_path, 2, 2, use_averaged_model=False)
    assert _weight(over_epochs) == pytest.approx(2.5)


@pytest.mark.parametrize(
    "epoch, avg, said", [(3, 1, "epoch-3.pt"), (2, 3, "--avg 3"), (2, 0, "--avg 0")]
)
def test_a_missing_epoch_or_an_impossible_average_is_named(tmp_path, epoch, avg, said):
    _save(tmp_path, "epoch-2.pt")
    with pytest.raises(RecipeError, match=said):
        load_model_for_decoding(tmp_path, epoch, avg, use_averaged_model=False)


def test_an_empty_experiment_says_which_stage_trains(tmp_path):
    with pytest.raises(RecipeError, match="--stage 6"):
        load_model_for_decoding(tmp_path)


def test_weights_of_another_vocabulary_are_named(tmp_path):
    model = make_model(CONFIG.model, 5)
    with pytest.raises(RecipeError, match="another configuration or vocabulary: decoder.embedding"):
        load_weights(model, make_model(CONFIG.model, 6).state_dict(), tmp_path / "x.pt")


@pytest.mark.parametrize(
    "change, said", [("lacks", "lacks weight"), ("adds", "has an unknown weight")]
)
def test_missing_and_unknown_weights_are_named(tmp_path, change, said):
    model = make_model(CONFIG.model, 5)
    weights = model.state_dict()
    if change == "lacks":
        del weights["joiner.output_linear.bias"]
    else:
        weights["joiner.more"] = torch.zeros(1)
    with pytest.raises(RecipeError, match=said):
        load_weights(model, weights, tmp_path / "x.pt")


def test_a_checkpoint_of_another_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    _save(tmp_path, "epoch-1.pt")
    monkeypatch.undo()
    with pytest.raises(RecipeError, match="format 99, this code reads 1"):
        load_checkpoint(tmp_path / "epoch-1.pt")
