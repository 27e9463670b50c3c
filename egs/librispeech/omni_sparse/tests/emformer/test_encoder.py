# SPDX-License-Identifier: Apache-2.0
import copy

import pytest
import torch

from emformer.config import ModelConfig
from emformer.encoder import StreamingEncoder, emformer_class
from emformer.frontend import PAD_LOG_MEL
from emformer.layer import adapt_emformer


def _config(**changes) -> ModelConfig:
    small = dict(encoder_dim=16, num_heads=2, ffn_dim=32, num_layers=3, dropout=0.0)
    return ModelConfig(**{**small, "segment": 4, "right_context": 2, "left_context": 6, **changes})


def _features(*lens: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(len(lens), max(lens), 80) * 4 - 7, torch.tensor(lens)


def _stream(encoder: StreamingEncoder, x: torch.Tensor) -> torch.Tensor:
    """One utterance ``(num_frames, F)``, chunk by chunk: ``(T, D)``."""
    chunks = int(encoder.num_chunks(torch.tensor(len(x))))
    padding = torch.full(((chunks + 2) * encoder.window_frames - len(x), 80), PAD_LOG_MEL)
    x = torch.cat([x, padding])
    out, states = [], None
    for k in range(chunks):
        start = k * encoder.chunk_frames
        window = x[start : start + encoder.window_frames]
        chunk, states = encoder.forward_chunk(window.unsqueeze(0), states)
        out.append(chunk[0])
    return torch.cat(out)


FRONTENDS = pytest.mark.parametrize(
    "frontend", [{"frontend": "stack"}, {"stack_window": 12}, {"frontend": "conv"}], ids=str
)


@FRONTENDS
@pytest.mark.parametrize("num_frames", [1, 16, 61, 64, 150])
def test_chunk_by_chunk_equals_the_whole_utterance(frontend, num_frames):
    encoder = StreamingEncoder(_config(**frontend)).eval()
    x, lens = _features(num_frames)
    whole, whole_lens = encoder(x, lens)
    assert int(whole_lens) == whole.size(1)
    torch.testing.assert_close(_stream(encoder, x[0]), whole[0], atol=1e-5, rtol=0)


@FRONTENDS
def test_an_utterance_does_not_depend_on_its_batch(frontend):
    encoder = StreamingEncoder(_config(**frontend)).eval()
    x, lens = _features(150, 40, 97)
    batch, batch_lens = encoder(x, lens)
    for i, n in enumerate(lens.tolist()):
        alone, _ = encoder(x[i : i + 1, :n], lens[i : i + 1])
        torch.testing.assert_close(batch[i, : batch_lens[i]], alone[0], atol=1e-5, rtol=0)


def test_what_lies_beyond_the_end_is_never_read():
    encoder = StreamingEncoder(_config()).eval()
    x, lens = _features(100, 50)
    expected, _ = encoder(x, lens)
    x[1, 50:] = 1e6
    found, out_lens = encoder(x, lens)
    assert torch.equal(found[1, : out_lens[1]], expected[1, : out_lens[1]])


def test_an_output_depends_on_nothing_after_its_right_context():
    config = _config(stack_window=12)
    encoder = StreamingEncoder(config).eval()
    x, lens = _features(160)
    expected, _ = encoder(x, lens)
    seen = (config.chunk_ms + config.right_context_ms) // 10
    x[:, seen:] += 1.0
    changed, _ = encoder(x, lens)
    assert torch.equal(changed[:, : config.segment], expected[:, : config.segment])
    assert not torch.equal(changed[:, config.segment :], expected[:, config.segment :])


def test_the_states_given_are_left_as_they_are():
    encoder = StreamingEncoder(_config()).eval()
    x, _ = _features(encoder.window_frames, encoder.window_frames)
    _, states = encoder.forward_chunk(x, None)
    copies = [[t.clone() for t in layer] for layer in states]
    encoder.forward_chunk(x, states)
    for layer, kept in zip(states, copies, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(layer, kept, strict=True))


def test_lengths_are_whole_chunks():
    encoder = StreamingEncoder(_config())
    frames = torch.tensor([1, 15, 16, 17, 32, 33])
    assert encoder.num_chunks(frames).tolist() == [1, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("frontend, frames", [("stack", 30), ("conv", 40)])
def test_a_wrong_number_of_frames_is_refused_with_the_number(frontend, frames):
    encoder = StreamingEncoder(_config(frontend=frontend))
    with pytest.raises(ValueError, match=str(frames)):
        encoder.forward_chunk(torch.zeros(1, frames, 80), None)


@pytest.mark.parametrize("frames", [4, 20, 48, 50])
@pytest.mark.parametrize("left, right", [(0, 0), (0, 3), (6, 2), (5, 1), (100, 4)])
def test_the_attention_mask_is_torchaudios(frames, left, right):
    theirs = emformer_class()(8, 2, 16, 1, 4, left_context_length=left, right_context_length=right)
    ours, utterances = copy.deepcopy(theirs), torch.zeros(frames, 2, 8)
    adapt_emformer(ours)
    expected = theirs._gen_attention_mask(utterances)
    found = ours._gen_attention_mask(utterances)
    assert found.dtype == torch.bool and torch.equal(found, expected)
