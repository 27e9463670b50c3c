# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from emformer.config import Config, ModelConfig, load_config
from emformer.errors import RecipeError
from tests.support.processes import RECIPE

CONFIGS = sorted((RECIPE / "conf").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_configuration_survives_a_checkpoint(path):
    config = load_config(path)
    assert Config.from_dict(config.to_dict()) == config


def test_a_training_on_an4_can_start_from_one_of_the_demo():
    an4, demo = (load_config(RECIPE / "conf" / f"{name}.yaml").model for name in ("an4", "demo"))
    assert dataclasses.replace(an4, dropout=demo.dropout) == demo


@pytest.mark.parametrize(
    "text, said",
    [
        ("model: {encoder_dims: 3}", "unknown 'encoder_dims'"),
        ("modle: {}", "unknown 'modle'"),
        ("training: {spec_augment: {q: 1}}", "unknown 'q'"),
        ("model: {num_layers: six}", "'six' is not of type int"),
        ("model: {encoder_dim: 10, num_heads: 4}", "10 is not a multiple of model.num_heads 4"),
        ("model: {frontend: lstm}", "stack or conv"),
        ("model: {frontend: conv, subsampling: 6}", "conv front end has 4"),
        ("model: {right_context: 0}", "must be >= 1"),
        ("training: {epoch_share: 0.0}", "epoch_share is 0.0"),
        ("training: {muon_momentum: 1.0}", "muon_momentum is 1.0"),
        ("training: {shortest_first: -1}", "shortest_first is -1"),
        ("[1, 2]", "lines of the form"),
        ("model: {", "not YAML"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path, text, said):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=said) as e:
        load_config(path)
    assert "\n" not in str(e.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecipeError, match="nothing.yaml"):
        load_config(tmp_path / "nothing.yaml")


def test_spec_augment_can_be_off():
    config = Config.from_dict({"training": {"spec_augment": None}})
    assert config.training.spec_augment is None


def test_chunks_in_milliseconds():
    config = ModelConfig(subsampling=4, segment=8, right_context=2, left_context=24)
    assert (config.chunk_ms, config.right_context_ms, config.left_context_ms) == (320, 80, 960)


def test_the_front_ends_look_ahead_counts_as_right_context():
    assert ModelConfig(right_context=2, stack_window=12).right_context_ms == 80 + 80
    assert ModelConfig(right_context=2, frontend="conv").right_context_ms == 80 + 250
