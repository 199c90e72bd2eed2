"""How long ``hpobench --help`` takes beside a bare ``python -c pass``; both sides in one run, in turn.

python -m hpobench_fds.benchmarks.startup
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable

from hpobench_fds.benchmarks.engine.timing import interleaved

GOAL = 0.3  # seconds that the help may take beyond the bare interpreter
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "hpobench --help": [sys.executable, "-c", "from hpobench_fds.cli import main; main(['--help'])"],
}


def medians(rounds: int) -> dict[str, float]:
    """Median wall-clock of each command, in seconds."""

    def run(command: list[str]) -> Callable[[], object]:
        return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    times = interleaved({name: run(command) for name, command in COMMANDS.items()}, rounds)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="runs of each side")
    found = medians(parser.parse_args().rounds)
    for name, seconds in found.items():
        print(f"{name:16} {1000 * seconds:6.0f} ms")
    bare, helped = found.values()
    print(f"{'difference':16} {1000 * (helped - bare):6.0f} ms (goal: at most {1000 * GOAL:.0f} ms)")


if __name__ == "__main__":
    main()
