# SPDX-License-Identifier: Apache-2.0
"""The options of the three rules that end utterances."""

import argparse

import pytest

from omni_recognizer.endpoint import EndpointRules, add_endpoint_options, endpoint_rules


def parsed(*words: str):
    parser = argparse.ArgumentParser()
    add_endpoint_options(parser)
    return endpoint_rules(parser.parse_args(words))


def test_the_defaults_are_those_of_sherpa_onnx():
    sherpa_onnx = pytest.importorskip("sherpa_onnx", reason="SHERPA-ONNX IS MISSING")
    import inspect

    create = sherpa_onnx.OnlineRecognizer.from_transducer
    theirs = inspect.signature(create).parameters
    for name, value in vars(parsed()).items():
        assert theirs[name].default == value


def test_an_option_changes_its_rule_only():
    assert parsed("--rule2-min-trailing-silence", "0.5") == EndpointRules(
        rule2_min_trailing_silence=0.5
    )


def test_there_may_be_no_rules():
    assert parsed("--enable-endpoint", "false") is None


@pytest.mark.parametrize("value", ["0", "-1", "nan", "long"])
def test_what_is_no_length_is_refused(value, capsys):
    with pytest.raises(SystemExit):
        parsed("--rule3-min-utterance-length", value)
    assert "expected a number above 0" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["maybe", ""])
def test_what_is_neither_true_nor_false_is_refused(value, capsys):
    with pytest.raises(SystemExit):
        parsed("--enable-endpoint", value)
    assert "expected true or false" in capsys.readouterr().err
