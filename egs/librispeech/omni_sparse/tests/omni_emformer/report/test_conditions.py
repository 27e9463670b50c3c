# SPDX-License-Identifier: Apache-2.0
"""Unlike trainings and mute networks: told on the page, and no claim rests on them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from emformer.config import Config
from omni_emformer.report.__main__ import write_report
from omni_emformer.report.claims import NOT, REPRODUCED, UNLIKE, Claims
from omni_emformer.report.conditions import differences, read_conditions
from omni_emformer.report.experiments import read_experiment
from omni_emformer.report.runs import Runs
from tests.support.made_up_results import GREEDY, SIZES, add_result, section


def write_config(folder: Path, **sections) -> None:
    folder.mkdir(exist_ok=True)
    config = Config.from_dict(sections, "test").to_dict()
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def write_runs(root: Path, omni: dict, *, config: dict | None = None, **changes) -> list[Path]:
    """A dense model and a supernet with so many wrong words by size, and their settings."""
    write_config(root / "dense")
    write_config(root / "omni", **(config or {}))
    add_result(root / "dense", "dense", "dense", 4)
    for subnet, errors in omni.items():
        add_result(root / "omni", "omni", subnet, errors, **changes)
    return [root / "dense", root / "omni"]


def claims_of(folders: list[Path]) -> Claims:
    return Claims(Runs([read_experiment(folder) for folder in folders]), GREEDY)


def page_of(folders: list[Path]) -> str:
    experiments = [read_experiment(folder) for folder in folders]
    return write_report(experiments, folders[0].parent / "out").read_text()


GOOD = {"dense": 4, "0.50": 6}


def test_equal_settings_are_no_difference(tmp_path):
    write_config(tmp_path / "a", training={"num_epochs": 3, "num_workers": 0})
    write_config(tmp_path / "b")
    assert differences(*map(read_conditions, (tmp_path / "a", tmp_path / "b"))) == []


def test_a_setting_that_differs_is_named(tmp_path):
    write_config(tmp_path / "a", model={"encoder_dim": 32})
    write_config(tmp_path / "b", training={"base_lr": 0.1})
    assert differences(*map(read_conditions, (tmp_path / "a", tmp_path / "b"))) == [
        "model.encoder_dim 32 in place of 144",
        "training.base_lr 0.003 in place of 0.1",
    ]


@pytest.mark.parametrize(
    "system", ["match_depth: true", "match_sparsity: {pattern: 8x1}", "model: {encoder_dim: 32}"]
)
def test_what_a_system_changes_itself_is_no_difference(tmp_path, system):
    write_config(tmp_path / "a", model={"encoder_dim": 32})
    (tmp_path / "a" / "system.yaml").write_text(f"name: mine\n{system}\n")
    write_config(tmp_path / "b")
    assert differences(*map(read_conditions, (tmp_path / "a", tmp_path / "b"))) == []


def test_what_a_chain_changes_for_its_steps_is_no_difference(tmp_path):
    training = {"epoch_share": 0.2, "warmup_fraction": 0.3, "base_lr": 0.1}
    write_config(tmp_path / "a", training=training)
    chain = "chain: {shares: [0.1], training: {warmup_fraction: 0.3}}"
    (tmp_path / "a" / "system.yaml").write_text(f"name: mine\n{chain}\n")
    write_config(tmp_path / "b")
    found = differences(*map(read_conditions, (tmp_path / "a", tmp_path / "b")))
    assert found == ["training.base_lr 0.1 in place of 0.003"]


def test_the_steps_of_a_chain_may_have_fewer_updates(tmp_path):
    folders = write_runs(tmp_path, GOOD)
    add_result(tmp_path / "chain-0.50", "chain", "0.50", 5, train_updates=20)
    write_config(tmp_path / "chain-0.50")
    system = "name: chain\nlevel: 0.5\nchain: {shares: [0.1]}\n"
    (tmp_path / "chain-0.50" / "system.yaml").write_text(system)
    assert "## Set apart" not in page_of([*folders, tmp_path / "chain-0.50"])


@pytest.mark.parametrize("content", [b"training: [", b"\xff\xfe\x00", b"- 1\n"])
def test_a_damaged_configuration_tells_nothing(tmp_path, content):
    (tmp_path / "config.yaml").write_bytes(content)
    assert read_conditions(tmp_path) is None


def test_a_folder_that_does_not_tell_is_not_held_against_anyone(tmp_path):
    write_config(tmp_path / "b")
    assert read_conditions(tmp_path / "a") is None
    assert differences(None, read_conditions(tmp_path / "b")) == []


def test_like_trainings_have_differences_and_no_section(tmp_path):
    page = page_of(write_runs(tmp_path, GOOD))
    assert "## Set apart" not in page and "## Mute" not in page
    row = next(row for row in section(page, "WER: greedy")[1:] if row[0] == "omni")
    assert row[4] != "-"


def test_an_unlike_model_is_set_apart(tmp_path):
    folders = write_runs(tmp_path, GOOD, config={"model": {"encoder_dim": 32}})
    page = page_of(folders)
    assert "- **omni**: model.encoder_dim 32 in place of 144" in page
    assert all(row[4] == "-" for row in section(page, "WER: greedy")[1:] if row[0] == "omni")
    assert claims_of(folders).verdicts() == []


def test_another_number_of_updates_is_set_apart(tmp_path):
    page = page_of(write_runs(tmp_path, GOOD, train_updates=700))
    assert "- **omni**: 700 updates of 500" in page
    assert all(row[4] == "-" for row in section(page, "WER: greedy")[1:] if row[0] == "omni")


def test_a_longer_training_that_costs_more_has_no_verdict(tmp_path):
    folders = write_runs(tmp_path, {"dense": 4, "0.50": 2}, train_updates=700, train_cost=3000.0)
    add_result(tmp_path / "pruned-0.50", "pruned", "0.50", 9)
    found = claims_of([*folders, tmp_path / "pruned-0.50"])
    assert [one.verdict for one in found.verdicts() if "pruned one by one" in one.claim] == [UNLIKE]


def mute(**changes) -> dict:
    """All words are missing."""
    return {"wer": 100.0, "ins": 0, "del_": 100, "sub": 0, **changes}


def test_a_mute_network_is_told_and_reproduces_no_cost(tmp_path):
    folders = write_runs(tmp_path, GOOD)
    assert [one.verdict for one in claims_of(folders).verdicts()] == [REPRODUCED]
    add_result(folders[1], "omni", "0.90", 20, **mute())
    assert "- **omni, 0.90** on test-clean: WER 100.00 %, 100.0 % of the words" in page_of(folders)
    (one,) = claims_of(folders).verdicts()
    assert one.verdict == NOT and one.measured.endswith("; mute: 0.90")


def test_the_missing_words_of_a_mute_network_are_those_of_all_seeds(tmp_path):
    folders = write_runs(tmp_path, GOOD)
    for seed, missing in ((0, 100), (1, 90)):
        folder = folders[1] if seed == 0 else tmp_path / "omni-seed1"
        add_result(folder, "omni", "0.90", 20, seed=seed, **mute(del_=missing))
    page = page_of([*folders, tmp_path / "omni-seed1"])
    assert "- **omni, 0.90** on test-clean: WER 100.00 %, 95.0 % of the words" in page


def test_where_all_are_mute_nothing_is_reproduced(tmp_path):
    write_config(tmp_path / "dense")
    add_result(tmp_path / "dense", "dense", "dense", 20, **mute())
    for subnet in SIZES:
        add_result(tmp_path / "omni", "omni", subnet, 20, **mute())
    found = claims_of([tmp_path / "dense", tmp_path / "omni"])
    assert [one.verdict for one in found.verdicts()] == [NOT]


def test_to_be_better_than_a_mute_model_is_no_claim(tmp_path):
    folders = write_runs(tmp_path, GOOD)
    add_result(tmp_path / "pruned-0.50", "pruned", "0.50", 20, **mute())
    found = claims_of([*folders, tmp_path / "pruned-0.50"])
    assert not [one for one in found.verdicts() if "pruned one by one" in one.claim]
