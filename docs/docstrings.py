# SPDX-License-Identifier: Apache-2.0
"""For the API page: docstrings as Markdown. A griffe extension, which mkdocs.yml names."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?([^`]+)`")
_SHARED = re.compile(r"^( +)([a-z_]+(?:, [a-z_]+)+)(: .*(?:\n\1 +.*)*)", re.MULTILINE)
_EXAMPLE = re.compile(r"^( *)>>> .*(?:\n(?! *$).*)*", re.MULTILINE)


def markdown(text: str) -> str:
    """Roles such as :class:`Pass` become code, examples fenced blocks, `a, b: ...` a line each."""
    text = _SHARED.sub(
        lambda found: "\n".join(found[1] + name + found[3] for name in found[2].split(", ")), text
    )
    fenced = _EXAMPLE.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)
    return _ROLE.sub(r"`\1`", fenced)


class Docstrings(Extension):
    """Rewrites each docstring as it is loaded."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)
