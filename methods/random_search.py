"""Random search (Bergstra & Bengio, JMLR 2012)."""

from __future__ import annotations

from hpobench_fds.method import AskTell, Method, Proposal, Task, draw


class RandomSearch(AskTell):
    """Schedules drawn uniformly from the space, log-uniformly where a range says so.

    prior : every other one, on average, from the space's prior.
    """

    name = "random_search"
    paper = "Bergstra & Bengio, Random Search for Hyper-Parameter Optimization, JMLR 2012"

    class Options(Method.Options):
        prior: bool = False

    def ask(self, task: Task) -> Proposal:
        return Proposal(draw(task, self.options.prior))
