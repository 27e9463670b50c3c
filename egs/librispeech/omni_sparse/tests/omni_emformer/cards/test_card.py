# SPDX-License-Identifier: Apache-2.0
"""A model card tells what files tell, and says of the rest that it is unknown."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from emformer.config import Config, ModelConfig, TrainingConfig
from emformer.decoding.model import DecodingInfo
from emformer.errors import RecipeError
from omni_emformer.cards.card import Origin, write_card
from omni_emformer.cards.options import one_line
from omni_emformer.cards.running import how_to_run
from tests.support.made_up_results import add_result

# Chunks of 320 ms; 40 ms of look-ahead, and 240 of the stacked window.
MODEL = ModelConfig(
    frontend="stack", stack_window=28, segment=8, right_context=1, left_context=24, num_layers=2
)
INFO = DecodingInfo(
    "exp/omni/epoch-6.pt", Config(MODEL, TrainingConfig()), ["<blk>", "a", "b"], "synthetic", 7,
    2508, 4012, 3260.0, 1808.0, "epoch-6_avg-1", num_params=1000, num_nonzero=280, sparsity=0.725,
    levels=[0.9, None], subnet="0.90", weights="abc",
)  # fmt: skip


def write(root: Path, infos=(INFO,), files=("encoder.onnx",), **origin) -> str:
    """The card beside files of a byte each."""
    out = root / "out"
    out.mkdir()
    for name in files:
        (out / name).write_bytes(b"x")
    origin = Origin(**{"exp_dir": root / "exp", **origin})
    assert write_card(out / "README.md", "omni 0.90", infos, [out / name for name in files], origin)
    return (out / "README.md").read_text()


def fact(card: str, name: str) -> str:
    (found,) = re.findall(rf"^\| \*\*{name}\*\* \| (.*) \|$", card, re.MULTILINE)
    return found


def result(folder: Path, errors: int, **changes) -> None:
    changes = {"weights": INFO.weights, **changes}
    add_result(folder, "omni", "0.90", errors, **changes)


# What files tell.


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("seed", "7"),
        ("training", "2,508 updates in 30 min 8 s; checkpoint `exp/omni/epoch-6.pt`"),
        ("training data", "corpus `synthetic` (source `synthetic`), split train; "),
        ("streaming", "chunks of 320 ms with 280 ms of look-ahead and 960 ms of left context"),
        ("latency", "280 to 600 ms from a sound until its chunk can be computed; "),
        ("sound", "16,000 Hz"),
        ("output", "3 symbols"),
    ],
)
def test_a_fact_is_that_of_the_model(tmp_path, name, text):
    assert fact(write(tmp_path), name).startswith(text)


def test_sizes_are_told_for_the_model_and_each_layer(tmp_path):
    assert "\n| 0.90 | 1,000 | 280 | 72.5 % | 0.90 - |\n" in write(tmp_path)


def test_every_sub_network_has_its_size(tmp_path):
    card = write(tmp_path, [replace(INFO, subnet="dense", num_nonzero=1000), INFO])
    assert "2 sub-networks, one of which is chosen when it runs" in card
    assert "\n| dense | 1,000 | 1,000 |" in card and "\n| 0.90 | 1,000 | 280 |" in card


def test_the_experiment_tells_its_system_versions_and_command(tmp_path):
    exp = tmp_path / "exp"
    exp.mkdir()
    (exp / "system.yaml").write_text("name: omni\n")
    (exp / "environment.json").write_text(json.dumps({"git_revision": "f00", "torch": "1.13.1"}))
    (exp / "run.sh").write_text("cd x\n/usr/bin/python3 -m omni_emformer.train --seed 7\n")
    card = write(tmp_path, command="python3 -m omni_emformer.export")
    assert "of the system `omni` of omni_sparse" in card
    assert "- Trained with torch 1.13.1; omni_sparse at f00.\n" in card
    assert (
        "```\npython3 -m omni_emformer.train --seed 7\npython3 -m omni_emformer.export\n```" in card
    )


def test_files_are_told_with_their_bytes(tmp_path):
    card = write(tmp_path, files=("tokens.txt", "encoder.onnx"))
    assert "| `encoder.onnx` | 1 |\n| `tokens.txt` | 1 |\n" in card


def test_the_licence_is_what_was_said(tmp_path):
    assert fact(write(tmp_path, licence="CC BY 4.0"), "licence") == "CC BY 4.0"


# What no file tells.


@pytest.mark.parametrize("name", ["licence", "language", "training data"])
def test_what_nobody_said_is_unknown(tmp_path, name):
    assert "unknown" in fact(write(tmp_path), name)


def test_a_bare_experiment_leaves_versions_and_commands_unknown(tmp_path):
    card = write(tmp_path)
    assert "- Trained with packages: unknown; omni_sparse at unknown.\n" in card
    assert "# the training's command is unknown\n# the export's command is unknown\n" in card


def test_the_splits_of_a_corpus_of_ones_own_are_unknown(tmp_path):
    card = write(tmp_path, [replace(INFO, corpus="mine")])
    assert fact(card, "training data").startswith("corpus `mine`; its splits and source: unknown")


def test_without_results_the_rates_are_unknown(tmp_path):
    assert "## Word error rates\n\nUnknown: no results.jsonl has" in write(tmp_path)


# Word error rates.


def test_rates_are_those_of_the_same_weights(tmp_path):
    result(tmp_path / "exp", 7)
    result(tmp_path / "exp", 3, weights="other")
    card = write(tmp_path)
    row = "| 0.90 | synthetic test-clean | PyTorch, float32 | greedy_search | chunk-wise |"
    assert f"\n{row} 7.00 [6.00, 8.00] |\n" in card and "3.00" not in card


def test_the_last_of_two_decodings_counts(tmp_path):
    for errors in (7, 8):
        result(tmp_path / "exp", errors)
    card = write(tmp_path)
    assert "8.00 [7.00, 9.00]" in card and "7.00 [6.00" not in card


@pytest.mark.parametrize(
    ("end", "by"),
    [
        ("-packed-int8", "packed, int8"),
        ("-sherpa-onnx", "sherpa-onnx, float32"),
        ("-sherpa-onnx-int8", "sherpa-onnx, int8"),
    ],
)
def test_what_decoded_is_told(tmp_path, end, by):
    result(tmp_path / "exp", 7, weights=INFO.weights + end)
    assert f"| {by} | greedy_search | chunk-wise | 7.00" in write(tmp_path)


def test_rates_of_a_packed_file_are_those_of_its_weights(tmp_path):
    result(tmp_path / "exp", 7)
    assert "7.00 [6.00" in write(tmp_path, [replace(INFO, weights="abc-packed-int8")])


def test_settings_of_a_search_are_told(tmp_path):
    changes = {"method": "modified_beam_search", "settings": {"beam_size": 4}}
    result(tmp_path / "exp", 7, **changes)
    assert "| modified_beam_search (beam_size 4) |" in write(tmp_path)


def test_what_further_experiments_tell_is_told_too(tmp_path):
    """Of a file of several trainings: systems, rates, and how each was trained."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "system.yaml").write_text("name: chain\n")
    (tmp_path / "more" / "run.sh").write_text("python3 -m omni_emformer.train --level 0.9\n")
    add_result(tmp_path / "more", "chain", "0.90", 7, weights="def")
    further = replace(INFO, weights="def", checkpoint="exp/chain-0.90/epoch-5.pt")
    card = write(tmp_path, [INFO, further], also=[tmp_path / "more"])
    assert "of the system `dense and chain`" in card and "7.00 [6.00, 8.00]" in card
    assert "`exp/omni/epoch-6.pt`" in fact(card, "training")
    assert "`exp/chain-0.90/epoch-5.pt`" in fact(card, "training")
    assert "python3 -m omni_emformer.train --level 0.9\n" in card


def test_a_damaged_system_is_told(tmp_path):
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "system.yaml").write_text("{")
    with pytest.raises(RecipeError, match="system.yaml"):
        write(tmp_path)


# The file.


def test_a_card_that_is_there_stays(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    assert not write_card(tmp_path / "README.md", "omni", [INFO], [], Origin(tmp_path))
    assert (tmp_path / "README.md").read_text() == "mine"


def test_rows_of_a_table_have_as_many_cells_as_its_head(tmp_path):
    result(tmp_path / "exp", 7)
    tables = re.findall(r"(?:^\|.*\n)+", write(tmp_path), re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


# How to run it.


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("encoder.onnx", "import numpy, sherpa_onnx, soundfile"),
        (
            "m.packed",
            'model = omni_recognizer.load("FOLDER/m.packed")\nprint(model.transcribe("sound.wav")',
        ),
        ("m.packed", "build/omni-transcribe FOLDER/m.packed sound.wav\n"),
        ("m.packed", "omni_emformer.transcribe --model FOLDER/m.packed sound.wav\n"),
        ("epoch-1.pt", "omni_emformer.transcribe --model FOLDER sound.wav\n"),
        ("torchscript.pt", 'torch.jit.load("torchscript.pt")'),
    ],
)
def test_each_kind_of_file_has_its_lines_and_no_other(name, words):
    assert words in how_to_run([name], ["0.90"], MODEL)
    assert words not in how_to_run(["other"], ["0.90"], MODEL)


def test_of_several_sub_networks_one_is_chosen():
    found = how_to_run(["m.packed"], ["dense", "0.90"], MODEL)
    assert 'model.transcribe("sound.wav", "0.90").text' in found
    assert "omni-transcribe FOLDER/m.packed sound.wav --subnet 0.90\n" in found
    assert "--model FOLDER/m.packed --subnet 0.90 sound.wav\n" in found


@pytest.mark.parametrize(("segment", "seconds"), [(8, 1), (17, 1), (18, 2), (64, 3)])
def test_the_silence_is_longer_than_a_window(segment, seconds):
    # A window of 40 ms a frame and 280 ms, and 10 ms more.
    model = replace(MODEL, segment=segment)
    assert f"numpy.zeros({seconds} * rate" in how_to_run(["encoder.onnx"], ["0.90"], model)


def test_a_chunk_is_told_in_feature_frames():
    found = how_to_run(["torchscript.pt"], ["0.90"], MODEL)
    assert "`(1, 60, 80)`; the next call takes those from 32 frames later on" in found


# Options.


@pytest.mark.parametrize("text", ["", "  ", "a | b", "a\nb"])
def test_a_licence_is_one_cell_of_a_table(text):
    with pytest.raises(argparse.ArgumentTypeError, match="one line without"):
        one_line(text)


def test_a_licence_is_taken_without_spaces_around():
    assert one_line(" CC-BY-4.0 ") == "CC-BY-4.0"
