# SPDX-License-Identifier: Apache-2.0
"""The page on extending a training loop, and its example."""

import importlib.util
import re
import resource
import textwrap
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from omni_plugin import OmniError, OmniTraining, SuperNet
from omni_plugin.sampling import RAMPS, SAMPLERS
from tests.support.processes import RECIPE, run_python

EXAMPLE = RECIPE / "examples" / "attach_to_a_k2_loop.py"
ROOT = RECIPE.parents[2]
PAGE = (ROOT / "docs" / "torch_model.md").read_text()

blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
PLAIN, LOOP = blocks.pop(0), blocks.pop(0)


def needs_rnnt():
    try:
        import k2  # noqa: F401
    except ImportError:
        pytest.importorskip("fast_rnnt", reason="K2 IS MISSING, and fast_rnnt")


# The page.


def test_the_loop_on_the_page_is_the_examples():
    assert textwrap.indent(LOOP, "    ") in EXAMPLE.read_text()


def test_the_page_and_the_example_mark_the_four_calls():
    for text in (LOOP, EXAMPLE.read_text()):
        assert set(re.findall(r"# omni (\d):", text)) == {"1", "2", "3", "4"}
    # Beside the marked lines only what chooses and prints the coverage is new.
    marked = [line for line in LOOP.splitlines() if "# omni" in line]
    assert sum("omni." in line for line in LOOP.splitlines()) == len(marked)


def test_the_plain_loop_trains_and_leaves_the_zeros_it_says():
    names: dict = {}
    exec(PLAIN, names)
    weights = [p for p in names["model"].parameters() if p.dim() == 2]
    assert [int((weight == 0).sum()) for weight in weights] == [512, 256]


def test_the_other_snippets_of_the_page_run(monkeypatch):
    # What the snippets register is gone again after this test.
    monkeypatch.setitem(SAMPLERS, "dense-and-one", None)
    monkeypatch.setitem(RAMPS, "stairs", None)
    assert len(blocks) == 6
    names: dict = {}
    for block in blocks:
        exec(block, names)
        if "RandomBlocks" in block:
            supernet = names["supernet"]
    # A pattern of one's own is nested and exact, as all are.
    masks = [supernet.mask(level)["weight"] for level in (0.25, 0.5, 0.75)]
    assert [int((mask == 0).sum()) for mask in masks] == [64, 128, 192]
    assert all((a >= b).all() for a, b in zip(masks, masks[1:], strict=False))


def test_what_the_page_names_exists():
    for name in re.findall(r"`(\w+/[\w/]+\.py)`", PAGE):
        assert (RECIPE / name).exists() or (RECIPE / "omni_plugin" / name).exists(), name
    for name in re.findall(r"`(?:omni\.)?supernet\.(\w+)", PAGE):
        assert hasattr(SuperNet, name), name


# The example.


@pytest.fixture(scope="module")
def printed() -> tuple[str, float]:
    """What the example prints, and the seconds of processor time that it takes."""
    needs_rnnt()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run_python(EXAMPLE, OMP_NUM_THREADS="1")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime - before.ru_utime


def test_the_example_is_done_in_seconds(printed):
    assert printed[1] < 20


def test_the_example_says_what_is_covered(printed):
    assert "pattern 8x1 covers 5 weights with 66560 of 72444 parameters" in printed[0]


def test_the_examples_sub_networks_have_their_zeros_and_still_work(printed):
    found = re.findall(r"sparsity (\S+): (\d+) of 67264 .* are 0, loss (\S+)", printed[0])
    assert [(level, int(zeros)) for level, zeros, _ in found] == [
        ("0.0", 0), ("0.5", 33280), ("0.9", 59912),
    ]  # fmt: skip
    dense, half, sparsest = (float(loss) for *_, loss in found)
    assert dense < half < sparsest
    # An untrained model's loss is above 4.
    assert half < 0.5 and sparsest < 1


def test_the_example_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    needs_rnnt()
    spec = importlib.util.spec_from_file_location("example", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)

    class Stopped(Exception):
        pass

    def train(name: str, stop: int | None = None) -> dict:
        class Seeded(OmniTraining):
            def passes(self, update):
                if update == stop:
                    raise Stopped
                torch.manual_seed(update)  # dropout as a function of the update
                return super().passes(update)

        monkeypatch.setattr(example, "OmniTraining", Seeded)
        torch.manual_seed(0)
        model = example.Model()
        with pytest.raises(Stopped) if stop else nullcontext():
            example.train(model, tmp_path / name, updates=60)
        return model.state_dict()

    undisturbed = train("undisturbed")
    train("interrupted", stop=55)
    again = train("interrupted")
    for name, value in undisturbed.items():
        assert torch.equal(value, again[name]), name


def test_an_lstm_is_refused_as_the_page_says():
    with pytest.raises(OmniError, match="LSTM reads its weights from a list of its own"):
        SuperNet(nn.LSTM(8, 8))
