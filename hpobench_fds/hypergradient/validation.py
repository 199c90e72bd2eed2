"""The gradient of the validation loss: where every hypergradient begins."""

from __future__ import annotations

import torch
from torch import Tensor

from hpobench_fds.training.state import TrainState
from hpobench_fds.training.trainer import EVALUATION_BATCH, Trainer


def validation_gradient(trainer: Trainer, state: TrainState) -> tuple[float, Tensor]:
    """Mean validation loss and its gradient [P], batch norm in training mode (the paper's way)."""
    p, data = trainer.problem, trainer.data(state.trial)
    total = torch.zeros_like(state.w)
    loss = torch.zeros((), dtype=torch.float64, device=p.device)  # read once, at the end
    count = len(data.y_validation)
    # Batches of about equal size: a small last one would make bad batch statistics.
    for x, y in zip(
        *(t.tensor_split(-(-count // EVALUATION_BATCH)) for t in (data.x_validation, data.y_validation)),
        strict=True,
    ):
        tape = p.network.gradient(state.w, x, y, plain=True)
        total.add_(tape.gradient, alpha=len(y) / count)
        loss += tape.loss.double() * len(y) / count
    trainer.clock.count(gradients=count / p.batch_size)
    return float(loss), total
