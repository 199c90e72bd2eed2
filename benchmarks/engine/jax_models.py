"""The built-in models as JAX functions, and our weights as their parameters.

Images have channels last, kernels are [height, width, in, out], the layout that XLA's convolutions on a CPU
want; linear weights stay [out, in], so that k tangents of one lie together as one tall matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

Array = Any  # jax.Array, or what traces one
Apply = Callable[[Sequence[Array], Array], Array]  # parameters, x [B, ...] -> logits [B, classes]

EPS = 1e-5  # of batch norm


def _linear(p: Iterator[Array], x: Array) -> Array:
    weight, bias = next(p), next(p)
    return x @ weight.T + bias


def _conv(p: Iterator[Array], x: Array, stride: int = 1, padding: int = 0) -> Array:
    around = [(padding, padding)] * 2
    return lax.conv_general_dilated(
        x, next(p), (stride, stride), around, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _pool(x: Array) -> Array:
    """Maximum over windows of 2 x 2 pixels; its derivative is many times faster than reduce_window's."""
    columns = jnp.maximum(x[:, 0::2], x[:, 1::2])
    return jnp.maximum(columns[:, :, 0::2], columns[:, :, 1::2])


def _norm(p: Iterator[Array], x: Array) -> Array:
    weight, bias = next(p), next(p)
    mean = x.mean((0, 1, 2))
    variance = jnp.square(x - mean).mean((0, 1, 2))
    return (x - mean) * (weight * lax.rsqrt(variance + EPS)) + bias


def _mlp(parameters: Sequence[Array], x: Array) -> Array:
    p = iter(parameters)
    return _linear(p, jax.nn.relu(_linear(p, x.reshape(len(x), -1))))


def _lenet(parameters: Sequence[Array], x: Array) -> Array:
    p = iter(parameters)
    for _ in range(2):
        x = jax.nn.relu(_pool(_conv(p, x) + next(p)))
    x = x.reshape(len(x), -1)
    for _ in range(2):
        x = jax.nn.relu(_linear(p, x))
    return _linear(p, x)


def _block(p: Iterator[Array], x: Array, stride: int, widens: bool) -> Array:
    a = jax.nn.relu(_norm(p, x))
    out = _conv(p, a, stride, 1)
    out = _conv(p, jax.nn.relu(_norm(p, out)), 1, 1)
    return out + (_conv(p, a, stride) if widens else x)


def _wide_resnet(depth: int, widen: int) -> Apply:
    def apply(parameters: Sequence[Array], x: Array) -> Array:
        p, width = iter(parameters), 16
        x = _conv(p, x, 1, 1)
        for group in range(3):
            for index in range((depth - 4) // 6):
                wider = 16 * widen << group
                stride = 2 if group and not index else 1
                x, width = _block(p, x, stride, wider != width or stride > 1), wider
        return _linear(p, jax.nn.relu(_norm(p, x)).mean((1, 2)))

    return apply


APPLIES: dict[str, Apply] = {"mlp": _mlp, "lenet": _lenet, "wrn-16-1": _wide_resnet(16, 1)}


def parameters_of(model: str, w: NDArray[Any], shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Our flat weights [P] as the parameters of ``APPLIES[model]``."""
    out, at = [], 0
    pixels = None  # channels that a convolution left, until a linear layer has seen them
    for shape in shapes:
        part = w[at : at + int(np.prod(shape))].reshape(shape)
        at += part.size
        if len(shape) == 4:
            part, pixels = part.transpose(2, 3, 1, 0), shape[0]
        elif len(shape) == 2 and pixels is not None:  # flattened with channels last here, first in ours
            side = int((shape[1] // pixels) ** 0.5)
            part = part.reshape(shape[0], pixels, side, side).transpose(0, 2, 3, 1).reshape(shape)
            pixels = None
        out.append(jnp.asarray(np.ascontiguousarray(part)))
    return out
