"""FDS's outer optimiser on signs drawn at random: a control that has its step sizes, and no gradient."""

from __future__ import annotations

from hpobench_fds.hypergradient.outer import OuterOptions, build_outer
from hpobench_fds.method import Method, Plan, Planned, Proposal, Task, score


class RandomSigns(Planned):
    """Each training moves every hyperparameter by its step, up or down at random; back where it is worse.

    Step sizes are those of FDS's sign rule: the space's first steps, halved where the sign of a move that
    was kept flips. What FDS does better than this its hypergradients do.
    """

    name = "random_signs"
    label = "Random signs"
    paper = "a control for Micaelli & Storkey, NeurIPS 2021"

    class Options(Method.Options):
        outer: OuterOptions = OuterOptions()

    def plan(self, task: Task) -> Plan:
        space, outer = task.space, build_outer(self.options.outer, task.space)
        here = space.to_vector(space.initial)
        best = score(task, (yield Proposal(space.initial)))
        known = outer.state_dict()
        while True:
            vector = outer.step(here, task.rng.choice([-1.0, 1.0], space.size))
            extra = {"step_sizes": outer.steps.tolist()}
            found = score(task, (yield Proposal(space.from_vector(vector), extra=extra)))
            if found <= best:
                here, best, known = vector, found, outer.state_dict()
            else:
                outer.load_state_dict(known)
