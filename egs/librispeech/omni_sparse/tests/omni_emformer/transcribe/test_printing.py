# SPDX-License-Identifier: Apache-2.0
"""Texts that are still being said, on a terminal and elsewhere."""

import sys

from omni_emformer.transcribe.printing import Growing


def on_a_terminal(monkeypatch) -> None:
    """Of 20 columns."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")


def test_on_a_terminal_one_line_changes(monkeypatch, capsys):
    on_a_terminal(monkeypatch)
    growing = Growing(["dense"])
    growing.show(0.1, ["ONE"])
    growing.show(0.2, ["ONE"])
    growing.show(0.3, ["ONE TWO"])
    growing.clear()
    assert capsys.readouterr().err == "\r\x1b[KONE\r\x1b[KONE TWO\r\x1b[K"


def test_of_a_long_text_a_terminals_line_has_the_end(monkeypatch, capsys):
    on_a_terminal(monkeypatch)
    Growing(["dense"]).show(0.1, ["ABCDEFGHIJ" * 3])
    assert capsys.readouterr().err == "\r\x1b[K" + ("ABCDEFGHIJ" * 3)[-19:]


def test_several_texts_have_a_line_each_even_on_a_terminal(monkeypatch, capsys):
    on_a_terminal(monkeypatch)
    growing = Growing(["dense", "0.90"])
    growing.show(1.5, ["ONE", "TWO"])
    growing.clear()
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["   1.50 s     dense  ONE", "               0.90  TWO"]


def test_elsewhere_each_change_is_a_line(capsys):
    growing = Growing(["dense"])
    for text in ("ONE", "ONE", "ONE TWO"):
        growing.show(2.0, [text])
    assert capsys.readouterr().err == "   2.00 s  ONE\n   2.00 s  ONE TWO\n"
