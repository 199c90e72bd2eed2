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
from planted_conditioning import ILL, LOST, OK
from planted_conditioning import told as worth


def race(results: Results, scales: dict[str, float], seeds: int = 9, problem: str = "digits") -> Results:
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


def test_a_planted_speedup_is_told_with_its_interval_for_every_rival(results: Results) -> None:
    text = told(one(race(results, {"fds": 1, "tpe": 12, "bohb": 30, "random_search": 60}), "speed"))
    assert text.startswith(
        "To 85.5 % test accuracy (95 % of the way from 0.0 to 90.0 %) the soonest in the median were FDS ("
    )
    later = r"Later there than FDS: Random search \((\d+) times, .*, BOHB \((\d+) times, .* and TPE \((\d+) "
    found = re.search(later + r"times, interval (\d+) to (\d+)\)\.", text)
    assert found is not None
    slow, middle, fast, low, high = map(int, found.groups())
    assert [slow, middle, fast] == pytest.approx([60, 30, 12], rel=0.1)
    assert low < 12 < high
    assert "(Seed by seed, 9 seeds; sign tests with Holm's correction over 3 comparisons;" in text
    assert "Sooner there" not in text


def test_a_rival_that_never_gets_there_gives_more_than(results: Results) -> None:
    for seed in range(7):
        results.add("fds", seed, [(10, 0.9)], budget=300).add("tpe", seed, [(10, 0.8)], budget=300)
    text = told(one(results, "speed"))
    assert "Later there than FDS: TPE (more than 30 times, interval 30 or more)." in text


def test_where_neither_got_there_nothing_is_said_of_more_than(results: Results) -> None:
    for seed in range(7):
        results.add("fds", seed, [(1, 0.5)], budget=300).add("tpe", seed, [(10, 0.5)], budget=300)
        results.add("cosine", seed, [(1, 0.9)], budget=300)
    text = told(one(results, "speed"))
    assert "the soonest in the median was Cosine (1.0 s); FDS's median run never got there." in text
    assert "Sooner there than FDS: Cosine (more than 300 times, interval 300 or more)." in text
    assert "Where neither got there, nothing can be told: TPE." in text


def test_a_crash_is_told_as_one_and_gives_no_number(results: Results) -> None:
    for seed in range(7):
        results.add("fds", seed, [(1, 0.9)], budget=172).add("tpe", seed, [(2, 0.9)], budget=172)
        results.add("exits", seed, [], budget=172, used=0.0, status="failed")
    sentences = verdict(*results.both)
    naming = [text for text in sentences if "exits" in text and "Area under" not in text]
    assert naming == ["Failed, and so without a time or an accuracy: exits in 7 of 7 runs."]
    assert "172" not in " ".join(sentences)
    assert "points" not in " ".join(naming)


def test_overlapping_times_are_no_difference(results: Results) -> None:
    rng = np.random.default_rng(0)
    for seed in range(7):
        for method in ("fds", "tpe"):
            results.add(method, seed, [(float(np.exp(rng.normal(0, 0.5))), 0.9)])
    text = told(one(results, "speed"))
    assert "No difference in time from FDS can be told for TPE." in text
    assert "sooner there" not in text.lower()


def test_whoever_was_sooner_is_said_to_be_so_first(results: Results) -> None:
    """A black-box method, a greedy one, and a schedule set by hand."""
    text = told(one(race(results, {"fds": 12, "tpe": 1, "hd": 3, "cosine": 0.5, "bohb": 60}), "speed"))
    assert "the soonest in the median were Cosine (1.0 s), TPE (" in text
    assert "; FDS needed 2" in text
    assert re.search(
        r"Sooner there than FDS: Cosine \(2\d times, .*\), TPE \(1[123] times, .*\) and HD \(greedy\) \([34]",
        text,
    )
    assert text.index("Sooner there") < text.index("Later there")


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_fewer_than_six_seeds_decide_nothing_however_large_the_difference(
    results: Results, seeds: int
) -> None:
    race(results, {"fds": 1, "tpe": 100, "hd": 3}, seeds=seeds)
    few = "a single seed" if seeds == 1 else f"{seeds} seeds"
    for found in findings(*results.both):
        assert {one.outcome for one in found.rivals} == {"few"}
        assert f"othing is claimed of {question_of(found)} from {few}." in told(found) or (
            question_of(found) == "greedy" and f"nothing is claimed from {few}" in told(found)
        )
    assert verdict(*results.both)[0].startswith("Exploratory, no confirmation: ")


def test_too_few_seeds_for_so_many_rivals_are_said_to_be(results: Results) -> None:
    finals = {f"other_{i}": [0.5] * 6 for i in range(12)}
    text = told(one(board(results, {"fds": [0.9] * 6} | finals), "accuracy"))
    assert "With 12 comparisons at least 9 seeds are needed to tell any." in text


# ---- accuracy -----------------------------------------------------------------------------------------

NOISE = [0.0, 0.004, -0.003, 0.002, 0.001, -0.002, 0.003, -0.001]


def test_a_planted_difference_in_accuracy_is_told_in_points(results: Results) -> None:
    board(results, {"fds": [0.9 + e for e in NOISE], "tpe": [0.87 - e for e in NOISE]})
    text = told(one(results, "accuracy"))
    assert text.startswith(
        "Highest retrained test accuracy: FDS 90.1 % (median; 95 % interval 89.7 to 90.4, 8 seeds); next TPE"
    )
    assert re.search(r"Below FDS: TPE \(by 3\.\d points, interval 2\.\d to 3\.\d\)\.", text)


def test_a_rival_that_is_better_is_named_and_by_how_much(results: Results) -> None:
    board(results, {"fds": [0.86 + e for e in NOISE], "cosine": [0.88 + e for e in NOISE]})
    text = told(one(results, "accuracy"))
    assert text.startswith("Highest retrained test accuracy: Cosine 88.1 %")
    assert "Above FDS: Cosine (by 2.0 points, interval 2.0 to 2.0)." in text


def test_equal_accuracies_are_no_difference(results: Results) -> None:
    board(results, {"fds": [0.9 + e for e in NOISE], "tpe": [0.9 - e for e in NOISE]})
    assert "No difference in accuracy from FDS can be told for TPE." in told(one(results, "accuracy"))


def test_without_retraining_it_is_said_whose_accuracy_it_is(results: Results) -> None:
    board(results, {"fds": [0.9] * 6, "tpe": [0.8] * 6})
    runs = results.runs.assign(final_test_metric=None)
    (found,) = (f for f in findings(results.reports, runs) if question_of(f) == "accuracy")
    assert "Highest test accuracy of the weights in hand (none was retrained): FDS" in told(found)


# ---- greedy methods, schedules set by hand --------------------------------------------------------------


def test_greedy_methods_that_end_lower_are_said_to(results: Results) -> None:
    board(results, {
        "fds": [0.9 + e for e in NOISE], "hd": [0.87 - e for e in NOISE], "rtho": [0.866 + e for e in NOISE],
    })  # fmt: skip
    text = told(one(results, "greedy"))
    assert text.startswith(
        "Greedy methods (HD (greedy) and RTHO) ended 3.3 points below FDS in mean retrained"
    )
    assert re.search(r"\(95 % interval [23]\.\d to 3\.\d, 8 seeds\)\.$", text)


def test_schedules_set_by_hand_that_are_better_are_said_to_be(results: Results) -> None:
    board(results, {"fds": [0.86 + e for e in NOISE], "cosine": [0.88 - e for e in NOISE]})
    text = told(one(results, "by hand"))
    assert re.match(
        r"Methods that search nothing \(Cosine\) ended [12]\.\d points above FDS in mean retrained", text
    )


def test_of_few_seeds_a_group_has_its_range(results: Results) -> None:
    board(results, {"fds": [0.9, 0.91, 0.92], "default": [0.5, 0.51, 0.53], "tpe": [0.9, 0.9, 0.9]})
    assert told(one(results, "by hand")) == (
        "Methods that search nothing (Default) against FDS: nothing is claimed from 3 seeds; seed by seed "
        "their mean was 39.0 to 40.0 points below it."
    )
    assert not [f for f in findings(*results.both) if question_of(f) == "greedy"]


# ---- the floor ------------------------------------------------------------------------------------------


def floored(results: Results, seeds: int, problem: str = "digits") -> Results:
    """The floor is the cosine's 80 % after 2 s; TPE is above it after about half a minute, HD never."""
    for seed in range(seeds):
        results.add("default", seed, [(2.0, 0.7)], used=2.0, problem=problem)
        results.add("cosine", seed, [(2.0, 0.8)], used=2.0, problem=problem)
        results.add("fds", seed, [(3.0, 0.6), (30.0 + seed, 0.9)], problem=problem)
        results.add("hd", seed, [(4.0, 0.5)], problem=problem)
    return results


def test_when_the_floor_is_beaten_and_by_whom(results: Results) -> None:
    (text,) = (s for s in verdict(*floored(results, 9).both) if s.startswith("The floor"))
    assert text == (
        "The floor, the best of 2 methods that search nothing, is Cosine: 80.0 % (median; 95 % interval 80.0 "
        "to 80.0, 9 seeds) test accuracy in hand, after 2.0 s. Its median is beaten in the median run of FDS "
        "(after 34.0 s, interval 30.0 s to 38.0 s; 9 of 9 seeds). Within the budget it is not in the median "
        "run of HD (greedy) (0 of 9 seeds). Better at the end, by a test: FDS. (Last values seed by seed, 9 "
        "seeds; signed-rank tests with Holm's correction over 2 comparisons; 95 % intervals of times that "
        "hold together.)"
    )


def test_from_few_seeds_times_are_told_and_no_judgement(results: Results) -> None:
    (text,) = (s for s in verdict(*floored(results, 3).both) if s.startswith("The floor"))
    assert "in the median run of FDS (after 31.0 s; 3 of 3 seeds)" in text
    assert text.endswith("Whether it is better at the end is not judged from 3 seeds.")
    assert "by a test" not in text


def test_floors_of_several_problems_are_summed_up(results: Results) -> None:
    floored(floored(results, 9), 9, "other")
    (text,) = (s for s in verdict(*results.both) if s.startswith("Against the floor"))
    assert text == (
        "Against the floor, the best method of each problem that searches nothing, over 2 problems and 4 "
        "comparisons: its median is beaten in the median run 2 times (FDS 2 times); better at the end, by a "
        "test, 2 times (FDS 2 times)."
    )
    each = words.by_problem(*results.both)
    assert all(any(s.startswith("The floor") for s in sentences) for sentences in each.values())


def test_without_a_method_that_searches_nothing_there_is_no_floor(results: Results) -> None:
    assert not [s for s in verdict(*race(results, {"fds": 1, "tpe": 20}).both) if "floor" in s]


# ---- the whole ------------------------------------------------------------------------------------------


def test_one_problem_has_a_sentence_a_question_and_the_score(results: Results) -> None:
    sentences = verdict(*race(results, {"fds": 1, "tpe": 20, "hd": 3}).both)
    assert len(sentences) == 4
    assert all(words_.endswith((".", ".)")) for words_ in sentences)
    assert re.match(
        r"Area under the performance profile .*: FDS 1\.00 \(95 % interval 1\.00 to 1\.00\), HD",
        sentences[-1],
    )


def test_several_problems_are_summed_up_by_how_often_each_answer_holds(results: Results) -> None:
    race(results, {"fds": 1, "tpe": 12, "hd": 3}, seeds=10, problem="digits")
    race(results, {"fds": 1, "tpe": 24, "hd": 3}, seeds=10, problem="fashion")
    race(results, {"fds": 12, "tpe": 1, "hd": 30}, seeds=10, problem="mnist")
    sentences = verdict(*results.both)
    assert sentences[0] == (
        "Time to the headline target, over 3 problems and 6 comparisons with FDS: sooner than FDS 1 times "
        "(TPE), later 5 times (HD (greedy) 3 times and TPE 2 times), not told apart 0."
    )
    assert "above FDS 0 times, below 0 times, not told apart 6." in sentences[1]


def test_a_single_method_has_nothing_to_be_compared_with(results: Results) -> None:
    sentences = verdict(*board(results, {"fds": [0.9, 0.91, 0.92]}).both)
    assert sentences[1] == "Only FDS was run: there is nothing to compare it with."
    assert sentences[2] == (
        "On digits it ended at 91.0 % (median; 3 seeds from 90.0 to 92.0) retrained test accuracy."
    )


def test_without_the_reference_the_best_is_compared_and_speed_is_left_open(results: Results) -> None:
    board(results, {"tpe": [0.9 + e for e in NOISE], "bohb": [0.5] * 8, "gp": [0.4] * 8})
    sentences = verdict(*results.both)
    assert sentences[0].startswith("FDS has no finished run here, so there is no speedup to speak of")
    assert sentences[1].startswith("Highest retrained test accuracy: TPE 90.1 %")
    assert "Below TPE: Gaussian process (by 50." in sentences[1]
    assert not [f for f in findings(*results.both) if question_of(f) == "speed"]


def test_any_method_can_be_the_reference(results: Results) -> None:
    race(results, {"fds": 1, "tpe": 12, "bohb": 48})
    found = one(results, "speed", reference="tpe")
    assert {one.method: one.outcome for one in found.rivals} == {"fds": "behind", "bohb": "ahead"}


def test_nothing_finished_and_nothing_reached_say_so(results: Results) -> None:
    assert "nothing can be said" in verdict(*results.both)[0]
    results.add("fds", 0, [(1, 0.5)], status="running")
    assert "No run has come to an end" in verdict(*results.both)[0]
    results.add("tpe", 0, [], status="failed")
    sentences = verdict(*results.both)
    assert "No finished run has a test accuracy" in sentences[0]
    assert sentences[1] == "Failed, and so without a time or an accuracy: TPE in 1 of 1 runs."


def test_a_reference_that_failed_everywhere_has_no_accuracy(results: Results) -> None:
    for seed in range(6):
        results.add("fds", seed, [], status="failed").add("tpe", seed, [(1, 0.9)])
    assert told(one(results, "accuracy")).startswith("FDS has no retrained test accuracy; the highest of the")
    assert "FDS in 6 of 6 runs" in " ".join(verdict(*results.both))


def test_a_skipped_method_is_no_rival(results: Results) -> None:
    board(results, {"fds": [0.9, 0.91, 0.92], "tpe": [0.8, 0.8, 0.81]})
    runs = results.add("cmaes", 0, []).runs
    runs.loc[runs["method"] == "cmaes", "stopped"] = "skipped"
    (found,) = (f for f in findings(results.reports, runs) if question_of(f) == "accuracy")
    assert [one.method for one in found.rivals] == ["tpe"]


def test_reasons_for_being_exploratory_are_told_with_their_numbers(results: Results) -> None:
    board(results, {"fds": [0.9] * 6, "tpe": [0.8] * 6})
    runs = results.runs.assign(commit="abc-dirty", jobs=2)
    assert words.exploratory(runs) == [
        "Exploratory, no confirmation: 12 runs from sources with uncommitted changes; up to 2 runs side by "
        "side."
    ]
    assert words.exploratory(results.runs) == []


@pytest.mark.parametrize(
    ("value", "text"), [(12.4, "12"), (9.96, "10"), (1.44, "1.4"), (0.25, "0.2"), (0.021, "0.021")]
)
def test_times_are_read_out_short(value: float, text: str) -> None:
    assert words._times(value) == text


def test_hypergradients_that_are_mostly_ill_conditioned_are_told_and_a_few_are_not(results: Results) -> None:
    worth(results, "fds", 0, [OK, ILL, ILL, LOST])
    worth(results, "reverse", 0, [OK, ILL, OK, OK])
    (text,) = words.worth(results.reports, Looks.of(results.runs))
    assert text == (
        "Of FDS's hypergradients on digits, 3 of 4 are ill conditioned or overflowed, and may be those of "
        "rounding: a difference grew by a factor of 500 on the way, in the median."
    )
    assert text in verdict(*results.both)
