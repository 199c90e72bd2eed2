"""The paper's own settings: complete, and run for a few steps on small files of the true format."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from true_format import dump

from hpobench_fds.data.splits import make_split
from hpobench_fds.records.frames import load_results, load_runs
from hpobench_fds.records.verify import verify
from hpobench_fds.run.suite_run import run_suite
from hpobench_fds.suite.config import load_suite
from hpobench_fds.suite.plan import plan

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


pytestmark = pytest.mark.usefixtures("any_md5")


def classes_apart(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images of 3 x 32 x 32 bytes whose ten classes differ in their mean, and labels."""
    y = rng.integers(0, 10, n)
    x = rng.normal(60 + 15 * y[:, None, None, None], 20, (n, 3, 32, 32))
    return x.clip(0, 255).astype(np.uint8), y


def write_cifar10(root: Path, each: int = 60, test: int = 100) -> None:
    rng, folder = np.random.default_rng(0), root / "cifar-10-batches-py"
    for name, n in {**{f"data_batch_{i}": each for i in range(1, 6)}, "test_batch": test}.items():
        x, y = classes_apart(n, rng)
        dump(folder / name, {"data": x.reshape(n, 3072), "labels": y.tolist()})
    dump(folder / "batches.meta", {"label_names": [str(i) for i in range(10)]})


def write_svhn(root: Path, train: int = 400, test: int = 100) -> None:
    rng = np.random.default_rng(0)
    for name, n in (("train", train), ("test", test)):
        x, y = classes_apart(n, rng)
        y = np.where(y == 0, 10, y).astype(np.uint8)  # SVHN writes the digit 0 as 10
        scipy.io.savemat(root / f"{name}_32x32.mat", {"X": x.transpose(2, 3, 1, 0), "y": y[:, None]})


def suite(name: str, **changes: Any) -> dict[str, Any]:
    table = tomllib.loads((BENCHMARKS / f"{name}.toml").read_text())
    for problem in table["problems"].values():
        problem |= changes
    return table


def test_the_horizons_are_the_papers() -> None:
    """Of 50,000 images 5 % validate; the rest is 185 batches of 256: 1,850 steps, and 9,250."""
    for problem, epochs in {"figure-1": 10, "figure-4": 50}.items():
        config, _ = load_suite("paper_cifar10").problems[problem]
        per_epoch = len(make_split(50_000, config.validation_fraction, 0).train) // config.batch_size
        assert (per_epoch, config.epochs) == (185, epochs)


@pytest.mark.parametrize(
    ("label", "first_steps", "clip"),
    [("fds", (0.1, 0.1, 3e-4), 1.0), ("fds-figure-4", (0.1, 0.3, 4e-4), 100.0)],
)
def test_step_sizes_and_clipping_are_the_papers(
    label: str, first_steps: tuple[float, ...], clip: float
) -> None:
    loaded = load_suite("paper_cifar10")
    _, options = loaded.methods[label]
    steps = options["outer"]["step"]
    assert (steps["lr"], steps["momentum"], steps["weight_decay"]) == first_steps
    assert (options["outer"]["kind"], options["product_clip"], options["outer_steps"]) == ("sign", clip, 10)
    assert {config.gradient_clip for config, _ in loaded.problems.values()} == {3.0}
    assert {config.batch_size for config, _ in loaded.problems.values()} == {256}


@pytest.mark.parametrize("name", ["paper_cifar10", "paper_svhn_noise"])
def test_they_can_be_planned_without_the_data(name: str) -> None:
    planned = plan(name)
    assert len(planned.cells) == (16 if name == "paper_cifar10" else 200)
    assert planned.seconds(1)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("problem", "method"), [("figure-1", "fds"), ("figure-4", "fds-figure-4"), ("figure-1", "hd")]
)
def test_a_few_steps_of_the_cifar_suite_run(tmp_path: Path, problem: str, method: str) -> None:
    write_cifar10(tmp_path / "data")
    table = suite("paper_cifar10", budget={"steps": 7}, epochs=7, final_epochs=2)
    table["problems"] = {problem: table["problems"][problem]}
    summary = run_suite(table, tmp_path / "out", methods=[method], device="cpu", data_root=tmp_path / "data")
    assert summary.exit_code == 0
    assert verify(tmp_path / "out").sound
    (run,) = load_runs(tmp_path / "out").to_dict("records")
    assert run["inner_steps"] >= 7
    assert run["reports"] >= 1
    assert 0 <= run["final_test_metric"] <= 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_seed_of_the_svhn_suite_runs_and_has_a_hypergradient_of_every_step(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_svhn(tmp_path / "data")
    table = suite("paper_svhn_noise", validation_fraction=0.1)
    table["methods"]["hd"]["validation_batch"] = 40
    summary = run_suite(table, tmp_path / "out", seeds=[0], device="cpu", data_root=tmp_path / "data")
    assert summary.exit_code == 0
    assert verify(tmp_path / "out").sound
    reports = load_results(tmp_path / "out").groupby("method").first()
    for method in ("reverse", "hd"):
        slope = np.asarray(reports.loc[method, "hypergradient"])
        assert slope.shape == (250,)
        assert np.isfinite(slope).all()
        assert np.count_nonzero(slope) > 240
