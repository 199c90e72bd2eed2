"""What steps and hypergradients cost on a device, recorded and launched one by one, in time and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from hpobench_fds.benchmarks.engine.hypergradients import Row, trainer_with
from hpobench_fds.benchmarks.engine.reference import plain_loop, reference_module
from hpobench_fds.benchmarks.engine.timing import interleaved, median_ratio
from hpobench_fds.benchmarks.engine.trainer import SHAPES

from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Mode
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.training.clock import synchroniser
from hpobench_fds.training.device_policy import DevicePolicy, policy_of
from hpobench_fds.training.trainer import Trainer

STEPS = {"mlp": 200, "lenet": 200, "tab-mlp": 200, "conv1d": 200, "resnet-8": 140, "wrn-16-1": 112}
WINDOWS = 7  # of the learning rate; momentum and weight decay make nine tangents
MIB = 2**20


def _launching(run: Callable[[Trainer], object], trainer: Trainer, graphs: bool) -> Callable[[], object]:
    """A run with recordings or without."""
    may = trainer.problem.graphs

    def block() -> object:
        trainer.problem.graphs = may and graphs
        try:
            return run(trainer)
        finally:
            trainer.problem.graphs = may

    return block


def plain(trainer: Trainer) -> object:
    return trainer.train(trainer.start(0), trainer.problem.space.initial)


def _mode(mode: Mode) -> Callable[[Trainer], object]:
    return lambda trainer: mode(trainer, trainer.problem.space.initial, 0)


LOOPS: dict[str, Callable[[Trainer], object]] = {
    "plain": plain, "forward": _mode(ForwardMode()), "reverse": _mode(ReverseMode()),
}  # fmt: skip


def steps(
    device: str, models: tuple[str, ...] = tuple(STEPS), rounds: int = 2, share: float = 1.0
) -> Iterator[Row]:
    """Milliseconds a step of each loop, launched one by one and recorded, beside a hand-written loop."""
    for model in models:
        horizon = round(share * STEPS[model])
        trainer = trainer_with(model, horizon, WINDOWS, device)
        problem, order = trainer.problem, trainer.data(0).order
        module = reference_module(model, SHAPES[model]).to(device)
        loop = plain_loop(module, problem.x, problem.y, order.batch)
        sides: dict[str, Callable[[], object]] = {"hand-written": lambda loop=loop, t=horizon: loop(t)}
        for name, run in LOOPS.items():
            sides[f"{name}, launched"] = _launching(run, trainer, graphs=False)
            sides[f"{name}, recorded"] = _launching(run, trainer, graphs=True)
        times = interleaved(sides, 1 if "wrn" in model else rounds, synchroniser(problem.device))
        row: Row = {"model": model, "steps": horizon}
        row |= {f"{name}, ms": min(seconds) / horizon * 1e3 for name, seconds in times.items()}
        for name in LOOPS:
            ratio, _, _ = median_ratio(times[f"{name}, launched"], times[f"{name}, recorded"])
            row[f"{name}, launched / recorded"] = ratio
        against, low, high = median_ratio(times["plain, recorded"], times["hand-written"])
        yield row | {"plain / hand-written": against, "lowest": low, "highest": high}


def policies(
    device: str, models: tuple[str, ...] = ("mlp", "lenet", "resnet-8"), rounds: int = 3, share: float = 0.5
) -> list[Row]:
    """Milliseconds a step of forward mode as runs have it, with TF32, and with a free choice of kernels."""
    rows: list[Row] = []
    for model in models:
        horizon = round(share * STEPS[model])
        trainer = trainer_with(model, horizon, WINDOWS, device)

        def under(policy: DevicePolicy, trainer: Trainer = trainer) -> Callable[[], None]:
            def block() -> None:
                with policy_of(torch.device(device), policy):
                    LOOPS["forward"](trainer)

            return block

        times = interleaved(
            {
                "runs": under(DevicePolicy()),
                "TF32": under(DevicePolicy(tf32=True)),
                "not deterministic": under(DevicePolicy(deterministic=False, cudnn_benchmark=True)),
            },
            rounds,
            synchroniser(trainer.problem.device),
        )
        rows.append({"model": model} | {f"{n}, ms": min(s) / horizon * 1e3 for n, s in times.items()})
    return rows


def memory(device: str, model: str = "lenet", horizons: tuple[int, ...] = (50, 200, 800)) -> list[Row]:
    """Most MiB that the device's allocator held, beside what the mode says that it holds."""
    rows: list[Row] = []
    modes: dict[str, Mode] = {
        "forward": ForwardMode(), "reverse": ReverseMode(), "reverse, full": ReverseMode(full=True),
    }  # fmt: skip
    for horizon in horizons:
        for name, mode in modes.items():
            trainer = trainer_with(model, horizon, WINDOWS, device)
            trainer.data(0)
            before = _allocated(device)
            if device != "cpu":
                torch.cuda.reset_peak_memory_stats(device)
            found = mode(trainer, trainer.problem.space.initial, 0)
            peak = 0 if device == "cpu" else torch.cuda.max_memory_allocated(device)
            rows.append({
                "model": model, "horizon": horizon, "mode": name, "said, MiB": found.peak_bytes / MIB,
                "peak, MiB": max(0, peak - before) / MIB, "ending": found.ending,
            })  # fmt: skip
    return rows


def _allocated(device: str) -> int:
    return 0 if device == "cpu" else torch.cuda.memory_allocated(device)
