# SPDX-License-Identifier: Apache-2.0
"""Exported sub-networks: files, and texts in sherpa-onnx against PyTorch."""

import json
import re
import shlex

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch
from onnx import numpy_helper

from emformer import streaming_decode
from emformer.decoding.options import get_parser
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint
from emformer.scoring.results import read_results
from emformer.scoring.wer import read_recogs
from omni_emformer import check_onnx
from omni_emformer.export import __main__ as export
from omni_emformer.export.info import read_info
from omni_emformer.export.onnx_model import load_onnx
from omni_emformer.export.sherpa import PARTS, decode_by_sherpa
from omni_emformer.supernet.layer_subnets import LayerSubnets
from omni_emformer.supernet.subnets import Subnets
from omni_emformer.transcribe import __main__ as transcribe
from omni_emformer.transcribe.models import open_models
from omni_plugin.runtime import PackedFile
from tests.support import training
from tests.support.made_up_results import add_result
from tests.support.processes import RECIPE, run_python
from tests.support.random_supernets import talkative_selection
from tests.support.random_weights import save_talkative
from tests.support.supernets import trainer

SPLIT = "test-clean"


@pytest.fixture(scope="module")
def exp_dir(tmp_path_factory, tiny_data):
    """A supernet of which the dense model and 0.90 are exported."""
    root = tmp_path_factory.mktemp("exported")
    config = training.write_config(root / "tiny.yaml")
    config.write_text(config.read_text().replace("model:\n", "model:\n  stack_window: 28\n"))
    run = trainer(tiny_data, config, root / "exp")
    with torch.no_grad():  # <sos/eos> and <unk>, which sherpa-onnx tells, and takes for blank
        run.model.joiner.output_linear.bias[1:3] = -1e3
    save_talkative(run)
    export.main(["--exp-dir", str(root / "exp"), "--subnets", "0", "0.9"])
    return root / "exp"


@pytest.fixture(scope="module")
def folder(exp_dir):
    return exp_dir / "export" / "0.90"


@pytest.fixture(scope="module")
def checked(exp_dir, tiny_data):
    """What the check stage said of all that is exported."""
    check_onnx.main(["--exp-dir", str(exp_dir), "--data-dir", str(tiny_data), "--splits", SPLIT])
    return json.loads((exp_dir / "export" / "check.json").read_text())


@pytest.fixture(scope="module")
def said_by_the_page(folder, tiny_data):
    """What docs/deployment.md's lines for sherpa-onnx print of an utterance, and its name."""
    page = (RECIPE.parents[2] / "docs" / "deployment.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (lines,) = (lines for lines in blocks if "import sherpa_onnx" in lines)
    sound = sorted((tiny_data / "audio" / SPLIT).rglob("*.wav"))[0]
    lines = lines.replace("exp/synthetic/omni/export/0.90", str(folder))
    # In a process of its own, which sherpa-onnx ends where it cannot use a file.
    return run_python("-c", lines.replace("speech.wav", str(sound))).stdout, sound


def made(exp_dir, level):
    return Subnets(get_parser(None).parse_args(["--exp-dir", str(exp_dir)])).make(level)


def metadata(path) -> dict[str, str]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.get_modelmeta().custom_metadata_map


def test_each_format_has_its_files(folder):
    onnx_files = {f"{part}{end}" for part in PARTS for end in (".onnx", ".int8.onnx")}
    others = {"epoch-1.pt", "torchscript.pt", "tokens.txt", "float32.packed", "int8.packed"}
    assert onnx_files | others <= {path.name for path in folder.iterdir()}


def test_the_checkpoint_is_a_plain_transducer_of_the_baked_weights(exp_dir, folder):
    model, _ = made(exp_dir, 0.9)
    found = load_checkpoint(folder / "epoch-1.pt")["model"]
    assert found.keys() == model.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in model.state_dict().items())
    assert list(torch.load(folder / "epoch-1.pt")["model"]) == list(found)  # without our code


def test_the_packed_files_hold_the_sub_network(folder):
    for values in ("float32", "int8"):
        assert PackedFile(folder / f"{values}.packed").subnets == ["0.90"]


@pytest.mark.parametrize("kind", ["onnx", "int8.onnx"])
def test_metadata_say_what_sherpa_onnx_must_know_and_what_the_model_is(exp_dir, folder, kind):
    found = metadata(folder / f"encoder.{kind}")
    assert found["model_type"] == "ebranchformer" and found["architecture"] == "emformer"
    assert found["subnet"] == "0.90" and found["weights"] == read_info(folder).weights
    # Chunks of 4, 1 of right context, 4 feature frames each, and 24 more of the stacked window.
    assert (found["T"], found["decode_chunk_len"]) == ("44", "16")
    assert metadata(folder / f"decoder.{kind}")["context_size"] == "2"
    assert metadata(folder / f"joiner.{kind}")["joiner_dim"] == "16"


def test_pruned_weights_are_stored_without_their_zeros(exp_dir, folder):
    sparse = onnx.load(str(folder / "encoder.onnx")).graph.sparse_initializer
    assert len(sparse) >= 10  # of 2 layers with 5 matrices each
    kept = {tuple(t.dims): numpy_helper.to_array(t.values) for t in sparse}
    assert all((values != 0).all() for values in kept.values())
    dense = exp_dir / "export" / "dense"
    assert not onnx.load(str(dense / "encoder.onnx")).graph.sparse_initializer
    sizes = [(f / "encoder.onnx").stat().st_size for f in (folder, dense)]
    assert sizes[0] < sizes[1]


def test_int8_weights_keep_the_zeros(exp_dir, folder):
    model, _ = made(exp_dir, 0.9)
    zeros = sum(int((p == 0).sum()) for p in model.encoder.emformer.parameters() if p.dim() == 2)
    found = 0
    graph = onnx.load(str(folder / "encoder.int8.onnx")).graph
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 2:
            found += int((numpy_helper.to_array(tensor) == 0).sum())
    for tensor in graph.sparse_initializer:
        found += int(np.prod(tensor.dims)) - tensor.values.dims[0]
    assert found >= zeros > 0


def test_the_same_weights_are_not_written_twice(exp_dir, folder, capsys):
    before = (folder / "encoder.onnx").stat().st_mtime_ns
    export.main(["--exp-dir", str(exp_dir), "--subnets", "0.9"])
    assert (folder / "encoder.onnx").stat().st_mtime_ns == before
    assert "there already" in capsys.readouterr().out


def test_a_folder_of_other_weights_is_not_overwritten(exp_dir, tmp_path):
    words = ["--exp-dir", str(exp_dir), "--formats", "torchscript", "--out", str(tmp_path)]
    export.main([*words, "--subnets", "0.5"])
    (tmp_path / "0.50").rename(tmp_path / "0.90")
    with pytest.raises(RecipeError, match="0.90 holds other weights; delete it or choose another"):
        export.main([*words, "--subnets", "0.9"])


def test_only_the_formats_asked_for_are_written(exp_dir, tmp_path):
    words = ["--exp-dir", str(exp_dir), "--out", str(tmp_path), "--formats", "torchscript"]
    export.main([*words, "--subnets", "0.9"])
    names = {path.name for path in (tmp_path / "0.90").iterdir()}
    assert names == {"export.json", "torchscript.pt", "README.md"}


# The model card.


def lines_of(folder, language: str, holds: str) -> str:
    """The card's code block that has a word."""
    card = (folder / "README.md").read_text()
    found = re.findall(r"^```(\w*)\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)
    (lines,) = [lines for kind, lines in found if kind == language and holds in lines]
    return lines


def test_the_card_tells_every_file_and_its_bytes(folder):
    card = (folder / "README.md").read_text()
    told = {
        name: int(n.replace(",", "")) for name, n in re.findall(r"`(\S+)` \| ([\d,]+) \|", card)
    }
    assert {"encoder.int8.onnx", "epoch-1.pt", "int8.packed", "tokens.txt"} <= told.keys()
    assert told == {name: (folder / name).stat().st_size for name in told}


def test_the_cards_lines_for_sherpa_onnx_say_what_ours_say(folder, tiny_data):
    sound = sorted((tiny_data / "audio" / SPLIT).rglob("*.wav"))[0]
    lines = lines_of(folder, "python", "sherpa_onnx").replace("sound.wav", str(sound))
    said = run_python("-c", f"import os; os.chdir({str(folder)!r})\n{lines}").stdout
    samples = np.append(soundfile.read(sound, dtype="float32")[0], np.zeros(16000, "float32"))
    (text,) = decode_by_sherpa(folder, [("sound", samples)])
    assert said.split() == text.words and text.words


def test_the_cards_lines_for_torch_run_a_chunk(folder):
    (shape,) = re.findall(r"of shape `\((\d+), (\d+), (\d+)\)`", (folder / "README.md").read_text())
    lines = lines_of(folder, "python", "torch.jit").replace(
        "torchscript.pt", f"{folder}/torchscript.pt"
    )
    names = {"features": torch.zeros(*map(int, shape))}
    exec(lines, names)
    assert names["out"].shape[:2] == (1, 4)  # a chunk's encoder frames


def test_the_cards_transcribe_line_is_understood(folder):
    words = shlex.split(
        lines_of(folder, "", "omni_emformer.transcribe").replace("FOLDER", str(folder))
    )
    assert words[:3] == ["python3", "-m", "omni_emformer.transcribe"]
    args = transcribe.get_parser().parse_args(words[3:])
    assert args.audio == ["sound.wav"] and open_models(args)[0].heard.subnet == "0.90"


def test_the_command_is_told_as_it_was_given(folder, exp_dir):
    lines = lines_of(folder, "", "omni_emformer.export")
    assert f"python3 -m omni_emformer.export --exp-dir {exp_dir} --subnets 0 0.9\n" in lines


def test_a_card_that_was_edited_stays(exp_dir, tmp_path):
    words = ["--exp-dir", str(exp_dir), "--out", str(tmp_path), "--formats", "torchscript"]
    export.main([*words, "--subnets", "0.9"])
    (tmp_path / "0.90" / "README.md").write_text("mine")
    export.main([*words, "--subnets", "0.9"])
    assert (tmp_path / "0.90" / "README.md").read_text() == "mine"


def test_a_card_that_was_deleted_is_written_with_the_results_of_today(exp_dir, folder, tmp_path):
    words = ["--exp-dir", str(exp_dir), "--out", str(tmp_path), "--formats", "torchscript"]
    export.main([*words, "--subnets", "0.9"])
    card = tmp_path / "0.90" / "README.md"
    assert "no results.jsonl has a decoding of these weights" in card.read_text()
    card.unlink()
    add_result(tmp_path / "0.90", "pytorch", "0.90", 7, weights=read_info(folder).weights)
    export.main([*words, "--subnets", "0.9"])
    assert "| 7.00 [6.00, 8.00] |" in card.read_text()


# The check stage.


def test_the_encoder_in_onnxruntime_is_within_1e_4_of_infer(checked):
    found = {c["subnet"]: c["max_abs_diff"] for c in checked if c["kind"] == "float32"}
    assert found.keys() == {"dense", "0.90"}
    assert all(0 < difference < 1e-4 for difference in found.values())


def test_sherpa_onnx_says_what_pytorch_says_of_the_same_sound(checked, folder):
    for check in checked:
        if check["kind"] == "float32":
            assert check["same_texts"] == check["num_utts"] == 12
            assert check["wer_sherpa"] == check["wer_stream"]
    (path,) = (folder / "streaming" / "greedy_search").glob("recogs-*_sherpa-onnx.txt")
    assert sum(len(u.hyp) for u in read_recogs(path)) > 12


def test_results_are_those_of_an_experiment(checked, folder):
    found = {r.system: r for r in read_results(folder / "results.jsonl")}
    assert found.keys() == {"pytorch", "sherpa-onnx", "sherpa-onnx-int8"}
    assert {r.subnet for r in found.values()} == {"0.90"}
    assert found["sherpa-onnx"].num_nonzero < found["sherpa-onnx"].num_params
    assert found["sherpa-onnx"].rtf > 0
    assert len({r.weights for r in found.values()}) == len({r.recogs for r in found.values()}) == 3


def test_the_export_is_decoded_like_any_experiment(folder, tiny_data, checked):
    words = ["--exp-dir", str(folder), "--data-dir", str(tiny_data), "--splits", SPLIT]
    streaming_decode.main([*words, "--on-the-fly-feats", "true", "--system-name", "again"])
    found = {r.system: r for r in read_results(folder / "results.jsonl")}
    assert found["again"].wer == found["pytorch"].wer
    assert found["again"].weights == found["pytorch"].weights


def copy(source, target) -> None:
    """An exported sub-network's files, without what decoding left."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.glob("*"):
        if path.is_file() and path.name != "results.jsonl":
            (target / path.name).write_bytes(path.read_bytes())


def test_texts_that_differ_fail(folder, tiny_data, tmp_path):
    copy(folder, tmp_path / "export" / "0.90")
    joiner = tmp_path / "export" / "0.90" / "joiner.onnx"
    model = onnx.load(str(joiner))
    (weight,) = (t for t in model.graph.initializer if len(t.dims) == 2)
    weight.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weight), weight.name))
    joiner.write_bytes(model.SerializeToString())
    words = ["--exp-dir", str(tmp_path), "--data-dir", str(tiny_data), "--splits", SPLIT]
    with pytest.raises(RecipeError, match="differ from PyTorch by more than allowed"):
        check_onnx.main([*words, "--limit", "3"])
    assert "/3 FAILED" in (tmp_path / "export" / "check.md").read_text()


def test_where_sherpa_onnx_dies_is_told_in_a_line(folder, tmp_path):
    copy(folder, tmp_path)
    graph = onnx.load(str(tmp_path / "encoder.onnx"))
    kept = [p for p in graph.metadata_props if p.key != "T"]
    del graph.metadata_props[:]
    graph.metadata_props.extend(kept)
    (tmp_path / "encoder.onnx").write_bytes(graph.SerializeToString())
    sounds = [("silence", np.zeros(16000, dtype=np.float32))] * 40  # more than a pipe holds
    with pytest.raises(RecipeError, match="sherpa-onnx ended with .*'T' does not exist") as e:
        decode_by_sherpa(tmp_path, sounds)
    assert "\n" not in str(e.value)


def test_nothing_exported_names_the_stage(exp_dir, tmp_path):
    with pytest.raises(RecipeError, match=r"has no sub-network; export first \(stage 13\)"):
        check_onnx.main(["--exp-dir", str(tmp_path)])


def test_a_sub_network_of_fewer_units_is_exported_without_them(tiny_data, tmp_path):
    exp_dir = talkative_selection(tiny_data, tmp_path, "simple_top_k")
    words = ["--exp-dir", str(exp_dir), "--formats", "checkpoint", "onnx"]
    export.main([*words, "--subnets", "units-1", "dense"])
    folders = [exp_dir / "export" / name for name in ("units-1", "dense")]
    small, whole = ((f / "encoder.onnx").stat().st_size for f in folders)
    assert small < whole
    removed = read_info(folders[0]).config.model.removed_units
    assert len(removed) == 3
    kept = 2 - sum(name.endswith("attention") for name in removed)
    assert metadata(folders[0] / "encoder.onnx")["num_hidden_layers"] == str(kept)
    model, _ = LayerSubnets(get_parser(None).parse_args(["--exp-dir", str(exp_dir)])).make(
        "units-1"
    )
    found, _ = load_onnx(folders[0])
    x = torch.randn(1, model.window_frames, 80)
    with torch.no_grad():
        expected, _ = model.encode_chunk(x, None)
    assert (found.encode_chunk(x, None)[0] - expected).abs().max() < 1e-4


def test_the_pages_lines_say_what_ours_say(said_by_the_page, folder):
    said, path = said_by_the_page
    samples, _ = soundfile.read(path, dtype="float32")
    silence = np.zeros(16000, dtype=np.float32)
    (text,) = decode_by_sherpa(folder, [(path.stem, np.concatenate([samples, silence]))])
    assert said.split() == text.words and text.words
