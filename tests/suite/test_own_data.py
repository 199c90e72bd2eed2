"""A suite over data of one's own, beside the suite: from the file to the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.frames import load_runs
from hpobench_fds.records.verify import verify
from hpobench_fds.run.suite_run import run_suite
from hpobench_fds.suite.config import Suite, load_suite
from hpobench_fds.training.problem import Problem, ProblemConfig, load_problem

SUITE = """
name = "mine"
seeds = [0]
[budget]
steps = 30
[problems.p]
dataset = "{dataset}"
horizon = 10
batch_size = 8
model = "{model}"
space.lr = {{ low = 0.0, high = 0.5, initial = 0.1 }}
[methods.random_search]
[methods.fds]
"""
EMBEDDING = """
import torch
def build(shape, classes):
    n = 4 * shape[0]
    return torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.Flatten(), torch.nn.Linear(n, classes))
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = [(a, b, "far" if a + b > 0 else "near") for a, b in rng.normal(size=(120, 2))]
    lines = [f"{a},{50 * b + 7},{'x' if a > 0 else 'y'},{label}" for a, b, label in rows]
    (tmp_path / "points.csv").write_text("a,b,kind,target\n" + "\n".join(lines))
    return tmp_path / "points.csv"


def suite(folder: Path, dataset: str = "points.csv", model: str = "mlp") -> Path:
    (folder / "s.toml").write_text(SUITE.format(dataset=dataset, model=model))
    return folder / "s.toml"


def problem(folder: Path, dataset: str, **config: Any) -> Problem:
    table = ProblemConfig(dataset=dataset, horizon=10, batch_size=8, **config)
    return load_problem(table, name="p", base=folder)[0]


@pytest.mark.parametrize("isolate", [False, True])
def test_a_csv_beside_the_suite_is_run_from_anywhere(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolate: bool
) -> None:
    monkeypatch.chdir("/")
    summary = run_suite(suite(tmp_path), tmp_path / "out", isolate=isolate)
    assert [result.verdict for result in summary.results] == ["complete"] * 2
    for result in summary.results:
        assert result.record is not None
        assert result.record.final is not None
        assert result.record.final.test_metric > 0.6
    assert verify(tmp_path / "out").sound


def test_the_record_says_what_the_data_were(table: Path, tmp_path: Path) -> None:
    folder = run_suite(suite(tmp_path), tmp_path / "out", methods="fds").folder
    record = CellFiles(folder / "cells/p/fds/seed-0").record()
    assert record is not None
    assert record.data is not None
    assert (record.data.classes, record.data.labels) == (2, ["far", "near"])
    assert (record.data.train, record.data.test) == (96, 24)
    assert record.data.digest == problem(tmp_path, "points.csv").digest
    assert list(record.sources) == ["points.csv"]
    assert load_runs(folder)["classes"].tolist() == [2.0]


def test_data_that_were_edited_since_are_refused(table: Path, tmp_path: Path) -> None:
    run_suite(suite(tmp_path), tmp_path / "out", methods="fds")
    table.write_text(table.read_text() + "\n1,1,x,far")
    with pytest.raises(InputError, match=r"run with other code or data, edited since: points\.csv was"):
        run_suite(suite(tmp_path), tmp_path / "out", methods="fds")
    assert verify(tmp_path / "out").sound


def test_numbers_are_normalised_by_the_training_part_and_labels_are_kept(table: Path) -> None:
    p = problem(table.parent, "points.csv", dtype="float64")
    assert p.labels == ("far", "near")
    assert p.x.shape == (96, 4)
    torch.testing.assert_close(p.x.mean(0), torch.zeros(4, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(p.x.std(0, correction=0), torch.ones(4, dtype=torch.float64))
    assert p.digest is not None
    assert p.digest == problem(table.parent, "points.csv").digest


def test_a_column_that_does_not_vary_becomes_zero(tmp_path: Path) -> None:
    x = np.column_stack([np.arange(40.0), np.full(40, 3.0)])
    np.savez(tmp_path / "flat.npz", x=x, y=np.arange(40) % 2)
    assert problem(tmp_path, "flat.npz").x[:, 1].tolist() == [0.0] * 32


def test_images_have_channels_normalised_and_a_black(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "images.npz", x=x, y=np.arange(40) % 2)
    p = problem(tmp_path, "images.npz", augmentation={"crop_padding": 1, "flip": True})
    torch.testing.assert_close(p.x.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    assert p.black is not None
    raw = torch.from_numpy(x[:, 0]).double()
    # Of the training part, which is most of it.
    assert p.black[0].item() == pytest.approx(-(raw.mean() / raw.std()).item(), rel=0.05)


def test_codes_stay_codes_for_a_model_that_embeds_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 9, (120, 5))
    np.savez(tmp_path / "codes.npz", x=x, y=x[:, 0] // 5)
    (tmp_path / "net.py").write_text(EMBEDDING)
    p = problem(tmp_path, "codes.npz", model="net.py:build")
    assert p.x.dtype == torch.int64
    assert p.dtype == torch.float32
    summary = run_suite(suite(tmp_path, "codes.npz", "net.py:build"), tmp_path / "out")
    assert [result.verdict for result in summary.results] == ["complete"] * 2


@pytest.mark.parametrize(
    ("dataset", "model", "said"),
    [
        ("none.csv", "mlp", "problems.p.dataset: there is no .*none.csv"),
        ("./points.doc", "mlp", "of no form that is read"),
        ("points.txt", "mlp", r"points.txt is a text \(allowed: loss = \"next_token\"\)"),
        ("points", "mlp", "unknown dataset 'points'"),
        ("points.csv", "lenet", "lenet takes images .*, not examples of shape"),
        ("codes.npz", "mlp", "does not fit codes"),
        ("below.npz", "net.py:build", "holds the code -1"),
        ("few.npz", "mlp", "batch_size: 8 is more than the"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line(
    table: Path, tmp_path: Path, dataset: str, model: str, said: str
) -> None:
    for text in ("points.txt", "points.doc"):
        (tmp_path / text).write_text("")
    (tmp_path / "net.py").write_text(EMBEDDING)
    np.savez(tmp_path / "codes.npz", x=np.ones((40, 5), int), y=np.arange(40) % 2)
    np.savez(tmp_path / "below.npz", x=-np.ones((40, 5), int), y=np.arange(40) % 2)
    np.savez(tmp_path / "few.npz", x=np.ones((8, 5)), y=np.arange(8) % 2)
    with pytest.raises(InputError, match=said) as raised:
        run_suite(suite(tmp_path, dataset, model), tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_augmentation_is_of_images_alone(table: Path) -> None:
    with pytest.raises(InputError, match=r"augmentation: for examples of shape \(4,\)"):
        problem(table.parent, "points.csv", augmentation={"flip": True})


def test_a_path_is_looked_up_when_the_suite_is_read(table: Path) -> None:
    assert load_suite(suite(table.parent)).cells()
    with pytest.raises(InputError, match="there is no"):
        Suite.from_dict(
            {
                "name": "s", "seeds": [0], "budget": {"steps": 1}, "methods": {"fds": {}},
                "problems": {"p": {"dataset": "points.csv", "horizon": 9}},
            },
            base=table.parent / "elsewhere",
        )  # fmt: skip
