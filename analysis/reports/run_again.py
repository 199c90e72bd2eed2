"""The commands that make these results again: the commit, the versions, the suite."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence


def run_again(name: str, machines: Sequence[tuple[Mapping[str, str], int]]) -> list[str]:
    """Lines for a shell, comments among them; of runs made from several commits the one with most runs.

    Parameters
    ----------
    name : the suite's.
    machines : what runs were made on, with how many, most first (``loading.machines``).
    """
    known = machines[0][0] if machines else {}
    commits = list(dict.fromkeys(m["commit"] for m, _ in machines if m.get("commit")))
    lines = []
    if commits:
        clean = commits[0].removesuffix("-dirty")
        lines.append(f"git checkout {shlex.quote(clean)}")
        if len(commits) > 1:
            lines.append(f"# most runs are of this commit; others of {', '.join(commits[1:])}")
        if any(commit.endswith("-dirty") for commit in commits):
            lines.append("# -dirty: from sources with changes that no commit holds")
    python = ".".join(known.get("python", "3.11").split(".")[:2])
    pins = [f"{p}=={known[p].partition('+')[0]}" for p in ("torch", "numpy") if p in known]
    lines.append(f"python{python} -m venv .venv")
    lines.append(" ".join([".venv/bin/pip install --editable .", *map(shlex.quote, pins)]))
    kind = known.get("device", "").partition(" ")[0]
    more = f" --device {shlex.quote(kind)}" if kind else ""
    jobs = known.get("cells at a time", "1")
    lines.append(f"# save the suite below as {name}.toml".replace("\n", " "))
    threads = f"OMP_NUM_THREADS={shlex.quote(known['threads'])} " if "threads" in known else ""
    lines.append(f"{threads}.venv/bin/hpobench run {shlex.quote(name)}.toml --jobs {shlex.quote(jobs)}{more}")
    return lines
