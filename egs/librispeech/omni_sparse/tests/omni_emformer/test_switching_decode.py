# SPDX-License-Identifier: Apache-2.0
"""A supernet that changes its level while it decodes, on random weights."""

from __future__ import annotations

import pytest
import torch

from emformer import streaming_decode
from emformer.errors import RecipeError
from emformer.model import make_model
from emformer.scoring.results import read_results
from emformer.scoring.wer import read_recogs
from omni_emformer import switching_decode
from omni_emformer.supernet.loader import subnet_loader
from omni_emformer.switching_decode import CHUNK, UTTERANCE, Switching
from omni_plugin import SuperNet
from tests.support.random_supernets import write_checkpoint
from tests.support.random_weights import CONFIG, TOKENS

LEVELS = (0.75, 0.5, 0.0)


@pytest.fixture
def supernet() -> SuperNet:
    torch.manual_seed(0)
    model = make_model(CONFIG.model, len(TOKENS)).eval()
    return SuperNet(model, include=[r"^encoder\.emformer\."], max_sparsity=0.75)


def chunks(supernet, number: int) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(2, supernet.model.window_frames, 80) for _ in range(number)]


def assert_states_equal(a, b) -> None:
    for one, other in zip(a, b, strict=True):
        for x, y in zip(one, other, strict=True):
            torch.testing.assert_close(x, y, rtol=0, atol=0)


@torch.no_grad()
def test_each_chunk_is_encoded_at_its_level_from_the_states_before_it(supernet):
    models = {level: supernet.baked_model(level) for level in LEVELS}
    switching, states, expected = Switching(supernet, LEVELS, CHUNK), None, None
    for number, x in enumerate(chunks(supernet, 5)):
        out, states = switching.encode_chunk(x, states)
        wanted, expected = models[LEVELS[number % 3]].encode_chunk(x, expected)
        assert torch.equal(out, wanted)
        assert_states_equal(states, expected)


@torch.no_grad()
def test_each_utterance_has_a_level_of_its_own(supernet):
    models = {level: supernet.baked_model(level) for level in LEVELS}
    switching = Switching(supernet, LEVELS, UTTERANCE)
    for level in (*LEVELS, LEVELS[0]):
        states = expected = None
        for x in chunks(supernet, 2):
            out, states = switching.encode_chunk(x, states)
            wanted, expected = models[level].encode_chunk(x, expected)
            assert torch.equal(out, wanted)


@pytest.fixture
def decode(corpus, tmp_path):
    """Decodes the supernet in ``tmp_path``; gives results and texts of its first split."""
    write_checkpoint(tmp_path)
    where = ["--corpus", str(corpus.yaml), "--data-dir", str(corpus.data)]
    words = ["--exp-dir", str(tmp_path), *where, "--on-the-fly-feats", "true", "--splits", "test-a"]

    def run(*more: str):
        switching_decode.main([*words, *more])
        result = read_results(tmp_path / "switching" / "results.jsonl")[-1]
        return result, read_recogs(tmp_path / "switching" / result.recogs)

    def fixed(level: float):
        streaming_decode.main(words, subnet_loader(level, f"_{level}"))
        result = read_results(tmp_path / "results.jsonl")[-1]
        return result, read_recogs(tmp_path / result.recogs)

    run.fixed = fixed
    return run


@pytest.mark.parametrize("every", [UTTERANCE, CHUNK])
def test_where_all_levels_are_one_it_says_what_that_level_says(decode, every):
    found, texts = decode("--subnets", "0.5", "0.5", "--every", every)
    expected, same = decode.fixed(0.5)
    assert texts == same and any(u.hyp for u in texts)
    assert (found.wer, found.num_nonzero) == (expected.wer, expected.num_nonzero)


def test_utterances_take_turns_longest_first(decode):
    _, texts = decode("--subnets", "0.75", "0")
    sparse, dense = (decode.fixed(level)[1] for level in (0.75, 0.0))
    # The split has utterances of 0.5, 1.1 and 0.7 seconds, which are decoded longest first.
    turns = {texts[n].id: [sparse, dense, sparse][turn][n] for turn, n in enumerate((1, 2, 0))}
    assert [turns[u.id] for u in texts] == texts
    assert sparse != dense


def test_a_result_tells_of_all_levels(decode):
    found, _ = decode("--subnets", "0.75", "0", "--every", "chunk")
    assert found.subnet == "0.75-0.00 by chunk"
    assert found.levels == pytest.approx([0.375, 0.375])
    assert "_switching-0.75-0.00-by-chunk" in found.recogs


def test_what_cannot_be_switched_is_refused(decode, corpus, tmp_path):
    with pytest.raises(SystemExit):
        decode("--subnets", "1.5")
    write_checkpoint(tmp_path, supernet=False)
    with pytest.raises(RecipeError, match="holds no supernet; there is one level only"):
        decode("--subnets", "0.5", "0")
