# SPDX-License-Identifier: Apache-2.0
"""The transcriber's command line: its texts against those of streaming decoding."""

import json
import re
import shutil
import sys

import numpy as np
import pytest
import soundfile
import torch

from emformer.decoding.options import get_parser
from emformer.decoding.search import make_search
from emformer.errors import RecipeError
from omni_emformer.export import __main__ as export
from omni_emformer.live.audio import read_audio
from omni_emformer.live.features import LiveFeatures, with_silence
from omni_emformer.runtime import pack
from omni_emformer.supernet.subnets import Subnets
from omni_emformer.transcribe import __main__ as transcribe
from omni_emformer.transcribe import session
from omni_emformer.transcribe.models import RUNTIMES
from tests.support.random_supernets import talkative_supernet

METHODS = ["greedy_search", "modified_beam_search"]


@pytest.fixture(scope="module")
def exp_dir(tmp_path_factory, tiny_data):
    return talkative_supernet(tiny_data, tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def packed(exp_dir):
    """A file with all sub-networks, in a folder of its own."""
    path = exp_dir.parent / "box" / "omni.packed"
    path.parent.mkdir()
    pack.main(["--exp-dir", str(exp_dir), "--out", str(path)])
    return path


@pytest.fixture(scope="module")
def wavs(tiny_data):
    return [str(path) for path in sorted((tiny_data / "audio" / "test-clean").rglob("*.wav"))]


@pytest.fixture(scope="module")
def wav(wavs):
    return wavs[0]


def decoded(exp_dir, wav, level, method="greedy_search"):
    """Name of a sub-network, tokens and their frames, from windows of the whole utterance."""
    subnets = Subnets(get_parser(None).parse_args(["--exp-dir", str(exp_dir)]))
    samples = np.concatenate(list(read_audio(wav)))
    model, info = subnets.make(level)
    frames = LiveFeatures().accept(with_silence(samples, info.config.model)).unsqueeze(0)
    search, states = make_search(method, model), None
    search.start(1)
    with torch.no_grad():
        for begin in range(0, frames.size(1) - model.window_frames + 1, model.chunk_frames):
            window = frames[:, begin : begin + model.window_frames]
            out, states = model.encode_chunk(window, states)
            search.accept(out, torch.tensor([out.size(1)]))
    return info, search.hypotheses()[0], search.timestamps()[0]


@pytest.fixture(scope="module")
def expected(exp_dir, wav):
    texts = {}
    for level in (0, 0.5, 0.9):
        info, ids, _ = decoded(exp_dir, wav, level)
        texts[info.subnet] = " ".join(info.words(ids))
    assert len(set(texts.values())) == 3
    return texts


def run(*words, status=0, endpoints="false") -> None:
    assert transcribe.main([*map(str, words), "--enable-endpoint", endpoints]) == status


def compared(capsys) -> dict[str, str]:
    """What each sub-network said, of one utterance."""
    lines = capsys.readouterr().out.splitlines()
    return dict(line.split(": ", 1) for line in lines)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_runtime_says_what_streaming_decoding_says(exp_dir, wav, expected, runtime, capsys):
    run("--exp-dir", exp_dir, "--runtime", runtime, "--compare", "0,0.5,0.9", wav)
    assert compared(capsys) == expected


def test_the_full_network_has_a_name(exp_dir, wav, expected, capsys):
    run("--model", exp_dir, "--compare", "dense 0.9", wav)
    assert compared(capsys) == {name: expected[name] for name in ("dense", "0.90")}


def test_a_packed_file_says_what_its_sub_networks_say(packed, wav, expected, capsys):
    run("--model", packed, "--compare", "0,0.5,0.9", wav)
    assert compared(capsys) == expected


def test_a_packed_file_in_a_folder_is_found_from_where_the_caller_is(
    packed, wav, expected, capsys, monkeypatch, tmp_path
):
    (tmp_path / "here").mkdir()
    (tmp_path / "box").symlink_to(packed.parent)
    shutil.copy(wav, tmp_path / "here" / "speech.wav")
    monkeypatch.chdir(tmp_path / "here")
    for model in ("../box", "../box/omni.packed"):
        run("--model", model, "--subnet", "0.9", "speech.wav")
        assert capsys.readouterr().out == expected["0.90"] + "\n"


def test_without_a_name_it_is_the_largest_sub_network(packed, exp_dir, wav, expected, capsys):
    for model in (packed, exp_dir):
        run("--model", model, wav)
        assert capsys.readouterr().out == expected["dense"] + "\n"


@pytest.mark.parametrize("runtime", ["packed", "onnx"])
def test_int8_runs(exp_dir, wav, runtime, capsys):
    where = ["--exp-dir", exp_dir, "--subnet", "0.9", "--values", "int8", "--runtime", runtime]
    run(*where, wav)
    heard = capsys.readouterr()
    assert heard.out and "zero), int8" in heard.err


def test_an_export_is_called_what_it_is(exp_dir, wav, expected, capsys):
    export.main(["--exp-dir", str(exp_dir), "--subnets", "0.9", "--formats", "checkpoint"])
    capsys.readouterr()
    run("--model", exp_dir / "export" / "0.90", wav)
    heard = capsys.readouterr()
    assert heard.out == expected["0.90"] + "\n" and "0.90: 0.90, " in heard.err


def test_several_files_are_heard_one_after_the_other(exp_dir, wavs, capsys):
    run("--model", exp_dir, "--subnet", "0.9", *wavs[:3])
    lines = capsys.readouterr().out.splitlines()
    texts = []
    for wav in wavs[:3]:
        info, ids, _ = decoded(exp_dir, wav, 0.9)
        texts.append(f"{wav}: {' '.join(info.words(ids))}")
    assert lines == texts


def test_a_bad_file_is_told_in_a_line_and_the_others_go_on(packed, wav, expected, tmp_path, capsys):
    bad = tmp_path / "bad.wav"
    bad.write_text("no sound")
    run("--model", packed, "--subnet", "0.9", bad, wav, tmp_path / "none.wav", status=1)
    heard = capsys.readouterr()
    assert heard.out == f"{wav}: {expected['0.90']}\n"
    errors = [line for line in heard.err.splitlines() if line.startswith("error: ")]
    assert [error.split(": ")[1] for error in errors] == [str(bad), str(tmp_path / "none.wav")]


def test_a_file_in_which_nothing_is_said_is_named(packed, wav, tmp_path, capsys):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    run("--model", packed, tmp_path / "empty.wav", wav)
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'empty.wav'}:\n{wav}: ")


def test_of_no_sound_there_is_no_real_time_factor(packed, tmp_path, capsys):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    run("--model", packed, tmp_path / "empty.wav")
    heard = capsys.readouterr()
    assert "dense: 0.00 s of sound, 1 thread, real-time factor -\n" in heard.err
    assert heard.out == ""


def test_the_real_time_factor_is_of_all_files(packed, wavs, capsys):
    run("--model", packed, *wavs[:2])
    seconds = sum(soundfile.info(wav).duration for wav in wavs[:2])
    (found,) = re.findall(
        r"dense: ([\d.]+) s of sound, .* factor ([\d.]+)", capsys.readouterr().err
    )
    assert float(found[0]) == pytest.approx(seconds, abs=0.01) and float(found[1]) > 0


@pytest.mark.parametrize("method", METHODS)
def test_json_has_the_tokens_and_times_of_streaming_decoding(exp_dir, packed, wav, method, capsys):
    run("--model", packed, "--subnet", "0.5", "--method", method, "--format", "json", wav)
    found = json.loads(capsys.readouterr().out)
    info, ids, frames = decoded(exp_dir, wav, 0.5, method)
    (segment,) = found["segments"]
    assert found["file"] == wav and found["text"] == " ".join(info.words(ids)) != ""
    times = [time for word in segment["words"] for time in word["timestamps"]]
    tokens = [token for word in segment["words"] for token in word["tokens"]]
    kept = [(info.tokens[i], frame) for i, frame in zip(ids, frames, strict=True) if i > 2]
    assert tokens == [token for token, _ in kept]
    end, frame_seconds = found["seconds"], info.config.model.frame_ms / 1000
    assert times == pytest.approx([min(frame * frame_seconds, end) for _, frame in kept], abs=1e-3)


def test_json_of_several_files_is_a_line_each(packed, wavs, capsys):
    run("--model", packed, "--format", "json", *wavs[:2])
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["file"] for line in lines] == wavs[:2]


def test_compared_sub_networks_have_a_file_each(packed, wav, tmp_path, expected):
    run("--model", packed, "--compare", "0,0.9", "--output-dir", tmp_path, "--format", "json", wav)
    stem = wav.split("/")[-1].removesuffix(".wav")
    for subnet in ("dense", "0.90"):
        found = json.loads((tmp_path / f"{stem}.{subnet}.json").read_text())
        assert (found["model"]["subnet"], found["text"]) == (subnet, expected[subnet])


@pytest.mark.parametrize("form, suffix", [("text", "txt"), ("json", "json"), ("srt", "srt")])
def test_a_file_is_written_for_each_sound(packed, wavs, tmp_path, form, suffix, capsys):
    out = ["--format", form, "--output-dir", tmp_path / "out"]
    run("--model", packed, *out, *wavs[:2])
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted(wav.split("/")[-1].replace(".wav", f".{suffix}") for wav in wavs[:2])
    assert all((tmp_path / "out" / name).read_text() for name in names)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == wavs[:2]


def test_what_is_there_is_overwritten_by_force_only(packed, wav, tmp_path, expected):
    words = ["--model", str(packed), "--subnet", "0.9", "--output-dir", str(tmp_path), wav]
    (found,) = [tmp_path / (wav.split("/")[-1].removesuffix(".wav") + ".txt")]
    found.write_text("mine")
    with pytest.raises(RecipeError, match="exists; delete it, or give --force"):
        transcribe.main(words)
    assert found.read_text() == "mine"
    run(*words, "--force")
    assert found.read_text() == expected["0.90"] + "\n"


@pytest.fixture(scope="module")
def long_wav(tmp_path_factory, wavs):
    """Utterances with two seconds of silence after each."""
    parts = [np.concatenate(list(read_audio(wav))) for wav in wavs[:3]]
    parts = [part for one in parts for part in (one, np.zeros(32000, dtype=np.float32))]
    path = tmp_path_factory.mktemp("long") / "long.wav"
    soundfile.write(path, np.concatenate(parts), 16000, subtype="FLOAT")
    return str(path)


def segments(capsys) -> list[dict]:
    return json.loads(capsys.readouterr().out)["segments"]


def test_rules_end_utterances_and_lose_nothing(packed, long_wav, capsys):
    where = ["--model", packed, "--subnet", "0.9", "--format", "json", long_wav]
    run(*where)
    (whole,) = segments(capsys)
    run(*where, "--rule3-min-utterance-length", "1", endpoints="true")
    found = segments(capsys)
    assert len(found) > 3 and {s["ended_by"] for s in found[:-1]} <= {"rule1", "rule2", "rule3"}
    assert all(a["end"] <= b["start"] for a, b in zip(found, found[1:], strict=False))
    assert all(s["end"] - s["start"] <= 1.2 for s in found)  # a chunk has 0.16 s
    assert found[-1]["end"] == pytest.approx(whole["end"], abs=1.2)


def test_partial_texts_grow_while_sound_comes(exp_dir, wav, expected, capsys):
    run("--exp-dir", exp_dir, "--subnet", "0.9", "--partial", "true", wav)
    heard = capsys.readouterr()
    parts = re.findall(r"^ *\d+\.\d\d s  (.*)", heard.err, re.MULTILINE)
    assert len(parts) >= 3 and heard.out == expected["0.90"] + "\n"
    assert all(after.startswith(before) for before, after in zip(parts, parts[1:], strict=False))


def test_partial_texts_of_files_are_shown_on_demand(packed, wav, capsys):
    run("--model", packed, wav)
    assert " s  " not in capsys.readouterr().err


def stopping(monkeypatch, blocks):
    """Sound that Ctrl-C ends after some blocks."""

    def read(name, rate):
        yield from blocks
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "read_audio", read)


def test_ctrl_c_ends_a_pipe_and_what_was_said_is_kept(packed, wav, expected, capsys, monkeypatch):
    stopping(monkeypatch, list(read_audio(wav)))
    run("--model", packed, "--subnet", "0.9", "-")
    assert capsys.readouterr().out == expected["0.90"] + "\n"


def test_ctrl_c_in_a_file_ends_all(packed, wavs, capsys, monkeypatch):
    stopping(monkeypatch, list(read_audio(wavs[0])))
    run("--model", packed, *wavs[:2], status=130)
    heard = capsys.readouterr()
    assert heard.out == "" and heard.err.endswith("stopped\n")


def test_a_missing_microphone_is_told_before_anything_is_loaded(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # as if it were not installed
    with pytest.raises(RecipeError, match="pip install sounddevice"):
        transcribe.main(["--model", str(tmp_path), "mic"])


@pytest.mark.parametrize(
    "words, said",
    [
        (["a.wav", "-", "mic"], "one of FILE at the most may be - or mic"),
        (["--format", "srt", "a.wav", "b.wav"], "needs --output-dir"),
        (["--format", "srt", "--compare", "0,0.9", "a.wav"], "needs --output-dir"),
        (["--force", "a.wav"], "--force is about files in --output-dir"),
        (["--subnet", "1.5", "a.wav"], "'1.5' is no sparsity in [0, 1), nor a name such as dense"),
        (["--compare", "1.5", "a.wav"], "'1.5' is no sparsity in [0, 1), nor a name such as dense"),
        (["--exp-dir", "exp", "a.wav"], "not allowed with argument"),
    ],
)
def test_options_that_make_no_sense_are_refused(words, said, capsys):
    with pytest.raises(SystemExit):
        transcribe.main(["--model", "m", *words])
    assert said in capsys.readouterr().err
