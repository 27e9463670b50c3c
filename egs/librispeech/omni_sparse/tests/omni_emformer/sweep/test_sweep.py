# SPDX-License-Identifier: Apache-2.0
"""The sweep on small experiments with random weights: each cell once, whatever happens."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from emformer import decode, streaming_decode
from emformer.data.asr_datamodule import AsrDataModule
from emformer.decoding.model import fingerprint
from emformer.errors import RecipeError
from emformer.scoring.results import read_results
from emformer.scoring.wer import count_errors, read_recogs, write_recogs
from omni_emformer.sweep import __main__ as sweep
from omni_plugin import SuperNet
from tests.support.noise_corpus import write_cuts
from tests.support.processes import RECIPE
from tests.support.random_supernets import write_checkpoint
from tests.support.random_weights import random_model
from tests.support.supernets import write_system
from tests.support.touched import touched

SPLITS = ["test-a", "test-b"]  # of the fixture `corpus`
OMNI = str(RECIPE / "conf/systems/omni.yaml")
METHODS = ["greedy_search", "modified_beam_search"]


@pytest.fixture
def run(corpus, tmp_path):
    """Runs the sweep of ``tmp_path / "omni"`` with more options."""

    def sweep_it(*more: str, exp_dir: str = "omni"):
        where = ["--corpus", str(corpus.yaml), "--data-dir", str(corpus.data)]
        words = ["--exp-dir", str(tmp_path / exp_dir), *where, "--on-the-fly-feats", "true"]
        sweep.main([*words, *map(str, more)])
        return read_results(tmp_path / exp_dir / "results.jsonl")

    return sweep_it


@pytest.fixture
def omni(tmp_path) -> Path:
    write_checkpoint(tmp_path / "omni")
    return tmp_path / "omni"


def cells(results) -> list[tuple]:
    return [(r.system, r.subnet, r.split, r.mode, r.method) for r in results]


def test_every_level_is_decoded_by_every_method(omni, run):
    results = run("--methods", *METHODS)
    assert cells(results) == [
        ("omni", subnet, split, "chunk-wise", method)
        for split in SPLITS
        for subnet in ("dense", "0.50", "0.75")  # what the settings validate
        for method in METHODS
    ]
    sizes = {r.subnet: r.num_nonzero for r in results}
    assert sizes["dense"] > sizes["0.50"] > sizes["0.75"]
    levels = {r.subnet: r.levels for r in results}
    assert levels == {"dense": [0, 0], "0.50": [0.5, 0.5], "0.75": [0.75, 0.75]}
    assert len({r.weights for r in results}) == 3
    for r in results:
        assert (omni / r.recogs).is_file()
    assert len({r.recogs for r in results}) == len(results)


def test_of_a_model_pruned_to_one_size_only_that_is_decoded(tmp_path, run):
    write_checkpoint(tmp_path / "pruned", grow_from=1.0)
    assert {r.subnet for r in run(exp_dir="pruned")} == {"0.75"}


def test_a_cell_that_is_done_is_not_decoded_again(omni, run, capsys):
    run("--subnets", "0", "0.5")
    before = (omni / "results.jsonl").read_bytes()
    run("--subnets", "0", "0.5")
    assert (omni / "results.jsonl").read_bytes() == before
    assert "4 cells: 4 done before, 0 to decode in 0 runs" in capsys.readouterr().out
    results = run("--subnets", "0", "0.5", "0.75", "--modes", "simulated", "chunk-wise")
    assert len(results) == len(set(cells(results))) == 2 * 3 * 2


def test_a_finished_sweep_of_a_folder_that_cannot_be_written_to_writes_nothing(
    omni, run, monkeypatch
):
    results = run("--subnets", "0", "0.5")
    shutil.rmtree(omni / "log")  # which this process still holds open
    before = touched(omni)
    monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(omni))
    assert run("--subnets", "0", "0.5") == results
    with pytest.raises(RecipeError, match="cannot be written to; copy it and sweep the copy"):
        run("--subnets", "0.25")
    assert touched(omni) == before


def test_an_interrupted_sweep_goes_on(omni, run, monkeypatch):
    honest, count = streaming_decode.decode_split, 0

    def interrupted(*words):
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        return honest(*words)

    monkeypatch.setattr(streaming_decode, "decode_split", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("--methods", *METHODS)
    assert len(read_results(omni / "results.jsonl")) == 6
    monkeypatch.setattr(streaming_decode, "decode_split", honest)
    results = run("--methods", *METHODS)
    assert len(results) == len(set(cells(results))) == 12


def test_another_checkpoint_under_the_same_name_is_decoded_anew(omni, run):
    first = run("--subnets", "0.5", "--splits", "test-b")
    write_checkpoint(omni, seed=1)
    both = run("--subnets", "0.5", "--splits", "test-b")
    assert len(both) == 2 and cells(both[:1]) == cells(both[1:])
    assert both[0].weights == first[0].weights != both[1].weights
    assert both[0].train_updates == both[1].train_updates


def test_a_line_that_names_no_weights_is_no_cell(omni, run):
    (result,) = run("--subnets", "0", "--splits", "test-b")
    line = result.to_dict()
    for name in ("subnet", "settings", "weights", "recogs"):
        line.pop(name)
    (omni / "results.jsonl").write_text(json.dumps(line) + "\n")
    old, new = run("--subnets", "0", "--splits", "test-b")
    assert (old.subnet, old.weights) == ("dense", "")
    assert new.weights == result.weights


def test_a_split_whose_texts_have_changed_is_decoded_again(omni, run, tmp_path):
    one = ["--subnets", "0", "0.5"]
    assert len(run(*one)) == 4
    (tmp_path / "data" / "fbank").mkdir(parents=True)
    for split, seconds in {"test-a": [0.5, 1.1, 0.7], "test-b": [1.0, 0.4]}.items():
        text = "ONE TWO" if split == "test-b" else "\uff2f\uff2e\uff25 TWO  THREE"  # full-width
        write_cuts(tmp_path / "data", split, seconds, text)
    results = run(*one, "--data-dir", str(tmp_path / "data"))
    assert [(r.split, r.num_words) for r in results[4:]] == [("test-b", 4)] * 2
    assert results[4].references != results[2].references
    assert len(run(*one, "--data-dir", str(tmp_path / "data"))) == 6


@pytest.mark.parametrize("text, done", [("ONE TWO THREE", True), ("one two three", False)])
def test_an_older_line_tells_by_its_texts_what_it_was_scored_against(omni, run, text, done):
    one = ["--subnets", "0", "--splits", "test-b"]
    (result,) = run(*one)
    line = result.to_dict()
    for name in ("normalization", "references"):
        line.pop(name)
    recogs = omni / result.recogs
    texts = [u._replace(ref=text.split()) for u in read_recogs(recogs)]
    write_recogs(recogs, texts)
    counts = count_errors(texts)
    line |= {"ins": counts.ins, "del": counts.dels, "sub": counts.subs}
    (omni / "results.jsonl").write_text(json.dumps(line) + "\n")
    assert len(run(*one)) == (1 if done else 2)


def test_other_settings_of_a_method_are_other_cells(omni, run):
    one = ["--subnets", "0", "--splits", "test-b", "--methods", *METHODS]
    assert len(run(*one)) == 2
    results = run(*one, "--beam-size", "2")
    assert [(r.method, r.settings) for r in results] == [
        ("greedy_search", {}),
        ("modified_beam_search", {"beam_size": 4}),
        ("modified_beam_search", {"beam_size": 2}),
    ]


def test_the_weights_that_are_decoded_are_those_the_supernet_bakes(omni, run):
    results = run("--subnets", "0.5", "--splits", "test-b", "--use-averaged-model", "false")
    supernet = SuperNet(random_model(), include=[r"^encoder\.emformer\."])
    assert results[0].weights == fingerprint(supernet.baked_model(0.5))


# A dense model, pruned in one shot.


@pytest.fixture
def dense(tmp_path) -> Path:
    write_checkpoint(tmp_path / "dense", supernet=False)
    return tmp_path / "dense"


def test_a_dense_model_is_pruned_in_one_shot(dense, run, tmp_path):
    system = write_system(tmp_path / "omni.yaml", max_sparsity=0.75)
    results = run("--system", system, "--splits", "test-b", exp_dir="dense")
    assert [(r.system, r.subnet) for r in results] == [
        ("dense", "dense"), ("one_shot", "0.50"), ("one_shot", "0.75"),
    ]  # fmt: skip
    assert "_one-shot-8x1_sparsity-0.50" in results[1].recogs


def test_what_decoding_did_of_the_dense_model_is_not_done_again(dense, run, corpus, tmp_path):
    where = ["--corpus", str(corpus.yaml), "--data-dir", str(corpus.data)]
    words = [*where, "--on-the-fly-feats", "true", "--exp-dir", str(dense), "--splits", "test-b"]
    decode.main(words)
    streaming_decode.main(words)
    system = write_system(tmp_path / "omni.yaml")
    modes = ["--modes", "simulated", "chunk-wise"]
    results = run(
        "--system", system, "--subnets", "0", "0.5", "--splits", "test-b", *modes, exp_dir="dense"
    )
    assert [(r.system, r.mode) for r in results[2:]] == [
        ("one_shot", "simulated"),
        ("one_shot", "chunk-wise"),
    ]


def test_the_dense_network_beside_a_one_shot_system_is_the_dense_model(dense, run, tmp_path):
    system = write_system(tmp_path / "omni.yaml", max_sparsity=0.75)
    words = ("--system", system, "--splits", "test-b", "--subnets", "dense", "0.5")
    found = {(r.system, r.subnet) for r in run(*words, exp_dir="dense")}
    assert found == {("dense", "dense"), ("one_shot", "0.50")}


def test_without_a_system_a_dense_model_is_all_there_is(dense, run):
    results = run("--splits", "test-b", "--system-name", "small", exp_dir="dense")
    assert [(r.system, r.subnet) for r in results] == [("small", "dense")]
    with pytest.raises(RecipeError, match="holds no supernet.*conf/systems/one_shot.yaml"):
        run("--subnets", "0.5", exp_dir="dense")


def test_a_system_of_one_shot_pruning_says_how(dense, run, tmp_path):
    system = tmp_path / "mine.yaml"
    pruned = {"include": [r"^encoder\.emformer\."], "max_sparsity": 0.75, "valid_levels": [0.25]}
    system.write_text(yaml.safe_dump({"one_shot": pruned}))
    results = run("--system", system, "--splits", "test-b", exp_dir="dense")
    assert [r.subnet for r in results] == ["dense", "0.25", "0.75"]
    system.write_text("model: {}\n")
    with pytest.raises(RecipeError, match="system mine says nothing of how to prune"):
        run("--system", system, exp_dir="dense")


# Models that were made small for a level.


@pytest.mark.parametrize(
    "text, name", [("level: 0.7\nmatch_sparsity: {}\n", "0.70"),
                   ("level: 0.5\nmatch_depth: true\n", "units-4")],
)  # fmt: skip
def test_a_small_dense_model_has_the_name_of_what_it_is_as_small_as(dense, run, text, name):
    (dense / "system.yaml").write_text(f"name: small\n{text}")
    results = run("--splits", "test-b", exp_dir="dense")
    assert [(r.system, r.subnet) for r in results] == [("small", name)]
    assert results[0].levels == [0, 0]


def test_a_result_is_of_the_system_that_was_trained(omni, run):
    (omni / "system.yaml").write_text("name: mine\n")
    one = ["--splits", "test-b", "--subnets"]
    assert [r.system for r in run(*one, "0")] == ["mine"]
    assert [r.system for r in run(*one, "0.5", "--system-name", "b")] == ["mine", "b"]


# What it says and records.


def test_it_prints_a_line_a_cell_and_the_rest_goes_to_the_log(omni, run, capsys):
    run("--splits", "test-a", "--methods", *METHODS)
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "6 cells: 0 done before, 6 to decode in 3 runs"
    assert len(lines) == 8 and lines[-1] == f"results: {omni}/results.jsonl"
    assert all(f"[{n}/6] omni" in line and "WER" in line for n, line in enumerate(lines[1:-1], 1))
    assert said.err == ""
    (log,) = (omni / "log").glob("log-sweep-*")
    assert "decoding of" in log.read_text() and lines[1] in log.read_text()


def test_it_records_its_commands_and_what_it_covers(omni, run):
    for more in (["--subnets", "0"], ["--subnets", "0"], ["--subnets", "0.5"]):
        run(*more, "--splits", "test-b")
    record = json.loads((omni / "sweep.json").read_text())
    assert len(record["commands"]) == 2
    assert record["commands"][1].startswith("python3 -m omni_emformer.sweep --exp-dir ")
    assert "--subnets 0.5 --splits test-b" in record["commands"][1]
    covered = record["coverage"]["omni"]
    assert covered["pattern"] == "8x1" and covered["num_weights"] == 10
    # Of each layer: query, key and value, output, and two matrices of the feed-forward part.
    assert covered["num_params"] == 2 * (16 * 16 + 2 * 16 * 16 + 16 * 16 + 2 * 16 * 32)


def test_a_split_is_loaded_once(omni, run, monkeypatch):
    loaded = []
    honest = AsrDataModule.test_dataloader

    def counted(self, split, *more):
        loaded.append(split)
        return honest(self, split, *more)

    monkeypatch.setattr(AsrDataModule, "test_dataloader", counted)
    run("--modes", "simulated", "chunk-wise")
    assert loaded == SPLITS


# Mistakes.


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--subnets", "0.5", "0.501"], "--subnets 0.5 0.501: both are called 0.50"),
        (["--splits", "test-c"], "--splits test-c: corpus .* has .*test-a"),
        (["--epoch", "9"], "epoch-9.pt: no such checkpoint"),
        (["--system", OMNI], "has a supernet of its own; leave out --system"),
    ],
)
def test_a_mistake_is_one_line_and_decodes_nothing(omni, run, more, message):
    with pytest.raises(RecipeError, match=message) as e:
        run(*more)
    assert "\n" not in str(e.value)
    assert not (omni / "results.jsonl").exists()


def test_a_missing_experiment_is_not_made(run, tmp_path):
    with pytest.raises(RecipeError, match="omni: no such folder"):
        run()
    assert not (tmp_path / "omni").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--colour", "1"],
        ["--compare-encoders", "true"],
        ["--methods", "viterbi"],
        ["all"],
        ["--subnets", "1.0"],
        ["--subnets", "-0.5"],
        ["--subnets", "0,x"],
    ],
)
def test_an_option_it_has_not_is_a_usage_error(omni, run, words, capsys):
    with pytest.raises(SystemExit) as e:
        run(*words)
    assert e.value.code == 2
    assert words[0].lstrip("-") in capsys.readouterr().err
