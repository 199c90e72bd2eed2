"""Do equal seeds give equal bits, with recordings and without, and where does a loop wait for the device?"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable

import torch
from hpobench_fds.benchmarks.engine.hypergradients import Row, trainer_with
from hpobench_fds.benchmarks.engine.trainer import STEPS
from torch import Tensor

from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.online import OnlineMode, one_value_space
from hpobench_fds.hypergradient.outer import OuterOptions, build_outer
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.training.device_policy import DevicePolicy, policy_of
from hpobench_fds.training.inner_step import InnerStep
from hpobench_fds.training.trainer import Trainer

Run = Callable[[Trainer], Tensor]


def trained(trainer: Trainer) -> Tensor:
    """The weights after a training."""
    state = trainer.start(0)
    trainer.train(state, trainer.problem.space.initial)
    return state.w


def forward(trainer: Trainer) -> Tensor:
    return _gradient(ForwardMode(), trainer)


def backward(trainer: Trainer) -> Tensor:
    return _gradient(ReverseMode(), trainer)


def _gradient(mode: ForwardMode | ReverseMode, trainer: Trainer) -> Tensor:
    found = mode(trainer, trainer.problem.space.initial, 0)
    return torch.zeros(0) if found.gradient is None else torch.from_numpy(found.gradient)


def greedy(trainer: Trainer) -> Tensor:
    p = trainer.problem
    outer = build_outer(OuterOptions.model_validate({"kind": "adam"}), one_value_space(p.space), p.device)
    return OnlineMode(discount=0.9)(trainer, outer, 0).state.w


RUNS: dict[str, Run] = {"plain": trained, "forward": forward, "reverse": backward, "discounted": greedy}


def same_bits(device: str, models: tuple[str, ...] = tuple(STEPS), horizon: int = 60) -> list[Row]:
    """Whether two runs of equal seeds end in the same bits, and whether recordings change any."""
    rows: list[Row] = []
    for model in models:
        few = "wrn" in model  # slow to launch, and with no layers of its own
        for name, run in [*RUNS.items()][: 2 if few else None]:
            twice, told = _told(lambda run=run, model=model: _twice(run, model, horizon, device))
            with policy_of(torch.device(device), DevicePolicy(deterministic=False)):
                loose = _twice(run, model, horizon, device)
            eager = trainer_with(model, horizon, 3, device)
            eager.problem.graphs = False
            launched = run(eager)
            rows.append({
                "model": model, "loop": name, "deterministic": twice[0], "without": loose[0],
                "as launched one by one": bool(torch.equal(launched, twice[1])), "torch warns": told,
            })  # fmt: skip
    return rows


def _twice(run: Run, model: str, horizon: int, device: str) -> tuple[bool, Tensor]:
    first, second = (run(trainer_with(model, horizon, 3, device)) for _ in range(2))
    return bool(torch.equal(first, second)), second


def _told(work: Callable[[], tuple[bool, Tensor]]) -> tuple[tuple[bool, Tensor], str]:
    """What work returns, and the first line of each kind of warning that came."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = work()
    return found, "; ".join(sorted({str(one.message).split(". ")[0][:120] for one in seen}))


def waits(device: str, horizon: int = 400) -> list[Row]:
    """How often a loop waits for the device, and how often it looked, where it may."""
    rows: list[Row] = []
    for name, run in RUNS.items():
        for graphs in (False, True):
            trainer = trainer_with("mlp", horizon, 3, device)
            trainer.problem.graphs &= graphs
            run(trainer)  # what waits at first use alone
            looks, where = _counted(lambda run=run, trainer=trainer: run(trainer))
            rows.append({
                "loop": name, "recorded": trainer.problem.graphs, "steps": horizon, "looks": looks,
                "waits": sum(where.values()),
                "where": "; ".join(f"{place} {count}" for place, count in where.most_common(6)),
            })  # fmt: skip
    return rows


def _counted(work: Callable[[], object]) -> tuple[int, Counter[str]]:
    looks, read = 0, InnerStep._read

    def counted(inner: InnerStep, watched: Tensor | None) -> tuple[list[float], bool]:
        nonlocal looks
        looks += 1
        return read(inner, watched)

    InnerStep._read = counted  # type: ignore[method-assign]
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
        InnerStep._read = read  # type: ignore[method-assign]
    places = [
        f"{one.filename.rpartition('/')[2]}:{one.lineno}" for one in seen if "synch" in str(one.message)
    ]
    return looks, Counter(places)
