"""What hypergradients cost, in plain trainings; the other side of every ratio runs in the same minute."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hpobench_fds.benchmarks.engine.reference import double_backward_products, plain_loop
from hpobench_fds.benchmarks.engine.timing import interleaved, median_ratio
from hpobench_fds.benchmarks.engine.trainer import loss_of, module_of, random_dataset

from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Hypergradient
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.schedule import HyperparameterSpace
from hpobench_fds.training.clock import Clock, synchroniser
from hpobench_fds.training.optimisers import Step, StepTangents
from hpobench_fds.training.problem import Problem, ProblemConfig
from hpobench_fds.training.trainer import Trainer

Row = dict[str, object]
TANGENTS = 9
VALUES = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}


def trainer_with(
    model: str, horizon: int, lr_windows: int, device: str = "cpu", lr: float = VALUES["lr"]
) -> Trainer:
    """A trainer that learns ``lr_windows`` learning rates and, beside them, momentum and weight decay."""
    space = {
        name: HyperparameterSpace(windows=lr_windows if name == "lr" else 1, initial=value)
        for name, value in (VALUES | {"lr": lr}).items()
    }
    config = ProblemConfig(
        dataset="noise", model=model, horizon=horizon, batch_size=128, space=space, loss=loss_of(model)
    )
    return Trainer(Problem(config, random_dataset(model, device)), 0, Clock())


def forward_step(model: str, device: str = "cpu", rounds: int | None = None) -> Row:
    """Milliseconds of one step with nine tangents: ours, a double-backward loop, and plain steps.

    Beside them GFLOP/s: of plain and forward steps, and of a large matrix product, which nothing beats.
    """
    trainer = trainer_with(model, 4, TANGENTS - 2, device)
    p, data = trainer.problem, trainer.data(0)
    state, (x, y) = trainer.start(0), data.batch(0)
    tape = p.network.gradient(state.w, x, y)
    tangents = p.network.tangents(state.w, TANGENTS)
    tangents.flat.normal_()
    pushed_through = StepTangents(tangents.like(), [tangents.like()], tangents.like())
    values = tuple(VALUES.values())

    def step(gradient: torch.Tensor, hypers: tuple[float, ...]) -> Step:
        return Step(state.w, state.slots, gradient, hypers, 0)

    def plain() -> None:
        p.rule.update_(step(p.network.gradient(state.w, x, y).gradient, (0.0, 0.0, 0.0)))

    def pushed() -> None:
        tape = p.network.gradient(state.w, x, y)
        p.network.products(state.w, tape, tangents, pushed_through.gradient)
        p.rule.push(step(tape.gradient, values), pushed_through, [0, 7, 8])
        p.rule.update_(step(tape.gradient, (0.0, 0.0, 0.0)))

    module = module_of(model).to(device)
    loop = plain_loop(module, p.x, p.y, data.order.batch)
    directions = torch.randn(TANGENTS, sum(q.numel() for q in module.parameters()), device=device)
    sides: dict[str, Callable[[], object]] = {
        "plain": plain,
        "forward": pushed,
        "hand_written": lambda: loop(1),
        "double_backward": lambda: double_backward_products(module, x, y, directions),
    }
    # Several steps in a row, as in a training: a lone one would find the other sides' data in the caches.
    steps, usual = (2, 5) if model.startswith(("wrn", "resnet", "gpt")) else (5, 35)
    blocks = {name: _repeated(side, steps) for name, side in sides.items()}
    times = interleaved(blocks, rounds or usual, synchroniser(p.device))
    ms = {name: min(seconds) / steps * 1e3 for name, seconds in times.items()}
    extra = [f - g for f, g in zip(times["forward"], times["plain"], strict=True)]
    per_tangent, _, _ = median_ratio(extra, [TANGENTS * t for t in times["hand_written"]])
    against_ours, _, _ = median_ratio(extra, [TANGENTS * t for t in times["plain"]])
    faster, low, high = median_ratio(times["double_backward"], times["forward"])
    gflop = len(x) * p.network.gradient_flops / 1e9
    peak = matrix_product_peak(p.device)
    with_tangents = gflop * (1 + TANGENTS * p.network.product_cost)
    return {
        "model": model, "plain_ms": ms["plain"], "hand_written_ms": ms["hand_written"],
        "forward_ms": ms["forward"], "double_backward_ms": ms["double_backward"],
        "tangent_in_hand_written_steps": per_tangent, "tangent_in_trainer_steps": against_ours,
        "tangent_flop_limit": p.network.product_cost,
        "faster_than_double_backward": faster, "faster_low": low, "faster_high": high,
        "plain_gflops": 1e3 * gflop / ms["plain"], "forward_gflops": 1e3 * with_tangents / ms["forward"],
        "peak_gflops": peak, "faster_at_peak": ms["double_backward"] * peak / (1e3 * with_tangents),
        "loss": float(tape.loss),
    }  # fmt: skip


def matrix_product_peak(device: torch.device, side: int = 1536, rounds: int = 9) -> float:
    """GFLOP/s of the library's product of two square float32 matrices: the best of some rounds."""
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    (seconds,) = interleaved({"product": lambda: a @ b}, rounds, synchroniser(device)).values()
    return 2.0 * side**3 / min(seconds) / 1e9


def _repeated(side: Callable[[], object], times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            side()

    return run


def trainings(
    model: str,
    horizon: int,
    lr_windows: int,
    modes: tuple[str, ...],
    rounds: int = 3,
    device: str = "cpu",
    graphs: bool = True,
) -> list[Row]:
    """Whole hypergradients in plain trainings of the same horizon, and the memory that each mode held."""
    trainer = trainer_with(model, horizon, lr_windows, device)
    trainer.problem.graphs &= graphs
    schedule = trainer.problem.space.initial
    results: dict[str, Hypergradient] = {}

    def hypergradient(mode: str) -> Callable[[], None]:
        def run() -> None:
            if mode == "forward":
                results[mode] = ForwardMode()(trainer, schedule, 0)
            else:
                results[mode] = ReverseMode(full=mode == "reverse, full")(trainer, schedule, 0)

        return run

    sides = {"plain": lambda: trainer.train(trainer.start(0), schedule)}
    wait = synchroniser(trainer.problem.device)
    times = interleaved(sides | {mode: hypergradient(mode) for mode in modes}, rounds, wait)
    vector = 4 * trainer.problem.network.size
    rows: list[Row] = []
    for mode in modes:
        ratio, low, high = median_ratio(times[mode], times["plain"])
        rows.append({
            "model": model, "horizon": horizon, "hyperparameters": trainer.problem.space.size, "mode": mode,
            "plain_s": min(times["plain"]), "seconds": min(times[mode]), "trainings": ratio,
            "trainings_low": low, "trainings_high": high,
            "parameter_vectors": results[mode].peak_bytes / vector, "bytes": results[mode].peak_bytes,
            "ending": results[mode].ending,
        })  # fmt: skip
    return rows
