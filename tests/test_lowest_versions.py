"""The lower bounds of pyproject.toml are true: an environment of exactly these versions runs a suite."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUITE = """
name = "lowest"
seeds = [0]
budget.steps = 150
[problems.digits]
dataset = "digits"
horizon = 20
batch_size = 64
[methods]
fds = {}
tpe = {}
optuna_tpe = {}
gp = {}
cmaes = {}
bohb = {}
pbt = {}
"""


def lower_bounds() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = [re.fullmatch(r"([\w.-]+)>=([\w.]+)", text) for text in project["dependencies"]]
    assert all(found), "each dependency states the lowest version that it is known to work with, and no more"
    return {match[1]: match[2] for match in found if match}


def test_every_dependency_has_a_lower_bound_and_no_upper_one() -> None:
    assert "torch" in lower_bounds()


@pytest.fixture(scope="module")
def lowest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment with the package and the lowest versions of all that it depends on."""
    folder = tmp_path_factory.mktemp("lowest")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in tracked.stdout.split("\0"):
        if name.endswith((".py", ".toml", ".j2", ".typed", "README.md", "LICENSE")) and "tests/" not in name:
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    constraints = folder / "lowest.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in lower_bounds().items()))
    venv.create(folder / "venv", with_pip=True)
    scripts = folder / "venv" / "bin"
    pip = [scripts / "python", "-m", "pip", "install", "--quiet", "--constraint", constraints]
    subprocess.run([*pip, folder / "source"], check=True)
    return scripts


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform == "win32", reason="the runner is for POSIX systems")
def test_the_lowest_versions_run_verify_export_and_draw_a_suite(lowest: Path, tmp_path: Path) -> None:
    """It downloads some gigabytes: torch's own libraries."""
    (tmp_path / "s.toml").write_text(SUITE)

    def hpobench(*arguments: str) -> str:
        done = subprocess.run([lowest / "hpobench", *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    said = hpobench("run", "s.toml", "--out", "out")
    assert "not drawn" not in said
    assert "not all were drawn" not in said
    assert "all sound" in hpobench("verify", "out")
    assert hpobench("report", "out").strip() == "out/report.html"
    hpobench("export", "out", "out.parquet")
    hpobench("check", "fds")
