"""The suite core: wide in kinds of problems, each in two spaces, with budgets that are of trainings."""

from __future__ import annotations

import pytest
import torch

from hpobench_fds.data.catalogue import Listed, listed
from hpobench_fds.data.splits import make_split
from hpobench_fds.data.stream import STREAM, GaussianStream
from hpobench_fds.suite.config import load_suite
from hpobench_fds.suite.foresight import foresee
from hpobench_fds.suite.plan import plan
from hpobench_fds.training.problem import ProblemConfig

KINDS = ("wide", "expert")
SETS: dict[str, Listed] = {one.name: one for one in listed()}


def trainings(config: ProblemConfig, gradients: float) -> float:
    """How many trainings over the whole horizon, each with its validation, so many gradients are worth."""
    assert config.horizon is not None
    if config.dataset == STREAM:  # as many examples as it takes for its moments to be exact
        return gradients / (
            config.horizon
            + len(GaussianStream.power_law().population(torch.float64)[0]) / config.batch_size / 3
        )
    examples = min(SETS[config.dataset].sizes[0], config.train_limit or 10**9)
    validation = len(make_split(examples, config.validation_fraction, 0).validation)
    return gradients / (config.horizon + validation / config.batch_size / 3)


@pytest.mark.parametrize("name", ["core", "core_quick"])
def test_each_problem_is_there_in_two_spaces_and_fits(name: str) -> None:
    suite = load_suite(name)
    known = [problem for problem in suite.problems if problem.endswith(KINDS)]
    bases = {problem.rsplit("-", 1)[0] for problem in known}
    assert len(bases) == 8
    for base in bases:
        (wide, budget), (expert, same) = (suite.problems[f"{base}-{kind}"] for kind in KINDS)
        assert wide.model_copy(update={"space": expert.space}) == expert
        assert budget == same
        assert set(wide.space) == set(expert.space)
        assert {wide.space[name].windows == expert.space[name].windows for name in wide.space} == {True}
        assert expert.space["lr"].scale == "log"
        assert wide.space["lr"].starts[0] == 0.0
        assert wide.space["lr"].low == -wide.space["lr"].high
    assert foresee(suite) == []


FEWER = {"fashion-lenet": 32, "fashion-resnet8": 24, "shakespeare-gpt": 24}  # dear ones


def test_a_black_box_method_can_run_so_many_trainings() -> None:
    for name, (config, budget) in load_suite("core").problems.items():
        if name.endswith(KINDS):
            assert budget.gradient_equivalents is not None
            wanted = FEWER.get(name.rsplit("-", 1)[0], 48)
            assert wanted <= trainings(config, budget.gradient_equivalents) < 1.15 * wanted, name


def test_the_quick_one_is_of_the_same_problems_with_fewer_steps() -> None:
    core, quick = load_suite("core"), load_suite("core_quick")
    assert core.problems.keys() == quick.problems.keys()
    for name, (config, _) in quick.problems.items():
        if name.endswith(KINDS):
            whole, _ = core.problems[name]
            assert config.model_copy(update={"horizon": whole.horizon}) == whole
            assert config.horizon is not None
            assert whole.horizon is not None
            assert config.horizon < whole.horizon


@pytest.mark.parametrize(("name", "most"), [("core", 7 * 24 * 3600), ("core_quick", 300)])
def test_how_long_it_takes_is_told_before(name: str, most: float) -> None:
    seconds = plan(name).seconds(1)
    assert seconds is not None
    assert seconds < most


def test_every_kind_of_method_is_there() -> None:
    methods = load_suite("core").methods
    assert {
        "fds",
        "reverse_sharing",
        "ladder",
        "hd",
        "random_signs",
        "es",
        "spsa",
        "random_search",
        "tpe",
        "gp",
    } <= set(methods)
    assert {"hyperband", "bohb", "pbt", "default", "cosine"} <= set(methods)
