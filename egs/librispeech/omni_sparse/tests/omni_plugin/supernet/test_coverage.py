# SPDX-License-Identifier: Apache-2.0
"""Which weights of a model a supernet covers."""

import pytest
import torch
from torch import nn

from omni_plugin.errors import OmniError
from omni_plugin.supernet import SuperNet
from tests.support.torch_models import FunctionLinear, Mixed, Reader, Tied, mixed, vectors


def covered(model: nn.Module, **rules) -> list[str]:
    return SuperNet(model, **rules).layer_names


def test_every_matrix_is_covered_whatever_class_owns_it():
    assert covered(mixed()) == list(Mixed.matrices)


def test_the_sizes_are_the_matrices_numbers_of_weights():
    assert SuperNet(mixed()).layer_sizes == list(Mixed.matrices.values())


@pytest.mark.parametrize(
    "module, name",
    [
        (nn.Linear(16, 16), "weight"),
        (nn.Conv1d(16, 16, 1), "weight"),
        (nn.Conv2d(16, 16, 1), "weight"),
        (FunctionLinear(16, 16), "weight"),
        (nn.Bilinear(4, 4, 8), None),
        (nn.Conv1d(16, 16, 3), None),
        (nn.Conv2d(16, 16, (1, 3)), None),
        (nn.LayerNorm(16), None),
        (nn.Embedding(16, 16), None),
        (nn.EmbeddingBag(16, 16), None),
    ],
    ids=str,
)
def test_what_is_a_matrix(module, name):
    if name:
        assert covered(module) == [name]
    else:
        with pytest.raises(OmniError):
            covered(module)


def test_multihead_attention_has_its_two_matrices_covered():
    assert covered(nn.MultiheadAttention(16, 2)) == ["in_proj_weight", "out_proj.weight"]


def test_a_weight_under_two_names_is_one_weight_masked_in_both_places():
    model = Tied()
    supernet = SuperNet(model)
    assert supernet.layer_names == ["one.weight"]
    supernet.set_active_subnet(0.5)
    with supernet.masked():
        assert model.one.weight is model.other.weight
        assert int((model.one.weight == 0).sum()) == 128


def test_a_weight_under_two_names_of_one_module_is_masked_under_both():
    model = nn.Linear(16, 16)
    model.again = model.weight
    supernet = SuperNet(model)
    supernet.set_active_subnet(0.5)
    with supernet.masked():
        assert model.again is model.weight
        assert int((model.again == 0).sum()) == 128


def test_a_module_at_two_places_is_covered_once():
    shared = nn.Linear(16, 16)
    assert covered(nn.Sequential(shared, nn.ReLU(), shared)) == ["0.weight"]


def test_a_matrix_that_shares_its_weights_with_an_embedding_is_not_covered():
    for names in (("looked_up", "out"), ("out", "looked_up")):
        model = nn.ModuleDict({"first": nn.Linear(16, 16)})
        both = {"looked_up": nn.Embedding(16, 16), "out": nn.Linear(16, 16)}
        both["out"].weight = both["looked_up"].weight
        model.update({name: both[name] for name in names})
        assert covered(model) == ["first.weight"]


def test_include_keeps_the_model_order_and_finds_anywhere_in_a_name():
    assert covered(mixed(), include=("conv", "reader")) == [
        "reader.in_proj.weight",
        "reader.out_proj.weight",
        "conv1d.weight",
        "conv2d.weight",
    ]


def test_exclude_has_the_last_word():
    rules = {"include": (r"^reader\.", "last"), "exclude": ("out_proj",)}
    assert covered(mixed(), **rules) == ["reader.in_proj.weight", "last.weight"]


@pytest.mark.parametrize("what", ["include", "exclude"])
def test_a_rule_that_matches_nothing_is_refused_and_shows_names(what):
    with pytest.raises(OmniError) as error:
        covered(mixed(), **{what: ("linear", "encoder")})
    message = str(error.value)
    assert f"{what} rule 'encoder' matches none of the model's 8 matrices" in message
    assert "linear.weight" in message and "\n" not in message


def test_an_embedding_is_not_even_covered_by_its_name():
    with pytest.raises(OmniError, match="'embedding' matches none"):
        covered(mixed(), include=("embedding",))


@pytest.mark.parametrize("what", ["include", "exclude"])
def test_a_rule_that_is_no_regular_expression_is_refused(what):
    with pytest.raises(OmniError, match=rf"{what} rule '\(' is not a regular expression"):
        covered(mixed(), **{what: ("(",)})


def test_rules_that_leave_nothing_are_refused():
    with pytest.raises(OmniError, match="leave none of the model's 8 matrices"):
        covered(mixed(), include=("linear",), exclude=("linear",))


def test_a_model_without_matrices_is_refused():
    with pytest.raises(OmniError, match="there are none"):
        covered(nn.LayerNorm(8))


def test_a_weight_without_room_for_a_block_is_refused_by_its_name():
    model = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 4))
    with pytest.raises(OmniError, match=r"^1\.weight: a weight of shape \(4, 16\) has no block"):
        covered(model)
    assert covered(model, exclude=("1",)) == ["0.weight"]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_is_refused_and_can_be_excluded(kind):
    model = nn.ModuleDict({"proj": nn.Linear(16, 16), "rnn": kind(16, 16)})
    with pytest.raises(OmniError, match=rf"^rnn\.weight_ih_l0: {kind.__name__} .* exclude it"):
        covered(model)
    assert covered(model, exclude=("rnn",)) == ["proj.weight"]


def test_a_recurrent_cell_reads_its_weights_directly_and_is_covered():
    cell = nn.LSTMCell(16, 16)
    supernet = SuperNet(cell)
    assert supernet.layer_names == ["weight_ih", "weight_hh"]
    supernet.set_active_subnet(0.5)
    x = vectors(3, 16)
    out, baked = supernet(x), supernet.baked_model()(x)
    assert torch.equal(out[0], baked[0]) and torch.equal(out[1], baked[1])


def test_the_report_counts_weights_and_the_share_of_the_model():
    model = mixed()
    supernet = SuperNet(model)
    total, inside = sum(p.numel() for p in model.parameters()), sum(Mixed.matrices.values())
    head, *lines = supernet.coverage().splitlines()
    assert head == (
        f"pattern 8x1 covers 8 weights with {inside} of {total} parameters ({inside / total:.1%})"
    )
    assert lines[0] == "  linear.weight (16, 16): 256"
    assert lines[-1] == "  last.weight (24, 16): 384"
    assert [line.split()[0] for line in lines] == list(Mixed.matrices)
    assert supernet.covered_share() == inside / total


def test_the_report_counts_a_shared_weight_once():
    supernet = SuperNet(Tied())
    assert "covers 1 weights with 256 of 272 parameters (94.1%)" in supernet.coverage()


@pytest.mark.parametrize(
    "pattern, inside", [("8x1", 16 * 18), ("1x1", 20 * 18), ("2:4", 20 * 16), ("3x4", 18 * 16)]
)
def test_the_report_names_what_no_block_holds(pattern, inside):
    supernet = SuperNet(nn.Linear(18, 20, bias=False), pattern)
    assert f"with {inside} of 360 parameters" in supernet.coverage()
    outside = f"{360 - inside} weights outside whole blocks stay dense"
    assert (outside in supernet.coverage()) == (inside < 360)
    assert supernet.layer_sizes == [inside]
    supernet.set_active_subnet(0.5)
    assert supernet.sparsity() == 0.5


def test_a_model_that_reads_its_childrens_weights_is_covered():
    assert covered(Reader(16)) == ["in_proj.weight", "out_proj.weight"]
