"""``python -m hpobench_fds.benchmarks.search SUITE PROBLEM``: is a schedule in windows worth its numbers?"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import torch
from hpobench_fds.benchmarks.search.comparing import Result, compared, gains, interval
from hpobench_fds.benchmarks.search.figures import draw

from hpobench_fds.suite.config import load_suite


def page(results: list[Result], what: dict[str, Any]) -> str:
    """What was found, in Markdown."""
    trainings = ", ".join(f"{one.found.trainings:,}" for one in results)
    torch_here = f"torch {torch.__version__}, {platform.machine()}"
    lines = [
        "# Windows, constants and cosines",
        "",
        f"`python -m hpobench_fds.benchmarks.search {what['suite']} {what['problem']}`; {torch_here}.",
        f"In each family {what['evaluations']} schedules in {what['draws']} draws, the best dozen again in",
        f"four times as many others ({trainings} trainings); chosen on validation. Test accuracies are of",
        f"{what['retrainings']} fresh retrainings of each answer, in the same draws.",
        "",
        "| learning rate | numbers | validation error (%) | test accuracy (%), mean (95 % interval) |",
        "|---|---:|---:|---:|",
    ]
    for one in results:
        mean, low, high = (100 * value for value in interval(one.accuracies))
        error, size = 100 * one.found.error, len(one.found.unit)
        lines.append(f"| {one.family} | {size} | {error:.2f} | {mean:.2f} ({low:.2f} to {high:.2f}) |")
    lines += ["", "| windows have more than | points of test accuracy (95 % interval) |", "|---|---:|"]
    for family, *values in gains(results):
        mean, low, high = (100 * value for value in values)
        lines.append(f"| {family} | {mean:.2f} ({low:.2f} to {high:.2f}) |")
    lines += ["", "![Schedules and accuracies](search.png)", ""]
    return "\n".join(lines)


def record(results: list[Result], what: dict[str, Any]) -> dict[str, Any]:
    """All that was found, as plain data."""
    return {
        **what,
        "families": {
            one.family: {
                "schedule": one.found.schedule.as_dict(),
                "validation_error": one.found.error,
                "trainings": one.found.trainings,
                "test_accuracies": one.accuracies.tolist(),
            }
            for one in results
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", help="a suite file, or a built-in suite's name")
    parser.add_argument("problem", help="its problem of classes, whose learning rate is in windows")
    parser.add_argument("--evaluations", type=int, default=1500, help="schedules tried in each family")
    parser.add_argument("--draws", type=int, default=4, help="trainings of each")
    parser.add_argument("--retrainings", type=int, default=40, help="of each answer, for the comparison")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config, _ = load_suite(options.suite).problems[options.problem]
    what = {
        name: getattr(options, name) for name in ("suite", "problem", "evaluations", "draws", "retrainings")
    }
    out: Path = options.out or Path("results") / f"search-{options.problem}"
    out.mkdir(parents=True, exist_ok=True)
    results = compared(config, options.evaluations, options.draws, options.retrainings)
    if config.horizon is None:
        raise SystemExit("its horizon is in epochs; give it in inner steps")
    draw(results, config.horizon, out / "search.png")
    (out / "search.json").write_text(json.dumps(record(results, what), indent=1))
    (out / "README.md").write_text(text := page(results, what))
    print(text)


if __name__ == "__main__":
    main()
