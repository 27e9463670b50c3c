# SPDX-License-Identifier: Apache-2.0
"""The benchmark stage on a tiny model: what it holds together, and its page."""

import json
from dataclasses import replace

import numpy as np
import pytest

from emformer.errors import RecipeError
from emformer.scoring.results import append_result, read_results
from omni_emformer.benchmark import __main__ as benchmark
from omni_emformer.benchmark import measure
from omni_emformer.benchmark import page as benchmark_page
from omni_emformer.benchmark.files import DENSE, INT8, PACKED, PACKED_INT8, SPARSE
from omni_emformer.benchmark.memory import peak_memory
from omni_emformer.benchmark.ways import WAYS, Times, interleave
from omni_emformer.benchmark.wers import find_wers
from omni_emformer.export import __main__ as export
from omni_emformer.export.info import read_info
from tests.support.random_supernets import talkative_supernet

SUBNETS = ["dense", "0.90"]
NO_SEARCH = {"sherpa-onnx", "sherpa-onnx int8"}


@pytest.fixture(scope="module")
def exp_dir(tmp_path_factory, tiny_data):
    exp_dir = talkative_supernet(tiny_data, tmp_path_factory.mktemp("benchmark"))
    export.main(["--exp-dir", str(exp_dir), "--subnets", "0", "0.9"])
    return exp_dir


@pytest.fixture(scope="module")
def folder(exp_dir, tiny_data):
    """Where the benchmark wrote."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "peak_memory", lambda folder, way: 1_000_000)
        words = ["--exp-dir", str(exp_dir), "--data-dir", str(tiny_data), "--utterances", "3"]
        benchmark.main([*words, "--splits", "test-clean"])
    return exp_dir / "export"


@pytest.fixture(scope="module")
def record(folder):
    return json.loads((folder / "benchmark.json").read_text())


def test_every_way_of_every_sub_network_is_measured(record):
    assert [one["subnet"] for one in record["subnets"]] == SUBNETS
    for one in record["subnets"]:
        assert list(one["ways"]) == list(WAYS)
        for name, way in one["ways"].items():
            assert 0 < way["chunk_ms"][0] <= way["chunk_ms"][1]
            assert way["real_time_factor"] > 0 and way["memory"] > 0
            assert (way["encoder_ms"] is None) == (name in NO_SEARCH)


def test_the_rival_is_as_fast_as_itself(record):
    subnet, way = record["rival"]
    assert (subnet, way) == ("dense", "onnxruntime")
    assert record["subnets"][0]["ways"][way]["times_faster"] == [1, 1, 1]


def test_bytes_are_those_of_the_files(record, folder):
    for one in record["subnets"]:
        sizes, files = one["bytes"], folder / one["subnet"]
        onnx = [files / f"{part}.onnx" for part in ("encoder", "decoder", "joiner")]
        assert sizes[SPARSE]["stored"] == sum(path.stat().st_size for path in onnx)
        assert sizes[PACKED]["stored"] == (files / "float32.packed").stat().st_size
        assert sizes[PACKED_INT8]["stored"] < sizes[PACKED]["stored"]
        assert sizes[INT8]["stored"] < sizes[DENSE]["stored"]
        assert all(0 < size["gzip"] < size["stored"] for size in sizes.values())
    dense, sparse = (one["bytes"] for one in record["subnets"])
    assert sparse[SPARSE]["stored"] < sparse[DENSE]["stored"]
    assert dense[SPARSE]["stored"] == dense[DENSE]["stored"]


def test_packed_files_are_decoded_once(record, folder, exp_dir, tiny_data):
    for one in record["subnets"]:
        results = read_results(folder / one["subnet"] / "results.jsonl")
        assert [r.system for r in results] == ["packed-float32", "packed-int8"]
        assert one["ways"]["packed"]["wer"] == {"test-clean": results[0].wer}
        assert one["ways"]["sherpa-onnx"]["wer"] == {}  # no check was run


def test_rates_against_other_references_are_left_out(folder, exp_dir, tiny_data, tmp_path):
    """Such as those of a check of the first utterances only."""
    info = read_info(folder / "0.90")
    one, _ = read_results(folder / "0.90" / "results.jsonl")
    for system, references in (("pytorch", one.references), ("sherpa-onnx", "of the first ones")):
        append_result(
            tmp_path / "results.jsonl", replace(one, system=system, references=references)
        )
    words = ["--exp-dir", str(exp_dir), "--data-dir", str(tiny_data), "--splits", "test-clean"]
    found = find_wers(tmp_path, tmp_path, info, benchmark.get_parser().parse_args(words))
    assert found["PyTorch"] == {"test-clean": one.wer} and found["sherpa-onnx"] == {}


def test_the_page_has_its_tables_and_plots(folder, record):
    page = (folder / "benchmark.md").read_text()
    for way in WAYS:
        assert page.count(f"| {way} |") >= len(SUBNETS)
    for name in ("benchmark-time", "benchmark-bytes"):
        assert f"({name}.png)" in page
        assert (folder / f"{name}.png").stat().st_size > 10_000
        assert (folder / f"{name}.svg").read_text().count("</svg>") == 1


def test_smaller_sizes_without_zeros_have_places_of_their_own(record):
    whole = record["subnets"][0]
    small = {
        **whole,
        "num_params": whole["num_params"] // 2,
        "num_nonzero": whole["num_params"] // 2,
    }
    (axes,) = benchmark_page.size_figure([whole, small]).axes
    places = axes.lines[0].get_xdata()
    assert places == pytest.approx([one["num_nonzero"] / 1e6 for one in (whole, small)])


def test_the_legend_names_no_way_that_has_no_line(record):
    (legend,) = benchmark_page.time_figure(record["subnets"]).legends
    wers = {name for name, way in record["subnets"][0]["ways"].items() if way["wer"]}
    assert {text.get_text() for text in legend.get_texts()} == wers
    assert wers and wers < set(WAYS)


def test_all_ways_stream_every_utterance(exp_dir):
    sounds = [np.full(n, 0.01, dtype=np.float32) for n in (4000, 9000)]
    heard: dict[str, list[int]] = {"a": [], "b": []}

    def way(name):
        def run(samples):
            heard[name].append(len(samples))
            return Times(audio=1.0)

        return run

    found = interleave({("x", name): way(name) for name in heard}, sounds)
    assert heard == {"a": [4000, 9000, 4000], "b": [4000, 9000, 4000]}
    assert {name: len(times) for name, times in found.items()} == {("x", "a"): 2, ("x", "b"): 2}


def test_sound_is_that_of_the_corpus_that_is_named(exp_dir, tmp_path, tiny_data):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "prefix: synthetic\ntrain: [train]\ndev: [dev]\ntest: [test-clean]\nvocab_size: 64\n"
    )
    words = ["--exp-dir", str(exp_dir), "--corpus", str(path), "--data-dir", str(tiny_data)]
    args = benchmark.get_parser().parse_args([*words, "--utterances", "3"])
    assert len(measure._sounds(args, "a corpus that only a YAML file knows")) == 3


def test_memory_of_a_model_is_measured_in_a_process_of_its_own(folder):
    found = peak_memory(folder / "0.90", "packed")
    assert found is None or 0 < found < 1e9


def test_an_export_of_some_formats_is_refused(exp_dir, tmp_path):
    words = ["--exp-dir", str(exp_dir), "--subnets", "0.5", "--formats", "onnx"]
    export.main([*words, "--out", str(tmp_path / "export")])
    with pytest.raises(RecipeError, match="0.50 has no epoch-1.pt; delete it and export all"):
        benchmark.main(["--exp-dir", str(tmp_path), "--subnets", "0.50"])
