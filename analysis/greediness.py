"""What greedy methods lose: the schedules that they end with, and the test accuracy that these come to.

A method is greedy if it judges a hyperparameter by what happens soon after (the next steps, or the last K of
the training) and not by the end of the whole training. The adapter says which: a suite may run one adapter
under several labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from . import style as look
from .captions import span
from .curves import CELL, Floats, numbers, settled
from .schedules import GROUPS, final_incumbents, long_form

GREEDY = ("hd", "rtho", "marthe", "one_pass", "truncated_reverse")
NOT_GREEDY = ("fds", "reverse", "reverse_sharing")
RESAMPLES = 2000

_BEST = look.Look("best of all methods", look.BLACK, "", "-")


def retrained(reports: pd.DataFrame) -> pd.DataFrame:
    """The report of every complete run whose schedule the referee trained again.

    That is the last incumbent, if it was trained as long as any; else, of those trained longest, the one with
    the least validation loss.
    """
    complete = reports[(reports["status"] == "complete") & np.isfinite(numbers(reports["val_loss"]))]
    longest = complete.groupby(CELL)["fidelity"].transform("max")
    whole = complete[complete["fidelity"] >= longest]
    last = final_incumbents(complete)
    kept = last[last.index.isin(whole.index)]
    best = whole.sort_values("val_loss", kind="stable").groupby(CELL, sort=False).head(1)
    known = pd.MultiIndex.from_frame(kept[CELL])
    return pd.concat([kept, best[~pd.MultiIndex.from_frame(best[CELL]).isin(known)]]).sort_values(CELL)


def final_accuracy(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Final test accuracy of every run that has ended, on problems where some method moved its schedule.

    Columns problem, method, adapter, seed, accuracy; a run without one (failed, or nothing finite within its
    budget) counts as 0.

    Raises CannotDraw where no method moved: suites that only measure hypergradients.
    """
    own = retrained(reports)
    distinct = own["schedule"].map(tuple).groupby(own["problem"]).nunique()
    problems = distinct.index[distinct > 1]
    ended = settled(runs)
    ended = ended[ended["problem"].isin(problems) & (ended["stopped"] != "skipped")]
    if ended.empty:
        raise look.CannotDraw("no problem has runs that ended with different schedules")
    table = ended[["problem", "method", "adapter", "seed"]]
    return table.assign(accuracy=np.nan_to_num(numbers(ended["final_test_accuracy"]))).reset_index(drop=True)


def _gradient_based(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Rows of greedy and non-greedy methods, of the problems that have both."""
    own = accuracy[accuracy["adapter"].isin([*GREEDY, *NOT_GREEDY])]
    own = own.assign(greedy=own["adapter"].isin(GREEDY))
    kinds = own.groupby("problem")["greedy"].transform("nunique")
    if not (kinds == 2).any():
        raise look.CannotDraw("no problem has both a greedy and a non-greedy gradient-based method")
    return own[kinds == 2]


# --------------------------------------------------------------------------------------------- schedules


def median_schedules(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Median over seeds of the schedules that were retrained, window by window.

    Returns
    -------
    problem, method, kind ("greedy", "not greedy" or "best": the method with the best mean final test
    accuracy, of any family), hyperparameter, window, start, end (fractions of the horizon), value, seeds.
    """
    accuracy = final_accuracy(reports, runs)
    own = _gradient_based(accuracy)
    kinds = own.drop_duplicates(["problem", "method"])[["problem", "method", "greedy"]]
    kinds = kinds.assign(kind=np.where(kinds["greedy"], "greedy", "not greedy")).drop(columns="greedy")
    mean = accuracy.groupby(["problem", "method"], sort=False)["accuracy"].mean()
    best = mean.groupby(level="problem", sort=False).idxmax()
    first = [pair for pair in best.tolist() if pair[0] in set(kinds["problem"])]
    wanted = pd.concat(
        [pd.DataFrame(first, columns=["problem", "method"]).assign(kind="best"), kinds], ignore_index=True
    )
    table = long_form(retrained(reports))
    window = ["problem", "method", "hyperparameter", "window", "start", "end"]
    medians = table.groupby(window, sort=False)["value"].agg(value="median", seeds="size").reset_index()
    return wanted.merge(medians, on=["problem", "method"])


def draw_schedules(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> look.Figure:
    """The schedules that gradient-based methods end with beside the best of any: a row a problem."""
    table = median_schedules(reports, runs)
    problems, names = list(table["problem"].unique()), list(table["hyperparameter"].unique())
    by_kind = table[table["kind"] != "best"].sort_values("kind", ascending=False, kind="stable")
    methods = list(dict.fromkeys(by_kind["method"]))
    with look.page(style) as page:
        height = page.panel * (0.85 * len(problems) + 0.3)
        canvas, axes = look.panels(len(problems), len(names), page.width, height)
        for row, problem in zip(axes, problems, strict=True):
            for ax, name in zip(row, names, strict=True):
                own = table[(table["problem"] == problem) & (table["hyperparameter"] == name)]
                _schedule_panel(ax, own, page)
                ax.set_ylabel(GROUPS.get(name, name))
            row[0].set_title(problem, loc="left")
        for ax in axes[-1]:
            ax.set_xlabel("inner step / horizon")
        best = Line2D([], [], label=_BEST.label, color=_BEST.color, alpha=0.35, linewidth=page.line * 3)
        look.legend_below(canvas, [best, *look.method_handles(methods, page, markers=False)], columns=3)
    return look.Figure("greediness_schedules", canvas, table, _schedule_caption(table))


def _schedule_panel(ax: Axes, table: pd.DataFrame, page: look.Page) -> None:
    for (method, kind), own in table.groupby(["method", "kind"], sort=False):
        edges = np.append(own["start"].to_numpy(np.float64), own["end"].iloc[-1])
        line: dict[str, Any] = look.look(str(method)).line() | {"linewidth": page.line}
        if kind == "best":
            line = {"color": _BEST.color, "alpha": 0.35, "linewidth": page.line * 3}
        ax.stairs(own["value"].to_numpy(np.float64), edges, baseline=None, **line)
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.3g}"))


def _schedule_caption(table: pd.DataFrame) -> str:
    best = table[table["kind"] == "best"].drop_duplicates("problem")
    named = ", ".join(f"{look.label(str(row.method))} on {row.problem}" for row in best.itertuples())
    greedy = dict.fromkeys(look.label(str(m)) for m in table.loc[table["kind"] == "greedy", "method"])
    return (
        "The schedule that each gradient-based method ended with and the referee trained again: median over "
        f"n = {span(table['seeds'])} seeds of each window's value. Greedy: {', '.join(greedy)}. Wide grey: "
        f"the method with the best mean final test accuracy over seeds, {named}."
    )


# ------------------------------------------------------------------------------------------ accuracy lost

LOSS_COLUMNS = [
    "problem", "method", "greedy", "accuracy", "reference", "difference", "low", "high", "seeds",
]  # fmt: skip


def losses(reports: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Final test accuracy of each gradient-based method minus that of the best non-greedy one.

    Means over the seeds that the method has in common with all non-greedy ones; ``low`` and ``high`` are a
    95 % percentile bootstrap over those seeds, all methods resampled together and the best one chosen anew
    in each resample. NaN with a single seed. Accuracies are fractions.
    """
    rows = []
    for problem, own in _gradient_based(final_accuracy(reports, runs)).groupby("problem", sort=False):
        wide = own.pivot_table("accuracy", "seed", "method", sort=False)
        kinds = own.drop_duplicates("method").set_index("method")["greedy"]
        others = [m for m in wide.columns if not kinds[m]]
        for method in wide.columns:
            both = wide[list(dict.fromkeys([method, *others]))].dropna()
            if len(both):
                reference, values = _against_best(both, str(method), others)
                rows.append({"problem": problem, "method": method, "greedy": bool(kinds[method]),
                             "reference": reference, "seeds": len(both), **values})  # fmt: skip
    return pd.DataFrame(rows, columns=LOSS_COLUMNS)


def _against_best(accuracy: pd.DataFrame, method: str, others: list[str]) -> tuple[str, dict[str, float]]:
    """The best of the others, and the method's difference from it with its interval."""
    mine, its = accuracy[method].to_numpy(np.float64), accuracy[others].to_numpy(np.float64)
    n = len(mine)
    found = {"accuracy": float(mine.mean()), "low": np.nan, "high": np.nan}
    found["difference"] = found["accuracy"] - float(its.mean(0).max())
    if n > 1:
        drawn = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
        gaps: Floats = mine[drawn].mean(1) - its[drawn].mean(1).max(1)
        found["low"], found["high"] = (float(q) for q in np.quantile(gaps, [0.025, 0.975]))
    return others[int(its.mean(0).argmax())], found


def draw_loss(reports: pd.DataFrame, runs: pd.DataFrame, style: str = "paper") -> look.Figure:
    """Test accuracy lost to greediness: one panel a problem, one line a method."""
    table = losses(reports, runs)
    problems = list(table["problem"].unique())
    most = int(table.groupby("problem").size().max())
    with look.page(style) as page:
        rows, columns = look.grid_shape(len(problems), widest=2)
        height = page.panel * (0.35 + 0.1 * most) * rows + 0.25 * page.panel
        canvas, axes = look.panels(rows, columns, page.width, height)
        for ax, problem in zip((ax for row in axes for ax in row), problems, strict=False):
            _loss_panel(ax, table[table["problem"] == problem], page)
            ax.set_title(str(problem), loc="left")
        look.label_outer(axes, len(problems), "final test accuracy minus the best non-greedy's (points)", "")
        handles = [
            Line2D([], [], label=label, color=look.BLACK, marker="o", linestyle="none",
                   markerfacecolor=look.BLACK if filled else "white", markersize=page.marker * 1.3)
            for label, filled in (("greedy", True), ("not greedy", False))
        ]  # fmt: skip
        look.legend_below(canvas, handles)
    return look.Figure("greediness_loss", canvas, table, _loss_caption(table, runs))


def _loss_panel(ax: Axes, table: pd.DataFrame, page: look.Page) -> None:
    ordered = table.sort_values(["greedy", "difference"], ascending=[False, True], kind="stable")
    for y, row in enumerate(ordered.to_dict("records")):
        kind = look.look(str(row["method"]))
        value, low, high = (100 * float(row[k]) for k in ("difference", "low", "high"))
        if np.isfinite(low):
            ax.plot([low, high], [y, y], color=kind.color, linewidth=page.line, solid_capstyle="butt")
        face = kind.color if row["greedy"] else "white"
        ax.plot(value, y, marker=kind.marker, color=kind.color, markersize=page.marker * 1.3,
                markerfacecolor=face, gid=f"loss:{row['method']}")  # fmt: skip
    ax.axvline(0, color=look.BLACK, linewidth=page.line * 0.6)
    ax.set_yticks(range(len(ordered)), [look.label(str(m)) for m in ordered["method"]])
    ax.set_ylim(-0.6, len(ordered) - 0.4)
    ax.margins(x=0.08)


def _loss_caption(table: pd.DataFrame, runs: pd.DataFrame) -> str:
    best = table.groupby("problem", sort=False)["reference"].agg(lambda names: names.mode().iloc[0])
    named = ", ".join(f"{look.label(str(method))} on {problem}" for problem, method in best.items())
    own = runs[runs["problem"].isin(table["problem"]) & runs["method"].isin(table["method"])]
    without = int((settled(own)["final_test_accuracy"].isna()).sum())
    words = (
        "Test accuracy after retraining on training and validation data, minus that of the best non-greedy "
        f"method ({named}); mean over n = {span(table['seeds'])} seeds, paired by seed, and 95 % bootstrap "
        "interval, the best chosen anew in each resample. Greedy methods left of 0: lost to greediness."
    )
    return words + (f" Runs without a final accuracy, counted as 0: {without}." if without else "")
