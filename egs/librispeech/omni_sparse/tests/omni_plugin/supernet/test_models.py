# SPDX-License-Identifier: Apache-2.0
"""Sub-networks of models that others wrote: torchaudio's Emformer and torch's attention."""

import pytest
import torch
from torch import nn

from emformer.config import ModelConfig
from emformer.model import make_model
from omni_plugin.supernet import SuperNet
from tests.support.torch_models import vectors

CONFIG = ModelConfig(
    encoder_dim=16, num_heads=2, ffn_dim=32, num_layers=2, dropout=0.1, segment=4,
    right_context=1, left_context=8, decoder_dim=16, joiner_dim=16,
)  # fmt: skip
LEVELS = pytest.mark.parametrize("level", [0.0, 0.5, 0.9])
PATTERNS = pytest.mark.parametrize("pattern", ["8x1", "1x1", "2:4"])


def transducer(pattern: str = "8x1") -> SuperNet:
    torch.manual_seed(0)
    return SuperNet(make_model(CONFIG, 24), pattern, exclude=("simple_",))


def features() -> tuple[torch.Tensor, torch.Tensor]:
    return vectors(2, 90, 80) * 4 - 7, torch.tensor([90, 61])


def lattice(model: nn.Module) -> torch.Tensor:
    """Through all that decoding uses: encoder, decoder, joiner."""
    encoder_out, _ = model.encode(*features())
    decoder_out = model.predict(torch.tensor([[-1, 0], [3, 5]]))
    return model.join(encoder_out, decoder_out.unsqueeze(1))


def test_all_matrices_of_the_emformer_are_covered():
    names = transducer().layer_names
    layers = {name.rpartition("emformer_layers.")[2] for name in names if "emformer" in name}
    kinds = ["attention.emb_to_key_value", "attention.emb_to_query", "attention.out_proj"]
    kinds += ["pos_ff.1", "pos_ff.4"]
    assert layers == {f"{layer}.{kind}.weight" for layer in (0, 1) for kind in kinds}
    # The decoder's embedding and its convolution over two symbols are no matrices.
    assert not [name for name in names if name.startswith("decoder.")]


@LEVELS
@PATTERNS
def test_the_emformer_masked_is_the_emformer_baked(pattern, level):
    if (pattern, level) == ("2:4", 0.9):
        level = 0.25
    supernet = transducer(pattern).eval()
    supernet.set_active_subnet(level)
    expected = lattice(supernet.baked_model())
    with supernet.masked() as model:
        assert torch.equal(lattice(model), expected)
    with torch.no_grad(), supernet.masked() as model:
        assert torch.equal(lattice(model), expected)


def test_the_emformers_gradients_are_those_of_the_baked_model_under_the_mask():
    supernet = transducer().train()
    supernet.set_active_subnet(0.5)
    baked = supernet.baked_model()
    for model in (supernet.model, baked):
        torch.manual_seed(0)  # dropout
        with supernet.masked():
            lattice(model).square().mean().backward()
    masks = supernet.mask()
    for name, parameter in baked.named_parameters():
        if name.startswith("simple_"):
            continue
        expected = parameter.grad * masks.get(name, 1)
        assert torch.equal(supernet.model.get_parameter(name).grad, expected), name


@LEVELS
def test_streaming_chunk_by_chunk_masked_is_streaming_baked(level):
    supernet = transducer().eval()
    supernet.set_active_subnet(level)

    def stream(model) -> torch.Tensor:
        out, states = [], None
        for seed in range(3):
            chunk = vectors(1, model.window_frames, 80, seed=seed)
            found, states = model.encode_chunk(chunk, states)
            out.append(found)
        return torch.cat(out, dim=1)

    with torch.no_grad():
        expected = stream(supernet.baked_model())
        with supernet.masked() as model:
            assert torch.equal(stream(model), expected)
        # Opened anew for every chunk, the states go on.
        states, last = None, None
        for seed in range(3):
            with supernet.masked() as model:
                chunk = vectors(1, model.window_frames, 80, seed=seed)
                last, states = model.encode_chunk(chunk, states)
        assert torch.equal(last, expected[:, -last.size(1) :])


MODES = [torch.enable_grad, torch.no_grad, torch.inference_mode]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@PATTERNS
def test_multihead_attention_masked_is_baked(pattern, training, mode):
    torch.manual_seed(0)
    supernet = SuperNet(nn.MultiheadAttention(16, 2, batch_first=True), pattern).train(training)
    supernet.set_active_subnet(0.5)
    x, baked = vectors(2, 7, 16), supernet.baked_model()
    with mode():
        for weights in (True, False):
            found = supernet(x, x, x, need_weights=weights)
            expected = baked(x, x, x, need_weights=weights)
            assert torch.equal(found[0], expected[0])


def fast_path_calls(monkeypatch) -> list:
    """Counts the calls of the one operator that runs a whole layer in eval."""
    calls, operator = [], torch._transformer_encoder_layer_fwd

    def counting(*args, **kwargs):
        calls.append(len(args))
        return operator(*args, **kwargs)

    monkeypatch.setattr(torch, "_transformer_encoder_layer_fwd", counting)
    return calls


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_transformer_layers_masked_are_baked(training, norm_first, mode, monkeypatch):
    torch.manual_seed(0)
    options = dict(dropout=0.0, batch_first=True, norm_first=norm_first)
    layer = nn.TransformerEncoderLayer(16, 2, 32, **options)
    supernet = SuperNet(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)).train(training)
    assert len(supernet.layer_names) == 8
    supernet.set_active_subnet(0.5)
    x, baked = vectors(2, 7, 16), supernet.baked_model()
    calls = fast_path_calls(monkeypatch)
    with mode():
        found, expected = supernet(x), baked(x)
    assert torch.equal(found, expected)
    # Without gradients in eval, both took the fast path, which reads weights by their names.
    assert len(calls) == (0 if training or mode is torch.enable_grad else 4)
