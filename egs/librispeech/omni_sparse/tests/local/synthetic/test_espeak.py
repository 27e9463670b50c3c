# SPDX-License-Identifier: Apache-2.0
"""Speech of espeak-ng."""

import builtins
import dataclasses

import numpy as np
import pytest

from emformer.errors import RecipeError
from local.synthetic import corpus as synthetic
from local.synthetic import espeak
from local.synthetic.corpus import corpus_dir, plan_corpus, read_speakers, render
from local.synthetic.espeak import Espeak, Voice


@pytest.fixture(scope="module")
def library():
    return Espeak()


def test_speech_is_heard(library):
    samples = library.say("the dog", Voice("en-us+m1"))
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert 0.3 < len(samples) / library.sampling_rate < 3.0
    assert 0.05 < np.abs(samples).max() <= 1.0


def test_an_unknown_voice_is_named(library):
    with pytest.raises(RecipeError, match="espeak-ng has no voice 'en-mars'"):
        library.say("the dog", Voice("en-mars"))


def test_an_unknown_variant_is_named(library):
    with pytest.raises(RecipeError, match=r"no voice 'en-us\+nobody'"):
        library.say("the dog", Voice("en-us+nobody"))


@pytest.mark.parametrize("name", ["synthetic", "quick", "spelled"])
def test_all_voices_of_a_corpus_are_known(library, name):
    for settings in read_speakers(corpus_dir(name)).values():
        first, *_ = settings["accents"]
        names = [f"{first}+{variant}" for variant in settings["variants"]]
        for name in [*settings["accents"], *names]:
            assert len(library.say("a", Voice(name)))


def test_variants_sound_different(library):
    one, other = (library.say("the dog", Voice(f"en-us+{v}")) for v in ("m1", "f2"))
    assert len(one) != len(other) or not np.allclose(one, other)


def test_without_the_library_one_line_says_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def no_loader(name, *args, **kwargs):
        if name == "espeakng_loader":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_loader)
    monkeypatch.setattr(espeak.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(RecipeError, match="pip install espeakng-loader .or apt-get install") as e:
        Espeak()
    assert "\n" not in str(e.value)


def test_an_utterance_is_at_16_khz(library, plan):
    samples = render(library, plan["train"][0])
    assert samples.dtype == np.float32
    assert 0.3 < len(samples) / synthetic.SAMPLING_RATE < 20


def test_a_recording_with_pauses_is_longer(library):
    folder = corpus_dir("spelled")
    (utterance,) = plan_corpus({"dev": 1}, 0, folder)["dev"]
    without = render(library, dataclasses.replace(utterance, pauses=False))
    assert len(render(library, utterance)) > len(without)
