# SPDX-License-Identifier: Apache-2.0
"""The loss backends against torchaudio's full RNN-T loss, a plain recursion and each other."""

import importlib
from types import ModuleType

import pytest
import torch

from emformer import rnnt_backend
from emformer.errors import RecipeError
from emformer.mutual_information.recursion import mutual_information_recursion
from emformer.mutual_information.triton_check import why_no_triton
from tests.support.optional_packages import torchaudio_or_skip
from tests.support.processes import run_python


def load(name):
    module, reason = rnnt_backend.choose_backend(name)
    if module is None:
        pytest.skip(reason)
    return module


@pytest.fixture(params=rnnt_backend.NAMES)
def backend(request):
    """Each backend that is installed."""
    return load(request.param)


def make_batch(seed=0, n=3, t=11, u=4, v=7):
    """Encoder side ``(N, T, V)``, decoder side ``(N, U + 1, V)``, symbols, boundary ``(N, 4)``."""
    g = torch.Generator().manual_seed(seed)
    am = torch.randn(n, t, v, generator=g)
    lm = torch.randn(n, u + 1, v, generator=g)
    symbols = torch.randint(1, v, (n, u), generator=g)
    boundary = torch.zeros(n, 4, dtype=torch.int64)
    boundary[:, 2] = torch.tensor([u, u - 1, 2])
    boundary[:, 3] = torch.tensor([t, t - 3, t - 1])
    return am, lm, symbols, boundary


def losses(module, am, lm, symbols, boundary, prune_range, rnnt_type="regular"):
    """Simple and pruned losses ``(N,)``; the joiner is a tanh of the sum, so order matters."""
    simple, (px_grad, py_grad) = module.rnnt_loss_smoothed(
        lm=lm,
        am=am,
        symbols=symbols,
        termination_symbol=0,
        lm_only_scale=0.25,
        am_only_scale=0.1,
        boundary=boundary,
        rnnt_type=rnnt_type,
        reduction="none",
        return_grad=True,
    )
    ranges = module.get_rnnt_prune_ranges(px_grad, py_grad, boundary, prune_range)
    am_pruned, lm_pruned = module.do_rnnt_pruning(am=am, lm=lm, ranges=ranges)
    logits = 3 * torch.tanh(am_pruned + lm_pruned)
    pruned = module.rnnt_loss_pruned(
        logits,
        symbols,
        ranges,
        termination_symbol=0,
        boundary=boundary,
        rnnt_type=rnnt_type,
        reduction="none",
    )
    return simple, pruned


def full_logits(am, lm):
    """The same joiner on the whole lattice, ``(N, T, U + 1, V)``."""
    return 3 * torch.tanh(am.unsqueeze(2) + lm.unsqueeze(1))


def plain_loss(logits, symbols, t_len, u_len):
    """The full RNN-T loss of one utterance by its definition: the sum over all paths."""
    log_probs = logits.double().log_softmax(-1)
    alpha = {(0, 0): torch.zeros((), dtype=torch.float64)}
    for t in range(t_len):
        for u in range(u_len + 1):
            into = []
            if t > 0:
                into.append(alpha[t - 1, u] + log_probs[t - 1, u, 0])
            if u > 0:
                into.append(alpha[t, u - 1] + log_probs[t, u - 1, symbols[u - 1]])
            if into:
                alpha[t, u] = torch.logsumexp(torch.stack(into), 0)
    return -(alpha[t_len - 1, u_len] + log_probs[t_len - 1, u_len, 0])


def test_pruned_loss_with_a_full_range_is_the_plain_rnnt_loss(backend):
    am, lm, symbols, boundary = make_batch()
    _, pruned = losses(backend, am, lm, symbols, boundary, prune_range=symbols.size(1) + 1)
    logits = full_logits(am, lm)
    for i, (_, _, u_len, t_len) in enumerate(boundary.tolist()):
        expected = plain_loss(logits[i], symbols[i], t_len, u_len)
        assert abs(pruned[i].item() - expected.item()) < 1e-3


def test_pruned_loss_with_a_full_range_is_torchaudios(backend):
    try:
        from torchaudio.functional import rnnt_loss
    except (ImportError, OSError) as e:
        pytest.skip(f"cannot import torchaudio: {e}")
    am, lm, symbols, boundary = make_batch(seed=1)
    _, pruned = losses(backend, am, lm, symbols, boundary, prune_range=symbols.size(1) + 1)
    expected = rnnt_loss(
        full_logits(am, lm),
        symbols.int(),
        boundary[:, 3].int(),
        boundary[:, 2].int(),
        blank=0,
        reduction="none",
    )
    assert torch.allclose(pruned, expected, atol=1e-3)


def test_pruning_only_adds_to_the_loss(backend):
    """A narrower range leaves paths out, so it cannot make the sum over paths larger."""
    am, lm, symbols, boundary = make_batch(seed=2)
    full, narrow = (losses(backend, am, lm, symbols, boundary, r)[1] for r in (5, 2))
    assert (narrow >= full - 1e-4).all()
    assert (narrow > full + 1e-3).any()


def test_k2_and_fast_rnnt_agree():
    results = []
    for name in rnnt_backend.NAMES:
        am, lm, symbols, boundary = make_batch(seed=3, n=3, t=40, u=12, v=30)
        am.requires_grad_()
        lm.requires_grad_()
        simple, pruned = losses(load(name), am, lm, symbols, boundary, prune_range=5)
        (0.5 * simple.sum() + pruned.sum()).backward()
        results.append((simple.detach(), pruned.detach(), am.grad, lm.grad))
    for k2s, other in zip(*results, strict=True):
        assert torch.allclose(k2s, other, atol=1e-4)
    assert results[0][2].abs().max() > 0.1


@pytest.fixture
def own_recursion(backend, monkeypatch):
    """A backend, and a function that puts the recursion of CUDA tensors in its losses."""
    module = importlib.import_module(f"{backend.__name__}.rnnt_loss")
    return backend, lambda: monkeypatch.setattr(
        module, "mutual_information_recursion", mutual_information_recursion
    )


@pytest.mark.parametrize("rnnt_type", ["regular", "modified"])
def test_losses_and_gradients_are_the_same_by_our_recursion(own_recursion, rnnt_type):
    """The simple and the pruned loss; the last utterance has one symbol, the least they take."""
    module, replace = own_recursion
    results = []
    for prepare in (lambda: None, replace):
        prepare()
        am, lm, symbols, boundary = make_batch(seed=5, n=3, t=40, u=12, v=30)
        boundary[2, 2] = 1
        am.requires_grad_(), lm.requires_grad_()
        simple, pruned = losses(module, am, lm, symbols, boundary, 5, rnnt_type)
        (0.5 * simple.sum() + pruned.sum()).backward()
        results.append((simple.detach(), pruned.detach(), am.grad, lm.grad))
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-5)
    assert results[1][2].abs().max() > 0.1


def test_the_loss_by_our_recursion_is_torchaudios(own_recursion):
    rnnt_loss = torchaudio_or_skip("torchaudio.functional").rnnt_loss
    module, replace = own_recursion
    replace()
    found = []
    for ours in (True, False):
        am, lm, symbols, boundary = make_batch(seed=6)
        am.requires_grad_(), lm.requires_grad_()
        if ours:
            loss = losses(module, am, lm, symbols, boundary, symbols.size(1) + 1)[1]
        else:
            lengths = boundary[:, 3].int(), boundary[:, 2].int()
            logits = full_logits(am, lm)
            loss = rnnt_loss(logits, symbols.int(), *lengths, blank=0, reduction="none")
        loss.sum().backward()
        found.append((loss.detach(), am.grad, lm.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("rnnt_type", ["regular", "modified"])
@pytest.mark.parametrize("recursion", ["", "torch"])
def test_losses_and_gradients_on_a_gpu_are_the_cpus(monkeypatch, recursion, rnnt_type):
    monkeypatch.setenv("OMNI_RNNT_RECURSION", recursion)
    why_no_triton.cache_clear()
    results = []
    for device in ("cpu", "cuda"):
        batch = make_batch(seed=8, n=3, t=200, u=30, v=50)
        am, lm, symbols, boundary = (x.to(device) for x in batch)
        am.requires_grad_(), lm.requires_grad_()
        simple, pruned = losses(rnnt_backend, am, lm, symbols, boundary, 5, rnnt_type)
        (0.5 * simple.sum() + pruned.sum()).backward()
        results.append([x.detach().cpu() for x in (simple, pruned, am.grad, lm.grad)])
    why_no_triton.cache_clear()
    for on_cpu, on_gpu in zip(*results, strict=True):
        torch.testing.assert_close(on_gpu, on_cpu, atol=1e-3, rtol=1e-5)


class Scores:
    """Stands for a tensor of a device, of which a recursion is asked by name only."""

    def __init__(self, device):
        self.device = torch.device(device)


def test_each_device_has_its_recursion(monkeypatch):
    def named(name):
        return lambda px, py, boundary, return_grad: (name, boundary, return_grad)

    monkeypatch.setattr(rnnt_backend, "mutual_information_recursion", named("ours"))
    recursion = rnnt_backend.recursion_by_device(named("theirs"))
    assert recursion(Scores("cpu"), None, "b", True) == ("theirs", "b", True)
    assert recursion(Scores("cuda:1"), None, boundary="b") == ("ours", "b", False)


@pytest.mark.parametrize("name", rnnt_backend.NAMES)
@pytest.mark.parametrize(
    ("with_cuda", "no_triton", "expected"),
    [
        (True, "", ("{name}", "")),
        (False, "", ("triton", "{name} was compiled without CUDA")),
        (False, "no Triton", ("torch", "{name} was compiled without CUDA, no Triton")),
    ],
)
def test_what_a_gpu_computes_the_recursion_by(monkeypatch, name, with_cuda, no_triton, expected):
    module = ModuleType(name)
    module.with_cuda = with_cuda if name == "k2" else lambda: with_cuda
    monkeypatch.setattr(rnnt_backend, "why_no_triton", lambda: no_triton)
    expected = tuple(text.format(name=name) for text in expected)
    assert rnnt_backend.recursion_on_gpu(module) == expected


def test_a_backend_without_cuda_code_takes_other_devices_in_its_losses():
    load("fast_rnnt")
    code = """
from emformer import rnnt_backend
import fast_rnnt, importlib
losses = importlib.import_module("fast_rnnt.rnnt_loss")
same = losses.mutual_information_recursion is fast_rnnt.mutual_information_recursion
print(same, fast_rnnt.with_cuda())
"""
    done = python(code, OMNI_RNNT_BACKEND="fast_rnnt")
    replaced, with_cuda = done.stdout.split()
    assert replaced == with_cuda, done.stderr  # both False, or both True


def python(code, **environment):
    """Run ``code`` in a fresh interpreter, where the backend is chosen anew."""
    return run_python("-c", code, check=False, **environment)


@pytest.mark.parametrize("name", rnnt_backend.NAMES)
def test_a_backend_can_be_forced(name):
    load(name)
    done = python("from emformer.rnnt_backend import NAME; print(NAME)", OMNI_RNNT_BACKEND=name)
    assert done.stdout == f"{name}\n", done.stderr


def test_k2_comes_first():
    load("k2")
    done = python("from emformer.rnnt_backend import NAME; print(NAME)", OMNI_RNNT_BACKEND="")
    assert done.stdout == "k2\n", done.stderr


def test_unknown_backend_is_told_at_the_first_use_only():
    use = """
from emformer import rnnt_backend
from emformer.errors import RecipeError
assert rnnt_backend.NAME is None
try:
    rnnt_backend.rnnt_loss_pruned(1, 2)
except RecipeError as e:
    print(e)
"""
    done = python(use, OMNI_RNNT_BACKEND="warp")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("rnnt_loss_pruned: OMNI_RNNT_BACKEND=warp: must be k2 or fast_rnnt\n")


def test_nothing_to_import_is_one_line_with_the_remedy(monkeypatch):
    def refuse(name):
        raise OSError(f"lib{name}.so:\ncannot open shared object file")

    monkeypatch.setattr(importlib, "import_module", refuse)
    module, reason = rnnt_backend.choose_backend()
    assert module is None
    assert "\n" not in reason
    assert "libk2.so" in reason and "libfast_rnnt.so" in reason and "install.sh" in reason
    with pytest.raises(RecipeError, match="this needs k2: cannot import k2"):
        rnnt_backend.require_k2()
