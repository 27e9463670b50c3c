# SPDX-License-Identifier: Apache-2.0
"""Several experiments in one packed file, each size with values of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from emformer.config import Config
from emformer.decoding import options
from emformer.decoding.search import make_search
from emformer.decoding.streams import encode_chunk_by_chunk
from emformer.errors import RecipeError
from emformer.experiment.averaging import RunningAverage
from emformer.experiment.checkpoint import save_checkpoint
from emformer.model import make_model
from omni_emformer.runtime import pack
from omni_emformer.runtime.model import load_packed, packed_infos
from omni_emformer.supernet.options import open_subnets
from omni_plugin.runtime import PackedFile, use_packed
from tests.support.random_supernets import write_checkpoint
from tests.support.random_weights import CONFIG, TOKENS, checkpoint_of
from tests.support.runtime.transducers import in_pytorch, pack_own, sound, windows_of


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Experiments ``dense`` and ``pruned``, the second of other settings and of size 0.75 only."""
    folder = tmp_path_factory.mktemp("experiments")
    write_checkpoint(folder / "dense", supernet=False)
    write_checkpoint(folder / "pruned", seed=1, grow_from=1.0)
    of_pruned = replace(CONFIG, training=replace(CONFIG.training, num_epochs=7))
    _save(folder / "other epochs", of_pruned)
    return folder


def _save(exp_dir: Path, config: Config = CONFIG, tokens: list[str] = TOKENS) -> Path:
    """A dense model of a configuration."""
    exp_dir.mkdir()
    torch.manual_seed(2)
    model = make_model(config.model, len(tokens))
    average = RunningAverage(model)
    average.update(model)
    state = checkpoint_of(model, average, tokens, config=config.to_dict(), method={})
    save_checkpoint(exp_dir / "epoch-1.pt", state)
    return exp_dir


def run(out: Path, exp_dir: Path, *also: Path, more=()) -> Path:
    words = ["--exp-dir", exp_dir, "--also", *also, "--out", out, *more]
    pack.main([str(word) for word in words])
    return out


@pytest.fixture(scope="module")
def packed(root) -> Path:
    return run(root / "m.packed", root / "dense", root / "pruned")


def test_the_sizes_of_all_experiments_are_in_the_file(packed):
    assert PackedFile(packed).subnets == ["dense", "0.75"]


@pytest.mark.parametrize("name, subnet", [("dense", "dense"), ("pruned", "0.75")])
def test_each_size_computes_what_its_experiment_does(name, subnet, root, packed):
    args = options.get_parser(None).parse_args(["--exp-dir", str(root / name)])
    expected, info = open_subnets(args).make(0.75 if name == "pruned" else 0.0)
    found, about = load_packed(packed, subnet)
    assert about.num_nonzero == info.num_nonzero and about.checkpoint == info.checkpoint
    x, lens = torch.randn(1, 200, 80) * 3.5 - 5, torch.tensor([200])
    with torch.no_grad():
        chunks = [encode_chunk_by_chunk(model, x, lens) for model in (expected, found)]
        for (one, _), (other, _) in zip(*chunks, strict=True):
            torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-5)
        contexts = torch.tensor([[0, 3]])
        torch.testing.assert_close(found.predict(contexts), expected.predict(contexts))


def test_each_size_tells_of_its_own_training(root, tmp_path):
    path = run(tmp_path / "m", root / "pruned", root / "other epochs")
    found = {info.subnet: info.config.training.num_epochs for info in packed_infos(path)}
    assert found == {"0.75": CONFIG.training.num_epochs, "dense": 7}


def test_the_card_is_of_all_experiments(root, packed):
    card = (root / "m.packed.md").read_text()
    assert "2 sub-networks, one of which is chosen when it runs" in card
    assert f"checkpoint `{root}/dense/epoch-1.pt`" in card
    assert f"checkpoint `{root}/pruned/epoch-1.pt`" in card


@pytest.mark.parametrize("method", ["greedy_search", "modified_beam_search"])
@torch.no_grad()
def test_a_stream_goes_on_with_another_size(method, tmp_path):
    """In one model, made another one between two chunks."""
    made, turns = pack_own(tmp_path / "m", "tiny"), ["0.90", "dense", "0.50"]
    expected = in_pytorch(made, sound(), turns, method=method)
    model, _ = load_packed(made.path, turns[0])
    file, states = PackedFile(made.path), None
    search = make_search(method, model)
    search.start(1)
    for number, features in enumerate(windows_of(model, sound())):
        use_packed(model, file, turns[number % 3])
        search.model_changed()
        out, states = model.encode_chunk(features[None], states)
        search.accept(out, torch.tensor([out.size(1)]))
    assert (search.hypotheses()[0], search.timestamps()[0]) == expected[1:3]


# What is refused.


def test_another_architecture_is_refused(root, tmp_path):
    config = replace(CONFIG, model=replace(CONFIG.model, segment=8))
    other = _save(tmp_path / "other", config)
    with pytest.raises(RecipeError, match="dense is of another architecture than those before it"):
        run(tmp_path / "m", root / "pruned", other)
    assert not (tmp_path / "m").exists()


def test_another_vocabulary_is_refused(root, tmp_path):
    other = _save(tmp_path / "other", tokens=[*TOKENS[:-1], "\u2581FIVE"])
    with pytest.raises(RecipeError, match="dense has another vocabulary than those before it"):
        run(tmp_path / "m", root / "pruned", other)


def test_two_sizes_of_one_name_are_refused(root, tmp_path):
    with pytest.raises(RecipeError, match="two sub-networks are called 'dense'"):
        run(tmp_path / "m", root / "dense", root / "other epochs")


def test_an_experiment_that_is_not_there_is_told(root, tmp_path):
    with pytest.raises(RecipeError, match="none"):
        run(tmp_path / "m", root / "dense", tmp_path / "none")
