"""The verdict in sentences: what the results say, with its uncertainty, and no more than that.

Three questions are put to each problem, all of them to one method, the reference:

* speed: how much sooner than the fastest black-box method did it reach its own final test accuracy?
* accuracy: did it end above the best of all other methods?
* greedy: did methods that look one step ahead end below it? (Without any: did schedules set by hand?)

An answer is a difference only if its 95 % interval excludes "none". The rival was picked for being the best
of k, which makes it look better than it is: a claim that the rival is ahead has to hold at level 1 - 0.05/k
(Bonferroni); a claim that the reference is ahead of the best of k needs no such thing. Fewer than
``LEAST`` seeds decide nothing. Speed has bootstrap intervals (``speedup``), accuracy paired t intervals over
common seeds, a finished seed without a value counting as accuracy 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from . import style as look
from .captions import ENOUGH
from .curves import Floats, numbers, settled
from .speedup import speedup_table

LEAST = 3
"""Seeds from which a difference may be claimed."""

Kind = Literal["speed", "accuracy", "greedy", "by hand"]
Outcome = Literal["ahead", "behind", "undecided", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One answer on one problem.

    ``outcome`` is the reference's. ``value`` with ``low`` and ``high`` is a speedup (times), or a difference
    of test accuracies (fractions), the reference's less the rival's; NaN where it is not known.
    """

    kind: Kind
    problem: str
    outcome: Outcome
    sentence: str
    rival: str | None = None
    value: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    seeds: int = 0


def findings(reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds") -> list[Finding]:
    """Every answer that the results hold, problem by problem; none where nothing can be compared."""
    done, found = settled(runs), []
    for problem in dict.fromkeys(done["problem"]):
        here = done[done["problem"] == problem]
        if len(here["method"].unique()) < 2:
            continue
        if reference in set(here["method"]):
            found += _speed(reports, here, reference)
            found += _accuracy(here, reference)
            found += _group(here, reference)
        else:
            found += _accuracy(here, None)
    return found


def verdict(reports: pd.DataFrame, runs: pd.DataFrame, reference: str = "fds") -> list[str]:
    """Up to three sentences that sum the results up; of several problems, on how many each answer holds."""
    done = settled(runs)
    if not len(done):
        return ["No run has come to an end yet, so nothing can be said."]
    _, what = _scores(done)
    if not np.isfinite(numbers(done[what])).any():
        return ["No finished run has a test accuracy, so nothing can be said of any method."]
    methods = list(dict.fromkeys(done["method"]))
    if len(methods) == 1:
        return [f"Only {look.label(methods[0])} was run: there is nothing to compare it with.", *_alone(done)]
    found = findings(reports, runs, reference)
    sentences = []
    if reference not in methods:
        sentences.append(
            f"{look.label(reference)} has no finished run here, so there is no speedup to speak of; another "
            "method can be the reference."
        )
    if len({f.problem for f in found}) == 1:
        return sentences + [f.sentence for f in found]
    kinds = dict.fromkeys(f.kind for f in found)
    return sentences + [_summary([f for f in found if f.kind == k], reference) for k in kinds]


# ---- speed --------------------------------------------------------------------------------------------


def _speed(reports: pd.DataFrame, here: pd.DataFrame, reference: str) -> list[Finding]:
    """The reference against the fastest black-box method."""
    problem = str(here["problem"].iloc[0])
    own = reports[reports["problem"] == problem]
    table = speedup_table(own, here, reference)
    black = set(here.loc[here["family"] == "black box", "method"]) - {reference}
    rivals = table[table["method"].isin(black)] if black else table
    known = rivals[rivals["bound"] != "?"]
    if known.empty:
        sentence = f"{look.label(reference)} has no test accuracy to be reached, so no speedup."
        return [Finding("speed", problem, "unknown", sentence)]
    exact = known[known["bound"] == ""]
    row = (known if exact.empty else exact).sort_values("speedup", kind="stable").iloc[0].to_dict()
    name = str(row["method"])
    if row["high"] < 1 and len(rivals) > 1:  # picked as the fastest: its lead has to be clearer
        pair = here[here["method"].isin([reference, name])]
        both = own[own["method"].isin([reference, name])]
        strict = speedup_table(both, pair, reference, level=1 - 0.05 / len(rivals)).iloc[0]
        row |= {"low": strict["low"], "high": strict["high"]}
    outcome = _outcome(row["low"], row["high"], 1.0, _seeds(row))
    sentence = _speed_sentence(row, outcome, reference, len(rivals), bool(black))
    sentence += _sooner(table[~table["method"].isin(rivals["method"])], reference)
    numbers_ = {k: float(row[k if k != "value" else "speedup"]) for k in ("value", "low", "high")}
    return [Finding("speed", problem, outcome, sentence, name, seeds=_seeds(row), **numbers_)]


def _seeds(row: dict[Any, Any]) -> int:
    return int(min(row["n_seeds"], row["n_seeds_reference"]))


def _outcome(low: float, high: float, none: float, seeds: int) -> Outcome:
    """What an interval says, ``none`` standing for no difference."""
    if seeds < LEAST or np.isnan(low) or np.isnan(high):
        return "undecided"
    return "ahead" if low > none else "behind" if high < none else "undecided"


def _speed_sentence(row: dict[Any, Any], outcome: Outcome, reference: str, count: int, black: bool) -> str:
    name, rival = look.label(reference), look.label(str(row["method"]))
    kind = "black-box methods" if black else "other methods"
    seeds, target = _seeds(row), f"final {100 * row['target']:.1f} % test accuracy"
    goal = f"{name}'s {target}"
    value, low, high, bound = float(row["speedup"]), float(row["low"]), float(row["high"]), row["bound"]
    which = f"{rival}, the fastest of {count} {kind}" if count > 1 else rival
    few = f"{seeds} seeds{_optimistic(seeds)}"
    if outcome == "ahead" and bound == ">":
        who = f"any of the {count} {kind}, none of which got" if count > 1 else f"{rival}, which did not get"
        return (
            f"{name} reached its {target} more than {_times(value)} times sooner than {who} there in its "
            f"median run within the budget (95 % interval: at least {_times(low)} times, {few})."
        )
    if outcome == "ahead":
        upper = f"{_times(low)} to {_times(high)}" if np.isfinite(high) else f"{_times(low)} or more"
        head = f"{name} reached its {target} {_times(value)} times sooner than {which}"
        return f"{head} (95 % interval {upper}, {few})."
    if outcome == "behind":
        picked = f", adjusted for the choice among {count}" if count > 1 else ""
        lower = _times(1 / low) if low > 0 else None
        span = f"{_times(1 / high)} to {lower}" if lower else f"{_times(1 / high)} or more"
        head = f"{which}, reached {goal}" if count > 1 else f"{rival} reached {goal}"
        return f"{head} {_times(1 / value)} times sooner than {name} (95 % interval {span}{picked}, {few})."
    seen = f"more than {_times(value)} times" if bound == ">" else f"{_times(max(value, 1 / value))} times"
    sooner = f"{name if value >= 1 else rival} was {seen} sooner"
    if seeds < LEAST:
        whom = which if value >= 1 else name
        return f"Nothing can be told of speed from {_few(seeds)}: to {goal}, {sooner} than {whom}."
    upper = f"{_times(high)} times" if np.isfinite(high) else "no end"
    comma = "," if count > 1 else ""
    return (
        f"No difference in the time to {goal} between {name} and {which}{comma} can be told from {few}: "
        f"{sooner}, but the 95 % interval runs from {_times(low)} times to {upper}."
    )


def _sooner(others: pd.DataFrame, reference: str, most: int = 3) -> str:
    """Methods beside the black-box ones that were there before the reference: not to be passed over."""
    enough = others[["n_seeds", "n_seeds_reference"]].min(axis=1) >= LEAST
    early = others[enough & (others["bound"] == "") & (others["high"] < 1)]
    early = early.sort_values("speedup", kind="stable")
    texts = [
        f"{look.label(str(row['method']))} ({_inverse(row['speedup'])} times, 95 % interval "
        f"{_inverse(row['high'])} to {_inverse(row['low'])})"
        for row in early.to_dict("records")
    ]
    if len(texts) > most:
        texts = [*texts[:most], f"{len(texts) - most} more"]
    return f" Sooner there than {look.label(reference)}: {_list(texts)}." if texts else ""


def _inverse(value: float) -> str:
    return _times(1 / value) if value > 0 else "any number of"


# ---- accuracy -----------------------------------------------------------------------------------------


def _scores(here: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Test accuracies, a row a seed and a column a method, and which: retrained, or the incumbents'."""
    what = "final_test_accuracy"
    if not np.isfinite(numbers(here[what])).any():
        what = "incumbent_test_accuracy"
    values = here.assign(value=np.nan_to_num(numbers(here[what])))
    return values.pivot_table("value", "seed", "method", sort=False), what


def gap(differences: Floats, level: float = 0.95) -> tuple[float, float, float]:
    """Mean difference with its t interval; NaN with fewer than two."""
    n = len(differences)
    mean = float(differences.mean()) if n else float("nan")
    if n < 2:
        return mean, float("nan"), float("nan")
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * differences.std(ddof=1) / np.sqrt(n))
    return mean, mean - half, mean + half


def _accuracy(here: pd.DataFrame, reference: str | None) -> list[Finding]:
    """The reference (without one, the best method) against the best of all others."""
    problem, (wide, what) = str(here["problem"].iloc[0]), _scores(here)
    first = reference if reference is not None else str(wide.mean().idxmax())
    others = wide.drop(columns=first)
    others = others[[m for m in others if len((wide[first] - wide[m]).dropna())]]
    if others.empty or not (wide.to_numpy(np.float64) > 0).any():
        return []
    rival, count = str(others.mean().idxmax()), others.shape[1]
    differences = (wide[first] - wide[rival]).dropna().to_numpy(np.float64)
    value, low, high = gap(differences)
    picked = reference is None or value < 0  # which of the two is ahead was the data's choice
    if picked and count > 1:
        value, low, high = gap(differences, 1 - 0.05 / count)
    outcome = _outcome(low, high, 0.0, len(differences))
    found = Finding("accuracy", problem, outcome, "", rival, value, low, high, len(differences))
    picks = count if picked else 1
    return [replace(found, sentence=_accuracy_sentence(found, first, wide, what, count, picks))]


def _accuracy_sentence(
    found: Finding, first: str, wide: pd.DataFrame, what: str, count: int, picks: int
) -> str:
    rival = str(found.rival)
    means = {m: f"{100 * float(wide[m].mean()):.1f} %" for m in (first, rival)}
    which = "final test accuracy" if what.startswith("final") else "test accuracy of the incumbent"
    name, value, low, high = look.label(first), 100 * found.value, 100 * found.low, 100 * found.high
    best = f"{look.label(rival)}, the best of {count} others" if count > 1 else look.label(rival)
    comma = "," if count > 1 else ""
    adjusted = f", adjusted for the choice among {picks}" if picks > 1 else ""
    if found.outcome == "ahead":
        return (
            f"{name} ended at {means[first]} {which}, {value:.1f} points above {best} "
            f"(95 % interval {low:.1f} to {high:.1f}{adjusted}, {found.seeds} seeds)."
        )
    if found.outcome == "behind":
        return (
            f"{best}{comma} ended at {means[rival]} {which}, {-value:.1f} points above {name} "
            f"(95 % interval {-high:.1f} to {-low:.1f}{adjusted}, {found.seeds} seeds)."
        )
    both = f"{name} {means[first]}, {look.label(rival)} {means[rival]}"
    if found.seeds < LEAST:
        other = f" (the best of {count} others)" if count > 1 else ""
        return f"Nothing can be told of {which} from {_few(found.seeds)}: {both}{other}."
    return (
        f"No difference in {which} between {name} and {best}{comma} can be told from {found.seeds} seeds: "
        f"{both}, difference {_signed(value)} points (95 % interval {_signed(low)} to {_signed(high)}"
        f"{adjusted})."
    )


def _group(here: pd.DataFrame, reference: str) -> list[Finding]:
    """Greedy methods together against the reference; where there are none, schedules set by hand."""
    adapters = here.drop_duplicates("method").set_index("method")["adapter"]
    greedy = [str(m) for m in adapters.index if adapters[m] in look.GROUPS["greedy"] and m != reference]
    hand = here.loc[here["family"] == "baseline", "method"].unique()
    by_hand = [str(m) for m in hand if m != reference and adapters[m] in ("default", "cosine", "one_cycle")]
    if adapters[reference] in look.GROUPS["greedy"]:
        greedy = []
    kind: Kind = "greedy" if greedy else "by hand"
    members = greedy or by_hand
    if not members:
        return []
    problem, (wide, _) = str(here["problem"].iloc[0]), _scores(here)
    differences = (wide[reference] - wide[members].mean(axis=1, skipna=False)).dropna().to_numpy(np.float64)
    value, low, high = gap(differences)
    outcome = _outcome(low, high, 0.0, len(differences))
    found = Finding(kind, problem, outcome, "", None, value, low, high, len(differences))
    return [replace(found, sentence=_group_sentence(found, members, reference))]


def _group_sentence(found: Finding, members: Sequence[str], reference: str) -> str:
    value, low, high = 100 * found.value, 100 * found.low, 100 * found.high
    who = "Greedy methods" if found.kind == "greedy" else "Schedules set by hand"
    who += f" ({_list([look.label(m) for m in members])})"
    name, seen = look.label(reference), f"{abs(value):.1f} points {'lower' if value >= 0 else 'higher'}"
    if found.seeds < LEAST:
        tail = f": {seen} than {name} on average" if found.seeds else ""
        return f"{who} against {name}: nothing can be told from {_few(found.seeds)}{tail}."
    if found.outcome == "undecided":
        return (
            f"{who} ended {seen} than {name} on average, which {found.seeds} seeds cannot tell from no "
            f"difference (95 % interval of {name} less these: {_signed(low)} to {_signed(high)} points)."
        )
    ends = (low, high) if found.outcome == "ahead" else (-high, -low)
    return (
        f"{who} ended {seen} than {name} (95 % interval {ends[0]:.1f} to {ends[1]:.1f}, {found.seeds} seeds)."
    )


def _alone(done: pd.DataFrame) -> list[str]:
    """What a single method came to."""
    sentences = []
    for problem in dict.fromkeys(done["problem"]):
        wide, _ = _scores(done[done["problem"] == problem])
        values = wide.iloc[:, 0].to_numpy(np.float64)
        mean, low, high = (100 * v for v in gap(values))
        sure = f"95 % interval {low:.1f} to {high:.1f}, {len(values)} seeds" if len(values) > 1 else "1 seed"
        sentences.append(f"On {problem} it ended at {mean:.1f} % test accuracy ({sure}).")
    return sentences


# ---- over problems ------------------------------------------------------------------------------------


def _summary(found: Sequence[Finding], reference: str) -> str:
    """On how many problems the reference is ahead, behind, and where that cannot be told."""
    total, kind = len(found), found[0].kind
    by = {o: [f for f in found if f.outcome == o] for o in ("ahead", "behind", "undecided", "unknown")}
    name = look.label(reference)
    question = {
        "speed": f"{name} reached its own final test accuracy sooner than the fastest black-box method",
        "accuracy": f"{name} ended above the best of all others in test accuracy",
        "greedy": f"greedy methods ended below {name}",
        "by hand": f"schedules set by hand ended below {name}",
    }[kind]
    if kind == "accuracy" and all(name not in f.sentence for f in found):  # it was not run
        question = "one method ended above all others in test accuracy"
    parts = [f"On {len(by['ahead'])} of {total} problems {question}{_range(by['ahead'])}"]
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
    if found[0].kind == "speed":
        texts = [_times(max(v, 1 / v)) for v in sorted(values, key=lambda v: max(v, 1 / v))]
        unit = "times"
    else:
        texts = [f"{100 * v:.1f}" for v in sorted(map(abs, values))]
        unit = "points"
    ends = texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"
    return f" (by {ends} {unit})" if unit == "points" else f" ({ends} {unit})"


# ---- words --------------------------------------------------------------------------------------------


def _few(seeds: int) -> str:
    return "a single seed" if seeds == 1 else f"{seeds} seeds" if seeds else "no common seed"


def _optimistic(seeds: int) -> str:
    return "" if seeds >= ENOUGH else f", an optimistic interval with fewer than {ENOUGH}"


def _times(value: float) -> str:
    if 0.9 < value < 1.1:  # 1.0 would say that there is no difference
        return f"{value:.3g}"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.095 else f"{value:.2g}"


def _signed(value: float) -> str:
    text = f"{value + 0.0:.1f}".replace("-0.0", "0.0")
    return text.replace("-", "\N{MINUS SIGN}")


def _list(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
