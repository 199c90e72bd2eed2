"""Docstrings of this code as Markdown: "name : text" below "Parameters" is a list, and so on."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

SECTION = re.compile(r"^(Parameters|Returns|Raises|Attributes)\n-{3,}\n", re.MULTILINE)


def as_markdown(text: str) -> str:
    """The text with its sections as bold words and lists."""
    lead, *parts = SECTION.split(text)
    made = [lead.rstrip()]
    for heading, body in zip(parts[::2], parts[1::2], strict=True):
        items = re.sub(r"^(\S[^\n:]*?) : ", r"- `\1`: ", body.strip(), flags=re.MULTILINE)
        made += ["", f"**{heading}**", "", items]
    # A shape such as [P] or [n, k] would be read as a link.
    return "\n".join(made).replace("``", "`")


class DocstringSections(Extension):
    """Rewrites every docstring once it is read."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
