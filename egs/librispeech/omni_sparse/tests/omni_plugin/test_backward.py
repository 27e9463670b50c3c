# SPDX-License-Identifier: Apache-2.0
"""One line in place of loss.backward()."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from omni_plugin import OmniError, OmniTraining, SparsitySettings
from tests.support.torch_models import vectors

UPDATES = 12


def make(**changes) -> OmniTraining:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), nn.Dropout(0.2), nn.Linear(16, 24))
    given = {"ramp": {"name": "cubic", "end": 0.3}, **changes}
    return OmniTraining(model, SparsitySettings.from_dict(given), UPDATES, seed=5)


def mean_square(net, part) -> torch.Tensor:
    return net(vectors(6, 16)[part]).square().mean()


def gradients(omni: OmniTraining) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in omni.supernet.parameters()]


def by_hand(omni: OmniTraining, update: int) -> float:
    total = 0.0
    for one in omni.passes(update):
        with omni.running(one) as net:
            first, step = one.part
            loss = one.weight * mean_square(net, slice(first, None, step))
            loss.backward()
        total += loss.item()
    return total


@pytest.mark.parametrize("sampler", ["single", "per-rank", "split", "sandwich"])
def test_it_is_the_loop_over_the_passes(sampler):
    omni, other = (make(sampler={"name": sampler}) for _ in range(2))
    sizes = set()
    for update in range(UPDATES):
        for one in (omni, other):
            one.supernet.zero_grad()
        torch.manual_seed(update)
        expected = by_hand(other, update)
        torch.manual_seed(update)
        total = omni.backward(update, mean_square)
        assert total.shape == () and not total.requires_grad
        assert total.item() == pytest.approx(expected, rel=1e-6)
        for found, value in zip(gradients(omni), gradients(other), strict=True):
            assert torch.equal(found, value)
        sizes.add(len(omni.sampler.passes(update)))
    assert max(sizes) == {"split": 2, "sandwich": 3}.get(sampler, 1)


def test_a_scaled_backward_takes_every_loss():
    plain, scaled = make(), make()
    for omni, factor in ((plain, 1.0), (scaled, 8.0)):
        torch.manual_seed(0)
        omni.backward(6, mean_square, backward=lambda loss, f=factor: (f * loss).backward())
    for one, other in zip(gradients(plain), gradients(scaled), strict=True):
        torch.testing.assert_close(8 * one, other)


def test_under_ddp_only_the_last_pass_exchanges_gradients(tmp_path):
    omni = make(sampler={"name": "sandwich"})
    store = f"file://{tmp_path / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        net, quiet = DistributedDataParallel(omni.supernet), []
        omni.backward(6, lambda net, part: quiet.append(net.require_backward_grad_sync)
                      or mean_square(net, part), net=net)  # fmt: skip
    finally:
        dist.destroy_process_group()
    assert quiet == [False, False, True]
    alone = make(sampler={"name": "sandwich"})
    by_hand(alone, 6)
    assert all(value.abs().sum() > 0 for value in gradients(omni))


def test_what_the_network_learns_from_another_is_refused():
    omni = make(sampler={"name": "sandwich"}, distillation={})
    with pytest.raises(OmniError, match="distillation needs the outputs of two passes"):
        omni.backward(0, mean_square)


@pytest.mark.parametrize("loss", [1.0, torch.ones(2)])
def test_a_loss_is_a_scalar_tensor(loss):
    with pytest.raises(OmniError, match="it must give a tensor of shape"):
        make().backward(0, lambda net, part: loss)
