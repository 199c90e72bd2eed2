"""``python -m hpobench_fds.benchmarks.transfer RESULTS PROBLEM``: what a search's answer is worth."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from hpobench_fds.analysis.stats.transfer import by_method
from hpobench_fds.benchmarks.transfer.retrainings import answers_of, retrained, targets_of
from hpobench_fds.benchmarks.transfer.tables import draw, markdown

from hpobench_fds.errors import InputError
from hpobench_fds.run.machine import describe_machine
from hpobench_fds.training.problem import ProblemConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a results folder")
    parser.add_argument("problem", help="its problem whose answers are trained again")
    parser.add_argument("--draws", type=int, default=10, help="retrainings of each answer on each target")
    parser.add_argument("--horizons", type=int, nargs="*", default=[2, 5], help="times the horizon")
    parser.add_argument("--datasets", nargs="*", default=[], help="other data sets")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    by = made()  # before the hours that it takes, in which sources may change
    try:
        answers = answers_of(options.folder, options.problem)
        config = ProblemConfig.model_validate(answers[0].run.problem_config)
        targets = targets_of(config, options.horizons, options.datasets)
        rows = retrained(answers, targets, options.draws, options.jobs)
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    out: Path = options.out or Path("results") / "transfer" / options.problem
    out.mkdir(parents=True, exist_ok=True)
    rows.to_csv(out / "retrainings.csv", index=False, float_format="%.6g")
    table = by_method(rows)
    draw(table, out / "transfer.png")
    (out / "README.md").write_text(text := markdown(table, options.problem, options.draws, by))
    print(text)


def made() -> str:
    """By which sources and on what the retrainings were made, for the page."""
    here = describe_machine(torch.device("cpu"))
    return (
        f"`python -m hpobench_fds.benchmarks.transfer` at commit {here.commit or 'unknown'}; torch "
        f"{here.software['torch']}, {here.description['name']}, one thread a process."
    )


if __name__ == "__main__":
    main()
