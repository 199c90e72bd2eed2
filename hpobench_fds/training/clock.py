"""The fair clock: a method's time runs; the referee's, the records' and that of making data do not.

One monotonic clock serves budget and record alike. It keeps sums, never an origin, so that a run
continued in another process goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch

Account = Literal["method", "referee", "records", "data"]


@dataclass
class Cost:
    """What a run has cost so far, whatever the machine.

    inner_steps : steps of training.
    gradient_equivalents : one forward and backward pass over a training batch counts as 1, a tangent or
        adjoint product by its share of FLOPs, an evaluation by its forward passes.
    products : Hessian-vector products, tangent or adjoint.
    """

    inner_steps: int = 0
    gradient_equivalents: float = 0.0
    products: int = 0


@dataclass(frozen=True)
class Seconds:
    """Where the wall-clock went, in seconds; method + referee + records + data = elapsed."""

    method: float = 0.0
    referee: float = 0.0
    records: float = 0.0
    data: float = 0.0
    elapsed: float = 0.0


def synchroniser(device: torch.device) -> Callable[[], None]:
    """A function that waits until the device has done what was asked of it."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return lambda: None


class Clock:
    """Books every moment between ``start`` and ``stop`` to one account; also counts machine-free cost.

    Parameters
    ----------
    source : monotonic time in seconds; tests pass a fake one.
    synchronise : called before each switch of account, so that queued device work is booked to
        the account that asked for it.
    earlier, cost : sums of an earlier part of the same run; they are copied.
    """

    def __init__(
        self,
        source: Callable[[], float] = time.monotonic,
        synchronise: Callable[[], None] = lambda: None,
        earlier: Seconds | None = None,
        cost: Cost | None = None,
    ) -> None:
        self._source = source
        self._synchronise = synchronise
        earlier = earlier or Seconds()
        self._sums: dict[Account, float] = {
            "method": earlier.method,
            "referee": earlier.referee,
            "records": earlier.records,
            "data": earlier.data,
        }
        self._elapsed = earlier.elapsed
        self._account: Account | None = None
        self._since = 0.0
        self.cost = replace(cost) if cost else Cost()

    def start(self) -> None:
        """Begin (or go on): the method's time runs from here."""
        if self._account is not None:
            raise RuntimeError("the clock runs already")
        self._account, self._since = "method", self._source()

    def stop(self) -> None:
        """Pause the whole run; nothing is booked until ``start``."""
        self._switch(None)

    def _switch(self, account: Account | None) -> None:
        if self._account is None:
            raise RuntimeError("the clock has not been started")
        self._synchronise()
        now = self._source()
        self._sums[self._account] += now - self._since
        self._elapsed += now - self._since
        self._account, self._since = account, now

    @contextmanager
    def charge(self, account: Account) -> Iterator[None]:
        """Book what happens inside to ``account``; nested uses return to the outer account."""
        outer = self._account
        if outer is None:
            raise RuntimeError("the clock has not been started")
        self._switch(account)
        try:
            yield
        finally:
            self._switch(outer)

    @contextmanager
    def aside(self, account: Account) -> Iterator[None]:
        """``charge`` if the clock runs; of a clock that was never started nothing is booked."""
        if self._account is None:
            yield
            return
        with self.charge(account):
            yield

    @property
    def seconds(self) -> float:
        """Method time so far, in seconds; does not wait for the device."""
        return self._sums["method"] + (self._source() - self._since if self._account == "method" else 0.0)

    def count(self, *, steps: int = 0, gradients: float = 0.0, products: int = 0) -> None:
        """Add machine-free cost: inner steps, gradient-equivalents, Hessian-vector products.

        Raises ValueError for less than nothing.
        """
        if steps < 0 or gradients < 0 or products < 0:
            raise ValueError(f"got {steps} steps, {gradients} gradients, {products} products")
        self.cost.inner_steps += steps
        self.cost.gradient_equivalents += gradients
        self.cost.products += products

    def sums(self) -> Seconds:
        """Where the time has gone so far."""
        running = self._source() - self._since if self._account is not None else 0.0
        sums = dict(self._sums)
        if self._account is not None:
            sums[self._account] += running
        return Seconds(**sums, elapsed=self._elapsed + running)


def share_used(spent: Mapping[str, float], limits: Mapping[str, float | None]) -> float:
    """Share of a budget that is spent, in [0, 1]; the largest of several limits, 0 without any."""
    return min(1.0, max([0.0, *(spent[name] / limit for name, limit in limits.items() if limit)]))


class Budget:
    """What a method may spend: seconds of the fair clock, inner steps, gradient-equivalents.

    Whichever limit is reached first ends it; None: no limit.
    """

    def __init__(
        self,
        clock: Clock,
        seconds: float | None = None,
        steps: int | None = None,
        gradient_equivalents: float | None = None,
    ) -> None:
        self.clock, self.seconds, self.steps = clock, seconds, steps
        self.gradient_equivalents = gradient_equivalents

    @property
    def limits(self) -> dict[str, float | None]:
        """By name, as records have them."""
        return {
            "seconds": self.seconds, "steps": self.steps, "gradient_equivalents": self.gradient_equivalents,
        }  # fmt: skip

    @property
    def spent(self) -> dict[str, float]:
        """What has been spent of each."""
        return amounts(self.clock.seconds, self.clock.cost)

    @property
    def out_of_time(self) -> bool:
        """Whether seconds or gradients are spent; what costs no inner steps asks this alone."""
        gradients = self.gradient_equivalents
        if gradients is not None and self.clock.cost.gradient_equivalents >= gradients:
            return True
        return self.seconds is not None and self.clock.seconds >= self.seconds

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left. An unlimited budget never is."""
        if self.steps is not None and self.clock.cost.inner_steps >= self.steps:
            return True
        return self.out_of_time

    @property
    def used(self) -> float:
        """Share of the budget that is spent, in [0, 1]; the largest one if several limits are set."""
        return share_used(self.spent, self.limits)


def amounts(seconds: float, cost: Cost) -> dict[str, float]:
    """What is limited, by the names of a budget's limits."""
    return {
        "seconds": seconds, "steps": cost.inner_steps, "gradient_equivalents": cost.gradient_equivalents,
    }  # fmt: skip
