# SPDX-License-Identifier: Apache-2.0
"""What a run is made of, read before its first stage."""

import pytest

from emformer.errors import RecipeError
from omni_emformer.check_settings import main
from tests.support.processes import RECIPE

SYSTEMS = ["dense", "omni", "pruned", "one_shot"]


def check(*words):
    files = [str(RECIPE / f"conf/systems/{name}.yaml") for name in SYSTEMS]
    config = str(RECIPE / "conf/demo.yaml")
    main(["--corpus", "synthetic", "--config", config, "--systems", *files, *words])


def test_says_nothing_where_nothing_is_set(capsys):
    check()
    assert capsys.readouterr().out == ""


def test_says_who_takes_what(capsys):
    check("--set", "training.base_lr=0.002 sparsity.shrink=0.4", "--set", "one_shot.score=l2")
    assert capsys.readouterr().out.splitlines() == [
        "--set training.base_lr=0.002: all systems",
        "--set sparsity.shrink=0.4: omni, pruned",
        "--set one_shot.score=l2: one_shot",
    ]


@pytest.mark.parametrize(
    "text, said",
    [
        ("chain.epochs=3", "--set chain.epochs=3: no section chain in "),
        ("training.epochs=3", "demo.yaml has no such setting; did you mean training.num_epochs"),
        ("model.num_heads=5", "is not a multiple of model.num_heads 5"),
        # The systems that take a setting all must: pruned has levels of its own.
        ("sparsity.max_sparsity=0.8", "the levels of .*pruned.yaml decide it"),
    ],
)
def test_a_mistake_is_one_line(text, said):
    with pytest.raises(RecipeError, match=said) as e:
        check("--set", text)
    assert "\n" not in str(e.value)
