# SPDX-License-Identifier: Apache-2.0
"""The model that comes with the repository, on the sound that comes with it."""

import subprocess

import pytest
import soundfile

from omni_emformer.transcribe import __main__ as transcribe
from tests.support.processes import RECIPE
from tests.support.runtime.c_library import make

BOX = RECIPE / "models" / "commands"
# Three commands by three voices, with pauses. The sparsest sizes mishear the lamp.
SAID = (
    "CLOSE THE GREEN RADIO AND OPEN THE RADIO CALL SEVEN FIVE FIVE ONE "
    "SET THE WHITE LAMP TO SIX TWO"
)
SUBNETS = ["dense", "0.50", "0.70"]


@pytest.mark.parametrize("subnet", SUBNETS)
def test_it_hears_its_sound_at_every_size(subnet, capsys):
    words = ["--model", str(BOX), "--subnet", subnet, str(BOX / "sample.flac")]
    assert transcribe.main(words) == 0
    assert " ".join(capsys.readouterr().out.split()) == SAID


def test_the_c_program_hears_the_same(tmp_path):
    make(tmp_path)
    samples, rate = soundfile.read(BOX / "sample.flac")
    soundfile.write(tmp_path / "sample.wav", samples, rate, subtype="PCM_16")
    for subnet in SUBNETS:
        words = [BOX / "commands.packed", tmp_path / "sample.wav", "--subnet", subnet]
        said = subprocess.check_output([tmp_path / "omni-transcribe", *words], text=True)
        assert " ".join(said.split()) == SAID


def test_it_takes_no_more_than_four_megabytes():
    assert (BOX / "commands.packed").stat().st_size <= 4e6
