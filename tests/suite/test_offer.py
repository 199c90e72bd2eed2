"""What a suite can name is listed as it is: by the command's tables, and by the guide."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpobench_fds.data.catalogue import Listed, listed
from hpobench_fds.nn.losses import NextToken
from hpobench_fds.nn.zoo import MODELS, build_network
from hpobench_fds.suite.offer import models_for

GUIDE = Path(__file__).parents[2] / "docs" / "suites.md"


def one(name: str, shape: tuple[int, ...], classes: int) -> Listed:
    return Listed(name, shape, classes, (8, 2), True, "nothing", "tokens" if name == "text" else "classes")


def test_a_model_is_listed_with_the_data_sets_that_it_takes_and_its_size_on_each() -> None:
    data = [
        one("small", (1, 28, 28), 10),
        one("large", (3, 32, 32), 7),
        one("table", (5,), 3),
        one("text", (9,), 4),
    ]
    found = {model.name: model.parameters for model in models_for(data)}
    assert set(found) == set(MODELS)
    assert found["lenet"] == {
        "small": build_network("lenet", (1, 28, 28), 10).size,
        "large": build_network("lenet", (3, 32, 32), 7).size,
    }
    assert list(found["gpt-nano"]) == ["text"]
    assert "text" not in found["tab-mlp"]
    assert found["mlp"]["table"] == 5 * 64 + 64 + 64 * 3 + 3


@pytest.mark.parametrize("data", listed(), ids=lambda data: data.name)
def test_every_data_set_has_a_model(data: Listed) -> None:
    assert any(data.name in model.parameters for model in models_for([data]))


def test_the_guide_states_the_size_of_each_model() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| .* \| ([\d,]+) of ([\d x]+)[ a-z]*\|$", GUIDE.read_text(), re.M)
    stated = {name: (int(size.replace(",", "")), shape.split(" x ")) for name, size, shape in rows}
    assert stated.keys() == MODELS.keys()
    for name, (size, shape) in stated.items():
        of_text = (83, None, 83, NextToken()) if name == "gpt-nano" else (10,)
        assert build_network(name, tuple(map(int, shape)), *of_text).size == size  # type: ignore[arg-type]


def test_the_guide_states_what_each_data_set_is() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| ([\d x]+) \| (\d+) \| ([\d,]+|no end) \+ ([\d,]+) \|", GUIDE.read_text(), re.M
    )
    stated = {
        name: (tuple(map(int, shape.split(" x "))), int(classes), *sizes)
        for name, shape, classes, *sizes in rows
    }
    assert stated == {
        data.name: (data.shape, data.classes, "no end" if data.endless else f"{train:,}", f"{test:,}")
        for data in listed()
        for train, test in [data.sizes]
    }
