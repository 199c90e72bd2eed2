"""Are hypergradients on a device those of autograd on the CPU, and what does its arithmetic do to them?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from hpobench_fds.benchmarks.engine.hypergradients import Row, trainer_with
from hpobench_fds.benchmarks.engine.unrolled import autograd_hypergradient
from numpy.typing import NDArray

from hpobench_fds.data.dataset import Dataset
from hpobench_fds.hypergradient import reverse
from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Hypergradient, Mode
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.schedule import HyperparameterSpace, Schedule
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.device_policy import DevicePolicy, policy_of
from hpobench_fds.training.optimisers import RULES
from hpobench_fds.training.problem import Problem, ProblemConfig
from hpobench_fds.training.trainer import Trainer

SHAPES: dict[str, tuple[int, ...]] = {
    "mlp": (1, 8, 8), "lenet": (1, 28, 28), "wrn-10-1": (3, 8, 8), "resnet-8": (1, 28, 28),
    "conv1d": (2, 13), "tab-mlp": (7,),
}  # fmt: skip
USUAL = {"lr": 0.05, "momentum": 0.7, "weight_decay": 0.02, "beta1": 0.7, "beta2": 0.8, "eps": 0.05}
HORIZON = 24  # of which stretches of eight and more may be played from a recording


def small_trainer(model: str, optimiser: str, device: str, dtype: str = "float64") -> Trainer:
    """A problem that autograd can unroll: random examples, two or three windows, float64."""
    space = {
        name: HyperparameterSpace(windows=2 if name == "lr" else 1, low=-2, high=2, initial=USUAL[name])
        for name in RULES[optimiser].defaults
    }
    config = ProblemConfig(
        dataset="noise", model=model, horizon=HORIZON, batch_size=6, optimiser=optimiser, space=space,
        dtype="float64" if dtype == "float64" else "float32", validation_fraction=0.2,
    )  # fmt: skip
    g = torch.Generator().manual_seed(0)
    x = torch.randn(60, *SHAPES[model], generator=g, dtype=torch.float64).to(getattr(torch, dtype))
    y = torch.randint(4, (60,), generator=g)
    x, y = x.to(device), y.to(device)
    return Trainer(Problem(config, Dataset("noise", x, y, x[:10], y[:10], 4)), 0, Clock())


def relative(value: NDArray[np.float64] | None, truth: NDArray[np.float64]) -> float:
    """Norm of the error over that of the truth; not a number where there is no value."""
    if value is None:
        return float("nan")
    return float(np.linalg.norm(value - truth) / np.linalg.norm(truth))


def cases() -> Iterator[tuple[str, str]]:
    """Every model with SGD, every rule with an mlp."""
    yield from ((model, "sgd") for model in SHAPES)
    yield from (("mlp", optimiser) for optimiser in RULES if optimiser != "sgd")


def oracle_errors(device: str, only: str | None = None) -> list[Row]:
    """Relative error in float64 of each mode on the device; ``only`` one model, or all."""
    rows: list[Row] = []
    for model, optimiser in cases():
        if only not in (None, model):
            continue
        there, here = small_trainer(model, optimiser, device), small_trainer(model, optimiser, "cpu")
        schedule = here.problem.space.initial
        truth = autograd_hypergradient(here, schedule)
        found = {name: run(there, schedule).gradient for name, run in MODES.items()}
        rows.append(
            {"model": model, "rule": optimiser} | {name: relative(one, truth) for name, one in found.items()}
        )
    return rows


def _stored_on_the_host(trainer: Trainer, schedule: Schedule) -> Hypergradient:
    kept, reverse.DEVICE_SHARE = reverse.DEVICE_SHARE, 0.0
    try:
        return ReverseMode()(trainer, schedule, 0)
    finally:
        reverse.DEVICE_SHARE = kept


def _by(mode: Mode) -> Callable[[Trainer, Schedule], Hypergradient]:
    return lambda trainer, schedule: mode(trainer, schedule, 0)


MODES: dict[str, Callable[[Trainer, Schedule], Hypergradient]] = {
    "forward": _by(ForwardMode()),
    "reverse": _by(ReverseMode()),
    "reverse, full": _by(ReverseMode(full=True)),
    "reverse, states on the host": _stored_on_the_host,
}


def arithmetic(device: str, horizons: tuple[int, ...] = (20, 100, 400)) -> list[Row]:
    """Relative error of float32 hypergradients with and without TF32, against float64 on the same data."""
    rows: list[Row] = []
    for horizon in horizons:
        with policy_of(torch.device(device), DevicePolicy(tf32=False)):
            single = trainer_with("mlp", horizon, 7, device)
            truth = _in_double(single)
            plain = ForwardMode()(single, single.problem.space.initial, 0).gradient
        with policy_of(torch.device(device), DevicePolicy(tf32=True)):
            coarse = ForwardMode()(single, single.problem.space.initial, 0).gradient
        rows.append({
            "model": "mlp", "horizon": horizon,
            "float32": relative(plain, truth), "TF32": relative(coarse, truth),
            "signs, float32": _agree(plain, truth), "signs, TF32": _agree(coarse, truth),
        })  # fmt: skip
    return rows


def _agree(value: NDArray[np.float64] | None, truth: NDArray[np.float64]) -> str:
    same = 0 if value is None else int(np.sum(np.sign(value) == np.sign(truth)))
    return f"{same} of {len(truth)}"


def _in_double(single: Trainer) -> NDArray[np.float64]:
    p = single.problem
    config = p.config.model_copy(update={"dtype": "float64"})
    x = p.x.double()
    double = Trainer(Problem(config, Dataset("noise", x, p.y, x[:10], p.y[:10], p.classes)), 0, Clock())
    found = ForwardMode()(double, double.problem.space.initial, 0).gradient
    assert found is not None
    return found
