"""A text of one's own in a suite, start to record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpobench_fds.errors import InputError
from hpobench_fds.records.frames import load_runs
from hpobench_fds.records.verify import verify
from hpobench_fds.run.suite_run import run_suite
from hpobench_fds.suite.config import Suite
from hpobench_fds.suite.foresight import foresee
from hpobench_fds.training.problem import ProblemConfig, data_key

SPACE = {"lr": {"windows": 2, "low": 1e-4, "high": 0.1, "initial": 0.003, "scale": "log"},
         "beta1": {"low": 0.5, "high": 0.99, "initial": 0.9}}  # fmt: skip


def suite(**changes: Any) -> dict[str, Any]:
    problem = {
        "dataset": "words.txt", "model": "gpt-nano", "loss": "next_token", "optimiser": "adamw", "horizon": 6,
        "batch_size": 4, "text": {"context": 8}, "space": SPACE, **changes,
    }  # fmt: skip
    return {
        "name": "texts", "seeds": [0], "budget": {"steps": 30}, "problems": {"p": problem},
        "methods": {"fds": {}, "random_search": {}},
    }  # fmt: skip


def test_a_text_of_ones_own_is_run_and_its_record_says_which(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("how now brown cow, said the quick fox. " * 20)
    out = tmp_path / "out"
    summary = run_suite(Suite.from_dict(suite(), base=tmp_path), out, device="cpu")
    assert [result.verdict for result in summary.results] == ["complete"] * 2
    assert verify(out).sound
    runs = load_runs(out)
    assert set(runs["metric"]) == {"bits a token"}
    assert (runs["final_test_metric"] < 5).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": None}, r'text: of next tokens alone \(allowed: loss = "next_token"\)'),
        ({"text": {"context": 0}}, r"text.context"),
        ({"text": {"tokens": "words"}}, r"text.tokens.*characters.*bytes"),
        ({"dataset": "none.txt"}, "there is no .*none.txt"),
        ({"text": {"context": 99}}, "are too few for a context of 99"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    (tmp_path / "words.txt").write_text("how now brown cow " * 20)
    with pytest.raises(InputError, match=said) as raised:
        run_suite(Suite.from_dict(suite(**changes), base=tmp_path), tmp_path / "out", device="cpu")
    assert "\n" not in str(raised.value)


def test_the_corpus_is_foreseen_without_its_archive() -> None:
    assert foresee(Suite.from_dict(suite(dataset="shakespeare", text={"tokens": "bytes"}))) == []
    with pytest.raises(InputError, match=r"problems\.p: model: .*does not fit codes"):
        foresee(Suite.from_dict(suite(dataset="shakespeare", model="mlp")))


def test_how_a_text_is_read_decides_the_data_and_is_recorded() -> None:
    def config(**changes: Any) -> ProblemConfig:
        return ProblemConfig.model_validate({**suite()["problems"]["p"], **changes})

    assert data_key(config()) != data_key(config(text={"context": 9}))
    assert config().model_dump(mode="json")["text"] == {"tokens": "characters", "context": 8}
    assert "text" not in config(text=None).model_dump(mode="json")
