"""Real suites on a device: FDS and BOHB, their records, and whether equal seeds leave equal traces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from hpobench_fds.benchmarks.engine.hypergradients import Row

from hpobench_fds.records.frames import load_runs
from hpobench_fds.run.suite_run import run_suite

SUITE = """
name = "device"
seeds = "0"
device = "{device}"
[budget]
{budget}
[problems.shaped-like-cifar]
dataset = "images.npz"
model = "{model}"
horizon = {horizon}
batch_size = 128
[methods.fds]
inner_fractions = [0.1, 1.0]
[methods.bohb]
[methods.random_search]
"""


def images(path: Path, examples: int = 12_000, side: int = 32, seed: int = 0) -> None:
    """Noise with a coarse pattern for each class in it, of CIFAR's shape: learnt, though not at once."""
    rng = np.random.default_rng(seed)
    means = np.kron(rng.normal(size=(10, 3, 4, 4)), np.ones((side // 4, side // 4)))
    arrays = {}
    for part, count in (("train", examples), ("test", examples // 6)):
        y = rng.integers(10, size=count)
        x = rng.normal(size=(count, 3, side, side)) + 0.12 * means[y]
        arrays |= {f"x_{part}": x.astype(np.float32), f"y_{part}": y}
    np.savez(path, **arrays)


def runs(device: str, folder: Path, model: str, horizon: int, seconds: float) -> list[Row]:
    """One seed of each method for so many seconds; a row each, from its record."""
    folder.mkdir(parents=True, exist_ok=True)
    images(folder / "images.npz", 12_000 if device != "cpu" else 2_000)
    suite = _write(folder, device, model, horizon, f"seconds = {seconds}")
    run_suite(suite, out=folder / "timed", isolate=False)
    told = [
        "method", "status", "reports", "inner_steps", "seconds", "data_seconds", "referee_seconds",
        "elapsed_seconds", "incumbent_test_metric", "final_test_metric", "reason",
    ]  # fmt: skip
    return [dict(zip(told, values, strict=True)) for values in load_runs(folder / "timed")[told].to_numpy()]


def equal_traces(device: str, folder: Path, model: str, horizon: int) -> list[Row]:
    """Two runs of the same suite, limited in gradients: whether their traces agree but for seconds."""
    images(folder / "images.npz", 2_000)
    suite = _write(folder, device, model, horizon, f"gradient_equivalents = {20 * horizon}")
    for name in ("once", "again"):
        run_suite(suite, out=folder / name, isolate=False)
    rows: list[Row] = []
    for path in sorted((folder / "once").rglob("trace.jsonl")):
        twin = folder / "again" / path.relative_to(folder / "once")
        first, second = _timeless(path), _timeless(twin)
        rows.append({
            "method": path.parent.parent.name, "reports": len(first), "equal": first == second,
        })  # fmt: skip
    return rows


def _write(folder: Path, device: str, model: str, horizon: int, budget: str) -> Path:
    path = folder / "device.toml"
    path.write_text(SUITE.format(device=device, model=model, horizon=horizon, budget=budget))
    return path


def _timeless(path: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in line.items() if "seconds" not in k and k not in TIMES} for line in lines]


TIMES = ("clock", "elapsed", "peak_memory")
