# SPDX-License-Identifier: Apache-2.0
"""docs/api.md names what there is."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

import omni_plugin
import omni_recognizer
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


@pytest.mark.parametrize("package", [omni_plugin, omni_recognizer], ids=lambda one: one.__name__)
def test_what_a_package_itself_exports_is_on_the_page(package):
    assert {f"{package.__name__}.{name}" for name in package.__all__} <= set(NAMES)
