"""Trainings and hypergradients as one would write them in JAX: scans under jit, compiled once.

Weights, slots and their tangents are trees of arrays; batches are gathered inside the scans. SGD with
momentum and weight decay, the rule of ``training.optimisers.SGD``; cross-entropy. Batch norm's running
statistics and the evaluation of the last weights, which our side has as well, are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hpobench_fds.benchmarks.engine.jax_models import APPLIES, Array, parameters_of
from jax import lax

from hpobench_fds.schedule import window_start
from hpobench_fds.training.trainer import Trainer

Tree = Any
Carry = tuple[Tree, Tree]  # weights and momentum
Compiled = Callable[[], Any]  # waits for its result
Data = tuple[Array, Array]


@dataclass(frozen=True)
class Side:
    """One problem's data and starting point, and the windows of its learning rate."""

    model: str
    w: list[Array]
    data: Data
    validation: Data
    batches: Array  # [T, B], indices
    values: Array  # [n]: learning rates by window, momentum, weight decay
    starts: list[int]  # first step of each window

    @classmethod
    def of(cls, trainer: Trainer) -> Side:
        """The same weights, data, order and schedule as trial 0 of a trainer of ours."""
        p, data = trainer.problem, trainer.data(0)
        model, horizon, windows = p.config.model, p.horizon, p.space.learned["lr"].windows
        w = parameters_of(model, trainer.start(0).w.numpy(), p.network.shapes)

        def moved(x: Any) -> Array:
            return jnp.asarray(x.permute(0, 2, 3, 1).contiguous().numpy() if x.dim() == 4 else x.numpy())

        return cls(
            model=model, w=w, data=(moved(p.x), jnp.asarray(p.y.numpy(), jnp.int32)),
            validation=(moved(data.x_validation), jnp.asarray(data.y_validation.numpy(), jnp.int32)),
            batches=jnp.asarray(np.stack([data.order.batch(t).numpy() for t in range(horizon)]), jnp.int32),
            values=jnp.asarray(p.space.to_vector(p.space.initial), jnp.float32),
            starts=[window_start(windows, index, horizon) for index in range(windows)],
        )  # fmt: skip

    @property
    def horizon(self) -> int:
        return len(self.batches)

    def loss(self, w: Tree, x: Array, y: Array) -> Array:
        log_p = jax.nn.log_softmax(APPLIES[self.model](w, x))
        return -jnp.take_along_axis(log_p, y[:, None], 1).mean()

    def validated(self, w: Tree, validation: Data) -> Array:
        return self.loss(w, *validation)

    def step(self, data: Data, batch: Array, carry: Carry, hypers: Array) -> tuple[Carry, Array]:
        """One inner step with hyperparameters [lr, momentum, weight decay]; its loss."""
        (x, y), (w, v) = data, carry
        loss, g = jax.value_and_grad(self.loss)(w, x[batch], y[batch])
        lr, momentum, decay = hypers
        v = jax.tree.map(lambda v, g, w: momentum * v + (g + decay * w), v, g, w)
        return (jax.tree.map(lambda w, v: w - lr * v, w, v), v), loss

    def pushed(
        self, data: Data, batch: Array, carry: Carry, tangents: Carry, hypers: Array, directions: Array
    ) -> tuple[Carry, Carry, Array]:
        """One inner step with k tangents of what is carried, and k of the hyperparameters [k, 3]."""

        def along(tangent: Carry, direction: Array) -> Any:
            (new, loss), (moved, _) = jax.jvp(
                lambda c, h: self.step(data, batch, c, h), (carry, hypers), (tangent, direction)
            )
            return new, moved, loss

        found: tuple[Carry, Carry, Array] = jax.vmap(along, out_axes=(None, 0, None))(tangents, directions)
        return found

    def schedule(self, values: Array) -> Array:
        """Hyperparameters of each step [T, 3] by a vector [n]."""
        lengths = np.diff([*self.starts, self.horizon])
        lr = jnp.repeat(values[:-2], lengths, total_repeat_length=self.horizon)
        return jnp.stack([lr, *(jnp.broadcast_to(one, lr.shape) for one in values[-2:])], 1)

    def window(self, index: int) -> tuple[int, int, Array]:
        """First step of a window and the one after its last; the tangents of the hyperparameters in it.

        Rows: momentum, weight decay, then the learning rate's windows as they begin.
        """
        rows = np.zeros((index + 3, 3), np.float32)
        rows[[index + 2, 0, 1], [0, 1, 2]] = 1.0
        edges = [*self.starts, self.horizon]
        return edges[index], edges[index + 1], jnp.asarray(rows)


def compiled(side: Side, row: Callable[..., Any]) -> Compiled:
    """A row below, compiled."""
    inputs = side.w, side.data, side.validation, side.batches, side.values
    ready = jax.jit(lambda *now: row(side, *now)).lower(*inputs).compile()
    return lambda: jax.block_until_ready(ready(*inputs))


def plain(side: Side, w: Tree, data: Data, validation: Data, batches: Array, values: Array) -> Any:
    """A training: its last weights, and the losses [T]."""

    def body(carry: Carry, now: tuple[Array, Array]) -> tuple[Carry, Array]:
        return side.step(data, now[0], carry, now[1])

    (w, _), losses = lax.scan(body, (w, zeros(w)), (batches, side.schedule(values)))
    return w, losses


def forward(side: Side, w: Tree, data: Data, validation: Data, batches: Array, values: Array) -> Array:
    """Forward mode, one scan for each window: only the tangents of windows that have begun are carried."""
    carry: Carry = (w, zeros(w))
    tangents = jax.tree.map(lambda one: jnp.zeros((2, *one.shape)), carry)
    hypers = side.schedule(values)
    for index in range(len(side.starts)):
        begin, end, directions = side.window(index)
        tangents = grown(tangents)

        def body(both: Any, now: tuple[Array, Array], directions: Array = directions) -> Any:
            new, moved, loss = side.pushed(data, now[0], *both, now[1], directions)
            return (new, moved), loss

        steps = batches[begin:end], hypers[begin:end]
        (carry, tangents), _ = lax.scan(body, (carry, tangents), steps)
    return contracted(side, carry[0], tangents, validation)


def reverse(stored: bool) -> Callable[..., Array]:
    """Reverse mode: everything stored, or in segments of about sqrt(T) steps that are run again."""

    def hypergradient(
        side: Side, w: Tree, data: Data, validation: Data, batches: Array, values: Array
    ) -> Array:
        def body(carry: Carry, now: tuple[Array, Array]) -> tuple[Carry, Array]:
            return side.step(data, now[0], carry, now[1])

        def segment(carry: Carry, steps: Any) -> tuple[Carry, Array]:
            return lax.scan(body, carry, steps)

        def trained(values: Array) -> Array:
            steps = batches, side.schedule(values)
            carry: Carry = (w, zeros(w))
            if not stored:
                length = math.isqrt(side.horizon)
                count = side.horizon // length
                cut = count * length
                head = jax.tree.map(lambda one: one[:cut].reshape(count, length, *one.shape[1:]), steps)
                carry, _ = lax.scan(jax.checkpoint(segment), carry, head)
                steps = jax.tree.map(lambda one: one[cut:], steps)
            carry, _ = segment(carry, steps)
            return side.validated(carry[0], validation)

        return jax.grad(trained)(values)

    return hypergradient


def grown(tangents: Carry) -> Carry:
    """Tangents followed by one that is zero."""
    more: Carry = jax.tree.map(lambda one: jnp.concatenate([one, jnp.zeros_like(one[:1])]), tangents)
    return more


def contracted(side: Side, w: Tree, tangents: Carry, validation: Data | None = None) -> Array:
    """The hypergradient [n], in the schedule's order, by tangents of the last weights."""
    g = jax.grad(side.validated)(w, side.validation if validation is None else validation)
    found = sum(jax.tree.leaves(jax.tree.map(lambda d, one: jnp.tensordot(d, one, one.ndim), tangents[0], g)))
    return jnp.concatenate([found[2:], found[:2]])


def zeros(tree: Tree) -> Tree:
    return jax.tree.map(jnp.zeros_like, tree)


ROWS: dict[str, Callable[[Side], Compiled]] = {
    "plain": lambda side: compiled(side, plain),
    "forward": lambda side: compiled(side, forward),
    "reverse": lambda side: compiled(side, reverse(stored=False)),
    "reverse, full": lambda side: compiled(side, reverse(stored=True)),
}
