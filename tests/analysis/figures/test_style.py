"""One look for a method everywhere; files that are the same whenever they are written."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from fabricate import box_of, tick_texts
from hpobench_fds.analysis.figures import saving, style
from hpobench_fds.analysis.figures.style import panels, plain_log

from hpobench_fds.errors import InputError


def test_a_style_is_undone_and_a_users_settings_do_not_enter() -> None:
    with mpl.rc_context({"lines.linewidth": 17.0, "axes.facecolor": "red"}):
        with style.page_of("slides") as page:
            assert mpl.rcParams["lines.linewidth"] == page.line
            assert mpl.rcParams["axes.facecolor"] == "white"
        assert mpl.rcParams["lines.linewidth"] == 17.0


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(InputError, match="paper, slides"), style.page_of("poster"):
        pass


def made(number: float = 1 / 3) -> saving.Figure:
    with style.page_of() as page:
        canvas, axes = style.panels(1, 1, page.width, page.panel)
        axes[0][0].plot([1, 2], [number, 1])
        axes[0][0].set_title("Åbc")
    return saving.Figure("made", canvas, pd.DataFrame({"x": [1, 2], "y": [number, 1.0]}), "What it shows.")


def test_saving_writes_picture_numbers_and_words(tmp_path: Path) -> None:
    paths = saving.save(made(), tmp_path / "new", formats=("png", "pdf", "svg"))
    assert [p.name for p in paths] == ["made.png", "made.pdf", "made.svg", "made.csv", "made.txt"]
    assert paths[3].read_text() == "x,y\n1,0.3333333333\n2,1\n"
    assert paths[4].read_text() == "What it shows.\n"


def test_the_same_figure_gives_the_same_bytes_and_names_no_time(tmp_path: Path) -> None:
    one, two = (saving.save(made(), tmp_path / n, formats=("png", "pdf", "svg")) for n in ("a", "b"))
    for first, second in zip(one, two, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.suffix
    pdf = one[1].read_bytes()
    assert not re.search(rb"CreationDate|Producer|Creator", pdf)
    assert b"/Type3" not in pdf  # TrueType, so that a journal can edit the text
    other = saving.save(made(0.5), tmp_path / "c", formats=("png",))
    assert other[0].read_bytes() != one[0].read_bytes()


def test_png_has_200_dots_an_inch(tmp_path: Path) -> None:
    data = saving.save(made(), tmp_path, formats=("png",))[0].read_bytes()
    assert int.from_bytes(data[16:20], "big") == 1100  # 5.5 inches


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="png, pdf, svg"):
        saving.save(made(), tmp_path / "new", formats=("png", "gif"))
    assert not (tmp_path / "new").exists()


def test_a_notebook_gets_a_picture() -> None:
    assert made()._repr_png_().startswith(b"\x89PNG")


def test_no_figure_is_left_with_pyplot() -> None:
    code = (
        "import sys; from hpobench_fds.analysis.figures import style\n"
        "with style.page_of(): style.panels(1, 1, 2, 2)\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("count", "shape"), [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 2)), (5, (2, 3)), (7, (3, 3))]
)
def test_grid_shape(count: int, shape: tuple[int, int]) -> None:
    assert style.grid_shape(count) == shape


@pytest.mark.parametrize("limits", [(12e3, 28e3), (4.1, 4.9), (900.0, 2e3), (1.0, 30.0), (1e2, 1e6)])
def test_a_logarithmic_axis_has_few_labels_however_narrow_it_is(limits: tuple[float, float]) -> None:
    canvas, [[ax]] = panels(1, 1, 2.0, 1.5)
    ax.set_xscale("log")
    ax.set_xlim(limits)
    plain_log(ax.xaxis, 4)
    canvas.canvas.draw()
    shown = [text for text in tick_texts(ax.xaxis) if text.get_text()]
    assert 2 <= len(shown) <= 6
    ends = sorted((box.x0, box.x1) for box in map(box_of, shown))
    assert all(one[1] < other[0] for one, other in pairwise(ends))
