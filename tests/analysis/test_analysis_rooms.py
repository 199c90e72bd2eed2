"""Which room knows of which: numbers and tables come without a drawing library."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("matplotlib", "plotly", "torch", "ray")
ANALYSIS = Path(__file__).parents[2] / "analysis"


def modules(room: str) -> list[str]:
    found = [f"hpobench_fds.analysis.{room}.{path.stem}" for path in (ANALYSIS / room).glob("*.py")]
    return sorted(name.removesuffix(".__init__") for name in found)


def loaded_by(names: list[str]) -> set[str]:
    """Heavy packages that importing these modules loads, in a process of their own."""
    code = f"import sys, {', '.join(names)}; print(*({set(HEAVY)} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_numbers_and_tables_load_no_drawing_library() -> None:
    light = ["looks", "loading", "figures", "figures.captions", "reports.tables", "reports.sentences"]
    names = [*modules("stats"), *(f"hpobench_fds.analysis.{name}" for name in light)]
    assert len(names) > 20
    assert loaded_by(names) == set()
    assert loaded_by(["hpobench_fds.analysis.figures.catalogue"]) == {"matplotlib"}


@pytest.mark.parametrize(
    ("room", "above"), [("stats", "figures|reports|looks|loading"), ("figures", "reports")]
)
def test_imports_point_down(room: str, above: str) -> None:
    for path in (ANALYSIS / room).glob("*.py"):
        found = re.findall(rf"from \.\.({above})\b|from \.\. import ({above})\b", path.read_text())
        allowed = [("loading",)] if (room, path.stem) == ("figures", "catalogue") else []
        assert [hit for hit in found if hit not in allowed] == [], path


def test_draw_all_is_there_under_its_old_name() -> None:
    from hpobench_fds.analysis.figures import FIGURES, draw_all

    assert callable(draw_all)
    assert "anytime" in FIGURES
