# SPDX-License-Identifier: Apache-2.0
"""A dense model in closed form: the command line, the sweep, and what is kept of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from emformer import decode
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint
from emformer.scoring.results import read_results
from omni_emformer import calibrate
from omni_emformer.supernet import calibrated_subnets
from omni_emformer.supernet.system import load_system
from omni_emformer.sweep import __main__ as sweep
from omni_plugin.calibration import Calibration
from tests.support.noise_corpus import write_cuts
from tests.support.random_supernets import write_checkpoint

SETTINGS = {
    "include": [r"^encoder\.emformer\."],
    "max_sparsity": 0.75,
    "valid_levels": [0.5],
    "seconds": 3.0,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("corpus")
    (root / "fbank").mkdir()
    for split, seconds in {"a": [0.9, 1.3, 0.8, 1.0], "test-a": [0.5, 1.1]}.items():
        write_cuts(root, split, seconds)
    file = root / "tiny.yaml"
    file.write_text("prefix: tiny\ntrain: [a]\ndev: [test-a]\ntest: [test-a]\nvocab_size: 8\n")
    return SimpleNamespace(data=root, yaml=file)


@pytest.fixture
def dense(tmp_path) -> Path:
    write_checkpoint(tmp_path / "dense", supernet=False)
    return tmp_path / "dense"


@pytest.fixture
def system(tmp_path) -> Path:
    return write_system(tmp_path / "closed.yaml")


def write_system(path: Path, **changes) -> Path:
    path.write_text(yaml.safe_dump({"calibrated": {**SETTINGS, **changes}}))
    return path


@pytest.fixture
def where(corpus) -> list[str]:
    data = ["--corpus", str(corpus.yaml), "--data-dir", str(corpus.data)]
    return [*data, "--on-the-fly-feats", "true"]


def zeros(state: dict) -> dict[str, float]:
    """Share of zeros of the encoder's matrices, by name."""
    return {
        name: float((value == 0).float().mean())
        for name, value in state.items()
        if name.startswith("encoder.emformer.") and value.dim() == 2
    }


def test_each_level_becomes_a_folder_that_decodes_like_any_other(dense, system, where):
    calibrate.main(["--exp-dir", str(dense), "--system", str(system), *where])
    for level in ("0.50", "0.75"):
        folder = dense / "closed" / level
        shares = zeros(load_checkpoint(folder / "epoch-1.pt")["model"])
        assert shares and set(shares.values()) == {float(level)}
        errors = json.loads((folder / "calibration.json").read_text())["errors"]
        assert set(errors) == set(shares) and all(0 < e < 1 for e in errors.values())
    decode.main([*where, "--exp-dir", str(dense / "closed" / "0.50")])
    (result,) = read_results(dense / "closed" / "0.50" / "results.jsonl")
    assert result.levels == [0.5, 0.5]


def test_the_sweep_decodes_what_was_calibrated(dense, system, where):
    calibrate.main(
        ["--exp-dir", str(dense), "--system", str(system), "--subnets", "0.5", *where]
    )  # fmt: skip
    sweep.main(["--exp-dir", str(dense), "--system", str(system), *where])
    results = read_results(dense / "results.jsonl")
    assert [(r.system, r.subnet) for r in results] == [
        ("dense", "dense"), ("closed", "0.50"), ("closed", "0.75"),
    ]  # fmt: skip
    assert [r.levels for r in results] == [[0, 0], [0.5, 0.5], [0.75, 0.75]]
    assert "_closed-8x1_sparsity-0.50" in results[1].recogs


def count_calibrations(monkeypatch) -> list:
    made, honest = [], Calibration.model

    def counting(self, choice):
        made.append(choice.name)
        return honest(self, choice)

    monkeypatch.setattr(Calibration, "model", counting)
    return made


def test_what_is_there_is_not_made_again_unless_it_was_made_of_something_else(
    dense, tmp_path, where, monkeypatch
):
    made = count_calibrations(monkeypatch)

    def run(**changes):
        system = write_system(tmp_path / "closed.yaml", **changes)
        words = ["--exp-dir", str(dense), "--system", str(system), "--subnets", "0.5", *where]
        calibrate.main(words)
        return load_checkpoint(dense / "closed" / "0.50" / "epoch-1.pt")["model"]

    first = run()
    assert made == ["0.50"]
    again = run(valid_levels=[0.5, 0.6])  # changes no weight
    assert made == ["0.50"]
    assert all(torch.equal(first[name], again[name]) for name in first)
    run(damping=0.1)
    assert made == ["0.50"] * 2
    write_checkpoint(dense, seed=1, supernet=False)
    run(damping=0.1)
    assert made == ["0.50"] * 3


def test_what_was_made_on_another_corpus_is_made_anew(dense, system, where, monkeypatch):
    made = count_calibrations(monkeypatch)
    words = ["--exp-dir", str(dense), "--system", str(system), "--subnets", "0.5", *where]
    calibrate.main(words)
    note = next(path for path in dense.rglob("*.json") if "made_of" in path.read_text())
    content = json.loads(note.read_text())
    content["made_of"]["corpus"] = "another"
    note.write_text(json.dumps(content))
    calibrate.main(words)
    assert made == ["0.50"] * 2


def test_what_was_interrupted_is_made_anew(dense, system, where, monkeypatch):
    words = ["--exp-dir", str(dense), "--system", str(system), "--subnets", "0.5", *where]
    honest = calibrated_subnets.write_checkpoint

    def interrupted(*words):
        honest(*words)
        raise KeyboardInterrupt

    monkeypatch.setattr(calibrated_subnets, "write_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        calibrate.main(words)
    monkeypatch.setattr(calibrated_subnets, "write_checkpoint", honest)
    calibrate.main(words)
    assert (dense / "closed" / "0.50" / "calibration.json").exists()


def test_utterances_are_spread_over_the_training_data(corpus, where):
    options = calibrate.streaming_decode.get_parser().parse_args(["--exp-dir", "-", *where])
    data = calibrated_subnets.AsrDataModule.from_args(options)
    every = [cut.id for cut in data.train_cuts()]
    # Of 0.9, 1.3, 0.8 and 1.0 s.
    assert [cut.id for cut in calibrated_subnets._spread(data, 2.0)] == every[::2]
    assert [cut.id for cut in calibrated_subnets._spread(data, 3.9)] == every
    assert [cut.id for cut in calibrated_subnets._spread(data, 2.1)] == every[:2]
    assert [cut.id for cut in calibrated_subnets._spread(data, 100.0)] == every


def test_a_model_with_a_supernet_of_its_own_is_refused(tmp_path, system, where):
    write_checkpoint(tmp_path / "omni")
    words = ["--exp-dir", str(tmp_path / "omni"), "--system", str(system), *where]
    with pytest.raises(RecipeError, match="has a supernet of its own; closed is made of a model"):
        calibrate.main(words)


def test_a_system_of_another_kind_is_refused(dense, tmp_path, where):
    other = tmp_path / "other.yaml"
    other.write_text("one_shot: {}\n")
    with pytest.raises(RecipeError, match="other.yaml has no section calibrated"):
        calibrate.main(["--exp-dir", str(dense), "--system", str(other), *where])


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"score": "best"}, "calibrated.score is 'best'; known: obs, wanda, magnitude"),
        ({"seconds": 0.0}, "calibrated.seconds is 0.0; it must be above 0"),
        ({"colour": "red"}, "calibrated: unknown 'colour'"),
    ],
)
def test_settings_that_are_impossible_are_told_with_their_file(tmp_path, changes, said):
    with pytest.raises(RecipeError, match=f"closed.yaml: {said}") as e:
        load_system(write_system(tmp_path / "closed.yaml", **changes))
    assert "\n" not in str(e.value)


def test_rules_that_cover_nothing_are_told(dense, tmp_path, where):
    system = write_system(tmp_path / "closed.yaml", include=["nothing"])
    with pytest.raises(RecipeError, match="calibrated: include rule 'nothing' matches none"):
        calibrate.main(["--exp-dir", str(dense), "--system", str(system), *where])
