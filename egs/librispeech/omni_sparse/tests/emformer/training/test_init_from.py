# SPDX-License-Identifier: Apache-2.0
"""Trainings that start from the weights of another one."""

import logging
import shutil

import pytest
import torch
import yaml

from emformer.config import load_config
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint, save_checkpoint
from emformer.model import make_model
from emformer.training.init_from import check_symbols, read_source, take_weights
from tests.support.training import (
    SMALL_BATCHES,
    Interrupted,
    difference,
    interrupt_at,
    same_state,
    train_process,
    trainer,
    weights,
    write_config,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def source(undisturbed):
    return load_checkpoint(undisturbed / "epoch-2.pt")


def change(source, path, **changes):
    """A checkpoint that differs from the source; its path."""
    save_checkpoint(path, {**source, **changes})
    return path


def recorded(exp_dir) -> str:
    return yaml.safe_load((exp_dir / "config.yaml").read_text())["training"]["init_from"]


# The weights.


def test_an_experiments_newest_weights_are_taken(undisturbed, source, config, tiny_data, tmp_path):
    run = trainer(tiny_data, config, tmp_path, "--init-from", str(undisturbed), "--seed", "5")
    assert difference(weights(run), dict(source["model"])) is None
    assert run.update == 0


def test_a_checkpoints_weights_are_taken(undisturbed, config, tiny_data, tmp_path):
    path = undisturbed / "epoch-1.pt"
    run = trainer(tiny_data, config, tmp_path, "--init-from", str(path))
    assert difference(weights(run), dict(load_checkpoint(path)["model"])) is None


def test_a_configuration_may_say_what_to_start_from(undisturbed, source, tiny_data, tmp_path):
    config = write_config(tmp_path / "own.yaml", init_from=undisturbed, **SMALL_BATCHES)
    run = trainer(tiny_data, config, tmp_path / "exp")
    assert difference(weights(run), dict(source["model"])) is None


def test_exported_weights_are_enough(source, config, tiny_data, tmp_path):
    for name in ("optimizer", "scheduler", "sampler", "update"):
        del source[name]
    path = change(source, tmp_path / "exported.pt")
    run = trainer(tiny_data, config, tmp_path / "exp", "--init-from", str(path))
    assert difference(weights(run), dict(source["model"])) is None


def test_training_goes_on_from_them(undisturbed, config, tiny_data, tmp_path):
    run = trainer(tiny_data, config, tmp_path, "--init-from", str(undisturbed), "--num-epochs", "1")
    before = weights(run)
    run.fit()
    state = load_checkpoint(tmp_path / "epoch-1.pt")
    assert difference(before, dict(state["model"])) is not None
    assert state["train_updates"] == run.total_updates


def test_what_is_not_taken_is_named(undisturbed, source, tiny_data, tmp_path, caplog):
    narrow = write_config(tmp_path / "narrow.yaml", joiner_dim=8, **SMALL_BATCHES)
    with caplog.at_level(logging.INFO):
        run = trainer(tiny_data, narrow, tmp_path / "exp", "--init-from", str(undisturbed))
    path = undisturbed / "epoch-2.pt"
    told = f"not taken from {path}: joiner.encoder_proj.weight has shape (16, 16) there and (8, 16)"
    assert any(line.startswith(told) for line in caplog.messages)
    named = {m.split(": ")[1].split()[0] for m in caplog.messages if m.startswith("not taken")}
    own = weights(run)
    for name, weight in source["model"].items():
        assert (name in named) != torch.equal(own[name], weight)
    assert all(name.startswith("joiner.") for name in named)
    assert f"starts from {path}: {len(own) - len(named)} of {len(own)} weights are taken" in (
        caplog.messages
    )


def test_weights_that_are_missing_or_unknown_are_named(source, config, tmp_path, caplog):
    model = dict(source["model"])
    model["extra"] = torch.zeros(1)
    del model["simple_am_proj.bias"]
    found = read_source(change(source, tmp_path / "other.pt", model=model))
    with caplog.at_level(logging.WARNING):
        take_weights(found, make_model(load_config(config).model, source["vocab_size"]))
    assert caplog.messages == [
        f"not taken from {found.path}: simple_am_proj.bias is missing there",
        f"not taken from {found.path}: extra is not in this model",
    ]


def test_another_chunk_is_no_obstacle_and_is_told(undisturbed, tiny_data, tmp_path, caplog):
    wide = write_config(tmp_path / "wide.yaml", segment=8, **SMALL_BATCHES)
    with caplog.at_level(logging.INFO):
        trainer(tiny_data, wide, tmp_path / "exp", "--init-from", str(undisturbed))
    assert f"{undisturbed}/epoch-2.pt has model.segment 4, here it is 8" in caplog.messages


def test_fewer_layers_start_from_the_first_ones(undisturbed, source, tiny_data, tmp_path):
    shallow = write_config(tmp_path / "shallow.yaml", num_layers=1, **SMALL_BATCHES)
    run = trainer(tiny_data, shallow, tmp_path / "exp", "--init-from", str(undisturbed))
    taken = {name: source["model"][name] for name in weights(run)}
    assert difference(weights(run), taken) is None


# What cannot be.


@pytest.mark.parametrize(
    "setting, said",
    [
        ({"encoder_dim": 32}, r"encoder.frontend.linear.weight has shape \(16, 320\) there"),
        ({"num_layers": 3}, r"emformer_layers.2.\S+ is missing there"),
        ({"num_heads": 4}, "model.num_heads is 2 there and 4 here"),
    ],
)
def test_an_encoder_that_does_not_fit_is_an_error(undisturbed, tiny_data, tmp_path, setting, said):
    other = write_config(tmp_path / "other.yaml", **setting, **SMALL_BATCHES)
    with pytest.raises(RecipeError, match=f"the encoder does not fit: .*{said}") as e:
        trainer(tiny_data, other, tmp_path / "exp", "--init-from", str(undisturbed))
    assert "\n" not in str(e.value)
    assert not (tmp_path / "exp").exists()


@pytest.mark.parametrize(
    "setting, said",
    [
        ({"activation": "gelu"}, "model.activation is gelu there and relu here"),
        ({"subsampling": 2}, "model.subsampling is 2 there and 4 here"),
    ],
)
def test_weights_of_the_same_shape_that_mean_something_else_are_an_error(
    source, config, tiny_data, tmp_path, setting, said
):
    was = source["config"]
    other = {**was, "model": {**was["model"], **setting}}
    path = change(source, tmp_path / "other.pt", config=other)
    with pytest.raises(RecipeError, match=f"the encoder does not fit: {said}"):
        trainer(tiny_data, config, tmp_path / "exp", "--init-from", str(path))


def test_a_checkpoint_of_nothing_that_fits_is_an_error(source, config, tiny_data, tmp_path):
    path = change(source, tmp_path / "none.pt", model={"other.weight": torch.zeros(3)})
    with pytest.raises(RecipeError, match="the encoder does not fit: encoder.* is missing there"):
        trainer(tiny_data, config, tmp_path / "exp", "--init-from", str(path))


def test_other_word_pieces_are_refused(source, config, tiny_data, tmp_path):
    other = [*source["tokens"][:-1], "▁OTHER"]
    path = change(source, tmp_path / "other.pt", tokens=other)
    with pytest.raises(RecipeError, match=r"its word pieces \(64\) are not those of this training"):
        trainer(tiny_data, config, tmp_path / "exp", "--init-from", str(path))


def test_word_pieces_that_are_equal_by_content_are_accepted(
    undisturbed, config, tiny_data, tmp_path
):
    lang = shutil.copytree(tiny_data / "lang_bpe_64", tmp_path / "lang")
    words = ["--init-from", str(undisturbed), "--lang-dir", str(lang)]
    assert trainer(tiny_data, config, tmp_path / "exp", *words).update == 0


def test_texts_that_were_read_otherwise_are_refused(undisturbed, source):
    with pytest.raises(RecipeError, match="its texts are normalised by nmt_nfkc, here by identity"):
        check_symbols(read_source(undisturbed), source["tokens"], "identity")


@pytest.mark.parametrize("name, said", [("", "no epoch-N.pt"), ("x.pt", "no such checkpoint")])
def test_what_is_no_experiment_is_told(config, tiny_data, tmp_path, name, said):
    with pytest.raises(RecipeError, match=said):
        trainer(tiny_data, config, tmp_path / "exp", "--init-from", str(tmp_path / name))


def test_it_is_told_in_one_line(config, tiny_data, tmp_path):
    process = train_process(tiny_data, config, tmp_path / "exp", "--init-from", str(tmp_path))
    said = process.communicate()[1].splitlines()
    assert process.returncode == 1
    assert [line for line in said if line.startswith("error: ")] == said[-1:]


# Going on.


def test_going_on_reads_its_own_checkpoint_and_not_the_source(
    undisturbed, config, tiny_data, tmp_path, caplog
):
    source = shutil.copytree(undisturbed, tmp_path / "source")
    words = ["--init-from", str(source)]
    trainer(tiny_data, config, tmp_path / "whole", *words).fit()
    with pytest.raises(Interrupted):
        trainer(tiny_data, config, tmp_path / "parts", *words, method=interrupt_at(8)).fit()
    shutil.rmtree(source)
    with caplog.at_level(logging.INFO):
        trainer(tiny_data, config, tmp_path / "parts", *words).fit()
    assert f"goes on from its own checkpoint; {source} is not read" in caplog.text
    assert same_state(tmp_path / "parts" / "epoch-2.pt", tmp_path / "whole" / "epoch-2.pt") is None


def test_the_folder_tells_what_it_started_from_even_after_going_on_without_the_option(
    undisturbed, config, tiny_data, tmp_path
):
    how = interrupt_at(6)
    words = ["--init-from", str(undisturbed)]
    with pytest.raises(Interrupted):
        trainer(tiny_data, config, tmp_path, *words, method=how).fit()
    path = str(undisturbed / "epoch-2.pt")
    assert recorded(tmp_path) == path
    trainer(tiny_data, config, tmp_path).fit()
    assert recorded(tmp_path) == path
    state = load_checkpoint(tmp_path / "epoch-2.pt")
    assert state["config"]["training"]["init_from"] == path


def test_a_training_of_new_weights_records_nothing(undisturbed):
    assert recorded(undisturbed) == ""
