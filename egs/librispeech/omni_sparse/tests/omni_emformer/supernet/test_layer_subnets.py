# SPDX-License-Identifier: Apache-2.0
"""Sub-networks of a trained layer selection: plain models against the supernet, and as files."""

from pathlib import Path

import pytest
import torch

from emformer import decode, streaming_decode
from emformer.config import Config
from emformer.decoding.options import get_parser
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint
from emformer.scoring.results import read_results
from emformer.scoring.wer import read_recogs
from omni_emformer.export import __main__ as export
from omni_emformer.supernet.layer_subnets import LayerSubnets, layer_subnet_loader
from omni_emformer.supernet.plain_checkpoint import write_checkpoint
from tests.support import training
from tests.support.layer_trainings import trainer
from tests.support.random_supernets import talkative_selection
from tests.support.random_weights import save_talkative

MODES = {"simulated": decode, "chunk-wise": streaming_decode}
SIZES = ["dense", "units-2", "units-1"]


@pytest.fixture(scope="module")
def exp_dir(tmp_path_factory, tiny_data):
    return talkative_selection(tiny_data, tmp_path_factory.mktemp("layers"), "simple_top_k")


@pytest.fixture(scope="module")
def combined_dir(tmp_path_factory, tiny_data):
    return talkative_selection(tiny_data, tmp_path_factory.mktemp("combined"), "combined")


def options(exp_dir, *more: str):
    return get_parser(None).parse_args(["--exp-dir", str(exp_dir), *more])


def features() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, 90, 80) * 3 - 6, torch.tensor([90, 61])


def by_chunks(model) -> torch.Tensor:
    """Encoder output of some chunks."""
    x, _ = features()
    states, blocks = None, []
    for start in range(0, 3 * model.chunk_frames, model.chunk_frames):
        block, states = model.encode_chunk(x[:, start : start + model.window_frames], states)
        blocks.append(block)
    return torch.cat(blocks, dim=1)


@torch.no_grad()
@pytest.mark.parametrize("name", SIZES)
def test_a_sub_network_is_the_supernets_bit_for_bit(exp_dir, name):
    subnets = LayerSubnets(options(exp_dir))
    model, _ = subnets.make(name)
    selection = subnets.layers.selection(name.replace("dense", "full"))
    with subnets.layers.running(selection):
        whole = subnets.layers.supernet.model
        assert torch.equal(model.encode(*features())[0], whole.encode(*features())[0])
        assert torch.equal(by_chunks(model), by_chunks(whole))
        assert torch.equal(model.simple_am_proj.weight, whole.simple_am_proj.weight)


@torch.no_grad()
@pytest.mark.parametrize("name", ["0.50", "units-2_0.50", "units-1_0.90"])
def test_a_sparse_one_of_fewer_layers_is_the_supernets(combined_dir, name):
    subnets = LayerSubnets(options(combined_dir))
    model, info = subnets.make(name)
    size, level = name.rpartition("_")[0] or "full", float(name[-4:])
    subnets.supernet.set_active_subnet(level)
    with subnets.layers.running(subnets.layers.selection(size)), subnets.supernet.masked() as whole:
        assert torch.equal(model.encode(*features())[0], whole.encode(*features())[0])
    covered = [p for n, p in model.named_parameters() if n in subnets.supernet.layer_names]
    zeros = sum(int((p == 0).sum()) for p in covered) / sum(p.numel() for p in covered)
    assert zeros == pytest.approx(level, abs=0.02)
    assert info.num_params - info.num_nonzero >= sum(int((p == 0).sum()) for p in covered)


def test_all_sub_networks_have_names(exp_dir, combined_dir):
    assert LayerSubnets(options(exp_dir)).levels() == SIZES
    levels = ["", "0.50", "0.90"]
    expected = [f"{size}_{level}".strip("_") for size in ("", *SIZES[1:]) for level in levels]
    assert LayerSubnets(options(combined_dir)).levels() == ["dense", *expected[1:]]


@pytest.mark.parametrize("name, removed", [("units-2", (3, 0)), ("units-1", (3, 0, 1))])
def test_the_configuration_tells_what_is_gone(exp_dir, name, removed):
    units = ("0.attention", "0.ffn", "1.attention", "1.ffn")
    model, info = LayerSubnets(options(exp_dir)).make(name)
    gone = {units[number] for number in removed}
    assert set(info.config.model.removed_units) == set(model.config.removed_units) == gone
    full, whole = LayerSubnets(options(exp_dir)).make("dense")
    lost = sum(
        p.numel()
        for n, p in full.encoder.named_parameters()
        for unit in gone
        if n.startswith(tuple(f"{module}." for module in full.encoder.residual_units()[unit]))
    )
    assert info.num_params == whole.num_params - lost < whole.num_params


def test_streams_keep_less_state_without_attention(exp_dir):
    def size(name: str) -> int:
        model, _ = LayerSubnets(options(exp_dir)).make(name)
        _, states = model.encode_chunk(features()[0][:, : model.window_frames], None)
        return sum(tensor.numel() for layer in states for tensor in layer)

    assert size("units-2") == size("units-1") == size("dense") / 2  # without 0.attention


def test_an_unknown_size_is_named(exp_dir):
    with pytest.raises(RecipeError, match="no sub-network units-3; known: dense, units-2, units-1"):
        LayerSubnets(options(exp_dir)).make("units-3")


def test_a_checkpoint_without_selection_is_named(tiny_data, tmp_path):
    config = training.write_config(tmp_path / "tiny.yaml")
    save_talkative(training.trainer(tiny_data, config, tmp_path))
    with pytest.raises(RecipeError, match="of no layer selection; decode it without sizes"):
        LayerSubnets(options(tmp_path))


def test_a_checkpoint_before_the_selection_is_named(tiny_data, tmp_path):
    config = training.write_config(tmp_path / "tiny.yaml")
    save_talkative(trainer(tiny_data, config, tmp_path, "simple_top_k"))
    with pytest.raises(RecipeError, match="no size is selected yet; decode a later epoch"):
        LayerSubnets(options(tmp_path))


@pytest.mark.parametrize("settled, warned", [(0, False), (3, False), (4, True)])
def test_averages_from_before_the_selection_are_warned_of(
    tiny_data, tmp_path, caplog, settled, warned
):
    """The average of the last of two epochs of 3 updates begins at update 3."""
    config = training.write_config(tmp_path / "tiny.yaml")
    run = trainer(tiny_data, config, tmp_path, "simple_top_k")
    run.average.update(run.model)
    run.method.layers.order, run.method.layers.settled_at = [3, 0, 1, 2], settled
    for epoch in (1, 2):
        run.average.update(run.model)
        run.epoch, run.update = epoch + 1, 3 * epoch
        run._save(f"epoch-{epoch}.pt")
    LayerSubnets(options(tmp_path))
    assert ("begins at update 3, before the sizes were selected" in caplog.text) == warned
    caplog.clear()
    LayerSubnets(options(tmp_path, "--use-averaged-model", "false"))
    assert not caplog.text


# As files.


def words(data, exp_dir, *more: str) -> list[str]:
    where = ["--exp-dir", str(exp_dir), "--data-dir", str(data), "--device", "cpu"]
    return [*where, "--splits", "test-clean", *more]


def exported(exp_dir, size: str, folder) -> Path:
    where = ["--exp-dir", str(exp_dir), "--out", str(folder)]
    export.main([*where, "--subnets", size, "--formats", "checkpoint"])
    return folder / size


@pytest.mark.parametrize("mode", MODES)
def test_an_exported_sub_network_is_decoded_as_a_plain_model(exp_dir, tiny_data, tmp_path, mode):
    """The same texts as from the supernet's checkpoint, by the dense recipe alone."""
    (tmp_path / "epoch-1.pt").symlink_to(exp_dir / "epoch-1.pt")
    MODES[mode].main(words(tiny_data, tmp_path), layer_subnet_loader("units-2"))
    out = exported(exp_dir, "units-2", tmp_path)
    MODES[mode].main(words(tiny_data, out))
    (one,), (other,) = (read_results(d / "results.jsonl") for d in (tmp_path, out))
    assert (one.subnet, other.subnet) == ("units-2", "dense")
    assert one.weights == other.weights and one.num_params == other.num_params
    assert one.train_cost == other.train_cost
    texts = [read_recogs(d / r.recogs) for d, r in ((tmp_path, one), (out, other))]
    assert texts[0] == texts[1] and any(utterance.hyp for utterance in texts[0])
    assert "_units-2" in one.recogs


def test_an_export_is_a_checkpoint_without_method(exp_dir, tmp_path):
    state = load_checkpoint(exported(exp_dir, "units-1", tmp_path) / "epoch-1.pt")
    assert state["method"] == {}
    assert not any(name.startswith("size_heads") for name in state["model"])
    config = Config.from_dict(state["config"])
    assert len(config.model.removed_units) == 3


def test_nothing_is_overwritten(exp_dir, tmp_path):
    made = LayerSubnets(options(exp_dir)).make("units-1")
    write_checkpoint(*made, tmp_path)
    with pytest.raises(RecipeError, match="epoch-1.pt exists already; choose another --out"):
        write_checkpoint(*made, tmp_path)
