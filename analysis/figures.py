"""All figures by name, and ``draw_all``, which draws those that the results can fill."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from hpobench_fds.errors import InputError

from . import anytime, duels, profiles, ranks, schedules, speedup, speedup_curve
from .style import STYLES, CannotDraw, Figure, check_formats, save

Draw = Callable[[pd.DataFrame, pd.DataFrame, str], Figure]

FIGURES: dict[str, Draw] = {
    "anytime": lambda reports, runs, style: anytime.draw(reports, runs, style=style),
    "anytime_error": lambda reports, runs, style: anytime.draw(reports, runs, error=True, style=style),
    "speedup": lambda reports, runs, style: speedup.draw(reports, runs, style=style),
    "speedup_curve": lambda reports, runs, style: speedup_curve.draw(reports, runs, style=style),
    "schedules": lambda reports, runs, style: schedules.draw(reports, runs, style=style),
    "anytime_inner_steps": lambda reports, runs, style: anytime.draw(
        reports, runs, against="inner_steps", style=style
    ),
    "anytime_gradient_equivalents": lambda reports, runs, style: anytime.draw(
        reports, runs, against="gradient_equivalents", style=style
    ),
    "ranks": lambda reports, runs, style: ranks.draw(reports, runs, style=style),
    "profile": lambda reports, runs, style: profiles.draw(reports, runs, style=style),
    "duels": lambda reports, runs, style: duels.draw(reports, runs, style=style),
}
"""Figures of every suite; ``available`` adds one ``schedules_<method>`` a gradient-based method."""


class Drawn(list[Path]):
    """Files that were written, and of the figures that were not, why.

    Attributes
    ----------
    captions : of each figure drawn, what it shows.
    skipped : of each figure not drawn, the reason.
    """

    def __init__(self) -> None:
        super().__init__()
        self.captions: dict[str, str] = {}
        self.skipped: dict[str, str] = {}


def available(reports: pd.DataFrame) -> dict[str, Draw]:
    """Every figure that may be asked for of these results."""
    found = dict(FIGURES)
    for method in schedules.gradient_methods(reports):
        found[f"schedules_{method}"] = partial(_outer_steps, method=method)
    return found


def _outer_steps(reports: pd.DataFrame, runs: pd.DataFrame, style: str, *, method: str) -> Figure:
    return schedules.draw_outer_steps(reports, runs, method, style=style)


def draw_frames(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    target: Path,
    only: Iterable[str] | None = None,
    formats: Sequence[str] = ("png", "pdf"),
    style: str = "paper",
) -> Drawn:
    """``draw_all`` of results that are loaded already, written into the folder ``target``."""
    if style not in STYLES:
        raise InputError(f"unknown style {style!r}", key="style", allowed=STYLES)
    check_formats(formats)
    figures = available(reports)
    chosen = list(figures if only is None else only)
    for name in chosen:
        if name not in figures:
            raise InputError(f"unknown figure {name!r}", key="only", allowed=figures)
    done = Drawn()
    faults: list[Exception] = []
    for name in chosen:
        try:
            figure = figures[name](reports, runs, style)
            done.extend(save(figure, target, name, formats))
            done.captions[name] = figure.caption
        except (CannotDraw, InputError) as reason:
            done.skipped[name] = str(reason)
        except Exception as fault:  # one figure's fault must not cost the others
            fault.add_note(f"while drawing the figure {name!r}")
            faults.append(fault)
    if faults:
        raise faults[0] if len(faults) == 1 else ExceptionGroup("several figures failed", faults)
    return done


def draw_all(
    folder: str | Path,
    only: Iterable[str] | None = None,
    formats: Sequence[str] = ("png", "pdf"),
    style: str = "paper",
) -> Drawn:
    """Draw the figures of a results folder into its folder ``figures``.

    Parameters
    ----------
    folder : what ``hpobench run`` wrote.
    only : names of figures; all if not given.
    formats : of png, pdf, svg.
    style : paper or slides.

    Returns
    -------
    The files written, as a list; its attribute ``skipped`` says of each figure that the results cannot
    fill why not, its attribute ``captions`` what each of the others shows.
    """
    from hpobench_fds.store import load_results, load_runs

    folder = Path(folder)
    only = [only] if isinstance(only, str) else only
    return draw_frames(load_results(folder), load_runs(folder), folder / "figures", only, formats, style)
