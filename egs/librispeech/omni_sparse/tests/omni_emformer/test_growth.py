# SPDX-License-Identifier: Apache-2.0
"""Growth: what a level keeps of its core, what it trains, and what is said of impossible ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from emformer.config import load_config
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint
from emformer.model import make_model
from omni_emformer import train
from omni_emformer.runtime.model import pack_transducers
from omni_emformer.supernet import growth
from omni_emformer.supernet.chain import check_start, network_of
from omni_emformer.supernet.growth import Core, GrowthMethod, start_growth
from omni_emformer.supernet.system import load_system
from omni_plugin.runtime import PackedFile
from tests.support import training
from tests.support.chains import CHAIN
from tests.support.made_up_batches import CONFIG, make_batch
from tests.support.training import Interrupted, words, write_config

NESTED = {
    "like": "steps.yaml",
    "levels": [0.5, 0.0],
    "chain": {
        "around": "steps",
        "core": 0.75,
        "shares": [0.5, 0.5],
        "epochs": 2,
        "teacher_weight": 5.0,
    },
}

pytestmark = pytest.mark.usefixtures("one_thread")


class Trained:
    """A dense model, a chain and what has grown around it, as the commands make them."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data = folder, data
        self.config = write_config(folder / "tiny.yaml", max_duration=14, dropout=0.0)
        for name, content in (("steps", CHAIN), ("nested", NESTED)):
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
        training.trainer(data, self.config, folder / "dense").fit()

    def train(self, system: str, level: float, start: str, blocks: str = "", to: str = "") -> Path:
        exp_dir = self.folder / (to or f"{system}-{level:.2f}")
        options = ["--system", self.folder / f"{system}.yaml", "--level", level]
        options += ["--start-from", self.folder / start, "--teacher", self.folder / "dense"]
        options += ["--blocks-from", self.folder / blocks] if blocks else []
        options = options[:6] if system == "steps" else options
        with pytest.MonkeyPatch.context() as patch:
            given = words(self.data, self.config, exp_dir, *map(str, options))
            patch.setattr("sys.argv", ["train", *given])
            train.main()
        return exp_dir

    def network(self, name: str):
        return network_of(self.folder / name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, one_thread, tiny_data) -> Trained:
    made = Trained(tmp_path_factory.mktemp("growth"), tiny_data)
    made.train("steps", 0.5, "dense")
    made.train("steps", 0.75, "steps-0.50")
    made.train("nested", 0.5, "steps-0.75", "steps-0.50")
    made.train("nested", 0.0, "nested-0.50", "dense")
    return made


def pruned(model: nn.Module) -> dict[str, torch.Tensor]:
    """The matrices of the encoder's layers, which a chain prunes."""
    state = model.state_dict().items()
    return {n: w for n, w in state if n.startswith("encoder.emformer.") and w.dim() == 2}


@pytest.mark.parametrize(
    "level, core", [("nested-0.50", "steps-0.75"), ("nested-0.00", "nested-0.50")]
)
def test_what_the_core_has_stays_to_the_bit_and_the_rest_is_trained(trained, level, core):
    kept, grown = (pruned(trained.network(name)[0]) for name in (core, level))
    for name, weight in kept.items():
        assert torch.equal(grown[name][weight != 0], weight[weight != 0]), name
        assert bool((grown[name][weight == 0] != 0).any()), name


def test_it_grows_to_the_chains_blocks_and_no_further(trained):
    blocks, grown = (pruned(trained.network(n)[0]) for n in ("steps-0.50", "nested-0.50"))
    for name, weight in blocks.items():
        assert not (grown[name][weight == 0] != 0).any()
        assert float((grown[name] == 0).float().mean()) == pytest.approx(0.5, abs=0.01)


def test_beyond_the_blocks_only_layer_norms_are_of_a_levels_own(trained):
    core, level = (trained.network(n)[0] for n in ("steps-0.75", "nested-0.50"))
    norms = [n for n, m in core.named_modules() if isinstance(m, nn.LayerNorm)]
    own, matrices = {f"{n}.{part}" for n in norms for part in ("weight", "bias")}, pruned(core)
    for name, value in core.state_dict().items():
        if name not in matrices:
            assert torch.equal(value, level.state_dict()[name]) != (name in own), name


def test_levels_are_told_as_what_they_are(trained):
    (_, half), (_, whole) = (trained.network(n) for n in ("nested-0.50", "nested-0.00"))
    assert (half.subnet, whole.subnet) == ("0.50", "dense")
    assert half.num_nonzero < whole.num_nonzero and whole.sparsity == 0
    assert half.train_cost > half.train_updates  # with the teacher's passes


def test_all_levels_share_their_weights_in_one_packed_file(trained, tmp_path):
    names = ["nested-0.00", "nested-0.50", "steps-0.75"]
    makers = [lambda name=name: trained.network(name) for name in names]
    pack_transducers(tmp_path / "all", makers, own_values=True)
    pack_transducers(tmp_path / "whole", makers[:1])
    sizes = [PackedFile(tmp_path / name).size for name in ("all", "whole")]
    norms = sum(
        value.numel()
        for module in trained.network(names[0])[0].encoder.modules()
        if isinstance(module, nn.LayerNorm)
        for value in module.parameters()
    )
    header = 30000  # which tells where each level's parts lie
    assert sizes[1] < sizes[0] < sizes[1] + 2 * 4 * norms + header
    state = trained.network("nested-0.50")[0].state_dict()
    found = PackedFile(tmp_path / "all").matrices("0.50")
    for name, matrix in found.items():
        assert torch.equal(matrix.dense(), state[f"{name}.weight"]), name


def test_an_interrupted_growth_goes_on_where_it_was(trained, monkeypatch):
    real = GrowthMethod.loss

    def interrupted(self, model, batch, which, at):
        if at == 9 and model.training:
            raise Interrupted
        return real(self, model, batch, which, at)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(GrowthMethod, "loss", interrupted)
        trained.train("nested", 0.0, "nested-0.50", "dense", to="again")
    trained.train("nested", 0.0, "nested-0.50", "dense", to="again")
    one, two = (trained.folder / name / "epoch-2.pt" for name in ("nested-0.00", "again"))
    assert training.same_state(one, two) is None
    assert load_checkpoint(two)["train_updates"] > 9


def test_only_what_grows_has_a_gradient():
    torch.manual_seed(0)
    sparse, dense = (make_model(CONFIG.model, 20) for _ in range(2))
    linear = "encoder.emformer.emformer_layers.0.attention.out_proj"
    with torch.no_grad():
        sparse.get_submodule(linear).weight[:8] = 0.0
        dense.get_submodule(linear).weight[:4] = 0.0
    method = GrowthMethod(CONFIG.training, 10, Core(sparse, dense))
    model = method.wrap(make_model(CONFIG.model, 20))
    start_growth(method._core, Path("none"), model)
    loss, _ = method.loss(model, make_batch(), None, 5)
    loss.backward()
    norms = {id(p) for m in model.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()}
    for name, parameter in model.named_parameters():
        if name == f"{linear}.weight":
            rows = parameter.grad.abs().sum(1) > 0
            assert rows.nonzero().flatten().tolist() == [4, 5, 6, 7]
        elif id(parameter) not in norms:
            assert parameter.grad is None, name


# What cannot be.


def test_a_core_must_be_a_part_of_what_it_grows_to(trained):
    half, quarter = (trained.network(n)[0] for n in ("steps-0.50", "steps-0.75"))
    with pytest.raises(RecipeError, match="of the core is no part of what it grows to"):
        Core(half, quarter)


def test_there_must_be_something_to_grow(trained):
    half = trained.network("steps-0.50")[0]
    with pytest.raises(RecipeError, match="there is no weight beyond the core's"):
        Core(half, half)


def test_its_networks_must_be_alike(trained, tmp_path):
    other = load_config(write_config(tmp_path / "other.yaml", ffn_dim=48))
    model = make_model(other.model, trained.network("dense")[0].vocab_size)
    core = trained.network("steps-0.75")[0]
    with pytest.raises(RecipeError, match="unlike models"):
        Core(core, model)
    with pytest.raises(RecipeError, match="--start-from: of another model"):
        growth.start_growth(Core(core, trained.network("dense")[0]), tmp_path, model)


def test_a_level_that_grows_needs_its_blocks_and_nothing_else_does(trained):
    system, chain = (load_system(trained.folder / f"{n}.yaml") for n in ("nested", "steps"))
    given = Path("core"), Path("dense"), None
    with pytest.raises(RecipeError, match="grows around steps; .* level 0.5 .* by --blocks-from"):
        check_start(system.at(0.5), *given)
    check_start(system.at(0.0), *given, Path("blocks"))
    with pytest.raises(RecipeError, match="--blocks-from: system steps grows around nothing"):
        check_start(chain.at(0.5), Path("dense"), None, None, Path("blocks"))


@pytest.mark.parametrize(
    "levels, changes, said",
    [
        ([0.0, 0.5], {}, "a chain's levels descend, as it grows"),
        ([0.8, 0.0], {}, "level 0.8 is not below chain.core, 0.75"),
        ([0.5, 0.0], {"core": 0.0}, "chain.core is 0.0; with chain.around it must be between"),
        ([0.5, 0.75], {"around": ""}, "chain.core is 0.75; .* without it left out"),
    ],
)
def test_an_impossible_growth_is_told_in_one_line(tmp_path, levels, changes, said):
    (tmp_path / "steps.yaml").write_text(yaml.safe_dump(CHAIN))
    chain = {**NESTED["chain"], **changes}
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump({**NESTED, "levels": levels, "chain": chain}))
    with pytest.raises(RecipeError, match=said) as e:
        load_system(tmp_path / "bad.yaml")
    assert "\n" not in str(e.value)
