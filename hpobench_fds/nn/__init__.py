"""Models as functions of one flat parameter vector, with their gradients and Hessian-vector products.

Knows nothing of data sets, schedules or training.
"""

from hpobench_fds.nn.layers import (
    BatchNorm2d,
    Conv1d,
    Conv2d,
    ConvPool2,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    Linear,
    MaxPool2,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    Shape,
    SiLU,
)

__all__ = [
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "ConvPool2",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "Layer",
    "LayerNorm",
    "Linear",
    "MaxPool2",
    "Parameter",
    "ReLU",
    "Residual",
    "Sequential",
    "Shape",
    "SiLU",
]
