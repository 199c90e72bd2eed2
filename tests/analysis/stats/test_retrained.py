"""The retrained curve: medians over draws, diverged draws as guessing, else the weights in hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fabricate import Results
from hpobench_fds.analysis.figures import anytime
from hpobench_fds.analysis.stats.curves import curves_of
from hpobench_fds.analysis.stats.frames import NoAnswer
from hpobench_fds.analysis.stats.retrained import finals, in_hand, is_retrained, primary
from hpobench_fds.analysis.stats.verdict_table import verdict_table

from hpobench_fds.records.schema import RETRAINED_COLUMNS


def draws(results: Results, report: int, accuracies: list[float], seed: int = 0) -> pd.DataFrame:
    """Retrainings of one report of FDS; NaN is a diverged draw."""
    row = results.reports.query("method == 'fds' and seed == @seed and report == @report").iloc[0]
    kept = ["suite", "problem", "method", "seed", "report", "seconds", "inner_steps", "gradient_equivalents"]
    return pd.DataFrame(
        [
            {**row[kept], "draw": i, "test_metric": a, "test_loss": 1 - a, "diverged": np.isnan(a)}
            for i, a in enumerate(accuracies)
        ],
        columns=RETRAINED_COLUMNS,
    )


@pytest.fixture
def made(results: Results) -> Results:
    """Luck in hand: 0.9 at once, where retraining comes to less."""
    results.add("fds", 0, [(1, 0.9), (2, 0.92), (3, 0.95)])
    return results.add("tpe", 0, [(1, 0.5)])


def test_the_curve_is_the_median_over_draws_at_the_reports_that_were_retrained(made: Results) -> None:
    table = pd.concat([draws(made, 0, [0.5, 0.6, 0.7]), draws(made, 2, [0.8, 0.7, np.nan])])
    runs = made.runs.assign(classes=10.0)
    reports = primary(made.reports, runs, table)
    assert is_retrained(reports)
    fds, tpe = curves_of(reports, runs)
    assert fds.times.tolist() == [0, 1, 3]  # the second incumbent was not retrained
    assert fds.at(fds.times).tolist()[1:] == pytest.approx([0.6, 0.7])  # a diverged draw is 0.1
    assert tpe.at(tpe.times).tolist()[1:] == [0.5]  # nothing was retrained: what it had in hand
    assert curves_of(reports, runs, "val_loss")[0].times.tolist() == [0, 1, 2, 3]


def test_without_retrainings_nothing_changes_and_captions_say_so(made: Results) -> None:
    for nothing in (None, pd.DataFrame(columns=RETRAINED_COLUMNS)):
        assert primary(made.reports, made.runs, nothing) is not None
        pd.testing.assert_frame_equal(primary(made.reports, made.runs, nothing), made.reports)
    assert "hold no retrained curve" in anytime.draw(*made.both).caption
    reports = primary(made.reports, made.runs, pd.concat([draws(made, 0, [0.5]), draws(made, 2, [0.8])]))
    assert "retrained from scratch" in anytime.draw(reports, made.runs).caption


def test_the_weights_in_hand_are_the_secondary_curve(made: Results) -> None:
    reports = primary(made.reports, made.runs, pd.concat([draws(made, 0, [0.5]), draws(made, 2, [0.8])]))
    fds = curves_of(in_hand(reports), made.runs)[0]
    assert fds.at(fds.times).tolist()[1:] == [0.9, 0.92, 0.95]
    caption = anytime.draw(in_hand(reports), made.runs).caption
    assert "weights in hand, beside the figure anytime" in caption
    with pytest.raises(NoAnswer, match="the primary one"):
        in_hand(made.reports)


def test_last_incumbents_alone_are_no_curve_and_the_weights_in_hand_stand(made: Results) -> None:
    pd.testing.assert_frame_equal(primary(made.reports, made.runs, draws(made, 2, [0.8])), made.reports)


def test_the_table_has_the_share_of_diverged_draws_of_the_last_incumbent(made: Results) -> None:
    table = pd.concat([draws(made, 0, [np.nan, np.nan]), draws(made, 2, [0.8, 0.7, np.nan, 0.8])])
    found = verdict_table(*made.both, retrained=table).set_index("method")
    assert found.loc["fds", "diverged"] == 0.25
    assert np.isnan(found.loc["tpe", "diverged"])


def test_an_end_is_the_median_over_all_draws_of_the_last_incumbent(made: Results) -> None:
    runs = made.runs.assign(classes=10.0, final_report=[2.0, 0.0], final_test_metric=[0.9, 0.5])
    table = pd.concat([draws(made, 0, [0.2, 0.2, 0.2]), draws(made, 2, [0.9, 0.7, 0.8])])
    assert finals(runs, table)["final_test_metric"].tolist() == pytest.approx([0.8, 0.5])
    mostly_lost = draws(made, 2, [0.9, np.nan, np.nan])
    assert finals(runs, mostly_lost)["final_test_metric"].iloc[0] == pytest.approx(0.1)
    once = draws(made, 2, [0.85])
    assert finals(runs, once)["final_test_metric"].iloc[0] == 0.9  # what the record says stands
    assert finals(runs, None) is runs
