# SPDX-License-Identifier: Apache-2.0
"""The page of omni_runtime, as make builds it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import RECIPE
from tests.support.runtime.c_library import make

_ANYTHING = "#include <stdlib.h>\nint main(void) { return abs(0); }\n"
_SCRIPT = RECIPE / "tests" / "omni_runtime" / "web.mjs"


def make_page(folder: Path) -> Path:
    """Build into a folder; the page's. Skips where nothing compiles to WebAssembly."""
    if shutil.which("clang") is None:
        pytest.skip("NO clang: the page is not tested")
    words = ["clang", "--target=wasm32-wasi", "-xc", "-", "-o", folder / "anything.wasm"]
    done = subprocess.run(words, input=_ANYTHING, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("NO wasm-ld OR wasi-libc: the page is not tested")
    return make(folder, "web") / "web"


def in_node(page: Path, **job: Any) -> Any:
    """What web.mjs makes of a job; skips where there is no node."""
    if shutil.which("node") is None:
        pytest.skip("NO node: the WebAssembly module is not tested")
    command = ["node", _SCRIPT, page, json.dumps(job, default=str)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
