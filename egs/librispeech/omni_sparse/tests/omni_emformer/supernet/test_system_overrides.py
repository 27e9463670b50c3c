# SPDX-License-Identifier: Apache-2.0
"""--set for systems."""

import pytest

from emformer.errors import RecipeError
from emformer.overrides import parse_overrides
from omni_emformer.supernet.system import load_system
from omni_emformer.supernet.system_overrides import load_changed_system, split_overrides
from tests.support.processes import RECIPE

SPLIT = "sparsity: {max_sparsity: 0.9, sampler: {name: split, parts: 2, sparsest_share: 0.25}}\n"
CHAIN = """
levels: [0.5, 0.7]
chain: {shares: [0.1, 0.2], training: {max_duration: 30}}
sparsity: {}
"""


@pytest.fixture
def file(tmp_path):
    def write(text: str):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return path

    return write


def load(path, text):
    return load_changed_system(path, *split_overrides(parse_overrides(text), "conf.yaml"))


def refused(path, text) -> str:
    with pytest.raises(RecipeError) as e:
        load(path, text)
    assert "\n" not in str(e.value)
    return str(e.value)


def test_settings_are_of_the_configuration_or_of_systems():
    given = parse_overrides("training.base_lr=1 sparsity.shrink=0.5 model.ffn_dim=8 layers.end=1")
    of_config, of_systems = split_overrides(given, "conf.yaml")
    assert [one.section for one in of_config] == ["training", "model"]
    assert [one.section for one in of_systems] == ["sparsity", "layers"]


@pytest.mark.parametrize(
    "text, near",
    [
        ("sparsty.max_sparsity=0.8", "sparsity.max_sparsity"),
        ("train.base_lr=1", "training.base_lr"),
    ],
)
def test_an_unknown_section_names_what_is_like_it(text, near):
    with pytest.raises(RecipeError) as e:
        split_overrides(parse_overrides(text), "conf.yaml")
    section = text.split(".")[0]
    said = f"--set {text}: neither conf.yaml nor a system has a section {section}; did you mean "
    assert str(e.value).startswith(said) and near in str(e.value)


def test_a_part_of_a_setting_leaves_the_rest(file):
    sparsity = load(file(SPLIT), "sparsity.sampler.parts=3 sparsity.shrink=0.5").sparsity
    assert sparsity.sampler == {"name": "split", "parts": 3, "sparsest_share": 0.25}
    assert (sparsity.shrink, sparsity.max_sparsity) == (0.5, 0.9)


def test_a_mapping_stands_in_place_of_the_whole(file):
    system = load(file(SPLIT), "sparsity.sampler={name: sandwich, random: 1}")
    assert system.sparsity.sampler == {"name": "sandwich", "random": 1}


def test_a_file_that_is_like_another_takes_settings_of_both(tmp_path, file):
    (tmp_path / "like.yaml").write_text("like: mine.yaml\nsparsity: {shrink: 0.5}\n")
    file(SPLIT)
    system = load(tmp_path / "like.yaml", "sparsity.sampler.parts=3")
    assert system.sparsity.sampler["parts"] == 3 and system.sparsity.shrink == 0.5


@pytest.mark.parametrize(
    "text, said",
    [
        ("sparsity.max_sparsty=0.5", "has no such setting; did you mean sparsity.max_sparsity"),
        ("sparsity.sampler.prts=2", "with --set sparsity.sampler.prts=2: sparsity.sampler: "),
        ("sparsity.max_sparsity=high", "sparsity.max_sparsity: 'high' is not of type float"),
        ("sparsity.max_sparsity=2", "sparsity: max_sparsity is 2; it must lie in [0, 1)"),
        ("sparsity.ramp=cubic", "is not a name and options; write ramp: {name: cubic}"),
        ("chain.epochs=3", "mine.yaml has no section chain"),
    ],
)
def test_a_mistake_is_told_in_one_line_that_names_setting_and_file(file, text, said):
    line = refused(file(SPLIT), text)
    assert said in line and f"--set {text}" in line and "mine.yaml" in line


def test_a_systems_own_model_stands_over_no_setting_unseen(file):
    path = file("model: {ffn_dim: 64}\n")
    line = refused(path, "model.ffn_dim=32")
    assert line == f"--set model.ffn_dim=32: {path} says its own model.ffn_dim; change it there"
    load(path, "model.num_layers=2")


def test_a_chains_own_training_stands_over_no_setting_unseen(file):
    path = file(CHAIN)
    line = refused(path, "training.max_duration=60")
    assert "says its own chain.training.max_duration; give that by --set, too" in line
    both = "training.max_duration=60 chain.training.max_duration=20"
    assert load(path, both).chain.training == {"max_duration": 20}
    assert "chain.shares" in refused(path, "training.epoch_share=0.5")


@pytest.mark.parametrize("name", ["max_sparsity=0.8", "levels=[0.5]", "valid_levels=[0.5]"])
def test_levels_stand_over_no_setting_unseen(file, name):
    path = file("levels: [0.5]\nsparsity: {}\n")
    assert f"the levels of {path} decide it" in refused(path, f"sparsity.{name}")


@pytest.mark.parametrize(
    "path", sorted((RECIPE / "conf/systems").glob("*.yaml")), ids=lambda p: p.stem
)
def test_without_settings_a_system_is_what_its_file_says(path):
    assert load_changed_system(path, [], []) == load_system(path)
