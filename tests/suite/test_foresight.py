"""What a run would stumble over is said before it: models that do not fit, budgets that end no training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hpobench_fds.cli import app
from hpobench_fds.errors import InputError
from hpobench_fds.suite.config import Suite
from hpobench_fds.suite.foresight import foresee

MODELS = """
from torch import nn

from torch.nn.functional import dropout

def build(shape, classes, out=0):
    flat = shape[0] * shape[1] * shape[2]
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(flat, classes - out))

class Drops(nn.Linear):
    def forward(self, x):
        return dropout(super().forward(x.flatten(1)))

def drops(shape, classes):
    return Drops(shape[0] * shape[1] * shape[2], classes)

def narrow(shape, classes):
    return build(shape, classes, out=3)
"""


def suite(folder: Path | None = None, **changes: Any) -> Suite:
    problem = {"dataset": "digits", "horizon": 60, "space": {"lr": {"low": 0.0, "high": 1.0}}}
    data = {"name": "s", "seeds": [0], "budget": {"steps": 600}, "methods": {"fds": {}, "hyperband": {}}}
    for key in ("budget", "methods"):
        data[key] = changes.pop(key, data[key])
    if "epochs" in changes:
        del problem["horizon"]
    data["problems"] = {"p": {**problem, **changes}}
    return Suite.from_dict(data, base=folder)


def test_nothing_is_said_of_a_sound_suite(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODELS)
    assert foresee(suite(tmp_path, model="net.py:build")) == []


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("net.py:drops", "the model is random in evaluation as well"),
        ("net.py:narrow", r"it gives \(7,\) outputs for 10 classes"),
        ("lenet", "lenet takes images of 28 or 32 pixels, not 8"),
    ],
)
def test_a_model_that_does_not_fit_its_data_set_is_refused_before_the_data_are_read(
    tmp_path: Path, model: str, said: str
) -> None:
    (tmp_path / "net.py").write_text(MODELS)
    with pytest.raises(InputError, match=f"^suite: problems.p: model: .*{said}"):
        foresee(suite(tmp_path, model=model))


@pytest.mark.parametrize("option", ["crop_padding", "cutout"])
def test_an_augmentation_larger_than_the_images_is_refused_before_the_data_are_read(option: str) -> None:
    assert foresee(suite(augmentation={option: 8})) == []
    said = rf"^suite: problems\.p\.augmentation: {option}: 9 for images of 8x8 pixels"
    with pytest.raises(InputError, match=said):
        foresee(suite(augmentation={option: 9}))


@pytest.mark.parametrize("function", ["nothing", "MODELS"])
def test_a_model_s_function_that_is_not_there_is_refused_when_the_suite_is_read(
    tmp_path: Path, function: str
) -> None:
    (tmp_path / "net.py").write_text(MODELS)
    with pytest.raises(InputError, match=r"^suite: problems\.p\.model: unknown function in .*net\.py"):
        suite(tmp_path, model=f"net.py:{function}")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budget": {"steps": 59}}, "the budget of 59 inner steps is less than the horizon of 60"),
        ({"budget": {"gradient_equivalents": 59.5}}, "59.5 gradients is less than the horizon of 60"),
        ({"budget": {"epochs": 1.5}, "epochs": 2.0}, "1.5 epochs is less than the 2 of a"),
        ({"budget": {"steps": 60}}, None),
        ({"budget": {"gradient_equivalents": 60}}, None),
        ({"budget": {"epochs": 2.0}, "epochs": 2.0}, None),
        ({"budget": {"seconds": 0.001}}, None),  # nobody knows before
        ({"budget": {"steps": 1}, "methods": {"hyperband": {}, "pbt": {}}}, None),  # they end shorter ones
    ],
)
def test_a_budget_in_which_no_training_can_end_is_told(changes: dict[str, Any], said: str | None) -> None:
    lines = foresee(suite(**changes))
    if said is None:
        assert lines == []
        return
    (line,) = lines
    assert line.startswith("suite: problems.p: the budget of")
    assert said in line
    assert line.endswith("no training of fds can end; hyperband may end shorter ones")


@pytest.mark.parametrize("command", [["validate"], ["run", "--dry-run"]], ids=["validate", "dry run"])
def test_the_command_line_warns_and_goes_on(tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        'name = "s"\nseeds = [0]\nbudget.steps = 30\nmethods.fds = {}\n'
        '[problems.p]\ndataset = "digits"\nhorizon = 60\n'
    )
    result = CliRunner().invoke(app, [*command, str(path)])
    assert result.exit_code == 0
    warnings = [line for line in result.output.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert re.search(
        r"problems\.p: .*30 inner steps .* horizon of 60: no training of fds can end", warnings[0]
    )
