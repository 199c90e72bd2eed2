"""Outer optimisers: how a hypergradient moves a schedule, and when the search has converged.

All work on the space's flat view; a hyperparameter on a log scale moves in its natural logarithm.
Vectors are projected onto the bounds after each step, so that every method searches one space.

Vectors are numpy's; for hyperparameters that move during a training on a GPU they are tensors on it, and
nothing of a move is read from there.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from hpobench_fds.schedule import ScheduleSpace, Vector
from hpobench_fds.training.optimisers import RULES

OUTLIER = 10.0
"""A component of a hypergradient counts for at most so many times the median of its sizes so far."""
REMEMBERED = 200  # hypergradients, for that median
LONGEST = 0.1  # share of its range that plain descent moves a hyperparameter at once, at most
GROWTH, REACH = 1.2, 2.0
"""Rprop's factor on a step after two like signs (Riedmiller & Braun 1993), up to so many first steps."""

# A hyperparameter whose best value is 0 never has a step below a share of its value.
CONVERGED_RANGE_SHARE = 1e-3


class OuterOptions(BaseModel):
    """How the outer optimiser steps.

    kind : "sign" (the paper's), "rprop" (steps grow too, and it retreats along its path), "adam" (Kingma &
        Ba 2015) or "plain" gradient descent.
    step : step size by hyperparameter name, in place of the first step that the space states. For
        "plain" it multiplies the hypergradient. A name that a problem does not learn has no effect there.
    step_scale : a factor on every first step, stated or given.
    decay : factor on a hyperparameter's step when its hypergradient's sign flips (sign and rprop).
    converged : the search ends when every step is below this share of its value's magnitude (likewise).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["sign", "rprop", "adam", "plain"] = "sign"
    step: dict[str, float] = Field(default_factory=dict)
    step_scale: float = Field(default=1.0, gt=0.0)
    decay: float = Field(default=0.5, gt=0.0, lt=1.0)
    converged: float = Field(default=0.05, ge=0.0)

    @field_validator("step")
    @classmethod
    def _known(cls, step: dict[str, float]) -> dict[str, float]:
        known = sorted({name for rule in RULES.values() for name in rule.defaults})
        for name, size in step.items():
            if name not in known:
                raise ValueError(f"no inner optimiser has {name!r} (allowed: {', '.join(known)})")
            if not (np.isfinite(size) and size > 0):
                raise ValueError(f"{name} = {size:g} (allowed: above 0)")
        return step


Array = Any  # Vector, or a float64 tensor of the same shape


class Outer:
    """Base: coordinates, projection, step sizes, and the way back from a divergence.

    device : where vectors live; None or a CPU: numpy's.
    """

    def __init__(
        self, options: OuterOptions, space: ScheduleSpace, device: torch.device | None = None
    ) -> None:
        self.options, self.space = options, space
        self._device = None if device is None or device.type == "cpu" else device
        self._xp: Any = np if self._device is None else torch
        self._logs = bool(space.log.any())
        self._log = self.array(space.log)
        self._bounds = self.array(space.low), self.array(space.high)
        self._low, self._high = map(self._coordinates, self._bounds)
        firsts = zip(space.owners, space.steps.tolist(), strict=True)
        steps = np.array([options.step.get(name, first) for name, first in firsts], float)
        self.steps = self.array(steps * options.step_scale)
        self._good: Array | None = None  # the last vector whose training did not diverge
        self._seen: list[NDArray[np.float64]] = []

    def array(self, values: NDArray[Any]) -> Array:
        """An array where vectors live."""
        return values if self._device is None else torch.as_tensor(values, device=self._device)

    def _coordinates(self, vector: Array) -> Array:
        xp = self._xp
        return xp.where(self._log, xp.log(xp.where(self._log, vector, 1.0)), vector) if self._logs else vector

    def _vector(self, coordinates: Array) -> Array:
        xp = self._xp
        out = xp.clip(coordinates, self._low, self._high)
        if self._logs:
            out = xp.where(self._log, xp.exp(xp.where(self._log, out, 0.0)), out)
        return xp.clip(out, *self._bounds)

    def step(self, vector: Vector, hypergradient: NDArray[np.float64]) -> Vector:
        """The next vector [n]. Raises ValueError for a hypergradient that is not finite."""
        if not np.all(np.isfinite(hypergradient)):
            raise ValueError("the hypergradient is not finite")
        self._good = np.array(vector, float)
        self._seen = [*self._seen, self._slope(vector, hypergradient)][-REMEMBERED:]
        moved: Vector = self._vector(self._coordinates(vector) - self._move_after(self._without_outliers()))
        return moved

    def _without_outliers(self) -> NDArray[np.float64]:
        """Slopes [t, n] so far, the last one last, none beyond ``OUTLIER`` medians, later ones included.

        Through a training that nearly diverged hypergradients reach 1e30, and what averages would never
        forget it.
        """
        seen = np.array(self._seen)
        sizes = np.sort(np.where(seen == 0, np.inf, np.abs(seen)), axis=0)  # what is 0 tells of no size
        middle = np.maximum(np.isfinite(sizes).sum(axis=0) - 1, 0) // 2
        limit = OUTLIER * np.take_along_axis(sizes, middle[None], axis=0)
        return np.clip(seen, -limit, limit)

    def _move_after(self, slopes: NDArray[np.float64]) -> Array:
        """``_move`` for the last of some slopes [t, n]."""
        return self._move(slopes[-1])

    def move(self, vector: Array, hypergradient: Array) -> Array:
        """``step`` without its checks: nothing is read from a device."""
        return self._vector(self._coordinates(vector) - self._move(self._slope(vector, hypergradient)))

    def _slope(self, vector: Array, hypergradient: Array) -> Array:
        """The hypergradient in the coordinates."""
        return (
            self._xp.where(self._log, hypergradient * vector, hypergradient) if self._logs else hypergradient
        )

    def back_off(self, vector: Vector) -> Vector:
        """Where to go after the training of ``vector`` diverged: half way back to the last good one.

        Step sizes shrink as well. Without a good one yet, the initial vector is as good as any.
        """
        self.steps = self.steps * self.options.decay
        good = self._good if self._good is not None else self.space.to_vector(self.space.initial)
        moved: Vector = self._vector((self._coordinates(good) + self._coordinates(vector)) / 2)
        return moved

    def _move(self, gradient: Array) -> Array:
        raise NotImplementedError

    def has_converged(self, vector: Vector) -> bool:
        """Whether every step is small against its value; only the sign rule's steps ever are."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, to go on from."""
        good, seen = None if self._good is None else self._good.tolist(), [one.tolist() for one in self._seen]
        return {"steps": self.steps.tolist(), "good": good, "seen": seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = np.array(state["steps"], float)
        self._good = None if state["good"] is None else np.array(state["good"], float)
        self._seen = [np.array(one, float) for one in state.get("seen", [])]


class Sign(Outer):
    """lambda -= s * sign(h); s shrinks where the sign flips (Micaelli & Storkey 2021, section 4)."""

    def __init__(
        self, options: OuterOptions, space: ScheduleSpace, device: torch.device | None = None
    ) -> None:
        super().__init__(options, space, device)
        self._signs = self.array(np.zeros(space.size))

    def _move(self, gradient: Array) -> Array:
        xp, signs = self._xp, self._xp.sign(gradient)
        self.steps = xp.where(signs * self._signs < 0, self.steps * self.options.decay, self.steps)
        self._signs = signs
        return self.steps * signs

    def has_converged(self, vector: Vector) -> bool:
        value = self._coordinates(vector)
        # In a logarithm a step is a relative change already.
        scale = np.where(self._log, 1.0, np.abs(value))
        small = self.steps < self.options.converged * scale
        tiny = self.steps < CONVERGED_RANGE_SHARE * (self._high - self._low)
        return bool(np.all(small | tiny))

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"signs": self._signs.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._signs = np.array(state["signs"], float)


class Rprop(Sign):
    """The sign rule whose steps also grow, by ``GROWTH`` where a sign stays, up to ``REACH`` first steps.

    From a divergence it goes half way back to the last vector that it stepped from; from the next one, which
    comes of that, half way back to the one before; then two earlier, four earlier, and so on, since a whole
    stretch of its path may lie where trainings diverge, as after the horizon has grown.
    """

    def __init__(
        self, options: OuterOptions, space: ScheduleSpace, device: torch.device | None = None
    ) -> None:
        super().__init__(options, space, device)
        self._most: Array | None = None  # of each step
        self._path: list[Vector] = [space.to_vector(space.initial)]
        self._fallen = 0  # back-offs in a row

    def step(self, vector: Vector, hypergradient: NDArray[np.float64]) -> Vector:
        moved = super().step(vector, hypergradient)
        self._path.append(np.array(vector, float))
        self._fallen = 0
        return moved

    def _move(self, gradient: Array) -> Array:
        xp = self._xp
        if self._most is None:
            self._most = self.steps * REACH
        again = xp.sign(gradient) * self._signs > 0
        self.steps = xp.where(again, xp.minimum(self.steps * GROWTH, self._most), self.steps)
        return super()._move(gradient)

    def back_off(self, vector: Vector) -> Vector:
        del self._path[len(self._path) - min(2**self._fallen // 2, len(self._path) - 1) :]
        self._good, steps = self._path[-1], self.steps
        self._signs = self.array(np.zeros(self.space.size))
        moved = super().back_off(vector)
        if self._fallen:  # it is the way back that is made shorter from now on, not the steps to come
            self.steps = steps
        self._fallen += 1
        return moved

    def state_dict(self) -> dict[str, Any]:
        most = None if self._most is None else self._most.tolist()
        path = [one.tolist() for one in self._path]
        return super().state_dict() | {"most": most, "path": path, "fallen": self._fallen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._most = None if state["most"] is None else np.array(state["most"], float)
        self._path, self._fallen = [np.array(one, float) for one in state["path"]], int(state["fallen"])


class Adam(Outer):
    """Adam with each hyperparameter's step size as its learning rate; its moments are without outliers."""

    beta1, beta2, eps = 0.9, 0.999, 1e-8

    def __init__(
        self, options: OuterOptions, space: ScheduleSpace, device: torch.device | None = None
    ) -> None:
        super().__init__(options, space, device)
        self._m, self._v = (self.array(np.zeros(space.size)) for _ in range(2))
        self._t = 0

    def _move_after(self, slopes: NDArray[np.float64]) -> Array:
        self._m, self._v, self._t = np.zeros(slopes.shape[1]), np.zeros(slopes.shape[1]), 0
        for slope in slopes:  # anew: what is an outlier shows later
            moved = self._move(slope)
        return moved

    def _move(self, gradient: Array) -> Array:
        self._t += 1
        self._m = self.beta1 * self._m + (1 - self.beta1) * gradient
        self._v = self.beta2 * self._v + (1 - self.beta2) * gradient**2
        mean, square = self._m / (1 - self.beta1**self._t), self._v / (1 - self.beta2**self._t)
        return self.steps * mean / (self._xp.sqrt(square) + self.eps)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"m": self._m.tolist(), "v": self._v.tolist(), "t": self._t}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._m, self._v, self._t = np.array(state["m"]), np.array(state["v"]), int(state["t"])


class Plain(Outer):
    """lambda -= s * h, by ``LONGEST`` of the range at most."""

    def _move(self, gradient: Array) -> Array:
        longest = LONGEST * (self._high - self._low)
        return self._xp.clip(self.steps * gradient, -longest, longest)


def build_outer(options: OuterOptions, space: ScheduleSpace, device: torch.device | None = None) -> Outer:
    """The outer optimiser that the options name, for vectors on a device."""
    kinds: dict[str, type[Outer]] = {
        "sign": Sign, "rprop": Rprop, "adam": Adam, "plain": Plain,
    }  # fmt: skip
    return kinds[options.kind](options, space, device)
