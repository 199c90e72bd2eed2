"""What is tuned: hyperparameters of the inner optimiser, each a schedule over the horizon.

A hyperparameter shared over ``n`` windows of a horizon of ``T`` inner steps has the value of window
``floor(n * t / T)`` at step ``t`` (Micaelli & Storkey 2021, section 3: sharing over contiguous steps
averages the noise of the hypergradient). Or it is a curve of a few numbers (``families``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from scipy.special import ndtr, ndtri

from hpobench_fds.families import (
    CURVES,
    MOST_STEP_SHARE,
    STEP_SHARE,
    Coordinate,
    Curve,
    Family,
    Share,
    curve_of,
    defaults,
)

Vector = NDArray[np.float64]
Shape = tuple[float, ...] | Curve  # values window by window, or a curve

PRIOR_WIDTH = 2.0  # standard deviation of the prior about the initial schedule, in first steps


def window_index(windows: int, step: int, horizon: int) -> int:
    """Window that inner step ``step`` of a horizon falls in: floor(windows * step / horizon)."""
    return windows * step // horizon


def window_start(windows: int, index: int, horizon: int) -> int:
    """First inner step of window ``index``: the least t with floor(windows * t / horizon) = index."""
    return -(-index * horizon // windows)


def _number_or_list(value: object) -> object:
    """A float or a tuple of floats; said here, since a union's own complaints name its branches."""
    several = isinstance(value, (list, tuple))
    items: Sequence[object] = value if isinstance(value, (list, tuple)) else [value]
    if not items or not all(isinstance(item, Real) and not isinstance(item, bool) for item in items):
        raise ValueError(f"got {value!r} (allowed: a number, or a list of one for each window)")
    numbers = tuple(float(item) for item in items)  # type: ignore[arg-type]
    return numbers if several else numbers[0]


def _share_or_number(value: object) -> object:
    """A number in [0, 1] or a searched share; said here, since a union's own complaints name its branches."""
    if value is None or isinstance(value, Share):
        return value
    if isinstance(value, Mapping):
        if unknown := sorted(set(value) - set(Share.model_fields)):
            raise ValueError(f"unknown key {unknown[0]!r} (allowed: {', '.join(Share.model_fields)})")
        return Share.model_validate(dict(value))
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ValueError(f"got {value!r} (allowed: a number from 0 to 1, or a table of low, high, initial, step)")


ShareOrNumber = Annotated[float | Share | None, BeforeValidator(_share_or_number)]


class HyperparameterSpace(BaseModel):
    """Family, range, scale, sharing, initial value and first step of one hyperparameter.

    ``family`` is "piecewise" (a value a window), "constant", or a curve, "cosine" or "one_cycle": then
    ``low``, ``high``, ``initial``, ``step`` and ``scale`` are of its peak; ``warmup``, the share of the
    horizon that it takes to get there, and ``final``, the last value as a share of the peak, are numbers, or
    tables of ``low``, ``high``, ``initial`` and ``step`` that are searched as well; ``start`` is its first
    value as a share of the peak. Left out, they are 0 of a cosine, of a cycle what torch's OneCycleLR has.

    ``initial`` is one number, or a list of ``windows`` numbers: the schedule that every method starts from.
    ``step`` is what a person would call a small change, at most a tenth of the range: methods that move
    move so far first, and others may take a normal about ``initial`` for a prior. On a log scale it is in
    natural logarithms. Left out, it is a twentieth of the range.
    ``learn = false`` keeps it at ``initial`` for every method.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: Family = "piecewise"
    windows: int = Field(default=1, ge=1)
    low: float = -1.0
    high: float = 1.0
    initial: Annotated[float | tuple[float, ...], BeforeValidator(_number_or_list)] = 0.0
    step: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    scale: Literal["linear", "log"] = "linear"
    learn: bool = True
    warmup: ShareOrNumber = None
    start: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    final: ShareOrNumber = None

    @model_serializer(mode="wrap")
    def _without_what_is_no_part_of_it(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Spaces of windows are written as they were before there were families."""
        data: dict[str, Any] = handler(self)
        unset = {"family": "piecewise", "warmup": None, "start": None, "final": None}
        return {name: value for name, value in data.items() if name not in unset or unset[name] != value}

    @model_validator(mode="after")
    def _check_family(self) -> HyperparameterSpace:
        if self.family != "piecewise" and self.windows != 1:
            raise ValueError(f"windows = {self.windows}: a {self.family} schedule has none")
        if self.is_curve:
            if isinstance(self.initial, tuple):
                raise ValueError(f"initial = {list(self.initial)}: a {self.family} schedule has one peak")
            return self
        for name in ("warmup", "start", "final"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name}: a {self.family} schedule has none (allowed: {', '.join(CURVES)})")
        return self

    @model_validator(mode="after")
    def _check(self) -> HyperparameterSpace:
        starts = self._named_starts()
        for name, value in {"low": self.low, "high": self.high, **starts}.items():
            if not math.isfinite(value):
                raise ValueError(f"{name} = {value} is not finite")
        if isinstance(self.initial, tuple) and len(self.initial) != self.windows:
            raise ValueError(f"initial has {len(self.initial)} values for {self.windows} windows")
        if not self.learn:
            return self
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} must be below high = {self.high:g}")
        for name, value in starts.items():
            if not self.low <= value <= self.high:
                raise ValueError(f"{name} = {value:g} is outside [{self.low:g}, {self.high:g}]")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"low = {self.low:g} must be above 0 on a log scale")
        ratio = self.high / self.low if self.scale == "log" else 0.0
        if not (math.isfinite(self.high - self.low) and math.isfinite(ratio)):
            raise ValueError(f"low = {self.low:g} and high = {self.high:g} are too far apart for a number")
        most = MOST_STEP_SHARE * self.width
        if self.step is not None and self.step > most * (1 + 1e-9):
            unit = " in natural logarithms" if self.scale == "log" else ""
            raise ValueError(f"step = {self.step:g} is more than a tenth of the range, {most:g}{unit}")
        return self

    @property
    def is_curve(self) -> bool:
        return self.family in CURVES

    @property
    def width(self) -> float:
        """Of the range; on a log scale in natural logarithms."""
        return math.log(self.high / self.low) if self.scale == "log" else self.high - self.low

    @property
    def first_step(self) -> float:
        """``step``, or a twentieth of the range."""
        return STEP_SHARE * self.width if self.step is None else self.step

    def _named_starts(self) -> dict[str, float]:
        if isinstance(self.initial, tuple):
            return {f"initial[{i}]": value for i, value in enumerate(self.initial)}
        return {"initial": self.initial}

    @property
    def starts(self) -> tuple[float, ...]:
        """The initial value of each window; a single one for a number that is not learned."""
        if isinstance(self.initial, tuple):
            return self.initial
        return (self.initial,) * (self.windows if self.learn else 1)

    @property
    def coordinates(self) -> tuple[Coordinate, ...]:
        """The numbers that a method searches: each window's value, or those of a curve, its peak first."""
        log, edges = self.scale == "log", (self.low, self.high)
        if self.family not in CURVES:
            named = [f"[{i}]" for i in range(len(self.starts))]
            values = zip(named, self.starts, strict=True)
            return tuple(Coordinate(name, *edges, log, value, self.first_step) for name, value in values)
        warmup, _, final = defaults(self.family, self.warmup, self.start, self.final)
        found = [Coordinate(".peak", *edges, log, self.starts[0], self.first_step)]
        for name, one in ((".warmup", warmup), (".final", final)):
            if isinstance(one, Share):
                found.append(Coordinate(name, one.low, one.high, False, one.initial, one.first_step))
        return tuple(found)

    def shape(self, numbers: Sequence[float]) -> Shape:
        """The schedule of those numbers, one a coordinate."""
        if self.family == "cosine" or self.family == "one_cycle":
            return curve_of(self.family, self.warmup, self.start, self.final, numbers)
        return tuple(float(number) for number in numbers)


@dataclass(frozen=True)
class Schedule:
    """Every hyperparameter over the horizon, by window or as a curve; immutable and hashable."""

    values: tuple[tuple[str, Shape], ...]

    @classmethod
    def of(cls, values: Mapping[str, float | Iterable[float] | Curve]) -> Schedule:
        """``Schedule.of({"lr": [0.1, 0.01], "momentum": 0.9})``"""

        def shape(value: float | Iterable[float] | Curve) -> Shape:
            if isinstance(value, Curve):
                return value
            return tuple(float(v) for v in np.ravel(np.asarray(value, float)))

        return cls(tuple((name, shape(value)) for name, value in values.items()))

    def shape(self, name: str) -> Shape:
        """Values window by window, or a curve. Raises KeyError."""
        for key, shape in self.values:
            if key == name:
                return shape
        raise KeyError(name)

    def __getitem__(self, name: str) -> tuple[float, ...]:
        """Values window by window. Raises KeyError, and TypeError of a curve, which has no windows."""
        shape = self.shape(name)
        if isinstance(shape, Curve):
            raise TypeError(f"{name} is a {shape.family} schedule, which has no windows")
        return shape

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self.values)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.values)

    def at(self, name: str, step: int, horizon: int) -> float:
        """Value of ``name`` at inner step ``step`` of ``horizon``."""
        shape = self.shape(name)
        if isinstance(shape, Curve):
            return shape.at(step, horizon)
        return shape[window_index(len(shape), step, horizon)]

    def pieces(self, horizon: int) -> set[int]:
        """Into how many pieces of one value the horizon is cut, for each hyperparameter."""
        return {horizon if isinstance(shape, Curve) else len(shape) for _, shape in self.values}

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and tables."""
        return {
            name: asdict(shape) if isinstance(shape, Curve) else list(shape) for name, shape in self.values
        }


class ScheduleSpace:
    """The space that every method of a problem searches, with a flat view of its learned part.

    The flat vector lists the learned hyperparameters in the order given, window by window:
    ``names`` are ``lr[0], lr[1], ..., momentum[0], ...``; of a curve ``lr.peak``, ``lr.warmup``, ...
    """

    def __init__(self, spaces: Mapping[str, HyperparameterSpace]) -> None:
        self.spaces = dict(spaces)
        self.learned = {name: space for name, space in self.spaces.items() if space.learn}

        self._of = {name: space.coordinates for name, space in self.spaces.items()}
        self._coordinates = [(name, one) for name in self.learned for one in self._of[name]]

    def _flat(self, attribute: str) -> Vector:
        return np.array([getattr(one, attribute) for _, one in self._coordinates], float)

    @property
    def names(self) -> list[str]:
        return [name + one.suffix for name, one in self._coordinates]

    @property
    def owners(self) -> list[str]:
        """The hyperparameter [size] that each flat value is of."""
        return [name for name, _ in self._coordinates]

    @property
    def curves(self) -> list[str]:
        """Learned hyperparameters that are curves, in words."""
        return [f"{name} is a {one.family}" for name, one in self.learned.items() if one.is_curve]

    @property
    def size(self) -> int:
        return len(self._coordinates)

    @property
    def low(self) -> Vector:
        return self._flat("low")

    @property
    def high(self) -> Vector:
        return self._flat("high")

    @property
    def log(self) -> NDArray[np.bool_]:
        return np.array([one.log for _, one in self._coordinates], bool)

    @property
    def initial(self) -> Schedule:
        """The schedule every method starts from."""
        return self.from_vector([one.initial for _, one in self._coordinates])

    def from_vector(self, vector: Sequence[float] | Vector) -> Schedule:
        """Schedule of a flat vector [size]; hyperparameters that are not learned keep their value."""
        if len(vector) != self.size:
            raise ValueError(f"{len(vector)} values for {self.size} hyperparameters")
        values, start = [], 0
        for name, space in self.spaces.items():
            numbers: Sequence[float] = [one.initial for one in self._of[name]]
            if space.learn:
                numbers = vector[start : start + len(numbers)]  # type: ignore[assignment]
                start += len(numbers)
            values.append((name, space.shape(numbers)))
        return Schedule(tuple(values))

    def by_step(self, values: NDArray[np.float64] | Sequence[Sequence[float]]) -> Schedule:
        """The schedule of values that moved during a training: [steps, h], a column a learned hyperparameter.

        Those that are not learned keep theirs. Raises ValueError for another number of columns, or no step.
        """
        table = np.asarray(values, float)
        if table.ndim != 2 or table.shape[1] != len(self.learned) or not len(table):
            raise ValueError(f"values of shape {table.shape} for {len(self.learned)} hyperparameters")
        columns = {name: tuple(table[:, i].tolist()) for i, name in enumerate(self.learned)}
        initial = self.initial
        return Schedule(tuple((name, columns.get(name, initial.shape(name))) for name in self.spaces))

    def to_vector(self, schedule: Schedule) -> Vector:
        """Flat vector [size] of a schedule's learned part."""
        shapes = [schedule.shape(name) for name in self.learned]
        return np.array([v for s in shapes for v in (s.parameters if isinstance(s, Curve) else s)], float)

    def clip(self, vector: Vector) -> Vector:
        """The nearest vector inside the bounds."""
        return np.clip(vector, self.low, self.high)

    def contains(self, schedule: Schedule) -> bool:
        vector = self.to_vector(schedule)
        return vector.shape == (self.size,) and bool(np.all((self.low <= vector) & (vector <= self.high)))

    def from_unit(self, unit: Vector) -> Schedule:
        """Map the unit cube [size] onto the space, linearly or logarithmically as each range says."""
        low, high, log = self.low, self.high, self.log
        vector = low + unit * (high - low)
        vector[log] = low[log] * (high[log] / low[log]) ** unit[log]
        return self.from_vector(self.clip(vector))

    def to_unit(self, schedule: Schedule) -> Vector:
        """The point [size] of the unit cube that ``from_unit`` maps onto the schedule."""
        vector, low, high, log = self.to_vector(schedule), self.low, self.high, self.log
        unit = (vector - low) / (high - low)
        unit[log] = np.log(vector[log] / low[log]) / np.log(high[log] / low[log])
        return np.clip(unit, 0.0, 1.0)

    def sample(self, rng: np.random.Generator) -> Schedule:
        """A schedule drawn uniformly (log-uniformly on log ranges)."""
        return self.from_unit(rng.random(self.size))

    @property
    def steps(self) -> Vector:
        """The first step [size] of each flat hyperparameter, in the coordinates of ``to_coordinates``."""
        return self._flat("first_step")

    def to_coordinates(self, vector: Vector) -> Vector:
        """A flat vector [size] where steps are equally long everywhere: log scales in natural logarithms."""
        out, log = np.array(vector, float), self.log
        out[log] = np.log(out[log])
        return out

    def from_coordinates(self, coordinates: Vector) -> Vector:
        """Back from ``to_coordinates``; within the bounds."""
        edges = self.to_coordinates(self.low), self.to_coordinates(self.high)
        out, log = np.clip(coordinates, *edges), self.log
        out[log] = np.exp(out[log])
        return self.clip(out)

    def sample_prior(self, rng: np.random.Generator) -> Schedule:
        """A schedule drawn from the prior: a normal about ``initial``, of two first steps, cut to the box."""
        centre, scale = self.to_coordinates(self.to_vector(self.initial)), PRIOR_WIDTH * self.steps
        low, high = (ndtr((self.to_coordinates(edge) - centre) / scale) for edge in (self.low, self.high))
        drawn = centre + scale * ndtri(low + rng.random(self.size) * (high - low))
        return self.from_vector(self.from_coordinates(drawn))

    def starts(self, horizon: int) -> list[int]:
        """First inner step at which each flat hyperparameter [size] acts."""
        return [window_start(s.windows, i, horizon) for s in self.learned.values()
                for i in ([0] * len(s.coordinates) if s.is_curve else range(s.windows))]  # fmt: skip

    def ends(self, horizon: int) -> list[int]:
        """The inner step after the last at which each flat hyperparameter [size] acts."""
        return [horizon if s.is_curve else window_start(s.windows, i + 1, horizon)
                for s in self.learned.values() for i in range(len(s.coordinates))]  # fmt: skip

    def over_windows(self, values: NDArray[np.float64], horizon: int) -> Schedule:
        """The schedule of the means of ``values`` over each window: [steps, h], a column a learned one.

        A training that ended before its ``horizon`` has fewer steps: a window that none fell into keeps the
        value before it. Within the bounds.
        """
        means: list[float] = []
        for column, windows in enumerate(s.windows for s in self.learned.values()):
            index = windows * np.arange(len(values)) // max(1, horizon)
            sums, counts = (
                np.bincount(index, values[:, column], windows),
                np.bincount(index, minlength=windows),
            )
            own = [float(values[0, column])] * windows
            for i in range(windows):
                own[i] = sums[i] / counts[i] if counts[i] else own[max(0, i - 1)]
            means.extend(own)
        return self.from_vector(self.clip(np.array(means)))

    def summed(self, slopes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivatives of each step [steps, h], a column a learned one, summed over windows: [size]."""
        steps = np.arange(len(slopes))
        sums = [
            np.bincount(s.windows * steps // max(1, len(steps)), slopes[:, h], s.windows)
            for h, s in enumerate(self.learned.values())
        ]
        return np.concatenate(sums)

    def describe(self) -> dict[str, Any]:
        return {name: space.model_dump() for name, space in self.spaces.items()}
