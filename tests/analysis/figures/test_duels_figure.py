"""The matrix of duels prints its counts."""

from __future__ import annotations

from fabricate import Results, assert_legible
from hpobench_fds.analysis.figures import duels
from planted_boards import board


def test_the_matrix_prints_its_counts(study: Results) -> None:
    drawn = duels.draw(*study.both)
    texts = [t.get_text() for t in drawn.figure.axes[0].texts]
    assert len(texts) == 30
    assert all(sum(map(int, t.split("/"))) == 2 for t in texts)


def test_two_methods_make_a_legible_matrix(results: Results) -> None:
    board(results, {"fds": [[0.9, 0.8]], "random_search": [[0.5, 0.6]]})
    assert_legible(duels.draw(*results.both).figure)
