# SPDX-License-Identifier: Apache-2.0
"""What the configuration says of the optimizer's groups and their learning rates."""

import pytest

from emformer.config import ModelConfig, TrainingConfig
from emformer.model import make_model
from emformer.training.schedule import Scheduler, make_optimizer

MODEL = ModelConfig(encoder_dim=8, num_heads=2, ffn_dim=16, num_layers=1)


def rates(**settings) -> dict[str, float]:
    """The learning rate of each parameter when the warm-up is over."""
    config = TrainingConfig(base_lr=0.1, **settings)
    model = make_model(MODEL, 10)
    optimizer = make_optimizer(model, config)
    Scheduler(optimizer, config, 100).go_to(10)
    names = {id(p): name for name, p in model.named_parameters()}
    found = {names[id(p)]: g["lr"] for g in optimizer.param_groups for p in g["params"]}
    assert len(found) == len(names)
    return found


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_what_is_outside_of_the_layers_has_its_share_of_the_learning_rate(optimizer):
    for name, rate in rates(optimizer=optimizer, outer_lr_scale=0.2).items():
        inner = name.startswith("encoder.emformer.")
        assert rate == pytest.approx(0.1 if inner else 0.02), name


@pytest.mark.parametrize("scale", [1.0, 0.2])
def test_such_a_share_changes_no_weight_decay(scale):
    config = TrainingConfig(optimizer="muon", outer_lr_scale=scale)
    model = make_model(MODEL, 10)
    groups = make_optimizer(model, config).param_groups
    decayed = {id(p) for g in groups if g["weight_decay"] for p in g["params"]}
    embedding = "decoder.embedding.weight"
    expected = {n for n, p in model.named_parameters() if p.dim() > 1 and n != embedding}
    assert {n for n, p in model.named_parameters() if id(p) in decayed} == expected


def test_without_it_all_have_the_same_learning_rate():
    assert len(set(rates().values())) == 1
