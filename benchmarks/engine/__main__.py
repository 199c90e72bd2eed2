"""``python -m hpobench_fds.benchmarks.engine``: time everything, print the tables, record them.

Run it on a machine that does nothing else; it takes about a quarter of an hour on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import torch
from hpobench_fds.benchmarks.engine.beside_jax import WORK, beside_jax, missing
from hpobench_fds.benchmarks.engine.figures import cost_figure, memory_figure
from hpobench_fds.benchmarks.engine.hypergradients import Row, forward_step, trainings
from hpobench_fds.benchmarks.engine.models import model_costs
from hpobench_fds.benchmarks.engine.trainer import SHAPES, STEPS
from hpobench_fds.benchmarks.engine.trainer import table as trainer_table

MODES = ("forward", "reverse, checkpointed")


def markdown(rows: list[Row]) -> str:
    """Rows as a Markdown table, numbers to three digits."""
    head = list(rows[0])

    def text(value: object) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(text(row[name]) for name in head) + " |" for row in rows]
    return "\n".join(lines)


def measure(quick: bool) -> dict[str, list[Row]]:
    """All tables by title."""
    models = ("mlp", "lenet") if quick else tuple(STEPS)
    tables: dict[str, list[Row]] = {
        "Trainer against a hand-written loop": [dict(row) for row in trainer_table(models)],
        "A step with nine tangents": [forward_step(model) for model in models],
    }
    counts = (1, 9, 27) if quick else (1, 3, 9, 27, 81)
    horizon = 162
    tables["Cost against hyperparameters"] = [
        row for n in counts for row in trainings("mlp", horizon, n, MODES)
    ] + [row for n in (1, 7, 25) for row in trainings("lenet", 100, n, MODES, rounds=2)]
    if not quick:
        tables["Cost against hyperparameters"] += [
            row for n in (1, 3, 7) for row in trainings("wrn-16-1", 18, n, MODES, rounds=1)
        ]
    tables["What each model costs"] = [model_costs(model) for model in (models if quick else SHAPES)]
    horizons = (100, 1000) if quick else (100, 300, 1000, 3000, 10_000)
    tables["Memory against horizon"] = [
        row for t in horizons for row in trainings("mlp", t, 7, (*MODES, "reverse, full"), rounds=1)
    ]
    if not quick:
        tables["A learning rate for every step"] = trainings("mlp", 10_000, 10_000, MODES[1:], rounds=1)
    if missing() is None:
        tables["Beside JAX"] = beside_jax(models if quick else tuple(WORK), _threads())
    return tables


def _threads() -> tuple[int, ...]:
    """One, and as many as this process uses."""
    return tuple(sorted({1, torch.get_num_threads()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/engine"))
    parser.add_argument("--quick", action="store_true", help="fewer models, horizons and counts")
    parser.add_argument("--jax", action="store_true", help="print ours beside JAX, and no more")
    parser.add_argument("--models", action="store_true", help="print what each model costs, and no more")
    options = parser.parse_args()
    if (absent := missing()) is not None:
        print(absent)
    if options.jax:
        if absent is None:
            print(markdown(beside_jax(tuple(WORK), _threads())))
        return
    if options.models:
        print(markdown([model_costs(model) for model in SHAPES]))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    tables = measure(options.quick)
    where = f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}"
    text = f"# Engine benchmarks\n\nOne run of `python -m hpobench_fds.benchmarks.engine`; {where}.\n"
    for title, rows in tables.items():
        text += f"\n## {title}\n\n{markdown(rows)}\n"
    text += "\n![Memory](memory.png)\n\n![Cost](cost.png)\n"
    (options.out / "README.md").write_text(text)
    (options.out / "tables.json").write_text(json.dumps({"where": where, "tables": tables}, indent=1))
    memory_figure(tables["Memory against horizon"], options.out / "memory.png")
    cost_figure(tables["Cost against hyperparameters"], options.out / "cost.png")
    print(text)


if __name__ == "__main__":
    main()
