"""What ``hpobench new-method`` writes and ``hpobench check`` looks at."""

from __future__ import annotations

import keyword
import math
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpobench_fds.errors import InputError
from hpobench_fds.method.registry import methods

if TYPE_CHECKING:  # importing it imports torch, and a new method is written without
    from hpobench_fds.method.conformance import Finding

ADAPTER = '''\
"""$TITLE: say in a line what it does, and cite the paper that it comes from."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from hpobench_fds.method.black_box import score
from hpobench_fds.method import AskTell, Method, Outcome, Proposal, Task


class $CLASS(AskTell):
    """Where to start: the best schedule so far, moved a little at random. Put your own idea here.

    width : how far it moves, as a share of each range.
    """

    name = "$NAME"
    paper = "Author, Title, Venue 2026"

    class Options(Method.Options):
        width: float = Field(default=0.1, gt=0, le=1)

    def setup(self, task: Task) -> None:
        """Called once, before the first ask."""
        self._best = np.inf
        self._vector = task.space.to_vector(task.space.initial)

    def ask(self, task: Task) -> Proposal:
        """The next schedule to train. Draw from task.rng alone, so that a run can be repeated and resumed."""
        if self._best == np.inf:
            return Proposal(task.space.from_vector(self._vector))
        width = self.options.width * (task.space.high - task.space.low)
        moved = self._vector + width * task.rng.standard_normal(task.space.size)
        return Proposal(task.space.from_vector(task.space.clip(moved)))

    def tell(self, task: Task, proposal: Proposal, outcome: Outcome) -> None:
        """What became of it. score() is what is minimised, and finite even for a diverged training."""
        if score(task, outcome) < self._best:
            self._best, self._vector = score(task, outcome), task.space.to_vector(proposal.schedule)
'''

TEST = '''\
"""$CLASS keeps the contract. Add a test against the paper, a library or a closed form."""

from __future__ import annotations

from pathlib import Path

from hpobench_fds.method.registry import resolve
from hpobench_fds.method.conformance import assert_conforms

$CLASS = resolve(f"{Path(__file__).with_name('$NAME.py')}:$CLASS")


def test_it_keeps_the_contract() -> None:
    assert_conforms($CLASS)
'''


def new_method(name: str, folder: Path | str = ".") -> list[Path]:
    """Write NAME.py, a working adapter, and test_NAME.py into a folder; returns their paths.

    Raises
    ------
    InputError : the name is no identifier in lower case, or a registered method's; the folder is missing or
        cannot be written; a file is there already. Nothing has been written then.
    """
    _check_name(name)
    if name in methods():
        raise InputError(f"there is a method {name!r} already", key="name", allowed="another name")
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}", key="folder")
    contents = {folder / f"{name}.py": ADAPTER, folder / f"test_{name}.py": TEST}
    for path in contents:
        if path.exists():
            raise InputError(f"{path} exists and is not overwritten", key="name", allowed="another name")
    if name in sys.stdlib_module_names or find_spec(name) is not None:
        # Python would find the new file where the other is meant.
        raise InputError(f"{name!r} is a module's name already", key="name", allowed="another name")
    try:
        for path, template in contents.items():
            path.write_text(_filled(template, name), encoding="utf-8")
    except OSError as error:
        for path in contents:  # none of them was there before
            with suppress(OSError):
                path.unlink()
        raise InputError(f"{folder} cannot be written: {error.strerror}", key="folder") from error
    return list(contents)


def _check_name(name: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower() or not name.strip("_"):
        raise InputError(f"{name!r}", key="name", allowed="a Python identifier in lower case: my_method")
    if re.search(rf"^(from|import) .*\b{class_name(name)}\b", ADAPTER, re.MULTILINE):
        raise InputError(
            f"{name!r}: {class_name(name)} is the contract's own", key="name", allowed="another name"
        )


def class_name(name: str) -> str:
    """``my_method`` -> ``MyMethod``."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _filled(template: str, name: str) -> str:
    words = {"$TITLE": name.replace("_", " ").strip().capitalize(), "$CLASS": class_name(name), "$NAME": name}
    for word, value in words.items():
        template = template.replace(word, value)
    return template


@dataclass(frozen=True)
class Conformance:
    """What the kit found about one method; printed, a line a rule and what to do about each failed one."""

    method: str
    findings: list[Finding]
    rules: list[str]  # all that there are

    @property
    def passed(self) -> bool:
        return all(finding.passed for finding in self.findings)

    def __str__(self) -> str:
        failed = sum(not finding.passed for finding in self.findings)
        verdict = (
            "keeps the contract" if self.passed else f"breaks {failed} of {len(self.findings)} rules checked"
        )
        found = {finding.rule for finding in self.findings}
        left = [rule for rule in self.rules if rule not in found]
        unchecked = [f"not checked after that: {', '.join(left)}"] if left else []
        return "\n".join([*map(str, self.findings), *unchecked, f"{self.method} {verdict}"])


def check(
    path_or_name: str, options: Mapping[str, Any] | None = None, *, seconds: float | None = None
) -> Conformance:
    """Run the conformance kit on ``my_method.py:MyMethod`` or on a registered name.

    It runs in a process of its own, which is killed after ``seconds`` (None: 120): a method that ends the
    process or hangs has broken the rule that ran.

    Raises
    ------
    InputError : no such method, or no such option; seconds that are no time.
    """
    from hpobench_fds.method.conformance import RULES
    from hpobench_fds.method.conformance.supervised import SECONDS, check_apart

    seconds = SECONDS if seconds is None else seconds
    if not 0 < seconds < math.inf:
        raise InputError(f"got {seconds:g}", key="seconds", allowed="more than 0, and finite")
    findings = check_apart(path_or_name, options, seconds=seconds)
    return Conformance(path_or_name, findings, [rule.name for rule in RULES])
