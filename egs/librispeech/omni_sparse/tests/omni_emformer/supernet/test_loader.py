# SPDX-License-Identifier: Apache-2.0
"""Decoding a sub-network: plain weights against the supernet under its masks."""

import contextlib

import pytest
import torch

from emformer import decode, streaming_decode
from emformer.decoding.model import load_decoding_model
from emformer.decoding.search import METHODS
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint, save_checkpoint
from emformer.scoring.results import read_results
from emformer.scoring.wer import read_recogs
from omni_emformer.supernet.loader import make_supernet, settings_of, subnet_loader
from omni_plugin import SparsitySettings
from tests.support import training
from tests.support.random_supernets import talkative_supernet
from tests.support.random_weights import save_talkative
from tests.support.supernets import settings

MODES = {"simulated": decode, "chunk-wise": streaming_decode}
# fast_beam_search needs k2 and has tests of its own.
SEARCHES = [name for name in METHODS if name != "fast_beam_search"]


@pytest.fixture(scope="module")
def supernet_dir(tmp_path_factory, tiny_data):
    return talkative_supernet(tiny_data, tmp_path_factory.mktemp("supernet"))


@pytest.fixture(scope="module")
def dense_dir(tmp_path_factory, tiny_data):
    root = tmp_path_factory.mktemp("dense")
    config = training.write_config(root / "tiny.yaml")
    save_talkative(training.trainer(tiny_data, config, root / "exp"))
    return root / "exp"


@pytest.fixture
def exp_dir(supernet_dir, tmp_path):
    """An experiment's folder of its own with the supernet's checkpoint."""
    (tmp_path / "epoch-1.pt").symlink_to(supernet_dir / "epoch-1.pt")
    return tmp_path


def options(exp_dir, tiny_data, *more: str) -> list[str]:
    where = ["--exp-dir", str(exp_dir), "--data-dir", str(tiny_data), "--splits", "test-clean"]
    return [*where, "--methods", *SEARCHES, *more]


def texts(exp_dir, mode: str, tail: str) -> dict[str, dict]:
    """Hypotheses by method and utterance."""
    folder = exp_dir / ("streaming" if mode == "chunk-wise" else "")
    found = {}
    for search in SEARCHES:
        (path,) = (folder / search).glob(f"recogs-*{tail}*.txt")
        found[search] = {u.id: u.hyp for u in read_recogs(path)}
    return found


@pytest.mark.parametrize("level", [0.5, "sparsest"])
@pytest.mark.parametrize("mode", MODES)
def test_a_sub_network_says_what_the_masked_supernet_says(exp_dir, tiny_data, mode, level):
    MODES[mode].main(options(exp_dir, tiny_data), load=subnet_loader(level, "_baked"))
    with contextlib.ExitStack() as stack:

        def load(args):
            model, info = load_decoding_model(args)
            supernet = make_supernet(model, settings())
            supernet.set_active_subnet(level)
            info.tail += "_masked"
            with torch.no_grad():
                return stack.enter_context(supernet.masked()), info

        MODES[mode].main(options(exp_dir, tiny_data), load=load)
    MODES[mode].main(options(exp_dir, tiny_data), load=subnet_loader("dense", "_full"))

    baked, masked, full = (texts(exp_dir, mode, tail) for tail in ("_baked", "_masked", "_full"))
    assert baked == masked
    for search in SEARCHES:
        assert any(baked[search].values())
        assert baked[search] != full[search]


def test_a_result_tells_which_sub_network_it_is_of(exp_dir, tiny_data):
    for level in (0.0, 0.5):
        decode.main(
            options(exp_dir, tiny_data), load=subnet_loader(level, f"_sparsity-{level:.2f}")
        )
    results = read_results(exp_dir / "results.jsonl")
    assert [r.subnet for r in results] == ["dense"] * len(SEARCHES) + ["0.50"] * len(SEARCHES)
    dense, half = results[0], results[-1]
    assert dense.weights != half.weights
    assert dense.num_params == half.num_params
    model, _ = load(exp_dir, "dense")
    zeros = make_supernet(model, settings()).num_zeros(0.5)
    assert dense.num_nonzero - half.num_nonzero == zeros > 0
    names = [path.name for path in (exp_dir / SEARCHES[0]).glob("recogs-*")]
    assert sorted(name.split("_sparsity-")[1] for name in names) == ["0.00.txt", "0.50.txt"]


def load(exp_dir, choice, *more: str, **how):
    args = decode.get_parser("").parse_args(["--exp-dir", str(exp_dir), *more])
    return subnet_loader(choice, "", **how)(args)


def test_blocks_are_ranked_as_in_training_unless_said_otherwise(tmp_path, exp_dir):
    state = load_checkpoint(exp_dir / "epoch-1.pt")
    name = next(iter(state["method"]["ranks"]))
    # Other ranks than the weights have: the order upside down.
    state["method"]["ranks"][name] = (
        state["method"]["ranks"][name].max() - (state["method"]["ranks"][name])
    )
    (tmp_path / "exp").mkdir()
    save_checkpoint(tmp_path / "exp" / "epoch-1.pt", state)
    anew, _ = load(tmp_path / "exp", 0.5, rerank=True)
    stored, _ = load(tmp_path / "exp", 0.5)
    a, b = (model.get_parameter(name) for model in (anew, stored))
    assert int((a == 0).sum()) == int((b == 0).sum()) == a.numel() // 2
    assert not ((a == 0) & (b == 0)).any()
    as_trained, _ = load(exp_dir, 0.5)
    assert torch.equal(as_trained.get_parameter(name), a)


def test_a_dense_model_is_pruned_in_one_shot_where_settings_say_how(dense_dir):
    model, info = load(dense_dir, 0.5, settings=settings())
    supernet = make_supernet(model, settings())
    for name in supernet.layer_names:
        weight = model.get_parameter(name)
        assert int((weight == 0).sum()) == supernet.pattern.num_zeros(weight.shape, 0.5), name
    assert info.subnet == "0.50"


def test_a_dense_model_without_settings_is_refused(dense_dir):
    with pytest.raises(RecipeError, match="epoch-1.pt holds no supernet; give the settings"):
        load(dense_dir, 0.5)


@pytest.mark.parametrize(
    "choice, said",
    [
        (1.0, r"epoch-1.pt: sparsity is 1.0; it must lie in \[0, 1\)"),
        ("small", "epoch-1.pt: no sub-network is called 'small'; say dense, sparsest"),
        ([0.5], r"epoch-1.pt: 1 levels for 10 covered weights \(encoder.emformer"),
        ({"joiner": 0.5}, "epoch-1.pt: rule 'joiner' finds none of the 10 covered weights"),
    ],
)
def test_a_sub_network_that_is_none_is_refused_in_one_line(exp_dir, choice, said):
    with pytest.raises(RecipeError, match=said) as e:
        load(exp_dir, choice)
    assert "\n" not in str(e.value)


def test_settings_of_a_checkpoint(supernet_dir, dense_dir):
    assert settings_of(supernet_dir / "epoch-1.pt") == settings()
    assert settings_of(dense_dir / "epoch-1.pt") is None


def test_settings_that_do_not_fit_are_refused(dense_dir):
    model, _ = load(dense_dir, 0.5, settings=settings())
    with pytest.raises(RecipeError, match="sparsity: include rule 'conv' matches none"):
        make_supernet(model, SparsitySettings(include=("conv",)))
