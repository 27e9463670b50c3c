# SPDX-License-Identifier: Apache-2.0
"""What stands in for compute_loss, on the stand-in's model."""

import random

import pytest
import torch

from omni_plugin import OmniError
from omni_plugin.icefall.session import RandomState, count_batches
from omni_plugin.icefall.sparsity import SparsitySession
from omni_plugin.icefall.weights import masked
from tests.support.icefall.toy import Scaler, compute, make_model, params_of, started


def gradients(model) -> dict:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def seeded() -> None:
    random.seed(3)
    torch.manual_seed(3)


def test_all_passes_of_an_update_draw_the_same_chunk():
    model = make_model()
    session, params = started(model, "--omni-sampler", "sandwich")
    for update in range(50, 60):
        params["batch_idx_train"] = update
        model.encoder.chunks.clear()
        session.compute_loss(compute(model), params, True)
        assert len(model.encoder.chunks) == 3 and len(set(model.encoder.chunks)) == 1


def test_random_numbers_go_on_as_after_one_pass():
    model = make_model()
    session, params = started(model, "--omni-sampler", "sandwich")
    seeded()
    compute(model)()
    wanted = random.random(), torch.rand(1)
    seeded()
    session.compute_loss(compute(model), params, True)
    assert (random.random(), torch.rand(1)) == wanted


def test_an_update_has_the_weighted_sum_of_the_gradients_of_its_passes():
    model = make_model()
    session, params = started(model, "--omni-sampler", "sandwich")
    seeded()
    loss, _ = session.compute_loss(compute(model), params, True)
    Scaler().scale(loss).backward()
    found = gradients(model)

    # Reference: every sub-network as a model of its own, whose weights are masked for good.
    wanted = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    passes = session.omni.sampler.passes(49)
    assert len(passes) == 3
    for one in passes:
        masks = session.omni.supernet.mask(one.subnet)
        alone = make_model()
        alone.load_state_dict(session.omni.supernet.bake(one.subnet))
        for module in alone.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p *= 1 - session.omni.supernet.sparsity(one.subnet)
        seeded()
        compute(alone)()[0].mul(Scaler.factor * one.weight).backward()
        for name, gradient in gradients(alone).items():
            wanted[name] += gradient * masks.get(name, 1.0)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("sampler", ["single", "sandwich"])
def test_metric_keys_are_the_same_before_and_after_the_ramp(sampler):
    model = make_model()
    session, params = started(model, "--omni-sampler", sampler)
    keys = set()
    for update in (1, 50):
        params["batch_idx_train"] = update
        _, info = session.compute_loss(compute(model), params, True)
        keys.add(tuple(info))
        assert info["frames"] == 80 and 0 <= info["omni_sparsity"] <= 0.9 * 80
    assert len(keys) == 1


def test_validation_tells_the_dense_and_the_sparsest_loss():
    model = make_model().eval()
    session, params = started(model, "--omni-valid-levels", "0.5")
    dense = compute(model)()[1]["loss"]
    loss, info = session.compute_loss(compute(model), params, False)
    assert not loss.requires_grad and info["loss"] == dense
    assert [key for key in info if "omni" in key] == ["omni_loss_0.50", "omni_loss_0.90"]
    model.load_state_dict(session.omni.supernet.bake(0.9))
    assert info["omni_loss_0.90"] == compute(model)()[1]["loss"]


def test_before_the_first_epoch_the_dense_model_runs():
    model = make_model()
    params = params_of("--omni-ramp-start", "0", "--omni-ramp-end", "0")
    session = SparsitySession(model, params)
    seeded()
    wanted = compute(model)()[1]
    seeded()
    loss, info = session.compute_loss(compute(model), params, True)
    assert loss.requires_grad and dict(info) == dict(wanted)


def test_a_dense_checkpoint_becomes_a_supernet_whose_run_begins_there():
    model = make_model()
    session, params = started(model)
    session.load({"batch_idx_train": 700})
    params["batch_idx_train"] = 701
    session.compute_loss(compute(model), params, True)
    assert session.state_dict()["first_update"] == 700


def test_a_dense_checkpoint_within_an_epoch_needs_the_number_of_updates():
    session = SparsitySession(make_model(), params := params_of())
    params["start_batch"] = 7
    with pytest.raises(OmniError, match="give --omni-total-updates"):
        session.start_epoch(params, [], Scaler())


def test_masks_reach_an_lstm_and_its_gradients_and_are_gone_afterwards():
    model = make_model(lstm=True).eval()
    session, _ = started(model)
    supernet, x = session.omni.supernet, torch.randn(2, 20, 8)
    assert {"encoder.lstm.weight_ih_l0", "encoder.lstm.weight_hh_l0"} <= set(supernet.layer_names)
    dense = model.encoder(x)
    supernet.set_active_subnet(0.75)
    with masked(supernet, session.recurrent):
        sparse = model.encoder(x)
    sparse.sum().backward()
    mask = supernet.mask()["encoder.lstm.weight_hh_l0"]
    gradient = model.encoder.lstm.weight_hh_l0.grad
    assert (gradient[mask == 0] == 0).all() and (gradient[mask == 1] != 0).any()
    assert torch.equal(model.encoder(x), dense)
    baked = make_model(lstm=True).eval()
    baked.load_state_dict(supernet.bake())
    assert torch.equal(baked.encoder(x), sparse) and not torch.equal(dense, sparse)


def test_under_autocast_no_pass_sees_the_weights_of_another():
    model = make_model().eval()
    session, params = started(model, "--omni-sampler", "sandwich")
    _, plain = session.compute_loss(compute(model), params, True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, cast = session.compute_loss(compute(model), params, True)
    for key in ("omni_densest_loss", "omni_sparsest_loss"):
        assert cast[key] == pytest.approx(plain[key], rel=0.03)
    assert abs(plain["omni_densest_loss"] / plain["omni_sparsest_loss"] - 1) > 0.05


def test_batches_are_counted_without_drawing_random_numbers():
    class Sampler:
        def __iter__(self):
            return iter([random.random() for _ in range(5)])

    class Loader:
        sampler = Sampler()

    state = random.getstate()
    assert count_batches(Loader()) == 5 and random.getstate() == state
    assert count_batches([1, 2, 3]) == 3


def test_random_state_restores_python_and_torch():
    state = RandomState(torch.device("cpu"))
    first = random.random(), torch.rand(3).tolist()
    state.restore()
    assert (random.random(), torch.rand(3).tolist()) == first
