"""The best schedule of each family retrained in the referee's draws, and differences draw by draw."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from hpobench_fds.benchmarks.search.families import families
from hpobench_fds.benchmarks.search.searching import Found, Vector, searched
from numpy.typing import NDArray
from scipy.stats import t as student

from hpobench_fds.run.referee import Referee
from hpobench_fds.schedule import Schedule, ScheduleSpace
from hpobench_fds.training.problem import ProblemConfig, load_data, problem_of

WINDOWS = "windows"
REFEREE = 2**31  # the seed of the final draws, which no search has seen
LEVEL = 0.95


@dataclass(frozen=True)
class Result:
    """What a family came to: its best schedule, and test accuracies [draws], the same draws for all."""

    family: str
    found: Found
    accuracies: NDArray[np.float64]


def compared(config: ProblemConfig, evaluations: int, draws: int, retrainings: int) -> list[Result]:
    """Search each family with the same number of trainings, the windows last, and retrain the best.

    Every search has three starts: the initial schedule, the initial one again, and the best schedule of the
    family before it as near as this family comes to it; so none is worse off for where it begins.
    """
    data, results = load_data(config), list[Result]()
    for name, own in families(config).items():
        problem, test = problem_of(own, data, name=name)
        first = problem.space.to_unit(problem.space.initial)
        before = results[-1].found.schedule if results else problem.space.initial
        starts = [first, _near(before, problem.space, problem.horizon), first]
        found = searched(problem, starts, evaluations, draws)
        referee = Referee(problem, test, REFEREE)
        accuracies = np.array([referee.retrain(found.schedule, i)[0].metric for i in range(retrainings)])
        results.append(Result(name, found, accuracies))
    return results


def _near(schedule: Schedule, space: ScheduleSpace, horizon: int) -> Vector:
    """A schedule of another family as a point of this one's cube: by middles of windows, by peaks."""
    vector = list[float]()
    low, high = space.low, space.high
    for name, owner in zip(space.names, space.owners, strict=True):
        one = space.spaces[owner]
        if name.endswith("]"):
            window = int(name.rpartition("[")[2][:-1])
            step = min(horizon - 1, int((window + 0.5) * horizon / one.windows))
            vector.append(schedule.at(owner, step, horizon))
        elif name.endswith(".peak"):
            vector.append(max(schedule.at(owner, step, horizon) for step in range(horizon)))
        else:
            vector.append(math.nan)
    known = np.array(vector)
    kept = np.where(np.isfinite(known), np.clip(known, low, high), space.to_vector(space.initial))
    return space.to_unit(space.from_vector(kept))


def interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean of values [n] with its 95 % interval, Student's."""
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    half = float(student.ppf(0.5 + LEVEL / 2, len(values) - 1)) * spread / math.sqrt(len(values))
    return mean, mean - half, mean + half


def gains(results: list[Result]) -> list[tuple[str, float, float, float]]:
    """What windows have more than each other family, draw by draw: mean and 95 % interval, as fractions."""
    best = next(one for one in results if one.family == WINDOWS)
    others = [one for one in results if one is not best]
    return [(one.family, *interval(best.accuracies - one.accuracies)) for one in others]
