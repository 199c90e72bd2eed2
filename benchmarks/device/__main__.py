"""``python -m hpobench_fds.benchmarks.device``: what one GPU does with the engine, in under five minutes.

Oracles, equal bits, waits, speed, memory and two real suites; a part that fails says why and costs no other.
``--device cpu`` rehearses it on small sizes where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from hpobench_fds.benchmarks.device import exactness, repeats, speed, suites
from hpobench_fds.benchmarks.engine.__main__ import markdown
from hpobench_fds.benchmarks.engine.hypergradients import Row

from hpobench_fds.errors import InputError
from hpobench_fds.run.machine import describe_device, find_device

Part = Callable[[], Iterable[Row]]


def parts(device: str, folder: Path) -> dict[str, Part]:
    """Every part by its title; on a CPU small, to rehearse."""
    real = device != "cpu"
    models, size = (tuple(speed.STEPS), 1.0) if real else (("mlp",), 0.05)
    found: dict[str, Part] = {
        "Milliseconds a step": lambda: speed.steps(device, models, share=size),
        "Relative error in float64, against autograd on the CPU": lambda: exactness.oracle_errors(
            device, None if real else "mlp"
        ),
        "Equal seeds, equal bits": lambda: repeats.same_bits(device, models, 40 if real else 12),
    }
    if real:
        found["Waits for the device"] = lambda: repeats.waits(device)
    found |= {
        "What float32 and TF32 leave of a hypergradient": lambda: exactness.arithmetic(
            device, (20, 100, 400) if real else (8,)
        ),
        "Memory": lambda: speed.memory(device, horizons=(50, 200, 800) if real else (20,)),
        "Two runs of a suite, equal seeds": lambda: suites.equal_traces(
            device, folder, "resnet-8" if real else "mlp", 40 if real else 20
        ),
        "A suite of one seed": lambda: suites.runs(
            device, folder, "resnet-8" if real else "mlp", 400 if real else 20, 25.0 if real else 1.0
        ),
        "What the policy costs forward mode": lambda: speed.policies(device, share=size / 2),
    }
    return found


def carried_out(title: str, part: Part, told: dict[str, object]) -> str:
    """Run a part; its section in Markdown, its rows in ``told``."""
    begun, rows, failure = time.perf_counter(), [], ""
    try:
        for row in part():
            rows.append(row)
    except Exception:
        failure = traceback.format_exc()
    seconds = time.perf_counter() - begun
    told[title] = {"rows": rows, "seconds": seconds, "failure": failure}
    text = f"\n## {title}\n\n{markdown(rows) if rows else ''}\n"
    if failure:
        text += f"\nFailed:\n\n```\n{failure}```\n"
    print(f"{text}\n({seconds:.1f} s)", flush=True)
    return text


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m hpobench_fds.benchmarks.device", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/device"))
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to rehearse")
    parser.add_argument("--only", default="", help="parts whose title has this in it")
    options = parser.parse_args()
    try:
        device = find_device(options.device, where="--device")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    described = describe_device(device)
    versions = f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    where = f"{described['name']}; {versions}, Python {platform.python_version()}"
    text = f"# On a device\n\nOne run of `python -m hpobench_fds.benchmarks.device`; {where}.\n"
    print(text, flush=True)
    told: dict[str, object] = {"where": where, "device": described}
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for title, part in parts(str(device), Path(folder)).items():
            if options.only in title:
                text += carried_out(title, part, told)
                # After each part, so that a run cut off keeps what it has measured.
                (options.out / "README.md").write_text(text)
                (options.out / "tables.json").write_text(json.dumps(told, indent=1, default=str))
    return int(any(isinstance(one, dict) and one.get("failure") for one in told.values()))


if __name__ == "__main__":
    raise SystemExit(main())
