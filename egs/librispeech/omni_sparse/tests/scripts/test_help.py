# SPDX-License-Identifier: Apache-2.0
"""What the commands say of themselves."""

import argparse
import importlib
import re
from pathlib import Path

import pytest

from tests.support.processes import RECIPE

ROOMS = ("emformer", "omni_emformer", "omni_plugin", "local", "benchmarks")


class Asked(Exception):
    """A parser was asked for its options."""


def commands() -> list[str]:
    """Modules that can be run and have options."""
    found = []
    for room in ROOMS:
        for path in sorted((Path(RECIPE) / room).rglob("*.py")):
            text = path.read_text()
            if "\nif __name__ ==" in text and "arse" in text and "\ndef main(" in text:
                found.append(".".join(path.relative_to(RECIPE).with_suffix("").parts))
    return found


@pytest.fixture
def found(request, monkeypatch) -> list[argparse.ArgumentParser]:
    """The parser that a command reads its options by, and those of its subcommands."""

    def ask(parser, *args, **options):
        raise Asked(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", ask)
    with pytest.raises(Asked) as asked:
        importlib.import_module(request.param).main()
    return parsers(asked.value.args[0])


def parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """A parser and those of its subcommands."""
    nested = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return [parser, *(p for a in nested for one in a.choices.values() for p in parsers(one))]


def test_the_commands_are_found():
    assert {"emformer.train", "local.prepare_an4", "omni_emformer.sweep.__main__"} <= {*commands()}


@pytest.mark.parametrize("found", commands(), indirect=True)
def test_every_option_is_explained(found):
    assert [a.option_strings or a.dest for p in found for a in p._actions if not a.help] == []


@pytest.mark.parametrize("found", commands(), indirect=True)
def test_help_can_be_printed(found):
    for parser in found:
        assert parser.format_help().startswith("usage: ")


@pytest.mark.parametrize("found", commands(), indirect=True)
def test_a_default_that_help_names_is_the_default(found):
    for action in (action for parser in found for action in parser._actions):
        said = re.search(r"\(default (-?\d[\d.e-]*|true|false)\)", action.help or "")
        if said and action.default is not None:
            given = action.default
            if isinstance(given, bool):
                assert said[1] == str(given).lower(), action.option_strings
            else:
                assert float(said[1]) == given, action.option_strings
