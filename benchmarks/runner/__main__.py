"""``python -m hpobench_fds.benchmarks.runner``: what the runner costs a cell, and what two jobs gain.

Both sides of each comparison are measured in turn, in one run. It takes about three minutes on two
cores; run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from hpobench_fds import run_suite
from hpobench_fds.records.schema import RunRecord

CELL = 60.0  # seconds of the cell that shares are given of
GOAL = 0.01  # the runner's share of it at most
CELLS = 8


def measure(
    out: Path, methods: dict[str, Any], seeds: int, steps: int, **keywords: Any
) -> tuple[float, list[RunRecord]]:
    """Wall-clock of a run of those cells in seconds, and their records."""
    suite = {
        "name": "runner",
        "seeds": list(range(seeds)),
        "device": "cpu",
        "budget": {"steps": steps},
        "problems": {"digits-mlp": {"dataset": "digits", "model": "mlp", "horizon": 500, "batch_size": 64}},
        "methods": methods,
    }
    with tempfile.TemporaryDirectory(dir=out) as folder:
        began = time.perf_counter()
        summary = run_suite(suite, folder, **keywords)
        seconds = time.perf_counter() - began
    records = [result.record for result in summary.results if result.record is not None]
    if any(record.status != "complete" for record in records):
        raise RuntimeError(f"a cell failed: {[record.reason for record in records]}")
    return seconds, records


def adapter(name: str) -> dict[str, str]:
    return {"adapter": f"{Path(__file__).with_name('methods.py')}:{name}"}


def overhead(out: Path, isolate: bool) -> list[tuple[str, str, str]]:
    """Rows: seconds a cell from its start to its end, and a report, that are not the method's."""
    kind = "in a process of its own" if isolate else "in-process"
    measure(out, {"nothing": adapter("Nothing")}, 1, 1, isolate=isolate)  # loads data, starts the server
    none, _ = measure(out, {"nothing": adapter("Nothing")}, 1, 1, isolate=isolate)
    some, _ = measure(out, {"nothing": adapter("Nothing")}, 21, 1, isolate=isolate)
    cell = (some - none) / 20
    _, records = measure(out, {"reports": adapter("Reports")}, 3, 1, isolate=isolate)
    report = statistics.median(record.clock.records / record.reports for record in records)
    method = statistics.median(record.clock.method / record.reports for record in records)
    return [
        (f"a cell, {kind}", f"{1e3 * cell:.1f} ms", share(cell)),
        (f"a report, {kind}", f"{1e3 * report:.2f} ms", f"{share(CELL * report)} at one a second"),
        (f"of it on the method's clock, {kind}", f"{1e3 * method:.3f} ms", share(CELL * method)),
    ]


def share(seconds: float) -> str:
    return f"{100 * seconds / CELL:.3f} % ({'within' if seconds < GOAL * CELL else 'OVER'} the goal)"


def speedup(out: Path, steps: int, rounds: int) -> list[tuple[str, str, str]]:
    """Rows: wall-clock of equal cells one by one and two side by side, each with one thread."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for jobs, taken in seconds.items():
            taken.append(measure(out, {"random_search": {}}, CELLS, steps, jobs=jobs, isolate=True)[0])
    one, two = (statistics.median(taken) for taken in seconds.values())
    spread = {jobs: " ".join(f"{s:.1f}" for s in taken) for jobs, taken in seconds.items()}
    return [
        (f"{CELLS} equal cells, one job", f"{one:.1f} s", spread[1]),
        (f"{CELLS} equal cells, two jobs", f"{two:.1f} s", spread[2]),
        ("two jobs are faster", f"{one / two:.2f} times", "goal: 1.7 times"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000, help="inner steps of each of the equal cells")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each side")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        rows = overhead(out, True) + overhead(out, False) + speedup(out, options.steps, options.rounds)
    print(f"torch {torch.__version__}; shares are of a cell of {CELL:g} s, goal: under {GOAL:.0%}\n")
    print("| measured | value | share |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
