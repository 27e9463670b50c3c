# SPDX-License-Identifier: Apache-2.0
"""What else is put around a model or a supernet: it works, or is refused in one line."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.checkpoint import checkpoint

from omni_plugin import OmniError
from omni_plugin.supernet import SuperNet
from tests.support.torch_models import vectors

torch_2 = pytest.mark.skipif(not hasattr(torch, "export"), reason="takes torch 2")


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 24))


def supernet() -> SuperNet:
    found = SuperNet(model())
    found.set_active_subnet(0.5)
    return found


def said(e: pytest.ExceptionInfo) -> str:
    text = str(e.value)
    assert "\n" not in text
    return text


@pytest.fixture
def group(tmp_path):
    """One process that is a group."""
    store = f"file://{tmp_path / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


# DDP. Two processes are in test_ddp.py.


def test_a_model_under_ddp_can_be_wrapped(group):
    found = SuperNet(nn.parallel.DistributedDataParallel(model()))
    found.set_active_subnet(0.5)
    x = vectors(3, 16)
    assert torch.equal(found(x), supernet()(x))
    assert "module.0.weight" in found.bake(0.5)


# FSDP.


def sharded(own: nn.Module) -> nn.Module:
    from torch.distributed.fsdp import FullyShardedDataParallel

    return FullyShardedDataParallel(own, device_id=torch.device("cpu"))


def fully_shard(own: nn.Module) -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    fully_shard(own, mesh=init_device_mesh("cpu", (1,)))
    return own


KINDS = [sharded, fully_shard]


@torch_2  # before it, FSDP wants a GPU
@pytest.mark.parametrize("shard", KINDS)
@pytest.mark.parametrize("part", ["the model", "2"])
def test_a_sharded_model_is_refused(group, shard, part):
    own = model()
    if part == "2":
        own[2] = shard(own[2])
    else:
        own = shard(own)
    with pytest.raises(OmniError) as e:
        SuperNet(own)
    said_so = f"{part} is sharded (FSDP, DTensor); a mask needs whole weights: train under DDP"
    assert said(e) == said_so


@torch_2
@pytest.mark.parametrize("shard", KINDS)
@pytest.mark.parametrize("what", ["supernet", "model"])
def test_a_supernet_that_is_sharded_later_refuses_to_run(group, shard, what):
    found = supernet()
    shard(found if what == "supernet" else found.model)
    with pytest.raises(OmniError) as e:
        found(vectors(3, 16))
    assert said(e).endswith("if FSDP did it, train under DDP")


# Activation checkpointing.


class Checkpointed(nn.Module):
    """Runs its inner model again in backward."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.inner, self.reentrant = model(), reentrant

    def forward(self, x):
        return checkpoint(self.inner, x, use_reentrant=self.reentrant)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_gradients_are_equal_where_backward_is_within(reentrant):
    found = []
    for own in (model(), Checkpointed(reentrant)):
        net = SuperNet(own)
        net.set_active_subnet(0.5)
        for seed in (0, 1):  # the second makes its weights on demand
            x = vectors(3, 16, seed=seed).requires_grad_()
            with net.masked():
                net(x).square().mean().backward()
        found.append([parameter.grad for parameter in net.parameters()])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


# Export.


@torch_2
def test_a_baked_model_is_exported_as_it_is():
    x = vectors(3, 16)
    baked = supernet().baked_model()
    assert torch.equal(torch.export.export(baked, (x,)).module()(x), supernet()(x))


@torch_2
def test_a_supernet_is_not_exported():
    with pytest.raises(OmniError) as e:
        torch.export.export(supernet(), (vectors(3, 16),), strict=False)
    assert said(e) == "a supernet cannot be exported; export its baked_model(choice)"


def test_a_supernet_is_not_traced():
    with pytest.raises(OmniError) as e:
        torch.jit.trace(supernet(), vectors(3, 16))
    assert said(e) == "a supernet cannot be exported; export its baked_model(choice)"


@pytest.mark.parametrize("how", ["script", "trace"])
def test_what_is_scripted_is_refused_where_it_would_be_pruned(how):
    own, x = model(), vectors(3, 16)
    own[2] = torch.jit.script(own[2]) if how == "script" else torch.jit.trace(own[2], x)
    with pytest.raises(OmniError) as e:
        SuperNet(own)
    assert said(e).startswith("2.weight is in a scripted or traced module")
    assert SuperNet(own, exclude=["^2"])(x).shape == (3, 24)
