# SPDX-License-Identifier: Apache-2.0
"""Chunk-wise encoding of many streams, and searches over a real (random) transducer."""

import pytest
import torch

from emformer.config import ModelConfig
from emformer.decoding.search import METHODS, make_search
from emformer.decoding.streams import encode_chunk_by_chunk, keep_streams
from emformer.model import make_model

LENS = [203, 64, 65, 1, 40, 203, 150]  # frames at 100 Hz; a chunk is 32 or 64 of them


@pytest.fixture(params=["stack", "conv"])
def model(request):
    torch.manual_seed(0)
    config = ModelConfig(
        frontend=request.param,
        encoder_dim=32,
        num_heads=2,
        ffn_dim=64,
        num_layers=3,
        segment=8,
        right_context=2,
        left_context=12,
        decoder_dim=32,
        joiner_dim=32,
    )
    model = make_model(config, vocab_size=11).eval()
    with torch.no_grad():  # peaky outputs, so that blanks and tokens alternate
        model.joiner.output_linear.weight *= 8
        model.joiner.output_linear.bias[0] += 1
    return model


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(len(LENS), max(LENS), 80, generator=generator) * 3 - 7


@torch.no_grad()
def collected(model, x, x_lens):
    blocks, lens = zip(*encode_chunk_by_chunk(model, x, x_lens), strict=True)
    return torch.cat(blocks, dim=1), torch.stack(lens).sum(dim=0)


@torch.no_grad()
def test_chunk_by_chunk_gives_the_outputs_of_simulated_streaming(model, x):
    x_lens = torch.tensor(LENS)
    simulated, expected_lens = model.encode(x, x_lens)
    chunk_wise, lens = collected(model, x, x_lens)
    assert lens.tolist() == expected_lens.tolist()
    for n, length in enumerate(lens.tolist()):
        torch.testing.assert_close(chunk_wise[n, :length], simulated[n, :length], rtol=0, atol=1e-5)


def test_a_stream_does_not_depend_on_those_beside_it(model, x):
    together, lens = collected(model, x, torch.tensor(LENS))
    for n, length in enumerate(LENS):
        alone, alone_lens = collected(model, x[n : n + 1, :length], torch.tensor([length]))
        assert alone_lens.tolist() == [lens[n]]
        torch.testing.assert_close(alone[0], together[n, : lens[n]], rtol=0, atol=1e-5)


def test_what_stands_behind_an_utterance_is_never_read(model, x):
    x_lens = torch.tensor(LENS)
    expected, _ = collected(model, x, x_lens)
    for n, length in enumerate(LENS):
        x[n, length:] = torch.nan
    found, _ = collected(model, x, x_lens)
    assert torch.equal(found, expected)


def test_ended_streams_get_no_frames(model, x):
    for number, (block, lens) in enumerate(encode_chunk_by_chunk(model, x, torch.tensor(LENS))):
        alive = [length > number * model.chunk_frames for length in LENS]
        assert lens.tolist() == [8 * a for a in alive]
        assert not block[[n for n, a in enumerate(alive) if not a]].any()


@torch.no_grad()
def test_kept_streams_go_on_as_if_the_others_had_stayed(model, x):
    first, second = (
        x[:, : model.window_frames],
        x[:, model.chunk_frames :][:, : model.window_frames],
    )
    _, states = model.encode_chunk(first, None)
    all_of_them, _ = model.encode_chunk(second, states)
    some, _ = model.encode_chunk(second[[4, 1]], keep_streams(states, [4, 1]))
    torch.testing.assert_close(some, all_of_them[[4, 1]], rtol=0, atol=1e-5)


@torch.no_grad()
def test_modified_beam_of_one_is_greedy_on_a_real_model(model, x):
    enc, lens = model.encode(x, torch.tensor(LENS))
    found = []
    for method, settings in (("greedy_search", {}), ("modified_beam_search", {"beam_size": 1})):
        search = make_search(method, model, **settings)
        search.start(len(LENS))
        search.accept(enc, lens)
        found.append(search.hypotheses())
    assert max(map(len, found[0])) > 3
    assert found[0] == found[1]


@pytest.mark.parametrize("method", METHODS)
@torch.no_grad()
def test_both_modes_give_the_same_texts(model, x, method):
    if method == "fast_beam_search":
        pytest.importorskip("k2", reason="K2 IS MISSING: fast_beam_search is not tested")
    search = make_search(method, model)
    search.start(len(LENS))
    search.accept(*model.encode(x, torch.tensor(LENS)))
    simulated = search.hypotheses()
    search.start(len(LENS))
    for block, lens in encode_chunk_by_chunk(model, x, torch.tensor(LENS)):
        search.accept(block, lens)
    assert any(simulated)
    assert search.hypotheses() == simulated
