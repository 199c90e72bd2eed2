"""Bad input of any kind is one line that says so: no other exception, and no file is touched.

The default run tries some hundred damaged suites and records; the slow one thousands.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from real_run import SUITE, cell, copy_of_results

from hpobench_fds.errors import InputError
from hpobench_fds.records.export import export, merge
from hpobench_fds.records.frames import load_results, load_runs
from hpobench_fds.records.verify import verify
from hpobench_fds.suite.config import Suite, load_suite
from hpobench_fds.suite.plan import plan

TOML = b"""name = "tiny"
seeds = [0, 1]
device = "cpu"
[budget]
seconds = 10
[limits]
seconds = 600
[problems.tiny]
dataset = "digits"
model = "mlp"
horizon = 200
space.lr = { windows = 5, low = -1.0, high = 1.0 }
budget.steps = 20
augmentation = { crop_padding = 1 }
[methods.fds]
outer.kind = "adam"
[methods.mine]
adapter = "random_search"
"""
WORDS = [b"nan", b"inf", b"-1", b"1e999", b"0", b'""', b"[]", b"{}", b"true", b"null", b'"../x"']
WORDS += [b"\n", b"[", b"]", b"{", b"}", b'"', b"=", b".", b",", b"\x00", b"\xff", b"\xef\xbb\xbf"]
WORDS += [b"9" * 400, b"[" * 2000, "\u2028é".encode()]
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from(["", "../../x", "/etc/passwd", "nan", "CON", "a" * 300, "fds", "digits", 10**400, -1, 0]),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


@st.composite
def damaged_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Some bytes cut out, put in, doubled or replaced."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        end = min(len(content), at + draw(st.integers(0, 12)))
        kind = draw(st.sampled_from(["cut", "end", "word", "byte", "twice"]))
        if kind == "cut":
            content = content[:at] + content[end:]
        elif kind == "end":
            content = content[:at]
        elif kind == "word":
            content = content[:at] + draw(st.sampled_from(WORDS)) + content[end:]
        elif kind == "byte":
            content = content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]
        else:
            content = content[:end] + content[at:]
    return content


@st.composite
def damaged_data(draw: st.DrawFn, data: Any) -> Any:
    """Plain data with values or keys replaced, removed or added somewhere in it."""
    data = json.loads(json.dumps(data))
    for _ in range(draw(st.integers(1, 3))):
        place: Any = data
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if not isinstance(place[key], (dict, list)) or not place[key] or draw(st.integers(0, 2)) == 0:
                kind = draw(st.sampled_from(["value", "value", "remove", "add"]))
                if kind == "remove":
                    del place[key]
                elif kind == "value":
                    place[key] = draw(ODD)
                elif isinstance(place, dict):
                    place[draw(st.text(max_size=4))] = draw(ODD)
                break
            place = place[key]
    return data


def refuses(action: Callable[[], object]) -> bool:
    """Whether it is an input error, which is one line then; anything else raised is a fault."""
    refusal = None
    try:
        action()
    except InputError as error:
        refusal = str(error)
    assert refusal is None or (len(refusal.splitlines()) == 1 and len(refusal) < 2000), refusal
    return refusal is not None


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fuzzed(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=checks
    )


def fuzz_suite_files(folder: Path, examples: int) -> Counter[str]:
    tally: Counter[str] = Counter()
    path = folder / "suite.toml"

    @fuzzed(examples)
    @given(damaged_bytes(TOML))
    def tried(content: bytes) -> None:
        path.write_bytes(content)
        tally["bad" if refuses(lambda: load_suite(path).cells()) else "harmless"] += 1
        assert path.read_bytes() == content
        assert list(folder.iterdir()) == [path]

    tried()
    return tally


def fuzz_suite_data(examples: int) -> Counter[str]:
    tally: Counter[str] = Counter()

    @fuzzed(examples)
    @given(damaged_data({**SUITE, "methods": {"fds": {"outer": {"kind": "adam", "step": {"lr": 0.1}}}}}))
    def tried(data: dict[str, Any]) -> None:
        tally["bad" if refuses(lambda: Suite.from_dict(data).cells()) else "harmless"] += 1

    tried()
    return tally


def is_found_bad(folder: Path, out: Path) -> bool:
    """Whether anything that reads a results folder refuses it, or finds an error in it."""
    out.mkdir(exist_ok=True)
    refused = [
        refuses(lambda: load_results(folder)),
        refuses(lambda: load_runs(folder)),
        refuses(lambda: plan(Suite.from_dict(SUITE), folder)),
        refuses(lambda: export(folder, out / "reports.parquet", force=True)),
        refuses(lambda: export(folder, out / "runs.csv", table="runs", force=True)),
        refuses(lambda: merge([folder], out / "merged")),
    ]
    shutil.rmtree(out)
    found: list[bool] = []
    refused.append(refuses(lambda: found.append(not verify(folder).sound)))
    return any(refused) or any(found)


def fuzz_records(folder: Path, examples: int, structured: bool) -> Counter[str]:
    tally: Counter[str] = Counter()
    results = copy_of_results(folder / "out")
    paths = [cell(results) / "run.json", cell(results) / "trace.jsonl", results / "suite.json"]
    sound = {path: path.read_bytes() for path in paths}

    @st.composite
    def damaged(draw: st.DrawFn) -> tuple[Path, bytes]:
        path = draw(st.sampled_from(paths))
        if not structured:
            return path, draw(damaged_bytes(sound[path]))
        if path.suffix == ".json":
            return path, json.dumps(draw(damaged_data(json.loads(sound[path])))).encode()
        rows = draw(damaged_data([json.loads(line) for line in sound[path].splitlines()]))
        return path, "".join(json.dumps(row) + "\n" for row in rows).encode()

    def frames() -> tuple[str, str]:
        return load_results(results).to_json(), load_runs(results).to_json()

    as_they_were = frames()

    @fuzzed(examples)
    @given(damaged())
    def tried(case: tuple[Path, bytes]) -> None:
        path, content = case
        path.write_bytes(content)
        before = snapshot(results)
        try:
            bad = is_found_bad(results, folder / "read")
            assert bad or frames() == as_they_were, "changed, and not found"
            tally["bad" if bad else "harmless"] += 1
            assert snapshot(results) == before
        finally:
            path.write_bytes(sound[path])

    tried()
    return tally


def test_damaged_suites(tmp_path: Path) -> None:
    tally = fuzz_suite_files(tmp_path, 150) + fuzz_suite_data(150)
    assert tally["bad"] > 100


@pytest.mark.parametrize("structured", [False, True], ids=["bytes", "data"])
def test_damaged_records(tmp_path: Path, structured: bool) -> None:
    assert fuzz_records(tmp_path, 40, structured)["bad"] > 25


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_thousands_of_damaged_suites_and_records(tmp_path: Path) -> None:
    parts = {name: tmp_path / name for name in ("files", "bytes", "data")}
    for part in parts.values():
        part.mkdir()
    tally = fuzz_suite_files(parts["files"], 3000) + fuzz_suite_data(3000)
    tally += fuzz_records(parts["bytes"], 700, False) + fuzz_records(parts["data"], 700, True)
    print(f"\n{tally['bad']} bad inputs, each found; {tally['harmless']} harmless ones")
    assert tally["bad"] >= 5000
