"""The verdict in sentences: what the findings say, with their uncertainty, and no more than that.

The words stand in ``sentence_templates``; the numbers are those of ``stats.conclusions``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ..looks import Looks
from ..stats.conclusions import LEAST, Accuracy, Finding, Group, Speed, final_scores, findings, gap
from ..stats.frames import numbers, settled
from ..stats.intervals import ENOUGH
from .sentence_templates import TEMPLATES

NAMED = 3
"""Methods that were sooner, of which so many are named."""


def say(template: str, **values: object) -> str:
    """A template of ``TEMPLATES``, filled in."""
    return TEMPLATES[template].format(**values)


def verdict(reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds") -> list[str]:
    """Up to three sentences that sum the results up; of several problems, on how many each answer holds."""
    done, looks = settled(runs), Looks.of(runs)
    if not len(done):
        return [say("nothing finished")]
    if not np.isfinite(numbers(done[final_scores(done)[1]])).any():
        return [say("nothing reached")]
    methods = list(dict.fromkeys(done["method"]))
    if len(methods) == 1:
        return [say("only one", name=looks.label(methods[0])), *_alone(done)]
    found = findings(reports, runs, reference)
    sentences = [] if reference in methods else [say("no reference", name=looks.label(reference))]
    if len({f.problem for f in found}) == 1:
        return sentences + [sentence(f, looks) for f in found]
    kinds = dict.fromkeys(question_of(f) for f in found)
    return sentences + [_summary([f for f in found if question_of(f) == k], reference, looks) for k in kinds]


def by_problem(reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds") -> dict[str, list[str]]:
    """The sentences on each problem."""
    looks = Looks.of(runs)
    told: dict[str, list[str]] = {}
    for found in findings(reports, runs, reference):
        told.setdefault(found.problem, []).append(sentence(found, looks))
    return told


def sentence(found: Finding, looks: Looks) -> str:
    """A finding in a sentence or two."""
    if isinstance(found, Speed):
        return _speed(found, looks) + _sooner(found, looks)
    if isinstance(found, Accuracy):
        return _accuracy(found, looks)
    assert isinstance(found, Group)
    return _group(found, looks)


def _alone(done: pd.DataFrame) -> list[str]:
    """What a single method came to."""
    sentences = []
    for problem in dict.fromkeys(done["problem"]):
        wide, _ = final_scores(done[done["problem"] == problem])
        values = wide.iloc[:, 0].to_numpy(np.float64)
        mean, low, high = (100 * v for v in gap(values))
        sure = f"95 % interval {low:.1f} to {high:.1f}, {len(values)} seeds" if len(values) > 1 else "1 seed"
        sentences.append(say("alone", problem=problem, mean=mean, sure=sure))
    return sentences


# ---- speed --------------------------------------------------------------------------------------------


def _speed(found: Speed, looks: Looks) -> str:
    name = looks.label(found.first)
    if found.rival is None:
        return say("speed unknown", name=name)
    rival, count = looks.label(found.rival), found.among
    target = f"final {100 * found.target:.1f} % test accuracy"
    kind = "black-box methods" if found.black_box else "other methods"
    which = f"{rival}, the fastest of {count} {kind}" if count > 1 else rival
    common = {"name": name, "target": target, "few": f"{found.seeds} seeds{_optimistic(found.seeds)}"}
    if found.outcome == "ahead":
        return _speed_ahead(found, rival, which, f"{count} {kind}", common)
    if found.outcome == "behind":
        lower = f"{_times(1 / found.high)} to {_times(1 / found.low)}" if found.low > 0 else ""
        return say(
            "speed behind", who=f"{which}," if count > 1 else rival, times=_times(1 / found.value),
            span=lower or f"{_times(1 / found.high)} or more", picked=_adjusted(count), **common,
        )  # fmt: skip
    return _speed_undecided(found, rival, which, common)


def _speed_ahead(found: Speed, rival: str, which: str, kinds: str, common: dict[str, str]) -> str:
    if found.bound == ">":
        none = f"any of the {kinds}, none of which got" if found.among > 1 else f"{rival}, which did not get"
        bounds = {"times": _times(found.value), "low": _times(found.low)}
        return say("speed ahead of none", who=none, **bounds, **common)
    span = f"to {_times(found.high)}" if np.isfinite(found.high) else "or more"
    return say(
        "speed ahead", times=_times(found.value), which=which, span=f"{_times(found.low)} {span}", **common
    )


def _speed_undecided(found: Speed, rival: str, which: str, common: dict[str, str]) -> str:
    value, name = found.value, common["name"]
    seen = (
        f"more than {_times(value)} times" if found.bound == ">" else f"{_times(max(value, 1 / value))} times"
    )
    sooner = f"{name if value >= 1 else rival} was {seen} times sooner"
    if found.seeds < LEAST:
        whom = which if value >= 1 else name
        return say("speed of few", seeds=_few(found.seeds), sooner=sooner, whom=whom, **common)
    upper = f"{_times(found.high)} times" if np.isfinite(found.high) else "no end"
    comma = "," if found.among > 1 else ""
    ends = {"low": _times(found.low), "upper": upper}
    return say("speed undecided", which=f"{which}{comma}", sooner=sooner, **ends, **common)


def _sooner(found: Speed, looks: Looks) -> str:
    """Methods beside the black-box ones that were there before the reference: not to be passed over."""
    texts = [
        say("one sooner", name=looks.label(one.method), times=_times(one.value), low=_times(one.low),
            high=_times(one.high))
        for one in found.sooner
    ]  # fmt: skip
    if len(texts) > NAMED:
        texts = [*texts[:NAMED], f"{len(texts) - NAMED} more"]
    return say("sooner", name=looks.label(found.first), methods=_list(texts)) if texts else ""


# ---- accuracy -----------------------------------------------------------------------------------------


def _accuracy(found: Accuracy, looks: Looks) -> str:
    name, rival, count = looks.label(found.first), looks.label(found.rival), found.among
    mine, its = (f"{100 * mean:.1f} %" for mean in found.means)
    final = found.measure.startswith("final")
    value, low, high = 100 * found.value, 100 * found.low, 100 * found.high
    common = {
        "name": name, "mine": mine, "its": its, "adjusted": _adjusted(found.picks), "seeds": found.seeds,
        "best": f"{rival}, the best of {count} others" if count > 1 else rival,
        "comma": "," if count > 1 else "",
        "which": "final test accuracy" if final else "test accuracy of the incumbent",
    }  # fmt: skip
    if found.outcome == "ahead":
        return say("accuracy ahead", value=value, low=low, high=high, **common)
    if found.outcome == "behind":
        return say("accuracy behind", value=-value, low=-high, high=-low, **common)
    if found.seeds < LEAST:
        other = f" (the best of {count} others)" if count > 1 else ""
        return say("accuracy of few", few=_few(found.seeds), rival=rival, other=other, **common)
    signed = {"value": _signed(value), "low": _signed(low), "high": _signed(high)}
    return say("accuracy undecided", rival=rival, **signed, **common)


def _group(found: Group, looks: Looks) -> str:
    value, low, high = 100 * found.value, 100 * found.low, 100 * found.high
    common = {
        "who": "Greedy methods" if found.greedy else "Schedules set by hand",
        "members": _list([looks.label(m) for m in found.members]),
        "name": looks.label(found.first), "seeds": found.seeds,
        "seen": f"{abs(value):.1f} points {'lower' if value >= 0 else 'higher'}",
    }  # fmt: skip
    if found.seeds < LEAST:
        tail = f": {common['seen']} than {common['name']} on average" if found.seeds else ""
        return say("group of few", few=_few(found.seeds), tail=tail, **common)
    if found.outcome == "undecided":
        return say("group undecided", low=_signed(low), high=_signed(high), **common)
    ends = (low, high) if found.outcome == "ahead" else (-high, -low)
    return say("group told", low=ends[0], high=ends[1], **common)


# ---- over problems ------------------------------------------------------------------------------------


def question_of(found: Finding) -> str:
    """Which of the questions it answers, as its template is called."""
    if isinstance(found, Group):
        return "greedy" if found.greedy else "by hand"
    return "speed" if isinstance(found, Speed) else "accuracy"


def _summary(found: Sequence[Finding], reference: str, looks: Looks) -> str:
    """On how many problems the reference is ahead, behind, and where that cannot be told."""
    by = {o: [f for f in found if f.outcome == o] for o in ("ahead", "behind", "undecided", "unknown")}
    kind = question_of(found[0])
    if kind == "accuracy" and all(f.first != reference for f in found):
        kind = "accuracy without a reference"
    question = say(f"many: {kind}", name=looks.label(reference))
    parts = [f"On {len(by['ahead'])} of {len(found)} problems {question}{_range(by['ahead'])}"]
    if by["behind"]:
        parts.append(f"on {len(by['behind'])} it was the other way round{_range(by['behind'])}")
    if unclear := len(by["undecided"]) + len(by["unknown"]):
        parts.append(f"on {unclear} no difference can be told")
    return ", ".join(parts) + "."


def _range(found: Sequence[Finding]) -> str:
    """The smallest and the largest of the differences."""
    values = [f.value for f in found if np.isfinite(f.value)]
    if not values:
        return ""
    if isinstance(found[0], Speed):
        texts = [_times(v) for v in sorted(max(v, 1 / v) for v in values)]
    else:
        texts = [f"{100 * v:.1f}" for v in sorted(map(abs, values))]
    ends = texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"
    return f" ({ends} times)" if isinstance(found[0], Speed) else f" (by {ends} points)"


# ---- words --------------------------------------------------------------------------------------------


def _adjusted(picks: int) -> str:
    return f", adjusted for the choice among {picks}" if picks > 1 else ""


def _few(seeds: int) -> str:
    return "a single seed" if seeds == 1 else f"{seeds} seeds" if seeds else "no common seed"


def _optimistic(seeds: int) -> str:
    return "" if seeds >= ENOUGH else f", an optimistic interval with fewer than {ENOUGH}"


def _times(value: float) -> str:
    if np.isinf(value):
        return "any number of"
    if 0.9 < value < 1.1:  # 1.0 would say that there is no difference
        return f"{value:.3g}"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.095 else f"{value:.2g}"


def _signed(value: float) -> str:
    text = f"{value + 0.0:.1f}".replace("-0.0", "0.0")
    return text.replace("-", "\N{MINUS SIGN}")


def _list(texts: Iterable[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last
