"""torch's recurrent layers by plain products, which can be differentiated as often as one likes.

The kernels of cuDNN, of oneDNN and the fused cells have no derivative of their derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = tuple[Tensor, ...]  # of one layer and direction: hidden [B, H], and an LSTM's cell [B, C]
Cell = Callable[[Tensor, Tensor, State], State]  # gates of the input, gates of the state, state -> state


@contextmanager
def by_plain_products(layers: Sequence[nn.RNNBase]) -> Iterator[None]:
    """Within it, these layers run step by step."""
    for layer in layers:
        layer.forward = partial(_run, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # what the class says


def _run(layer: nn.RNNBase, x: Tensor, state: Tensor | State | None = None) -> tuple[Tensor, Tensor | State]:
    """What the layer's own forward gives for x [B, T, I], [T, B, I] or [T, I]: outputs, and last state."""
    if not isinstance(x, Tensor):
        raise NotImplementedError("packed sequences (use padded ones)")
    single, lstm = x.dim() == 2, isinstance(layer, nn.LSTM)
    start: State = (state,) if isinstance(state, Tensor) else state or ()
    if single:
        x, start = x.unsqueeze(1), tuple(part.unsqueeze(1) for part in start)
    elif layer.batch_first:
        x = x.transpose(0, 1)
    if not start:
        rows, hidden = layer.num_layers * (1 + layer.bidirectional), layer.proj_size or layer.hidden_size
        sizes = [hidden, layer.hidden_size] if lstm else [hidden]
        start = tuple(x.new_zeros(rows, x.shape[1], size) for size in sizes)
    ends: list[State] = []
    for depth in range(layer.num_layers):
        outputs = []
        for turned in range(1 + layer.bidirectional):
            begin = tuple(part[len(ends)] for part in start)
            out, end = _direction(layer, f"_l{depth}{'_reverse' * turned}", x, begin, bool(turned))
            outputs.append(out)
            ends.append(end)
        x = torch.cat(outputs, -1)
        if layer.dropout and depth + 1 < layer.num_layers:
            x = F.dropout(x, layer.dropout, layer.training)
    last = tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
    if single:
        x, last = x.squeeze(1), tuple(part.squeeze(1) for part in last)
    elif layer.batch_first:
        x = x.transpose(0, 1)
    return x, last if lstm else last[0]


def _direction(layer: nn.RNNBase, suffix: str, x: Tensor, state: State, turned: bool) -> tuple[Tensor, State]:
    """Outputs [T, B, H] and the last state of one layer in one direction."""
    of_input, of_state = (
        (getattr(layer, f"weight_{name}{suffix}"), getattr(layer, f"bias_{name}{suffix}", None))
        for name in ("ih", "hh")
    )
    shrink = getattr(layer, f"weight_hr{suffix}", None)  # an LSTM's projection
    gates, cell, outputs = F.linear(x, *of_input).unbind(), _CELLS[layer.mode], []
    for gate in reversed(gates) if turned else gates:
        state = cell(gate, F.linear(state[0], *of_state), state)
        if shrink is not None:
            state = (F.linear(state[0], shrink), *state[1:])
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if turned else outputs), state


def _lstm(gate: Tensor, back: Tensor, state: State) -> State:
    enter, forget, new, leave = (gate + back).chunk(4, -1)
    cell = forget.sigmoid() * state[1] + enter.sigmoid() * new.tanh()
    return leave.sigmoid() * cell.tanh(), cell


def _gru(gate: Tensor, back: Tensor, state: State) -> State:
    (reset, keep, new), (reset_back, keep_back, new_back) = gate.chunk(3, -1), back.chunk(3, -1)
    proposed = (new + (reset + reset_back).sigmoid() * new_back).tanh()
    return (proposed + (keep + keep_back).sigmoid() * (state[0] - proposed),)


def _tanh(gate: Tensor, back: Tensor, state: State) -> State:
    return ((gate + back).tanh(),)


def _relu(gate: Tensor, back: Tensor, state: State) -> State:
    return ((gate + back).relu(),)


_CELLS: dict[str, Cell] = {"LSTM": _lstm, "GRU": _gru, "RNN_TANH": _tanh, "RNN_RELU": _relu}
