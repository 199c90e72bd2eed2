"""How long a training of the problem takes, and what of it is its own."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from hpobench_fds.benchmarks.known.greedy import problem_config

from hpobench_fds.schedule import Schedule
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.problem import load_problem
from hpobench_fds.training.trainer import Trainer

STEPS, BATCH = 100, 8
SCHEDULE = Schedule.of({"lr": [0.4, 0.3, 0.2, 0.1], "momentum": 0.7, "weight_decay": 0.0})


def milliseconds(rounds: int = 200) -> dict[str, tuple[float, float]]:
    """Median and least of so many rounds, on one thread: a training of 100 steps, and what goes with it."""
    torch.set_num_threads(1)
    trainer = Trainer(load_problem(problem_config(STEPS, BATCH, 7))[0], 0, Clock())
    state = trainer.start(0)
    timed: dict[str, Callable[[int], object]] = {
        "a trial's data, of 100 steps": lambda trial: [trainer.data(trial).batch(t) for t in range(STEPS)],
        "100 plain steps": lambda trial: trainer.train(trainer.start(trial), SCHEDULE),
        "one validation": lambda trial: trainer.evaluate(state),
    }
    found = dict[str, list[float]]()
    for trial in range(rounds):
        for name, work in timed.items():
            begun = time.perf_counter()
            work(trial)
            found.setdefault(name, []).append(1e3 * (time.perf_counter() - begun))
    return {name: (statistics.median(one), min(one)) for name, one in found.items()}
