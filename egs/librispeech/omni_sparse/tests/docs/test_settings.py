# SPDX-License-Identifier: Apache-2.0
"""docs/settings.py, which writes the page of all settings."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field

import pytest

from tests.support.processes import RECIPE

_SPEC = importlib.util.spec_from_file_location(
    "settings_page", RECIPE.parents[2] / "docs" / "settings.py"
)
settings_page = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(settings_page)


@dataclass
class Base:
    """Whose settings others have, too.

    Args:
      rules: Of all
        kinds.
    """

    rules: tuple[str, ...] = (".*",)


@dataclass
class Derived(Base):
    """One more.

    Args:
      wide, high: In :class:`Base` units, ``1 | 2``.

    Raises:
      ValueError: Never.
    """

    wide: float = 0.5
    high: dict = field(default_factory=lambda: {"name": True})


def test_the_page_is_up_to_date():
    assert settings_page.PAGE.read_text() == settings_page.page(), "run python3 docs/settings.py"


def test_a_table_has_what_classes_above_say_and_one_row_for_names_of_one_text():
    rows = settings_page.of_fields(Derived).splitlines()[2:]
    assert rows == [
        "| `rules` | `[.*]` | Of all kinds. |",
        "| `wide`<br>`high` | `0.5`<br>`{name: true}` | In `Base` units, `1 \\| 2`. |",
    ]


def test_a_setting_without_a_word_is_refused():
    @dataclass
    class Mute(Base):
        """Says nothing."""

        silent: int = 0

    with pytest.raises(ValueError, match="Mute says nothing of silent"):
        settings_page.of_fields(Mute)
