# SPDX-License-Identifier: Apache-2.0
"""run.sh --quick: the whole recipe in minutes."""

import pytest

from tests.support.run_sh import commands, dry, only_line, run_sh

PRESET = ["--corpus", "quick", "--systems", "dense omni", "--decoding-methods", "greedy_search"]
PRESET += ["--sweep-methods", "greedy_search"]


def test_quick_is_a_preset_of_options():
    found = commands(dry("--stage", "0", "--quick"))
    assert found == commands(dry("--stage", "0", *PRESET))
    assert any("--config conf/quick.yaml" in command for command in found)


def test_the_help_names_the_preset():
    words = [word if word.startswith("--") else f'"{word}"' for word in PRESET]
    assert " ".join(words) in " ".join(run_sh("--help").stdout.split())


@pytest.mark.parametrize("first", [True, False])
def test_an_option_stands_over_the_preset_wherever_it_is(first):
    words = ["--corpus", "synthetic", "--sweep-methods", "modified_beam_search"]
    words = ["--quick", *words] if first else [*words, "--quick"]
    found = commands(dry("--stage", "6", *words))
    assert "--config conf/demo.yaml" in found[0] and "--methods greedy_search" in found[1]
    sweeps = [command for command in found if "omni_emformer.sweep" in command]
    assert sweeps and all("--methods modified_beam_search --modes" in one for one in sweeps)


def test_a_remedy_of_a_quick_run_is_quick(tmp_path):
    words = ["--data-dir", tmp_path / "data", "--exp-root", tmp_path / "exp"]
    line = only_line(run_sh("--quick", "--stage", "7", "--stop-stage", "7", *words), 1)
    assert f"--stage 6 --stop-stage 6 --quick true --data-dir {tmp_path}/data" in line
