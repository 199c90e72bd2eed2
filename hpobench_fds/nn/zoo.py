"""Models by name, built-in or from a user's file, as networks that have been tried on a batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

from hpobench_fds.errors import InputError
from hpobench_fds.nn.layers import (
    GELU,
    BatchNorm2d,
    CausalAttention,
    Conv1d,
    Conv2d,
    ConvPool2,
    Embedding,
    Flatten,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    Linear,
    PerToken,
    ReLU,
    Residual,
    Sequential,
    Shape,
    SiLU,
)
from hpobench_fds.nn.losses import CrossEntropy, Loss
from hpobench_fds.nn.module_network import ModuleNetwork, naming_layers
from hpobench_fds.nn.network import LayeredNetwork, Network
from hpobench_fds.python_file import find_file, import_file
from hpobench_fds.typed import unknown


def _linear(shape: Shape, classes: int) -> Sequential:
    """No hidden layer, and no bias: inputs have mean 0."""
    linear = Linear(math.prod(shape), classes, "output", bias=False)
    return Sequential(linear) if len(shape) == 1 else Sequential(Flatten(), linear)


def _mlp(shape: Shape, classes: int) -> Sequential:
    return Sequential(
        Flatten(), Linear(math.prod(shape), 64, "hidden"), ReLU(), Linear(64, classes, "output")
    )


def _image(shape: Shape, name: str) -> tuple[int, int, int]:
    """Channels, height and width. Raises InputError for examples that are no images."""
    if len(shape) != 3:
        raise InputError(f"{name} takes images [C, H, W], not examples of shape {shape}", key="model")
    return shape[0], shape[1], shape[2]


def _lenet(shape: Shape, classes: int) -> Sequential:
    """LeNet for 28 or 32 pixels, as the paper uses it; pooling before relu, which commute."""
    channels, side, width = _image(shape, "lenet")
    if (side, width) not in ((28, 28), (32, 32)):
        raise InputError(f"lenet takes images of 28 or 32 pixels, not {side}", key="model")
    flat = 16 * ((side - 4) // 2 - 4) ** 2 // 4
    return Sequential(
        ConvPool2(Conv2d(channels, 6, 5, name="conv1")), ReLU(),
        ConvPool2(Conv2d(6, 16, 5, name="conv2")), ReLU(),
        Flatten(), Linear(flat, 120, "fc1"), ReLU(), Linear(120, 84, "fc2"), ReLU(),
        Linear(84, classes, "fc3"),
    )  # fmt: skip


def _block(inputs: int, outputs: int, stride: int, name: str) -> Residual:
    """Pre-activation block; where the width changes, shortcut and body share the first activation."""
    first = [BatchNorm2d(inputs, f"{name}.norm1"), ReLU()]
    convs = [
        Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False, name=f"{name}.conv1"),
        BatchNorm2d(outputs, f"{name}.norm2"),
        ReLU(),
        Conv2d(outputs, outputs, 3, padding=1, bias=False, name=f"{name}.conv2"),
    ]
    if inputs == outputs and stride == 1:
        return Residual(Sequential(*first, *convs))
    shortcut = Conv2d(inputs, outputs, 1, bias=False, name=f"{name}.shortcut")
    return Residual(Sequential(*convs), Sequential(shortcut), Sequential(*first), stride)


def _wide_resnet(depth: int, widen: int) -> Callable[[Shape, int], Sequential]:
    """Wide ResNet (Zagoruyko & Komodakis, BMVC 2016) of the given depth and widening factor."""

    def build(shape: Shape, classes: int) -> Sequential:
        channels, _, _ = _image(shape, f"wrn-{depth}-{widen}")
        widths = [16, 16 * widen, 32 * widen, 64 * widen]
        layers: list[Layer] = [Conv2d(channels, 16, 3, padding=1, bias=False, name="stem")]
        for group in range(3):
            for index in range((depth - 4) // 6):
                inputs = widths[group] if index == 0 else widths[group + 1]
                stride = 2 if group and index == 0 else 1
                layers.append(_block(inputs, widths[group + 1], stride, f"group{group + 1}.{index}"))
        layers += [
            BatchNorm2d(widths[3], "norm"),
            ReLU(),
            GlobalAvgPool(),
            Linear(widths[3], classes, "output"),
        ]
        return Sequential(*layers)

    return build


def _resnet_8(shape: Shape, classes: int) -> Sequential:
    """ResNet of depth 8 (He et al., CVPR 2016) for 28 or 32 pixels, widths 16, 32 and 64.

    As theirs for large images it halves them at once: a step then costs a quarter of wrn-10-1's. Where the
    width changes, the shortcut is a convolution of every second pixel.
    """
    channels, height, width = _image(shape, "resnet-8")
    if (height, width) not in ((28, 28), (32, 32)):
        raise InputError(f"resnet-8 takes images of 28 or 32 pixels, not {height}", key="model")
    layers: list[Layer] = [*_normed(channels, 16, 2, "stem"), ReLU()]
    for group, (inputs, outputs) in enumerate(((16, 16), (16, 32), (32, 64)), 1):
        stride, name = outputs // inputs, f"group{group}"
        first = _normed(inputs, outputs, stride, f"{name}.1")
        second = _normed(outputs, outputs, 1, f"{name}.2")
        beside = None
        if stride > 1:
            beside = Sequential(Conv2d(inputs, outputs, 1, bias=False, name=f"{name}.shortcut"))
        layers += [Residual(Sequential(*first, ReLU(), *second), beside, stride=stride), ReLU()]
    return Sequential(*layers, GlobalAvgPool(), Linear(64, classes, "output"))


def _normed(inputs: int, outputs: int, stride: int, name: str) -> list[Layer]:
    """A convolution by 3 x 3 pixels with its batch norm."""
    conv = Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False, name=f"{name}.conv")
    return [conv, BatchNorm2d(outputs, f"{name}.norm")]


def _conv1d(shape: Shape, classes: int) -> Sequential:
    """Three convolutions of a sequence [C, L], each to half its length, as mnist1d's authors have it.

    Greydanus & Kobak, ICML 2024.
    """
    if len(shape) != 2:
        raise InputError(f"conv1d takes sequences [C, L], not examples of shape {shape}", key="model")
    if shape[1] < 3:
        raise InputError(f"conv1d takes sequences of 3 and more, not {shape[1]}", key="model")
    body = Sequential(
        Conv1d(shape[0], 25, 5, stride=2, padding=1, name="conv1"), ReLU(),
        Conv1d(25, 25, 3, stride=2, padding=1, name="conv2"), ReLU(),
        Conv1d(25, 25, 3, stride=2, padding=1, name="conv3"), ReLU(),
        Flatten(),
    )  # fmt: skip
    return Sequential(*body.layers, Linear(math.prod(body.output(shape)), classes, "output"))


def _tab_mlp(shape: Shape, classes: int) -> Sequential:
    """Two hidden layers of 64 for rows of a table [F], with layer norm and a smooth activation."""
    if len(shape) != 1:
        raise InputError(f"tab-mlp takes rows [F], not examples of shape {shape}", key="model")
    return Sequential(
        Linear(shape[0], 64, "hidden1"), LayerNorm(64, "norm1"), SiLU(),
        Linear(64, 64, "hidden2"), LayerNorm(64, "norm2"), SiLU(),
        Linear(64, classes, "output"),
    )  # fmt: skip


def _gpt_nano(shape: Shape, tokens: int) -> Sequential:
    """Two blocks of causal attention over codes [L], width 64, four heads, norms first.

    Radford et al. 2019, small.
    """
    if len(shape) != 1:
        raise InputError(f"gpt-nano takes codes [L], not examples of shape {shape}", key="model")
    width, layers = 64, list[Layer]()
    for block in ("block1", "block2"):
        mixed = Sequential(
            PerToken(LayerNorm(width, f"{block}.norm1"), Linear(width, 3 * width, f"{block}.attention.in")),
            CausalAttention(4),
            PerToken(Linear(width, width, f"{block}.attention.out")),
        )
        each = PerToken(
            LayerNorm(width, f"{block}.norm2"), Linear(width, 4 * width, f"{block}.hidden"), GELU(),
            Linear(4 * width, width, f"{block}.output"),
        )  # fmt: skip
        layers += [Residual(mixed), Residual(Sequential(each))]
    head = PerToken(LayerNorm(width, "norm"), Linear(width, tokens, "output"))
    return Sequential(Embedding(tokens, shape[0], width), *layers, head)


Builder = Callable[[Shape, int], Sequential]

MODELS: dict[str, Builder] = {
    "linear": _linear,
    "mlp": _mlp,
    "lenet": _lenet,
    "wrn-10-1": _wide_resnet(10, 1),
    "wrn-16-1": _wide_resnet(16, 1),
    "wrn-40-2": _wide_resnet(40, 2),
    "resnet-8": _resnet_8,
    "conv1d": _conv1d,
    "tab-mlp": _tab_mlp,
    "gpt-nano": _gpt_nano,
}
"""Built-in models by name: (input shape, classes) -> layers."""


def find_model(
    name: str, *, base: Path | None = None, where: object = None, key: str = "model"
) -> Callable[[Shape, int], Any]:
    """What builds the model of that name, or of a user's file: ``my_model.py:build``.

    A relative path is looked up in ``base`` (the suite's folder), then in the working directory.

    Raises
    ------
    InputError : no such name, file or function; the file cannot be imported.
    """
    if ":" in name or name.endswith(".py"):
        return _from_file(name, base, where, key)
    if name not in MODELS:
        problem = unknown("model", name, MODELS)
        raise InputError(problem, where=where, key=key, allowed=[*MODELS, "FILE.py:FUNCTION"])
    return MODELS[name]


def build_network(
    name: str,
    shape: Shape,
    classes: int,
    base: Path | None = None,
    codes: int = 0,
    objective: Loss | None = None,
) -> Network:
    """A network by name, or from a user's file: ``my_model.py:build``, see ``find_model``.

    ``build(shape, classes)`` returns a Sequential of this package's layers, or any nn.Module. Inputs are
    [B, *shape], of numbers, or of int64 ``codes`` below that if it is not 0; ``classes`` outputs are what
    ``objective`` asks for, cross-entropy if it is not given.
    Raises InputError for an unknown name, a file that does not load, a model that does not fit.
    """
    builder = find_model(name, base=base)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # a module draws from the global generator: the same in every process
            built = builder(shape, classes)
        network = _network_of(built, shape, classes)
        network.objective = objective or CrossEntropy()
        _try(network, shape, classes, codes)
    except InputError:
        raise
    except Exception as error:
        kind = f"codes {shape} below {codes}" if codes else f"inputs {shape}"
        raise InputError(f"{name!r} does not fit {kind}: {error}", key="model") from error
    return network


def _try(network: Network, shape: Shape, classes: int, codes: int) -> None:
    """One small batch, so that what does not fit or is random shows before any training."""
    generator = torch.Generator().manual_seed(0)
    w, x = network.initial(generator), torch.randn(4, *shape, generator=generator)
    if codes:
        x = torch.randint(codes, (4, *shape), generator=generator)
    named = naming_layers(network.module) if isinstance(network, ModuleNetwork) else nullcontext()
    with torch.no_grad(), named:
        if isinstance(network, ModuleNetwork):
            network.try_draws(w, x)
        logits = network.logits(w, x)
    wanted, y = network.objective.example(4, shape, classes)
    if logits.shape != wanted:
        told = f"it gives {tuple(logits.shape[1:])} outputs"
        raise ValueError(f"{told} for {network.objective.asks_for(classes)}")
    tape = network.gradient(w, x, y, draw=0 if network.random else None)
    if isinstance(network, ModuleNetwork):  # layers have rules
        network.try_products(w, tape)


def _network_of(built: object, shape: Shape, classes: int) -> Network:
    if isinstance(built, Sequential):
        return LayeredNetwork(built, shape, classes)
    if isinstance(built, nn.Module):
        return ModuleNetwork(built)
    raise InputError(
        f"the function built a {type(built).__name__}", key="model", allowed="Sequential, nn.Module"
    )


def _from_file(text: str, base: Path | None, where: object, key: str) -> Callable[[Shape, int], Any]:
    file, _, function = text.rpartition(":")
    if not file or not function.isidentifier():
        raise InputError(f"{text!r} is no path to a model", where=where, key=key, allowed="FILE.py:FUNCTION")
    path, tried = find_file(file, base)
    if path is None:
        problem = f"there is no file {' or '.join(map(str, tried))}"
        raise InputError(problem, where=where, key=key, allowed=[*MODELS, "FILE.py:FUNCTION"])
    module = import_file(path, where=where, key=key)
    builder: Any = getattr(module, function, None)
    if builder is None:
        here = [name for name, value in vars(module).items() if _is_function(value, module)]
        problem = unknown(f"function in {path}:", function, here)
        raise InputError(problem, where=where, key=key, allowed=here or None)
    if not callable(builder):
        problem = f"{function!r} in {path} is a {type(builder).__name__}, not callable"
        raise InputError(problem, where=where, key=key, allowed="a function (shape, classes) -> model")
    return builder  # type: ignore[no-any-return]


def _is_function(value: object, module: ModuleType) -> bool:
    return isinstance(value, FunctionType) and value.__module__ == module.__name__
