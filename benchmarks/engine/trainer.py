"""Is the plain trainer as fast as a hand-written loop? Black-box methods spend all their time in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from hpobench_fds.benchmarks.engine.reference import plain_loop, reference_module
from hpobench_fds.benchmarks.engine.timing import interleaved, median_ratio
from torch import nn

from hpobench_fds.data.dataset import Dataset
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.clock import Clock, synchroniser
from hpobench_fds.training.problem import Problem, ProblemConfig
from hpobench_fds.training.trainer import Trainer

SHAPES: dict[str, tuple[int, ...]] = {
    "mlp": (1, 28, 28),
    "lenet": (1, 28, 28),
    "wrn-10-1": (3, 32, 32),
    "wrn-16-1": (3, 32, 32),
    "wrn-40-2": (3, 32, 32),
    "resnet-8": (1, 28, 28),
    "conv1d": (1, 40),
    "tab-mlp": (16,),
    "linear": (16,),
    "gpt-nano": (64,),
}
TOKENS = {"gpt-nano": 83}  # of models of text
# of those whose training is timed, a block of about a third of a second
STEPS = {
    "mlp": 400,
    "lenet": 50,
    "wrn-16-1": 3,
    "resnet-8": 10,
    "conv1d": 200,
    "tab-mlp": 1000,
    "gpt-nano": 10,
}
SCHEDULE = Schedule.of({"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4})


def random_dataset(model: str, device: str, examples: int = 4000) -> Dataset:
    """Noise in place of examples: the time of a step does not depend on what is in them."""
    g, shape = torch.Generator().manual_seed(0), SHAPES[model]
    if model in TOKENS:
        text = torch.randint(TOKENS[model], (2, examples, *shape), generator=g).to(device)
        return Dataset("noise", text[0], text[1], text[0, :10], text[1, :10], TOKENS[model])
    x = torch.randn(examples, *shape, generator=g).to(device)
    y = torch.randint(10, (examples,), generator=g).to(device)
    return Dataset("noise", x, y, x[:10], y[:10], 10)


def make_trainer(model: str, device: str, horizon: int, batch_size: int = 128) -> Trainer:
    config = ProblemConfig(
        dataset="noise", model=model, horizon=horizon, batch_size=batch_size, loss=loss_of(model)
    )
    return Trainer(Problem(config, random_dataset(model, device)), 0, Clock())


def loss_of(model: str) -> Literal["next_token"] | None:
    """What a model is trained for; None: cross-entropy of classes."""
    return "next_token" if model in TOKENS else None


def module_of(model: str) -> nn.Module:
    """A built-in model as an ordinary module, for the data of ``random_dataset``."""
    return reference_module(model, SHAPES[model], TOKENS.get(model, 10))


def compare(model: str, device: str = "cpu", rounds: int = 9, more: int = 10) -> dict[str, object]:
    """Milliseconds a step of both loops, and the ratio ours / hand-written; ``more`` steps on a GPU."""
    steps = STEPS[model] * (more if device == "cuda" else 1)
    trainer = make_trainer(model, device, horizon=steps)
    problem, order = trainer.problem, trainer.data(0).order
    module = module_of(model).to(device)
    loop = plain_loop(module, problem.x, problem.y, order.batch)

    def ours() -> None:
        trainer.train(trainer.start(0), SCHEDULE)

    def theirs() -> None:
        loop(steps)

    times = interleaved({"ours": ours, "theirs": theirs}, rounds, synchroniser(problem.device))
    ratio, low, high = median_ratio(times["ours"], times["theirs"])
    best = {name: min(seconds) / steps * 1e3 for name, seconds in times.items()}
    return {
        "model": model, "device": device, "trainer_ms": best["ours"], "hand_written_ms": best["theirs"],
        "ratio": ratio, "ratio_low": low, "ratio_high": high,
    }  # fmt: skip


def table(models: Sequence[str] = tuple(STEPS), device: str = "cpu") -> list[dict[str, object]]:
    """One row a model."""
    return [compare(model, device) for model in models]
