# SPDX-License-Identifier: Apache-2.0
"""Packed transducers: written from a trained supernet, decoded with the sparse runtime."""

import dataclasses

import pytest
import torch

from emformer import streaming_decode
from emformer.decoding.streams import encode_chunk_by_chunk
from emformer.errors import RecipeError
from emformer.scoring.results import read_results
from emformer.scoring.wer import read_recogs
from omni_emformer.runtime import decode as runtime_decode
from omni_emformer.runtime import pack as runtime_pack
from omni_emformer.runtime.model import load_packed, pack_transducers
from omni_emformer.supernet.loader import subnet_loader
from omni_plugin.runtime import PackedFile, PackedLinear, write_packed
from tests.support.random_supernets import talkative_supernet

SUBNETS = ["dense", "0.50", "0.90"]


@pytest.fixture(scope="module")
def exp_dir(tmp_path_factory, tiny_data):
    return talkative_supernet(tiny_data, tmp_path_factory.mktemp("packed"))


def pack(exp_dir, path, *more: str):
    runtime_pack.main(["--exp-dir", str(exp_dir), "--out", str(path), *more])
    return path


@pytest.fixture(scope="module")
def packed(exp_dir):
    return pack(exp_dir, exp_dir.parent / "m.packed")


def test_all_trained_levels_are_in_the_file(packed):
    assert PackedFile(packed).subnets == SUBNETS


def test_what_only_training_needs_is_not_in_the_file(packed):
    file = PackedFile(packed)
    names = [*file.matrices("dense"), *file.tensors()]
    assert "joiner.output_linear" in names
    assert not [name for name in names if name.startswith("simple_")]


@pytest.mark.parametrize("subnet", SUBNETS)
def test_chunk_outputs_are_within_1e_4_of_the_sub_network(exp_dir, packed, subnet):
    options = streaming_decode.get_parser().parse_args(["--exp-dir", str(exp_dir)])
    level = "dense" if subnet == "dense" else float(subnet)
    expected, info = subnet_loader(level, "")(options)
    found, about = load_packed(packed, subnet)
    assert isinstance(found.joiner.output_linear, PackedLinear)
    assert about.num_nonzero == info.num_nonzero and about.subnet == info.subnet
    x, x_lens = torch.randn(3, 200, 80) * 3.5 - 5, torch.tensor([200, 90, 130])
    with torch.no_grad():
        chunks = [encode_chunk_by_chunk(model, x, x_lens) for model in (expected, found)]
        for (one, one_lens), (other, other_lens) in zip(*chunks, strict=True):
            assert torch.equal(one_lens, other_lens)
            torch.testing.assert_close(other, one, atol=1e-4, rtol=0)


def test_a_packed_file_is_decoded_to_the_same_texts(exp_dir, packed, tiny_data, tmp_path):
    (tmp_path / "epoch-1.pt").symlink_to(exp_dir / "epoch-1.pt")
    where = ["--exp-dir", str(tmp_path), "--data-dir", str(tiny_data), "--splits", "test-clean"]
    streaming_decode.main(where, load=subnet_loader(0.9, "_baked"))
    runtime_decode.main(["--packed", str(packed), "--subnet", "0.90", *where])
    found = {}
    for end in ("_baked", "_packed-float32"):
        (path,) = (tmp_path / "streaming" / "greedy_search").glob(f"recogs-*{end}.txt")
        found[end] = {u.id: u.hyp for u in read_recogs(path)}
    assert found["_baked"] == found["_packed-float32"]
    assert any(found["_baked"].values())
    assert [r.system for r in read_results(tmp_path / "results.jsonl")] == ["dense", "packed"]


def test_int8_files_are_smaller_and_load(exp_dir, packed, tmp_path):
    path = pack(exp_dir, tmp_path / "m", "--subnets", "0.9", "--values", "int8")
    assert path.stat().st_size < packed.stat().st_size
    model, info = load_packed(path, "0.90")
    layer = model.encoder.emformer.emformer_layers[0]
    assert layer.pos_ff[1].matrix.band.values.dtype == torch.int8
    assert info.tail.endswith("_packed-int8")


def test_the_card_beside_a_file_is_of_all_its_sub_networks(packed):
    card = (packed.parent / "m.packed.md").read_text()
    assert card.startswith("# dense m.packed\n")
    assert [line.split(" | ")[0][2:] for line in card.splitlines() if "| 0.0 %" in line] == [
        "dense"
    ]
    assert all(f"\n| {subnet} | " in card for subnet in SUBNETS)
    assert f"| `m.packed` | {packed.stat().st_size:,} |" in card


def test_a_card_that_is_there_stays(exp_dir, tmp_path, capsys):
    (tmp_path / "m.md").write_text("mine")
    pack(exp_dir, tmp_path / "m", "--subnets", "0.9")
    assert (tmp_path / "m.md").read_text() == "mine"
    assert "there already, and left as it is" in capsys.readouterr().out


def test_a_file_that_is_there_is_not_overwritten(exp_dir, packed):
    with pytest.raises(RecipeError, match="exists; delete it or choose another name"):
        pack(exp_dir, packed)


def test_a_folder_that_is_missing_is_told(exp_dir, tmp_path):
    with pytest.raises(RecipeError, match="No such file or directory"):
        pack(exp_dir, tmp_path / "none" / "m", "--subnets", "0.9")


def test_models_of_different_architecture_do_not_share_a_file(exp_dir, tmp_path):
    options = streaming_decode.get_parser().parse_args(["--exp-dir", str(exp_dir)])
    load = subnet_loader(0.5, "")

    def other():
        model, info = load(options)
        config = dataclasses.replace(info.config.model, segment=8)
        changed = dataclasses.replace(info.config, model=config)
        return model, dataclasses.replace(info, config=changed, subnet="other")

    with pytest.raises(RecipeError, match="other is of another architecture"):
        pack_transducers(tmp_path / "m", [lambda: load(options), other])


def test_an_unknown_sub_network_is_told(packed):
    with pytest.raises(RecipeError, match="'0.7'; known: dense, 0.50, 0.90"):
        load_packed(packed, "0.7")


def test_a_packed_file_of_something_else_is_told(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    write_packed(tmp_path / "m", model, [("a", model.state_dict())])
    with pytest.raises(RecipeError, match="m: a packed file, but of no transducer"):
        load_packed(tmp_path / "m", "a")


def test_a_damaged_file_is_told(packed, tmp_path):
    (tmp_path / "m").write_bytes(packed.read_bytes()[:-1])
    with pytest.raises(RecipeError, match="m: it has .* bytes where its header tells of"):
        load_packed(tmp_path / "m", "dense")
