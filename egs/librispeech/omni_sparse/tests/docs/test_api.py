# SPDX-License-Identifier: Apache-2.0
"""docs/api.md names what there is."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

import omni_plugin
from tests.support.processes import RECIPE

NAMES = re.findall(
    r"^::: ([\w.]+)$", (RECIPE.parents[2] / "docs" / "api.md").read_text(), re.MULTILINE
)


# What rooms need beside torch.
NEEDS = {
    "omni_plugin.export": "onnx",
    "omni_plugin.report": "matplotlib",
    "omni_plugin.search": "optuna",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_importable_and_has_a_docstring(name):
    module, _, own = name.rpartition(".")
    pytest.importorskip(NEEDS.get(module, "torch"))
    assert inspect.getdoc(getattr(importlib.import_module(module), own))


def test_what_the_package_itself_exports_is_on_the_page():
    assert {f"omni_plugin.{name}" for name in omni_plugin.__all__} <= set(NAMES)
