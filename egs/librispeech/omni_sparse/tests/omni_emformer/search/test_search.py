# SPDX-License-Identifier: Apache-2.0
"""The search of a small supernet, from the command line to files, and its names in the sweep."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from emformer.data.asr_datamodule import AsrDataModule
from emformer.data.corpus import load_corpus
from emformer.data.tokenizer import load_tokenizer, symbols
from emformer.decoding.model import load_decoding_model
from emformer.decoding.options import get_parser
from emformer.decoding.search import make_search
from emformer.errors import RecipeError
from emformer.scoring.results import append_result, read_results
from emformer.scoring.wer import Utterance, count_errors
from emformer.training.loss import run_transducer
from omni_emformer.search import __main__ as search
from omni_emformer.search import data as search_data
from omni_emformer.search.compare import compare
from omni_emformer.search.results import Choice
from omni_emformer.search.setup import Search
from omni_emformer.supernet.fronts import find_within
from omni_emformer.sweep import __main__ as sweep
from omni_plugin.search import UNIFORM, read_front
from tests.support.random_supernets import write_checkpoint
from tests.support.random_weights import CONFIG

FAST = ["--evaluations", "40", "--population", "4", "--step", "0.25", "--budgets", "0.5"]
COMMON = ["--num-threads", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def experiment(tiny_data, tmp_path_factory) -> SimpleNamespace:
    """A searched experiment with random weights on the tiny corpus."""
    tokens = symbols(load_tokenizer(tiny_data / "lang_bpe_64"))
    folder = tmp_path_factory.mktemp("searched") / "omni"
    write_checkpoint(folder, tokens=tokens)
    where = ["--corpus", "synthetic", "--data-dir", str(tiny_data)]
    lang = ["--lang-dir", str(tiny_data / "lang_bpe_64")]
    words = ["--exp-dir", str(folder), *lang, *FAST, *where, *COMMON]
    search.main(words)
    return SimpleNamespace(folder=folder, tokens=tokens, words=words, where=where)


def searched(experiment) -> Search:
    return Search(*search.parse(experiment.words))


def test_the_front_gets_better_as_it_costs_more(experiment):
    points, more = read_front(experiment.folder / "search" / "front.json")
    assert [point.name for point in points] == [f"front/{n}" for n in range(len(points))]
    costs = [point.costs["params"] for point in points]
    scores = [point.scores["estimated wer"] for point in points]
    assert costs == sorted(costs) and scores == sorted(scores, reverse=True)
    assert more["cost"] == "params"


def test_a_point_says_what_its_sub_network_really_has(experiment):
    points, _ = read_front(experiment.folder / "search" / "front.json")
    one = searched(experiment)
    for point in points:
        _, info = one.subnets.make(point.name)
        # Random weights have no zeros of their own; biases begin as zeros.
        model, dense = one.subnets.make(point.name)[0], one.subnets.model
        changed = sum(
            int((a != b).sum()) for a, b in zip(model.parameters(), dense.parameters(), strict=True)
        )
        assert point.costs["params"] == info.num_params - changed
        assert info.subnet == point.name and point.name.replace("/", "-") in info.tail


def test_the_scores_are_those_of_the_sub_networks_by_themselves(experiment):
    one = searched(experiment)
    point = read_front(experiment.folder / "search" / "front.json")[0][-1]
    model, info = one.subnets.make(point.name)
    frames = errors = words = 0
    loss = 0.0
    for part in one.data.parts:
        for batch, refs in part:
            with torch.no_grad():
                out = run_transducer(model, batch, info.config.training)
                encoded, lens = model.encode(batch.features, batch.feature_lens)
            loss += float(out.pruned_loss.sum())
            frames += int(out.encoder_lens.sum())
            greedy = make_search("greedy_search", model)
            greedy.start(len(refs))
            greedy.accept(encoded, lens)
            pairs = zip(refs, map(info.words, greedy.hypotheses()), strict=True)
            counts = count_errors([Utterance("", ref, hyp) for ref, hyp in pairs])
            errors, words = errors + counts.errors, words + counts.num_words
    assert point.scores["loss"] == pytest.approx(loss / frames, rel=1e-5)
    assert point.scores["wer"] == pytest.approx(100 * errors / words)


def test_the_chosen_are_decoded_on_the_test_splits(experiment):
    results = read_results(experiment.folder / "results.jsonl")
    assert {r.split for r in results} == {"test-clean", "test-other"}
    names = {r.subnet for r in results}
    assert "0.50" in names and any(name.startswith("front/") for name in names)
    page = (experiment.folder / "search" / "front.md").read_text()
    assert "| test-clean | uniform 0.50 | search | front/" in page
    assert "Rank correlation" in page and "area under the front" in page
    for name in ("front-tried.png", "front-levels.png", "study.db", "random.json"):
        assert (experiment.folder / "search" / name).exists()


def test_other_decodings_of_the_chosen_are_not_compared(experiment, tmp_path):
    first, *_ = results = read_results(experiment.folder / "results.jsonl")
    weights, choice = {"it": first.weights}, Choice(0.5, 1.0, {UNIFORM: "it"})
    tables = set()
    for name in ("alone", "beside another"):
        for result in results:
            append_result(tmp_path / name / "results.jsonl", result)
        tables.add(compare(tmp_path / name, weights, [choice]))
        beam = replace(first, method="modified_beam_search", wer=first.wer + 1)
        results.append(beam)
    assert len(tables) == 1 and f"{first.wer:.2f} [" in tables.pop()


def test_the_same_command_again_measures_and_decodes_nothing(experiment):
    folder = experiment.folder
    before = {
        name: (folder / name).read_bytes()
        for name in ("results.jsonl", "search/front.json", "search/timings.json")
    }
    (scores,) = (folder / "search").glob("scores-*.jsonl")
    measured = scores.read_bytes()
    search.main(experiment.words)
    assert scores.read_bytes() == measured
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_the_sweep_decodes_the_best_under_a_budget(experiment):
    points, _ = read_front(experiment.folder / "search" / "front.json")
    most = points[0].costs["params"]
    sweep.main([
        "--exp-dir", str(experiment.folder), *experiment.where, *COMMON,
        "--max-params", str(most), "--splits", "test-clean", "--modes", "simulated",
    ])  # fmt: skip
    last = read_results(experiment.folder / "results.jsonl")[-1]
    assert (last.subnet, last.mode, last.split) == ("front/0", "simulated", "test-clean")


def test_a_budget_that_nothing_meets_names_the_closest(experiment):
    with pytest.raises(RecipeError, match="at most 10 params; the closest is front/0 with"):
        sweep.main(["--exp-dir", str(experiment.folder), *experiment.where, "--max-params", "10"])


def test_amounts_may_be_of_thousands_and_millions():
    assert [sweep.amount(text) for text in ("800k", "0.8M", "2G", "12")] == [8e5, 8e5, 2e9, 12]


def test_the_front_of_other_weights_is_refused(experiment):
    with pytest.raises(RecipeError, match="front.json is of other weights"):
        find_within(experiment.folder, {"params": 1e9}, "0" * 16)


def test_a_front_of_another_supernet_does_not_go_on(experiment, tmp_path):
    other = tmp_path / "omni"
    write_checkpoint(other, seed=1, tokens=experiment.tokens)
    (other / "search").symlink_to(experiment.folder / "search")
    words = [str(other) if word == str(experiment.folder) else word for word in experiment.words]
    with pytest.raises(RecipeError, match="study params was made with another weights"):
        search.main(words)


def test_a_model_without_a_supernet_is_refused(experiment, tmp_path):
    write_checkpoint(tmp_path / "omni", supernet=False, tokens=experiment.tokens)
    words = [str(tmp_path / "omni") if w == str(experiment.folder) else w for w in experiment.words]
    with pytest.raises(RecipeError, match="holds no supernet; there is nothing to search"):
        search.main(words)


# Costs.


def test_multiply_adds_of_the_dense_network_are_those_of_its_layers(experiment):
    one = searched(experiment)
    config = one.subnets.info.config.model
    rows = config.segment + config.right_context
    d, ffn, joiner = config.encoder_dim, config.ffn_dim, config.joiner_dim
    layer = 4 * d * d + 2 * d * ffn
    attention = 2 * (config.left_context + rows) * d
    chunk = rows * config.num_layers * (layer + attention)
    chunk += rows * config.feature_dim * config.stack_window * d  # the front end
    chunk += config.segment * (d * joiner + joiner * one.subnets.model.vocab_size)
    expected = chunk * 1000 / config.chunk_ms
    assert one.costs["macs"](one.space.uniform(0.0)) == pytest.approx(expected)


def test_times_are_measured_once_and_kept(experiment):
    table = json.loads((experiment.folder / "search" / "timings.json").read_text())
    assert all(ms > 0 for ms in table.values())
    sizes = {name.split(",")[0] for name in table} - {"chunk"}
    assert sizes == {"16x16", "32x16", "16x32"}
    one = searched(experiment)
    cost = one.costs["chunk-ms"]
    dense, sparse = one.space.uniform(0.0), one.space.uniform(0.75)
    assert cost(dense) >= cost(sparse) > 0


# Data.


def test_search_and_validation_share_no_utterance(tiny_data, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(
        "prefix: synthetic\ntrain: [train]\ndev: [dev]\ntest: [test-clean]\nvocab_size: 64\n"
    )
    data = AsrDataModule(load_corpus(path), tiny_data)
    valid, found = ({cut.id for cut in cuts} for cuts in (data.valid_cuts(), data.search_cuts()))
    assert not valid & found
    assert valid | found == {cut.id for cut in data.cuts("dev")}
    assert len(valid) == len(found) == 6


class _Changed(AsrDataModule):
    """The search set, of which some texts are changed."""

    def __init__(self, data: Path, change) -> None:
        super().__init__(load_corpus("synthetic"), data)
        self._change = change

    def search_cuts(self):
        cuts = super().search_cuts()
        for number, cut in enumerate(cuts):
            cut.supervisions[0].text = self._change(number, cut.supervisions[0].text)
        return cuts


def changed_data(tiny_data, change) -> search_data.SearchData:
    lang = tiny_data / "lang_bpe_64"
    data, tokens = _Changed(tiny_data, change), symbols(load_tokenizer(lang))
    return search_data.SearchData(data, CONFIG, tokens, lang, torch.device("cpu"))


def test_texts_are_scored_as_the_tokenizer_reads_them(tiny_data):
    def full_width(_: int, text: str) -> str:
        return "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in text)

    plain = changed_data(tiny_data, lambda _, text: text)
    wide = changed_data(tiny_data, full_width)
    assert wide.fingerprint == plain.fingerprint
    for a, b in zip(wide.parts[0], plain.parts[0], strict=True):
        assert a.words == b.words and torch.equal(a.batch.symbols, b.batch.symbols)


def test_what_the_search_leaves_out_is_told(tiny_data, caplog):
    caplog.set_level("INFO")
    changed_data(tiny_data, lambda number, text: text if number % 3 else f"{text} <unk>")
    assert caplog.messages[-1].startswith("searching on 8 of 12 cuts")
    assert caplog.messages[-1].endswith("left out: 4 the reserved symbol <unk> in its text")
    with pytest.raises(RecipeError, match="no utterances to search on .12 a character unknown"):
        changed_data(tiny_data, lambda _, text: text.lower())


def test_a_corpus_may_have_splits_for_the_search_alone(tiny_data):
    data = AsrDataModule(load_corpus("synthetic"), tiny_data)
    assert [cut.id for cut in data.search_cuts()] == [cut.id for cut in data.cuts("search")]
    assert [cut.id for cut in data.valid_cuts()] == [cut.id for cut in data.cuts("dev")]


def test_the_first_part_is_a_fixed_subset(experiment, monkeypatch):
    whole = searched(experiment).data
    monkeypatch.setattr(search_data, "_FIRST_SECONDS", whole.seconds / 3)
    parts = searched(experiment).data.parts
    words = [sum((batch.words for batch in part), []) for part in parts]
    assert 0 < len(words[0]) < len(words[1])
    expected = sorted(sum((batch.words for batch in whole.parts[0]), []))
    assert sorted(words[0] + words[1]) == expected


def test_weights_are_measured_on_the_model_that_was_loaded(experiment):
    args = get_parser(None).parse_args(["--exp-dir", str(experiment.folder)])
    _, info = load_decoding_model(args)
    _, more = read_front(Path(experiment.folder) / "search" / "front.json")
    assert more["made_of"]["weights"] == info.weights
