"""The other side of every hypergradient's value: autograd through the whole unrolled training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpobench_fds.schedule import Schedule
from hpobench_fds.training.optimisers import Step
from hpobench_fds.training.trainer import Trainer


def unrolled_loss(trainer: Trainer, vector: Tensor, trial: int = 0, last: int | None = None) -> Tensor:
    """Validation loss after training with the flat schedule ``vector``, as one differentiable function.

    With ``last``, of the last so many steps alone: what came before is taken as constant. Uses no code
    of the engine but the models' plain ``loss``: batches, indices and the update rule are spelled out
    again.
    """
    p, data = trainer.problem, trainer.data(trial)
    state = trainer.start(trial)
    w, slots = state.w, state.slots
    clip = p.config.gradient_clip
    learned = p.space.learned
    offsets, at = {}, 0
    for name, space in learned.items():
        offsets[name] = at
        at += space.windows
    for t in range(p.horizon):
        if last is not None and t <= p.horizon - last:
            w, slots = w.detach(), slots.detach()
        x, y = data.batch(t)
        leaf = w if w.requires_grad else w.requires_grad_()
        drawn = {"draw": data.draw(t)} if p.network.random else {}
        g = torch.autograd.grad(p.network.loss(leaf, x, y, **drawn), leaf, create_graph=True)[0]
        if clip is not None:
            g = g.clamp(-clip, clip)
        hypers = [
            vector[offsets[n] + learned[n].windows * t // p.horizon]
            if n in learned
            else vector.new_tensor(p.space.spaces[n].initial)
            for n in p.rule.defaults
        ]
        w, slots = p.rule.update(Step(leaf, slots, g, hypers, t))
    return p.network.loss(w, data.x_validation, data.y_validation, plain=True)


def autograd_hypergradient(
    trainer: Trainer, schedule: Schedule, trial: int = 0, last: int | None = None
) -> NDArray[np.float64]:
    """d(validation loss)/d(schedule) by autograd through every step, or through the ``last`` ones."""
    values, device = trainer.problem.space.to_vector(schedule), trainer.problem.device
    vector = torch.tensor(values, dtype=torch.float64, device=device, requires_grad=True)
    (found,) = torch.autograd.grad(unrolled_loss(trainer, vector, trial, last), vector)
    hypergradient: NDArray[np.float64] = found.cpu().numpy()
    return hypergradient
