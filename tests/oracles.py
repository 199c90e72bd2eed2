"""Independent answers that the engine is held against: autograd through the whole unrolled run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch
from hpobench_fds.benchmarks.engine.unrolled import autograd_hypergradient as autograd_hypergradient
from hpobench_fds.benchmarks.engine.unrolled import unrolled_loss as unrolled_loss
from torch import Tensor

from hpobench_fds.data.dataset import Dataset
from hpobench_fds.hypergradient.checkpoints import reach, sweeps_needed
from hpobench_fds.nn.tangents import Tangents
from hpobench_fds.schedule import HyperparameterSpace, Schedule
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.optimisers import RULES
from hpobench_fds.training.problem import Problem, ProblemConfig
from hpobench_fds.training.trainer import Trainer

# Tiny networks with convolutions and norms: a model, the shape of its examples, a batch.
LAYERED = [
    pytest.param("lenet", (1, 28, 28), 4, id="lenet"),
    pytest.param("wrn-10-1", (3, 8, 8), 6, id="wrn"),
    pytest.param("resnet-8", (1, 28, 28), 6, id="resnet"),
    pytest.param("conv1d", (2, 13), 6, id="conv1d"),
    pytest.param("tab-mlp", (7,), 6, id="tab-mlp"),
    pytest.param("linear", (7,), 6, id="linear"),
]


def matrix(tangents: Tangents) -> Tensor:
    """A copy of tangents as [k, P]."""
    return torch.stack([torch.cat(tangents.row(j)) for j in range(tangents.k)])


def tiny_dataset(
    shape: tuple[int, ...] = (1, 8, 8), examples: int = 60, classes: int = 4, seed: int = 0
) -> Dataset:
    """Random float64 examples with labels that depend on them."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(examples, *shape, generator=g, dtype=torch.float64)
    y = (x.flatten(1) @ torch.randn(x[0].numel(), classes, generator=g, dtype=torch.float64)).argmax(1)
    return Dataset("tiny", x, y, x[:10], y[:10], classes, torch.zeros(shape[0], dtype=torch.float64))


def tiny_trainer(
    model: str = "mlp",
    shape: tuple[int, ...] = (1, 8, 8),
    *,
    windows: Sequence[int] = (3, 2, 1),
    horizon: int = 9,
    batch_size: int = 8,
    seed: int = 0,
    examples: int = 60,
    dataset: Dataset | None = None,
    **config: object,
) -> Trainer:
    """A float64 trainer on a tiny problem, SGD with the given windows of lr, momentum, weight decay."""
    names = tuple(RULES[str(config.get("optimiser", "sgd"))].defaults)
    space = {n: HyperparameterSpace(windows=k, low=-2, high=2) for n, k in zip(names, windows, strict=True)}
    settings = ProblemConfig(
        dataset="tiny", model=model, horizon=horizon, batch_size=batch_size, space=space, dtype="float64",
        validation_fraction=0.2, **config,
    )  # fmt: skip
    return Trainer(Problem(settings, dataset or tiny_dataset(shape, examples)), seed, Clock())


def some_schedule(trainer: Trainer, seed: int = 0, lr: float = 0.1) -> Schedule:
    """Values of the usual size, different in every window."""
    rng = np.random.default_rng(seed)
    scale = {"lr": lr, "momentum": 0.7, "weight_decay": 0.02, "beta1": 0.7, "beta2": 0.8, "eps": 0.05}
    learned = trainer.problem.space.learned
    vector = [scale.get(n, 0.1) * u for n, s in learned.items() for u in rng.uniform(0.5, 1.2, s.windows)]
    return trainer.problem.space.from_vector(vector)


def finite_differences(trainer: Trainer, schedule: Schedule, step: float = 1e-6) -> np.ndarray:
    """Central differences of the trainer's own validation loss."""
    from hpobench_fds.hypergradient.validation import validation_gradient

    space = trainer.problem.space
    vector = space.to_vector(schedule)
    out = np.zeros(len(vector))
    for i in range(len(vector)):
        losses = []
        for sign in (1, -1):
            moved = vector.copy()
            moved[i] += sign * step
            state = trainer.start(0)
            trainer.train(state, space.from_vector(moved))
            losses.append(validation_gradient(trainer, state)[0])
        out[i] = (losses[0] - losses[1]) / (2 * step)
    return out


@cache
def least_steps_run(steps: int, states: int) -> int:
    """By dynamic programming: the least steps run forward to stand before each of ``steps`` in turn.

    With one stored state every step is reached from it anew; with more, the second is stored somewhere,
    and what lies behind it is reversed first.
    """
    if states == 1 or steps <= 1:
        return steps * (steps - 1) // 2
    return min(
        at + least_steps_run(steps - at, states - 1) + least_steps_run(at, states) for at in range(1, steps)
    )


def steps_run(steps: int, states: int) -> int:
    """Steps run forward, all told, before each of ``steps`` can be reversed from its own state."""
    if steps <= 1:
        return 0
    if states == 1:
        return steps * (steps - 1) // 2
    sweeps = sweeps_needed(steps, states)
    # Griewank & Walther (2000), proposition 1, for states that are kept rather than run again
    return sweeps * steps - reach(states + 1, sweeps - 1)


def relative_error(value: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(value - truth) / np.linalg.norm(truth))
