"""(1+1)-ES with the one-fifth success rule (Rechenberg 1973): a control without a gradient."""

from __future__ import annotations

import math

from pydantic import Field

from hpobench_fds.method import BlackBoxOptions, Plan, Planned, Proposal, Task, score


class ES(Planned):
    """One parent, one child, in units of the space's first steps about the initial schedule.

    The child takes the parent's place if it scores no worse. The step size grows with a success and
    shrinks with a failure, so that one child in five is to succeed (Auger, GECCO 2009, algorithm 1).

    sigma : the first standard deviation, in first steps.
    """

    name = "es"
    label = "(1+1)-ES"
    paper = "Rechenberg, Evolutionsstrategie, 1973; Auger, Benchmarking the (1+1)-ES, GECCO 2009"

    class Options(BlackBoxOptions):
        sigma: float = Field(default=1.0, gt=0)

    def plan(self, task: Task) -> Plan:
        space, unit = task.space, task.space.steps
        parent, sigma = space.to_coordinates(space.to_vector(space.initial)), float(self.options.sigma)
        damping, best = math.sqrt(space.size + 1), math.inf
        if self.options.start_from_initial:
            best = score(task, (yield Proposal(space.initial)))
        while True:
            child = parent + sigma * unit * task.rng.standard_normal(space.size)
            vector = space.from_coordinates(child)
            found = score(task, (yield Proposal(space.from_vector(vector), extra={"sigma": sigma})))
            success = found <= best
            if success:
                parent, best = space.to_coordinates(vector), found
            sigma *= math.exp((success - 0.2) / 0.8 / damping)
