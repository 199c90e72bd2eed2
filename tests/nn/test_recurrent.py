"""Recurrent layers by plain products are torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hpobench_fds.nn.recurrent import by_plain_products

KINDS = [nn.LSTM, nn.GRU, nn.RNN]
SHAPES = {
    "one": {},
    "deep, both ways": {"num_layers": 3, "bidirectional": True},
    "no bias": {"bias": False, "bidirectional": True},
    "batch first": {"batch_first": True, "num_layers": 2},
}


def layer_of(kind: type[nn.RNNBase], **options: object) -> nn.RNNBase:
    torch.manual_seed(0)
    return kind(4, 3, dtype=torch.float64, **options)  # type: ignore[arg-type]


def begun(layer: nn.RNNBase, *batch: int) -> Tensor | tuple[Tensor, Tensor]:
    """A state to start from: [layers, *batch, H]; an LSTM's with its cell."""
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    hidden = torch.randn(rows, *batch, layer.proj_size or 3, dtype=torch.float64)
    return (hidden, torch.randn(rows, *batch, 3, dtype=torch.float64)) if layer.mode == "LSTM" else hidden


def assert_the_same(layer: nn.RNNBase, *inputs: object) -> None:
    """Outputs and last state, by torch's kernels and by plain products."""
    outputs, last = layer(*inputs)
    with by_plain_products([layer]):
        found, found_last = layer(*inputs)
    assert found is not outputs
    torch.testing.assert_close(found, outputs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found_last, last, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("given", [False, True], ids=["from zeros", "from a state"])
@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_the_last_state_are_torch_s(
    kind: type[nn.RNNBase], options: dict[str, object], given: bool
) -> None:
    layer = layer_of(kind, **options)
    x = torch.randn(5, 6, 4, dtype=torch.float64)
    state = begun(layer, 5 if layer.batch_first else 6)
    assert_the_same(layer, x, *((state,) if given else ()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_without_a_batch_is_read_as_well(kind: type[nn.RNNBase]) -> None:
    layer = layer_of(kind, batch_first=True)
    x = torch.randn(7, 4, dtype=torch.float64)
    assert_the_same(layer, x)
    assert_the_same(layer, x, begun(layer))


def test_a_projection_and_another_nonlinearity_are_torch_s() -> None:
    x = torch.randn(5, 6, 4, dtype=torch.float64)
    projected = layer_of(nn.LSTM, proj_size=2, bidirectional=True, num_layers=2)
    assert_the_same(projected, x)
    assert_the_same(projected, x, begun(projected, 6))
    assert_the_same(layer_of(nn.RNN, nonlinearity="relu"), x)


def test_outside_of_it_a_layer_runs_as_torch_has_it_even_after_an_error() -> None:
    layer = layer_of(nn.LSTM)
    with pytest.raises(NotImplementedError, match="packed"), by_plain_products([layer]):
        layer(nn.utils.rnn.pack_sequence([torch.zeros(3, 4, dtype=torch.float64)]))
    assert "forward" not in vars(layer)
