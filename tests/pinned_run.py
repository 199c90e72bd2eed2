"""One short run of each method, whose numbers must not change when the code does.

``python tests/pinned_run.py [METHOD ...]`` records them anew into ``tests/assets/pinned.json``; do so only
where a change of numbers is wanted, and say why in the commit.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from threadpoolctl import threadpool_info

from hpobench_fds import load_results, load_runs, run_suite

PINNED = Path(__file__).parent / "assets" / "pinned.json"

_SMALL: dict[str, Any] = {
    "dataset": "digits", "train_limit": 150, "test_limit": 50, "batch_size": 8, "horizon": 18,
}  # fmt: skip
_SPACE = {
    "lr": {"windows": 3, "low": -0.5, "high": 0.6, "initial": 0.05, "step": 0.1},
    "momentum": {"low": -0.1, "high": 0.95, "step": 0.1},
    "weight_decay": {"windows": 2, "low": 0.0, "high": 4e-3, "step": 3e-4},
}
SUITE: dict[str, Any] = {
    "name": "pinned",
    "seeds": [3],
    "device": "cpu",
    "budget": {"steps": 150},
    "problems": {
        "sgd": {**_SMALL, "space": _SPACE},
        "sgd-clipped": {
            **_SMALL, "dtype": "float64", "gradient_clip": 0.05, "space": _SPACE,
            "augmentation": {"crop_padding": 1},
        },
        "adamw": {
            **_SMALL, "dtype": "float64", "optimiser": "adamw", "gradient_clip": 0.1,
            "space": {
                "lr": {"windows": 3, "low": 1e-4, "high": 0.1, "initial": 0.01, "scale": "log"},
                "beta1": {"low": 0.0, "high": 0.99, "initial": 0.9},
            },
        },
        "nesterov": {**_SMALL, "optimiser": "nesterov", "space": _SPACE},
        "decay": {
            **_SMALL, "dtype": "float64",
            "space": {
                "lr": {"initial": 0.1, "learn": False},
                "weight_decay": {"windows": 2, "low": 0.0, "high": 0.1, "initial": 0.01, "step": 3e-4},
            },
        },
    },
    "methods": {
        **{name: {} for name in (
            "autolrs", "cmaes", "cosine", "default", "es", "fds", "finite_differences", "forward_gradient",
            "gp", "grid", "hd", "hdm", "implicit",
            "marthe", "one_cycle", "one_pass", "optuna_tpe", "random_search", "random_signs",
            "reverse",
            "reverse_sharing", "rtho", "spsa", "tpe",
            "schedule_free_sgd", "schedule_free_adamw", "prodigy", "dadapt_sgd", "dadapt_adam",
        )},
        **{name: {"fidelity": "prefix"} for name in ("asha", "bohb", "hyperband")},
        "bohb-stretched": {"adapter": "bohb"},
        "ladder": {"inner_fractions": (0.2, 0.5, 1.0), "shortest": 1, "average": 2},
        "dehb": {"units": 9},
        "priorband": {"units": 9},
        "optuna": {"sampler": "optuna.samplers.NSGAIISampler", "arguments": {"population_size": 3}},
        "pb2": {"population": 3},
        "pes": {"unrolls": 4},
        "es_single": {"unrolls": 4, "pairs": 1, "objective": "mean"},
        "pbt": {"perturb": 0.2},
        "truncated_reverse": {"last": 7},
        "sliding_reverse": {"steps": 7},
        "fds-adam": {"adapter": "fds", "outer": {"kind": "adam"}, "inner_fractions": [0.5, 1.0],
                     "product_clip": 0.5},
        "reverse-short-of-memory": {"adapter": "reverse_sharing", "memory": 800_000},
        "marthe-adaptive": {"adapter": "marthe", "adaptive": True},
        "hdm-validation": {"adapter": "hdm", "feedback": "validation", "omega": 0.1, "tau": 1.0},
        "autolrs-validation": {"adapter": "autolrs", "losses": "validation", "candidates": 4},
        "hd-frozen": {"adapter": "hd", "frozen": True},
    },
}  # fmt: skip


def machine() -> dict[str, str]:
    """What bitwise equality depends on beside the code: a processor's name may stand for several families,
    for which numpy's BLAS has kernels of their own.
    """
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    blas = {str(one["architecture"]) for one in threadpool_info() if one["user_api"] == "blas"}
    return {
        "torch": torch.__version__.partition("+")[0],
        **{name: version(name) for name in ("numpy", "scipy")},
        "cpu": told.get("model name", ""),
        "family": f"{told.get('cpu family', '')}/{told.get('model', '')}",
        "capability": torch.backends.cpu.get_cpu_capability(),
        "blas": ", ".join(sorted(blas)),
    }


def cells() -> list[str]:
    """problem/method of every cell."""
    return [f"{problem}/{method}" for problem in SUITE["problems"] for method in SUITE["methods"]]


COLUMNS = [
    "fidelity", "val_loss", "val_metric", "incumbent", "test_loss", "test_metric", "schedule",
    "hypergradient", "inner_steps", "products", "gradient_equivalents",
]  # fmt: skip


def numbers(cell: str) -> dict[str, Any]:
    """A cell's reports and what was retrained, without times."""
    torch.set_num_threads(1)
    problem, _, method = cell.partition("/")
    suite = {**SUITE, "problems": {problem: SUITE["problems"][problem]}}
    with TemporaryDirectory() as place:
        folder = Path(place) / "out"
        (result,) = run_suite(suite, folder, methods=method).results
        assert result.verdict == "complete", result.record
        reports, run = load_results(folder), load_runs(folder).iloc[0]
    found: dict[str, Any] = {
        "stopped": run["stopped"],
        "final": [run["final_test_loss"], run["final_test_metric"], run["last_test_metric"]],
        "reports": {name: reports[name].tolist() for name in COLUMNS},
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


if __name__ == "__main__":
    PINNED.parent.mkdir(exist_ok=True)
    again = sys.argv[1:] or list(SUITE["methods"])
    known = json.loads(PINNED.read_text())["numbers"] if len(sys.argv) > 1 else {}
    known |= {cell: numbers(cell) for cell in cells() if cell.partition("/")[2] in again}
    record = {"machine": machine(), "numbers": {cell: known[cell] for cell in cells()}}
    PINNED.write_text(json.dumps(record, indent=0) + "\n")
    sys.stdout.write(f"{PINNED}: {PINNED.stat().st_size} bytes\n")
