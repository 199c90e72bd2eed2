"""The rows of ``jax_side`` as loops in Python over jitted steps, carried arrays donated.

XLA's fast convolutions on a CPU are not used inside a loop of its own: there a step of LeNet takes six times
as long, one of a wide ResNet forty times. So whoever trains convolutions with JAX on a CPU leaves the loop to
Python. Matrix products lose nothing in a scan.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hpobench_fds.benchmarks.engine.jax_side import Array, Carry, Compiled, Side, contracted, grown, zeros


def plain(side: Side) -> Compiled:
    """A training: its last weights, and the losses [T]."""
    step, batches, hypers = jax.jit(side.step, donate_argnums=2), *_by_step(side)

    def run() -> Any:
        carry, losses = _start(side), []
        for batch, values in zip(batches, hypers, strict=True):
            carry, loss = step(side.data, batch, carry, values)
            losses.append(loss)
        return jax.block_until_ready((carry[0], jnp.stack(losses)))

    return run


def forward(side: Side) -> Compiled:
    """Forward mode; a jitted step for each number of tangents."""
    step, batches, hypers = jax.jit(side.pushed, donate_argnums=(2, 3)), *_by_step(side)
    grow, contract = jax.jit(grown), jax.jit(lambda w, tangents: contracted(side, w, tangents))
    windows = [side.window(index) for index in range(len(side.starts))]

    def run() -> Array:
        carry = _start(side)
        tangents = jax.tree.map(lambda one: jnp.zeros((2, *one.shape)), carry)
        for begin, end, directions in windows:
            tangents = grow(tangents)
            for t in range(begin, end):
                carry, tangents, _ = step(side.data, batches[t], carry, tangents, hypers[t], directions)
        return jax.block_until_ready(contract(carry[0], tangents))

    return run


def reverse(side: Side, stored: bool) -> Compiled:
    """Reverse mode: what every step's derivative needs is stored, or a state every sqrt(T) steps.

    Those are run again, and then again together with their derivative.
    """
    return _all_stored(side) if stored else _checkpointed(side)


def _all_stored(side: Side) -> Compiled:
    batches, hypers = _by_step(side)

    @jax.jit
    def linearised(data: Any, batch: Array, carry: Carry, values: Array) -> Any:
        return jax.vjp(lambda c, h: side.step(data, batch, c, h)[0], carry, values)

    pull = jax.jit(lambda back, adjoint: back(adjoint))
    at_end, total = jax.jit(jax.grad(side.validated)), jax.jit(lambda rows: _to_vector(side, rows))

    def run() -> Array:
        carry, backs = _start(side), []
        for batch, values in zip(batches, hypers, strict=True):
            carry, back = linearised(side.data, batch, carry, values)
            backs.append(back)
        adjoint, rows = (at_end(carry[0], side.validation), zeros(carry[1])), []
        while backs:
            adjoint, row = pull(backs.pop(), adjoint)
            rows.append(row)
        return jax.block_until_ready(total(jnp.stack(rows[::-1])))

    return run


def _checkpointed(side: Side) -> Compiled:
    batches, hypers = _by_step(side)
    length = math.isqrt(side.horizon)
    step = jax.jit(lambda *now: side.step(*now)[0])

    @jax.jit
    def pull(data: Any, batch: Array, carry: Carry, values: Array, adjoint: Carry) -> Any:
        return jax.vjp(lambda c, h: side.step(data, batch, c, h)[0], carry, values)[1](adjoint)

    at_end, total = jax.jit(jax.grad(side.validated)), jax.jit(lambda rows: _to_vector(side, rows))

    def run() -> Array:
        carry, kept = _start(side), {}
        for t in range(side.horizon):
            if t % length == 0:
                kept[t] = carry
            carry = step(side.data, batches[t], carry, hypers[t])
        adjoint, rows = (at_end(carry[0], side.validation), zeros(carry[1])), []
        for begin in sorted(kept, reverse=True):
            states, end = [kept.pop(begin)], min(begin + length, side.horizon)
            for t in range(begin, end - 1):
                states.append(step(side.data, batches[t], states[-1], hypers[t]))
            for t in range(end - 1, begin - 1, -1):
                adjoint, row = pull(side.data, batches[t], states.pop(), hypers[t], adjoint)
                rows.append(row)
        return jax.block_until_ready(total(jnp.stack(rows[::-1])))

    return run


def _to_vector(side: Side, rows: Array) -> Array:
    """d/d(hyperparameters of each step) [T, 3] as d/d(vector) [n]."""
    return jax.vjp(side.schedule, side.values)[1](rows)[0]


def _start(side: Side) -> Carry:
    """Arrays of its own, which may be given away."""
    w = jax.tree.map(jnp.copy, side.w)
    return w, zeros(w)


def _by_step(side: Side) -> tuple[list[Any], list[Any]]:
    """Batches and hyperparameters step by step: cutting them off a device's array is a call each."""
    return list(np.asarray(side.batches)), list(np.asarray(side.schedule(side.values)))


ROWS: dict[str, Callable[[Side], Compiled]] = {
    "plain": plain,
    "forward": forward,
    "reverse": lambda side: reverse(side, stored=False),
    "reverse, full": lambda side: reverse(side, stored=True),
}
