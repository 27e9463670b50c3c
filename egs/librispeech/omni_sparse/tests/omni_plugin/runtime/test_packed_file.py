# SPDX-License-Identifier: Apache-2.0
"""Packed files: all sub-networks in one, bit by bit, in few bytes."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from omni_plugin import SuperNet
from omni_plugin.errors import OmniError
from omni_plugin.runtime import PackedFile, PackedLinear, packed_file, use_packed, write_packed
from tests.support.runtime.layers import LEVELS, model, supernet, write_levels

VALUES = pytest.mark.parametrize("values", ["float32", "int8"])


@pytest.fixture
def packed(tmp_path) -> PackedFile:
    return PackedFile(
        write_levels(tmp_path / "m.packed", supernet(), meta={"seed": 3, "x": [1.5, None]})
    )


def test_the_file_tells_what_it_holds(packed):
    assert packed.subnets == LEVELS
    assert packed.meta == {"seed": 3, "x": [1.5, None]}


@pytest.mark.parametrize("level", LEVELS)
def test_each_sub_network_is_bit_by_bit_what_the_masks_say(packed, level):
    baked = supernet().bake(level)
    for name, matrix in packed.matrices(level).items():
        assert torch.equal(matrix.dense(), baked.pop(f"{name}.weight"))
        bias = baked.pop(f"{name}.bias", torch.zeros(matrix.rows))
        assert torch.equal(matrix.bias[: matrix.rows], bias)
    tensors = packed.tensors()
    assert tensors.keys() == baked.keys()
    assert all(torch.equal(tensors[name], value) for name, value in baked.items())


def test_a_model_switches_between_the_sub_networks_of_a_file(packed):
    net, used, x = supernet(), model(), torch.randn(3, 6, 20)
    for level in [*LEVELS, *LEVELS]:
        use_packed(used, packed, level)
        assert isinstance(used[0], PackedLinear)
        torch.testing.assert_close(used(x), net.baked_model(level)(x).detach(), atol=1e-5, rtol=0)


def test_what_is_no_plain_linear_layer_stays_as_it_is(tmp_path):
    attention = nn.MultiheadAttention(8, 2, batch_first=True)  # reads its projections' weights
    net = nn.ModuleDict({"attention": attention, "linear": nn.Linear(8, 8)}).eval()
    write_packed(tmp_path / "m", net, [("all", net.state_dict())])
    x = torch.randn(2, 5, 8)
    expected = net["linear"](attention(x, x, x)[0])
    used = copy.deepcopy(net)
    nn.init.zeros_(used["attention"].out_proj.weight)
    use_packed(used, PackedFile(tmp_path / "m"), "all")
    found = used["linear"](used["attention"](x, x, x)[0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_tensors_of_all_types_and_shapes_come_back(tmp_path):
    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)
            kinds = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8]
            for number, kind in enumerate([*kinds, torch.int32, torch.int16, torch.int8]):
                self.register_buffer(f"b{number}", torch.arange(6).view(2, 3).to(kind))
            self.register_buffer("flags", torch.tensor([True, False]))
            self.register_buffer("one", torch.tensor(3.5))
            self.register_buffer("none", torch.zeros(0, 4))

    holder = Holder()
    write_packed(tmp_path / "m", holder, [("all", holder.state_dict())])
    found, buffers = PackedFile(tmp_path / "m").tensors(), dict(holder.named_buffers())
    assert found.keys() == buffers.keys()
    for name, value in buffers.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value)


@VALUES
def test_bytes_shrink_with_the_weights(tmp_path, values):
    net = SuperNet(nn.Sequential(nn.Linear(512, 1024), nn.Linear(1024, 512)), "8x1")
    dense = sum(p.numel() * 4 for p in net.model.parameters())
    size = write_levels(tmp_path / "m", net, ["0.9"], values).stat().st_size
    assert size <= {"float32": 0.15, "int8": 0.05}[values] * dense


def test_a_file_of_all_levels_is_as_large_as_its_densest_alone(tmp_path):
    net = SuperNet(nn.Sequential(nn.Linear(512, 512)), "8x1")
    alone = write_levels(tmp_path / "one", net, ["0"]).stat().st_size
    assert write_levels(tmp_path / "all", net, LEVELS).stat().st_size < 1.01 * alone


def test_of_a_sparser_sub_network_less_is_read(tmp_path, monkeypatch):
    packed = PackedFile(
        write_levels(tmp_path / "m", SuperNet(nn.Sequential(nn.Linear(512, 512)), "8x1"))
    )
    sizes, read = [], packed_file.PackedFile._read

    def counted(self, file, section):
        sizes.append(section.size)
        return read(self, file, section)

    monkeypatch.setattr(packed_file.PackedFile, "_read", counted)
    totals = {}
    for level in LEVELS:
        sizes.clear()
        packed.matrices(level)
        totals[level] = sum(sizes)
    assert totals["0.9"] < 0.12 * totals["0"] and totals["0.5"] < 0.52 * totals["0"]


def test_int8_values_are_within_half_a_step_of_the_row(tmp_path):
    net = supernet()
    packed = PackedFile(write_levels(tmp_path / "m", net, values="int8"))
    for level in LEVELS:
        baked = net.bake(level)
        for name, matrix in packed.matrices(level).items():
            exact = baked[f"{name}.weight"]
            # The step is that of the densest sub-network: all of them share the bytes.
            step = net.bake("0")[f"{name}.weight"].abs().amax(1, keepdim=True) / 127
            assert ((matrix.dense() - exact).abs() <= 0.501 * step).all()
            assert (matrix.dense()[exact == 0] == 0).all()


def test_layers_may_have_levels_of_their_own(tmp_path):
    net = supernet()
    choices = {"low": [0.2, 0.0], "high": [0.9, 0.5], "higher": [0.9, 0.7]}
    states = ((name, net.bake(levels)) for name, levels in choices.items())
    write_packed(tmp_path / "m", net.model, states)
    for name, levels in choices.items():
        matrices, baked = PackedFile(tmp_path / "m").matrices(name), net.bake(levels)
        assert all(torch.equal(m.dense(), baked[f"{n}.weight"]) for n, m in matrices.items())


def test_a_layer_without_any_block_is_written_and_read(tmp_path):
    net, x = nn.Sequential(nn.Linear(5, 9)), torch.randn(3, 5)
    nn.init.zeros_(net[0].weight)
    write_packed(tmp_path / "m", net, [("empty", net.state_dict())])
    bias = net[0].bias.detach()
    use_packed(net, PackedFile(tmp_path / "m"), "empty")
    torch.testing.assert_close(net(x), bias.expand(3, 9))


# What is refused.


def test_sub_networks_that_are_not_nested_are_refused(tmp_path):
    net = nn.Sequential(nn.Linear(2, 8, bias=False))
    states = []
    for column in range(2):
        weight = torch.zeros(8, 2)
        weight[:, column] = 1
        states.append((f"s{column}", {"0.weight": weight}))
    with pytest.raises(OmniError, match="0: sub-network s1 lacks blocks that a sparser one has"):
        write_packed(tmp_path / "m", net, states)


def test_sub_networks_of_different_weights_are_refused(tmp_path):
    first, other = supernet(), supernet()
    nn.init.normal_(other.model[2].weight)
    states = [("a", first.bake(0.5)), ("b", other.bake(0.5))]
    with pytest.raises(OmniError, match="2: the sub-networks differ in weights that both keep"):
        write_packed(tmp_path / "m", first.model, states)


def test_sub_networks_of_a_finer_pattern_are_refused_together(tmp_path):
    net = SuperNet(nn.Sequential(nn.Linear(64, 64)), "1x1")
    write_levels(tmp_path / "one", net, ["0.5"])
    with pytest.raises(OmniError, match="0: the sub-networks differ"):
        write_levels(tmp_path / "two", net, ["0.5", "0.9"])


def test_sub_networks_that_differ_elsewhere_are_refused(tmp_path):
    net = supernet()
    states = [("a", net.bake(0.5)), ("b", {**net.bake(0.9), "1.bias": torch.ones(27)})]
    with pytest.raises(OmniError, match="1.bias: sub-network b has another value than the first"):
        write_packed(tmp_path / "m", net.model, states)


def test_nothing_to_pack_is_refused(tmp_path):
    with pytest.raises(OmniError, match="no sub-network to pack"):
        write_packed(tmp_path / "m", model(), [])
    with pytest.raises(OmniError, match="no plain linear layer"):
        write_packed(tmp_path / "m", nn.LayerNorm(3), [("a", nn.LayerNorm(3).state_dict())])


def test_unknown_values_are_refused(tmp_path):
    with pytest.raises(OmniError, match="'int4' are unknown; known: float32, int8"):
        write_levels(tmp_path / "m", supernet(), values="int4")


def test_a_file_is_not_overwritten(tmp_path):
    path = write_levels(tmp_path / "m", supernet())
    before = path.read_bytes()
    with pytest.raises(OmniError, match="m exists; delete it or choose another name"):
        write_levels(path, supernet(), ["0.9"])
    assert path.read_bytes() == before


def test_what_fails_to_be_written_leaves_nothing(tmp_path):
    net = supernet()
    states = [("a", net.bake(0.5)), ("b", {**net.bake(0.9), "1.bias": torch.ones(27)})]
    with pytest.raises(OmniError):
        write_packed(tmp_path / "m", net.model, states)
    with pytest.raises(OmniError, match="meta holds what JSON cannot"):
        write_levels(tmp_path / "m", net, meta={"no JSON": object()})
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_sub_network_is_refused_and_shows_the_known_ones(packed):
    with pytest.raises(OmniError, match="'0.7'; known: 0, 0.5, 0.9"):
        packed.matrices("0.7")


def test_a_file_of_another_model_is_refused_and_changes_nothing(packed):
    other = nn.Sequential(nn.Linear(20, 28))
    weight = other[0].weight
    with pytest.raises(OmniError, match=r"m.packed: 0 is of shape \(27, 20\) there"):
        use_packed(other, packed, "0")
    assert other[0].weight is weight


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(OmniError, match="none: cannot be read .No such file"):
        PackedFile(tmp_path / "none")


UNWRITABLE = {
    "too many inputs": (lambda: nn.Linear(70000, 8), None, "no whole number from 1 to"),
    "no inputs": (lambda: nn.Linear(0, 8), None, "cannot be written: "),
    "no outputs": (lambda: nn.Linear(8, 0), None, "cannot be written: "),
    "no JSON": (lambda: nn.Linear(8, 8), {"where": Path("x")}, "meta holds what JSON cannot: "),
}


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("make, meta, said", UNWRITABLE.values(), ids=UNWRITABLE)
def test_what_the_reader_would_refuse_is_not_written(tmp_path, make, meta, said):
    model = nn.Sequential(make())
    with pytest.raises(OmniError, match=said):
        write_packed(tmp_path / "m", model, [("a", model.state_dict())], meta=meta)
    assert list(tmp_path.iterdir()) == []


def test_two_sub_networks_of_one_name_are_refused(tmp_path):
    model = nn.Sequential(nn.Linear(8, 8))
    with pytest.raises(OmniError, match="two sub-networks are called 'a'"):
        write_packed(tmp_path / "m", model, [("a", model.state_dict())] * 2)


@VALUES
def test_a_file_tells_its_values_and_its_size(tmp_path, values):
    path = write_levels(tmp_path / "m.packed", supernet(), values=values)
    file = PackedFile(path)
    assert (file.values, file.size) == (values, path.stat().st_size)


def test_bytes_of_a_sub_network_are_those_that_are_read(packed, monkeypatch):
    read, section = [], PackedFile._read

    def counted(self, file, place):
        read.append(place.size)
        return section(self, file, place)

    monkeypatch.setattr(PackedFile, "_read", counted)
    sizes = []
    for level in LEVELS:
        read.clear()
        packed.matrices(level), packed.tensors()
        sizes.append(packed.bytes_of(level))
        assert sizes[-1] == sum(read)
    assert len(set(sizes)) == len(LEVELS) and max(sizes) < packed.size
    with pytest.raises(OmniError, match="no sub-network is called 'none'"):
        packed.bytes_of("none")
