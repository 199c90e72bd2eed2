"""All figures by name, and ``draw_all``, which draws those that the results can fill."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from hpobench_fds.errors import InputError
from hpobench_fds.records.safe_files import writing

from .. import loading
from ..looks import Looks
from ..stats.engine_tables import TABLES, engine_file
from ..stats.frames import NoAnswer
from ..stats.regret import with_regret
from ..stats.retrained import in_hand
from ..stats.schedules import gradient_methods
from . import (
    agreement,
    anytime,
    conditioning,
    cost,
    effects,
    engine,
    greediness_loss,
    greediness_schedules,
    noise_snr,
    noise_steps,
    noise_windows,
    outer_steps,
    profiles,
    ranks,
    scaling,
    schedules,
    speedup,
    speedup_curve,
    times,
    truncation,
    way,
)
from .saving import Figure, check_formats, file_name, save
from .style import STYLES

Draw = Callable[[pd.DataFrame, pd.DataFrame, str], Figure]


def _anytime(**what: Any) -> Draw:
    return lambda reports, runs, style: anytime.draw(reports, runs, style=style, **what)


def _way(name: str, *axes: str) -> Draw:
    """How far methods came; in the metric's unit where nobody came further than the start."""

    def drawn(reports: pd.DataFrame, runs: pd.DataFrame, style: str) -> Figure:
        try:
            return way.draw(reports, runs, axes, style=style, name=name)
        except NoAnswer:
            figure = anytime.draw(reports, runs, against=axes[0], style=style)
            return replace(figure, name=name)

    return drawn


def _plain(draw: Callable[..., Figure]) -> Draw:
    return lambda reports, runs, style: draw(reports, runs, style=style)


def _in_hand(reports: pd.DataFrame, runs: pd.DataFrame, style: str) -> Figure:
    """The secondary curve, beside ``anytime``'s retrained one."""
    return _way("anytime_in_hand", *BOTH)(in_hand(reports), runs, style)


def _regret(reports: pd.DataFrame, runs: pd.DataFrame, style: str) -> Figure:
    """Exact, where the best schedule is known, and against gradients, so that no machine plays a part."""
    known = runs.dropna(subset="least_expected_loss")
    own = with_regret(reports, runs)
    figure = anytime.draw(own, known, metric="regret", against="gradient_equivalents", style=style)
    return replace(figure, name="regret")


BOTH = ("gradient_equivalents", "seconds")

FIGURES: dict[str, Draw] = {
    "anytime": _way("anytime", *BOTH),
    "times": _plain(times.draw),
    "times_seconds": _plain(partial(times.draw, against="seconds", name="times_seconds")),
    "effects": _plain(effects.draw),
    "anytime_error": _anytime(error=True),
    "anytime_in_hand": _in_hand,
    "speedup": _plain(speedup.draw),
    "speedup_curve": _plain(speedup_curve.draw),
    "schedules": _plain(schedules.draw),
    "anytime_inner_steps": _way("anytime_inner_steps", "inner_steps"),
    "anytime_gradient_equivalents": _way("anytime_gradient_equivalents", "gradient_equivalents"),
    "anytime_val_loss": _anytime(metric="val_loss"),
    "anytime_val_loss_inner_steps": _anytime(metric="val_loss", against="inner_steps"),
    "anytime_val_loss_gradient_equivalents": _anytime(metric="val_loss", against="gradient_equivalents"),
    "regret": _regret,
    "cost": _plain(cost.draw),
    "ranks": _plain(ranks.draw),
    "profile": _plain(profiles.draw),
    "profile_gradient_equivalents": _plain(
        partial(profiles.draw, against="gradient_equivalents", name="profile_gradient_equivalents")
    ),
    "greediness_schedules": _plain(greediness_schedules.draw),
    "greediness_loss": _plain(greediness_loss.draw),
    "noise_steps": _plain(noise_steps.draw),
    "noise_windows": _plain(noise_windows.draw),
    "noise_snr": _plain(noise_snr.draw),
    "truncation": _plain(truncation.draw),
    "agreement": _plain(agreement.draw),
    "scaling": _plain(scaling.draw),
    "conditioning": _plain(conditioning.draw),
}
"""Figures of every suite; ``available`` adds one ``schedules_<method>`` a gradient-based method."""

REFERENCE = "fds"
ELSEWHERE = "choose another folder: hpobench figures DIR --out FOLDER"
_COMPARED: dict[str, Callable[..., Figure]] = {
    "effects": effects.draw, "speedup": speedup.draw, "speedup_curve": speedup_curve.draw,
}  # fmt: skip
"""Figures that compare the other methods with one of them, the reference."""


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


def available(reports: pd.DataFrame, reference: str = REFERENCE) -> dict[str, Draw]:
    """Every figure that may be asked for of these results; some compare the others with ``reference``."""
    found = dict(FIGURES)
    if reference != REFERENCE:
        found |= {name: partial(_compared, name=name, reference=reference) for name in _COMPARED}
    for method in gradient_methods(reports):
        found[f"schedules_{file_name(method)}"] = partial(_outer_steps, method=method)
    return found


def _compared(reports: pd.DataFrame, runs: pd.DataFrame, style: str, *, name: str, reference: str) -> Figure:
    return _COMPARED[name](reports, runs, reference=reference, style=style)


def _outer_steps(reports: pd.DataFrame, runs: pd.DataFrame, style: str, *, method: str) -> Figure:
    return outer_steps.draw(reports, runs, method, style=style)


def draw_frames(
    reports: pd.DataFrame,
    runs: pd.DataFrame,
    target: Path,
    only: Iterable[str] | None = None,
    formats: Sequence[str] = ("png", "pdf"),
    style: str = "paper",
    reference: str = REFERENCE,
    skip_faults: bool = False,
) -> Drawn:
    """``draw_all`` of results that are loaded already, written into the folder ``target``.

    Raises OSError, before anything is drawn where it can be told, if that cannot be written.

    ``skip_faults`` : a figure that fails for a fault of its own is among the skipped, and raises nothing.
    """
    figures = available(reports, reference)
    chosen = _chosen(only, figures, formats, style)
    target.mkdir(parents=True, exist_ok=True)
    done, shown = Drawn(), Looks.of(runs).shown()
    faults: list[Exception] = []
    for name in chosen:
        try:
            figure = figures[name](reports, runs, style)
            figure = replace(figure, caption=shown.words(figure.caption))
            done.extend(save(figure, target, name, formats))
            done.captions[name] = figure.caption
        except (NoAnswer, InputError) as reason:
            done.skipped[name] = str(reason)
        except OSError:  # a full disk: there is no room for the others either
            raise
        except Exception as fault:  # one figure's fault must not cost the others
            fault.add_note(f"while drawing the figure {name!r}")
            faults.append(fault)
            done.skipped[name] = f"a fault: {type(fault).__name__}: {fault}"
    if faults and not skip_faults:
        raise faults[0] if len(faults) == 1 else ExceptionGroup("several figures failed", faults)
    return done


def _chosen(
    only: Iterable[str] | None, figures: Iterable[str], formats: Sequence[str], style: str
) -> list[str]:
    """The figures that are asked for. Raises InputError for a name, format or style that there is not."""
    if style not in STYLES:
        raise InputError(f"unknown style {style!r}", key="style", allowed=STYLES)
    check_formats(formats)
    figures = list(figures)
    chosen = figures if only is None else list(dict.fromkeys([only] if isinstance(only, str) else only))
    for name in chosen:
        if name not in figures:
            raise InputError(f"unknown figure {name!r}", key="only", allowed=figures)
    return chosen


def draw_all(
    folder: str | Path,
    only: Iterable[str] | None = None,
    formats: Sequence[str] = ("png", "pdf"),
    style: str = "paper",
    reference: str = REFERENCE,
    out: str | Path | None = None,
) -> Drawn:
    """Draw the figures of a results folder into its folder ``figures``, or into ``out``.

    Parameters
    ----------
    folder : what ``hpobench run`` wrote, or the folder of the engine's benchmarks.
    only : names of figures; all if not given.
    formats : of png, pdf, svg.
    style : paper or slides.
    reference : the method that the speedup's figures compare the others with.
    out : a folder, made if it is missing; for results that cannot be written, say.

    Raises
    ------
    InputError : no results, a figure, format or style that there is not, a folder that cannot be written.

    Returns
    -------
    The files written, as a list; its attribute ``skipped`` says of each figure that the results cannot
    fill why not (and of each cell that cannot be read), its attribute ``captions`` what each of the others
    shows.
    """
    folder = Path(folder)
    target = _target(folder, out)
    if (tables := engine_file(folder)) is not None:
        with writing(target, ELSEWHERE):
            return _draw_engine(tables, target, only, formats, style)
    loaded = loading.load(folder)
    with writing(target, ELSEWHERE):
        done = draw_frames(loaded.reports, loaded.runs, target, only, formats, style, reference)
    done.skipped |= {f"the cell {name}": reason for name, reason in loaded.unreadable.items()}
    return done


def _target(folder: Path, out: str | Path | None) -> Path:
    """Where figures are written. Raises InputError where a link would lead them elsewhere unasked."""
    if out is not None:
        return Path(out)
    target = folder / "figures"
    if target.is_symlink():
        raise InputError(f"a link, which is not followed: {ELSEWHERE}", where=target)
    return target


def _draw_engine(
    tables: Path, target: Path, only: Iterable[str] | None, formats: Sequence[str], style: str
) -> Drawn:
    """The figures of the engine's benchmarks."""
    chosen = _chosen(only, [f"engine_{against}" for against in TABLES], formats, style)
    done = Drawn()
    for figure in engine.draw(tables, style):
        if figure.name in chosen:
            done.extend(save(figure, target, formats=formats))
            done.captions[figure.name] = figure.caption
    done.skipped = {name: "its table is empty" for name in chosen if name not in done.captions}
    return done
