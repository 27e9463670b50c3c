# SPDX-License-Identifier: Apache-2.0
"""Searches over a small random transducer, checked against enumeration of all alignments."""

import itertools
import math
from collections import defaultdict

import pytest
import torch

from emformer.decoding.search import METHODS, make_search
from emformer.errors import RecipeError
from tests.support.steps import lines_run


class ToyTransducer(torch.nn.Module):
    """A random transducer with peaky outputs: predict() and join() as the searches need them."""

    def __init__(self, vocab_size=7, dim=8, context_size=2, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.vocab_size, self.context_size = vocab_size, context_size
        self.embedding = torch.nn.Embedding(vocab_size, dim)
        self.mix = torch.nn.Linear(dim * context_size, dim)
        self.output = torch.nn.Linear(dim, vocab_size)
        with torch.no_grad():
            self.output.weight *= 4.0
            self.output.bias[0] += 1.0

    def predict(self, y):
        embedded = self.embedding(y.clamp(min=0)) * (y >= 0).unsqueeze(-1)
        return self.mix(embedded.flatten(1))

    def join(self, enc, dec):
        return self.output(torch.tanh(enc + dec))

    @torch.no_grad()
    def log_probs(self, enc_frame, tokens):
        """Log-probabilities (a list of V) of the next symbol after `tokens`, one frame."""
        c = self.context_size
        context = ([-1] * (c - 1) + [0] + list(tokens))[-c:]
        logits = self.join(enc_frame.unsqueeze(0), self.predict(torch.tensor([context])))
        return logits.double().log_softmax(dim=-1)[0].tolist()


@pytest.fixture(params=list(METHODS))
def method(request):
    if request.param == "fast_beam_search":
        pytest.importorskip("k2", reason="K2 IS MISSING: fast_beam_search is not tested")
    return request.param


def block(n=4, frames=19, dim=8, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, frames, dim, generator=generator)


def searched(method, model, enc, lens, **settings):
    search = make_search(method, model, **settings)
    search.start(enc.size(0))
    search.accept(enc, lens)
    return search


def alignment_scores(model, enc):
    """Every alignment of a (T, J) utterance: symbols of the T frames -> log-probability."""
    scores = {}
    for symbols in itertools.product(range(model.vocab_size), repeat=enc.size(0)):
        tokens, total = [], 0.0
        for frame, symbol in zip(enc, symbols, strict=True):
            total += model.log_probs(frame, tokens)[symbol]
            if symbol != 0:
                tokens.append(symbol)
        scores[symbols] = total
    return scores


def no_blanks(symbols):
    return [s for s in symbols if s != 0]


def test_greedy_takes_the_best_symbol_of_every_frame():
    model, enc = ToyTransducer(), block(n=1)
    expected, frames = [], []
    for t, frame in enumerate(enc[0]):
        scores = model.log_probs(frame, expected)
        best = scores.index(max(scores))
        if best != 0:
            expected.append(best)
            frames.append(t)
    search = searched("greedy_search", model, enc, torch.tensor([19]))
    assert len(expected) > 3
    assert search.hypotheses() == [expected]
    assert search.timestamps() == [frames]


@pytest.mark.parametrize("seed", range(5))
def test_modified_beam_of_one_is_greedy(seed):
    model, enc, lens = ToyTransducer(seed=seed), block(seed=seed), torch.tensor([19, 4, 0, 11])
    greedy = searched("greedy_search", model, enc, lens)
    beam = searched("modified_beam_search", model, enc, lens, beam_size=1)
    assert beam.hypotheses() == greedy.hypotheses()
    assert beam.timestamps() == greedy.timestamps()


@pytest.mark.parametrize("seed", range(4))
def test_modified_beam_without_pruning_sums_over_all_alignments(seed):
    model, enc = ToyTransducer(vocab_size=3, seed=seed), block(n=1, frames=5, seed=seed)
    total = defaultdict(float)
    for symbols, score in alignment_scores(model, enc[0]).items():
        total[tuple(no_blanks(symbols))] += math.exp(score)
    norm = {s: math.log(p) / (len(s) + model.context_size) for s, p in total.items()}
    # pruning comes before merging: at most 31 sequences times 3 symbols are ever compared
    search = searched("modified_beam_search", model, enc, torch.tensor([5]), beam_size=93)
    assert search.hypotheses() == [list(max(norm, key=norm.get))]
    # every token sequence holds exactly one slot, with the sum of its alignments
    found = sorted(s for s in search._scores[0].tolist() if s > -math.inf)
    assert found == pytest.approx(sorted(math.log(p) for p in total.values()), abs=1e-4)


def pruned_beam_reference(model, enc, beam_size):
    """Plain prune-then-merge beam search over dictionaries, one utterance at a time."""
    beam = {(): 0.0}
    for frame in enc:
        extended = [
            (score + symbol_score, tokens + ((symbol,) if symbol else ()))
            for tokens, score in beam.items()
            for symbol, symbol_score in enumerate(model.log_probs(frame, tokens))
        ]
        beam = {}
        for score, tokens in sorted(extended, reverse=True)[:beam_size]:
            known = beam.get(tokens, -math.inf)
            beam[tokens] = max(score, known) + math.log1p(math.exp(-abs(score - known)))
    return list(max(beam, key=lambda tokens: beam[tokens] / (len(tokens) + model.context_size)))


@pytest.mark.parametrize("beam_size", [2, 3, 8])
def test_pruned_modified_beam_is_that_of_a_plain_reference(beam_size):
    model, enc, lens = ToyTransducer(seed=3), block(n=6, frames=15), [15, 15, 3, 9, 1, 12]
    search = searched("modified_beam_search", model, enc, torch.tensor(lens), beam_size=beam_size)
    expected = [
        pruned_beam_reference(model, e[:n], beam_size) for e, n in zip(enc, lens, strict=True)
    ]
    assert search.hypotheses() == expected


def test_merging_changes_the_winner():
    """Without the sum the single best alignment would win; there are cases where it does not."""
    differs = 0
    for seed in range(10):
        model, enc = ToyTransducer(vocab_size=3, seed=seed), block(n=1, frames=5, seed=seed)
        scores = alignment_scores(model, enc[0])
        norm = {s: p / (len(no_blanks(s)) + model.context_size) for s, p in scores.items()}
        one_path = max(norm, key=norm.get)
        search = searched("modified_beam_search", model, enc, torch.tensor([5]), beam_size=93)
        differs += search.hypotheses() != [no_blanks(one_path)]
    assert differs > 0


@pytest.mark.parametrize("context_size", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_fast_beam_without_pruning_finds_the_best_alignment(seed, context_size):
    pytest.importorskip("k2", reason="K2 IS MISSING: fast_beam_search is not tested")
    model = ToyTransducer(vocab_size=4, seed=seed, context_size=context_size)
    enc = block(n=1, frames=6, seed=seed)
    # k2 ends each path by an arc which takes the last frame without a token and without cost
    scores = alignment_scores(model, enc[0, :5])
    best = max(scores, key=scores.get)
    search = searched(
        "fast_beam_search", model, enc, torch.tensor([6]), beam=1e3, max_contexts=99, max_states=999
    )
    assert search.hypotheses() == [no_blanks(best)]
    assert search.timestamps() == [[t for t, symbol in enumerate(best) if symbol != 0]]


@pytest.mark.parametrize("chunk", [1, 4, 7])
def test_chunks_give_the_hypotheses_of_one_block(method, chunk):
    model, enc, lens = ToyTransducer(), block(), torch.tensor([19, 8, 0, 13])
    whole = searched(method, model, enc, lens)
    search = make_search(method, model)
    search.start(4)
    for begin in range(0, 19, chunk):
        part = enc[:, begin : begin + chunk]
        search.accept(part, (lens - begin).clamp(0, part.size(1)))
        search.hypotheses()  # asking on the way must not change anything
    assert sum(map(len, whole.hypotheses())) > 5
    assert search.hypotheses() == whole.hypotheses()
    assert search.timestamps() == whole.timestamps()


def test_streams_do_not_see_each_other(method):
    model, enc, lens = ToyTransducer(), block(), torch.tensor([19, 8, 3, 13])
    together = searched(method, model, enc, lens)
    alone = [
        searched(method, model, enc[i : i + 1], lens[i : i + 1]).hypotheses()[0] for i in range(4)
    ]
    assert together.hypotheses() == alone


def test_frames_beyond_the_length_are_never_read(method):
    model, enc, lens = ToyTransducer(), block(), torch.tensor([19, 8, 3, 13])
    expected = searched(method, model, enc, lens).hypotheses()
    for i, length in enumerate(lens.tolist()):
        enc[i, length:] = math.nan
    assert searched(method, model, enc, lens).hypotheses() == expected


def test_a_stream_of_length_zero_stays_as_it_is(method):
    model, enc = ToyTransducer(), block()
    search = searched(method, model, enc, torch.tensor([19, 19, 0, 19]))
    before = search.hypotheses()
    assert before[2] == [] and before[0] != []
    search.accept(block(seed=5), torch.tensor([0, 6, 6, 0]))
    after = search.hypotheses()
    assert after[0] == before[0] and after[3] == before[3]
    assert after[2] != [] and search.frames == [19, 25, 6, 19]


def test_start_forgets_the_streams_before(method):
    model, enc, lens = ToyTransducer(), block(), torch.tensor([19, 8, 3, 13])
    search = make_search(method, model)
    search.start(2)
    search.accept(block(n=2, seed=9), torch.tensor([5, 19]))
    search.start(4)
    assert search.hypotheses() == [[]] * 4
    search.accept(enc, lens)
    assert search.hypotheses() == searched(method, model, enc, lens).hypotheses()


def test_timestamps_point_at_the_emitting_frame(method):
    model, enc = ToyTransducer(), block()
    search = searched(method, model, enc, torch.tensor([19, 8, 3, 13]))
    for tokens, frames, seen in zip(
        search.hypotheses(), search.timestamps(), [19, 8, 3, 13], strict=True
    ):
        assert len(frames) == len(tokens)
        assert frames == sorted(set(frames))  # at most one token a frame
        assert all(0 <= f < seen for f in frames)


def test_last_frames_are_the_last_timestamps(method):
    model, enc = ToyTransducer(), block()
    search = searched(method, model, enc, torch.tensor([19, 8, 0, 13]))
    assert search.last_frames() == [frames[-1] if frames else -1 for frames in search.timestamps()]
    assert search.last_frames()[0] > 0 and search.last_frames()[2] == -1


@pytest.mark.parametrize("method", ["greedy_search", "modified_beam_search"])
def test_last_frames_take_as_many_steps_after_many_tokens_as_after_few(method):
    search = make_search(method, ToyTransducer())
    search.start(1)
    steps, tokens = [], []
    for seed in range(20):
        search.accept(block(n=1, seed=seed), torch.tensor([19]))
        steps.append(lines_run(search.last_frames))
        tokens.append(len(search.hypotheses()[0]))
    assert tokens[-1] > 10 * tokens[0] > 0
    assert len(set(steps)) == 1


@pytest.mark.parametrize(
    ("enc", "lens"),
    [
        (torch.zeros(3, 5, 8), torch.tensor([5, 5])),
        (torch.zeros(2, 5, 8), torch.tensor([5])),
        (torch.zeros(2, 5, 8), torch.tensor([5, 6])),
        (torch.zeros(2, 5, 8), torch.tensor([-1, 5])),
        (torch.zeros(2, 5), torch.tensor([5, 5])),
    ],
)
def test_blocks_that_do_not_fit_are_refused(enc, lens):
    search = make_search("greedy_search", ToyTransducer())
    search.start(2)
    with pytest.raises(ValueError):
        search.accept(enc, lens)


def test_a_search_must_be_started():
    search = make_search("greedy_search", ToyTransducer())
    with pytest.raises(ValueError, match="start"):
        search.accept(block(), torch.tensor([1, 1, 1, 1]))
    with pytest.raises(ValueError, match="at least one"):
        search.start(0)


def test_an_unknown_method_is_a_clear_error():
    with pytest.raises(RecipeError, match="'beam'.*greedy_search"):
        make_search("beam", ToyTransducer())


@pytest.mark.parametrize("name", ["greedy_search", "modified_beam_search"])
def test_after_a_change_of_the_model_nothing_of_the_old_one_is_used(name):
    """Each frame is decided by the model that hears it; a beam of one is greedy search."""
    first, other, enc = ToyTransducer(), ToyTransducer(seed=5), block(n=1)
    search = make_search(name, first, **({} if name == "greedy_search" else {"beam_size": 1}))
    search.start(1)
    search.accept(enc[:, :9], torch.tensor([9]))
    search.model = other
    search.model_changed()
    search.accept(enc[:, 9:], torch.tensor([10]))
    expected = []
    for t in range(19):
        scores = (first if t < 9 else other).log_probs(enc[0, t], expected)
        best = scores.index(max(scores))
        expected += [best] if best else []
    assert search.hypotheses() == [expected]
