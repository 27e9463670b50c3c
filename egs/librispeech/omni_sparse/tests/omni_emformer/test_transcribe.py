# SPDX-License-Identifier: Apache-2.0
"""The live demo: its texts against those of streaming decoding."""

import re

import numpy as np
import pytest
import soundfile
import torch

from emformer.decoding.options import get_parser
from emformer.decoding.search import make_search
from emformer.errors import RecipeError
from omni_emformer import transcribe
from omni_emformer.export import __main__ as export
from omni_emformer.live.features import LiveFeatures, with_silence
from omni_emformer.supernet.subnets import Subnets
from tests.support.random_supernets import talkative_supernet


@pytest.fixture(scope="module")
def exp_dir(tmp_path_factory, tiny_data):
    return talkative_supernet(tiny_data, tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def wav(tiny_data):
    return str(sorted((tiny_data / "audio" / "test-clean").rglob("*.wav"))[0])


@pytest.fixture(scope="module")
def expected(exp_dir, wav):
    """Text of each sub-network, from windows of the whole utterance's features."""
    subnets = Subnets(get_parser(None).parse_args(["--exp-dir", str(exp_dir)]))
    samples = np.concatenate(list(transcribe.read_audio(wav)))
    texts = {}
    for level in (0, 0.5, 0.9):
        model, info = subnets.make(level)
        frames = LiveFeatures().accept(with_silence(samples, info.config.model)).unsqueeze(0)
        search, states = make_search("greedy_search", model), None
        search.start(1)
        with torch.no_grad():
            for begin in range(0, frames.size(1) - model.window_frames + 1, model.chunk_frames):
                window = frames[:, begin : begin + model.window_frames]
                out, states = model.encode_chunk(window, states)
                search.accept(out, torch.tensor([out.size(1)]))
        texts[info.subnet] = " ".join(info.words(search.hypotheses()[0]))
    return texts


def said(capsys) -> dict[str, str]:
    """The final text of each sub-network."""
    lines = capsys.readouterr().out.splitlines()
    found = (re.match(r" *(\S+)  .*real-time factor ([\d.]+): (.*)", line) for line in lines)
    found = [match for match in found if match]
    assert all(float(match[2]) > 0 for match in found)
    return {match[1]: match[3] for match in found}


@pytest.mark.parametrize("runtime", transcribe.RUNTIMES)
def test_every_runtime_says_what_streaming_decoding_says(exp_dir, wav, expected, runtime, capsys):
    where = ["--exp-dir", str(exp_dir), "--runtime", runtime]
    transcribe.main([*where, "--compare", "0,0.5,0.9", wav])
    assert said(capsys) == expected
    assert len(set(expected.values())) == 3


def test_the_full_network_has_a_name(exp_dir, wav, expected, capsys):
    transcribe.main(["--exp-dir", str(exp_dir), "--compare", "dense,0.9", wav])
    assert said(capsys) == {name: expected[name] for name in ("dense", "0.90")}


def test_partial_texts_grow_while_audio_comes(exp_dir, wav, expected, capsys):
    transcribe.main(["--exp-dir", str(exp_dir), "--subnet", "0.9", wav])
    lines = capsys.readouterr().out.split("\n\n")[0].splitlines()
    parts = [line.split(" s  ", 1)[1] for line in lines]
    assert len(parts) >= 3 and parts[-1] == expected["0.90"]
    assert all(after.startswith(before) for before, after in zip(parts, parts[1:], strict=False))


@pytest.mark.parametrize("runtime", ["packed", "onnx"])
def test_int8_runs(exp_dir, wav, runtime, capsys):
    words = ["--exp-dir", str(exp_dir), "--subnet", "0.9", "--values", "int8"]
    transcribe.main([*words, "--runtime", runtime, wav])
    assert said(capsys).keys() == {"0.90"}


def test_int8_in_pytorch_is_refused(exp_dir, wav):
    words = ["--exp-dir", str(exp_dir), "--values", "int8", "--runtime", "torch", wav]
    with pytest.raises(RecipeError, match="--runtime torch has float32 only"):
        transcribe.main(words)


def test_an_unknown_sub_network_is_told(exp_dir, wav):
    with pytest.raises(RecipeError, match="front"):
        transcribe.main(["--exp-dir", str(exp_dir), "--subnet", "front/7", wav])


@pytest.mark.parametrize("option", ["--subnet", "--compare"])
def test_what_names_no_sub_network_is_refused(exp_dir, wav, option, capsys):
    with pytest.raises(SystemExit):
        transcribe.main(["--exp-dir", str(exp_dir), option, "1.5", wav])
    assert "'1.5' is no sparsity in [0, 1), nor a name such as dense" in capsys.readouterr().err


def test_spaces_separate_as_commas_do(exp_dir, wav, expected, capsys):
    transcribe.main(["--exp-dir", str(exp_dir), "--compare", "0 0.9", wav])
    assert said(capsys) == {name: expected[name] for name in ("dense", "0.90")}


def test_several_files_are_heard_one_after_the_other(exp_dir, wav, expected, capsys):
    transcribe.main(["--exp-dir", str(exp_dir), "--subnet", "0.9", wav, wav])
    out = capsys.readouterr().out
    assert out.count(f"\n{wav}\n") == 2
    assert re.findall(r"real-time factor [\d.]+: (.*)", out) == [expected["0.90"]] * 2


def test_of_no_sound_there_is_no_real_time_factor(exp_dir, tmp_path, capsys):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    transcribe.main(["--exp-dir", str(exp_dir), str(tmp_path / "empty.wav")])
    out = capsys.readouterr().out
    assert "0.00 s of audio" in out and "real-time factor -: " in out


def test_an_export_is_called_what_it_is(exp_dir, wav, expected, capsys):
    export.main(["--exp-dir", str(exp_dir), "--subnets", "0.9", "--formats", "checkpoint"])
    transcribe.main(["--exp-dir", str(exp_dir / "export" / "0.90"), wav])
    assert said(capsys) == {"0.90": expected["0.90"]}
