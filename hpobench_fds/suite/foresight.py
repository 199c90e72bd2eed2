"""What would go wrong in a run of a suite, as far as it can be told without its data."""

from __future__ import annotations

from hpobench_fds.data.catalogue import TARGETS, check_targets, shape_of
from hpobench_fds.errors import InputError
from hpobench_fds.method.registry import resolve
from hpobench_fds.nn.zoo import build_network
from hpobench_fds.suite.cell import BudgetConfig
from hpobench_fds.suite.config import Suite
from hpobench_fds.training.problem import ProblemConfig
from hpobench_fds.typed import dotted


def foresee(suite: Suite) -> list[str]:
    """Build each model for the images of its data set, and say which budgets are too small for a training.

    Returns warnings, a line each: runs are allowed, though nothing may come of them.

    Raises
    ------
    InputError : a model that cannot be built, is random or has other outputs than the data set has classes;
        an augmentation larger than the images.
    """
    tried = set()
    for name, (config, _) in suite.problems.items():
        found, key = _shape(config), dotted("problems", location=[name])
        if found is None:
            continue
        try:
            check_targets(config.dataset, TARGETS[config.loss or "cross_entropy"])
            if (config.model, config.loss, found) not in tried:
                codes = found[1] if config.loss == "next_token" else 0
                build_network(config.model, *found, suite.base, codes, config.trained_for)
            tried.add((config.model, config.loss, found))
        except InputError as error:
            raise InputError(str(error), where=suite.where, key=key) from error
        try:
            config.augmentation.made().check(found[0])
        except InputError as error:
            raise InputError(str(error), where=suite.where, key=f"{key}.augmentation") from error
    return short_budgets(suite)


def _shape(config: ProblemConfig) -> tuple[tuple[int, ...], int] | None:
    """Shape of an example and number of outputs, where data need not be read for it."""
    return shape_of(config.dataset, config.reading) if config.law is None else ((config.law.inputs,), 1)


def short_budgets(suite: Suite) -> list[str]:
    """Problems whose budget ends before one training over the whole horizon does, and whose loss that is."""
    whole, short = list[str](), list[str]()
    for label, (adapter, _) in suite.methods.items():
        (short if resolve(adapter, base=suite.base).multi_fidelity else whole).append(label)
    lines = []
    for name, (config, budget) in suite.problems.items():
        if (text := _short_of(config, budget)) is None or not whole:
            continue
        rest = f"; {', '.join(short)} may end shorter ones" if short else ""
        key = dotted("problems", location=[name])
        lines.append(f"{suite.where}: {key}: {text}: no training of {', '.join(whole)} can end{rest}")
    return lines


def _short_of(config: ProblemConfig, budget: BudgetConfig) -> str | None:
    """In what a budget is less than one training, in words. Steps and epochs are not compared: data tell."""
    if config.horizon is not None:
        for limit, unit in ((budget.steps, "inner steps"), (budget.gradient_equivalents, "gradients")):
            if limit is not None and limit < config.horizon:
                return f"the budget of {limit:g} {unit} is less than the horizon of {config.horizon}"
    elif config.epochs is not None and budget.epochs is not None and budget.epochs < config.epochs:
        return f"the budget of {budget.epochs:g} epochs is less than the {config.epochs:g} of a training"
    return None
