# SPDX-License-Identifier: Apache-2.0
"""Settings from the command line, over what a file says."""

import argparse

import pytest

from emformer.config import load_config
from emformer.errors import RecipeError
from emformer.overrides import add_set_option, check_once, merge, parse_overrides

FILE = "model: {encoder_dim: 96}\ntraining: {base_lr: 0.01, spec_augment: {p: 0.5}}\n"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    return path


def refused(path, text) -> str:
    with pytest.raises(RecipeError) as e:
        load_config(path, parse_overrides(text))
    assert "\n" not in str(e.value)
    return str(e.value)


@pytest.mark.parametrize(
    "text, value",
    [
        ("a.b=1", 1),
        ("a.b=0.5", 0.5),
        ("a.b=1e-3", 0.001),
        ("a.b=null", None),
        ("a.b=false", False),
        ("a.b=muon", "muon"),
        ("a.b=[1, 2]", [1, 2]),
        ("a.b={name: split, parts: 2}", {"name": "split", "parts": 2}),
        ("a.b='x=1, y'", "x=1, y"),
        (r"a.b=['^encoder\.emformer\.']", [r"^encoder\.emformer\."]),
    ],
)
def test_a_value_is_yaml(text, value):
    (found,) = parse_overrides(text)
    assert (found.name, found.value) == ("a.b", value)
    assert type(found.value) is type(value)


@pytest.mark.parametrize("between", [" ", ",", ", ", "\n"])
def test_several_have_spaces_or_commas_between_them(between):
    found = parse_overrides(between.join(["a.b=[1, 2]", "c.d_e.f={x: 1, y: 2}", "g.h=3"]))
    assert [one.name for one in found] == ["a.b", "c.d_e.f", "g.h"]
    assert found[0].value == [1, 2] and found[1].value == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    "text, said",
    [
        ("k2", "'k2' is no setting"),
        ("=3", "'=3' is no setting"),
        ("training.=3", "'training.=3' is no setting"),
        ("base_lr=3", "'base_lr=3' names no section"),
        ("training.base_lr=", "has no value; write null for none"),
        ("training.base_lr=[1", "the value is not YAML"),
    ],
)
def test_what_is_no_setting_is_named_in_one_line(text, said):
    with pytest.raises(argparse.ArgumentTypeError, match=said) as e:
        parse_overrides(text)
    assert "\n" not in str(e.value)


def test_the_option_adds_up():
    parser = argparse.ArgumentParser()
    add_set_option(parser, "help")
    assert parser.parse_args([]).overrides == []
    words = ["--set", "a.b=1 c.d=2", "--set", "e.f=3"]
    assert [one.value for one in parser.parse_args(words).overrides] == [1, 2, 3]
    assert parser.parse_args([]).overrides == []  # the default is no list that grows


@pytest.mark.parametrize("later", ["a.b=2", "a.b.c=2"])
def test_a_setting_and_a_part_of_it_are_not_both_given(later, capsys):
    with pytest.raises(RecipeError, match=f"--set a.b=1 and --set {later} are of one setting"):
        check_once(parse_overrides(f"a.b=1 {later}"))
    parser = argparse.ArgumentParser()
    add_set_option(parser, "help")
    with pytest.raises(SystemExit):
        parser.parse_args(["--set", "a.b=1", "--set", later])
    assert "are of one setting" in capsys.readouterr().err


def test_names_that_begin_alike_are_two_settings():
    check_once(parse_overrides("a.b=1 a.bc=2"))


def test_a_configuration_has_the_value_and_keeps_the_rest(path):
    text = "training.base_lr=1e-3 training.spec_augment.features_mask_size=9 model.num_layers=2"
    config = load_config(path, parse_overrides(text))
    training, model = config.training, config.model
    assert (training.base_lr, model.num_layers, model.encoder_dim) == (0.001, 2, 96)
    assert (training.spec_augment.p, training.spec_augment.features_mask_size) == (0.5, 9)


def test_null_takes_a_section_away(path):
    config = load_config(path, parse_overrides("training.spec_augment=null"))
    assert config.training.spec_augment is None


def test_what_is_merged_is_not_changed():
    data = {"a": {"b": {"c": 1}}}
    assert merge(data, parse_overrides("a.b.c=2"), "here") == {"a": {"b": {"c": 2}}}
    assert data == {"a": {"b": {"c": 1}}}


@pytest.mark.parametrize(
    "text, said",
    [
        ("training.base_lrr=1", "did you mean training.base_lr?"),
        ("model.base_lr=1", "did you mean training.base_lr?"),
        ("training.spec_augment.q=1", "has no such setting"),
        ("sparsity.parts=1", "has no such setting"),
    ],
)
def test_an_unknown_setting_names_its_file_and_what_is_like_it(path, text, said):
    line = refused(path, text)
    assert line.startswith(f"--set {text}: {path} has no such setting") and said in line


@pytest.mark.parametrize("value", ["fast", "true", "[1]", "null"])
def test_a_value_of_another_type_is_named(path, value):
    line = refused(path, f"training.base_lr={value}")
    assert line.startswith(f"{path} with --set training.base_lr={value}: training.base_lr: ")
    assert line.endswith("is not of type float")


def test_a_value_that_cannot_be_is_named(path):
    line = refused(path, "training.base_lr=-1")
    assert "with --set training.base_lr=-1: training: training.base_lr is -1" in line


def test_a_value_is_no_section(path):
    line = refused(path, "training.base_lr.low=1")
    assert line == f"--set training.base_lr.low=1: training.base_lr of {path} is 0.01, no section"
