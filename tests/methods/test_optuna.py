"""Any sampler by name proposes what it would in a plain study; one that is not there is named."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from closed_form import ClosedForm, gone_on, initial, run, study_of, vectors
from hpobench_fds.methods.gp import GP
from hpobench_fds.methods.optuna import Optuna
from hpobench_fds.methods.optuna_tpe import OptunaTPE
from refused import assert_refused_before_anything_runs

from hpobench_fds.errors import InputError
from hpobench_fds.method import Method
from hpobench_fds.method.registry import parse_options

SAMPLERS: list[tuple[str, dict[str, Any]]] = [
    ("TPESampler", {"n_startup_trials": 4, "multivariate": True}),
    ("CmaEsSampler", {"n_startup_trials": 2, "popsize": 5}),
    ("NSGAIISampler", {"population_size": 5}),
    ("QMCSampler", {"scramble": True}),
    ("RandomSampler", {}),
]


@pytest.fixture(autouse=True)
def quiet() -> Any:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def made(sampler: str, arguments: dict[str, Any] | None = None, **options: Any) -> Optuna:
    table = {"sampler": f"optuna.samplers.{sampler}", "arguments": arguments or {}, **options}
    return Optuna(parse_options(Optuna, table))


@pytest.mark.parametrize(("sampler", "arguments"), SAMPLERS, ids=lambda part: str(part))
def test_it_proposes_what_a_plain_study_does(sampler: str, arguments: dict[str, Any]) -> None:
    build, count = getattr(optuna.samplers, sampler), 14
    ours = run(made(sampler, arguments, start_from_initial=False), count)
    assert vectors(ours) == study_of(build(seed=ours.seed % 2**32, **arguments), count)
    ours = run(made(sampler, arguments), count)
    assert vectors(ours) == study_of(build(seed=ours.seed % 2**32, **arguments), count, first=initial())


@pytest.mark.parametrize(("sampler", "arguments"), SAMPLERS, ids=lambda part: str(part))
def test_an_interrupted_run_goes_on(sampler: str, arguments: dict[str, Any]) -> None:
    gone_on(lambda: made(sampler, arguments), 9, 6)


@pytest.mark.parametrize(
    ("sampler", "method"),
    [("TPESampler", OptunaTPE), ("GPSampler", GP)],
)
def test_samplers_with_an_adapter_of_their_own_are_the_same_by_name(
    sampler: str, method: type[Method], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Optuna, "name", method.name)  # of which their seeds are
    arguments = {
        "n_startup_trials": 3,
        **({"deterministic_objective": False} if sampler == "GPSampler" else {}),
    }
    special = method(parse_options(method, arguments))
    assert vectors(run(made(sampler, arguments), 6)) == vectors(run(special, 6))


def test_a_prior_s_draws_relieve_the_sampler_of_its_own() -> None:
    assert made("TPESampler").startup() == 10
    assert made("TPESampler", {"n_startup_trials": 3}).startup() == 3
    assert made("QMCSampler").startup() == 10
    drawn = vectors(run(made("TPESampler", {"n_startup_trials": 5}, prior=True), 5))
    assert drawn[0] == tuple(initial().values())
    method = made("TPESampler", {"n_startup_trials": 5})
    assert drawn[1:] != vectors(run(method, 5))[1:]


def test_what_a_sampler_would_import_on_the_clock_it_imports_before(monkeypatch: pytest.MonkeyPatch) -> None:
    method = made("TPESampler", {"n_startup_trials": 2})
    asked: list[int] = []
    monkeypatch.setattr(Method, "warm_up", lambda self, task: None)
    monkeypatch.setattr(method, "sampler", lambda task, seed: Counting(asked, seed))
    method.warm_up(ClosedForm(method))
    assert asked == [0, 1, 2]  # two at random, one of a model


class Counting(optuna.samplers.TPESampler):
    """Knows how often it was asked."""

    def __init__(self, asked: list[int], seed: int) -> None:
        super().__init__(seed=seed, n_startup_trials=2)
        self._asked = asked

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        self._asked.append(trial.number)


BROKEN = [
    ({"sampler": "optuna.samplers.Telepathy"}, "sampler = 'optuna.samplers.Telepathy' cannot be imported"),
    ({"sampler": "no_such_package.Sampler"}, "cannot be imported: ModuleNotFoundError"),
    ({"sampler": "TPESampler"}, "sampler = 'TPESampler' cannot be imported"),
    ({"sampler": "optuna.Study"}, "is no subclass of optuna.samplers.BaseSampler"),
    ({"sampler": "optuna.samplers.PartialFixedSampler"}, "takes no seed"),
    ({"arguments": {"temperature": 3}}, "TPESampler refuses arguments = {'temperature': 3}: TypeError"),
    ({"arguments": {"seed": 3}}, "arguments.seed: the suite's seeds"),
    ({"sampler": "optuna.samplers.NSGAIISampler", "arguments": {"population_size": 1}}, "Sampler refuses"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "text"), BROKEN)
def test_a_sampler_that_cannot_be_built_is_a_line(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_options(Optuna, options, where="s.toml", key="methods.x")
    line = str(caught.value)
    assert line.startswith("s.toml: methods.x: ")
    assert text in line
    assert "\n" not in line


def test_it_is_said_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    methods = '[methods.x]\nadapter = "optuna"\nsampler = "optuna.samplers.Telepathy"\n'
    assert_refused_before_anything_runs(methods, tmp_path, capsys)


def test_a_sampler_that_has_tried_all_ends_the_search() -> None:
    grid = {name: [0.01, 0.1] if name.startswith("lr") else [0.0] for name in initial()}
    method = made("GridSampler", {"search_space": grid}, start_from_initial=False)
    task = ClosedForm(method, steps=81 * 20)
    assert method.run(task) == "done"
    assert len(set(vectors(task))) == len(task.trained) == 8


def test_a_sampler_of_one_s_own_goes_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "our_hub.py").write_text(
        "import optuna\n\n\nclass Plain(optuna.samplers.RandomSampler):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    ours = run(Optuna(parse_options(Optuna, {"sampler": "our_hub.Plain", "start_from_initial": False})), 5)
    assert vectors(ours) == study_of(optuna.samplers.RandomSampler(seed=ours.seed % 2**32), 5)
