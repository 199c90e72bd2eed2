"""A stream as a problem: an ordinary training, exact hypergradients, and what it cannot be asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from oracles import autograd_hypergradient, relative_error, some_schedule

from hpobench_fds.errors import InputError
from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Mode
from hpobench_fds.hypergradient.reverse import ReverseMode
from hpobench_fds.run.referee import FullTrainer
from hpobench_fds.schedule import HyperparameterSpace, Schedule
from hpobench_fds.suite.config import Suite
from hpobench_fds.training.clock import Clock
from hpobench_fds.training.problem import STREAM_EPOCH, ProblemConfig, load_problem
from hpobench_fds.training.trainer import Trainer

SPACE = {
    name: HyperparameterSpace(windows=windows, low=-2, high=2)
    for name, windows in (("lr", 3), ("momentum", 2), ("weight_decay", 1))
}
PROBLEM: dict[str, Any] = {
    "dataset": "gaussian_stream", "model": "linear", "loss": "squared_error", "horizon": 12, "batch_size": 4,
    "dtype": "float64", "space": SPACE,
}  # fmt: skip


def trainer(seed: int = 0, **changes: Any) -> Trainer:
    return Trainer(load_problem(ProblemConfig.model_validate({**PROBLEM, **changes}))[0], seed, Clock())


@pytest.mark.parametrize(
    "mode", [ForwardMode(), ReverseMode(), ReverseMode(full=True)], ids=["forward", "reverse", "full"]
)
def test_its_hypergradients_are_exact(mode: Mode) -> None:
    made = trainer()
    schedule = some_schedule(made)
    found = mode(made, schedule, trial=0).gradient
    assert found is not None
    assert relative_error(found, autograd_hypergradient(made, schedule)) < 1e-12


def test_every_step_has_examples_of_its_own_which_come_back_in_any_order() -> None:
    data = trainer().data(0)
    last = 3 * STREAM_EPOCH
    batches = [data.batch(step) for step in range(last)]
    assert len(torch.unique(torch.cat([x for x, _ in batches]), dim=0)) == 4 * last
    for step in (last - 1, 0, STREAM_EPOCH, STREAM_EPOCH - 1):
        assert all(torch.equal(*pair) for pair in zip(data.batch(step), batches[step], strict=True))


def test_a_batch_can_be_written_to_tensors_that_stay() -> None:
    data = trainer().data(0)
    x, y = (torch.empty_like(one) for one in data.batch(0))
    data.batch_into(3, x, y)
    assert all(torch.equal(*pair) for pair in zip((x, y), data.batch(3), strict=True))


def test_draws_are_of_the_seed_and_the_trial_and_the_referees_are_others() -> None:
    first = [trainer(seed).data(trial).batch(0)[0] for seed, trial in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])
    assert not torch.equal(first[0], first[3])
    assert not torch.equal(first[0], FullTrainer(trainer().problem, 0).data(0).batch(0)[0])


def test_every_trial_is_validated_by_the_law_itself() -> None:
    made = trainer()
    stream = made.problem.stream
    assert stream is not None
    spectrum, signal = (torch.tensor(one, dtype=torch.float64) for one in (stream.spectrum, stream.signal))
    for trial in (0, 1):
        state = made.start(trial)
        made.train(state, Schedule.of({"lr": 0.1, "momentum": 0.5, "weight_decay": 0.0}))
        loss = float(spectrum @ (state.w - signal).square()) + stream.noise
        found = made.evaluate(state)
        assert found.loss == pytest.approx(loss, rel=1e-12)
        assert found.metric == pytest.approx(1 - loss, rel=1e-12)  # R², of targets of variance 1


def test_epochs_and_the_referees_are_of_so_many_steps() -> None:
    made = trainer(horizon=None, epochs=2, final_epochs=3)
    assert (made.problem.horizon, made.problem.final_horizon) == (2 * STREAM_EPOCH, 3 * STREAM_EPOCH)


SPECTRUM = {"spectrum": [1.0, 0.5], "noise": 0.3}


def test_a_law_of_ones_own_is_part_of_what_is_written_down() -> None:
    config = ProblemConfig.model_validate({**PROBLEM, "stream": SPECTRUM})
    written = config.model_dump(mode="json")
    assert written["stream"] == SPECTRUM
    assert ProblemConfig.model_validate(written) == config
    assert "stream" not in ProblemConfig.model_validate(PROBLEM).model_dump(mode="json")
    problem, test = load_problem(config)
    assert problem.x.shape == test.x.shape == (4, 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": None}, 'gaussian_stream has numbers for targets (allowed: loss = "squared_error")'),
        ({"dataset": "digits", "loss": None, "stream": {}}, "stream: digits is none"),
        ({"train_limit": 10}, "train_limit: gaussian_stream has no end"),
        ({"validation_fraction": 0.5}, "validation_fraction: gaussian_stream has no end"),
        ({"stream": {"noise": 1.0}}, "noise"),
        ({"stream": {"spectrum": [1.0, 0.0]}}, "stream.spectrum"),
        ({"stream": {"spectrum": [1.0], "decay": 1.0}}, "spectrum: give it, or inputs and decay"),
        ({"stream": {"widths": 3}}, "widths"),
        ({"stream": {"inputs": 0}}, "stream.inputs"),
        ({"label_noise": 0.1}, "label_noise: squared_error has no classes"),
        ({"dataset": "digits", "loss": None, "label_noise": 1.0}, "label_noise"),
    ],
    ids=lambda value: str(value),
)
def test_what_makes_no_sense_is_refused_in_a_line(changes: dict[str, Any], said: str) -> None:
    table = {name: value for name, value in {**PROBLEM, **changes}.items() if value is not None}
    table["space"] = {"lr": {"windows": 2}}
    suite = {"name": "s", "seeds": [0], "budget": {"steps": 1}, "methods": {"fds": {}}}
    with pytest.raises(InputError) as error:
        Suite.from_dict({**suite, "problems": {"p": table}})
    assert said in str(error.value)
    assert "problems.p" in str(error.value)
    assert "\n" not in str(error.value)
