"""The committed results: sound, and every committed figure's numbers follow from the committed records."""

from __future__ import annotations

from pathlib import Path

import pytest
from hpobench_fds.analysis import loading
from hpobench_fds.analysis.figures import draw_frames
from hpobench_fds.analysis.stats.verdict_table import verdict_table

from hpobench_fds.records.verify import verify

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "results" / "recorded"
REFERENCES = {"long_horizon": "reverse_sharing"}  # of the others FDS
FOLDERS = sorted(path.parent for path in RECORDED.glob("*/suite.json"))


def test_there_are_some() -> None:
    assert {"digits", "core"} <= {folder.name for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_records_are_sound(folder: Path) -> None:
    assert [str(finding) for finding in verify(folder).findings if finding.level == "error"] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_figures_are_those_of_the_records(folder: Path, tmp_path: Path) -> None:
    committed = sorted((folder / "figures").glob("*.csv"))
    assert committed
    loaded = loading.load(folder)
    names = [path.stem for path in committed]
    reference = REFERENCES.get(folder.name, "fds")
    draw_frames(loaded.reports, loaded.runs, tmp_path, only=names, formats=(), reference=reference)
    for path in committed:
        assert (tmp_path / path.name).read_text() == path.read_text(), path


def test_the_readmes_table_is_that_of_the_records() -> None:
    """Accuracy with its interval, seconds to the headline target, in the table's order."""
    loaded = loading.load(RECORDED / "digits")
    table = verdict_table(loaded.reports, loaded.runs, retrained=loaded.retrained)
    assert set(table["complete"]) == {10}
    lines = (ROOT / "README.md").read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("| method | searches |"))
    assert f"seconds to {100 * table['target'].iloc[0]:.1f} %" in lines[at]
    written = [tuple(cell.strip() for cell in line.split("|")[3:5]) for line in lines[at + 2 : at + 6]]
    columns = [100 * table[f"accuracy{end}"] for end in ("", "_low", "_high")]
    assert written == [
        (f"{middle:.1f} % ({low:.1f} to {high:.1f})", f"{seconds:.1f}")
        for middle, low, high, seconds in zip(*columns, table["seconds_to_target"], strict=True)
    ]
    assert lines[at + 6] == ""
    told = table.set_index("method")["tie"]
    assert told.loc[["cosine", "fds"]].all()  # no difference between the first three
