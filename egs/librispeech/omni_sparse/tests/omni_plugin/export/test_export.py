# SPDX-License-Identifier: Apache-2.0
"""ONNX files of any module: graph, metadata, sparse storage, int8."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from omni_plugin import OmniError, SuperNet
from omni_plugin.export import export_onnx, new_folder, quantise, store_sparse

FRAMES = {0: "N", 1: "T"}


@pytest.fixture(scope="module")
def model():
    """Of its two 8x1-pruned matrices, one tenth is left; its norm has no zeros."""
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Linear(48, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 32))
    return SuperNet(dense, "8x1").baked_model(0.9)


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """The same model dense and sparse, with float32 and int8 weights."""
    folder = tmp_path_factory.mktemp("onnx")
    found = {name: folder / f"{name}.onnx" for name in ("dense", "sparse", "int8", "sparse_int8")}
    x = [torch.zeros(2, 3, 48)]
    export_onnx(model, x, found["dense"], {"x": FRAMES}, {"y": FRAMES}, {"kind": "a test", "T": 3})
    quantise(found["dense"], found["int8"])
    assert store_sparse(found["dense"], found["sparse"]) == 2
    assert store_sparse(found["int8"], found["sparse_int8"]) == 2
    return found


def run(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x.numpy()})[0]


def matrices(path):
    """Constants of two dimensions, sparse ones made dense."""
    graph = onnx.load(str(path)).graph
    return [numpy_helper.to_array(t) for t in graph.initializer if len(t.dims) == 2]


def test_the_graph_gives_what_the_module_gives_for_any_batch_and_length(model, files):
    for shape in [(1, 1, 48), (5, 7, 48)]:
        x = torch.randn(shape)
        np.testing.assert_allclose(run(files["dense"], x), model(x).detach(), atol=1e-5)


@pytest.mark.parametrize("name", ["dense", "sparse", "int8", "sparse_int8"])
def test_metadata_is_in_every_file(files, name):
    session = onnxruntime.InferenceSession(str(files[name]), providers=["CPUExecutionProvider"])
    found = session.get_modelmeta().custom_metadata_map
    assert (found["kind"], found["T"]) == ("a test", "3")


@pytest.mark.parametrize("values", ["", "_int8"])
def test_sparse_storage_changes_no_bit_of_the_output(files, values):
    x = torch.randn(4, 9, 48)
    expected = run(files["int8" if values else "dense"], x)
    assert np.array_equal(run(files[f"sparse{values}"], x), expected)


def test_sparse_storage_shrinks_the_file(files):
    size = {name: path.stat().st_size for name, path in files.items()}
    weights = 48 * 64 + 64 * 32
    # Of every ten values of 4 bytes, one is left, and its position.
    assert size["dense"] - size["sparse"] > 0.7 * 4 * weights
    assert size["int8"] - size["sparse_int8"] > 0.3 * weights


def test_weights_with_few_zeros_stay_dense(tmp_path):
    dense, sparse = tmp_path / "dense.onnx", tmp_path / "sparse.onnx"
    model = SuperNet(nn.Sequential(nn.Linear(64, 64)), "8x1").baked_model(0.4)
    export_onnx(model, [torch.zeros(1, 3, 64)], dense, {"x": FRAMES}, {"y": FRAMES}, {})
    assert store_sparse(dense, sparse) == 0
    assert sparse.stat().st_size == dense.stat().st_size


def test_int8_keeps_every_zero(files):
    floats = matrices(files["dense"])
    ints = [m for m in matrices(files["int8"]) if m.dtype == np.int8]
    assert len(floats) == len(ints) == 2
    for one, other in zip(floats, ints, strict=True):
        assert (one == 0).mean() > 0.89
        assert (other[one == 0] == 0).all()


def test_int8_is_near_float32(files):
    x = torch.randn(4, 9, 48)
    expected = run(files["dense"], x)
    error = np.abs(run(files["int8"], x) - expected).max()
    assert 0 < error < 0.05 * np.abs(expected).max()


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with new_folder(tmp_path / "made") as part:
            (part / "half").write_text("of it")
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with new_folder(tmp_path / "made") as part:
        (part / "all").write_text("of it")
        assert not (tmp_path / "made").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["made", "all"]


def test_a_folder_is_not_overwritten(tmp_path):
    with pytest.raises(OmniError, match="exists; delete it or choose another name"):
        with new_folder(tmp_path):
            raise AssertionError("it was opened")
