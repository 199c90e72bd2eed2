"""Random search (Bergstra & Bengio, JMLR 2012)."""

from __future__ import annotations

from hpobench_fds.method import AskTell, Proposal, Task


class RandomSearch(AskTell):
    """Schedules drawn uniformly from the space, log-uniformly where a range says so."""

    name = "random_search"
    paper = "Bergstra & Bengio, Random Search for Hyper-Parameter Optimization, JMLR 2012"

    def ask(self, task: Task) -> Proposal:
        return Proposal(task.space.sample(task.rng))
