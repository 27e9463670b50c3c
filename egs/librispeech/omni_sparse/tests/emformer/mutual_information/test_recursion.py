# SPDX-License-Identifier: Apache-2.0
"""The recursion by torch operations against k2's and fast_rnnt's, which compute it in C++."""

import pytest
import torch

from emformer import rnnt_backend
from emformer.mutual_information import torch_tables
from emformer.mutual_information.recursion import mutual_information_recursion
from tests.emformer.mutual_information.lattices import KINDS, SHAPES, blocked, lattice

every_kind = pytest.mark.parametrize("kind", KINDS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture(params=rnnt_backend.NAMES)
def theirs(request):
    """The recursion of each library that is installed."""
    module, reason = rnnt_backend.choose_backend(request.param)
    if module is None:
        pytest.skip(reason)
    return module.mutual_information_recursion


def outcome(recursion, px, py, boundary):
    """Scores, occupation, and the gradients of a weighted sum of the scores."""
    px, py = px.clone().requires_grad_(), py.clone().requires_grad_()
    scores, occupation = recursion(px, py, boundary=boundary, return_grad=True)
    occupation = [part.clone() for part in occupation]  # fast_rnnt's backward writes into its own
    (scores * torch.arange(1, len(scores) + 1)).sum().backward()
    return scores.detach(), *occupation, px.grad, py.grad


@every_kind
@every_shape
def test_scores_and_gradients_are_those_of_the_libraries(theirs, kind, shape):
    px, py, boundary = lattice(kind, *shape)
    for ours, other in zip(
        outcome(mutual_information_recursion, px, py, boundary),
        outcome(theirs, px, py, boundary),
        strict=True,
    ):
        torch.testing.assert_close(ours, other, atol=1e-4, rtol=1e-5)


@every_kind
def test_float64_stays_and_agrees_more_closely(theirs, kind):
    px, py, boundary = lattice(kind, 4, 5, 30, torch.float64)
    for ours, other in zip(
        outcome(mutual_information_recursion, px, py, boundary),
        outcome(theirs, px, py, boundary),
        strict=True,
    ):
        assert ours.dtype == torch.float64
        torch.testing.assert_close(ours, other, atol=1e-12, rtol=1e-12)


@every_kind
def test_without_a_boundary_the_whole_lattice_counts(kind):
    px, py, _ = lattice(kind, 2, 3, 6)
    whole = torch.tensor([[0, 0, 3, 6]] * 2)
    without = outcome(mutual_information_recursion, px, py, None)
    for one, other in zip(
        without, outcome(mutual_information_recursion, px, py, whole), strict=True
    ):
        assert torch.equal(one, other)


def test_the_gradient_is_the_slope():
    """By finite differences, so independent of the formula of the occupation."""
    for kind in KINDS:
        px, py, boundary = lattice(kind, 2, 3, 5, torch.float64)
        leaves = (px.requires_grad_(), py.requires_grad_())
        assert torch.autograd.gradcheck(
            lambda x, y, boundary=boundary: mutual_information_recursion(x, y, boundary), leaves
        )


@every_kind
def test_an_empty_utterance_is_its_blanks(kind):
    px, py, _ = lattice(kind, 1, 4, 6)
    boundary = torch.tensor([[0, 0, 0, 6]])
    score, (px_grad, py_grad) = mutual_information_recursion(px, py, boundary, return_grad=True)
    torch.testing.assert_close(score, py[:, 0].sum(-1))
    assert (py_grad[0, 0] == 1).all()
    assert not py_grad[0, 1:].any() and not px_grad.any()


@every_kind
def test_arcs_that_no_path_takes_are_not_occupied(kind):
    px, py, boundary = blocked(kind)
    scores, occupation = mutual_information_recursion(px, py, boundary, return_grad=True)
    assert (scores == -torch.inf).tolist() == [False, True, False]
    for arcs, taken in zip((px, py), occupation, strict=True):
        assert taken.isfinite().all()
        assert not taken[arcs == -torch.inf].any()
        assert not taken[1].any()
        assert taken[0].any() and taken[2].any()


@every_kind
def test_rounding_is_no_worse_than_the_libraries(theirs, kind):
    """Long lattices, whose scores are of a thousand nats, against float64."""
    g = torch.Generator().manual_seed(0)
    px = -4 - 3 * torch.randn(12, 60, 250 + (kind == "regular"), generator=g).abs()
    py = -4 - 3 * torch.randn(12, 61, 250, generator=g).abs()
    boundary = torch.tensor([[0, 0, 60, 250]] * 12)
    exact = mutual_information_recursion(px.double(), py.double(), boundary, return_grad=True)[1]
    errors = []
    for recursion in (mutual_information_recursion, theirs):
        found = recursion(px, py, boundary=boundary, return_grad=True)[1]
        errors.append(max((a - b).abs().max() for a, b in zip(found, exact, strict=True)))
    assert errors[0] < 2 * errors[1]


def test_what_crosses_a_frame_sums_to_one():
    px, py, _ = lattice("regular", 2, 8, 60)
    _, (px_grad, py_grad) = mutual_information_recursion(px, py, return_grad=True)
    torch.testing.assert_close(py_grad.sum(1), torch.ones(2, 60))
    torch.testing.assert_close(px_grad.sum(2), torch.ones(2, 8))
    px, py, _ = lattice("modified", 2, 8, 60)
    _, (px_grad, py_grad) = mutual_information_recursion(px, py, return_grad=True)
    torch.testing.assert_close(px_grad.sum(1) + py_grad.sum(1), torch.ones(2, 60))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(dtype):
    px, py, boundary = lattice("regular", 2, 3, 7, dtype)
    scores = mutual_information_recursion(px, py, boundary)
    assert scores.dtype == torch.float32
    wide = mutual_information_recursion(px.float(), py.float(), boundary)
    assert torch.equal(scores, wide)


def test_autocast_changes_nothing():
    px, py, boundary = lattice("regular", 3, 4, 9)
    plain = outcome(mutual_information_recursion, px, py, boundary)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = outcome(mutual_information_recursion, px, py, boundary)
    for one, other in zip(plain, cast, strict=True):
        assert other.dtype == torch.float32 and torch.equal(one, other)


def test_without_gradients_one_table_is_made(monkeypatch):
    asked = []
    real = torch_tables.make_tables

    def make_tables(px, py, boundary, both):
        asked.append(both)
        return real(px, py, boundary, both)

    monkeypatch.setattr(torch_tables, "make_tables", make_tables)
    px, py, boundary = lattice("regular", 2, 3, 6)
    alone = mutual_information_recursion(px, py, boundary)
    with_grad, _ = mutual_information_recursion(px, py, boundary, return_grad=True)
    mutual_information_recursion(px.requires_grad_(), py, boundary)
    assert asked == [False, True, True]
    assert torch.equal(alone, with_grad)


def test_a_score_that_is_no_number_says_so():
    px, py, _ = lattice("regular", 2, 3, 6)
    py[1, 2, 3] = torch.nan
    assert mutual_information_recursion(px, py).isnan().tolist() == [False, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"px": torch.zeros(2, 3, 9)}, r"px \(2, 3, 9\) and py \(2, 4, 6\)"),
        ({"py": torch.zeros(2, 3, 6)}, r"px \(2, 3, 7\) and py \(2, 3, 6\)"),
        ({"px": torch.zeros(3, 7)}, "3 dimensions, not 2 and 3"),
        ({"py": torch.zeros(2, 4, 6).double()}, r"px is torch.float32, py torch.float64"),
        ({"boundary": torch.zeros(2, 4)}, r"int64 of shape \(2, 4\), not torch.float32"),
        ({"boundary": torch.zeros(1, 4).long()}, r"not torch.int64 of \(1, 4\)"),
    ],
)
def test_what_does_not_fit_is_told_with_its_shape(change, message):
    arguments = {"px": torch.zeros(2, 3, 7), "py": torch.zeros(2, 4, 6), **change}
    with pytest.raises(ValueError, match=message):
        mutual_information_recursion(**arguments)
