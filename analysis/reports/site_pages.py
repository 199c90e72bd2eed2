"""The pages of a site as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from hpobench_fds.wording import printable

from ..looks import KINDS
from ..stats.frames import numbers, settled
from . import page, tables
from .grids import floor_grid, verdict_grid
from .page_data import AGAINST, as_json
from .shelf import Volume
from .site_facts import TRAITS, MethodFacts, Standing, Suite
from .templating import contents, template

NOTHING: dict[str, Any] = {
    "methods": [],
    "problems": {},
    "axes": {},
    "profile": {},
}  # of a page without charts
WIDTH = 10  # suites beside each other in the table of scores


@dataclass(frozen=True)
class About:
    """What records do not hold of a method: its paper, a sentence, and its options' defaults, a line each."""

    paper: str = ""
    summary: str = ""
    defaults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Site:
    """All that the pages are made of; each method makes one of them."""

    volumes: list[Volume]
    suites: list[Suite]
    methods: list[MethodFacts]
    about: Mapping[str, About]
    date: str

    def index(self) -> str:
        """The first page: scores over suites, the suites, methods by kind."""
        return _page(
            "site_index.html.j2", "", self.date,
            facts=self._facts(), flags=self._flags(), scores=self._scores(),
            suites=[self._card(suite) for suite in self.suites],
            kinds={kind: own for kind in KINDS if (own := [m for m in self.methods if m.kind == kind])},
            about=self.about, nothing=About(),
        )  # fmt: skip

    def method(self, method: MethodFacts) -> str:
        """One adapter: paper, options, what it cost, where it was ahead."""
        about = self.about.get(method.name, About())
        return _page(
            "site_method.html.j2", "../", self.date,
            method=method, about=about, traits=_traits(method), wins=list(_wins(method)),
            grid_=_standings(method), flags=self._failed(method), options=list(_options(method)),
        )  # fmt: skip

    def problem(self, suite: Suite, problem: str) -> str:
        """One problem of a suite: what it is, charts, results."""
        loaded = suite.volume.loaded
        assert loaded is not None
        runs, worked = loaded.runs[loaded.runs["problem"] == problem], suite.worked
        lost = {k: v for k, v in loaded.unreadable.items() if k.startswith(f"{problem}/")}
        verdict, floors = (table[table["problem"] == problem] for table in (worked.verdict, worked.floors))
        return _page(
            "site_problem.html.j2", "../", self.date, worked.data_of(problem),
            problem=problem, suite=suite, lead=worked.leads.get(problem, worked.lead),
            flags=page.flags(runs, lost), facts=_config(suite, problem), against=AGAINST,
            verdict=self._linked(suite, verdict_grid(verdict, worked.looks)),
            floor=floor_grid(floors, worked.looks),
            sentences=worked.told_of.get(problem, worked.told),
        )  # fmt: skip

    # ---- parts of the index

    def _facts(self) -> list[tuple[str, str]]:
        runs = sum(len(_runs(suite)) for suite in self.suites)
        problems = sum(len(suite.problems) for suite in self.suites)
        return [
            ("Suites", str(len(self.volumes))), ("Problems", str(problems)),
            ("Methods", str(len(self.methods))), ("Runs", f"{runs:,}"),
        ]  # fmt: skip

    def _flags(self) -> list[str]:
        """Suites that cannot be read, and how many runs cannot or failed."""
        flags = [
            f"{volume.name} cannot be read: {volume.trouble}" for volume in self.volumes if volume.trouble
        ]
        for suite in self.suites:
            assert suite.volume.loaded is not None
            failed, lost = sum(n for n, _ in suite.failed.values()), len(suite.volume.loaded.unreadable)
            told = [f"{failed} of its runs failed"] * bool(failed) + [f"{lost} cannot be read"] * bool(lost)
            if told:
                flags.append(f"{suite.volume.name}: {', '.join(told)}; its report says which and why.")
        return flags

    def _scores(self) -> list[dict[str, Any]]:
        """Tables of scores, so many suites in each that they can be read."""
        compared = [suite for suite in self.suites if suite.score]
        found = []
        for first in range(0, len(compared), WIDTH):
            some = compared[first : first + WIDTH]
            rows = []
            for method in self.methods:
                for label in dict.fromkeys(label for suite, label in method.labels if suite in some):
                    cells = [
                        _score(suite.score.get(label)) if _has(method, suite, label) else "" for suite in some
                    ]
                    shown = method.label if label == method.name else label
                    rows.append(
                        {
                            "best": False,
                            "texts": [_link(f"methods/{method.file}.html", shown), method.kind, *cells],
                        }
                    )
            found.append(
                {"headings": ["Method", "Kind", *(s.volume.name for s in some)], "names": 2, "rows": rows}
            )
        return found

    def _card(self, suite: Suite) -> dict[str, Any]:
        loaded = suite.volume.loaded
        assert loaded is not None
        seeds = sorted(set(settled(loaded.runs)["seed"]))
        return {
            "name": suite.volume.name, "report": f"reports/{suite.volume.key}.html",
            "lead": suite.worked.lead,
            "flags": page.flags(loaded.runs, loaded.unreadable),
            "size": f"{len(suite.labels)} methods, {len(loaded.runs)} runs, {len(seeds)} seeds",
            "problems": [(name, f"problems/{file}.html") for name, file in suite.problems.items()],
        }  # fmt: skip

    # ---- parts of the others

    def _failed(self, method: MethodFacts) -> list[str]:
        """Where runs of a method failed or cannot be read."""
        told = []
        for suite, label in method.labels:
            assert suite.volume.loaded is not None
            if label in suite.failed:
                failed, all_ = suite.failed[label]
                told.append(f"Failed in {suite.volume.name}: {label}, {failed} of {all_} runs.")
            lost = [name for name in suite.volume.loaded.unreadable if name.split("/")[1:2] == [label]]
            if lost:
                told.append(f"Unreadable in {suite.volume.name}: {', '.join(map(printable, lost))}.")
        return told

    def _linked(self, suite: Suite, grid: dict[str, Any] | None) -> dict[str, Any] | None:
        """A table of one problem whose methods lead to their pages."""
        if grid is None:
            return None
        files = {suite.looks.label(label): method.file for method in self.methods
                 for own, label in method.labels if own is suite}  # fmt: skip
        for row in grid["rows"]:
            name = row["texts"][0]
            if name in files:
                row["texts"][0] = _link(f"../methods/{files[name]}.html", name)
        return grid


def _page(name: str, home: str, date: str, data: Mapping[str, Any] = NOTHING, **known: Any) -> str:
    return template(name).render(
        home=home, date=date, data=as_json(dict(data)),
        style=contents("report.css") + contents("site.css"), script=contents("report.js"), **known,
    )  # fmt: skip


def _link(address: str, text: str) -> Markup:
    return Markup('<a href="{}">{}</a>').format(address, text)


def _runs(suite: Suite) -> Any:
    assert suite.volume.loaded is not None
    return suite.volume.loaded.runs


def _has(method: MethodFacts, suite: Suite, label: str) -> bool:
    return any(own is suite and one == label for own, one in method.labels)


def _score(row: Mapping[str, Any] | None) -> str:
    """``0.71 (0.65 to 0.80)``; the range of the seeds in square brackets, where there is no interval."""
    if row is None:
        return "no finished run"
    text = f"{row['score']:.2f}"
    if np.isfinite(row["low"]):
        text += f" ({row['low']:.2f} to {row['high']:.2f})"
    elif row["seeds"] > 1:
        text += f" [{row['least']:.2f} to {row['most']:.2f}]"
    return text + (f", {row['failed']} failed" if row["failed"] else "")


def _traits(method: MethodFacts) -> list[str]:
    told = [words for name, words in TRAITS.items() if method.traits.get(name)]
    return told if method.traits.get("searches", True) else [*told, "searches nothing"]


def _wins(method: MethodFacts) -> Iterator[dict[str, str]]:
    """Where a method was ahead in the median run, or beats the floor by a test."""
    for one in method.standings:
        told = []
        if one.place == 1 and one.of > 1:
            told.append(f"the soonest of {one.of} at the headline target, with {_gradients(one)} gradients")
        elif one.soonest_search and one.of > 1:
            told.append(
                f"of the methods that search, the soonest at the headline target, with {_gradients(one)} "
                "gradients"
            )
        if one.row["best"] and one.of > 1:
            told.append("the highest median at the end")
        if one.beats_floor:
            told.append("above the best method that searches nothing, by a test")
        if told:
            where = f"{one.problem} of {one.volume.name}"
            yield {"where": where, "label": one.label, "what": "; ".join(told)}


def _gradients(one: Standing) -> str:
    """``3,100 (2,900 to 3,400)``, ``> 40,000``; empty where there is no target or number."""
    time = one.time
    if time is None or not np.isfinite(float(time["median"])):
        return ""
    text = f"{'> ' if time['bound'] == '>' else ''}{float(time['median']):,.0f}"
    low, high = float(time["low"]), float(time["high"])
    if np.isfinite(low):
        text += f" ({low:,.0f} to {f'{high:,.0f}' if np.isfinite(high) else 'no end'})"
    return text


HEADINGS = [
    "Suite", "Problem", "As", "Runs", "Score in the suite", "Gradients to the headline target: median",
    "Place", "Test metric at the end: median", "Seconds: median", "Gradients: median",
]  # fmt: skip


def _standings(method: MethodFacts) -> dict[str, Any] | None:
    """A row a problem and label."""
    by = {suite.volume.key: suite for suite, _ in method.labels}
    rows = []
    for one in method.standings:
        suite = by[one.volume.key]
        looks, row = suite.looks, one.row
        shown = looks.shown(one.problem)
        count = tables.run_count(row)
        value = float(row["accuracy"])
        problem = (
            _link(f"../problems/{suite.problems[one.problem]}.html", one.problem)
            if one.problem in suite.problems
            else one.problem
        )
        rows.append({"best": bool(row["best"]), "texts": [
            _link(f"../reports/{one.volume.key}.html", one.volume.name), problem, one.label, count,
            _score(suite.score.get(one.label)) if suite.score else "",
            _gradients(one), f"{one.place} of {one.of}" if one.place else "",
            shown.text(value) + (f" {tables.MARK}" if row["tie"] else "") if np.isfinite(value) else "",
            _number(row["seconds"], ",.1f"), _number(row["gradient_equivalents"], ",.0f"),
        ]})  # fmt: skip
    return {"headings": HEADINGS, "names": 3, "rows": rows} if rows else None


def _number(value: Any, form: str) -> str:
    return format(float(value), form) if np.isfinite(float(value)) else ""


def _options(method: MethodFacts) -> Iterator[dict[str, Any]]:
    """Options as recorded, once for all suites in which they are the same."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for suite, label in method.labels:
        options = suite.labels[label].get("options") or {}
        key = json.dumps(options, sort_keys=True)
        where = suite.volume.name if label == method.name else f"{suite.volume.name} ({label})"
        found.setdefault(key, ([], list(_flat(options))))[0].append(where)
    for places, lines in found.values():
        yield {"where": ", ".join(places), "lines": lines}


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """``outer.kind = "sign"``, one line an option."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            shown = "none" if value is None else json.dumps(value, ensure_ascii=False)
            yield printable(f"{prefix}{key} = {shown}")


def _config(suite: Suite, problem: str) -> list[tuple[str, str]]:
    """What the problem is, as recorded: (name, text)."""
    assert suite.volume.loaded is not None
    loaded = suite.volume.loaded
    known = loaded.suite["problems"].get(problem, {})
    runs = loaded.runs[loaded.runs["problem"] == problem]
    seeds = sorted(set(map(int, numbers(runs["seed"]))))
    facts = [
        line.split(" = ", 1)
        for line in _flat({k: v for k, v in (known.get("config") or {}).items() if v is not None})
    ]
    budget = [
        line.split(" = ", 1)
        for line in _flat({k: v for k, v in (known.get("budget") or {}).items() if v is not None})
    ]
    return [
        ("seeds", ", ".join(map(str, seeds))),
        *((f"budget: {name}", value) for name, value in budget),
        *((name, value) for name, value in facts),
    ]
