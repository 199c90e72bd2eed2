"""RESULTS.md from its template and the numbers; the numbers as lines."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2

from . import (
    ablation,
    answers,
    core,
    dimension,
    engine_costs,
    horizon,
    known,
    noise,
    truncation,
    twice,
    worth,
)
from .studies import Study

TEMPLATE, WIDTH = "RESULTS.md.jinja", 120


def everything(results: Path) -> dict[str, Any]:
    """The numbers of every question, by its name; ``results`` holds ``recorded`` and what stands beside it.

    Raises InputError for a folder without results, or with a method's of several commits or of changed
    sources.
    """
    recorded = results / "recorded"
    all_methods = Study.of(recorded / "core")
    return {
        "core": core.numbers(all_methods),
        "twice": twice.numbers(all_methods, Study.of(recorded / "core_twice")),
        "ablation": ablation.numbers(recorded / "ablation"),
        "horizon": horizon.numbers(recorded / "long_horizon", recorded / "long_horizon_forward"),
        "noise": noise.numbers(recorded / "noise"),
        "dimension": dimension.numbers(recorded / "dimension"),
        "known": known.numbers(recorded / "known_optimum"),
        "truncation": truncation.numbers(recorded / "truncation"),
        "worth": worth.numbers(recorded / "trust"),
        "answers": {
            one: answers.numbers(results / "transfer" / f"{one}-mlp-wide") for one in ("fashion", "letter")
        },
        "engine": engine_costs.numbers(results / "engine"),
    }


def rendered(numbers: Mapping[str, Any]) -> str:
    """The page. Raises jinja2.UndefinedError where it speaks of a number that there is not."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), undefined=jinja2.StrictUndefined,
        autoescape=False, keep_trailing_newline=True, trim_blocks=True,
    )  # fmt: skip
    environment.filters["d"] = lambda value, digits=1: f"{value:,.{digits}f}"
    return wrapped(environment.get_template(TEMPLATE).render(**numbers))


def wrapped(page: str) -> str:
    """Markdown whose paragraphs and items are broken at ``WIDTH``; tables, headings, pictures as they are."""
    blocks = [block if block.startswith(("#", "|", "!", ">")) else _wrapped(block) for block in _blocks(page)]
    return "\n\n".join(blocks) + "\n"


def _blocks(page: str) -> list[str]:
    return [block.strip("\n") for block in re.split(r"\n\s*\n", page.strip("\n"))]


def _wrapped(block: str) -> str:
    """A paragraph, or a list's items one after the other."""
    items = re.split(r"\n(?=- )", block)
    return "\n".join(
        textwrap.fill(
            " ".join(item.split()), WIDTH, subsequent_indent="  " if item.startswith("- ") else "",
            break_long_words=False, break_on_hyphens=False,
        )
        for item in items
    )  # fmt: skip


def lines(numbers: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """``noise.ratio_few = 0.67`` for every number; tables as they are."""
    for name, value in numbers.items():
        path = f"{before}{name}"
        if isinstance(value, Mapping):
            yield from lines({str(k): v for k, v in value.items()}, f"{path}.")
        elif isinstance(value, str) and "\n" in value:
            yield f"{path}:\n\n{value}\n"
        else:
            yield f"{path} = {value:.6g}" if isinstance(value, float) else f"{path} = {value}"
