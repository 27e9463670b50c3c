# SPDX-License-Identifier: Apache-2.0
"""The traceable streaming step, as PyTorch, ONNX and TorchScript, against torchaudio's infer."""

import pytest
import torch

from emformer.config import Config, ModelConfig, TrainingConfig
from emformer.decoding.model import DecodingInfo
from emformer.errors import RecipeError
from emformer.model import make_model
from omni_emformer.export.info import write_info
from omni_emformer.export.onnx_export import write_onnx
from omni_emformer.export.onnx_model import OnnxTransducer, load_onnx
from omni_emformer.export.onnx_step import EncoderStep
from omni_emformer.export.sherpa import PARTS
from omni_emformer.export.torchscript import TORCHSCRIPT, write_torchscript

SMALL = dict(encoder_dim=16, num_heads=2, ffn_dim=36, num_layers=3, decoder_dim=12, joiner_dim=20)
SHORT = dict(segment=4, right_context=1, left_context=6)
TOKENS = ["<blk>", *(f"t{i}" for i in range(1, 30))]

#: All that the step depends on.
SHAPES = {
    "stacked frames": {},
    "a wide window of stacked frames": dict(stack_window=28),
    "convolutions": dict(frontend="conv"),
    "no left context": dict(left_context=0),
    "left context shorter than a chunk": dict(segment=5, left_context=3, right_context=2),
    "right context longer than a chunk": dict(segment=2, right_context=7),
    "gelu": dict(activation="gelu"),
    "units removed": dict(removed_units=("0.attention", "1.ffn", "2.attention", "2.ffn")),
    "no attention at all": dict(removed_units=tuple(f"{i}.attention" for i in range(3))),
    "one symbol of history": dict(context_size=1),
}


def made(**changes):
    torch.manual_seed(0)
    model = make_model(ModelConfig(**{**SMALL, **SHORT, **changes}), len(TOKENS)).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # norms and biases, too, are not as they begin
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def about(model) -> DecodingInfo:
    config = Config(model.config, TrainingConfig())
    info = DecodingInfo("epoch-1.pt", config, TOKENS, "synthetic", 0, 1, 1, 1.0, 1.0, "epoch-1")
    info.measure(model)
    return info


def written(model, folder) -> OnnxTransducer:
    info = about(model)
    write_onnx(model, info, folder)
    write_info(folder, info)
    return load_onnx(folder)[0]


def windows(model, streams=2, chunks=9):
    """What each call sees, ``(N, window_frames, F)``."""
    torch.manual_seed(1)
    frames = (chunks - 1) * model.chunk_frames + model.window_frames
    x = torch.randn(streams, frames, model.config.feature_dim) * 3.5 - 5
    return [x[:, k * model.chunk_frames :][:, : model.window_frames] for k in range(chunks)]


@torch.no_grad()
def stream(model, seen) -> torch.Tensor:
    """The outputs of a stream's chunks, one after the other."""
    outputs, states = [], None
    for x in seen:
        out, states = model.encode_chunk(x, states)
        outputs.append(out)
    return torch.cat(outputs, dim=1)


class Stepping:
    """An :class:`EncoderStep` called as a transducer is."""

    def __init__(self, model):
        self.step = EncoderStep(model)

    def encode_chunk(self, x, states):
        if states is None:
            step = self.step
            cache = torch.zeros(len(x), step.heads, step.left, step.head_dim)
            caches = [cache] * step.num_caches
            states = caches, caches, torch.zeros(len(x), dtype=torch.int64)
        out, *states = self.step(x, *states)
        return out, states


@pytest.mark.parametrize("shape", SHAPES)
def test_the_step_gives_what_infer_gives(shape):
    model = made(**SHAPES[shape])
    seen = windows(model)
    assert (stream(Stepping(model), seen) - stream(model, seen)).abs().max() < 1e-5


@pytest.mark.parametrize("shape", SHAPES)
def test_onnx_files_give_what_infer_gives(shape, tmp_path):
    model = made(**SHAPES[shape])
    found, seen = written(model, tmp_path), windows(model)
    assert (found.chunk_frames, found.window_frames) == (model.chunk_frames, model.window_frames)
    assert (stream(found, seen) - stream(model, seen)).abs().max() < 1e-4


def test_onnx_decoder_and_joiner_give_what_the_models_give(tmp_path):
    model = made()
    found = written(model, tmp_path)
    histories = torch.tensor([[-1, 0], [0, 7], [5, 29]])
    with torch.no_grad():
        expected = model.predict(histories)
        torch.testing.assert_close(found.predict(histories), expected, atol=1e-5, rtol=0)
        encoded = torch.randn_like(expected)
        logits = model.join(encoded, expected)
        torch.testing.assert_close(found.join(encoded, expected), logits, atol=1e-5, rtol=0)


def test_streams_of_different_ages_share_a_call(tmp_path):
    model = made()
    found, seen = written(model, tmp_path), windows(model)
    alone = [stream(found, [x[i : i + 1] for x in seen]) for i in range(2)]
    # The second stream begins when the first one has had three chunks.
    _, old = found.encode_chunk(seen[0][:1], None)
    for x in seen[1:3]:
        _, old = found.encode_chunk(x[:1], old)
    begin = [[torch.zeros_like(tensor) for tensor in old[0]]]
    states = [[torch.cat(pair, dim=1) for pair in zip(old[0], begin[0], strict=True)]]
    outputs = []
    for one, other in zip(seen[3:], seen, strict=False):
        out, states = found.encode_chunk(torch.cat([one[:1], other[1:]]), states)
        outputs.append(out)
    together, segment = torch.cat(outputs, dim=1), model.config.segment
    assert (together[0] - alone[0][0, 3 * segment :]).abs().max() < 1e-5
    assert (together[1] - alone[1][0, : together.size(1)]).abs().max() < 1e-5


def test_removed_attention_leaves_no_state(tmp_path):
    model = made(removed_units=("0.attention", "2.attention"))
    found = written(model, tmp_path)
    _, states = found.encode_chunk(windows(model)[0], None)
    assert len(states[0]) == 4 + 1  # keys, values, two empty convolutions; frames


@pytest.mark.parametrize(
    "shape", ["a wide window of stacked frames", "no left context", "no attention at all"]
)
def test_torchscript_gives_what_infer_gives(shape, tmp_path):
    model = made(**SHAPES[shape])
    found = torch.jit.load(str(write_torchscript(model, about(model), tmp_path)))
    assert (found.chunk_frames, found.window_frames) == (model.chunk_frames, model.window_frames)
    seen = windows(model, streams=3)
    states, outputs = found.initial_states(3), []
    with torch.no_grad():
        for x in seen:
            out, states = found.encode_chunk(x, states)
            outputs.append(out)
    assert (torch.cat(outputs, dim=1) - stream(model, seen)).abs().max() < 1e-5


def test_torchscript_has_the_decoder_the_joiner_and_the_tokens(tmp_path):
    model = made()
    write_torchscript(model, about(model), tmp_path)
    found = torch.jit.load(str(tmp_path / TORCHSCRIPT))
    histories = torch.tensor([[-1, 0], [5, 29]])
    with torch.no_grad():
        predicted = model.predict(histories)
        assert torch.equal(found.predict(histories), predicted)
        assert torch.equal(found.join(predicted, predicted), model.join(predicted, predicted))
    assert found.tokens == TOKENS


def test_a_damaged_file_is_told_in_a_line(tmp_path):
    written(made(), tmp_path)
    for part in PARTS:
        path = tmp_path / f"{part}.onnx"
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(RecipeError, match=f"{part}.onnx: onnxruntime does not take it"):
            load_onnx(tmp_path)
        path.write_bytes(whole)
