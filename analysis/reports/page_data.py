"""What the page's charts draw: curves, times to targets and profiles as plain data, and how methods look."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from ..looks import Looks
from ..stats.curves import AXES
from ..stats.frames import NoAnswer, flag, settled
from ..stats.profiles import profile, times
from ..stats.target_times import target_times
from ..stats.way import chosen, ranking, way_bands

AGAINST = {"gradient_equivalents": "gradients", "seconds": "seconds", "inner_steps": "inner steps"}
"""Axes that the page offers, and how they are called in its menu."""


def page_data(reports: pd.DataFrame, runs: pd.DataFrame, reference: str) -> dict[str, Any]:
    """Everything that the page's script needs, ready for ``as_json``.

    Returns
    -------
    methods (in the order of the ranking), axes, problems (each with its way, targets, curves and times) and
    profile; empty where nothing can be drawn. Shares and factors have five digits.
    """
    looks = Looks.of(runs)
    found: dict[str, Any] = {
        "methods": _methods(reports, runs, looks, reference), "problems": {}, "profile": {},
        "axes": {name: {"label": AXES[name], "name": AGAINST[name]} for name in AGAINST},
    }  # fmt: skip
    for problem in dict.fromkeys(map(str, settled(runs)["problem"])):
        shown = looks.shown(problem)
        found["problems"][problem] = {
            "metric": shown.name, "unit": shown.unit, "factor": shown.factor, "digits": shown.digits,
            "way": None, "curves": {}, "targets": [], "times": {},
        }  # fmt: skip
    _curves(found["problems"], reports, runs)
    for against in AGAINST:
        _times(found["problems"], target_times(reports, runs, against), against)
    table = times(reports, runs)
    if len(set(table["method"])) > 1 and np.isfinite(table["seconds"]).any():
        for method, own in profile(table).groupby("method", sort=False):
            found["profile"][str(method)] = [_short(own["factor"]), _short(own["share"])]
    return found


def _methods(reports: pd.DataFrame, runs: pd.DataFrame, looks: Looks, reference: str) -> list[dict[str, Any]]:
    """Name, label, colours, dashes, and whether it is in colour at first and searches at all."""
    first = chosen(reports, runs, looks.kind_of, reference, most=4)
    done = settled(runs).drop_duplicates("method")
    searches = dict(zip(map(str, done["method"]), flag(done, "searches"), strict=True))
    order = ranking(reports, runs)
    floor = next((m for m in order if not searches[m]), "")  # the best of those that search nothing
    return [
        {
            "name": m, "label": looks.label(m), "light": looks[m].color, "dark": looks[m].dark,
            "dash": _DASHES[looks[m].dash], "first": m in first or m == floor,
            "searches": bool(searches[m]), "kind": looks.kind_of.get(m, "others"),
        }
        for m in order
    ]  # fmt: skip


MOST_POINTS = 90
"""Of a line or band: more are not seen, and sixteen problems with thirty methods would be megabytes."""
_DASHES = {"-": "", "--": "7 3", ":": "2 2.5", "-.": "7 2 2 2", "__": "12 3", "-..": "7 2 2 2 2 2"}


def _curves(problems: dict[str, Any], reports: pd.DataFrame, runs: pd.DataFrame) -> None:
    """Adds to each problem its way and, by axis and method, the points at which its line or band moves."""
    try:
        table = way_bands(reports, runs, tuple(AGAINST))
    except NoAnswer:
        return
    for (problem, against, method), rows in table.groupby(["problem", "against", "method"], sort=False):
        own = problems[str(problem)]
        own["way"] = [float(rows["start"].iloc[0]), float(rows["top"].iloc[0])]
        own["seeds"] = max(own.get("seeds", 0), int(rows["seeds"].max()))
        rows = rows[rows["share"].notna() & (rows["at"] > 0)]
        if rows.empty:
            continue
        values = rows[["share", "share_low", "share_high"]].to_numpy(np.float64)
        moves = np.append(True, (np.nan_to_num(np.diff(values, axis=0), nan=0.0) != 0).any(axis=1))
        moves[-1] = True
        rows = rows[moves]
        kept = np.unique(np.linspace(0, len(rows) - 1, MOST_POINTS).round().astype(int))
        rows = rows.iloc[kept]
        own["curves"].setdefault(against, {})[str(method)] = [
            _short(rows[name]) for name in ("at", "share", "share_low", "share_high")
        ]


def _times(problems: dict[str, Any], table: pd.DataFrame, against: str) -> None:
    """Adds to each problem its targets and, by axis, what every method needs to each of them."""
    for problem, here in table.groupby("problem", sort=False):
        own = problems[str(problem)]
        targets = here.drop_duplicates("target")
        own["targets"] = [
            {
                "value": _number(row["target"]), "share": _number(row["share"]),
                "headline": bool(row["headline"]),
            }
            for row in targets.to_dict("records")
        ]  # fmt: skip
        own["times"][against] = [
            {str(row["method"]): _time(row) for row in here[here["target"] == t].to_dict("records")}
            for t in targets["target"]
        ]


def _time(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Median, ends (``open`` where there is no upper one), and what is known of them."""
    interval = bool(np.isfinite(row["low"]))
    low, high = (row["low"], row["high"]) if interval else (row["least"], row["most"])
    single = row["n_seeds"] < 2
    return {
        "at": _number(row["median"]), "low": None if single else _number(low),
        "high": None if single else _number(high), "open": bool(np.isinf(high)), "interval": interval,
        "bound": row["bound"], "there": int(row["n_reached"]), "of": int(row["n_seeds"]),
        "failed": int(row["n_failed"]),
    }  # fmt: skip


def _packed(by_axis: Mapping[str, Any]) -> dict[str, Any]:
    return {
        axis: [{m: [time[key] for key in KEYS] for m, time in target.items()} for target in targets]
        for axis, targets in by_axis.items()
    }


def _number(value: Any) -> float | None:
    """Five digits; None for what JSON cannot hold."""
    return float(f"{float(value):.5g}") if math.isfinite(float(value)) else None


def _short(values: pd.Series[Any]) -> list[float | None]:
    return [_number(value) for value in values]


KEYS = ("at", "low", "high", "open", "interval", "bound", "there", "of", "failed")
"""What is known of a time, in the order in which the page holds it."""


def as_json(data: Mapping[str, Any]) -> Markup:
    """``page_data`` for a script element, which no text in it can end.

    Times are lists in the order of ``KEYS``, which thousands of them need not repeat; ``keys`` has it.
    """
    problems = {name: own | {"times": _packed(own["times"])} for name, own in data["problems"].items()}
    made = {**data, "problems": problems, "keys": KEYS}
    text = json.dumps(made, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))
