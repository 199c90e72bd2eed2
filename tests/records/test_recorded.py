"""The committed results: sound, and every committed figure's numbers follow from the committed records."""

from __future__ import annotations

from pathlib import Path

import pytest
from hpobench_fds.analysis import loading
from hpobench_fds.analysis.figures import draw_frames

from hpobench_fds.records.verify import verify

RECORDED = Path(__file__).parents[2] / "results" / "recorded"
FOLDERS = sorted(path.parent for path in RECORDED.glob("*/suite.json"))


def test_there_are_some() -> None:
    assert {"digits", "digits_all"} <= {folder.name for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_records_are_sound(folder: Path) -> None:
    assert [str(finding) for finding in verify(folder).findings if finding.level == "error"] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_figures_are_those_of_the_records(folder: Path, tmp_path: Path) -> None:
    committed = sorted((folder / "figures").glob("*.csv"))
    assert committed
    loaded = loading.load(folder)
    names = [path.stem for path in committed]
    draw_frames(loaded.reports, loaded.runs, tmp_path, only=names, formats=())
    for path in committed:
        assert (tmp_path / path.name).read_text() == path.read_text(), path
