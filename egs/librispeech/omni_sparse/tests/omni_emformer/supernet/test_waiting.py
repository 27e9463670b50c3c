# SPDX-License-Identifier: Apache-2.0
"""A supernet's passes do not let the host wait for a GPU."""

import pytest

from emformer.model import make_model
from emformer.training.loss import run_transducer, weigh_losses
from omni_emformer.supernet.chain import distance_to
from omni_emformer.supernet.method import OmniMethod
from omni_emformer.supernet.system import load_system
from tests.support.made_up_batches import CONFIG
from tests.support.meta_device import META, batch_on_meta, complete_meta
from tests.support.processes import RECIPE


@pytest.fixture(autouse=True)
def complete(monkeypatch):
    complete_meta(monkeypatch)


@pytest.mark.parametrize("system", ["omni", "grown", "dsnn", "sandwich", "combined"])
def test_no_pass_of_a_system_waits(system):
    sparsity = load_system(RECIPE / "conf" / "systems" / f"{system}.yaml").sparsity
    method = OmniMethod(CONFIG.training, 100, sparsity)
    net, batch = method.wrap(make_model(CONFIG.model, 20).to(META)), batch_on_meta()
    for update in range(60, 64):  # of which some rank blocks anew, and all distil if any do
        for which in method.passes(update):
            loss, info = method.loss(net, batch, which, update)
            assert loss.is_meta
            assert all(value.is_meta for name, value in info.items() if name != "frames")


def test_a_teacher_does_not_let_it_wait():
    model, teacher = (make_model(CONFIG.model, 20).to(META) for _ in range(2))
    batch = batch_on_meta()
    out = run_transducer(model, batch, CONFIG.training)
    _, info = weigh_losses(out, (1.0, 1.0))
    assert distance_to(teacher.encoder, batch, out, info).is_meta
    assert info["distillation"].is_meta
