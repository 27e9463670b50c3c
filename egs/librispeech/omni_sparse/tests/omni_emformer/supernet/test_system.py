# SPDX-License-Identifier: Apache-2.0
"""Systems as files, and what the training stage says of bad ones: one line."""

import copy
import dataclasses
import logging
import sys

import pytest
import yaml

from emformer.config import load_config
from emformer.errors import RecipeError, run_main
from emformer.model import make_model
from emformer.training.method import TrainingMethod
from omni_emformer import train
from omni_emformer.report.conditions import read_conditions
from omni_emformer.supernet.growth import Core
from omni_emformer.supernet.layer_method import LayerMethod
from omni_emformer.supernet.method import OmniMethod
from omni_emformer.supernet.system import load_system
from omni_plugin import SparsitySettings, SuperNet
from tests.support.processes import RECIPE, run_module
from tests.support.supernets import SANDWICH, settings, write_system
from tests.support.training import words

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
    system = load_system(path)
    config = load_config(RECIPE / "conf" / "demo.yaml")
    for level in system.levels or [None]:
        one = system.at(level)
        model = make_model(one.configure(config, 64).model, 64)
        if not one.is_trained:
            continue
        networks = {"teacher": copy.deepcopy(model)} if one.chain else {}
        if one.chain and one.chain.around:
            sparse = SuperNet(model, "8x1", [r"^encoder\.emformer\."]).baked_model(one.chain.core)
            networks["core"] = Core(sparse, model)
        method = train.method_of(one, seed=0, rank=0)(config.training, 100, **networks)
        method.wrap(model)
        for update in (0, 50, 99):
            assert method.passes(update)


# What a file may say.


def test_nothing_but_the_configurations_model_is_a_system(tmp_path):
    system = load_system(write(tmp_path / "a.yaml", "model: {}\n"))
    assert system.sparsity is system.layers is None
    config = load_config(RECIPE / "conf" / "demo.yaml")
    assert system.configure(config, 64) == config


def test_a_system_may_have_another_model(tmp_path):
    system = load_system(write(tmp_path / "a.yaml", "model: {num_layers: 2, ffn_dim: 64}\n"))
    config = load_config(RECIPE / "conf" / "demo.yaml")
    changed = dataclasses.replace(config.model, num_layers=2, ffn_dim=64)
    assert system.configure(config, 64) == dataclasses.replace(config, model=changed)


@pytest.mark.parametrize("setting", ["colour: red", "num_layers: two"])
def test_a_model_setting_that_is_none_is_named(tmp_path, setting):
    system = load_system(write(tmp_path / "a.yaml", f"model: {{{setting}}}\n"))
    config = load_config(RECIPE / "conf" / "demo.yaml")
    with pytest.raises(RecipeError, match=f"system a: model.*{setting.split(':')[0]}"):
        system.configure(config, 64)


def test_a_file_may_be_like_another_but_for_what_it_says(tmp_path):
    write_system(tmp_path / "one.yaml", score="l2")
    text = "like: one.yaml\nsparsity: {score: random, refresh_every: 7}\nmodel: {num_layers: 2}\n"
    system = load_system(write(tmp_path / "two.yaml", text))
    assert system.sparsity == settings(score="random", refresh_every=7)
    assert (system.name, system.model) == ("two", {"num_layers": 2})


def test_a_level_is_trained_alone(tmp_path):
    text = "levels: [0.5, 0.8]\nsparsity: {refresh_every: 3}\n"
    system = load_system(write(tmp_path / "a.yaml", text))
    one = system.at(0.8)
    assert one.sparsity == SparsitySettings(max_sparsity=0.8, valid_levels=(0.8,), refresh_every=3)
    assert (one.level, one.levels) == (0.8, ())
    for level in (None, 0.7):
        with pytest.raises(RecipeError, match=f"--level {level}: .* system a are 0.5, 0.8"):
            system.at(level)


def test_a_system_without_levels_has_none(tmp_path):
    system = load_system(write_system(tmp_path / "a.yaml"))
    assert system.at(None) is system
    with pytest.raises(RecipeError, match="--level 0.5: the levels of system a are none"):
        system.at(0.5)


def test_each_kind_of_system_has_its_method():
    found = {}
    for path in SYSTEMS:
        system = load_system(path)
        if not system.is_trained:
            with pytest.raises(RecipeError, match="prunes the dense model and is not trained"):
                train.method_of(system, 0, 0)
            continue
        method = train.method_of(system, 0, 0)
        found[path.stem] = getattr(method, "func", method)
    assert found["dense"] is found["small_dense"] is found["shallow"] is TrainingMethod
    assert found["omni"] is found["dsnn"] is found["pruned"] is found["random_mask"] is OmniMethod
    assert found["simple_top_k"] is found["combined"] is LayerMethod


def test_what_was_not_said_is_not_told(tmp_path):
    assert load_system(RECIPE / "conf/systems/dense.yaml").to_dict() == {"name": "dense"}
    small = load_system(RECIPE / "conf/systems/small_dense.yaml").at(0.5).to_dict()
    assert list(small) == ["name", "level", "match_sparsity"]
    assert list(small["match_sparsity"]) == ["pattern", "include", "exclude"]
    assert yaml.safe_load(yaml.safe_dump(small)) == small


BAD = {
    "no YAML": ("sparsity: [", "bad.yaml: not YAML: "),
    "nothing": ("", "bad.yaml: a system has lines of the form 'name: value'"),
    "no section": ("pattern: 8x1\n", "bad.yaml: a system has the sections sparsity, layers,"),
    "an unknown section": ("sparsity: {}\ntraining: {}\n", "bad.yaml: a system has the section"),
    "two kinds": (
        "sparsity: {}\nmatch_depth: true\n",
        "bad.yaml: sparsity and match_depth are two systems; make two files",
    ),
    "layers of a dense model": (
        "layers: {}\nlevels: [0.5]\nmatch_depth: true\n",
        "bad.yaml: match_depth and layers are two systems",
    ),
    "levels of nothing": ("model: {}\nlevels: [0.5]\n", "bad.yaml: levels need sparsity"),
    "levels of a selection": ("layers: {}\nlevels: [0.5]\n", "bad.yaml: levels need sparsity"),
    "no levels": ("match_depth: true\n", "bad.yaml: match_depth needs levels"),
    "levels that are none": (
        "sparsity: {}\nlevels: [0.5, 1]\n",
        "bad.yaml: levels is [0.5, 1]; give a list of numbers between 0 and 1",
    ),
    "a model that is none": ("model: 3\n", "bad.yaml: model: expected settings, found 3"),
    "an unknown selector": ("layers: {size: [2]}\n", "bad.yaml: layers: unknown 'size'; known:"),
    "like itself": ("like: bad.yaml\n", "bad.yaml: a file that others are like cannot itself"),
    "like nothing": ("like: none.yaml\n", "none.yaml: no such system"),
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

    def main(system, *more: str) -> tuple[int, list[str]]:
        given = words(tiny_data, tiny_config, tmp_path / "exp", "--system", str(system), *more)
        monkeypatch.setattr(sys, "argv", ["train", *given])
        status = run_main(train.main)
        said = capsys.readouterr().err.splitlines()
        return status, [line for line in said if line.startswith("error: ")]

    return main


IMPOSSIBLE = {
    "sparsity above 1": (
        {"max_sparsity": 1.2},
        "bad.yaml: sparsity: max_sparsity is 1.2; it must lie in [0, 1)",
    ),
    "sparsity of 1": (
        {"max_sparsity": 1},
        "bad.yaml: sparsity: max_sparsity is 1; it must lie in [0, 1)",
    ),
    "a negative level": (
        {"levels": [-0.5]},
        "bad.yaml: sparsity: levels is -0.5; it must lie in [0, 1)",
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
        "bad.yaml: sparsity.sampler: sampler 'triple' is unknown; known: single,",
    ),
}


@pytest.mark.parametrize("changes, said", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_settings_that_are_impossible_end_the_stage_in_one_line(start, tmp_path, changes, said):
    status, errors = start(write_system(tmp_path / "bad.yaml", **changes))
    assert status == 1
    assert len(errors) == 1 and said in errors[0]


def test_the_stage_itself_ends_so(tmp_path):
    """As a process, which reads the system before all else."""
    bad = write(tmp_path / "bad.yaml", "sparsity: {max_sparsty: 0.9}\n")
    given = ["--system", str(bad), "--exp-dir", str(tmp_path / "exp")]
    done = run_module("omni_emformer.train", *given, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {bad}: sparsity: unknown 'max_sparsty'; known: pattern, score")


def test_the_stage_trains_and_tells_what(start, tmp_path):
    path = write_system(tmp_path / "good.yaml")
    assert start(path) == (0, [])
    exp_dir = tmp_path / "exp"
    assert (exp_dir / "epoch-2.pt").exists()
    assert "--system" in (exp_dir / "run.sh").read_text()
    told = yaml.safe_load((exp_dir / "system.yaml").read_text())
    assert told == {**load_system(path).to_dict(), "seed": 0}
    assert told["sparsity"]["score"] == "l1"  # which the file does not say


SET = ["--set", "sparsity.refresh_every=4", "--set", "training.base_lr=0.001 model.ffn_dim=48"]


def test_what_is_set_is_part_of_what_the_experiments_folder_tells(start, tmp_path):
    assert start(write_system(tmp_path / "good.yaml"), *SET) == (0, [])
    exp_dir = tmp_path / "exp"
    assert yaml.safe_load((exp_dir / "system.yaml").read_text())["sparsity"]["refresh_every"] == 4
    config = load_config(exp_dir / "config.yaml")
    assert (config.training.base_lr, config.model.ffn_dim) == (0.001, 48)
    conditions = read_conditions(exp_dir)
    assert (conditions["training.base_lr"], conditions["model.ffn_dim"]) == (0.001, 48)
    assert "sparsity.refresh_every=4" in (exp_dir / "run.sh").read_text()


@pytest.mark.parametrize(
    "more, said",
    [
        (SET[2:], "system.yaml: sparsity.refresh_every was 4 and is now 3; use another --exp-dir"),
        (
            [*SET[:2], "--set", "model.ffn_dim=48"],
            "trained with training.base_lr 0.001, now 0.003; use another --exp-dir",
        ),
    ],
)
def test_a_run_goes_on_with_the_same_settings_alone(start, tmp_path, more, said):
    path = write_system(tmp_path / "good.yaml")
    start(path, *SET)
    status, errors = start(path, *more)
    assert status == 1 and len(errors) == 1 and said in errors[0]
    assert start(path, *SET) == (0, [])


def test_a_setting_that_has_an_option_is_given_once(start, tmp_path):
    path = write_system(tmp_path / "good.yaml")
    status, errors = start(path, "--base-lr", "0.1", "--set", "training.base_lr=0.002")
    assert status == 1
    assert errors == [
        "error: --set training.base_lr=0.002: --base-lr says it, too; give one of them"
    ]
    assert not (tmp_path / "exp").exists()


def test_a_finished_training_is_left_without_a_look_at_its_data(
    start, tmp_path, monkeypatch, caplog
):
    path = write_system(tmp_path / "good.yaml")
    start(path)
    before = (tmp_path / "exp" / "epoch-2.pt").read_bytes()

    def no_trainer(*_):
        raise AssertionError

    monkeypatch.setattr(train, "make_trainer", no_trainer)
    with caplog.at_level(logging.INFO):
        assert start(path) == (0, [])
    assert (tmp_path / "exp" / "epoch-2.pt").read_bytes() == before


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"refresh_every": 4}, "sparsity.refresh_every was 3 and is now 4; use another --exp-dir"),
        ({"score": "l2"}, "sparsity.score was l1 and is now l2"),
    ],
)
def test_another_system_is_refused_in_the_same_folder(start, tmp_path, changes, said):
    start(write_system(tmp_path / "one.yaml"))
    status, errors = start(write_system(tmp_path / "two.yaml", **changes))
    assert status == 1 and len(errors) == 1
    assert errors[0].startswith(f"error: {tmp_path}/exp/system.yaml: {said}")


def test_a_dense_system_is_refused_in_the_folder_of_a_supernet(start, tmp_path):
    start(write_system(tmp_path / "one.yaml"))
    status, (error,) = start(write(tmp_path / "dense.yaml", "model: {}\n"))
    assert status == 1 and "system.yaml: sparsity.pattern was 8x1 and is now None" in error
