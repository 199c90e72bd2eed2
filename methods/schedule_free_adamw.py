"""Schedule-free AdamW (Defazio et al., NeurIPS 2024)."""

from __future__ import annotations

from hpobench_fds.training import own_rules

from ._own_rules import ByOwnRule


class ScheduleFreeAdamW(ByOwnRule):
    """Averages in place of a schedule: ``schedule_free_sgd`` with Adam's scaling of the steps of z.

    Defaults are those of ``schedulefree.AdamWScheduleFree``: no warm-up, though its
    authors advise one.
    """

    name = "schedule_free_adamw"
    label = "Schedule-free AdamW"
    paper = "Defazio, Yang, Mehta, Mishchenko, Khaled & Cutkosky, The Road Less Scheduled, NeurIPS 2024"
    rule = own_rules.ScheduleFreeAdamW

    class Options(own_rules.ScheduleFreeAdamW):
        pass
