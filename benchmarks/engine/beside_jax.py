"""Ours beside jitted JAX on the same work: weights, data, order, loss, step rule, precision and threads.

Each model is timed in a process of its own, bound to as many CPUs as it may use before either library starts
its threads. Rounds are interleaved. JAX compiles before the clock starts: seconds up to the end of its first
call stand in a column. With one thread times are of the CPU, so that others on the machine hardly count.

``python -m hpobench_fds.benchmarks.engine.beside_jax MODEL THREADS`` prints the rows of a model as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypedDict

import torch
from hpobench_fds.benchmarks.engine.hypergradients import Row, trainer_with
from hpobench_fds.benchmarks.engine.timing import interleaved, median_ratio

from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.training.trainer import Trainer

MODES = ("plain", "forward", "reverse", "reverse, full")


class Work(TypedDict):
    """Inner steps, windows of the learning rate (momentum and weight decay beside them), rounds."""

    horizon: int
    windows: int
    rounds: int
    modes: tuple[str, ...]


WORK: dict[str, Work] = {
    "mlp": {"horizon": 200, "windows": 7, "rounds": 9, "modes": MODES},
    "lenet": {"horizon": 28, "windows": 7, "rounds": 3, "modes": MODES},
    # XLA's convolutions take a second a step on a CPU: its hypergradients took over a quarter of an hour.
    "wrn-16-1": {"horizon": 3, "windows": 1, "rounds": 2, "modes": ("plain",)},
}
CALM = 1e-3  # learning rate at which rounding errors do not grow over these horizons


def missing() -> str | None:
    """Why there is nothing to compare with, in a line; None if there is."""
    if importlib.util.find_spec("jax") is None:
        return "Beside JAX: left out, jax is not installed (pip install 'hpobench-fds[bench]')"
    return None


def rows_of(model: str, horizon: int, windows: int, rounds: int, modes: tuple[str, ...] = MODES) -> list[Row]:
    """A row for each of ``modes``, plain training among them, timed in this process."""
    from hpobench_fds.benchmarks.engine import jax_loops, jax_side

    trainer = trainer_with(model, horizon, windows, lr=CALM)
    side = jax_side.Side.of(trainer)
    theirs = jax_side.ROWS if model == "mlp" else jax_loops.ROWS
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    rows: list[Row] = []
    for mode in modes:
        ours, began = our_side(trainer, mode), time.perf_counter()
        jitted = theirs[mode](side)
        found = jitted()  # what is not compiled before its first call is now
        seconds = time.perf_counter() - began
        apart = _apart(ours(), found)
        times = interleaved({"ours": ours, "jax": jitted}, rounds, clock=clock)
        ratio, low, high = median_ratio(times["ours"], times["jax"])
        rows.append({
            "model": model, "horizon": horizon, "hyperparameters": trainer.problem.space.size, "mode": mode,
            "threads": torch.get_num_threads(),
            "ours_ms": min(times["ours"]) * 1e3, "jax_ms": min(times["jax"]) * 1e3,
            "ratio": ratio, "ratio_low": low, "ratio_high": high,
            "jax_first_call_s": seconds, "relative_difference": apart,
        })  # fmt: skip
    return rows


def our_side(trainer: Trainer, mode: str) -> Callable[[], torch.Tensor]:
    """A row of the table: plain training's last loss [1], or a mode's hypergradient [n]."""
    schedule = trainer.problem.space.initial

    def trained() -> torch.Tensor:
        return torch.tensor([trainer.train(trainer.start(0), schedule).train_loss])

    def differentiated() -> torch.Tensor:
        engine = ForwardMode() if mode == "forward" else ReverseMode(full=mode == "reverse, full")
        found: Hypergradient = engine(trainer, schedule, 0)
        assert found.gradient is not None
        return torch.from_numpy(found.gradient)

    return trained if mode == "plain" else differentiated


def _apart(ours: torch.Tensor, found: object) -> float:
    """The largest difference over the largest component."""
    import numpy as np

    theirs = torch.tensor(np.asarray(found[1][-1:] if isinstance(found, tuple) else found))
    return float((ours.double() - theirs.double()).abs().max() / theirs.abs().max())


def beside_jax(models: tuple[str, ...], threads: tuple[int, ...]) -> list[Row]:
    """The table: every model with every number of threads."""
    rows: list[Row] = []
    for model in models:
        for count in threads:
            command = [sys.executable, "-m", __spec__.name, model, str(count)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows += json.loads(done.stdout.splitlines()[-1])
    return rows


def bind(threads: int) -> None:
    """Bind this process to so many CPUs: XLA starts as many threads as it sees CPUs."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    torch.set_num_threads(threads)


def main(model: str, threads: str) -> None:
    bind(int(threads))
    print(json.dumps(rows_of(model, **WORK[model])))


if __name__ == "__main__":
    main(*sys.argv[1:])
