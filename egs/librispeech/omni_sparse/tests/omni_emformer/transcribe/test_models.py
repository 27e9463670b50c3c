# SPDX-License-Identifier: Apache-2.0
"""Which model a command line means, and whether what is told of it is true."""

import pytest

from emformer.decoding.options import get_parser
from emformer.errors import RecipeError
from emformer.model import num_deployed_parameters
from omni_emformer.runtime import pack
from omni_emformer.runtime.model import load_packed
from omni_emformer.supernet.subnets import Subnets
from omni_emformer.transcribe.__main__ import get_parser as transcribe_parser
from omni_emformer.transcribe.models import RUNTIMES, open_models
from omni_plugin.runtime import PackedLinear
from tests.support.random_supernets import talkative_supernet


@pytest.fixture(scope="module")
def exp_dir(tmp_path_factory, tiny_data):
    return talkative_supernet(tiny_data, tmp_path_factory.mktemp("models"))


def packed_as(exp_dir, path, *more):
    pack.main(["--exp-dir", str(exp_dir), "--out", str(path), *more])
    return path


@pytest.fixture(scope="module")
def packed(exp_dir):
    return packed_as(exp_dir, exp_dir.parent / "omni.packed")


def opened(*words):
    return open_models(transcribe_parser().parse_args([*map(str, words), "a.wav"]))


def one(*words):
    (loaded,) = opened(*words)
    return loaded.heard


@pytest.fixture(scope="module")
def truth(exp_dir):
    """Of a sub-network: parameters, those that are not zero, share of zeros in the encoder."""
    subnets = Subnets(get_parser(None).parse_args(["--exp-dir", str(exp_dir)]))

    def of(level):
        model, _ = subnets.make(level)
        deployed = [p for n, p in model.named_parameters() if not n.startswith("simple_")]
        matrices = [p for p in model.encoder.parameters() if p.dim() == 2]
        zeros = sum(int((p == 0).sum()) for p in matrices)
        return (
            num_deployed_parameters(model),
            sum(int((p != 0).sum()) for p in deployed),
            zeros / sum(p.numel() for p in matrices),
        )

    return of


@pytest.mark.parametrize("level", [0, 0.5, 0.9])
@pytest.mark.parametrize("runtime", [*RUNTIMES, "file"])
def test_the_size_told_is_that_of_the_sub_network(exp_dir, packed, truth, level, runtime):
    if runtime == "file":
        heard = one("--model", packed, "--subnet", level)
    else:
        heard = one("--exp-dir", exp_dir, "--runtime", runtime, "--subnet", level)
    assert (heard.num_params, heard.num_nonzero, heard.sparsity) == truth(level)
    assert heard.subnet == ("dense" if level == 0 else f"{level:.2f}")


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_so_many_weights_are_in_the_runtimes_memory(packed, level):
    (loaded,) = opened("--model", packed, "--subnet", level)
    model, _ = load_packed(packed, loaded.heard.subnet)
    layers = [m for m in model.modules() if isinstance(m, PackedLinear)]
    used = sum(
        int(m.matrix.band.values.count_nonzero() + m.matrix.bias.count_nonzero()) for m in layers
    )
    rest = sum(int(p.count_nonzero()) for p in model.parameters())
    assert used + rest == loaded.heard.num_nonzero


def test_bytes_are_the_files_and_what_the_sub_network_reads(exp_dir, packed, tmp_path):
    dense, sparse = (one("--model", packed, "--subnet", level) for level in (0, 0.9))
    assert dense.file_bytes == sparse.file_bytes == packed.stat().st_size
    assert 4 * dense.num_params <= dense.subnet_bytes < dense.file_bytes
    alone = packed_as(exp_dir, tmp_path / "sparse", "--subnets", "0.9")
    only = one("--model", alone)
    assert only.subnet == "0.90" and only.subnet_bytes == sparse.subnet_bytes
    assert only.file_bytes == alone.stat().st_size < dense.file_bytes


def test_what_is_no_packed_file_has_no_bytes(exp_dir):
    assert one("--exp-dir", exp_dir, "--runtime", "torch").file_bytes is None


def test_a_folder_with_both_kinds_of_values_gives_what_is_asked_for(exp_dir, packed, tmp_path):
    (tmp_path / "float32.packed").symlink_to(packed)
    packed_as(exp_dir, tmp_path / "int8.packed", "--values", "int8")
    assert one("--model", tmp_path).values == "float32"
    assert one("--model", tmp_path, "--values", "int8").values == "int8"


def test_a_folder_of_several_files_is_not_guessed(packed, tmp_path):
    for name in ("a.packed", "b.packed"):
        (tmp_path / name).symlink_to(packed)
    with pytest.raises(RecipeError, match="has a.packed and b.packed; say which by --model"):
        opened("--model", tmp_path)


def test_values_that_a_file_does_not_have_are_refused(packed):
    with pytest.raises(RecipeError, match="--values int8: .* was packed as float32"):
        opened("--model", packed, "--values", "int8")


def test_a_file_that_is_no_model_is_told(tmp_path):
    (tmp_path / "m").write_text("none")
    with pytest.raises(RecipeError, match="it is no packed file"):
        opened("--model", tmp_path / "m")


def test_nothing_at_the_path_is_told(tmp_path):
    with pytest.raises(RecipeError, match="none: no such file or folder; --model is a packed file"):
        opened("--model", tmp_path / "none")


def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(RecipeError, match="neither a packed file .* nor a checkpoint"):
        opened("--model", tmp_path)


@pytest.mark.parametrize(
    "words, said",
    [
        (["--epoch", "1"], "--epoch is of an experiment's weights"),
        (["--avg", "2"], "--avg is of an experiment's weights"),
        (["--use-averaged-model", "true"], "--use-averaged-model is of an experiment's weights"),
        (["--system", "s.yaml"], "--system is of an experiment's weights"),
        (["--runtime", "torch"], "--runtime torch: .* runs in --runtime packed only"),
        (["--subnet", "0.7"], "no sub-network is called '0.70'; known: dense, 0.50, 0.90"),
    ],
)
def test_what_a_packed_file_cannot_do_is_told(packed, words, said):
    with pytest.raises(RecipeError, match=said):
        opened("--model", packed, *words)


def test_which_weights_is_said_as_to_decode(exp_dir):
    with pytest.raises(RecipeError, match="epoch-7"):
        opened("--exp-dir", exp_dir, "--epoch", "7")


def test_int8_in_pytorch_is_refused(exp_dir):
    with pytest.raises(RecipeError, match="--runtime torch has float32 only"):
        opened("--exp-dir", exp_dir, "--values", "int8", "--runtime", "torch")


def test_an_unknown_sub_network_is_told(exp_dir):
    with pytest.raises(RecipeError, match="front"):
        opened("--exp-dir", exp_dir, "--subnet", "front/7")
