# SPDX-License-Identifier: Apache-2.0
"""What the commands say of themselves."""

import argparse
import importlib
import re
from pathlib import Path

import pytest

from tests.support.processes import RECIPE

ROOMS = ("emformer", "omni_emformer", "omni_plugin", "local", "benchmarks")


def commands() -> list[str]:
    """Modules that can be run and make their parser apart."""
    found = []
    for room in ROOMS:
        for path in sorted((Path(RECIPE) / room).rglob("*.py")):
            text = path.read_text()
            if "\nif __name__ ==" in text and "\ndef get_parser(" in text:
                found.append(".".join(path.relative_to(RECIPE).with_suffix("").parts))
    return found


def parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """A parser and those of its subcommands."""
    nested = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return [parser, *(p for a in nested for one in a.choices.values() for p in parsers(one))]


def test_the_commands_are_found():
    assert {"emformer.train", "omni_emformer.sweep.__main__"} <= set(commands())


@pytest.mark.parametrize("name", commands())
def test_every_option_is_explained(name):
    found = parsers(importlib.import_module(name).get_parser())
    assert [a.option_strings or a.dest for p in found for a in p._actions if not a.help] == []


@pytest.mark.parametrize("name", commands())
def test_help_can_be_printed(name):
    for parser in parsers(importlib.import_module(name).get_parser()):
        assert parser.format_help().startswith("usage: ")


@pytest.mark.parametrize("name", commands())
def test_a_default_that_help_names_is_the_default(name):
    wrong = []
    for parser in parsers(importlib.import_module(name).get_parser()):
        for action in parser._actions:
            said = re.search(r"\(default (-?\d[\d.e-]*|true|false)\)", action.help or "")
            if said and action.default is not None:
                given = action.default
                given = given[0] if isinstance(given, list) and len(given) == 1 else given
                real = str(given).lower() if isinstance(given, bool) else f"{given:g}"
                same = real == said[1] or not isinstance(given, bool) and float(said[1]) == given
                if not same:
                    wrong.append((action.option_strings, said[1], given))
    assert wrong == []
