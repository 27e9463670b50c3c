# SPDX-License-Identifier: Apache-2.0
"""The three rules that end utterances, and their options."""

import argparse

import pytest

from omni_emformer.live.endpoint import EndpointRules, add_endpoint_options, endpoint_rules

RULES = EndpointRules()


@pytest.mark.parametrize(
    "length, silence, is_spoken, expected",
    [
        (2.36, 2.36, False, None),
        (2.4, 2.4, False, "rule1"),
        (5.0, 1.16, True, None),
        (5.0, 1.2, True, "rule2"),
        (1.2, 1.2, False, None),
        (5.0, 2.4, True, "rule1"),
        (19.96, 0.0, True, None),
        (20.0, 0.0, True, "rule3"),
        (20.0, 1.2, True, "rule2"),
    ],
)
def test_each_rule_holds_from_its_limit_on(length, silence, is_spoken, expected):
    assert RULES.ended_by(length, silence, is_spoken) == expected


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
