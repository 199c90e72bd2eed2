"""``python -m hpobench_fds.benchmarks.known``: the best schedule and the greedy one; how quick it is."""

from __future__ import annotations

import argparse
import csv
import platform
from pathlib import Path

import torch
from hpobench_fds.benchmarks.known.figures import greediness
from hpobench_fds.benchmarks.known.greedy import Course, courses
from hpobench_fds.benchmarks.known.speed import BATCH, STEPS, milliseconds

from hpobench_fds.data.stream import DECAY, INPUTS, NOISE

FIGURE = "Learning rates, the best and the greedy, and what they come to"


def page(found: list[Course], times: dict[str, tuple[float, float]]) -> str:
    """What was found, in Markdown."""
    where = f"torch {torch.__version__}, one thread, {platform.machine()}"
    lines = [
        "# The problem whose best schedule is known",
        "",
        f"One run of `python -m hpobench_fds.benchmarks.known`; {where}. A stream of {INPUTS} inputs whose",
        f"variances fall as i^-{DECAY:g}, {NOISE:g} of the targets' variance noise, {STEPS} steps of {BATCH}",
        "examples; learning rates alone, without momentum and weight decay.",
        "",
        "| schedule | first rate | rate at three quarters | last rate | expected loss above the noise |",
        "|---|---:|---:|---:|---:|",
    ]
    for one in found:
        first, late, last = (one.rates[i] for i in (0, 3 * len(one.rates) // 4, -1))
        above = one.losses[-1] - NOISE
        lines.append(f"| {one.name} | {first:.3f} | {late:.3f} | {last:.3f} | {above:.5f} |")
    lines += ["", f"![{FIGURE}](greediness.png)", "", "| what | median (ms) | least (ms) |"]
    lines.append("|---|---:|---:|")
    lines += [f"| {name} | {middle:.2f} | {least:.2f} |" for name, (middle, least) in times.items()]
    return "\n".join(lines) + "\n"


def table(found: list[Course], path: Path) -> None:
    """The plotted numbers: schedule, step, its rate, and the expected loss behind it."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["schedule", "step", "learning_rate", "expected_loss_after"])
        for one in found:
            for step, (rate, loss) in enumerate(zip(one.rates, one.losses[1:], strict=True)):
                writer.writerow([one.name, step, f"{rate:.8g}", f"{loss:.10g}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/known"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    found, times = courses(STEPS, BATCH), milliseconds()
    greediness(found, NOISE, options.out / "greediness.png")
    table(found, options.out / "greediness.csv")
    (options.out / "README.md").write_text(text := page(found, times))
    print(text)


if __name__ == "__main__":
    main()
