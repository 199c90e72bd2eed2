"""Fabricated results: frames with exactly the columns that the store's loaders return."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from hpobench_fds.records.schema import (
    APPEARANCE,
    REPORT_COLUMNS,
    RUN_COLUMNS,
    SCHEMA_VERSION,
    TRAITS,
    RunRecord,
)
from hpobench_fds.records.searched import searched

Point = tuple[float, float]  # seconds, test accuracy
FAMILIES = {
    **dict.fromkeys(
        ("fds", "reverse", "reverse_sharing", "truncated_reverse", "sliding_reverse", "implicit"), "gradient"
    ),
    "forward_gradient": "gradient",
    **dict.fromkeys(("hd", "rtho", "marthe", "one_pass"), "gradient"),
    **dict.fromkeys(("default", "cosine", "one_cycle", "grid"), "baseline"),
    **dict.fromkeys(
        ("schedule_free_sgd", "schedule_free_adamw", "prodigy", "dadapt_sgd", "dadapt_adam"), "baseline"
    ),
}
TRAITS_OF: dict[str, dict[str, bool]] = {
    **{method: {"exact": True} for method in ("fds", "reverse", "reverse_sharing")},
    **{method: {"greedy": True} for method in ("hd", "rtho", "marthe", "one_pass")},
    "truncated_reverse": {"truncated": True},
    **{
        method: {"multi_fidelity": True}
        for method in ("hyperband", "asha", "bohb", "dehb", "priorband", "pbt", "pb2")
    },
    **{
        method: {"searches": False}
        for method in (
            "default",
            "cosine",
            "one_cycle",
            "schedule_free_sgd",
            "schedule_free_adamw",
            "prodigy",
            "dadapt_sgd",
            "dadapt_adam",
        )
    },
}
"""What the built-in methods' classes say of themselves, as far as it is not the default."""


def traits_of(adapter: str) -> dict[str, bool]:
    """The traits' columns of a run."""
    return {trait: trait == "searches" for trait in TRAITS} | TRAITS_OF.get(adapter, {})


class Results:
    """Collects runs and yields the two frames."""

    names = ("lr[0]", "lr[1]", "momentum[0]", "weight_decay[0]")

    def __init__(self) -> None:
        self._reports: list[dict[str, Any]] = []
        self._runs: list[dict[str, Any]] = []

    def add(
        self,
        method: str,
        seed: int,
        points: Sequence[Point],
        *,
        problem: str = "digits",
        budget: float | None = 1000.0,
        used: float | None = None,
        status: str = "complete",
        final: float | None = None,
        incumbent: Sequence[bool] | None = None,
        schedules: Sequence[Sequence[float]] | None = None,
        hypergradients: Sequence[Sequence[float] | None] | None = None,
        suite: str = "made",
        adapter: str | None = None,
        family: str | None = None,
        traits: dict[str, bool] | None = None,
        look: dict[str, str] | None = None,
        final_report: int | None = None,
    ) -> Results:
        """One run whose incumbents have these times and test accuracies (losses are 1 - accuracy)."""
        adapter = method if adapter is None else adapter
        flags = [True] * len(points) if incumbent is None else list(incumbent)
        cell = {
            "suite": suite, "problem": problem, "method": method, "adapter": adapter, "seed": seed,
            "family": family or FAMILIES.get(adapter, "black box"), "status": status,
            **traits_of(adapter), **(traits or {}),
            "schedule_names": list(self.names),
        }  # fmt: skip
        for i, (seconds, accuracy) in enumerate(points):
            self._reports.append({
                **cell, "report": i, "seconds": seconds, "inner_steps": round(seconds * 10),
                "gradient_equivalents": seconds * 12, "products": 0, "fidelity": 1.0,
                "val_loss": 1 - accuracy, "val_metric": accuracy, "incumbent": flags[i],
                "test_loss": 1 - accuracy if flags[i] else None,
                "test_metric": accuracy if flags[i] else None,
                "schedule": list(schedules[i]) if schedules else [0.1, 0.05, 0.9, 1e-4],
                "hypergradient": list(h) if hypergradients and (h := hypergradients[i]) else None,
                "peak_memory": None, "extra": {},
            })  # fmt: skip
        best = [p for p, flag in zip(points, flags, strict=True) if flag]
        last = best[-1][1] if best else None
        seconds = used if used is not None else (budget or (points[-1][0] if points else 0.0))
        complete = status == "complete" and last is not None
        self._runs.append({
            **cell, **dict.fromkeys(APPEARANCE), **(look or {}),
            "reason": "it broke" if status == "failed" else None,
            "stopped": "budget" if status == "complete" else None, "seconds": seconds,
            "referee_seconds": 1.0, "data_seconds": 0.0, "elapsed_seconds": seconds + 1,
            "final_report": final_report,
            "inner_steps": round(seconds * 10), "gradient_equivalents": seconds * 12, "products": 0,
            "reports": len(points), "final_test_metric": (final or last) if complete else None,
            "final_test_loss": None, "last_test_metric": None,
            "incumbent_val_loss": None if last is None else 1 - last, "incumbent_val_metric": last,
            "incumbent_test_metric": last, "budget_seconds": budget, "budget_steps": None,
            "budget_gradient_equivalents": None,
            "jobs": 1, "device": {}, "resumed": 0, "mixed_clock": False, "crowding": "",
            "classes": None, "metric": "accuracy",
            "searched": searched(self.names, {}, bool(cell["searches"])),
        })  # fmt: skip
        return self

    @property
    def reports(self) -> pd.DataFrame:
        return pd.DataFrame(self._reports, columns=REPORT_COLUMNS)

    @property
    def runs(self) -> pd.DataFrame:
        return pd.DataFrame(self._runs, columns=RUN_COLUMNS)

    @property
    def both(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return self.reports, self.runs


def rising(scale: float, rng: np.random.Generator, top: float = 0.9, count: int = 8) -> list[Point]:
    """A noisy curve that climbs to about ``top`` in a time proportional to ``scale``."""
    times = scale * np.geomspace(1, 50, count) * rng.uniform(0.9, 1.1)
    heights = np.maximum(0.1, top - 0.75 * np.exp(-np.geomspace(0.1, 6, count)) - rng.uniform(0, 0.01))
    return [(float(t), float(a)) for t, a in zip(times, heights, strict=True)]


def schedule_steps(count: int, rng: np.random.Generator) -> tuple[list[list[float]], list[list[float]]]:
    """Schedules that walk away from 0 by signs, and the hypergradients that drove them."""
    value, found, forces = np.zeros(4), [], []
    for _ in range(count):
        force = rng.normal(size=4) - np.array([1.0, 0.2, 1.0, 0.5])
        found.append(value.tolist())
        forces.append(force.tolist())
        value = value - np.array([0.1, 0.1, 0.1, 3e-4]) * np.sign(force)
    return found, forces


def make_study() -> Results:
    """Two problems, six methods, five seeds; one failed cell, one method that never gets there."""
    made, rng = Results(), np.random.default_rng(0)
    scales = {"fds": 1.0, "hd": 1.0, "bohb": 10.0, "tpe": 14.0, "random_search": 18.0, "default": 0.2}
    tops = {"hd": 0.8, "random_search": 0.86, "default": 0.5}
    for problem, shift in (("digits", 0.0), ("fashion", -0.06)):
        for method, scale in scales.items():
            for seed in range(5):
                points = rising(scale, rng, tops.get(method, 0.9 + 0.01 * (method == "tpe")) + shift)
                count = 1 if method == "default" else len(points)
                points = points[:count]
                broken = method == "tpe" and seed == 3 and problem == "digits"
                schedules, forces = schedule_steps(count, rng)
                made.add(
                    method, seed, points[:2] if broken else points, problem=problem,
                    status="failed" if broken else "complete", used=20.0 if broken else None,
                    schedules=schedules, hypergradients=forces if method in ("fds", "hd") else None,
                )  # fmt: skip
    return made


def shown_texts(figure: Figure) -> list[Text]:
    """Every text that a figure shows; ticks beyond the limits of their axis have one that it does not."""
    figure.draw_without_rendering()
    found: list[Text] = [*figure.texts, *(text for part in figure.subfigs for text in part.texts)]
    found += [text for legend in figure.legends for text in legend.get_texts()]
    for ax in figure.axes:
        found += ax.texts
        if not ax.axison:
            continue
        found += [ax.title, ax._left_title, ax._right_title, ax.xaxis.label, ax.yaxis.label]
        for axis in (ax.xaxis, ax.yaxis):
            found += tick_texts(axis)
    return [text for text in found if text.get_text().strip() and text.get_visible()]


def tick_texts(axis: Axis) -> list[Text]:
    """The texts at an axis' ticks that are seen."""
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    shown = [t.label1 for t in ticks if t.label1.get_visible() and low <= t.get_loc() <= high]
    return [text for text in shown if text.get_text().strip()]


def box_of(text: Text) -> Bbox:
    """Where a text stands, without the arrow that an annotation may have."""
    return Text.get_window_extent(text)


def assert_legible(figure: Figure) -> None:
    """No text overlaps another or leaves the page."""
    texts = shown_texts(figure)
    assert texts
    boxes = [box_of(text) for text in texts]
    page = figure.bbox.padded(1)
    for i, (box, text) in enumerate(zip(boxes, texts, strict=True)):
        inside = page.contains(*box.min) and page.contains(*box.max)
        assert inside, f"{text.get_text()!r} leaves the page"
        hidden = [texts[j].get_text() for j in range(i) if box.overlaps(boxes[j])]
        assert not hidden, f"{text.get_text()!r} overlaps {hidden}"


PAGE = 5.5  # inches of a page's text
SMALLEST = 7.0  # points


def assert_readable(figure: Figure) -> None:
    """The smallest text has 7 points or more where the figure is as wide as a page."""
    shrunk = min(1.0, PAGE / figure.get_figwidth())
    small = {
        t.get_text(): t.get_fontsize()
        for t in shown_texts(figure)
        if t.get_fontsize() * shrunk < SMALLEST - 1e-6
    }
    assert not small, f"too small on a page: {small}"


def assert_units(figure: Figure) -> None:
    """Every axis with numbers has a label, its own or a shared one, and every label a unit in brackets."""
    shared = [text.get_text() for part in (figure, *figure.subfigs) for text in part.texts]
    axes = [ax for ax in figure.axes if ax.axison and ax.get_label() != "<colorbar>"]
    for side in ("x", "y"):
        labels = [label for ax in axes if (label := getattr(ax, f"get_{side}label")())]
        for label in labels:
            assert "(" in label or "bits" in label, f"no unit: {label!r}"
        if any(_numbers(getattr(ax, f"{side}axis")) for ax in axes):
            assert labels or any("(" in text for text in shared), f"no {side} axis has a label"


def _numbers(axis: Axis) -> bool:
    return any(
        text.get_text().strip().replace("\u2212", "-")[:1] in "-0123456789$" for text in tick_texts(axis)
    )


# ---- on disk ------------------------------------------------------------------------------------------

CONFIG: dict[str, Any] = {
    "dataset": "digits", "model": "mlp", "horizon": 100, "batch_size": 32,
    "space": {
        "lr": {"windows": 2, "low": -1.0, "high": 1.0},
        "momentum": {"windows": 1, "low": -1.5, "high": 1.5},
        "weight_decay": {"windows": 1, "low": -0.004, "high": 0.004},
    },
}  # fmt: skip


def write_folder(made: Results, folder: Path) -> Path:
    """The results folder that runs with these reports would have left; a thousand cells take seconds."""
    reports, runs = made.both
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "suite.json").write_text(json.dumps(suite_record(runs)))
    cell = ["problem", "method", "seed"]
    lines = {key: own.to_dict("records") for key, own in reports.groupby(cell)}
    for run in runs.to_dict("records"):
        here = folder / "cells" / run["problem"] / run["method"] / f"seed-{run['seed']}"
        here.mkdir(parents=True)
        mine = [report_data(row) for row in lines.get(tuple(run[key] for key in cell), [])]
        (here / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in mine))
        (here / "run.json").write_text(run_record(run, mine).model_dump_json())
    return folder


def suite_record(runs: pd.DataFrame) -> dict[str, Any]:
    budget = runs["budget_seconds"].iloc[0] if len(runs) else None
    return {
        "schema_version": SCHEMA_VERSION, "name": "made", "seeds": sorted({int(s) for s in runs["seed"]}),
        "problems": {
            str(p): {"config": CONFIG, "budget": {"seconds": budget}} for p in dict.fromkeys(runs["problem"])
        },
        "methods": {str(m): {"adapter": str(m), "options": {}} for m in dict.fromkeys(runs["method"])},
    }  # fmt: skip


def report_data(row: dict[Hashable, Any]) -> dict[str, Any]:
    plain = ("report", "seconds", "schedule", "val_loss", "val_metric", "incumbent", "test_loss",
             "test_metric", "hypergradient", "fidelity", "peak_memory", "extra")  # fmt: skip
    cost = {name: row[name] for name in ("inner_steps", "gradient_equivalents", "products")}
    data = {name: row[name] for name in plain} | {"cost": cost}
    # The frame's way of saying that nothing was recorded.
    return {name: None if isinstance(v, float) and np.isnan(v) else v for name, v in data.items()}


def run_record(run: dict[Hashable, Any], reports: Sequence[dict[str, Any]]) -> RunRecord:
    plain = ("suite", "problem", "method", "adapter", "family", "seed", "schedule_names", "status", "reason",
             "stopped", "jobs")  # fmt: skip
    score, incumbents = run["final_test_metric"], [i for i, r in enumerate(reports) if r["incumbent"]]
    retrained = run["status"] == "complete" and score is not None and not np.isnan(score)
    data = {name: None if isinstance(v := run[name], float) and np.isnan(v) else v for name in plain}
    look = {name: run[name] if isinstance(run[name], str) else None for name in APPEARANCE}
    named = run["final_report"]
    report = None if named is None or np.isnan(named) else int(named)
    final = {"test_loss": 0.5, "test_metric": score, "report": report}
    data |= {
        "schema_version": SCHEMA_VERSION, "traits": {name: bool(run[name]) for name in TRAITS},
        "appearance": look, "options": {},
        "problem_config": CONFIG, "config_hash": "0",
        "budget": {"seconds": run["budget_seconds"], "steps": None}, "reports": len(reports),
        "clock": {"method": run["seconds"], "referee": 1.0, "elapsed": run["elapsed_seconds"]},
        "cost": {name: run[name] for name in ("inner_steps", "gradient_equivalents", "products")},
        "incumbent": incumbents[-1] if incumbents else None,
        "final": final if retrained else None,
        "started": "2026-01-02T03:04:05+00:00", "finished": "2026-01-02T03:05:05+00:00",
        "device": {"kind": "cpu", "name": "a made-up processor", "threads": 1},
        "software": {"hpobench_fds": "0.1.0", "torch": "2.0", "python": "3.11", "platform": "Linux"},
        "commit": "0123456789abcdef",
    }  # fmt: skip
    return RunRecord.model_validate(data)


def close(results: Results, seeds: int) -> Results:
    """FDS and TPE within noise of each other, HD clearly below."""
    for seed in range(seeds):
        base = 0.80 + 0.01 * seed
        results.add("fds", seed, [(1, base)], budget=100)
        results.add("tpe", seed, [(2, base + (0.01 if seed % 2 else -0.011))], budget=100)
        results.add("hd", seed, [(2, base - 0.2 - 0.001 * seed)], budget=100)
    return results
