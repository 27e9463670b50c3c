# SPDX-License-Identifier: Apache-2.0
"""The model that comes with the repository, on the sound that comes with it."""

import subprocess

import pytest
import soundfile

from omni_emformer.transcribe import __main__ as transcribe
from tests.support.processes import RECIPE
from tests.support.runtime.c_library import make

BOX = RECIPE / "models" / "an4"
# What the sound says is in the model's card.
TEXTS = {
    "dense": "",
    "0.50": "",
    "0.80": "",
}


@pytest.mark.parametrize("subnet", TEXTS)
def test_it_hears_its_sound_at_every_size(subnet, capsys):
    words = ["--model", str(BOX), "--subnet", subnet, str(BOX / "sample.flac")]
    assert transcribe.main(words) == 0
    assert " ".join(capsys.readouterr().out.split()) == TEXTS[subnet]


def test_the_c_program_hears_the_same(tmp_path):
    make(tmp_path)
    samples, rate = soundfile.read(BOX / "sample.flac")
    soundfile.write(tmp_path / "sample.wav", samples, rate, subtype="PCM_16")
    for subnet, text in TEXTS.items():
        words = [BOX / "an4.packed", tmp_path / "sample.wav", "--subnet", subnet]
        said = subprocess.check_output([tmp_path / "omni-transcribe", *words], text=True)
        assert " ".join(said.split()) == text


def test_it_takes_no_more_than_four_megabytes():
    assert (BOX / "an4.packed").stat().st_size <= 4e6
