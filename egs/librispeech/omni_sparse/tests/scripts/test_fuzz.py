# SPDX-License-Identifier: Apache-2.0
"""Mutated options and settings: each ends well, or in one clear line."""

from __future__ import annotations

import json
import random
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from emformer.config import load_config
from emformer.data.corpus import load_corpus
from emformer.errors import RecipeError
from omni_emformer.supernet.system import load_system
from omni_plugin import OmniError
from omni_plugin.icefall.options import settings_of
from tests.support.icefall.toy import params_of
from tests.support.processes import RECIPE

NUMBER = 400  # of each kind of file
VALUES = (
    "-1", "0", "1.5", "1e400", ".nan", ".inf", "null", "true", "''", "[]", "{}", "[0.5, x]",
    "!!python/x", "{name: x}", "[[1]]", "2026-11-27", "0x10", "&a [*a]",
    "'8x1'", "ä", "?", "%", "*",
)  # fmt: skip


def mutate(text: str, rng: random.Random) -> str:
    """A few lines dropped, doubled, indented, or with another value or key."""
    lines = text.splitlines()
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        line = lines[at]
        kind = rng.randrange(6)
        if kind == 0 and len(lines) > 1:
            del lines[at]
        elif kind == 1:
            lines.insert(at, line)
        elif kind == 2:
            lines[at] = "  " + line
        elif kind == 3 and ":" in line:
            lines[at] = line.split(":")[0] + ": " + rng.choice(VALUES)
        elif kind == 4 and line:
            spot = rng.randrange(len(line))
            lines[at] = line[:spot] + rng.choice("{}[]:#-&*!|>'\"%@\t\0x9") + line[spot + 1 :]
        else:
            lines[at] = rng.choice(
                ("like: other.yaml", "colour: red", "levels: [2]", "\ufeff", "---")
            )
    return "\n".join(lines) + "\n"


def read_json_settings(path: Path) -> None:
    settings_of(params_of("--omni-settings", str(path)))


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "configurations": ("conf/*.yaml", load_config),
    "corpora": ("conf/corpus/*.yaml", load_corpus),
    "systems": ("conf/systems/*.yaml", load_system),
}


@pytest.mark.parametrize("pattern, read", READERS.values(), ids=READERS)
def test_a_mutated_file_is_read_or_named_in_a_line(tmp_path, pattern, read):
    rng, texts = random.Random(pattern), [p.read_text() for p in sorted(RECIPE.glob(pattern))]
    for path in (RECIPE / "conf/systems").glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text())  # what others are like
    bad = 0
    for number in range(NUMBER):
        path = tmp_path / "fuzzed.yaml"
        path.write_text(mutate(rng.choice(texts), rng))
        try:
            read(path)
        except (RecipeError, OmniError) as e:
            bad += 1
            assert "\n" not in str(e) and "fuzzed.yaml" in str(e), (number, path.read_text())
        except Exception as e:
            raise AssertionError(f"{number}: {path.read_text()}") from e
    assert NUMBER / 10 < bad < NUMBER  # most mutations are mistakes, and not all


def test_mutated_settings_of_icefall_are_read_or_named_in_a_line(tmp_path):
    rng = random.Random(0)
    fields = ["pattern", "include", "levels", "sampler", "ramp", "max_sparsity", "refresh_every",
              "distillation", "valid_levels", "colour"]  # fmt: skip
    values = [None, True, -1, 0.5, 1e400, "x", "8x1", [], [0.5], ["a"], {}, {"name": "single"},
              {"name": ["x"]}, {"name": "cubic", "start": "a"}, [[1]]]  # fmt: skip
    path = tmp_path / "settings.json"
    for _ in range(NUMBER):
        chosen = rng.sample(fields, rng.randint(1, 3))
        text = json.dumps({name: rng.choice(values) for name in chosen})
        path.write_text(text if rng.random() < 0.9 else text[: rng.randrange(len(text))])
        try:
            read_json_settings(path)
        except OmniError as e:
            assert "\n" not in str(e), path.read_text()
        except Exception as e:
            raise AssertionError(path.read_text()) from e


def options() -> list[str]:
    script = (RECIPE / "run.sh").read_text()
    defaults = script[: script.index("help_message=")]
    return re.findall(r"^([a-z_]+)=", defaults, flags=re.M)


def test_mutated_options_of_run_sh_end_well_or_in_a_line():
    """By its own parser and checks, in one process of bash with a subshell for each."""
    rng, names = random.Random(1), options()
    values = ["0", "1", "-1", "true", "false", "yes", "", " ", "a b", "0,0.5", "0 0.5 front/3", "*",
              "$(echo x)", "`x`", "'", '"', "\\", "--", "-x", "1e9", "0x1", "ä", "a;b", "a\nb",
              "%s%n", "08", "3 3", "params bytes", "x/dense.yaml dense", "\t",
              "synthetic", "greedy_search", "float32", "9" * 30]  # fmt: skip
    words = []
    for _ in range(600):
        one = []
        for _ in range(rng.randint(1, 4)):
            known = rng.random() < 0.9
            name = rng.choice(names if known else ["x", "caller_dir", "a-b"])
            one.append("--" + name.replace("_", "-"))
            if rng.random() < 0.85:
                one.append(rng.choice(values))
        words.append(one)
    calls = "\n".join(f"try {shlex.join(one)}" for one in words)
    script = f"""
      set -eou pipefail
      defaults=$(sed '/^help_message=/,$d' run.sh | grep -v '^set ')
      try() {{
        local said status=0
        said=$(
          eval "$defaults"
          help_message=help
          fail_usage() {{ echo "error: run.sh: $* (see $0 --help)" >&2; exit 2; }}
          exec 2>&1 > /dev/null
          . ./parse_options.sh
          . ./check_options.sh
        ) || status=$?
        echo "$(tr '\\n' '\\001' <<< "$said") status $status"
      }}
      {calls}
    """
    done = subprocess.run(
        ["bash", "-c", script], cwd=RECIPE, capture_output=True, text=True, check=False
    )
    assert done.stderr == "", done.stderr[-2000:]
    found = done.stdout.splitlines()
    assert len(found) == len(words)
    for one, line in zip(words, found, strict=True):
        said, status = line.rsplit(" status ", 1)
        lines = [x for x in said.split("\1") if x and not x.startswith("note: ")]
        if status == "0":
            assert lines == [], one
        else:
            assert status == "2" and lines[0].startswith("error: "), (one, said)
            assert lines[-1].endswith("--help)"), (one, said)  # and nothing after it
