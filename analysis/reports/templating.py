"""Templates of the pages, and parts of them that are none."""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


def template(name: str) -> jinja2.Template:
    """A template whose texts are escaped, and which fails where it is given too little."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(name)


def contents(name: str) -> Markup:
    """A style or a script, as it is."""
    return Markup((TEMPLATES / name).read_text())
