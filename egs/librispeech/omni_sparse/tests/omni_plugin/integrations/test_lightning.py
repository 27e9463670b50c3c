# SPDX-License-Identifier: Apache-2.0
"""The callback for Lightning, in Lightning where it is installed and in a stand-in everywhere."""

import importlib
import pickle
import sys
import types

import pytest
import torch
from torch import nn

from omni_plugin import OmniError, OmniTraining, SparsitySettings
from omni_plugin.integrations import lightning as ours
from tests.support import lightning_standin
from tests.support.torch_models import vectors

BATCHES = [vectors(4, 16, seed=seed) for seed in range(6)]
EPOCHS = 2
RAMP = {"name": "cubic", "start": 0.1, "end": 0.4}


@pytest.fixture(params=["the stand-in", "Lightning"])
def pl(request, monkeypatch):
    """What has Trainer, LightningModule and Callback."""
    if request.param == "Lightning":
        found = pytest.importorskip("lightning.pytorch", reason="LIGHTNING IS MISSING")
    else:
        found = types.ModuleType("lightning.pytorch")
        for name in ("Trainer", "LightningModule", "Callback"):
            setattr(found, name, getattr(lightning_standin, name))
        monkeypatch.setitem(sys.modules, "lightning", types.ModuleType("lightning"))
        monkeypatch.setitem(sys.modules, "lightning.pytorch", found)
    monkeypatch.delitem(vars(ours), "SupernetCallback", raising=False)
    yield found
    vars(ours).pop("SupernetCallback", None)


def layers() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 24))


def make_module(pl, **changes):
    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = layers()
            self.seen = []

        def training_step(self, batch, batch_idx):
            loss = self.net(batch).square().mean()
            self.seen.append((self.trainer.global_step, float(loss)))
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=0.01)

    module = Module()
    for name, value in changes.items():
        setattr(module, name, value)
    return module


def make_settings(sampler="sandwich", **changes) -> SparsitySettings:
    given = {"sampler": {"name": sampler}, "ramp": RAMP, "freeze_from": 0.4, **changes}
    return SparsitySettings.from_dict(given)


def fit(pl, folder, settings, epochs=EPOCHS, module=None, ckpt_path=None, total=None, **options):
    module = module or make_module(pl)
    callback = ours.SupernetCallback(settings, total_updates=total, seed=3)
    trainer = pl.Trainer(
        max_epochs=epochs,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        default_root_dir=folder,
        **options,
    )
    # One item a batch, as they are: what the stand-in makes of a list.
    loader = torch.utils.data.DataLoader(BATCHES, batch_size=None)
    trainer.fit(module, loader, ckpt_path=ckpt_path)
    return module, callback, trainer


def by_hand(settings, accumulate=1, epochs=EPOCHS) -> nn.Module:
    """The loop that the callback stands for, with OmniTraining alone."""
    net = layers()
    model = nn.ModuleDict({"net": net})
    updates = epochs * len(BATCHES) // accumulate
    omni = OmniTraining(model, settings, updates, seed=3)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    for update in range(updates):
        optimizer.zero_grad()
        passes = omni.passes(update)
        for number in range(accumulate):
            x = BATCHES[(update * accumulate + number) % len(BATCHES)]
            for one in passes:
                with omni.running(one), omni.supernet.masked():
                    (one.weight * net(x).square().mean() / accumulate).backward()
        optimizer.step()
    return net


def equal(one: nn.Module, other: nn.Module) -> None:
    for name, value in other.state_dict().items():
        torch.testing.assert_close(one.state_dict()[name], value, msg=name)


@pytest.mark.parametrize("sampler", ["single", "sandwich"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_it_trains_as_a_loop_by_hand(pl, tmp_path, sampler, accumulate):
    settings = make_settings(sampler)
    module, *_ = fit(pl, tmp_path, settings, accumulate_grad_batches=accumulate)
    equal(module.net, by_hand(settings, accumulate))
    assert not torch.equal(module.net[0].weight, layers()[0].weight)


def test_every_pass_of_an_update_is_a_step_and_the_first_is_logged(pl, tmp_path):
    module, callback, trainer = fit(pl, tmp_path, make_settings())
    steps = [step for step, _ in module.seen]
    assert [steps.count(step) for step in range(12)] == [
        len(callback.omni.sampler.passes(update)) for update in range(12)
    ]
    assert max(map(steps.count, steps)) == 3
    if hasattr(trainer, "logged"):
        assert len(trainer.logged) == 12
    assert "log" not in vars(module)


def test_going_on_from_a_checkpoint_ends_as_going_through(pl, tmp_path):
    settings, total = make_settings(), 2 * len(BATCHES)
    whole, *_ = fit(pl, tmp_path, settings, total=total)
    _, _, trainer = fit(pl, tmp_path, settings, epochs=1, total=total)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    on, callback, _ = fit(pl, tmp_path, settings, total=total, ckpt_path=str(tmp_path / "one.ckpt"))
    equal(on.net, whole.net)
    assert callback.omni.total_updates == total


def test_a_checkpoint_has_the_rankings(pl, tmp_path):
    _, callback, trainer = fit(pl, tmp_path, make_settings())
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    again = ours.SupernetCallback(make_settings())
    again.load_state_dict(callback.state_dict())
    assert again.state_dict()["ranks"].keys() == {"net.0.weight", "net.2.weight"}


def test_what_it_bakes_is_the_module_with_zeros(pl, tmp_path):
    module, callback, _ = fit(pl, tmp_path, make_settings())
    baked = callback.omni.supernet.bake(0.5)
    module.load_state_dict(baked)
    assert int((module.net[0].weight == 0).sum()) == 128


def test_masks_are_closed_after_a_batch_without_a_loss(pl, tmp_path):
    module = make_module(pl, training_step=lambda batch, batch_idx: None)
    module, callback, _ = fit(pl, tmp_path, make_settings(), module=module)
    callback.omni.supernet.set_active_subnet(0.5)  # refused while they are open
    equal(module.net, layers())


REFUSED = {
    "parts of a batch": ({"sampler": "split"}, {}, {}, "which a callback cannot cut"),
    "distillation": ({"distillation": {}}, {}, {}, "a callback does not distil"),
    "manual optimization": (
        {}, {"automatic_optimization": False}, {}, "backward=self.manual_backward",
    ),
    "no end": ({}, {}, {"epochs": -1}, "give the callback total_updates"),
}  # fmt: skip


@pytest.mark.parametrize("changes, of_module, options, said", REFUSED.values(), ids=REFUSED)
def test_what_a_callback_cannot_do_is_refused_before_training(
    pl, tmp_path, changes, of_module, options, said
):
    module = make_module(pl, **of_module)
    with pytest.raises(OmniError, match=said) as e:
        fit(pl, tmp_path, make_settings(**changes), module=module, **options)
    assert "\n" not in str(e.value) and module.seen == []


def test_a_callback_can_be_pickled_before_training(pl):
    callback = pickle.loads(pickle.dumps(ours.SupernetCallback(make_settings(), seed=7)))
    assert isinstance(callback, pl.Callback) and callback.seed == 7


def test_without_lightning_one_line_says_what_to_install(monkeypatch):
    monkeypatch.delitem(vars(ours), "SupernetCallback", raising=False)
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(OmniError, match="pip install lightning"):
        importlib.import_module(ours.__name__).SupernetCallback  # noqa: B018
