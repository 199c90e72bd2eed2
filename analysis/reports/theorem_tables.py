"""What the simulation of the theorem found, as tables for a terminal and as a sentence."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from ..stats.theorem import FALSE_ALARM, Result


def verdict(draws: int, *results: Result) -> str:
    """What the checks have found, in a sentence."""
    count, failed = sum(len(r.table) for r in results), sum(len(r.failed) for r in results)
    found = f"{failed} fail" if failed else "the theorem holds in all"
    return (
        f"{count} comparisons of {draws} draws each: {found} (a true theorem fails one or more with a "
        f"probability of {FALSE_ALARM:g} at most)"
    )


def to_rich(result: Result) -> Table:
    """The bound against the simulated error; failing cases in red."""
    view = Table(
        box=box.SIMPLE_HEAD, title="Mean squared error of sharing over W steps", title_justify="left"
    )
    for heading in ("Drift", "sigma", "epsilon", "c", "W", "Bound", "Simulated", "Simulated / bound"):
        view.add_column(heading, justify="left" if heading == "Drift" else "right")
    before = None
    for row in result.table.itertuples():
        if before not in (None, row.drift):
            view.add_section()
        before = row.drift
        texts = [
            str(row.drift), f"{row.sigma:g}", f"{row.epsilon:g}", f"{row.c:g}", f"{row.width}",
            f"{row.bound:.5f}", f"{row.mse:.5f} ± {row.error:.5f}", f"{row.ratio:.3f}",
        ]  # fmt: skip
        view.add_row(*map(Text, texts), style="bold red" if row.exceeds else "")
    return view


def best_to_rich(result: Result) -> Table:
    """The formula's W against its neighbours."""
    view = Table(box=box.SIMPLE_HEAD, title="Best W under the largest drift", title_justify="left")
    for heading in ("sigma", "epsilon", "c", "Formula", "W", "Other W", "Error more than at W"):
        view.add_column(heading, justify="right")
    for row in result.table.itertuples():
        texts = [
            f"{row.sigma:g}", f"{row.epsilon:g}", f"{row.c:g}", f"{row.formula:.2f}", f"{row.width}",
            f"{row.other}", f"{row.difference:.5f} ± {row.error:.5f}",
        ]  # fmt: skip
        view.add_row(*map(Text, texts), style="bold red" if row.worse else "")
    return view
