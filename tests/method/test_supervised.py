"""The rules in a process of their own: whatever a method does to that process, the verdict says so."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpobench_fds.errors import InputError
from hpobench_fds.method.conformance import RULES
from hpobench_fds.method.conformance.supervised import check_apart
from hpobench_fds.method.scaffold import check

ADAPTERS = '''
import os, subprocess, sys, time
from hpobench_fds.method import AskTell, Proposal

class Good(AskTell):
    """Random search."""
    name, paper = "good", "none"
    def ask(self, task):
        print("not a line of the protocol")
        return Proposal(task.space.sample(task.rng))

class Leaves(Good):
    """Ends the process as if all were well."""
    def tell(self, task, proposal, outcome):
        os._exit(0)

class LeavesWhenDiverged(Good):
    """Ends the process where a training diverges."""
    def tell(self, task, proposal, outcome):
        if outcome.ending == "diverged":
            os._exit(3)

class Crashes(Good):
    """Is killed."""
    def tell(self, task, proposal, outcome):
        os.kill(os.getpid(), 11)

class Hangs(Good):
    """Sleeps for ever, and so does what it has started."""
    def tell(self, task, proposal, outcome):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open(os.environ["PID_FILE"], "w").write(str(child.pid))
        time.sleep(600)
'''
NAMES = [rule.name for rule in RULES]


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    path = tmp_path / "adapters.py"
    path.write_text(ADAPTERS)
    return path


def test_one_that_keeps_the_rules_has_a_finding_for_each(adapters: Path) -> None:
    findings = check_apart(f"{adapters}:Good")
    assert [finding.rule for finding in findings] == NAMES
    assert all(finding.passed for finding in findings)


@pytest.mark.parametrize(("method", "how"), [("Leaves", "exit code 0"), ("Crashes", "SIGSEGV")])
def test_one_that_ends_the_process_has_broken_the_rule_that_ran(
    adapters: Path, method: str, how: str
) -> None:
    report = check(f"{adapters}:{method}")
    assert [finding.passed for finding in report.findings] == [True, True, False]
    assert report.findings[-1].rule == "runs and reports"
    assert report.findings[-1].seen == f"it ended the process ({how})"
    assert not report.passed
    assert f"not checked after that: {', '.join(NAMES[3:])}" in str(report)


def test_rules_after_one_that_ended_the_process_are_checked(adapters: Path) -> None:
    findings = check_apart(f"{adapters}:LeavesWhenDiverged")
    assert [finding.rule for finding in findings] == NAMES
    (failed,) = (finding for finding in findings if not finding.passed)
    assert (failed.rule, failed.seen) == ("survives divergence", "it ended the process (exit code 3)")


def test_one_that_hangs_is_killed_in_time_with_all_that_it_started(
    adapters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PID_FILE", str(tmp_path / "pid"))
    findings = check_apart(f"{adapters}:Hangs", seconds=15)
    assert findings[-1].rule == "runs and reports"
    assert findings[-1].seen == "it was not done within 15 s"
    assert "adapters.py" in capfd.readouterr().err  # where it hung
    child, deadline = (tmp_path / "pid").read_text(), time.monotonic() + 5
    while _lives(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(child)


def _lives(pid: str) -> bool:
    listed = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False)
    return bool(listed.stdout.strip()) and not listed.stdout.startswith("Z")


def test_a_file_that_ends_the_process_when_it_is_imported_ends_no_other(tmp_path: Path) -> None:
    (tmp_path / "top.py").write_text("import os\nos._exit(0)\n")
    (finding,) = check_apart(f"{tmp_path / 'top.py'}:Any")
    assert not finding.passed
    assert finding.seen == "it ended the process (exit code 0) while it was imported"


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_limit_that_is_no_time_is_refused(seconds: str) -> None:
    with pytest.raises(InputError, match="seconds: got"):
        check("random_search", seconds=float(seconds))


def test_the_command_fails_where_the_process_ends(adapters: Path) -> None:
    command = [sys.executable, "-m", "hpobench_fds.cli", "check", f"{adapters}:Leaves"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].endswith("breaks 1 of 3 rules checked")
    assert "not a line of the protocol" in done.stderr
