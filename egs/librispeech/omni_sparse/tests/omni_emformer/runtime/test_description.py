# SPDX-License-Identifier: Apache-2.0
"""What packed files say of their transducers, and which of them the Python runtime refuses."""

from __future__ import annotations

import pytest

from emformer.data.features import make_extractor
from emformer.errors import RecipeError
from omni_emformer.runtime.description import VERSION
from omni_emformer.runtime.model import load_packed
from omni_plugin.runtime import PackedFile, write_packed
from tests.support.runtime.transducers import pack_kind


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return pack_kind(tmp_path_factory.mktemp("described") / "m", "tiny")


def rewritten(made, path, change):
    """The same file with another meta part."""
    meta, model = PackedFile(made.path).meta, made.models["dense"]
    for name in ("simple_am_proj", "simple_lm_proj"):
        setattr(model, name, None)
    change(meta)
    write_packed(path, model, [("dense", model.state_dict())], meta=meta)
    return path


def test_the_features_told_are_those_of_the_extractor(made):
    told = PackedFile(made.path).meta["transducer"]["features"]
    config = make_extractor(backend="lhotse").config
    assert told["sample_rate"] == config.sampling_rate
    assert told["frame_length"] == round(config.frame_length * config.sampling_rate)
    assert told["frame_shift"] == round(config.frame_shift * config.sampling_rate)
    assert told["preemphasis"] == config.preemph_coeff
    assert told["window"] == config.window_type
    assert (told["low_freq"], told["high_freq"]) == (config.low_freq, config.high_freq)


def test_tokens_without_text_are_told(made):
    about = PackedFile(made.path).meta["transducer"]
    assert [made.info.tokens[i] for i in about["silent_tokens"]] == ["<blk>", "<sos/eos>", "<unk>"]
    assert about["blank"] == 0 and about["version"] == VERSION


def test_files_of_before_are_read(made, tmp_path):
    path = rewritten(made, tmp_path / "m", lambda meta: meta.pop("transducer"))
    model, info = load_packed(path, "dense")
    assert info.subnet == "dense" and model.vocab_size == len(info.tokens)


def test_another_version_is_refused(made, tmp_path):
    path = rewritten(made, tmp_path / "m", lambda meta: meta["transducer"].update(version=3))
    with pytest.raises(RecipeError, match="of version 3; this program reads version 2"):
        load_packed(path, "dense")


def test_other_features_are_refused(made, tmp_path):
    def change(meta):
        meta["transducer"]["features"]["low_freq"] = 0.0

    path = rewritten(made, tmp_path / "m", change)
    with pytest.raises(RecipeError, match="m: its transducer takes other features"):
        load_packed(path, "dense")
