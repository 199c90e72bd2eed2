"""How far a hypergradient may be trusted: it is a product of as many matrices as the training has steps.

Where these stretch, the rounding of one step is stretched too, and what comes out is the derivative of a
training beside the one that was meant. What growth means was measured: an mlp and LeNet on Fashion-MNIST, at
a learning rate of 0.1 and momentum of 0.9, in float32 against float64 on the same data and start, with 12
hyperparameters. ReLU's kinks let rounding in long before it has grown to the size of the weights::

    model, T                growth, tangents / adjoints   relative error   signs alike
    mlp, 100                2.1 / 5.0                     1e-5             12 of 12
    mlp, 300                4.7 / 35                      0.28             11 of 12
    mlp, 1000               61 / 530                      0.69             8 of 12
    mlp, 2000               14,000 / -                    0.99             4 of 12
    LeNet, 100              1,800 / 7,400                 0.96             9 of 12
    mlp, 1000, lr 0.05      1.3 / 1.3                     7e-6             12 of 12

Growth is a warning, no proof: where it comes and goes within a training, hypergradients were right at 2,000
as well. What tells is a second one, of a training that starts a rounding away. Forward and reverse mode
differentiate the same rounded path: that they agree says nothing of truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpobench_fds.soundness import ILL, noise

Soundness = Literal["ok", "ill conditioned", "overflow"]


@dataclass(frozen=True)
class Conditioning:
    """What is known of a hypergradient's worth.

    Attributes
    ----------
    soundness : "ok"; "ill conditioned" from a growth of ``soundness.ILL`` on, or, where it was held against
        another one, for a cosine below ``soundness.AGREES`` or fewer equal signs than ``soundness.ALIKE``;
        "overflow" if a tangent or an adjoint is not finite: then there is no hypergradient, whatever became
        of the training.
    growth : by what a difference between two trainings grows on its way: the largest, over tangents, of the
        norm at the end over that when its window closed; backward, of the adjoint's norm over that at the
        end. None where nothing could be compared, as for one window.
    rate : its logarithm for each inner step between, an estimate of the largest Lyapunov exponent.
    norm : Euclidean, of the hypergradient.
    signs, cosine : share of equal signs, and cosine, with the hypergradient of a training that starts a
        rounding away; None unless it was asked for.
    """

    soundness: Soundness = "ok"
    growth: float | None = None
    rate: float | None = None
    norm: float | None = None
    signs: float | None = None
    cosine: float | None = None

    def held_against(self, one: NDArray[np.float64], other: NDArray[np.float64] | None) -> Conditioning:
        """The same, with how far the hypergradient [n] agrees with one of a rounding away; that decides.

        None, of a training that has no hypergradient a rounding away, agrees with nothing.
        """
        if other is None:
            return replace(self, soundness="ill conditioned")
        signs, cosine = agreement(one, other)
        soundness: Soundness = "ill conditioned" if noise(signs, cosine) else "ok"
        return replace(self, soundness=soundness, signs=signs, cosine=cosine)

    def as_dict(self) -> dict[str, Any]:
        """What is known, for a record."""
        return {name: value for name, value in asdict(self).items() if value is not None}


UNKNOWN = Conditioning()


def from_growth(
    growth: float | None, steps: int, gradient: NDArray[np.float64] | None, single: bool = True
) -> Conditioning:
    """Of a hypergradient whose differences grew by ``growth`` in ``steps``; ``single`` precision or double.

    In double precision rounding enters 2^29 times smaller, and the bound is as much higher.
    """
    if gradient is None:
        return Conditioning("overflow", growth if growth is None or math.isfinite(growth) else None)
    norm = float(np.linalg.norm(gradient))
    if growth is None or not math.isfinite(growth) or growth <= 0:
        return Conditioning("ok" if growth is None else "ill conditioned", norm=norm)
    bound = ILL if single else ILL * 2.0**29
    rate = math.log(growth) / steps if steps else None
    return Conditioning("ill conditioned" if growth >= bound else "ok", growth, rate, norm)


def read_norms(noted: Sequence[tuple[int, Tensor]]) -> list[tuple[int, NDArray[np.float64]]]:
    """Steps with norms noted at them, from the device in one read."""
    if not noted:
        return []
    sizes = np.cumsum([len(norms) for _, norms in noted])
    values: NDArray[np.float64] = torch.cat([norms for _, norms in noted]).double().cpu().numpy()
    return list(zip((step for step, _ in noted), np.split(values, sizes[:-1]), strict=True))


def grown(
    norms: Sequence[tuple[int, NDArray[np.float64]]], closed: Sequence[int]
) -> tuple[float | None, int]:
    """The largest growth of any tangent since its window closed, and over how many steps.

    norms : steps, ascending, and the norms [k] of the tangents that there are then.
    closed : [n], the step at which each tangent's window is over: from then on nothing is added to it.
    """
    best, over = None, 0
    for row, step in enumerate(closed):
        seen = [(at, float(found[row])) for at, found in norms if at >= step and row < len(found)]
        if len(seen) < 2 or not seen[0][1] > 0:
            continue
        (begin, first), (end, last) = seen[0], seen[-1]
        if best is None or last / first > best:
            best, over = last / first, end - begin
    return best, over


def grown_backward(norms: Sequence[tuple[int, NDArray[np.float64]]]) -> tuple[float | None, int]:
    """The largest growth of an adjoint against that at the end, and over how many steps.

    norms : steps, descending, and norms [1] of the adjoint at them.
    """
    if len(norms) < 2 or not norms[0][1][0] > 0:
        return None, 0
    (end, first), *others = norms
    step, most = max(others, key=lambda pair: float(np.nan_to_num(pair[1][0], nan=np.inf)))
    return float(most[0] / first[0]), end - step


def agreement(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """Share of equal signs, and cosine, of two hypergradients [n]; a cosine with nothing is 0."""
    norms = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    cosine = float(one @ other) / norms if norms > 0 and math.isfinite(norms) else 0.0
    return float(np.mean(np.sign(one) == np.sign(other))), cosine
