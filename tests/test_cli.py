"""The command: what it prints, what it returns, and that bad input is one line and writes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import hpobench_fds
from hpobench_fds.cli import main
from hpobench_fds.data import DATASETS
from hpobench_fds.method import Task
from hpobench_fds.nn.zoo import MODELS
from hpobench_fds.records.frames import load_results, load_runs

SUITE = """
name = "tiny"
seeds = [0]
device = "cpu"

[budget]
steps = 30

[problems.tiny]
dataset = "digits"
train_limit = 120
test_limit = 60
batch_size = 16
horizon = 10
space.lr = { windows = 2, low = 0.0, high = 0.2 }

[methods.random_search]
[methods.fds]
"""


class Shell:
    """Runs the command in a folder that holds the suite, in this process."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capture = folder, capture
        self.suite(SUITE)

    def suite(self, text: str) -> None:
        (self.folder / "tiny.toml").write_text(text)

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self.capture.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        out, err = self.capture.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, out, err

    def files(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPOBENCH_FASHION_MNIST_DIR", str(tmp_path / "no-such-folder"))
    monkeypatch.delenv("HPOBENCH_DATA", raising=False)
    return Shell(tmp_path, capsys)


# --------------------------------------------------------------------------------------------- running


def test_a_run_prints_its_table_draws_its_figures_and_says_where_they_are(shell: Shell) -> None:
    code, out, err = shell("run", "tiny.toml")
    assert code == 0
    assert "Random search" in out
    assert "FDS" in out
    assert "records: results/tiny\n" in out
    assert "figures: results/tiny/figures\n" in out
    assert list((shell.folder / "results/tiny/figures").glob("*.png"))
    assert "[2/2] tiny/fds/seed-0: budget, 3 reports" in err
    assert "Traceback" not in err
    assert len(load_results(shell.folder / "results/tiny")) == 6

    code, out, err = shell("show", "results/tiny")
    assert code == 0
    assert "Random search" in out

    code, out, err = shell(
        "figures", "results/tiny", "--only", "anytime", "--format", "png", "--style", "slides"
    )
    assert code == 0
    assert "results/tiny/figures/anytime.png\n" in out


def test_what_has_been_run_is_not_run_again(shell: Shell) -> None:
    assert shell("run", "tiny.toml", "--out", "o", "--no-figures", "--methods", "fds")[0] == 0
    code, _, err = shell("run", "tiny.toml", "--out", "o", "--no-figures", "--seeds", "0-1")
    assert code == 0
    assert "4 cells, 1 of them settled before" in err
    assert len(load_runs(shell.folder / "o")) == 4


def test_quiet_means_quiet(shell: Shell) -> None:
    code, out, err = shell("run", "tiny.toml", "--quiet", "--no-figures", "--methods", "random_search")
    assert (code, out, err) == (0, "records: results/tiny\n", "")


def test_a_failed_cell_is_named_and_gives_exit_code_1(shell: Shell) -> None:
    (shell.folder / "bad.py").write_text(
        "from hpobench_fds.method import Method\n"
        "class Bad(Method):\n    name = 'bad'\n    def run(self, task):\n        raise ValueError('of woe')\n"
    )
    shell.suite(SUITE.replace("[methods.fds]", '[methods.bad]\nadapter = "bad.py:Bad"'))
    code, out, err = shell("run", "tiny.toml", "--no-figures")
    assert code == 1
    assert "failed: tiny/bad/seed-0: ValueError: of woe\n" in err
    assert "Traceback" not in err
    assert "1 failed" in out
    assert "--retry-failed" not in err
    assert "--retry-failed" in shell("run", "tiny.toml", "--no-figures")[2]
    assert "--retry-failed" not in shell("run", "tiny.toml", "--no-figures", "--retry-failed")[2]


def test_an_interruption_says_how_to_go_on(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Task, "train", interrupted)
    monkeypatch.setattr(sys, "argv", ["hpobench", "run", "my suite.toml"])
    code, _, err = shell("run", "tiny.toml", "--no-figures", "--in-process")
    assert code == 130
    assert "interrupted; this goes on from there: hpobench run 'my suite.toml'\n" in err
    assert load_runs(shell.folder / "results/tiny")["status"].tolist() == ["interrupted"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_real_signal_leaves_a_run_that_goes_on(shell: Shell, sent: signal.Signals) -> None:
    shell.suite(SUITE.replace("steps = 30", "seconds = 3600"))
    command = [sys.executable, "-m", "hpobench_fds.cli", "run", "tiny.toml", "--methods", "random_search"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=shell.folder, env=environment, stderr=subprocess.PIPE, text=True)
    trace = shell.folder / "results/tiny/cells/tiny/random_search/seed-0/trace.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (trace.exists() and trace.read_bytes().count(b"\n") >= 3):
        time.sleep(0.05)
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; this goes on from there: hpobench run tiny.toml --methods random_search" in err
    assert "Traceback" not in err
    run = load_runs(shell.folder / "results/tiny").iloc[0]
    assert (run["status"], run["reason"]) == ("interrupted", None)
    assert run["seconds"] > 0
    assert (trace.parent / "checkpoint.pt").exists()


# -------------------------------------------------------------------------------------- other commands


def test_the_methods_are_listed_with_their_options(shell: Shell) -> None:
    code, out, _ = shell("methods")
    assert code == 0
    for text in ("fds", "random_search", 'outer.kind = "sign"', "Gradient-based", "NeurIPS 2021"):
        assert text in out
    names = [line.split("│")[1].strip() for line in rows_of(out)]
    order = ["fds", "hd", "random_search", "hyperband", "cosine"]  # a kind after the other
    assert [name for name in names if name in order] == order


def test_of_a_method_whose_package_is_missing_the_list_says_so(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "smac", None)
    code, out, _ = shell("methods")
    assert code == 0
    assert "n_startup_trials = 10" in out
    assert "smac cannot be imported" in out


def test_data_sets_and_models_are_listed_with_what_they_need_and_take(shell: Shell) -> None:
    code, out, err = shell("problems", "--data-root", str(shell.folder))
    assert (code, err) == (0, "")
    rows = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:]] for line in rows_of(out)
    }
    assert rows["wine"][:5] == ["13", "3", "142", "36", "yes"]
    assert rows["cifar100"][:5] == ["3 x 32 x 32", "100", "50,000", "10,000", "no"]
    assert "cifar-100-python" in rows["cifar100"][5]
    assert "pip install 'hpobench-fds[data]'" in rows["letter"][5]
    assert f"ROOT is {shell.folder}" in out.replace("\n", "")
    assert rows["mlp"][1].startswith("breast_cancer, cifar10, ")
    assert rows["gpt-nano"][1] == "shakespeare"
    assert rows["lenet"] == ["44,426 to 69,656", "cifar10, cifar100, fashion_mnist, mnist, svhn", ""]
    assert set(MODELS) | set(DATASETS) <= set(rows)


def rows_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("│")]


def test_a_suite_can_be_checked_without_being_run(shell: Shell) -> None:
    before = shell.files()
    code, out, _ = shell("validate", "tiny.toml")
    assert (code, out) == (
        0,
        "tiny.toml: suite 'tiny' is valid: 1 problems x 2 methods x 1 seeds = 2 cells\n",
    )
    assert shell("validate", "digits")[0] == 0
    assert shell.files() == before


def test_the_version(shell: Shell) -> None:
    assert shell("--version") == (0, f"hpobench {hpobench_fds.__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom hpobench_fds.cli import main\n"
        f"try:\n    main({arguments})\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "heavy = {'torch', 'pandas', 'numpy', 'matplotlib', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_package_imports_nothing_heavy() -> None:
    code = "import sys, hpobench_fds; assert not {'torch', 'pandas', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        hpobench_fds.nothing  # noqa: B018
    assert {"run_suite", "load_results", "load_runs"} <= set(dir(hpobench_fds))


# ------------------------------------------------------------------------------------------- bad input

BAD: dict[str, tuple[tuple[str, str], list[str], list[str]]] = {
    # what is wrong: (text in the suite, what stands there instead), more arguments, what the line says
    "unknown dataset": (
        ('"digits"', '"digit"'),
        [],
        ["tiny.toml", "problems.tiny.dataset", "'digit'", "cifar10"],
    ),
    "unknown model": (("horizon", 'model = "mpl"\nhorizon'), [], ["problems.tiny.model", "'mpl'", "lenet"]),
    "unknown method": (
        ("[methods.fds]", "[methods.fsd]"),
        [],
        ["methods.fsd", "'fsd'", "did you mean 'fds'", "random"],
    ),
    "unknown option": (
        ("[methods.fds]", "[methods.fds]\nstep = 3"),
        [],
        ["methods.fds", "'step'", "inner_fractions"],
    ),
    "bad option": (
        ("[methods.fds]", "[methods.fds]\nouter_steps = 0"),
        [],
        ["methods.fds.outer_steps", "0", "1 or"],
    ),
    "malformed TOML": (("[budget]", "[budget"), [], ["tiny.toml", "malformed TOML", "line 6"]),
    "bounds the wrong way round": (
        ("low = 0.0", "low = 0.3"),
        [],
        ["problems.tiny.space.lr", "low = 0.3", "below high"],
    ),
    "horizon 0": (("horizon = 10", "horizon = 0"), [], ["problems.tiny.horizon", "got 0", "1 or more"]),
    "no budget": (("steps = 30", ""), [], ["budget", "seconds, steps, epochs or gradient_equivalents"]),
    "unknown key": (
        ("horizon", "horizn = 3\nhorizon"),
        [],
        ["problems.tiny", "'horizn'", "did you mean 'horizon'"],
    ),
    "bad device": (('device = "cpu"', 'device = "gpu"'), [], ["device", '"gpu"', "auto, cpu, cuda"]),
    "bad --device": (("", ""), ["--device", "gpu"], ["--device", "'gpu'", "auto, cpu"]),
    "bad --seeds": (("", ""), ["--seeds", "4-0"], ["seeds", '"4-0"', "FIRST <= LAST"]),
    "bad --methods": (
        ("", ""),
        ["--methods", "fsd"],
        ["methods", "'fsd'", "did you mean 'fds'", "random_search"],
    ),
    "bad --problems": (
        ("", ""),
        ["--problems", "tiiny"],
        ["problems", "'tiiny'", "did you mean 'tiny'"],
    ),
    "batch too large": (
        ("batch_size = 16", "batch_size = 999"),
        [],
        ["problems.tiny", "batch_size", "999", "108"],
    ),
    "missing data": (
        ('"digits"', '"cifar10"'),
        ["--data-root", "gone"],
        ["problems.tiny", "cifar10", "gone"],
    ),
    "adapter that is no file": (
        ("[methods.fds]", '[methods.mine]\nadapter = "gone.py:Mine"'),
        [],
        ["methods.mine.adapter", "gone.py"],
    ),
    "no jobs": (("", ""), ["--jobs", "0"], ["jobs", "got 0", "1 or more"]),
    "jobs in one process": (("", ""), ["--jobs", "2", "--in-process"], ["2 jobs and in-process"]),
    "no time for cells": (("", ""), ["--cell-seconds", "-3"], ["cell_seconds", "got -3", "above 0"]),
    "no memory for cells": (("", ""), ["--cell-memory", "nan"], ["cell_memory", "got nan", "above 0"]),
    "bad --cell": (("", ""), ["--cell", "9/8"], ["cell", "'9/8'", "i/n, 1 <= i <= n"]),
    "bad limits": (("[budget]", "[limits]\nmemory = 3\n[budget]"), [], ["limits", "'memory'", "memory_gb"]),
    "--out is another's folder": (("", ""), ["--out", "foreign"], ["foreign", "holds other files"]),
}


def refused(shell: Shell, *arguments: str) -> str:
    """The line that a refusal prints, after checking that it is one and that nothing was written."""
    before = shell.files()
    code, out, err = shell(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert shell.files() == before
    return err


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_exit_code_2_and_writes_nothing(shell: Shell, case: str) -> None:
    (old, new), arguments, said = BAD[case]
    assert old in SUITE
    (shell.folder / "foreign").mkdir()
    (shell.folder / "foreign/thesis.tex").write_text("precious")
    shell.suite(SUITE.replace(old, new, 1))
    line = refused(shell, "run", "tiny.toml", *arguments)
    for part in said:
        assert part in line


def test_cuda_that_is_not_there_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    line = refused(shell, "run", "tiny.toml", "--device", "cuda")
    assert line == "error: --device: 'cuda': there is no such device here (allowed: auto, cpu)\n"
    shell.suite(SUITE.replace('"cpu"', '"cuda"'))
    assert "tiny.toml: device: 'cuda': there is no such device here" in refused(shell, "run", "tiny.toml")


def test_corrupt_data_is_told_with_its_file(shell: Shell) -> None:
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (shell.folder / f"{name}-ubyte").write_bytes(b"garbage that is no IDX file")
    shell.suite(SUITE.replace('"digits"', '"fashion_mnist"'))
    line = refused(shell, "run", "tiny.toml", "--data-root", ".")
    assert "tiny.toml: problems.tiny" in line
    assert "train-images-idx3-ubyte" in line


def test_the_results_of_another_suite_are_refused(shell: Shell) -> None:
    assert shell("run", "tiny.toml", "--out", "o", "--no-figures", "--methods", "random_search")[0] == 0
    shell.suite(SUITE.replace("horizon = 10", "horizon = 12"))
    line = refused(shell, "run", "tiny.toml", "--out", "o")
    assert "o: the folder holds another version of the suite 'tiny'" in line
    assert "problems.tiny.config.horizon was 10, is 12" in line
    shell.suite(SUITE.replace('name = "tiny"', 'name = "other"'))
    assert "holds the suite 'tiny', not 'other'" in refused(shell, "run", "tiny.toml", "--out", "o")


@pytest.mark.parametrize("command", ["show", "figures"])
def test_a_folder_without_results_is_told(shell: Shell, command: str) -> None:
    assert "gone: there is no such results folder" in refused(shell, command, "gone")
    assert ".: not a results folder: it has no suite.json" in refused(shell, command, ".")


@pytest.mark.parametrize("arguments", [["figures", ".", "--sytle", "x"], ["rnu"], ["run"], ["run", "a", "b"]])
def test_a_mistyped_command_line_is_told_in_a_line(shell: Shell, arguments: list[str]) -> None:
    refused(shell, *arguments)


def test_bad_figures_are_refused(shell: Shell) -> None:
    assert shell("run", "tiny.toml", "--out", "o", "--no-figures", "--methods", "random_search")[0] == 0
    assert "'anytme'" in refused(shell, "figures", "o", "--only", "anytme")
    assert "'poster'" in refused(shell, "figures", "o", "--style", "poster")
    assert "'bmp'" in refused(shell, "figures", "o", "--format", "bmp", "--only", "anytime")


def test_two_runners_share_a_folder(shell: Shell) -> None:
    """A second runner takes what the first one has not got to; each cell is run once."""
    shell.suite(SUITE.replace("seeds = [0]", 'seeds = "0-2"'))
    command = [sys.executable, "-m", "hpobench_fds.cli", "run", "tiny.toml", "--no-figures"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pair = [
        subprocess.Popen(command, cwd=shell.folder, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], errors
    runs = load_runs(shell.folder / "results/tiny")
    assert runs["status"].tolist() == ["complete"] * 6
    assert load_results(shell.folder / "results/tiny").groupby(["method", "seed"])["report"].apply(list).map(
        lambda reports: reports == list(range(len(reports)))
    ).all()  # fmt: skip
