# SPDX-License-Identifier: Apache-2.0
"""Which checkpoints are averaged, and what a baked one holds."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from omni_plugin import OmniError
from omni_plugin.icefall.bake import make_baker
from omni_plugin.icefall.source import Source
from omni_plugin.icefall.sweep import Sweep, older_set_aside, summaries
from tests.support.icefall.cases import STAND_IN
from tests.support.icefall.toy import compute, make_model, started


@pytest.fixture
def exp_dir(tmp_path, monkeypatch) -> Iterator[Path]:
    """Checkpoints as after epochs 1 to 3, each with other weights."""
    # The stand-in's modules must not be found by other tests.
    monkeypatch.setattr(sys, "path", list(sys.path))
    for epoch in (1, 2, 3):
        model = make_model(seed=epoch)
        session, params = started(model)
        session.compute_loss(compute(model), params, True)
        weights = model.state_dict()
        mean = {name: 0.9 * value for name, value in weights.items()}
        counts = {"batch_idx_train": 10 * epoch, "average_period": 2}
        saved = {"model": weights, "model_avg": mean, **counts, "omni": params["omni"]}
        torch.save(saved, tmp_path / f"epoch-{epoch}.pt")
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "icefall"]:
        del sys.modules[name]


def bake(exp_dir: Path, level: object = 0.75, **source) -> dict:
    baker = make_baker(STAND_IN.recipe, Source(exp_dir, **{"epoch": 3, **source}))
    subnet = baker.subnet(level)
    path = baker.write(subnet, exp_dir / subnet.name)
    return torch.load(path)["model"]


def dense(epoch: int) -> dict:
    return make_model(seed=epoch).state_dict()


@pytest.mark.parametrize("avg, epochs", [(1, (3,)), (2, (2, 3)), (9, (1, 2, 3))])
def test_plain_averages_are_those_of_the_last_checkpoints(exp_dir, avg, epochs):
    baked = bake(exp_dir, "dense", avg=avg, use_averaged_model=False)
    for name, value in baked.items():
        wanted = sum(dense(epoch)[name] for epoch in epochs) / len(epochs)
        torch.testing.assert_close(value, wanted)


def test_running_means_are_those_since_the_first_checkpoint(exp_dir):
    baked = bake(exp_dir, "dense", avg=2)
    for name, value in baked.items():
        wanted = 0.9 * (dense(3)[name] * 30 - dense(1)[name] * 10) / 20
        torch.testing.assert_close(value, wanted)


def test_zeros_are_exact_and_only_after_averaging(exp_dir):
    baked = bake(exp_dir, 0.75, avg=2, use_averaged_model=False)
    whole = bake(exp_dir, "dense", avg=2, use_averaged_model=False)
    ranks = torch.load(exp_dir / "epoch-3.pt")["omni"]["ranks"]
    assert "encoder.layers.0.up.weight" in ranks
    for name, value in baked.items():
        kept = value != 0
        assert torch.equal(value[kept], whole[name][kept])
        if name in ranks:
            assert kept.sum() == value.numel() / 4
            # The quarter that the last checkpoint's ranking has on top: 8 rows by 1 column.
            blocks = kept.flatten(1).unflatten(0, (-1, 8)).all(1)
            assert set(ranks[name][blocks].tolist()) == set(
                range(ranks[name].numel() * 3 // 4, ranks[name].numel())
            )
        else:
            assert torch.equal(value, whole[name])


def test_levels_by_name_and_sparsest(exp_dir):
    by_name = bake(exp_dir, {"up": 0.5}, use_averaged_model=False)
    zeros = {name for name, value in by_name.items() if (value == 0).float().mean() > 0.3}
    assert zeros == {"encoder.layers.0.up.weight"}
    sparsest = bake(exp_dir, "sparsest", use_averaged_model=False)
    assert (sparsest["encoder.embed.weight"] == 0).float().mean() == pytest.approx(0.9, abs=0.02)


def test_a_checkpoint_that_was_not_baked_is_never_replaced(exp_dir):
    (exp_dir / "0.75").mkdir()
    (exp_dir / "0.75/epoch-99.pt").write_bytes(b"mine")
    with pytest.raises(OmniError, match="was not baked here"):
        bake(exp_dir)
    assert (exp_dir / "0.75/epoch-99.pt").read_bytes() == b"mine"


def test_other_checkpoints_are_baked_anew_and_the_same_are_not(exp_dir):
    bake(exp_dir, use_averaged_model=False)
    path = exp_dir / "0.75/epoch-99.pt"
    first = path.stat().st_mtime_ns
    bake(exp_dir, use_averaged_model=False)
    assert path.stat().st_mtime_ns == first
    other = bake(exp_dir, epoch=2, use_averaged_model=False)
    assert torch.equal(other["decoder.weight"], dense(2)["decoder.weight"])


def test_a_copied_and_renamed_experiment_is_the_same_and_another_average_is_not(exp_dir, tmp_path):
    bake(exp_dir, avg=1)
    copy = tmp_path / "copy"
    shutil.copytree(exp_dir, copy, ignore=shutil.ignore_patterns("copy"))
    for number, path in enumerate(sorted(copy.glob("*.pt"))):
        os.utime(path, (number, number))
    path = copy / "0.75/epoch-99.pt"
    path.write_bytes(b"as it was baked")
    baker = make_baker(STAND_IN.recipe, Source(copy, epoch=3))
    assert baker.write(baker.subnet(0.75), copy / "0.75").read_bytes() == b"as it was baked"

    def fingerprint(folder, **source):
        baker = make_baker(STAND_IN.recipe, Source(folder, **source))
        return Sweep(STAND_IN.recipe, baker, folder).fingerprint

    assert fingerprint(copy, epoch=3) == fingerprint(exp_dir, epoch=3)
    # Both are made of the files of epochs 2 and 3.
    plain = fingerprint(copy, epoch=3, avg=2, use_averaged_model=False)
    assert plain != fingerprint(copy, epoch=3, avg=1)


def test_a_recipe_is_called_by_its_folder_however_it_is_reached(exp_dir, monkeypatch):
    baker = make_baker(STAND_IN.recipe, Source(exp_dir, epoch=3))
    monkeypatch.chdir(STAND_IN.recipe)
    assert Sweep(Path("."), baker, exp_dir).system == STAND_IN.recipe.name


def test_missing_checkpoints_are_named(exp_dir):
    with pytest.raises(OmniError, match="epoch-0.pt: not enough checkpoints"):
        bake(exp_dir, avg=3)
    with pytest.raises(OmniError, match="epoch-7.pt: not enough"):
        bake(exp_dir, epoch=7, use_averaged_model=False)


def test_a_dense_checkpoint_is_no_supernets(exp_dir):
    torch.save({"model": dense(1)}, exp_dir / "epoch-4.pt")
    with pytest.raises(OmniError, match="not a supernet's checkpoint"):
        bake(exp_dir, epoch=4, use_averaged_model=False)


@pytest.mark.parametrize(
    "name, split, settings",
    [
        # What icefall's decode.py of zipformer, its streaming_decode.py, and older recipes write.
        ("wer-summary-test-clean-epoch-99_avg-1_chunk-16_context-2.txt", "test-clean", "greedy"),
        ("wer-summary_test-other_greedy_search_epoch-99_avg-1.txt", "test-other", "greedy"),
        ("wer-summary-test-other-epoch-99-avg-1-beam-size-4.txt", "test-other", "beam_size_4"),
    ],
)
def test_word_error_rates_are_read_from_files_as_icefall_names_them(
    tmp_path, name, split, settings
):
    folder = tmp_path / "streaming/greedy_search"
    folder.mkdir(parents=True)
    (folder / name).write_text(f"settings\tWER\n{settings}\t7.25\n")
    (found,) = summaries(tmp_path)
    wanted = {"split": split, "method": "streaming/greedy_search", "settings": settings}
    assert {**found, **wanted, "wer": 7.25} == found


def test_only_what_a_script_wrote_counts_and_nothing_else_is_lost(tmp_path):
    texts = {}
    for method in ("greedy_search", "modified_beam_search"):
        path = tmp_path / method / "wer-summary-test-epoch-99.txt"
        path.parent.mkdir()
        path.write_text(f"settings\tWER\n{method}\t7.25\n")
        texts[path] = path.read_text()
    again = tmp_path / "greedy_search" / "wer-summary-test-epoch-99.txt"
    times = again.stat()
    with older_set_aside(tmp_path):
        again.write_text(texts[again])  # the same figures, at the same time
        os.utime(again, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert [one["method"] for one in summaries(tmp_path)] == ["greedy_search"]
    assert {p: p.read_text() for p in tmp_path.rglob("*") if p.is_file()} == texts


def test_a_script_that_fails_loses_no_summary(tmp_path):
    path = tmp_path / "wer-summary-test-epoch-99.txt"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), older_set_aside(tmp_path):
        raise KeyboardInterrupt
    assert [p.read_text() for p in tmp_path.iterdir()] == ["before"]


def test_a_file_of_another_kind_is_not_taken_for_a_summary(tmp_path):
    (tmp_path / "wer-summary-mine.txt").write_text("")
    with pytest.raises(OmniError, match="no name of a wer-summary file"):
        list(summaries(tmp_path))


def test_a_baked_folder_says_what_it_was_made_of(exp_dir):
    bake(exp_dir, use_averaged_model=False)
    said = json.loads((exp_dir / "0.75/baked.json").read_text())
    digest = hashlib.sha256((exp_dir / "epoch-3.pt").read_bytes()).hexdigest()
    assert said["source"] == "epoch-3-avg-1" and said["files"] == [digest]
    assert set(said["subnet"]["levels"]) == {0.75}
