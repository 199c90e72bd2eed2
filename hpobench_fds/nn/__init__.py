"""Models as functions of one flat parameter vector, with their gradients and Hessian-vector products.

Knows nothing of data sets, schedules or training.
"""

from hpobench_fds.nn.layers import (
    GELU,
    BatchNorm2d,
    CausalAttention,
    Conv1d,
    Conv2d,
    ConvPool2,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    Linear,
    MaxPool2,
    Parameter,
    PerToken,
    ReLU,
    Residual,
    Sequential,
    Shape,
    SiLU,
)

__all__ = [
    "GELU",
    "BatchNorm2d",
    "CausalAttention",
    "Conv1d",
    "Conv2d",
    "ConvPool2",
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
