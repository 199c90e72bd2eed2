"""What the questions ask of records: times in trainings' worth, paired ends, where sharing helps."""

from __future__ import annotations

import math
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
import pytest
from fabricate import Results
from hpobench_fds.analysis.loading import Loaded
from hpobench_fds.analysis.results import answers, horizon, known, noise
from hpobench_fds.analysis.results.rendering import lines, rendered, wrapped
from hpobench_fds.analysis.results.studies import Study, between, markdown, paired, worth

from hpobench_fds.errors import InputError

HORIZON = 12  # gradients that a training is worth; a second of ``fabricate`` is twelve


def study_of(made: Results, *problems: str, folder: Path = Path("here")) -> Study:
    runs = made.runs.assign(targets=None, initial=None, commit="abc", machine="", software="")
    suite = {"problems": {name: {"config": {"horizon": HORIZON}} for name in problems}}
    return Study(Loaded(folder, made.reports, runs, suite))


def test_times_are_in_trainings_worth_and_never_is_infinite(results: Results) -> None:
    for seed in range(6):
        results.add("fds", seed, [(1.0, 0.1), (3.0, 0.9)])
        results.add("tpe", seed, [(1.0, 0.1), (5.0, 0.5)])
    study = study_of(results, "digits")
    assert study.time("digits", "fds", 0.95) == 3.0
    assert math.isinf(study.time("digits", "tpe", 0.95))
    assert study.time("digits", "tpe", 0.5) == 5.0
    assert study.seeds == 6


def test_ends_are_medians_of_retrained_accuracy_with_their_interval(results: Results) -> None:
    for seed in range(7):
        results.add("fds", seed, [(1.0, 0.8)], final=0.7 + 0.01 * seed)
    row = study_of(results, "digits").ends.loc[("digits", "fds")]
    assert row["median"] == pytest.approx(73.0)
    assert (row["low"], row["high"]) == (pytest.approx(70.0), pytest.approx(76.0))
    assert between(row) == "73.0 (70.0 to 76.0)"


def test_changed_sources_and_several_commits_make_no_evidence(results: Results) -> None:
    results.add("fds", 0, [(1.0, 0.8)]).add("fds", 1, [(1.0, 0.8)])
    study = study_of(results, "digits")
    assert study.commit == "abc"
    for commits in (["abc-dirty", "abc-dirty"], ["abc", "abd"], ["", ""]):
        study.loaded.runs["commit"] = commits
        with pytest.raises(InputError, match="here: recorded from"):
            _ = study.commit


def test_a_method_may_be_of_another_commit_than_the_others_but_of_one(results: Results) -> None:
    for method in ("fds", "ladder"):
        results.add(method, 0, [(1.0, 0.8)]).add(method, 1, [(1.0, 0.8)])
    study = study_of(results, "digits")
    study.loaded.runs["commit"] = ["abc", "abc", "abd", "abd"]
    assert study.commits == {"fds": "abc", "ladder": "abd"}
    study.loaded.runs["commit"] = ["abc", "abc", "abc", "abd"]
    with pytest.raises(InputError, match="recorded from abc, abd"):
        _ = study.commits


def test_paired_differences_are_told_only_when_they_are_there() -> None:
    rng = np.random.default_rng(0)
    base = pd.Series(rng.normal(80, 2, 10))
    ends = {"fds": base, "near": base + rng.normal(0, 0.1, 10), "far": base - 3 + rng.normal(0, 0.1, 10)}
    found = paired(ends, "fds")
    assert found["far"]["told"]
    assert not found["near"]["told"]
    assert found["far"]["difference"] == pytest.approx(-3, abs=0.2)
    assert found["far"]["low"] < -3 < found["far"]["high"]
    few = paired({name: values[:5] for name, values in ends.items()}, "fds")
    assert not few["far"]["told"]  # five seeds tell nothing


def test_regret_is_near_for_good_from_the_last_time_that_it_was_not() -> None:
    times = np.array([0.0, 10.0, 20.0, 30.0])
    assert known._for_good(times, np.array([np.nan, 0.1, 0.005, 0.002])) == 20.0
    assert known._for_good(times, np.array([np.nan, 0.005, 0.5, 0.002])) == 30.0
    assert math.isinf(known._for_good(times, np.array([np.nan, 0.005, 0.5, 0.2])))
    assert known._for_good(times, np.array([np.nan, 0.5, 0.3, 0.2]), level=0.3) == 20.0


def test_sharing_helps_where_the_mean_stands_and_hurts_where_it_moves() -> None:
    """The first half is noise about nothing, the second a saw without noise."""
    rng = np.random.default_rng(1)
    saw = np.tile([1.0, -1.0], 10)
    g = np.concatenate([rng.normal(size=(50, 20)), saw + 0.01 * rng.normal(size=(50, 20))], axis=1)
    assert noise._ratio(g, 10, 0, 20) == pytest.approx(1 / 4, rel=0.25)
    assert noise._ratio(g, 10, 20, 40) > 100
    assert noise._part(g, 0, 20, (10,))[1] == "100.0"


def test_the_bound_of_a_window_is_the_theorem_s() -> None:
    steps = np.arange(8.0)
    g = 0.5 * steps + np.random.default_rng(2).normal(size=(100_000, 8))
    bound = noise._window_bound(g)
    assert bound == pytest.approx(1 / 8 + 0.5**2 * (64 - 1) / 12, rel=0.1)


def test_a_greedy_method_is_its_best_scale_by_validation_at_the_cost_of_all(results: Results) -> None:
    for seed in range(3):
        results.add("reverse_sharing", seed, [(1.0, 0.8)], used=10.0, final=0.8)
        for scale, value in (("coarse", 0.3), ("middle", 0.7), ("fine", 0.6)):
            results.add(f"hd-{scale}", seed, [(1.0, value)], used=2.0, final=value + 0.05)
    study = study_of(results, "digits")
    ends = horizon.answers(study)
    assert set(ends) == {"reverse_sharing", "hd"}
    assert ends["hd"]["end"].tolist() == pytest.approx([75.0] * 3)
    assert ends["hd"]["cost"].tolist() == pytest.approx([6.0] * 3)
    assert horizon.chosen_scales(study)["hd"] == {"coarse": 0, "middle": 3, "fine": 0}


def test_answers_are_ordered_by_home_and_told_how_alike_they_are_elsewhere(tmp_path: Path) -> None:
    worth_of = {"fds": (0.8, 0.9, 0.3), "tpe": (0.7, 0.8, 0.5), "grid": (0.6, 0.7, 0.7)}
    rows = [
        ("p", method, seed, target, draw, metric, 1.0, target == "wine" and method == "tpe" and draw == 0)
        for method, ends in worth_of.items()
        for target, metric in zip(("home", "2 times the horizon", "wine"), ends, strict=True)
        for seed in range(2)
        for draw in range(2)
    ]
    columns = ["problem", "method", "seed", "target", "draw", "test_metric", "test_loss", "diverged"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "retrainings.csv", index=False)
    found = answers.numbers(tmp_path)
    assert (found["draws"], found["seeds"], found["order"]) == (2, 2, ["fds", "tpe", "grid"])
    assert found["alike"] == pytest.approx({"home": 1.0, "2 times the horizon": 1.0, "wine": -1.0})
    assert found["lost"] == {"home": [], "2 times the horizon": [], "wine": ["tpe"]}
    assert found["table"].splitlines()[2] == "| FDS | 80.0 | 90.0 | 30.0 | 0.00 | 0 |"


def test_texts_of_numbers() -> None:
    assert (worth(7.94), worth(math.inf)) == ("7.9", "never")
    assert between({"median": 1.0, "low": math.nan, "high": math.nan}) == "1.0"
    assert markdown(["a", "b"], [["x", "1"]]) == "| a | b |\n|---|---:|\n| x | 1 |"
    numbers = {"one": {"x": 0.123456789, "table": "| a |\n|---|"}, "n": 3}
    assert list(lines(numbers)) == ["one.x = 0.123457", "one.table:\n\n| a |\n|---|\n", "n = 3"]


def test_a_page_that_speaks_of_a_number_that_there_is_not_is_refused() -> None:
    with pytest.raises(jinja2.UndefinedError):
        rendered({})


def test_paragraphs_and_items_are_broken_and_nothing_else() -> None:
    word = "word " * 40
    page = f"# {word}\n\n{word}\n{word}\n\n- {word}\n- b\n  c\n\n| {word} |\n\n![{word}](x.png)\n"
    blocks = wrapped(page).split("\n\n")
    assert blocks[0] == f"# {word}"
    assert all(len(line) <= 120 for line in (blocks[1] + "\n" + blocks[2]).splitlines())
    assert blocks[1].split() == (word * 2).split()
    assert blocks[2].splitlines()[-1] == "- b c"
    assert all(line.startswith(("- ", "  ")) for line in blocks[2].splitlines())
    assert (blocks[3], blocks[4]) == (f"| {word} |", f"![{word}](x.png)\n")
