"""A method's own space: laid over the problem's key by key, in the record, in the report's suite file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hpobench_fds.analysis.reports.suite_toml import as_toml

from hpobench_fds.errors import InputError
from hpobench_fds.families import Curve
from hpobench_fds.records.folder import read_suite
from hpobench_fds.records.frames import load_results, load_runs
from hpobench_fds.records.verify import verify
from hpobench_fds.run.suite_run import run_suite
from hpobench_fds.suite.config import Suite

COSINE = {"lr": {"family": "cosine", "low": 0.01, "initial": 0.1, "scale": "log"}}


def suite(**methods: dict[str, Any]) -> dict[str, Any]:
    space = {
        "lr": {"windows": 3, "low": -1.0, "high": 1.0, "initial": [0.1, 0.1, 0.1]},
        "momentum": {"low": 0.0, "high": 0.9, "initial": 0.5},
    }
    problem = {"dataset": "digits", "horizon": 12, "batch_size": 64, "train_limit": 400, "space": space}
    return {
        "name": "families",
        "seeds": [0],
        "budget": {"steps": 30},
        "problems": {"one": problem, "two": {**problem, "space": {"lr": {**space["lr"], "high": 0.5}}}},
        "methods": methods,
    }


def test_a_methods_table_is_laid_over_the_problems() -> None:
    cells = Suite.from_dict(suite(tpe={"space": COSINE}, random_search={})).cells()
    names = {(c.problem, c.method): c.config.schedule_space().names for c in cells}
    assert names["one", "random_search"] == ["lr[0]", "lr[1]", "lr[2]", "momentum[0]"]
    assert names["one", "tpe"] == ["lr.peak", "momentum[0]"]
    assert names["two", "tpe"] == ["lr.peak"]
    highs = {c.problem: c.config.space["lr"].high for c in cells if c.method == "tpe"}
    assert highs == {"one": 1.0, "two": 0.5}  # of the problem's


def test_an_own_space_is_another_configuration() -> None:
    (one, other) = Suite.from_dict(
        suite(a={"adapter": "tpe", "space": COSINE}, b={"adapter": "tpe"})
    ).cells()[:2]
    assert one.config_hash != other.config_hash


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"lr": {"family": "cosine"}}, "methods.tpe.space.lr: initial = 0 is outside [0.5, 1]"),
        ({"lr": {"family": "sine"}}, 'methods.tpe.space.lr.family: got "sine"'),
        ({"lr": {"windows": 2}}, "methods.tpe.space.lr: initial has 3 values for 2 windows"),
        ({"lr": {"windows": 50, "initial": 0.6}}, "methods.tpe.space: lr.windows: got 50"),
        ({"beta1": {}}, "methods.tpe.space: sgd has no hyperparameter 'beta1'"),
        ({"lr": {"learn": False}, "momentum": {"learn": False}}, "methods.tpe.space: space: nothing to tune"),
        ({"lr": 3}, "methods.tpe.space.lr: got 3"),
    ],
)
def test_a_table_that_makes_no_space_is_refused(space: dict[str, Any], said: str) -> None:
    data = suite(tpe={"space": space})
    del data["problems"]["two"]
    data["problems"]["one"]["space"]["lr"] |= {"low": 0.5, "initial": [0.6, 0.6, 0.6]}
    with pytest.raises(InputError) as raised:
        Suite.from_dict(data)
    assert said in str(raised.value)


@pytest.mark.parametrize("isolate", [False, True])
def test_methods_search_their_own_space_on_the_same_problem(tmp_path: Path, isolate: bool) -> None:
    data = suite(
        tpe={"space": COSINE},
        random_search={},
        fds={},
        fds_cosine={"adapter": "fds", "space": COSINE},
        pbt={"space": COSINE},
        hyperband={"space": COSINE, "units": 3},
    )
    del data["problems"]["two"]
    summary = run_suite(data, tmp_path, isolate=isolate)
    verdicts = {result.cell.method: result.record for result in summary.results}
    assert all(record is not None and record.status == "complete" for record in verdicts.values())
    skipped = {name for name, record in verdicts.items() if record and record.stopped == "skipped"}
    assert skipped == {"fds_cosine", "pbt"}
    fds = verdicts["fds_cosine"]
    assert fds is not None
    assert fds.reason is not None
    assert "lr is a cosine" in fds.reason
    assert verify(tmp_path).sound
    frame = load_results(tmp_path)
    named = {m: tuple(rows["schedule_names"].iloc[0]) for m, rows in frame.groupby("method")}
    assert named["tpe"] == ("lr.peak", "momentum[0]")
    assert len(named["random_search"]) == 4
    tpe = frame[frame["method"] == "tpe"]
    assert all(0.01 <= values[0] <= 1.0 for values in tpe["schedule"])


def test_the_reports_suite_file_runs_the_same_again(tmp_path: Path) -> None:
    data = suite(tpe={"space": COSINE}, random_search={})
    run_suite(data, tmp_path, methods="random_search")
    run_suite(data, tmp_path, methods="tpe")
    again = Suite.from_dict(tomllib.loads(as_toml(read_suite(tmp_path))))
    assert again.describe() == Suite.from_dict(data).describe()


def test_a_vector_is_the_curve_that_the_trainer_sees() -> None:
    cell = Suite.from_dict(suite(tpe={"space": COSINE})).cells()[0]
    schedule = cell.config.schedule_space().from_vector([0.4, 0.7])
    assert schedule.shape("lr") == Curve("cosine", 0.4, 0.0, 0.0, 0.0)


def test_targets_are_the_suites_and_may_change(tmp_path: Path) -> None:
    data = suite(random_search={})
    del data["problems"]["two"]
    data["problems"]["one"]["targets"] = [0.5, 0.8]
    run_suite(data, tmp_path)
    assert read_suite(tmp_path)["problems"]["one"]["targets"] == [0.5, 0.8]
    assert "targets = [0.5, 0.8]" in as_toml(read_suite(tmp_path))
    data["problems"]["one"]["targets"] = [0.9]
    summary = run_suite(data, tmp_path)
    assert [result.verdict for result in summary.results] == ["complete before"]
    assert read_suite(tmp_path)["problems"]["one"]["targets"] == [0.9]


@pytest.mark.parametrize("targets", [[], [0.0], [1.5], [float("nan")], "high"])
def test_targets_that_are_no_accuracies_are_refused(targets: Any) -> None:
    data = suite(random_search={})
    data["problems"]["one"]["targets"] = targets
    with pytest.raises(InputError, match=r"problems\.one\.targets"):
        Suite.from_dict(data)


def test_a_first_step_of_another_range_is_not_inherited() -> None:
    data = suite(tpe={"space": {"lr": {"windows": 3, "low": 0.01, "initial": [0.1, 0.1, 0.1]}}})
    del data["problems"]["two"]
    data["problems"]["one"]["space"]["lr"]["step"] = 0.2
    (cell,) = Suite.from_dict(data).cells()
    assert cell.config.space["lr"].step is None
    assert cell.config.space["lr"].first_step == pytest.approx(0.05 * 0.99)


@pytest.mark.parametrize(
    ("loss", "targets", "said"),
    [
        ("next_token", [3.0, 2.5], None),
        ("squared_error", [0.5], None),
        ("squared_error", [1.5], r"targets\[0\]: got 1.5 \(allowed: 1 or less, the R² as a fraction"),
        ("cross_entropy", [0.5, 2.0], r"targets\[1\]: got 2"),
    ],
)
def test_targets_are_in_the_problems_metric(loss: str, targets: list[float], said: str | None) -> None:
    data = suite(random_search={})
    del data["problems"]["two"]
    data["problems"]["one"] |= {"loss": loss, "targets": targets}
    if said is None:
        assert Suite.from_dict(data).targets == {"one": tuple(targets)}
        return
    with pytest.raises(InputError, match=said):
        Suite.from_dict(data)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"space": {"foo": {"low": 0.1}}}, "sgd has no hyperparameter 'foo' (allowed: lr, momentum"),
        ({"space": {"lr": {"family": "cosine", "final": {"scale": "log"}}}},
         "unknown key 'scale' (allowed: low, high, initial, step)"),
    ],
)  # fmt: skip
def test_what_is_allowed_is_named(change: dict[str, Any], said: str) -> None:
    data = suite(random_search={})
    data["problems"]["one"] |= change
    with pytest.raises(InputError) as raised:
        Suite.from_dict(data)
    assert said in str(raised.value)


@pytest.mark.parametrize("points", ["some", 1.5, 0, True, None])
def test_points_are_a_number_or_all(points: Any) -> None:
    data = suite(random_search={}) | {"referee": {"points": points}}
    with pytest.raises(
        InputError, match=r'referee\.points: got .* \(allowed: a whole number from 1, or "all"'
    ):
        Suite.from_dict(data)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_what_people_search_is_spelt_as_in_the_suite_core(tmp_path: Path, optimiser: str) -> None:
    """A cosine's peak and warm-up and one weight decay, over whatever box the problem has."""
    core = tomllib.loads((Path(__file__).parents[2] / "benchmarks" / "core.toml").read_text())["methods"]
    space = {
        "lr": {"windows": 3, "low": 1e-3, "high": 0.5, "initial": 0.01, "scale": "log"},
        "weight_decay": {"windows": 2, "low": 1e-5, "high": 1e-2, "initial": 1e-3, "scale": "log"},
    }
    data = suite(**{name: core[name] for name in ("random_search-cosine", "tpe-cosine")})
    data["problems"] = {"one": {**data["problems"]["one"], "optimiser": optimiser, "space": space}}
    out = tmp_path / "out"
    assert all(result.verdict == "complete" for result in run_suite(data, out).results)
    assert verify(out).findings == []
    assert set(load_runs(out)["searched"]) == {"lr as a cosine (peak, warmup), weight_decay"}
    for names, values in load_results(out)[["schedule_names", "schedule"]].itertuples(index=False):
        assert names == ["lr.peak", "lr.warmup", "weight_decay[0]"]
        assert 1e-3 <= values[0] <= 0.5
        assert 0.0 <= values[1] <= 0.3
    assert load_runs(out)["final_test_metric"].notna().all()
