# SPDX-License-Identifier: Apache-2.0
"""The compiled streaming step against torchaudio's Emformer, chunk by chunk."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from emformer.config import ModelConfig
from emformer.decoding.streams import keep_streams
from emformer.encoder import StreamingEncoder
from omni_emformer.runtime import encoder as runtime_encoder
from omni_emformer.runtime.encoder import PackedEmformer
from omni_plugin import SuperNet
from omni_plugin.errors import OmniError
from omni_plugin.runtime import PackedFile, PackedLinear, linear, use_packed, write_packed
from tests.support.runtime.layers import INSTRUCTIONS, run_sanitized, use_instructions
from tests.support.runtime.streams import SHAPES, emformer, inputs, stream

every_instruction_set = pytest.mark.parametrize("instructions", INSTRUCTIONS)


@every_instruction_set
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_long_streams_are_within_1e_4_of_torchaudio(instructions, shape, monkeypatch):
    use_instructions(instructions, runtime_encoder._SOURCE, monkeypatch)
    expected = emformer(**shape)
    x = inputs(expected)
    error = (stream(PackedEmformer(expected), x, expected) - stream(expected, x, expected)).abs()
    assert error.max() < 1e-4


def test_no_foreign_memory_is_touched(tmp_path):
    module = "tests.support.runtime.streams"
    assert "all shapes" in run_sanitized(runtime_encoder._SOURCE, tmp_path, module)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_packed_layers_are_within_1e_4_of_the_masked_ones(tmp_path, level):
    supernet = SuperNet(emformer(dim=32, ffn=64), "8x1")
    baked = supernet.baked_model(level)
    write_packed(tmp_path / "m", supernet.model, [("it", baked.state_dict())])
    x = inputs(baked)
    expected = stream(baked, x, baked)
    used = emformer(dim=32, ffn=64)
    use_packed(used, PackedFile(tmp_path / "m"), "it")
    assert (stream(PackedEmformer(used), x, baked) - expected).abs().max() < 1e-4


@every_instruction_set
def test_int8_layers_are_those_of_the_packed_modules(tmp_path, instructions, monkeypatch):
    for source in (runtime_encoder._SOURCE, linear._SOURCE):
        use_instructions(instructions, source, monkeypatch)
    model = emformer(dim=32, ffn=64, layers=1, segment=20)
    write_packed(tmp_path / "m", model, [("it", model.state_dict())], "int8")
    x, float32 = inputs(model, chunks=5), copy.deepcopy(model)
    use_packed(model, PackedFile(tmp_path / "m"), "it")
    expected = stream(model, x, model, range(5))
    found = stream(PackedEmformer(model), x, model, range(5))
    # An activation half way between two bytes may become either.
    assert (found - expected).abs().median() < 1e-5
    assert (found - expected).abs().max() < 0.02
    assert 1e-3 < (found - stream(float32, x, float32, range(5))).abs().max() < 0.2


def _config(*removed: str) -> ModelConfig:
    small = dict(encoder_dim=16, num_heads=2, ffn_dim=32, num_layers=3, activation="gelu")
    chunks = dict(segment=4, right_context=2, left_context=6)
    return ModelConfig(**small, **chunks, removed_units=removed)


ALL = tuple(f"{number}.{unit}" for number in range(3) for unit in ("attention", "ffn"))


@pytest.mark.parametrize(
    "removed",
    [(), ("1.ffn",), ("0.attention",), ALL[:2], ALL[::2], ALL[1::2], ALL],
    ids=lambda names: " ".join(names) or "none",
)
def test_encoders_may_lack_units(removed):
    torch.manual_seed(0)
    encoder = StreamingEncoder(_config(*removed)).eval()
    packed = copy.deepcopy(encoder)
    packed.emformer = PackedEmformer(packed.emformer)
    states = [None, None]
    for _ in range(6):
        x = torch.randn(2, encoder.window_frames, 80)
        with torch.no_grad():
            expected, states[0] = encoder.forward_chunk(x, states[0])
            found, states[1] = packed.forward_chunk(x, states[1])
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_streams_may_end_and_differ_in_age():
    model = emformer()
    packed, x = PackedEmformer(model), inputs(model, streams=3)
    alone = [stream(model, x[i : i + 1], model) for i in range(3)]
    window, states = torch.full((3,), 5), None
    _, _, states = packed.infer(x[:, :5], window, states)
    states = keep_streams(states, [2, 0])  # the second ends
    out, _, states = packed.infer(x[[2, 0], 4:9], window[:2], states)
    torch.testing.assert_close(out[0], alone[2][0, 4:8], atol=1e-4, rtol=0)
    torch.testing.assert_close(out[1], alone[0][0, 4:8], atol=1e-4, rtol=0)
    _, _, young = packed.infer(x[1:2, :5], window[:1], None)
    mixed = [[torch.cat(pair, dim=1) for pair in zip(states[0], young[0], strict=True)]]
    out, _, _ = packed.infer(torch.stack([x[2, 8:13], x[0, 8:13], x[1, 4:9]]), window, mixed)
    torch.testing.assert_close(out[0], alone[2][0, 8:12], atol=1e-4, rtol=0)
    torch.testing.assert_close(out[2], alone[1][0, 4:8], atol=1e-4, rtol=0)


def test_simulated_streaming_is_that_of_the_wrapped_module():
    model = emformer()
    x, lengths = torch.randn(2, 13, 16), torch.tensor([12, 8])
    assert torch.equal(PackedEmformer(model)(x, lengths)[0], model(x, lengths)[0])


def test_a_copy_computes_by_itself():
    model = emformer()
    packed, x = PackedEmformer(model), inputs(model, chunks=3)
    expected = stream(packed, x, model, range(3))
    other = copy.deepcopy(packed)
    del packed
    assert torch.equal(stream(other, x, model, range(3)), expected)


def test_without_a_compiler_pytorch_gives_the_same(tmp_path, monkeypatch):
    model = emformer()
    x = inputs(model, chunks=9)
    expected = stream(model, x, model, range(9))
    write_packed(tmp_path / "m", model, [("it", model.state_dict())])
    use_packed(model, PackedFile(tmp_path / "m"), "it")
    assert isinstance(model.emformer_layers[0].pos_ff[1], PackedLinear)
    for module in (runtime_encoder, linear):
        monkeypatch.setattr(module, "load_library", lambda source: None)
    found = stream(PackedEmformer(model), x, model, range(9))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_layers_that_are_loaded_later_are_used(tmp_path):
    supernet = SuperNet(emformer(dim=32, ffn=64), "8x1")
    states = [(level, supernet.bake(level)) for level in ("0.5", "0.9")]
    write_packed(tmp_path / "m", supernet.model, states)
    model, file = PackedEmformer(emformer(dim=32, ffn=64)), PackedFile(tmp_path / "m")
    assert list(model.state_dict()) == list(supernet.model.state_dict())
    x = inputs(supernet.model)
    for level in ("0.5", "0.9", "0.5"):
        use_packed(model, file, level)
        expected = stream(supernet.baked_model(level), x, supernet.model)
        assert (stream(model, x, supernet.model) - expected).abs().max() < 1e-4


def test_threads_may_share_it():
    model = emformer(layers=6, dim=64, ffn=256)
    packed, x = PackedEmformer(model), inputs(model, streams=4)
    expected = stream(packed, x, model)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: stream(packed, x[i : i + 1], model), range(4)))
    assert torch.equal(torch.cat(found), expected)


def test_memory_elements_are_refused():
    with pytest.raises(OmniError, match="memory elements"):
        PackedEmformer(emformer(max_memory_size=2))


@pytest.mark.parametrize("x", [torch.zeros(2, 4, 16), torch.zeros(2, 5, 16).double()])
def test_a_chunk_of_another_kind_is_refused(x):
    packed = PackedEmformer(emformer())
    with pytest.raises(OmniError, match=r"it must be float32 of shape \(2, 5, 16\) on the CPU"):
        packed.infer(x, torch.tensor([5, 5]))


def test_states_of_another_kind_are_refused():
    model, x, lengths = emformer(), torch.zeros(2, 5, 16), torch.tensor([5, 5])
    packed = PackedEmformer(model)
    _, _, ((keys_values, past),) = packed.infer(x, lengths)
    _, _, of_torchaudio = model.infer(x, lengths)
    others = [
        of_torchaudio,
        [[keys_values[:, :1], past]],
        [[keys_values[:, :, 1:], past]],
        [[keys_values.double(), past]],
        [[keys_values, past[:, :1]]],
        [[keys_values, past - 5]],
        [[keys_values]],
    ]
    for states in others:
        with pytest.raises(OmniError, match="not those that this model's previous chunk returned"):
            packed.infer(x, lengths, states)


def test_layers_that_do_not_fit_together_are_refused():
    model = emformer()
    model.emformer_layers[1].attention.out_proj = nn.Linear(16, 17)
    packed = PackedEmformer(model)
    with pytest.raises(OmniError, match=r"17 x 16 and not \(16, 16\)"):
        packed.infer(torch.zeros(1, 5, 16), torch.tensor([5]))
