"""gpt-nano by AdamW: hypergradients of lr, both betas, eps and weight decay in windows are autograd's."""

from __future__ import annotations

import pytest
import torch
from oracles import autograd_hypergradient, relative_error, some_schedule, tiny_trainer

from hpobench_fds.data.dataset import Dataset
from hpobench_fds.hypergradient.forward import ForwardMode
from hpobench_fds.hypergradient.interface import Mode
from hpobench_fds.hypergradient.reverse import ReverseMode


def tokens() -> Dataset:
    """Half of them can be told from the one before."""
    text = torch.randint(7, (40, 6), generator=torch.Generator().manual_seed(0))
    text[:, 1::2] = (text[:, ::2] + 1) % 7
    x, y = text[:, :-1].contiguous(), text[:, 1:].contiguous()
    return Dataset("tokens", x, y, x[:10], y[:10], 7)


@pytest.mark.parametrize(
    "mode",
    [ForwardMode(), ReverseMode(), ReverseMode(full=True)],
    ids=["forward", "reverse", "reverse, full"],
)
@pytest.mark.parametrize("optimiser", ["adam", "adamw"])
def test_its_hypergradient_is_autograd_through_the_unrolled_training(mode: Mode, optimiser: str) -> None:
    trainer = tiny_trainer(
        "gpt-nano", windows=(2, 2, 2, 1, 2), horizon=5, batch_size=5, dataset=tokens(), optimiser=optimiser,
        loss="next_token",
    )  # fmt: skip
    schedule = some_schedule(trainer, lr=0.01)
    found = mode(trainer, schedule, 0).gradient
    assert found is not None
    assert relative_error(found, autograd_hypergradient(trainer, schedule)) < 1e-9
