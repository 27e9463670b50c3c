# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from emformer.config import ModelConfig
from emformer.encoder import StreamingEncoder
from omni_plugin.distillation import AdaptiveDropout
from omni_plugin.errors import OmniError


class _Functional(nn.Module):
    """Passes its probability to F.dropout itself."""

    def __init__(self, dropout: float, name: str = "dropout") -> None:
        super().__init__()
        self.name = name
        setattr(self, name, dropout)

    def forward(self, x):
        return F.dropout(x, getattr(self, self.name), self.training)


def _values(dropout: AdaptiveDropout) -> list[float]:
    return [getattr(module, attribute) for _, module, attribute in dropout._places]


def _mixed() -> nn.Module:
    return nn.Sequential(
        nn.Linear(8, 8),
        nn.Dropout(0.1),
        nn.AlphaDropout(0.3),
        _Functional(0.7),
        nn.Dropout(0.0),
        nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True),
    )


def test_every_kind_of_dropout_is_found():
    assert AdaptiveDropout(_mixed()).places == [
        "1.p",
        "2.p",
        "3.dropout",
        "4.p",
        "5.self_attn.dropout",
        "5.dropout.p",
        "5.dropout1.p",
        "5.dropout2.p",
    ]


def test_every_dropout_of_the_emformer_is_found():
    config = ModelConfig(encoder_dim=16, num_heads=2, ffn_dim=32, num_layers=2, dropout=0.1)
    dropout = AdaptiveDropout(StreamingEncoder(config))
    # A layer has one in its attention, one after it, and two in its feed-forward module.
    assert _values(dropout) == [0.1] * (2 * 4)
    assert sum(name.endswith("attention.dropout") for name in dropout.places) == 2


def test_other_attribute_names_can_be_given():
    model = nn.Sequential(_Functional(0.4, "dropout_p"), nn.Dropout(0.2))
    assert AdaptiveDropout(model).places == ["1.p"]
    assert AdaptiveDropout(model, names=("dropout_p",)).places == ["0.dropout_p", "1.p"]


def test_a_shared_module_is_scaled_once():
    shared = nn.Dropout(0.4)
    with AdaptiveDropout(nn.Sequential(shared, nn.Linear(2, 2), shared)).scaled(0.5):
        assert shared.p == 0.2


@pytest.mark.parametrize("sparsity", [0, 0.3, 0.5, 0.9])
def test_probabilities_are_scaled_by_the_density(sparsity):
    dropout = AdaptiveDropout(_mixed())
    full = _values(dropout)
    with dropout.scaled(sparsity):
        assert _values(dropout) == pytest.approx([p * (1 - sparsity) for p in full])


def test_that_many_activations_are_dropped():
    model = nn.Sequential(nn.Dropout(0.8), _Functional(0.8))
    torch.manual_seed(0)
    x = torch.ones(100_000)
    with AdaptiveDropout(model).scaled(0.75):
        for layer in model:
            assert float((layer(x) == 0).float().mean()) == pytest.approx(0.2, abs=0.01)


def test_attention_uses_the_scaled_probability():
    attention = nn.MultiheadAttention(8, 2, dropout=0.6)
    x = torch.randn(5, 3, 8)

    def run():
        torch.manual_seed(1)
        return attention(x, x, x)[0]

    with AdaptiveDropout(attention).scaled(0.5):
        found = run()
    attention.dropout = 0.3
    assert torch.equal(found, run())


def test_the_dense_network_keeps_its_dropout_exactly():
    model = _mixed()
    x = torch.randn(2, 4, 8)
    torch.manual_seed(1)
    expected = model(x)
    torch.manual_seed(1)
    with AdaptiveDropout(model).scaled(0):
        assert torch.equal(model(x), expected)


def test_values_come_back_exactly():
    dropout = AdaptiveDropout(_mixed())
    full = _values(dropout)
    for sparsity in (0.1, 1 / 3, 0.7):
        with dropout.scaled(sparsity):
            assert _values(dropout) != full
        assert _values(dropout) == full


def test_off_leaves_no_dropout_and_values_come_back():
    model = _mixed().train()
    dropout = AdaptiveDropout(model)
    before = _values(dropout)
    with dropout.off():
        assert not any(_values(dropout))
    assert _values(dropout) == before


def test_values_come_back_after_an_exception():
    dropout = AdaptiveDropout(_mixed())
    full = _values(dropout)
    with pytest.raises(KeyError), dropout.scaled(0.5):
        raise KeyError
    assert _values(dropout) == full
    with dropout.scaled(0.5):  # and it can be opened again
        assert _values(dropout) != full


def test_backward_outside_gives_the_same_gradients():
    model, x = _mixed(), torch.randn(2, 4, 8)
    dropout = AdaptiveDropout(model)

    def gradients(inside: bool):
        model.zero_grad()
        torch.manual_seed(1)
        with dropout.scaled(0.5):
            loss = model(x).square().sum()
            if inside:
                loss.backward()
        if not inside:
            loss.backward()
        return [p.grad.clone() for p in model.parameters()]

    pairs = zip(gradients(True), gradients(False), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_value_changed_by_a_schedule_is_read_anew():
    layer = nn.Dropout(0.2)
    dropout = AdaptiveDropout(layer)
    layer.p = 0.4
    with dropout.scaled(0.5):
        assert layer.p == 0.2
    assert layer.p == 0.4


@pytest.mark.parametrize("sparsity", [0, 0.5, 0.9])
def test_in_evaluation_nothing_changes(sparsity):
    model = _mixed().eval()
    dropout, x = AdaptiveDropout(model), torch.randn(2, 4, 8)
    with torch.no_grad():
        full, expected = _values(dropout), model(x)
        with dropout.scaled(sparsity):
            assert _values(dropout) == full
            assert torch.equal(model(x), expected)


def test_the_emformers_evaluation_does_not_change():
    config = ModelConfig(encoder_dim=16, num_heads=2, ffn_dim=32, num_layers=2, dropout=0.5)
    encoder = StreamingEncoder(config).eval()
    x, lens = torch.randn(2, 70, 80), torch.tensor([70, 50])
    with torch.no_grad():
        expected, _ = encoder(x, lens)
        with AdaptiveDropout(encoder).scaled(0.9):
            found, _ = encoder(x, lens)
    assert torch.equal(found, expected)


def test_a_layer_in_evaluation_is_left_alone_in_a_model_that_trains():
    model = nn.Sequential(nn.Dropout(0.2), nn.Dropout(0.2))
    model[1].eval()
    with AdaptiveDropout(model).scaled(0.5):
        assert (model[0].p, model[1].p) == (0.1, 0.2)


def test_nesting_is_refused_and_leaves_the_outer_one_as_it_is():
    layer = nn.Dropout(0.2)
    dropout = AdaptiveDropout(layer)
    with dropout.scaled(0.5):
        with pytest.raises(OmniError, match="already"), dropout.scaled(0.5):
            pass
        assert layer.p == 0.1
    assert layer.p == 0.2


@pytest.mark.parametrize("sparsity", [-0.1, 1, 1.5, "0.5", float("nan")])
def test_a_sparsity_that_is_none_is_refused(sparsity):
    layer = nn.Dropout(0.2)
    with pytest.raises(OmniError, match="sparsity of adaptive dropout is"):
        with AdaptiveDropout(layer).scaled(sparsity):
            pass
    assert layer.p == 0.2
