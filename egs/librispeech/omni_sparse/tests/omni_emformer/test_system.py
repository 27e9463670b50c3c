# SPDX-License-Identifier: Apache-2.0
"""Systems as files, and what the training stage says of bad ones: one line."""

import sys

import pytest

from emformer.errors import RecipeError, run_main
from omni_emformer import train
from omni_emformer.system import load_system
from omni_plugin import OmniTraining, SparsitySettings
from tests.conftest import RECIPE, run_module
from tests.emformer.training import words
from tests.omni_emformer.supernets import SANDWICH, settings, write_system

SYSTEMS = sorted((RECIPE / "conf" / "systems").glob("*.yaml"))


def write(path, text: str):
    path.write_text(text)
    return path


def test_a_system_is_a_name_and_settings(tmp_path):
    system = load_system(write_system(tmp_path / "mine.yaml", **SANDWICH))
    assert system.name == "mine"
    assert system.sparsity == settings(**SANDWICH)


def test_nothing_said_is_the_default(tmp_path):
    assert load_system(write(tmp_path / "a.yaml", "sparsity: {}\n")).sparsity == SparsitySettings()


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: path.stem)
def test_the_recipes_systems_fit_its_demo_model(path):
    from emformer.config import load_config
    from emformer.model import make_model

    model = make_model(load_config(RECIPE / "conf" / "demo.yaml").model, 64)
    omni = OmniTraining(model, load_system(path).sparsity, total_updates=100)
    assert omni.supernet.covered_share() > 0.5
    for update in (0, 50, 99):
        assert omni.passes(update)


BAD = {
    "no YAML": ("sparsity: [", "bad.yaml: not YAML: "),
    "nothing": ("", "bad.yaml: a system has the section sparsity and no other"),
    "no section": ("pattern: 8x1\n", "bad.yaml: a system has the section sparsity and no other"),
    "an unknown section": ("sparsity: {}\ntraining: {}\n", "bad.yaml: a system has the section"),
    "an unknown key": ("sparsity: {levls: [0.5]}\n", "bad.yaml: sparsity: unknown 'levls'; known:"),
    "a wrong type": (
        "sparsity: {max_sparsity: much}\n",
        "bad.yaml: sparsity.max_sparsity: 'much' is not of type float",
    ),
    "a wrong value": (
        "sparsity: {freeze_from: 2}\n",
        "bad.yaml: sparsity.freeze_from is 2; it must lie in [0, 1]",
    ),
}


@pytest.mark.parametrize("text, said", BAD.values(), ids=BAD)
def test_a_bad_file_is_named_in_one_line(tmp_path, text, said):
    with pytest.raises(RecipeError) as e:
        load_system(write(tmp_path / "bad.yaml", text))
    assert said in str(e.value) and "\n" not in str(e.value)


def test_a_missing_file_is_named_in_one_line(tmp_path):
    with pytest.raises(RecipeError, match="none.yaml: no such system .*; see conf/systems"):
        load_system(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="no such system"):
        load_system(tmp_path)  # a folder


# The training stage.


@pytest.fixture
def start(tiny_data, tiny_config, tmp_path, monkeypatch, capsys):
    """Runs the stage with a system; gives its exit status and what it says as an error."""

    def main(system) -> tuple[int, list[str]]:
        given = words(tiny_data, tiny_config, tmp_path / "exp", "--system", str(system))
        monkeypatch.setattr(sys, "argv", ["train", *given])
        status = run_main(train.main)
        said = capsys.readouterr().err.splitlines()
        return status, [line for line in said if line.startswith("error: ")]

    return main


IMPOSSIBLE = {
    "sparsity above 1": (
        {"max_sparsity": 1.2},
        "error: sparsity: max_sparsity is 1.2; it must lie in [0, 1)",
    ),
    "sparsity of 1": (
        {"max_sparsity": 1},
        "error: sparsity: max_sparsity is 1; it must lie in [0, 1)",
    ),
    "a negative level": (
        {"levels": [-0.5]},
        "error: sparsity: levels is -0.5; it must lie in [0, 1)",
    ),
    "rules that match nothing": (
        {"include": ["^encoder[.]zipformer"]},
        "error: sparsity: include rule '^encoder[.]zipformer' matches none of the model's",
    ),
    "a pattern that does not fit": (
        {"pattern": "64x1"},
        "error: sparsity: encoder.emformer.emformer_layers.0.attention.emb_to_key_value.weight:",
    ),
    "an unknown sampler": (
        {"sampler": {"name": "triple"}},
        "error: sparsity: sampler 'triple' is unknown; known: single,",
    ),
}


@pytest.mark.parametrize("changes, said", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_settings_that_are_impossible_end_the_stage_in_one_line(start, tmp_path, changes, said):
    status, errors = start(write_system(tmp_path / "bad.yaml", **changes))
    assert status == 1
    assert len(errors) == 1 and errors[0].startswith(said)


def test_the_stage_itself_ends_so(tmp_path):
    """As a process, which reads the system before all else."""
    bad = write(tmp_path / "bad.yaml", "sparsity: {max_sparsty: 0.9}\n")
    given = ["--system", str(bad), "--exp-dir", str(tmp_path / "exp")]
    done = run_module("omni_emformer.train", *given, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {bad}: sparsity: unknown 'max_sparsty'; known: pattern, score")


def test_the_stage_trains(start, tmp_path):
    status, errors = start(write_system(tmp_path / "good.yaml"))
    assert (status, errors) == (0, [])
    assert (tmp_path / "exp" / "epoch-2.pt").exists()
    assert "--system" in (tmp_path / "exp" / "run.sh").read_text()
