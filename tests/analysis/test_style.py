"""One look for a method everywhere; files that are the same whenever they are written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hpobench_fds.analysis import style
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from hpobench_fds.errors import InputError

KNOWN = """
    fds reverse_sharing reverse truncated_reverse hd rtho marthe one_pass random_search tpe optuna_tpe gp
    cmaes hyperband asha bohb pbt default cosine one_cycle grid implicit
""".split()  # noqa: SIM905


def test_known_methods_can_be_told_apart_without_colour() -> None:
    looks = [style.look(m) for m in KNOWN]
    assert set(KNOWN) == set(style._KNOWN)
    assert len({(k.marker, k.dash) for k in looks}) == len(KNOWN)
    assert len({(k.color, k.dash) for k in looks}) == len(KNOWN)
    assert len({k.label for k in looks}) == len(KNOWN)


def test_every_colour_stands_out_on_white() -> None:
    for color in style.PALETTE:
        luminance = np.dot([0.2126, 0.7152, 0.0722], np.array(to_rgb(color)) ** 2.2)
        assert 1.05 / (luminance + 0.05) > 2, color


def test_an_unknown_method_keeps_its_look_in_another_process() -> None:
    code = "from hpobench_fds.analysis.style import look; print(look('my_method'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(style.look("my_method"))
    assert style.label("my_method") == "my_method"


def test_unknown_methods_do_not_all_look_the_same() -> None:
    looks = {(k.color, k.dash, k.marker) for k in map(style.look, (f"method_{i}" for i in range(20)))}
    assert len(looks) >= 17


def test_a_style_is_undone_and_a_users_settings_do_not_enter() -> None:
    with mpl.rc_context({"lines.linewidth": 17.0, "axes.facecolor": "red"}):
        with style.page("slides") as page:
            assert mpl.rcParams["lines.linewidth"] == page.line
            assert mpl.rcParams["axes.facecolor"] == "white"
        assert mpl.rcParams["lines.linewidth"] == 17.0


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(InputError, match="paper, slides"), style.page("poster"):
        pass


def made(number: float = 1 / 3) -> style.Figure:
    with style.page() as page:
        canvas, axes = style.panels(1, 1, page.width, page.panel)
        axes[0][0].plot([1, 2], [number, 1])
        axes[0][0].set_title("Åbc")
    return style.Figure("made", canvas, pd.DataFrame({"x": [1, 2], "y": [number, 1.0]}), "What it shows.")


def test_saving_writes_picture_numbers_and_words(tmp_path: Path) -> None:
    paths = style.save(made(), tmp_path / "new", formats=("png", "pdf", "svg"))
    assert [p.name for p in paths] == ["made.png", "made.pdf", "made.svg", "made.csv", "made.txt"]
    assert paths[3].read_text() == "x,y\n1,0.3333333333\n2,1\n"
    assert paths[4].read_text() == "What it shows.\n"


def test_the_same_figure_gives_the_same_bytes_and_names_no_time(tmp_path: Path) -> None:
    one, two = (style.save(made(), tmp_path / n, formats=("png", "pdf", "svg")) for n in ("a", "b"))
    for first, second in zip(one, two, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.suffix
    pdf = one[1].read_bytes()
    assert not re.search(rb"CreationDate|Producer|Creator", pdf)
    assert b"/Type3" not in pdf  # TrueType, so that a journal can edit the text
    other = style.save(made(0.5), tmp_path / "c", formats=("png",))
    assert other[0].read_bytes() != one[0].read_bytes()


def test_png_has_200_dots_an_inch(tmp_path: Path) -> None:
    data = style.save(made(), tmp_path, formats=("png",))[0].read_bytes()
    assert int.from_bytes(data[16:20], "big") == 1100  # 5.5 inches


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="png, pdf, svg"):
        style.save(made(), tmp_path / "new", formats=("png", "gif"))
    assert not (tmp_path / "new").exists()


def test_a_notebook_gets_a_picture() -> None:
    assert made()._repr_png_().startswith(b"\x89PNG")


def test_no_figure_is_left_with_pyplot() -> None:
    code = (
        "import sys; from hpobench_fds.analysis import style\n"
        "with style.page(): style.panels(1, 1, 2, 2)\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("count", "shape"), [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 2)), (5, (2, 3)), (7, (3, 3))]
)
def test_grid_shape(count: int, shape: tuple[int, int]) -> None:
    assert style.grid_shape(count) == shape


# ---- many methods ---------------------------------------------------------------------------------------


def test_a_few_methods_share_a_panel_and_many_have_one_a_kind() -> None:
    few = style.plan(["a", "b"], KNOWN[:8])
    assert few.kinds is None
    assert [panel.title for panel in few.panels] == ["a", "b"]
    many = style.plan(["a", "b"], KNOWN)
    assert (many.rows, many.columns) == (2, len(style.GROUPS))
    assert sorted(m for panel in many.panels[: many.columns] for m in panel.methods) == sorted(KNOWN)
    assert max(len(panel.methods) for panel in many.panels) <= 6


def test_every_known_method_has_a_kind_and_unknown_ones_stand_last_in_handfuls() -> None:
    assert sorted(m for members in style.GROUPS.values() for m in members) == sorted(KNOWN)
    spread = style.kinds([*(f"mine_{i}" for i in range(8)), "tpe", "fds"])
    assert list(spread) == ["hypergradients", "model-based", "others 1", "others 2"]
    assert [len(members) for members in spread.values()] == [1, 1, 6, 2]


def test_an_unknown_method_never_looks_like_a_known_one() -> None:
    known = {(k.marker, k.dash) for k in style._KNOWN.values()}
    assert not known & {(k.marker, k.dash) for k in map(style.look, (f"method_{i}" for i in range(200)))}


def test_a_method_looks_the_same_whoever_else_is_there() -> None:
    alone = style.method_handles(["tpe"], style._PAGES["paper"])[0]
    beside = style.method_handles([*KNOWN, "tpe", "mine"], style._PAGES["paper"])[-2]
    assert isinstance(alone, Line2D)
    assert isinstance(beside, Line2D)
    assert (alone.get_color(), alone.get_marker()) == (beside.get_color(), beside.get_marker())
