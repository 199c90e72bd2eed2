"""Step rules that set their own step sizes: trained by one, a network needs no schedule.

Each is its authors' algorithm as their package has it, with that package's defaults, on one flat vector.
Numbers that depend on gradients stay on the device, in float64: nothing is read from it between two looks.
They are not differentiated through, so what they need beside the weights is theirs and not a state's slots.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor


class Course(ABC):
    """One training by a rule: what it keeps from step to step."""

    @abstractmethod
    def take(self, w: Tensor, gradient: Tensor) -> None:
        """Move w [P] in place to where the next gradient is wanted; the gradient [P] may be overwritten."""

    def settle(self, w: Tensor) -> None:  # noqa: B027
        """Move w [P] in place to where the rule is evaluated. No step comes after."""


class OwnRule(BaseModel, ABC):
    """A rule with its options; equal ones train alike.

    elsewhere : whether it is evaluated at other weights than it takes gradients at, so that batch norm's
        running statistics have to be made anew there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rule: ClassVar[str]
    elsewhere: ClassVar[bool] = False

    @abstractmethod
    def begin(self, w: Tensor) -> Course:
        """A training from w [P]."""

    def as_data(self) -> dict[str, Any]:
        """Plain data, which ``own_rule`` reads."""
        return {"rule": self.rule, **self.model_dump()}


def own_rule(data: Mapping[str, Any]) -> OwnRule:
    """The rule of such data. Raises ValueError for a rule or options that there are not."""
    options = dict(data)
    name = options.pop("rule", None)
    if name not in OWN_RULES:
        raise ValueError(f"no rule {name!r} (allowed: {', '.join(OWN_RULES)})")
    return OWN_RULES[name].model_validate(options)


def _zero(w: Tensor, value: float = 0.0) -> Tensor:
    """A number on the weights' device, in float64."""
    return torch.full((), value, dtype=torch.float64, device=w.device)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a, b).double()


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """The ratio; 0 where nothing is below, as before the first gradient that is not 0."""
    return torch.where(below > 0, above / below, 0.0)


# --------------------------------------------------------------------------------------- schedule-free


class _ScheduleFree(OwnRule):
    """Options of both kinds. A step of ``lr`` * t / ``warmup_steps`` warms up; the t-th iterate enters the
    average with weight t^r times the largest rate so far to the power ``weight_lr_power``.
    """

    elsewhere = True

    weight_decay: float = Field(default=0.0, ge=0)  # at y
    warmup_steps: int = Field(default=0, ge=0)
    r: float = Field(default=0.0, ge=0)
    weight_lr_power: float = Field(default=2.0, ge=0)


class _Averaged(Course):
    """y = (1 - beta) z + beta x, gradients at y, steps of z, and x its average.

    w is y until it settles at x; x is not kept, but follows from y and z.
    """

    def __init__(self, options: _ScheduleFree, lr: float, beta: float, w: Tensor) -> None:
        self._options, self._lr, self._beta, self._z = options, lr, beta, w.clone()
        self._steps, self._largest, self._weights = 0, 0.0, 0.0

    def take(self, w: Tensor, gradient: Tensor) -> None:
        o, self._steps = self._options, self._steps + 1
        lr = self._lr * min(1.0, self._steps / o.warmup_steps) if o.warmup_steps else self._lr
        self._largest = max(self._largest, lr)
        weight = self._steps**o.r * self._largest**o.weight_lr_power
        self._weights += weight
        share = weight / self._weights if self._weights else 0.0
        direction = self._direction(gradient)
        if o.weight_decay:
            direction.add_(w, alpha=o.weight_decay)
        w.lerp_(self._z, share).add_(direction, alpha=lr * (self._beta * (1 - share) - 1))
        self._z.sub_(direction, alpha=lr)

    def _direction(self, gradient: Tensor) -> Tensor:
        return gradient

    def settle(self, w: Tensor) -> None:
        w.lerp_(self._z, 1 - 1 / self._beta)


class ScheduleFreeSGD(_ScheduleFree):
    """Schedule-free SGD (Defazio et al., NeurIPS 2024), as ``schedulefree.SGDScheduleFree``."""

    rule = "schedule_free_sgd"

    lr: float = Field(default=1.0, gt=0)
    momentum: float = Field(default=0.9, gt=0, lt=1)

    def begin(self, w: Tensor) -> Course:
        return _Averaged(self, self.lr, self.momentum, w)


class _AveragedAdam(_Averaged):
    def __init__(self, options: ScheduleFreeAdamW, w: Tensor) -> None:
        super().__init__(options, options.lr, options.beta1, w)
        self._beta2, self._eps, self._squares = options.beta2, options.eps, torch.zeros_like(w)

    def _direction(self, gradient: Tensor) -> Tensor:
        self._squares.mul_(self._beta2).addcmul_(gradient, gradient, value=1 - self._beta2)
        below = self._squares.div(1 - self._beta2**self._steps).sqrt_().add_(self._eps)
        return gradient.div_(below)


class ScheduleFreeAdamW(_ScheduleFree):
    """Schedule-free AdamW (Defazio et al., NeurIPS 2024), as ``schedulefree.AdamWScheduleFree``."""

    rule = "schedule_free_adamw"

    lr: float = Field(default=0.0025, gt=0)
    beta1: float = Field(default=0.9, gt=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    eps: float = Field(default=1e-8, gt=0)

    def begin(self, w: Tensor) -> Course:
        return _AveragedAdam(self, w)


# ------------------------------------------------------------------------ estimates of the distance


class _Distance(OwnRule):
    """Options of rules that estimate the distance d to a solution: over all parameters together.

    lr : multiplies the step that the estimate gives. d0 : the first estimate. growth_rate : by how many
    times it may grow in a step; None: by any.
    """

    lr: float = Field(default=1.0, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    d0: float = Field(default=1e-6, gt=0)
    growth_rate: float | None = Field(default=None, ge=1)

    def grown(self, d: Tensor, most: Tensor) -> Tensor:
        """``most``, or as far towards it as d may grow."""
        return most if self.growth_rate is None else torch.minimum(most, d * self.growth_rate)


class _Adaptive(_Distance):
    """Options of those that scale each coordinate as Adam does; its bias is not corrected by default."""

    beta1: float = Field(default=0.9, gt=0, lt=1)
    beta2: float = Field(default=0.999, gt=0, lt=1)
    eps: float = Field(default=1e-8, gt=0)
    use_bias_correction: bool = False

    def unbiased(self, step: int) -> float:
        if not self.use_bias_correction:
            return 1.0
        return float((1 - self.beta2**step) ** 0.5 / (1 - self.beta1**step))


class _ProdigyCourse(Course):
    def __init__(self, options: Prodigy, w: Tensor) -> None:
        self._options, self._start, self._steps = options, w.clone(), 0
        self._m, self._v, self._s = (torch.zeros_like(w) for _ in range(3))
        self._d, self._largest, self._above = _zero(w, options.d0), _zero(w, options.d0), _zero(w)
        self._beta3 = math.sqrt(options.beta2) if options.beta3 is None else options.beta3

    def take(self, w: Tensor, gradient: Tensor) -> None:
        o, d, self._steps = self._options, self._d, self._steps + 1
        rate = d * (o.lr * o.unbiased(self._steps))
        if o.weight_decay and not o.decouple:
            gradient.add_(w, alpha=o.weight_decay)
        self._above = self._beta3 * self._above + d / o.d0 * rate * _dot(gradient, self._start - w)
        self._m.mul_(o.beta1).add_(gradient * (d * (1 - o.beta1)))
        self._v.mul_(o.beta2).add_(gradient.square() * (d * d * (1 - o.beta2)))
        self._s.mul_(self._beta3).add_(gradient * (d / o.d0 * (d if o.safeguard_warmup else rate)))
        estimate = o.d_coef * _ratio(self._above, self._s.abs().sum().double())
        self._largest = torch.maximum(self._largest, estimate)
        first = torch.where(d == o.d0, torch.maximum(d, estimate), d)
        self._d = o.grown(first, self._largest)
        if o.weight_decay and o.decouple:
            w.sub_(w * (rate * o.weight_decay))
        w.sub_(self._m / (self._v.sqrt() + self._d * o.eps) * rate)


class Prodigy(_Adaptive):
    """Prodigy's version of Adam (Mishchenko & Defazio, ICML 2024), as ``prodigyopt.Prodigy``.

    beta3 : of the estimate's averages; None: sqrt(beta2). d_coef : multiplies the estimate.
    safeguard_warmup : leave lr out of the estimate's denominator.
    """

    rule = "prodigy"

    beta3: float | None = Field(default=None, ge=0, lt=1)
    d_coef: float = Field(default=1.0, gt=0)
    decouple: bool = True
    safeguard_warmup: bool = False

    def begin(self, w: Tensor) -> Course:
        return _ProdigyCourse(self, w)


class _DAdaptSGDCourse(Course):
    def __init__(self, options: DAdaptSGD, w: Tensor) -> None:
        self._options, self._start, self._s = options, w.clone(), torch.zeros_like(w)
        self._d, self._above = _zero(w, options.d0), _zero(w)
        self._norm: Tensor | None = None

    def take(self, w: Tensor, gradient: Tensor) -> None:
        o, d = self._options, self._d
        if self._norm is None:  # of the first gradient, without decay
            self._norm = _dot(gradient, gradient).sqrt()
        rate = d * o.lr / self._norm
        if o.weight_decay:
            gradient.add_(w, alpha=o.weight_decay)
        self._above = self._above + rate * _dot(gradient, self._s)
        self._s.add_(gradient * rate)
        estimate = _ratio(2 * self._above, _dot(self._s, self._s).sqrt())
        self._d = torch.maximum(d, o.grown(d, estimate))
        w.mul_(o.momentum).add_(self._start - self._s, alpha=1 - o.momentum)


class DAdaptSGD(_Distance):
    """SGD with D-Adaptation (Defazio & Mishchenko, ICML 2023), as ``dadaptation.DAdaptSGD``."""

    rule = "dadapt_sgd"

    momentum: float = Field(default=0.0, ge=0, lt=1)

    def begin(self, w: Tensor) -> Course:
        return _DAdaptSGDCourse(self, w)


class _DAdaptAdamCourse(Course):
    def __init__(self, options: DAdaptAdam, w: Tensor) -> None:
        self._options, self._steps = options, 0
        self._m, self._v, self._s = (torch.zeros_like(w) for _ in range(3))
        self._d, self._above = _zero(w, options.d0), _zero(w)

    def take(self, w: Tensor, gradient: Tensor) -> None:
        o, d, self._steps = self._options, self._d, self._steps + 1
        rate, root = d * (o.lr * o.unbiased(self._steps)), o.beta2**0.5
        if o.weight_decay and not o.decouple:
            gradient.add_(w, alpha=o.weight_decay)
        along = rate * _dot(gradient, self._s / (self._v.sqrt() + o.eps))
        self._above = root * self._above + (1 - root) * along
        self._m.mul_(o.beta1).add_(gradient * (rate * (1 - o.beta1)))
        self._v.mul_(o.beta2).addcmul_(gradient, gradient, value=1 - o.beta2)
        self._s.mul_(root).add_(gradient * (rate * (1 - root)))
        estimate = _ratio(self._above, (1 - root) * self._s.abs().sum().double())
        self._d = torch.maximum(d, o.grown(d, estimate))
        if o.weight_decay and o.decouple:
            w.sub_(w * (rate * o.weight_decay))
        w.sub_(self._m / (self._v.sqrt() + o.eps))


class DAdaptAdam(_Adaptive):
    """Adam with D-Adaptation (Defazio & Mishchenko, ICML 2023), as ``dadaptation.DAdaptAdam``."""

    rule = "dadapt_adam"

    decouple: bool = False

    def begin(self, w: Tensor) -> Course:
        return _DAdaptAdamCourse(self, w)


_RULES: tuple[type[OwnRule], ...] = (ScheduleFreeSGD, ScheduleFreeAdamW, Prodigy, DAdaptSGD, DAdaptAdam)
OWN_RULES: dict[str, type[OwnRule]] = {rule.rule: rule for rule in _RULES}
"""Rules by name."""
