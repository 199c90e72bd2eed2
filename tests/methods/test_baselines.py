"""Hand-made schedules: their values, against torch's own where it has one, and their projection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from closed_form import ClosedForm, gone_on, run
from hpobench_fds.methods._baselines import CUSTOMARY, CUSTOMARY_GRID
from hpobench_fds.methods.cosine import Cosine
from hpobench_fds.methods.default import Default
from hpobench_fds.methods.grid import Grid
from hpobench_fds.methods.one_cycle import OneCycle

from hpobench_fds.method import Method
from hpobench_fds.schedule import HyperparameterSpace, Schedule, ScheduleSpace
from hpobench_fds.training.optimisers import RULES

HORIZON = 60


def wide(lr_windows: int = HORIZON, momentum_windows: int = HORIZON) -> ScheduleSpace:
    return ScheduleSpace(
        {
            "lr": HyperparameterSpace(windows=lr_windows, low=-1, high=1),
            "momentum": HyperparameterSpace(windows=momentum_windows, low=-1.5, high=1.5),
            "weight_decay": HyperparameterSpace(low=-4e-3, high=4e-3),
        }
    )


def tried(method: Method, space: ScheduleSpace, optimiser: str = "sgd") -> list[Schedule]:
    task = run(method, 20, space=space, horizon=HORIZON, loss=lambda v, step: 1.0, optimiser=optimiser)
    return [space.from_vector(np.array(t.vector)) for t in task.trained]


def test_default_is_constant_and_then_done() -> None:
    method = Default()
    task = ClosedForm(method, space=wide(5, 1), steps=10_000, horizon=HORIZON, loss=lambda v, step: 1.0)
    assert method.run(task) == "done"
    (trained,) = task.trained
    assert trained.vector == (0.1, 0.1, 0.1, 0.1, 0.1, 0.9, 5e-4)


def test_values_are_projected_and_what_is_not_learned_is_left() -> None:
    space = ScheduleSpace(
        {
            "lr": HyperparameterSpace(windows=2, low=1e-4, high=0.05, initial=0.01, scale="log"),
            "momentum": HyperparameterSpace(initial=0.3, learn=False),
            "beta": HyperparameterSpace(low=0.9, high=0.99, initial=0.95),
        }
    )
    (schedule,) = tried(Default(), space)
    assert schedule.as_dict() == {"lr": [0.05, 0.05], "momentum": [0.3], "beta": [0.95]}


ADAM = ScheduleSpace(
    {
        "lr": HyperparameterSpace(windows=HORIZON, low=0.0, high=1.0),
        "beta1": HyperparameterSpace(windows=HORIZON, low=0.0, high=0.99),
        "beta2": HyperparameterSpace(low=0.0, high=0.9999, initial=0.5),
        "eps": HyperparameterSpace(initial=1e-8, learn=False),
        "weight_decay": HyperparameterSpace(low=0.0, high=1.0),
    }
)


@pytest.mark.parametrize("optimiser", ["adam", "adamw"])
def test_of_adam_the_customary_values_are_torchs_defaults(optimiser: str) -> None:
    rule: Any = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optimiser]
    known = rule([torch.zeros(1, requires_grad=True)]).defaults
    for method in (Default(), Cosine(), OneCycle(), Grid()):
        first = tried(method, ADAM, optimiser)[0]
        assert (first["beta2"], first["weight_decay"]) == ((known["betas"][1],), (known["weight_decay"],))
        top = known["lr"] if method.name != "one_cycle" else pytest.approx(known["lr"], rel=1e-2)
        assert max(first["lr"]) == top
        if method.name != "one_cycle":
            assert set(first["beta1"]) == {known["betas"][0]}
    assert CUSTOMARY[optimiser]["eps"] == known["eps"]
    rates = [schedule["lr"][0] for schedule in tried(Grid(), ADAM, optimiser)]
    assert rates == [1e-3, 3e-4, 3e-3, 1e-4, 1e-2, 3e-5, 1e-5]


def test_every_step_rule_has_customary_values_of_all_its_hyperparameters() -> None:
    assert {name: list(values) for name, values in CUSTOMARY.items()} == {
        name: list(rule.defaults) for name, rule in RULES.items()
    }
    assert set(CUSTOMARY_GRID) == set(RULES)
    assert all(rates[0] == CUSTOMARY[name]["lr"] for name, rates in CUSTOMARY_GRID.items())


def test_what_is_given_goes_before_what_is_customary() -> None:
    (schedule,) = tried(Default(Default.Options(lr=0.2, weight_decay=0.0)), wide(1, 1))
    assert schedule.as_dict() == {"lr": [0.2], "momentum": [0.9], "weight_decay": [0.0]}
    (schedule,) = tried(Cosine(Cosine.Options(lr_max=0.5)), wide(1, 1))
    assert schedule["lr"][0] == pytest.approx(0.5 * (1 + 1 / HORIZON) / 2)


def test_one_cycle_of_adam_is_torchs_too() -> None:
    (schedule,) = tried(OneCycle(), ADAM, "adamw")
    optimiser = torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    scheduler: Any = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=HORIZON)
    for step in range(HORIZON):
        group = optimiser.param_groups[0]
        assert schedule["lr"][step] == pytest.approx(group["lr"], abs=1e-15)
        assert schedule["beta1"][step] == pytest.approx(group["betas"][0], abs=1e-12)
        optimiser.step()
        scheduler.step()


def torch_values(kind: str) -> tuple[list[float], list[float]]:
    """Learning rate and momentum of each step of a torch scheduler."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)
    scheduler: Any = (
        torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, HORIZON)
        if kind == "cosine"
        else torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, total_steps=HORIZON)
    )
    lr, momentum = [], []
    for _ in range(HORIZON):
        lr.append(optimiser.param_groups[0]["lr"])
        momentum.append(optimiser.param_groups[0]["momentum"])
        optimiser.step()
        scheduler.step()
    return lr, momentum


def test_a_window_a_step_cosine_is_torchs() -> None:
    (schedule,) = tried(Cosine(), wide())
    lr, _ = torch_values("cosine")
    np.testing.assert_allclose(schedule["lr"], lr, atol=1e-12)
    assert set(schedule["momentum"]) == {0.9}
    assert schedule["weight_decay"] == (5e-4,)


def test_a_window_a_step_one_cycle_is_torchs() -> None:
    (schedule,) = tried(OneCycle(), wide())
    lr, momentum = torch_values("one_cycle")
    np.testing.assert_allclose(schedule["lr"], lr, atol=1e-12)
    np.testing.assert_allclose(schedule["momentum"], momentum, atol=1e-12)


@pytest.mark.parametrize("windows", [1, 5, 7, 59, 60, 100])
@pytest.mark.parametrize("method", [Cosine(), OneCycle()])
def test_windows_hold_the_mean_of_their_steps(method: Method, windows: int) -> None:
    (fine,), (coarse,) = tried(method, wide()), tried(method, wide(windows, 1))
    index = [windows * step // HORIZON for step in range(HORIZON)]
    for window, value in enumerate(coarse["lr"]):
        steps = [lr for lr, at in zip(fine["lr"], index, strict=True) if at == window]
        assert np.isfinite(value)
        if steps:
            assert value == pytest.approx(np.mean(steps))
    assert coarse["momentum"][0] == pytest.approx(np.mean(fine["momentum"]))


@pytest.mark.parametrize("horizon", [1, 2, 3, 4])
def test_one_cycle_on_a_handful_of_steps(horizon: int) -> None:
    task = run(OneCycle(), 5, space=wide(3, 2), horizon=horizon, loss=lambda v, step: 1.0)
    assert np.all(np.isfinite(task.trained[0].vector))


def test_the_grid_tries_each_once_in_order_and_is_done() -> None:
    lrs = [schedule["lr"] for schedule in tried(Grid(), wide(2, 1))]
    assert lrs == [(lr, lr) for lr in (0.1, 0.03, 0.3, 0.01, 1.0, 0.003, 0.001)]
    narrow = ScheduleSpace({"lr": HyperparameterSpace(low=0.01, high=0.2, initial=0.1)})
    assert [s["lr"][0] for s in tried(Grid(), narrow)] == [0.1, 0.03, 0.2, 0.01]


def test_an_interrupted_grid_goes_on() -> None:
    gone_on(Grid, 7, 3)


@pytest.mark.parametrize("method", [Cosine(), OneCycle(), Grid()])
def test_without_a_learning_rate_to_set_they_say_so(method: Method) -> None:
    space = ScheduleSpace({"lr": HyperparameterSpace(learn=False), "momentum": HyperparameterSpace()})
    problem: Any = SimpleNamespace(space=space)
    assert method.skip(problem) == "the space does not learn lr"
    problem = SimpleNamespace(space=wide())
    assert method.skip(problem) is None
