"""The verdict in sentences: planted answers are told, and no more than the seeds can bear."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fabricate import Results
from hpobench_fds.analysis.looks import Looks
from hpobench_fds.analysis.reports import sentences as words
from hpobench_fds.analysis.reports.sentences import question_of, sentence, verdict
from hpobench_fds.analysis.stats.conclusions import Finding, findings


def race(results: Results, scales: dict[str, float], seeds: int = 7, problem: str = "digits") -> Results:
    """Methods that all end at 90 %, each in its own time (times a little luck); budget 1000 s."""
    rng = np.random.default_rng(3)
    for seed in range(seeds):
        for method, scale in scales.items():
            luck = float(np.exp(rng.uniform(-0.1, 0.1)))
            results.add(method, seed, [(scale * luck, 0.3), (2 * scale * luck, 0.9)], problem=problem)
    return results


def board(results: Results, finals: dict[str, list[float]], problem: str = "digits") -> Results:
    """Final accuracies, a list of seeds a method; all at one second."""
    for method, values in finals.items():
        for seed, value in enumerate(values):
            results.add(method, seed, [(1.0, value)], problem=problem)
    return results


def told(found: Finding) -> str:
    return sentence(found, Looks())


def one(results: Results, kind: str, reference: str = "fds") -> Finding:
    (found,) = (f for f in findings(*results.both, reference) if question_of(f) == kind)
    return found


# ---- speed --------------------------------------------------------------------------------------------


def test_a_planted_speedup_over_the_fastest_black_box_method_is_told_with_its_interval(
    results: Results,
) -> None:
    found = one(race(results, {"fds": 1, "tpe": 12, "bohb": 30, "random_search": 60}), "speed")
    assert (found.outcome, found.rival, found.seeds) == ("ahead", "tpe", 7)
    assert found.value == pytest.approx(12, rel=0.1)
    assert found.low < 12 < found.high
    assert re.fullmatch(
        r"FDS reached its final 90\.0 % test accuracy 1[123] times sooner than TPE, the fastest of 3 "
        r"black-box methods \(95 % interval 1[01] to 1[34], 7 seeds\)\.",
        told(found),
    )


def test_a_rival_that_never_gets_there_gives_more_than(results: Results) -> None:
    for seed in range(7):
        results.add("fds", seed, [(10, 0.9)], budget=300).add("tpe", seed, [(10, 0.8)], budget=300)
    found = one(results, "speed")
    assert (found.outcome, found.value) == ("ahead", 30)
    assert "more than 30 times sooner than TPE, which did not get there" in told(found)
    assert "at least 30 times" in told(found)


def test_overlapping_times_are_no_difference(results: Results) -> None:
    rng = np.random.default_rng(0)
    for seed in range(7):
        for method in ("fds", "tpe"):
            results.add(method, seed, [(float(np.exp(rng.normal(0, 0.5))), 0.9)])
    found = one(results, "speed")
    assert found.outcome == "undecided"
    assert told(found).startswith("No difference in the time to FDS's final 90.0 % test accuracy")
    assert "can be told from 7 seeds" in told(found)


def test_a_rival_that_is_sooner_is_said_to_be_so(results: Results) -> None:
    found = one(race(results, {"fds": 12, "tpe": 1, "bohb": 40}), "speed")
    assert (found.outcome, found.rival) == ("behind", "tpe")
    assert "TPE, the fastest of 2 black-box methods, reached FDS's final 90.0 %" in told(found)
    assert "times sooner than FDS" in told(found)
    assert "adjusted for the choice among 2" in told(found)


def test_a_method_of_another_kind_that_was_sooner_is_not_passed_over(results: Results) -> None:
    found = one(race(results, {"fds": 5, "tpe": 60, "hd": 1, "default": 0.5}), "speed")
    assert found.rival == "tpe"
    assert re.search(
        r"Sooner there than FDS: Default \((9\.\d|1[01]) times, 95 % interval .* and HD \(greedy\) \([45]\.",
        told(found),
    )


@pytest.mark.parametrize("seeds", [1, 2])
def test_two_seeds_decide_nothing_however_large_the_difference(results: Results, seeds: int) -> None:
    race(results, {"fds": 1, "tpe": 100, "hd": 3}, seeds=seeds)
    found = findings(*results.both)
    assert {f.outcome for f in found} == {"undecided"}
    assert all("othing can be told" in told(f) for f in found)


def test_an_interval_from_few_seeds_is_called_optimistic(results: Results) -> None:
    few = one(race(results, {"fds": 1, "tpe": 12}, seeds=4), "speed")
    assert few.outcome == "ahead"
    assert "4 seeds, an optimistic interval with fewer than 6" in told(few)


# ---- accuracy -----------------------------------------------------------------------------------------


def test_a_planted_difference_in_accuracy_is_told_in_points(results: Results) -> None:
    board(results, {"fds": [0.90, 0.91, 0.92, 0.93], "tpe": [0.871, 0.879, 0.891, 0.899]})
    found = one(results, "accuracy")
    assert found.outcome == "ahead"
    assert found.value == pytest.approx(0.03)
    assert "FDS ended at 91.5 % final test accuracy, 3.0 points above TPE (95 % interval" in told(found)


def test_equal_accuracies_are_no_difference(results: Results) -> None:
    board(results, {"fds": [0.9, 0.91, 0.92, 0.93], "tpe": [0.93, 0.9, 0.93, 0.9]})
    found = one(results, "accuracy")
    assert found.outcome == "undecided"
    assert "No difference in final test accuracy between FDS and TPE can be told from 4 seeds" in told(found)


def test_the_best_of_many_rivals_has_to_be_ahead_by_more(results: Results) -> None:
    """Picked as the best of twenty, a rival looks better than it is."""
    ahead = [0.91, 0.921, 0.93, 0.934]
    two = board(Results(), {"fds": [0.90, 0.91, 0.92, 0.93], "tpe": ahead})
    assert one(two, "accuracy").outcome == "behind"
    many = {f"other_{i}": [0.5, 0.5, 0.5, 0.5] for i in range(19)}
    found = one(board(results, {"fds": [0.90, 0.91, 0.92, 0.93], "tpe": ahead, **many}), "accuracy")
    assert (found.outcome, found.rival) == ("undecided", "tpe")
    assert "adjusted for the choice among 20" in told(found)


def test_a_failed_seed_counts_as_zero_and_blurs_the_verdict(results: Results) -> None:
    board(results, {"fds": [0.9, 0.9, 0.91], "tpe": [0.8, 0.8, 0.81]})
    results.add("fds", 3, [], status="failed").add("tpe", 3, [(1, 0.8)])
    assert one(results, "accuracy").outcome == "undecided"


# ---- greedy methods, schedules set by hand --------------------------------------------------------------


def test_greedy_methods_that_end_lower_are_said_to(results: Results) -> None:
    noise = [0.0, 0.004, -0.003, 0.002]
    board(results, {
        "fds": [0.9 + e for e in noise], "hd": [0.87 - e for e in noise], "rtho": [0.866 + e for e in noise],
    })  # fmt: skip
    found = one(results, "greedy")
    assert (found.outcome, found.seeds) == ("ahead", 4)
    assert found.value == pytest.approx(0.9 - 0.868, abs=1e-3)
    assert told(found).startswith("Greedy methods (HD (greedy) and RTHO) ended 3.")
    assert "points lower than FDS (95 % interval" in told(found)


def test_without_greedy_methods_schedules_set_by_hand_are_compared(results: Results) -> None:
    board(results, {"fds": [0.9, 0.91, 0.92], "default": [0.5, 0.51, 0.53], "tpe": [0.9, 0.9, 0.9]})
    found = one(results, "by hand")
    assert told(found).startswith("Schedules set by hand (Default) ended 39.7 points lower than FDS")
    assert not [f for f in findings(*results.both) if question_of(f) == "greedy"]


# ---- the whole ------------------------------------------------------------------------------------------


def test_one_problem_gives_three_sentences(results: Results) -> None:
    sentences = verdict(*race(results, {"fds": 1, "tpe": 20, "hd": 3}).both)
    assert len(sentences) == 3
    assert all(words_.endswith(".") for words_ in sentences)


def test_several_problems_are_summed_up_by_how_many_hold(results: Results) -> None:
    race(results, {"fds": 1, "tpe": 12, "hd": 3}, problem="digits")
    race(results, {"fds": 1, "tpe": 24, "hd": 3}, problem="fashion")
    race(results, {"fds": 12, "tpe": 1, "hd": 3}, problem="mnist")
    sentences = verdict(*results.both)
    assert len(sentences) == 3
    assert sentences[0].startswith(
        "On 2 of 3 problems FDS reached its own final test accuracy sooner than the fastest black-box method "
        "(1"
    )
    assert "on 1 it was the other way round (1" in sentences[0]
    assert "no difference can be told" in sentences[1]


def test_a_single_method_has_nothing_to_be_compared_with(results: Results) -> None:
    sentences = verdict(*board(results, {"fds": [0.9, 0.91, 0.92]}).both)
    assert sentences[0] == "Only FDS was run: there is nothing to compare it with."
    assert sentences[1].startswith("On digits it ended at 91.0 % test accuracy (95 % interval 88.5 to 93.5")


def test_without_the_reference_the_best_two_are_compared_and_speed_is_left_open(results: Results) -> None:
    board(results, {"tpe": [0.9, 0.91, 0.92], "bohb": [0.5, 0.52, 0.51], "gp": [0.4, 0.4, 0.41]})
    sentences = verdict(*results.both)
    assert sentences[0].startswith("FDS has no finished run here, so there is no speedup to speak of")
    assert sentences[1].startswith("TPE ended at 91.0 % final test accuracy, 40.0 points above BOHB")
    assert not [f for f in findings(*results.both) if question_of(f) == "speed"]


def test_any_method_can_be_the_reference(results: Results) -> None:
    race(results, {"fds": 1, "tpe": 12, "bohb": 48})
    found = one(results, "speed", reference="tpe")
    assert (found.outcome, found.rival) == ("ahead", "bohb")
    assert found.value == pytest.approx(4, rel=0.15)


def test_nothing_finished_and_nothing_reached_say_so(results: Results) -> None:
    assert "nothing can be said" in verdict(*results.both)[0]
    results.add("fds", 0, [(1, 0.5)], status="running")
    assert "No run has come to an end" in verdict(*results.both)[0]
    results.add("tpe", 0, [], status="failed")
    assert "No finished run has a test accuracy" in verdict(*results.both)[0]


def test_a_reference_that_failed_everywhere_is_no_speedup(results: Results) -> None:
    for seed in range(3):
        results.add("fds", seed, [], status="failed").add("tpe", seed, [(1, 0.9)])
    found = one(results, "speed")
    assert found.outcome == "unknown"
    assert "no test accuracy to be reached" in told(found)


def test_a_skipped_method_is_no_rival(results: Results) -> None:
    board(results, {"fds": [0.9, 0.91, 0.92], "tpe": [0.8, 0.8, 0.81]})
    runs = results.add("cmaes", 0, []).runs
    runs.loc[runs["method"] == "cmaes", "stopped"] = "skipped"
    (found,) = (f for f in findings(results.reports, runs) if question_of(f) == "accuracy")
    assert found.rival == "tpe"
    assert "others" not in told(found)


@pytest.mark.parametrize(
    ("value", "text"), [(12.4, "12"), (9.96, "10"), (1.44, "1.4"), (0.25, "0.2"), (0.021, "0.021")]
)
def test_times_are_read_out_short(value: float, text: str) -> None:
    assert words._times(value) == text
