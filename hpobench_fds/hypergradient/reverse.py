"""Reverse mode: the adjoint of the unrolled training, whatever the number of hyperparameters.

One Hessian-vector product a step for any number of hyperparameters. Full storage, checkpoints under a
memory limit, and truncation to the last K steps (Shaban et al., AISTATS 2019) are one algorithm with
other numbers of stored states.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpobench_fds.errors import InputError
from hpobench_fds.hypergradient.checkpoints import next_state, states_needed, steps_run
from hpobench_fds.hypergradient.conditioning import from_growth, grown_backward, read_norms
from hpobench_fds.hypergradient.interface import Hypergradient, Mode, vector_bytes
from hpobench_fds.hypergradient.validation import validation_gradient
from hpobench_fds.nn.network import Network
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.inner_step import InnerStep, KeptStep, constant_segments
from hpobench_fds.training.optimisers import Step, StepRule
from hpobench_fds.training.problem import Problem
from hpobench_fds.training.state import Ended, Evaluation, TrainState
from hpobench_fds.training.trainer import Trainer

DEVICE_SHARE = 0.8  # of a GPU's free memory that stored states may take; more lie in the host's
ALIGNED = 16  # numbers; products round otherwise on what begins elsewhere in a CPU's vector registers
NOTES = 20  # of the adjoints' norms on the way back
KEPT = 1 << 30  # bytes that states, gradients and tapes may take together where tapes are kept
SWEEPS = 2  # how often a step runs forward, unless memory allows one or forces more


@dataclass(frozen=True)
class ReverseMode(Mode):
    """Train, then pull d(validation loss)/d(schedule) back through the training.

    By default each step runs forward twice. On a CPU the second time it is kept with its gradient and tape,
    segment by segment (``segment_length``); where that takes more than ``KEPT`` bytes, and where steps are
    played from a recording, its gradient is computed once more, with about sqrt(2 T) states.

    last : differentiate the last K steps only (a bias); None: all.
    memory : bytes that stored states and adjoints may take; the fewest repeated steps that fit. A call
        raises InputError before training if they cannot hold even one state, and says what would do.
    full : store every state; on a CPU with gradients and tapes, as far as ``KEPT`` allows: each step runs
        forward once.
    """

    exact: ClassVar[bool] = True
    last: int | None = None
    memory: int | None = None
    full: bool = False

    def __call__(
        self, trainer: Trainer, schedule: Schedule, trial: int, horizon: int | None = None
    ) -> Hypergradient:
        horizon = horizon or trainer.problem.horizon
        steps, states = self._plan(trainer.problem, horizon)
        if segment := self._segment(trainer.problem, steps):
            return _Segmented(trainer, schedule, trial, horizon, steps, segment).run()
        return _Reversal(trainer, schedule, trial, horizon, steps, states).run()

    def _segment(self, problem: Problem, steps: int) -> int:
        """Steps that are kept with their tapes at a time; 0 for none."""
        if (
            self.memory is not None
            or problem.graphs
            or problem.device.type != "cpu"
            or problem.network.random
        ):
            return 0
        length = steps if self.full else segment_length(problem, steps)
        return length if segment_bytes(problem, steps, length) <= KEPT else 0

    def _plan(self, problem: Problem, horizon: int) -> tuple[int, int]:
        """How many steps to reverse, and with how many stored states."""
        steps = horizon if self.last is None else min(self.last, horizon)
        return steps, steps if self.full else plan_states(problem, steps, self.memory)

    def held(self, problem: Problem, horizon: int) -> int:
        steps, states = self._plan(problem, horizon)
        beside = working_vectors(problem.rule) * vector_bytes(problem)
        if segment := self._segment(problem, steps):
            return segment_bytes(problem, steps, segment) + beside
        return states * state_bytes(problem) + beside

    def cost(self, problem: Problem, horizon: int) -> float:
        steps, states = self._plan(problem, horizon)
        products = steps * problem.network.product_cost
        if segment := self._segment(problem, steps):
            return horizon + steps - segment + products
        return horizon - steps + steps_run(steps, states) + steps + products


@dataclass(frozen=True)
class SlidingMode(Mode):
    """The hypergradient of each stretch of the training, of the validation loss at its end.

    Truncated backpropagation through time (Williams & Peng 1990) for hyperparameters: every step is
    differentiated, through the rest of its stretch, so that early windows are seen too, and none by what it
    does to later stretches (a bias). The last stretch is what ``ReverseMode(last=steps)`` sees. Derivatives
    of one step each, they are summed over windows. Each stretch costs a validation gradient.

    steps : of a stretch, at least 1; all of its states are stored.
    """

    exact: ClassVar[bool] = False
    steps: int = 100

    def __call__(
        self, trainer: Trainer, schedule: Schedule, trial: int, horizon: int | None = None
    ) -> Hypergradient:
        horizon = horizon or trainer.problem.horizon
        return _Stretches(trainer, schedule, trial, horizon, self.steps).run()

    def held(self, problem: Problem, horizon: int) -> int:
        states = min(self.steps, horizon)
        return states * state_bytes(problem) + working_vectors(problem.rule) * vector_bytes(problem)

    def cost(self, problem: Problem, horizon: int) -> float:
        run = sum(steps_run(end - begin, self.steps) for begin, end in stretches(horizon, self.steps))
        return run + horizon * (1 + problem.network.product_cost)


def working_vectors(rule: StepRule) -> int:
    """Parameter vectors held besides the stored states.

    The final state, the replayed one and the adjoints with their product: three times (w, slots); and
    the gradient, its mask, the direction, the product, the validation gradient and the pulled-back one.
    """
    return 6 + 3 * (1 + rule.slots)


def state_bytes(problem: Problem) -> int:
    """Bytes of one stored state: weights and optimiser slots."""
    return (1 + problem.rule.slots) * vector_bytes(problem)


def kept_bytes(problem: Problem) -> int:
    """Bytes that a step's gradient, clipping mask and tape take: those of a first gradient."""
    if problem.network not in _TAPES:
        _TAPES[problem.network] = {}
    known, size = _TAPES[problem.network], problem.batch_size
    if size not in known:
        w = problem.network.initial(torch.Generator().manual_seed(0)).to(problem.device, problem.dtype)
        first = torch.zeros(size, dtype=torch.int64, device=problem.device)
        x, y = problem.x.index_select(0, first), problem.y.index_select(0, first)
        known[size] = problem.network.gradient(w, x, y).bytes
    masked = problem.config.gradient_clip is not None
    return known[size] + (1 + masked) * vector_bytes(problem)


def segment_length(problem: Problem, steps: int) -> int:
    """Steps of a segment so that states at their beginnings and the steps of one take the fewest bytes."""
    state = state_bytes(problem)
    return min(steps, max(1, round(math.sqrt(steps * state / (state + kept_bytes(problem))))))


def segment_bytes(problem: Problem, steps: int, length: int) -> int:
    """Bytes of the states at which segments begin, but for the last one, and of the kept steps of one."""
    state = state_bytes(problem)
    return (steps - 1) // length * state + length * (state + kept_bytes(problem))


_TAPES: WeakKeyDictionary[Network, dict[int, int]] = WeakKeyDictionary()  # bytes of one, by batch size


def plan_states(problem: Problem, steps: int, memory: int | None) -> int:
    """How many states to store for ``steps`` under a limit of ``memory`` bytes (None: two sweeps)."""
    if memory is None:
        return states_needed(steps, SWEEPS)
    size, working = state_bytes(problem), working_vectors(problem.rule) * vector_bytes(problem)
    states = (memory - working) // size
    if states < 1:
        raise InputError(
            f"{memory} bytes cannot hold the adjoints and one stored state",
            key="memory",
            allowed=f"at least {working + size} bytes",
        )
    return int(min(states, steps))


class _Store:
    """A stack of stored states in one buffer, allocated once; in host memory if the device is short."""

    def __init__(self, state: TrainState, capacity: int) -> None:
        rows = 1 + state.slots.shape[0]
        size = capacity * rows * state.w.numel() * state.w.element_size()
        device = state.w.device
        on_host = device.type == "cuda" and size > DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]
        self.capacity = capacity
        # Pinned pages of the host are copied without waiting, in the order of the GPU's work.
        self._buffer = torch.empty(
            capacity, rows, state.w.numel(), dtype=state.w.dtype,
            device="cpu" if on_host else device, pin_memory=on_host,
        )  # fmt: skip
        self.steps: list[int] = []

    @property
    def bytes(self) -> int:
        return self._buffer.numel() * self._buffer.element_size()

    def push(self, state: TrainState) -> None:
        row = self._buffer[len(self.steps)]
        row[0].copy_(state.w, non_blocking=True)
        row[1:].copy_(state.slots, non_blocking=True)
        self.steps.append(state.step)

    def load(self, state: TrainState) -> None:
        """Set ``state`` to the latest stored one."""
        row = self._buffer[len(self.steps) - 1]
        state.w.copy_(row[0], non_blocking=True)
        state.slots.copy_(row[1:], non_blocking=True)
        state.step = self.steps[-1]

    def pop(self) -> None:
        self.steps.pop()


class _EarlyEndError(Exception):
    def __init__(self, ended: Ended) -> None:
        self.ended = ended


class _Reversal:
    """One forward sweep that stores states, then steps backward, replaying what was not stored."""

    def __init__(
        self,
        trainer: Trainer,
        schedule: Schedule,
        trial: int,
        horizon: int,
        steps: int,
        states: int,
        derived: bool = False,
    ) -> None:
        self.trainer, self.schedule, self.horizon = trainer, schedule, horizon
        self.problem, self.states = trainer.problem, states
        self.first, self.end = horizon - steps, horizon  # what is differentiated
        # Checkpoints and backward steps cut windows up, whose steps stay alike.
        ahead = horizon // max(schedule.pieces(horizon), default=1)
        self.sweep = trainer.inner(trainer.start(trial), last=horizon, derived=derived, ahead=ahead)
        self.replay = trainer.inner(
            _scratch(self.sweep.state), last=self.first, role="replay", derived=True, ahead=ahead
        )
        self.bytes = 0
        self._norms: list[tuple[int, Tensor]] = []

    def run(self) -> Hypergradient:
        try:
            return self._run()
        except _EarlyEndError as stop:
            return self._none(stop.ended)

    def _none(self, ended: Ended) -> Hypergradient:
        return Hypergradient.none(ended, self.sweep.state, self.replay.products, self.bytes)

    def _run(self) -> Hypergradient:
        final = self.sweep.state
        store = self._sweep_forward()
        loss, adjoint = validation_gradient(self.trainer, final)
        evaluation = self.trainer.evaluate(final)
        if not (math.isfinite(loss) and math.isfinite(evaluation.loss)):
            return self._none(Ended("diverged", self.horizon))
        per_step = self._pulled(store, adjoint)
        return self._found(per_step, loss, evaluation, *self._growth())

    def _pulled(self, store: _Store, adjoint: Tensor) -> Tensor | None:
        """d(validation loss)/d(hyperparameters of each step) [T, H]; None if an adjoint overflowed."""
        try:
            return self._sweep_backward(store, adjoint)
        except _EarlyEndError as stop:
            if stop.ended.ending != "overflow":
                raise
            return None

    def _growth(self) -> tuple[float | None, int]:
        return grown_backward(read_norms(self._norms))

    def _found(
        self, per_step: Tensor | None, loss: float, evaluation: Evaluation, growth: float | None, over: int
    ) -> Hypergradient:
        summed = None if per_step is None else self._gather(per_step)
        gradient = summed if summed is not None and np.all(np.isfinite(summed)) else None
        worth = from_growth(growth, over, gradient, self.problem.dtype != torch.float64)
        return Hypergradient(
            "ok", gradient, loss, evaluation, self.sweep.state, None, self.replay.products, self.bytes, worth
        )  # fmt: skip

    def _sweep_forward(self) -> _Store:
        """Train to the end; the states stored on the way."""
        self._advance(self.sweep, self.first)
        state, p = self.sweep.state, self.problem
        store = _Store(state, self.states)
        self.bytes = store.bytes + working_vectors(p.rule) * vector_bytes(p)
        store.push(state)
        while len(store.steps) < self.states and self.end - store.steps[-1] >= 2:
            self._store_next(self.sweep, store, self.end)
        self._advance(self.sweep, self.end)
        return store

    def _advance(self, inner: InnerStep, until: int) -> None:
        ended = inner.run(self.schedule, self.horizon, until)
        if ended is not None:
            raise _EarlyEndError(ended)

    def _store_next(self, inner: InnerStep, store: _Store, target: int) -> None:
        """From the latest stored state, run to where the next one is worth storing."""
        at = store.steps[-1]
        free = self.states - len(store.steps)
        self._advance(inner, at + next_state(target - at, 1 + free))
        store.push(inner.state)

    def _sweep_backward(self, store: _Store, adjoint: Tensor) -> Tensor:
        """d(validation loss)/d(hyperparameters of each step): [T, H]."""
        state, every, per_step = self.replay.state, self.problem.look_every, self._zeros()
        adjoints = _Adjoints(adjoint, torch.zeros_like(state.slots), self.replay)
        pull, notes = adjoints.pull, max(1, (self.end - self.first) // NOTES)
        self._norms = [(self.end, _norm(adjoint))]
        for index in range(self.end - 1, self.first - 1, -1):
            self._pull_back(index, store, pull)
            per_step[index] = adjoints.hypers
            due = index % every == 0 or index == self.first
            if index % notes == 0 or index == self.first:
                self._norms.append((index, _norm(adjoints.w)))
            if due and (ended := self.replay.look(adjoints.w)) is not None:
                raise _EarlyEndError(ended)
        return per_step

    def _pull_back(self, index: int, store: _Store, pull: Callable[[Step], None]) -> None:
        """One step back, to before step ``index``."""
        self._reach(index, store)
        hypers = self.replay.values(self.schedule, index, self.horizon)
        self.replay.through(index, hypers, pull)
        if store.steps[-1] == index:
            store.pop()

    def _reach(self, index: int, store: _Store) -> None:
        """Bring the replayed state to a step, storing states where there is room."""
        state = self.replay.state
        if state.step != index or index == self.end - 1:
            store.load(state)
        while store.steps[-1] < index:
            if len(store.steps) == self.states:
                self._advance(self.replay, index)
                return
            self._store_next(self.replay, store, index + 1)

    def _zeros(self) -> Tensor:
        """Of each hyperparameter at each step: [T, H]."""
        p = self.problem
        return torch.zeros(self.horizon, len(p.rule.defaults), device=p.device, dtype=p.dtype)

    def _gather(self, per_step: Tensor) -> NDArray[np.float64]:
        """Sum the per-step derivatives over each window: the sharing."""
        p = self.problem
        learned = [h for h, name in enumerate(p.rule.defaults) if name in p.space.learned]
        return p.space.summed(per_step.double().cpu().numpy()[:, learned])


class _Segmented(_Reversal):
    """States at the beginnings of segments, the first of which is cut short if they do not come out even.

    The last segment is kept with its gradients and tapes on the way forward, the others when they are come to
    on the way back.
    """

    def __init__(
        self, trainer: Trainer, schedule: Schedule, trial: int, horizon: int, steps: int, length: int
    ) -> None:
        states = (steps - 1) // length
        super().__init__(trainer, schedule, trial, horizon, steps, states, derived=True)
        self.length = length
        # Recalling leaves the replayed state among what is kept; it is run elsewhere.
        self._again = trainer.inner(_scratch(self.sweep.state), role="replay", derived=True)
        self._kept: list[KeptStep] = []

    def _sweep_forward(self) -> _Store:
        state, p = self.sweep.state, self.problem
        self._advance(self.sweep, self.first)
        store = _Store(state, self.states)
        self._rows = _rows(state, self.length)
        kept = self.length * (state_bytes(p) + kept_bytes(p))
        self.bytes = store.bytes + kept + working_vectors(p.rule) * vector_bytes(p)
        for _ in range(self.states):
            store.push(state)
            left = self.end - state.step
            self._advance(self.sweep, state.step + (left - 1) % self.length + 1)
        self._keep(self.sweep, self.end)
        return store

    def _keep(self, inner: InnerStep, until: int) -> None:
        """Run to ``until``; each step is kept with its gradient and tape."""
        for begin, end in constant_segments(self.schedule, self.horizon, inner.state.step, until):
            hypers = inner.values(self.schedule, begin, self.horizon)
            for index in range(begin, end):
                step = inner.begin(index, hypers)
                self._kept.append(inner.kept(step, self._rows[len(self._kept)]))
                inner.take(step)
                if (ended := inner.check()) is not None:
                    raise _EarlyEndError(ended)

    def _pull_back(self, index: int, store: _Store, pull: Callable[[Step], None]) -> None:
        if not self._kept:
            store.load(self._again.state)
            store.pop()
            self._keep(self._again, index + 1)
            self._again.count()
        pull(self.replay.recall(self._kept.pop()))


def _rows(state: TrainState, steps: int) -> Tensor:
    """Room for weights, slots and gradients of so many steps [steps, 1 + S + 1, P].

    They are worked on where they lie, and so are as aligned as a vector of its own is.
    """
    size = state.w.numel()
    whole = -(-size // ALIGNED) * ALIGNED
    return state.w.new_empty(steps, state.slots.shape[0] + 2, whole)[..., :size]


class _Stretches(_Reversal):
    """One sweep forward in stretches; a sweep backward at the end of each."""

    def __init__(self, trainer: Trainer, schedule: Schedule, trial: int, horizon: int, steps: int) -> None:
        super().__init__(trainer, schedule, trial, horizon, min(steps, horizon), min(steps, horizon))
        self.stops = stretches(horizon, steps)

    def _run(self) -> Hypergradient:
        final = self.sweep.state
        per_step: Tensor | None = self._zeros()
        growth, over = None, 0
        for begin, end in self.stops:
            self.first, self.end, self.replay.last = begin, end, begin
            store = self._sweep_forward()
            loss, adjoint = validation_gradient(self.trainer, final)
            if not math.isfinite(loss):
                return self._none(Ended("diverged", self.end))
            found = self._pulled(store, adjoint)
            per_step = None if per_step is None or found is None else per_step + found
            grew, steps = self._growth()
            if grew is not None and (growth is None or grew > growth):
                growth, over = grew, steps
        evaluation = self.trainer.evaluate(final)
        if not math.isfinite(evaluation.loss):
            return self._none(Ended("diverged", self.horizon))
        return self._found(per_step, loss, evaluation, growth, over)


def stretches(horizon: int, steps: int) -> list[tuple[int, int]]:
    """First step and the one after the last of each stretch of ``steps``; the first may be shorter."""
    ends = range(horizon, 0, -steps)
    return [(max(0, end - steps), end) for end in reversed(ends)]


class _Adjoints:
    """d(validation loss)/d(w, slots) on their way back, and d/d(hyperparameters of the last step) [H].

    They stay where they are.
    """

    def __init__(self, w: Tensor, slots: Tensor, replay: InnerStep) -> None:
        self.w, self.slots, self._replay = w, slots, replay
        network, rule = replay.problem.network, replay.problem.rule
        self.hypers = w.new_zeros(len(rule.defaults))
        self._vector, self._product = network.tangents(w, 1), network.tangents(w, 1)

    def pull(self, step: Step) -> None:
        """Back through one inner step."""
        pulled = self._replay.problem.rule.pull(step, self.w, self.slots)
        through = self._replay.pull_gradient(pulled.gradient, self._vector, self._product)
        torch.add(pulled.w, through, out=self.w)
        self.slots.copy_(pulled.slots)
        self.hypers.copy_(pulled.hypers)


def _norm(vector: Tensor) -> Tensor:
    """Its Euclidean norm [1], float64."""
    norm: Tensor = torch.linalg.vector_norm(vector, dtype=torch.float64)
    return norm.view(1)


def _scratch(state: TrainState) -> TrainState:
    """Room for another state of the same training."""
    return TrainState(torch.empty_like(state.w), torch.empty_like(state.slots), state.buffers, 0, state.trial)
