"""Statistics and sums over images with channels last, which a CPU reads line by line.

A line of an image, W pixels of C channels, is W * C numbers in a row. Taken as so many channels, the
library's batch norm kernels run over whole vectors where C alone would leave them short, and each of
their running sums gathers H * B numbers in place of W * H * B, which loses fewer digits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Term = tuple[Tensor, Tensor]


def is_in_lines(x: Tensor) -> bool:
    """Whether x [B, C, H, W] lies with channels last."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over batch and pixels of x [B, C, H, W]: each [C]."""
    channels, width = x.shape[1], x.shape[3]
    means, variances = torch.batch_norm_update_stats(_as_channels(x), None, None, 0.0)
    means = means.view(width, channels)
    mean = means.mean(0)
    return mean, (variances.view(width, channels) + (means - mean).square_()).mean(0)


def sums(d: Tensor, x: Tensor, mean: Tensor, rstd: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over batch and pixels of d [B, C, H, W] and of d * (x - mean) * rstd: each [C]."""
    channels, width = x.shape[1], x.shape[3]
    _, products, totals = torch.ops.aten.native_batch_norm_backward(
        _as_channels(d), _as_channels(x), None, None, None, mean.repeat(width), rstd.repeat(width), True, 0.0,
        [False, True, True],
    )  # fmt: skip
    return totals.view(width, channels).sum(0), products.view(width, channels).sum(0)


def combine(out: Tensor, constant: Tensor, terms: Sequence[Term]) -> Tensor:
    """constant [C] + the sum of tensors [B, C, H, W] times factors [C], into ``out``."""
    width, target = out.shape[3], _as_rows(out)
    (first, factor), *others = terms
    torch.addcmul(constant.repeat(width), _as_rows(first), factor.repeat(width), out=target)
    for x, factor in others:
        target.addcmul_(_as_rows(x), factor.repeat(width))
    return out


def normalised(x: Tensor, mean: Tensor, rstd: Tensor) -> Tensor:
    """(x - mean) * rstd, in lines as x is."""
    out, width = torch.empty_like(x), x.shape[3]
    torch.sub(_as_rows(x), mean.repeat(width), out=_as_rows(out)).mul_(rstd.repeat(width))
    return out


def _as_channels(x: Tensor) -> Tensor:
    """x [B, C, H, W] as [B, W * C, H, 1]; a view."""
    batch, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(batch, height, width * channels).transpose(1, 2).unsqueeze(3)


def _as_rows(x: Tensor) -> Tensor:
    """x [B, C, H, W] as [B * H, W * C]; a view."""
    batch, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(batch * height, width * channels)
