"""The verdict in sentences: what the findings say, with their uncertainty, and no more than that.

The words stand in ``sentence_templates``; the numbers are those of ``stats``. Medians and ranges describe the
runs that were made; whatever says above, below, sooner or later of two methods has passed a test.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..looks import Looks, Shown
from ..stats.conclusions import (
    Accuracy,
    Finding,
    Group,
    Middle,
    Outcome,
    Speed,
    Versus,
    final_scores,
    findings,
    measure_of,
    middle_of,
)
from ..stats.conditioning import noisy
from ..stats.floor import floor_table
from ..stats.frames import failures, numbers, settled
from ..stats.intervals import LEAST
from ..stats.profiles import scores, times
from ..stats.standing import reasons
from .sentence_templates import TEMPLATES

MOSTLY = 0.5
"""Share of a method's hypergradients that must be noise before a sentence says so."""

NAMED = 6
"""Methods that one list names; of more it says how many."""

MEASURES = {
    "final_test_metric": "retrained test accuracy",
    "incumbent_test_metric": "test accuracy of the weights in hand (none was retrained)",
}


def say(template: str, **values: object) -> str:
    """A template of ``TEMPLATES``, filled in."""
    return TEMPLATES[template].format(**values)


def verdict(reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds") -> list[str]:
    """Sentences that sum the results up; of several problems, how often each answer holds."""
    done, looks = settled(runs), Looks.of(runs)
    if not len(done):
        return [say("nothing finished")]
    if not np.isfinite(numbers(done[measure_of(done)])).any():
        return [say("nothing reached"), *_failed(done, looks)]
    methods = list(dict.fromkeys(done["method"]))
    first = exploratory(runs)
    if len(methods) == 1:
        alone = say("only one", name=looks.label(methods[0]))
        return [*first, alone, *_alone(done, looks), *worth(reports, looks), *_failed(done, looks)]
    found = findings(reports, runs, reference)
    first += [] if reference in methods else [say("no reference", name=looks.label(reference))]
    last = [*_score(reports, runs, reference, looks), *worth(reports, looks), *_failed(done, looks)]
    floor = floor_table(reports, runs)
    if len(set(done["problem"])) == 1:
        return [*first, *(sentence(f, looks) for f in found), *_floor(floor, looks), *last]
    kinds = dict.fromkeys(question_of(f) for f in found)
    sums = [_summary([f for f in found if question_of(f) == k], reference, looks) for k in kinds]
    return [*first, *sums, *_floors(floor, looks), *last]


def by_problem(reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds") -> dict[str, list[str]]:
    """The sentences on each problem."""
    looks, done = Looks.of(runs), settled(runs)
    told: dict[str, list[str]] = {}
    for found in findings(reports, runs, reference):
        told.setdefault(found.problem, []).append(sentence(found, looks))
    floor = floor_table(reports, runs)
    for problem, sentences in told.items():
        sentences += _floor(floor[floor["problem"] == problem], looks)
        sentences += _failed(done[done["problem"] == problem], looks)
    return told


def exploratory(runs: pd.DataFrame) -> list[str]:
    """One sentence with the reasons why these results are no confirmation; none if they are one."""
    texts = [
        say(one.flaw, count=one.count, least=LEAST, s="" if one.count == 1 else "s") for one in reasons(runs)
    ]
    return [say("exploratory", reasons="; ".join(texts))] if texts else []


def sentence(found: Finding, looks: Looks) -> str:
    """A finding in a few sentences."""
    if isinstance(found, Speed):
        words = _speed(found, looks)
    elif isinstance(found, Accuracy):
        words = _accuracy(found, looks)
    else:
        assert isinstance(found, Group)
        words = _group(found, looks)
    return looks.shown(found.problem).words(words)


def _alone(done: pd.DataFrame, looks: Looks) -> list[str]:
    """What a single method came to."""
    sentences = []
    for problem in dict.fromkeys(done["problem"]):
        wide, measure = final_scores(done[done["problem"] == problem])
        middle, shown = middle_of("", wide.iloc[:, 0].to_numpy(np.float64)), looks.shown(problem)
        if middle.seeds:
            its = {"middle": _middle(middle, shown), "measure": MEASURES[measure]}
            sentences.append(shown.words(say("alone", problem=problem, **its)))
    return sentences


def _failed(done: pd.DataFrame, looks: Looks) -> list[str]:
    """Which methods failed, and how often; on which problem, where there are several."""
    sentences, several = [], len(set(done["problem"])) > 1
    for problem, here in done.groupby("problem", sort=False):
        lost = [
            say("failed in", name=looks.label(method), failed=failed, runs=count)
            for method, (failed, count) in failures(here).items()
        ]
        if lost:
            sentences.append(say("failed", methods=_list(lost), where=f" (on {problem})" if several else ""))
    return sentences


def worth(reports: pd.DataFrame, looks: Looks) -> list[str]:
    """Whose hypergradients are ill conditioned or lost in more than ``MOSTLY`` of the cases, and where."""
    told = []
    for row in noisy(reports).to_dict("records"):
        if row["ill"] + row["lost"] > MOSTLY:
            bad, count = round((row["ill"] + row["lost"]) * row["hypergradients"]), row["hypergradients"]
            names = {"name": looks.label(row["method"]), "problem": row["problem"]}
            told.append(say("ill conditioned", bad=bad, count=count, growth=f"{row['growth']:.3g}", **names))
    return told


def _score(reports: pd.DataFrame, runs: pd.DataFrame, reference: str, looks: Looks) -> list[str]:
    """The highest scores, and the reference's."""
    table = scores(times(reports, runs))
    if len(table) < 2:
        return []
    rows = table.to_dict("records")
    shown = rows[:NAMED] + [row for row in rows[NAMED:] if row["method"] == reference]
    texts = []
    for row in shown:
        interval = np.isfinite(row["low"])
        low, high = (row["low"], row["high"]) if interval else (row["least"], row["most"])
        kind = "95 % interval" if interval else "its seeds"
        spread = f" ({kind} {low:.2f} to {high:.2f})" if row["seeds"] > 1 else ""
        texts.append(say("one score", name=looks.label(row["method"]), value=row["score"], spread=spread))
    return [say("score", methods=", ".join(texts))]


# ---- speed --------------------------------------------------------------------------------------------


def _speed(found: Speed, looks: Looks) -> str:
    name = looks.label(found.first)
    words = _soonest(found, looks)
    words += _told(found, "behind", "speed behind", looks) + _told(found, "ahead", "speed ahead", looks)
    open_ = found.told("undecided")
    neither = [looks.label(one.method) for one in open_ if one.bound == "?"]
    unclear = [looks.label(one.method) for one in open_ if one.bound != "?"]
    if unclear:
        words += say("speed undecided", name=name, methods=_few_named(unclear))
    if neither:
        words += say("neither", methods=_few_named(neither))
    return words + _sure(found, "speed")


def _soonest(found: Speed, looks: Looks) -> str:
    """Who was there first, by medians alone; whoever it is."""
    shown = looks.shown(found.problem)
    target = shown.text(found.target)
    ways = {"start": _number(found.start, shown), "top": shown.text(found.top)}
    goal = (
        say("named goal", target=target)
        if np.isnan(found.share)
        else say("goal", target=target, share=100 * found.share, **ways)
    )
    there = [(method, seconds) for method, seconds in found.times if np.isfinite(seconds)]
    if not there:
        return say("nobody", goal=goal)
    first = there[:3]
    mine = dict(found.times).get(found.first, np.inf)
    tail = ""
    if found.first not in dict(first) and found.first in dict(found.times):
        name = looks.label(found.first)
        tail = (
            say("reference needed", name=name, seconds=_seconds(mine))
            if np.isfinite(mine) else say("reference never", name=name)
        )  # fmt: skip
    texts = [say("after", name=looks.label(m), seconds=_seconds(s)) for m, s in first]
    template = "soonest" if len(texts) > 1 else "soonest one"
    return say(template, goal=goal, soonest=_list(texts), reference=tail)


def _one_time(one: Versus, looks: Looks) -> str:
    """One method that was sooner or later, by how many times."""
    name, later = looks.label(one.method), one.outcome == "ahead"
    value, low, high = one.value, one.low, one.high
    if not later:  # how many times sooner it was
        value, low, high = _inverse(value), _inverse(high), _inverse(low)
    more = one.bound == (">" if later else "<")
    span = ""
    if np.isfinite(low):
        ends = {"low": _times(low), "high": _times(high)}
        span = say("span", **ends) if np.isfinite(high) else say("open span", **ends)
    return say(
        "one time", name=name, times=f"more than {_times(value)}" if more else _times(value), span=span
    )


def _inverse(value: float) -> float:
    return value if np.isnan(value) else 1 / value if value > 0 else float("inf")


# ---- accuracy -----------------------------------------------------------------------------------------


def _accuracy(found: Accuracy, looks: Looks) -> str:
    name, best, shown = looks.label(found.first), looks.label(found.best.method), looks.shown(found.problem)
    common = {
        "name": name, "best": best, "measure": MEASURES[found.measure], "its": _middle(found.best, shown),
        **_ways(shown),
    }  # fmt: skip
    if not found.mine.seeds:
        words = say("no accuracy", **common)
    else:
        mine, its = found.mine.value, found.best.value
        template = "highest itself" if mine > its else "highest" if mine < its else "highest alike"
        words = say(template, mine=_middle(found.mine, shown), **common)
    words += _told(found, "behind", "accuracy behind", looks) + _told(found, "ahead", "accuracy ahead", looks)
    if unclear := [looks.label(one.method) for one in found.told("undecided")]:
        words += say("accuracy undecided", name=name, methods=_few_named(unclear))
    return words + _sure(found, "accuracy")


def _one_gap(one: Versus, looks: Looks, problem: str) -> str:
    """One method that ended above or below, by how much."""
    shown = looks.shown(problem)
    sign = abs(shown.factor) * (1 if one.outcome == "ahead" else -1)
    low, high = sorted((sign * one.low, sign * one.high)) if np.isfinite(one.low) else (np.nan, np.nan)
    span = say("span", low=_signed(low, shown), high=_signed(high, shown)) if np.isfinite(low) else ""
    name = looks.label(one.method)
    return say("one gap", name=name, value=_signed(sign * one.value, shown), step=shown.step, span=span)


def _middle(middle: Middle, shown: Shown) -> str:
    """``86.5 % (median; 3 seeds from 85.8 to 86.6)``."""
    ends = (middle.low, middle.high) if shown.factor > 0 else (middle.high, middle.low)
    low, high = (_number(end, shown) for end in ends)
    kind = "single" if middle.seeds == 1 else "range" if middle.seeds < LEAST else "interval"
    return say(
        "middle", value=shown.text(middle.value), spread=say(kind, low=low, high=high, seeds=middle.seeds)
    )


def _number(value: float, shown: Shown) -> str:
    return f"{shown.factor * value:.{shown.digits}f}"


def _ways(shown: Shown) -> dict[str, str]:
    """What better and worse are called: above and below, but where lower is better."""
    if shown.factor > 0:
        return {"Above": "Above", "Below": "Below", "Highest": "Highest", "highest": "highest"}
    return {"Above": "Better than", "Below": "Worse than", "Highest": "Lowest", "highest": "lowest"}


# ---- what speed and accuracy share -----------------------------------------------------------------------


def _told(found: Finding, outcome: Outcome, template: str, looks: Looks) -> str:
    """The rivals of which a difference is claimed, the largest first; nothing if there are none."""
    rivals = sorted(found.told(outcome), key=lambda one: one.value, reverse=outcome == "ahead")
    speed = isinstance(found, Speed)
    texts = [_one_time(one, looks) if speed else _one_gap(one, looks, found.problem) for one in rivals]
    ways = _ways(looks.shown(found.problem))
    return say(template, name=looks.label(found.first), methods=_few_named(texts), **ways) if texts else ""


def _sure(found: Finding, what: str) -> str:
    """From how many seeds, by which test; or that nothing is claimed."""
    few = found.told("few")
    tested = [one for one in found.rivals if one.outcome in ("ahead", "behind", "undecided")]
    words = say(f"{what} few", seeds=_count([one.seeds for one in few])) if few else ""
    if tested:
        seeds = [one.seeds for one in tested]
        if max(seeds) < found.needed and not found.told("ahead") and not found.told("behind"):
            words += say("too few", compared=found.compared, needed=found.needed)
        s = "" if found.compared == 1 else "s"
        words += say(f"test of {what}", seeds=_count(seeds), compared=found.compared, s=s)
    return words


def _group(found: Group, looks: Looks) -> str:
    (one,) = found.rivals
    shown = looks.shown(found.problem)
    by, ways = abs(shown.factor), _ways(shown)
    value, low, high = -by * one.value, -by * one.high, -by * one.low  # of the group less the reference
    common = {
        "step": shown.step, "above": ways["Above"].lower(),
        "who": "Greedy methods" if found.greedy else "Methods that search nothing",
        "members": _list([looks.label(m) for m in found.members]),
        "name": looks.label(found.first), "seeds": _count([one.seeds]), "measure": MEASURES[found.measure],
    }  # fmt: skip
    if one.outcome in ("few", "nothing"):
        tail = say("group tail", gap=_gap(-by * one.most, -by * one.least, shown)) if one.seeds > 1 else ""
        return say("group of few", tail=tail, **common)
    if one.outcome == "undecided":
        ends = {"low": _signed(low, shown), "high": _signed(high, shown)}
        return say("group undecided", value=_signed(value, shown), **ends, **common)
    if one.outcome == "ahead":
        value, low, high = -value, -high, -low
    way = ways["Below" if one.outcome == "ahead" else "Above"].lower()
    return say(
        "group told",
        value=_signed(value, shown),
        way=way,
        low=_signed(low, shown),
        high=_signed(high, shown),
        **common,
    )


def _gap(low: float, high: float, shown: Shown) -> str:
    """A range of differences in words: ``1.9 to 2.3 points below``."""
    ways = _ways(shown)
    above, below = ways["Above"].lower(), ways["Below"].lower()
    if high <= 0:
        return f"{_signed(-high, shown)} to {_signed(-low, shown)} {shown.step} {below}"
    if low >= 0:
        return f"{_signed(low, shown)} to {_signed(high, shown)} {shown.step} {above}"
    return f"between {_signed(-low, shown)} {shown.step} {below} and {_signed(high, shown)} {above}"


# ---- the floor ----------------------------------------------------------------------------------------


def _floor(table: pd.DataFrame, looks: Looks) -> list[str]:
    """What the floor of one problem is, who beats it, and when; nothing where there is none."""
    if table.empty:
        return []
    first, shown = table.iloc[0], looks.shown(table["problem"].iloc[0])
    level = Middle(
        method=first["floor"], value=first["level"], low=first["level_low"], high=first["level_high"],
        seeds=int(first["floor_seeds"]),
    )  # fmt: skip
    many = int(first["floors"])
    floors = f"{many} methods that search nothing" if many > 1 else "what searches nothing"
    own = {"name": looks.label(first["floor"]), "seconds": _seconds(first["floor_seconds"])}
    words = say("floor", floors=floors, middle=_middle(level, shown), **own)
    ran = table[table["n_seeds"] > 0]
    beaten, rest = ran[ran["bound"] == ""].sort_values("seconds", kind="stable"), ran[ran["bound"] == ">"]
    for what, rows in (("beaten", beaten), ("unbeaten", rest)):
        if texts := [_one_floor(f"one {what}", row, looks) for row in rows.to_dict("records")]:
            words += say(f"floor {what}", methods=_few_named(texts))
    return [shown.words(words + _above_the_floor(ran, looks))]


def _one_floor(template: str, row: dict[Hashable, Any], looks: Looks) -> str:
    span, low, high = "", float(row["low"]), float(row["high"])
    if np.isfinite(low):
        ends = {"low": _seconds(low), "high": _seconds(high) if np.isfinite(high) else ""}
        span = say("span" if np.isfinite(high) else "open span", **ends)
    return say(
        template, name=looks.label(row["method"]), seconds=_seconds(row["seconds"]), span=span,
        above=row["n_above"], seeds=_count([int(row["n_seeds"])]),
    )  # fmt: skip


def _above_the_floor(ran: pd.DataFrame, looks: Looks) -> str:
    """Of which methods a test says that they end above the floor."""
    tested, few = ran[ran["outcome"] != "few"], ran[ran["outcome"] == "few"]
    words = say("floor few", seeds=_count(few["n_common"].tolist())) if len(few) else ""
    if tested.empty:
        return words
    better = [looks.label(method) for method in tested.loc[tested["outcome"] == "above", "method"]]
    words += say("floor told", methods=_few_named(better)) if better else say("floor untold")
    compared, seeds = int(tested["compared"].iloc[0]), _count(tested["n_common"].tolist())
    return words + say("test of floor", seeds=seeds, compared=compared, s="" if compared == 1 else "s")


def _floors(table: pd.DataFrame, looks: Looks) -> list[str]:
    """The same of several problems: how often it is beaten, by whom."""
    if table.empty:
        return []
    counts = {
        "beaten": table.loc[table["bound"] == "", "method"],
        "told": table.loc[table["outcome"] == "above", "method"],
    }
    few = table.loc[table["outcome"] == "few", "n_common"].tolist()
    words = say(
        "many: floor", problems=table["problem"].nunique(), pairs=len(table),
        **{what: _how_often(methods.tolist(), looks) for what, methods in counts.items()},
    )  # fmt: skip
    return [words + (say("floor few", seeds=_count(few)) if few else "")]


# ---- over problems ------------------------------------------------------------------------------------


def question_of(found: Finding) -> str:
    """Which of the questions it answers, as its template is called."""
    if isinstance(found, Group):
        return "greedy" if found.greedy else "by hand"
    return "speed" if isinstance(found, Speed) else "accuracy"


def _summary(found: Sequence[Finding], reference: str, looks: Looks) -> str:
    """Of how many comparisons others are ahead, behind, and not told apart."""
    kind = question_of(found[0])
    if kind == "accuracy" and all(f.first != reference for f in found):
        kind = "accuracy without a reference"
    every = [one for f in found for one in f.rivals]
    count = {o: [one for one in every if one.outcome == o] for o in ("ahead", "behind")}
    few = [one.seeds for one in every if one.outcome == "few"]
    words = say(
        f"many: {kind}", name=looks.label(reference), problems=len(found), pairs=len(every),
        ahead=_often(count["ahead"], looks, kind), behind=_often(count["behind"], looks, kind),
        rest=len(every) - len(count["ahead"]) - len(count["behind"]),
    )  # fmt: skip
    what = "speed" if kind == "speed" else "accuracy"
    return words + (say(f"{what} few", seeds=_count(few)) if few else "")


def _often(told: Sequence[Versus], looks: Looks, kind: str) -> str:
    """``3 times (Cosine twice and TPE)``; of groups how often alone."""
    return _how_often([] if kind in ("greedy", "by hand") else [one.method for one in told], looks, len(told))


def _how_often(methods: Sequence[str], looks: Looks, count: int | None = None) -> str:
    """How often in all, and each method; of none how often alone."""
    count = len(methods) if count is None else count
    if not methods:
        return say("times alone", count=count)
    by: dict[str, int] = {}
    for method in methods:
        by[method] = by.get(method, 0) + 1
    ordered = sorted(by.items(), key=lambda item: -item[1])
    names = [looks.label(m) + (f" {n} times" if n > 1 else "") for m, n in ordered]
    return say("times named", count=count, methods=_few_named(names))


# ---- words --------------------------------------------------------------------------------------------


def _count(seeds: Sequence[int]) -> str:
    """``3 seeds``, ``a single seed``, ``6 to 10 seeds``."""
    low, high = min(seeds), max(seeds)
    if low == high:
        return "a single seed" if high == 1 else f"{high} seeds" if high else "no common seed"
    return f"{low} to {high} seeds"


def _few_named(texts: Sequence[str]) -> str:
    more = len(texts) - NAMED
    return _list([*texts[:NAMED], f"{more} more"] if more > 0 else texts)


def _seconds(value: float) -> str:
    return f"{value:,.0f} s" if value >= 99.5 else f"{value:.1f} s" if value >= 0.95 else f"{value:.2g} s"


def _times(value: float) -> str:
    if np.isinf(value):
        return "any number of"
    if 0.9 < value < 1.1:  # 1.0 would say that there is no difference
        return f"{value:.3g}"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.095 else f"{value:.2g}"


def _signed(value: float, shown: Shown) -> str:
    text = f"{round(value, shown.digits) + 0.0:.{shown.digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _list(texts: Iterable[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last
