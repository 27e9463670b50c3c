# SPDX-License-Identifier: Apache-2.0
"""Encoders that lack residual units."""

import copy
from pathlib import Path

import pytest
import torch

from emformer.config import UNITS, Config, ModelConfig
from emformer.decoding.streams import encode_chunk_by_chunk
from emformer.encoder import StreamingEncoder, emformer_class
from emformer.errors import RecipeError
from emformer.experiment.same_run import check_same_run
from emformer.layer import UNIT_MODULES, adapt_emformer
from emformer.model import make_model

ALL = tuple(f"{number}.{unit}" for number in range(3) for unit in UNITS)
REMOVED = [
    ("0.attention",),
    ("1.ffn",),
    ("0.attention", "0.ffn"),
    ("0.attention", "1.attention", "2.attention"),
    ("1.attention", "2.ffn", "0.ffn"),
    ALL,
]


def _config(*removed: str, **changes) -> ModelConfig:
    small = dict(encoder_dim=16, num_heads=2, ffn_dim=32, num_layers=3, dropout=0.0)
    chunks = dict(segment=4, right_context=2, left_context=6, decoder_dim=16, joiner_dim=16)
    return ModelConfig(**{**small, **chunks, **changes}, removed_units=removed)


def _features() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(3, 150, 80) * 4 - 7, torch.tensor([150, 40, 97])


def _pair(*removed: str) -> tuple[StreamingEncoder, StreamingEncoder]:
    """A whole encoder, and the one that lacks units but has its weights."""
    torch.manual_seed(1)
    whole, small = StreamingEncoder(_config()).eval(), StreamingEncoder(_config(*removed)).eval()
    weights = whole.state_dict()
    small.load_state_dict({name: weights[name] for name in small.state_dict()})
    return whole, small


def _silence(encoder: StreamingEncoder, unit: str) -> None:
    """Let a unit add zeros, by its last weights."""
    number, kind = unit.split(".")
    layer = encoder.emformer.emformer_layers[int(number)]
    last = layer.attention.out_proj if kind == "attention" else layer.pos_ff[4]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()


def test_units_have_the_same_names_everywhere():
    assert tuple(UNIT_MODULES) == UNITS
    assert tuple(StreamingEncoder(_config()).residual_units()) == ALL


@torch.no_grad()
def test_with_all_units_the_outputs_are_torchaudios():
    encoder = StreamingEncoder(_config()).eval()
    plain = emformer_class()(16, 2, 32, 3, 4, left_context_length=6, right_context_length=2).eval()
    plain.load_state_dict(encoder.emformer.state_dict())
    torch.manual_seed(0)
    x, lens = torch.randn(2, 22, 16), torch.tensor([20, 12])
    assert torch.equal(encoder.emformer(x, lens)[0], plain(x, lens)[0])
    states = expected_states = None
    for start in range(0, 16, 4):
        chunk, lens = x[:, start : start + 6], torch.tensor([6, 6])
        out, _, states = encoder.emformer.infer(chunk, lens, states)
        expected, _, expected_states = plain.infer(chunk, lens, expected_states)
        assert torch.equal(out, expected)


@pytest.mark.parametrize("left, right", [(6, 2), (0, 0), (0, 3), (5, 1), (100, 4)])
@pytest.mark.parametrize("lens", [(20, 12, 4), (20,), (22, 22, 3)], ids=str)
def test_of_whole_utterances_outputs_and_gradients_are_torchaudios_bit_for_bit(left, right, lens):
    contexts = dict(left_context_length=left, right_context_length=right)
    torch.manual_seed(1)
    plain = emformer_class()(16, 2, 32, 3, 4, dropout=0.1, **contexts)
    ours = copy.deepcopy(plain)
    adapt_emformer(ours)
    found = []
    for encoder in (plain, ours):
        torch.manual_seed(0)
        x = torch.randn(len(lens), max(lens) + right, 16, requires_grad=True)
        out, _ = encoder(x, torch.tensor(lens))
        (out * torch.randn_like(out)).sum().backward()
        found.append([out, x.grad, *(p.grad for p in encoder.parameters())])
    for expected, value in zip(*found, strict=True):
        assert torch.equal(value, expected)


@pytest.mark.parametrize("removed", REMOVED, ids=" ".join)
@torch.no_grad()
def test_without_units_is_as_if_they_added_zeros(removed):
    whole, small = _pair(*removed)
    for unit in removed:
        _silence(whole, unit)
    torch.testing.assert_close(small(*_features())[0], whole(*_features())[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("removed", REMOVED, ids=" ".join)
@torch.no_grad()
def test_chunk_by_chunk_equals_the_whole_utterance_without_units(removed):
    """Streams that end leave the states, which are empty where there is no attention."""
    torch.manual_seed(1)
    model = make_model(_config(*removed), 11).eval()
    x, x_lens = _features()
    expected, lens = model.encode(x, x_lens)
    blocks, _ = zip(*encode_chunk_by_chunk(model, x, x_lens), strict=True)
    found = torch.cat(blocks, dim=1)
    for n, length in enumerate(lens.tolist()):
        torch.testing.assert_close(found[n, :length], expected[n, :length], atol=1e-5, rtol=0)


@pytest.mark.parametrize("removed", REMOVED, ids=" ".join)
def test_the_weights_of_removed_units_are_gone(removed):
    whole, small = _pair(*removed)
    units = whole.residual_units()
    gone = tuple(f"{module}." for unit in removed for module in units[unit])
    expected = [name for name in whole.state_dict() if not name.startswith(gone)]
    assert list(small.state_dict()) == expected
    assert tuple(small.residual_units()) == tuple(unit for unit in ALL if unit not in removed)


@pytest.mark.parametrize("removed", REMOVED, ids=" ".join)
@torch.no_grad()
def test_a_layer_without_attention_keeps_no_state(removed):
    _, small = _pair(*removed)
    x, _ = _features()
    _, states = small.forward_chunk(x[:, : small.window_frames], None)
    lacks = [f"{number}.attention" in removed for number in range(3)]
    assert [not state for state in states] == lacks


def test_the_attention_of_a_layer_without_it_is_not_computed(monkeypatch):
    _, small = _pair("1.attention")
    calls = []
    norms = [layer.layer_norm_input for layer in small.emformer.emformer_layers]
    for norm in filter(None, norms):
        norm.register_forward_hook(lambda *_: calls.append(1))
    small(*_features())
    assert len(calls) == 2 and norms[1] is None


def test_a_model_without_units_can_be_copied():
    _, small = _pair("1.attention")
    again = copy.deepcopy(small)
    assert torch.equal(again(*_features())[0], small(*_features())[0])


def test_removed_units_survive_a_checkpoint():
    config = Config.from_dict({"model": {"removed_units": ["2.attention", "0.ffn"]}})
    assert config.model.removed_units == ("2.attention", "0.ffn")
    assert Config.from_dict(config.to_dict()) == config


def test_a_run_from_before_this_setting_is_gone_on_with():
    config = Config.from_dict({})
    before = config.to_dict()
    del before["model"]["removed_units"]
    state = {"config": before, "seed": 0, "tokens": ["a"]}
    state |= {"normalization": "nmt_nfkc", "optimizer": {}}
    check_same_run(Path("epoch-1.pt"), state, config, 0, ["a"], "nmt_nfkc")
    small = Config.from_dict({"model": {"removed_units": ["0.ffn"]}})
    with pytest.raises(RecipeError, match="trained with model.removed_units .*, now .'0.ffn'"):
        check_same_run(Path("epoch-1.pt"), state, small, 0, ["a"], "nmt_nfkc")


@pytest.mark.parametrize(
    "removed, said",
    [
        (["3.ffn"], "removed_units has '3.ffn'; the model has 0.attention to 2.ffn"),
        (["1.conv"], "removed_units has '1.conv'"),
        ("1.ffn", "removed_units: '1.ffn' is not of type"),
    ],
)
def test_units_that_no_layer_has_are_refused(removed, said):
    with pytest.raises(RecipeError, match=said):
        Config.from_dict({"model": {"num_layers": 3, "removed_units": removed}})


def test_a_run_with_other_normalisation_of_texts_is_another_run():
    config = Config.from_dict({})
    state = {"config": config.to_dict(), "seed": 0, "tokens": ["a"]}
    state |= {"normalization": "nmt_nfkc", "optimizer": {}}
    with pytest.raises(RecipeError, match="trained with another BPE model"):
        check_same_run(Path("epoch-1.pt"), state, config, 0, ["a"], "identity")
