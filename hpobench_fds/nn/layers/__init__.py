"""Layer kinds with hand-written gradient and tangent rules: no autograd in the inner loop.

Each layer knows four passes. ``forward`` and ``backward`` make a gradient and leave on the tape what
they saw (input x, output gradient g). ``tangent`` and ``tangent_backward`` push k directions through
the same tape: the derivative of the gradient along k parameter tangents, i.e. k Hessian-vector
products that share one primal pass.

Layout: x [B, ...]; k tangents of it [B, k, ...]. With parameter tangents stored [k, *shape], the k
products with a primal input are one GEMM or convolution with k times the output channels, and the k
products with a primal weight one with k times the batch; both without a copy. Images with channels last
meet one tangent at a time, k = 1, laid out as they are (``lines``).

A tangent of None is zero (the input data's). No layer overwrites what it is given, since branches
share it, but where its neighbour on the tape made it for nobody else (``own``).
"""

from hpobench_fds.nn.layers.attention import CausalAttention
from hpobench_fds.nn.layers.base import Layer, Parameter, Shape
from hpobench_fds.nn.layers.containers import Residual, Sequential
from hpobench_fds.nn.layers.convolutions import Conv1d, Conv2d, Convolution, ConvPool2, MaxPool2
from hpobench_fds.nn.layers.dropout import Dropout
from hpobench_fds.nn.layers.elementary import GELU, Flatten, GlobalAvgPool, Linear, ReLU, SiLU
from hpobench_fds.nn.layers.layer_norm import LayerNorm
from hpobench_fds.nn.layers.normalisation import BatchNorm2d
from hpobench_fds.nn.layers.tokens import Embedding, PerToken

__all__ = [
    "GELU",
    "BatchNorm2d",
    "CausalAttention",
    "Conv1d",
    "Conv2d",
    "ConvPool2",
    "Convolution",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAvgPool",
    "Layer",
    "LayerNorm",
    "Linear",
    "MaxPool2",
    "Parameter",
    "PerToken",
    "ReLU",
    "Residual",
    "Sequential",
    "Shape",
    "SiLU",
]
