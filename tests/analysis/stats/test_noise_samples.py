"""Hypergradients as they come from the records."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fabricate import Results
from hpobench_fds.analysis.stats import noise_samples
from hpobench_fds.analysis.stats.frames import NoAnswer
from planted_noise import STEPS, add, planted


@pytest.fixture
def made(results: Results) -> Results:
    add(results, "reverse", planted(30))
    return add(results, "hd", 5 + planted(30, rng_seed=1))


def test_hypergradients_come_from_the_first_reports_seed_by_seed(made: Results) -> None:
    (sample,) = noise_samples.samples(made.reports)
    np.testing.assert_array_equal(sample.g, planted(30))
    assert (sample.horizon, sample.steps, sample.step_name) == (STEPS, STEPS, "inner step")
    both = sample.both()
    assert both is not None
    np.testing.assert_array_equal(both[0], 5 + planted(30, rng_seed=1))


def test_rows_in_another_order_are_the_same_sample(made: Results) -> None:
    (sample,) = noise_samples.samples(made.reports.sample(frac=1, random_state=1))
    np.testing.assert_array_equal(sample.g, planted(30))


def test_the_adapter_counts_and_not_the_label(results: Results) -> None:
    add(results, "exact", planted(10))
    reports = results.reports.assign(adapter="reverse_sharing", exact=True)
    assert len(noise_samples.samples(reports)[0].g) == 10


def test_greedy_and_exact_are_compared_on_the_seeds_that_both_have(results: Results) -> None:
    add(results, "reverse", planted(20))
    add(results, "hd", planted(20), seeds=8)
    both = noise_samples.samples(results.reports)[0].both()
    assert both is not None
    np.testing.assert_array_equal(both[1], planted(20)[8:])
    np.testing.assert_array_equal(both[0], planted(20)[:12])


def test_windows_of_several_steps_are_named_so(results: Results) -> None:
    add(results, "reverse", planted(8, 20))
    reports = results.reports.assign(inner_steps=100)
    (sample,) = noise_samples.samples(reports)
    assert (sample.horizon, sample.step_name) == (100, "window of 5 steps")


def test_seeds_of_different_schedules_are_no_figure(results: Results) -> None:
    add(results, "reverse", planted(8))
    add(results, "reverse", planted(8), lr=0.2, seeds=8)
    with pytest.raises(NoAnswer):
        noise_samples.samples(results.reports)


def test_later_reports_whose_schedules_have_moved_do_not_matter(made: Results) -> None:
    moved = made.reports.assign(report=1, schedule=[[float(i)] for i in range(60)])
    (sample,) = noise_samples.samples(pd.concat([made.reports, moved]))
    np.testing.assert_array_equal(sample.g, planted(30))
