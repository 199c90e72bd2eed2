"""Of all methods on all problems: who reaches the targets, beats the floor, and is ahead of FDS, by box."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fabricate import Results
from hpobench_fds.analysis.loading import Loaded
from hpobench_fds.analysis.results import core, rivals
from hpobench_fds.analysis.results.studies import Study

HORIZON = 12  # gradients that a training is worth; a second of ``fabricate`` is twelve


@pytest.fixture
def study() -> Study:
    """Ladder is at 95 % in a third of FDS's time in the wide box; in the expert's nobody but it ever is.

    The cosine, one training, ends at 0.80 everywhere: above random signs, below the others.
    """
    late = {"a-wide": 0.88, "a-expert": 0.83}
    return study_of({p: {"fds": late[p], "ladder": 0.9, "random_signs": 0.5, "cosine": 0.8} for p in late})


def study_of(ends: dict[str, dict[str, float]]) -> Study:
    """Six seeds a hair apart; the first report of those that search is chance."""
    made, when = (
        Results(),
        {"fds": 6.0, "ladder": 2.0, "random_signs": 9.0, "pbt": 6.0, "bohb": 6.0, "random_search": 6.0},
    )
    for problem, methods in ends.items():
        for method, end in methods.items():
            for seed in range(6):
                points = [(1.0, 0.1), (when[method], end + 1e-3 * seed)] if method in when else [(1.0, end)]
                made.add(method, seed, points, problem=problem)
    runs = made.runs.assign(targets=None, initial=[[0.1, 0.05, 0.9, 1e-4]] * len(made.runs), commit="abc",
                            machine="", software="")  # fmt: skip
    suite = {"problems": {name: {"config": {"horizon": HORIZON}} for name in ends}}
    return Study(Loaded(Path("here"), made.reports, runs, suite))


def test_problems_reached_are_those_of_the_median_run_and_never_is_infinite(study: Study) -> None:
    assert core.reaches(study)[0.95]["ladder"] == {"problems": 2, "trainings": 2.0}
    assert core.reaches(study, "wide")[0.95]["fds"] == {"problems": 1, "trainings": 6.0}
    assert core.reaches(study, "expert")[0.95]["fds"] == {"problems": 0, "trainings": math.inf}


def test_an_end_is_a_share_of_the_way_from_the_start_to_the_best(study: Study) -> None:
    far = core.shares(study, "wide")
    assert far["ladder"] == [pytest.approx(1.0, abs=2e-3)]
    start = 0.1  # where nothing is trained yet
    assert far["random_signs"] == [pytest.approx((0.5 - start) / (0.902 - start), abs=5e-3)]


def test_a_challenger_is_held_against_fds_problem_by_problem(study: Study) -> None:
    found = rivals.against(study)
    assert [found["ladder"][k] for k in ("half", "sooner", "later")] == [2, 2, 0]
    assert found["ladder"]["ratio"]["a-wide"] == pytest.approx(1 / 3)
    assert (found["ladder"]["comparable"], found["random_signs"]["comparable"]) == (2, 1)
    assert found["ladder"]["points"]["a-wide"] == pytest.approx(2.0)
    assert found["ladder"]["clock"] == found["ladder"]["ratio"]  # a second is as many gradients for all
    assert found["random_signs"]["later"] == 1  # where neither comes there, neither is first
    assert math.isnan(found["random_signs"]["ratio"]["a-expert"])
    assert not found["random_signs"]["told"]  # one data set decides nothing


def test_by_the_clock_fds_is_as_much_sooner_as_its_gradients_take_less_of_it(study: Study) -> None:
    for frame in (study.loaded.reports, study.loaded.runs):
        frame.loc[frame["method"] == "fds", "seconds"] *= 0.5
    found = rivals.against(study)["ladder"]
    assert found["ratio"]["a-wide"] == pytest.approx(1 / 3)
    assert found["clock"]["a-wide"] == pytest.approx(2 / 3)
    assert (found["half"], found["half_clock"]) == (2, 1)  # on the other FDS never comes there


def test_the_boxes_of_a_data_set_are_one_unit_on_the_scale_of_the_wide_one(study: Study) -> None:
    """Of a way from 0.1 to 0.9025: 0.02 in the wide box and 0.07 in the expert's."""
    found = rivals.against(study)["ladder"]
    assert found["by"] == {"a": pytest.approx(100 * (0.02 + 0.07) / 2 / (0.9025 - 0.1), abs=0.2)}


def alike(gaps: dict[str, list[float]]) -> Study:
    """FDS and methods that are so much above it, data set by data set."""
    count = len(next(iter(gaps.values())))
    return study_of({
        f"p{i}-wide": {"fds": 0.7 + 0.01 * i} | {m: 0.7 + 0.01 * i + own[i] for m, own in gaps.items()}
        for i in range(count)
    })  # fmt: skip


def test_over_eight_data_sets_a_declared_difference_is_told_where_all_agree() -> None:
    others = {m: [0.01, -0.01] * 4 for m in rivals.TO_FDS}
    gaps = {"pbt": [0.02] * 8, "bohb": [0.02] * 7 + [-0.001], "ladder": [0.02] * 8}
    found = rivals.against(alike(others | gaps))
    assert found["pbt"]["told"]
    assert not found["bohb"]["told"]
    assert not found["ladder"]["told"]  # it was not declared: it is described
    assert (found["pbt"]["higher"], found["bohb"]["higher"]) == (8, 7)


def test_between_methods_alike_a_difference_is_told_as_rarely_as_it_says() -> None:
    """Both boxes share what befalls a data set: as two units they were told apart in every eighth study."""
    rng, told = np.random.default_rng(0), 0
    for _ in range(200):
        shared = rng.normal(0, 0.03, 8)
        own = {
            m: pd.Series(shared * k + rng.normal(0, 0.01, 8)) for k, m in enumerate(("fds", *rivals.TO_FDS))
        }
        gaps = rivals._gaps(own, "fds", rivals.TO_FDS, rivals.TO_FDS)
        told += any(gap["told"] for gap in gaps.values())
    assert told / 200 <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5


def test_the_floor_is_the_best_of_those_that_search_nothing(study: Study) -> None:
    found = rivals.floor(study)
    assert found["by"]["a-wide"] == {
        "floor": "cosine",
        "level": pytest.approx(80.0),
        "above": ["ladder", "fds"],
        "soonest": "ladder",
        "trainings": 2.0,
    }
    assert found["of"]["ladder"]["above"] == 2
    assert found["of"]["ladder"]["trainings"] == 2.0
    assert found["of"]["random_signs"] == {
        **found["of"]["random_signs"], "above": 0, "sooner": 0, "trainings": math.inf,
    }  # fmt: skip
    assert "cosine" not in found["of"]
    first = rivals.floor_markdown(study, found).splitlines()[2]
    assert first == "| a-wide | Cosine | 80.0 % | 2 | Ladder | 90.2 % | Ladder, 2.0 |"


def test_nobody_above_the_floor_has_no_time_to_it() -> None:
    made = study_of({"a-wide": {"fds": 0.7, "cosine": 0.8}})
    found = rivals.floor(made)
    assert (found["by"]["a-wide"]["soonest"], found["by"]["a-wide"]["trainings"]) == ("", math.inf)
    assert rivals.floor_markdown(made, found).splitlines()[2] == "| a-wide | Cosine | 80.0 % | 0 |  |  |  |"


def test_ends_are_told_in_the_unit_of_their_problem(study: Study) -> None:
    assert study.told("a-wide", 85.64) == "85.6 %"
    study.loaded.runs["metric"] = "bits a token"
    assert study.told("a-wide", -373.7) == "3.74 bits a token"


def test_pace_is_the_seconds_of_a_gradient_beside_random_search_s() -> None:
    made = study_of({p: {"fds": 0.8, "random_search": 0.7} for p in ("a-wide", "b-wide", "c-wide")})
    runs = made.loaded.runs
    for problem, share in (("a-wide", 0.25), ("b-wide", 0.5), ("c-wide", 3.0)):
        here = (runs["problem"] == problem) & (runs["method"] == "fds")
        runs.loc[here, "seconds"] *= share
    assert core.pace(made) == {"fds": pytest.approx(0.5), "random_search": 1.0}
    assert core.pace(study_of({"a-wide": {"fds": 0.8, "pbt": 0.7}})) == {}


def test_all_tables_have_a_row_a_method(study: Study) -> None:
    numbers = core.numbers(study)
    assert numbers["problems"] == 2
    assert numbers["order"][0] == "ladder"
    assert numbers["signs_lower"] == {"wide": 1, "expert": 1}
    assert (numbers["unsearched"], numbers["labels"]["cosine"]) == ("cosine", "Cosine")
    assert numbers["far"]["wide"]["ladder"] == pytest.approx(100.0, abs=0.2)
    rows = {name: len(numbers[name].splitlines()) - 2 for name in ("table", "boxes", "rivals", "floor_table")}
    assert rows == {"table": 4, "boxes": 3, "rivals": 3, "floor_table": 2}


def test_a_method_that_was_skipped_on_a_problem_is_held_against_the_others_elsewhere() -> None:
    every = {"fds": 0.8, "ladder": 0.9, "cosine": 0.7}
    made = study_of({"a-wide": every | {"pbt": 0.85}, "a-expert": every, "b-wide": every})
    found = core.numbers(made)
    assert found["against"]["pbt"]["by"] == {"a": pytest.approx(100 * 0.05 / (0.9025 - 0.1), abs=0.2)}
    assert (found["floor"]["of"]["pbt"]["above"], found["floor"]["of"]["pbt"]["problems"]) == (1, 1)
    assert "| 1 of 1 |" in next(line for line in found["table"].splitlines() if line.startswith("| PBT"))
    assert found["reached"]["0.8"]["pbt"]["problems"] == 1
    assert math.isnan(found["against"]["pbt"]["ratio"]["b-wide"])  # FDS does not come there either
