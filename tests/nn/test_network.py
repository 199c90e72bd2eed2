"""Networks over one flat vector: gradients and products by layer rules are those of autograd."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hpobench_fds.benchmarks.engine.reference import reference_module
from oracles import matrix
from torch import Tensor, nn

from hpobench_fds.errors import InputError
from hpobench_fds.nn.layers import (
    BatchNorm2d,
    Conv1d,
    Conv2d,
    ConvPool2,
    Flatten,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    Linear,
    MaxPool2,
    ReLU,
    Residual,
    Sequential,
    SiLU,
)
from hpobench_fds.nn.module_network import ModuleNetwork
from hpobench_fds.nn.network import LayeredNetwork, Network
from hpobench_fds.nn.zoo import MODELS, build_network

# name, input shape, batch: small, and every kind of layer
SMALL: list[tuple[str, tuple[int, ...], int]] = [
    ("mlp", (1, 8, 8), 7),
    ("lenet", (1, 28, 28), 3),
    ("lenet", (3, 32, 32), 2),
    ("wrn-10-1", (3, 8, 8), 4),
    ("wrn-16-1", (1, 8, 8), 3),
    ("resnet-8", (1, 28, 28), 3),
    ("resnet-8", (3, 32, 32), 2),
    ("conv1d", (2, 17), 4),
    ("tab-mlp", (9,), 6),
]
OF_NUMBERS = [name for name in MODELS if name != "gpt-nano"]  # which is of codes: see test_tokens.py
OF_NO_IMAGES = {"conv1d": (1, 40), "tab-mlp": (16,)}  # shapes that built-in models take instead of 28 pixels
small = pytest.mark.parametrize(
    ("name", "shape", "batch"), SMALL, ids=[f"{name}-{'x'.join(map(str, shape))}" for name, shape, _ in SMALL]
)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weights(net: Network, seed: int = 0) -> Tensor:
    """Initial weights in float64, moved a little so that biases and batch norm's parameters count."""
    w = net.initial(stream(seed)).double()
    return w + 0.1 * torch.randn(w.shape, generator=stream(seed + 1), dtype=torch.float64)


def examples(shape: tuple[int, ...], batch: int, classes: int = 10, seed: int = 0) -> tuple[Tensor, Tensor]:
    x = torch.randn(batch, *shape, generator=stream(seed), dtype=torch.float64)
    return x, torch.randint(0, classes, (batch,), generator=stream(seed))


def autograd_gradient(net: Network, w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    leaf = w.clone().requires_grad_()
    return torch.autograd.grad(net.loss(leaf, x, y), leaf)[0]


def double_backward(net: Network, w: Tensor, x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """Hessian-vector products [k, P], by autograd of autograd."""
    leaf = w.clone().requires_grad_()
    gradient = torch.autograd.grad(net.loss(leaf, x, y), leaf, create_graph=True)[0]
    return torch.stack([torch.autograd.grad(gradient @ d, leaf, retain_graph=True)[0] for d in directions])


def products(net: Network, w: Tensor, x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """The network's own products [k, P]; what ``out`` held before must not matter."""
    given, out = net.tangents(w, len(directions)), net.tangents(w, len(directions))
    for j, direction in enumerate(directions):
        given.set_row(j, direction)
    out.flat.fill_(math.nan)
    net.products(w, net.gradient(w, x, y), given, out)
    assert torch.equal(matrix(given), directions), "the directions were overwritten"
    return matrix(out)


def close(value: Tensor, truth: Tensor, tolerance: float = 1e-11) -> None:
    assert value.shape == truth.shape
    torch.testing.assert_close(value, truth, rtol=tolerance, atol=tolerance * float(truth.abs().max()))


def assert_exact(net: Network, shape: tuple[int, ...], batch: int, classes: int, k: int = 3) -> None:
    """Loss, gradient and k products are those of autograd through the plain loss."""
    w, (x, y) = weights(net), examples(shape, batch, classes)
    tape = net.gradient(w, x, y)
    close(tape.loss, net.loss(w, x, y))
    close(tape.gradient, autograd_gradient(net, w, x, y))
    directions = torch.randn(k, net.size, generator=stream(9), dtype=torch.float64)
    truth = double_backward(net, w, x, y, directions)
    assert float(truth.norm()) > 0
    close(products(net, w, x, y, directions), truth)


# ------------------------------------------------------------------------- gradients and products are exact


@small
@pytest.mark.parametrize("k", [1, 3])
def test_gradients_and_products_of_the_built_in_models_are_autograd_s(
    name: str, shape: tuple[int, int, int], batch: int, k: int
) -> None:
    assert_exact(build_network(name, shape, 10), shape, batch, 10, k)


@pytest.fixture
def wide_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches, too, run with channels last and one product at a time."""
    monkeypatch.setattr("hpobench_fds.nn.network.WIDE", 0)


def pooled_and_flattened(shape: tuple[int, ...]) -> Network:
    return network(
        Conv2d(shape[0], 16, 3, padding=1), BatchNorm2d(16, "a"), ReLU(), MaxPool2(),
        Conv2d(16, 32, 3, name="b"), ReLU(), BatchNorm2d(32, "c"), MaxPool2(), BatchNorm2d(32, "d"),
        Flatten(), Linear(32, 10), shape=shape, classes=10,
    )  # fmt: skip


@pytest.mark.usefixtures("wide_from_anywhere")
@pytest.mark.parametrize(
    ("build", "shape"),
    [
        pytest.param(lambda shape: build_network("wrn-10-1", shape, 10), (3, 8, 8), id="one block a group"),
        pytest.param(lambda shape: build_network("wrn-16-1", shape, 10), (3, 12, 8), id="two blocks a group"),
        pytest.param(lambda shape: build_network("wrn-10-1", shape, 10), (1, 8, 8), id="a channel of input"),
        pytest.param(pooled_and_flattened, (3, 8, 8), id="pooled and flattened"),
    ],
)
def test_with_channels_last_gradients_and_products_are_autograd_s(
    build: Callable[[tuple[int, ...]], Network], shape: tuple[int, ...]
) -> None:
    assert_exact(build(shape), shape, 4, 10, 3)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 5e-3)])
def test_large_batches_run_with_channels_last_and_agree_with_the_other_layout(
    dtype: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32 some units within round-off of zero switch, and their share of the products with them."""
    net, shape = build_network("wrn-10-1", (1, 16, 16), 10), (1, 16, 16)
    w, (x, y) = weights(net).to(dtype), examples(shape, 128)
    x, directions = x.to(dtype), torch.randn(3, net.size, generator=stream(3), dtype=dtype)

    def seen_by_the_first_norm() -> Tensor:
        seen: Tensor = net.gradient(w, x, y).record.parts[1].body.parts[0].x
        return seen

    found = products(net, w, x, y, directions)
    assert seen_by_the_first_norm().is_contiguous(memory_format=torch.channels_last)
    monkeypatch.setattr("hpobench_fds.nn.network.WIDE", math.inf)
    assert seen_by_the_first_norm().is_contiguous()
    other = products(net, w, x, y, directions)
    assert float((found - other).norm() / other.norm()) < tolerance


def test_a_gradient_follows_its_weights_whether_changed_in_place_or_replaced() -> None:
    net = build_network("mlp", (1, 8, 8), 10)
    w, (x, y) = weights(net), examples((1, 8, 8), 5)
    net.gradient(w, x, y)
    w.mul_(1.5)
    close(net.gradient(w, x, y).gradient, autograd_gradient(net, w, x, y))
    other = weights(net, seed=5)
    close(net.gradient(other, x, y).gradient, autograd_gradient(net, other, x, y))
    single = other.float()
    found = net.gradient(single, x.float(), y).gradient
    assert found.dtype == torch.float32
    close(found, autograd_gradient(net, single, x.float(), y), 1e-5)


def test_a_gradient_leaves_weights_and_images_alone_and_keeps_no_graph() -> None:
    net = build_network("wrn-10-1", (1, 8, 8), 10)
    w, (x, y) = weights(net).requires_grad_(), examples((1, 8, 8), 3)
    kept = w.detach().clone(), x.clone()
    tape = net.gradient(w, x, y)
    assert not tape.loss.requires_grad
    assert not tape.gradient.requires_grad
    assert torch.equal(w, kept[0])
    assert torch.equal(x, kept[1])


@small
def test_one_tape_serves_several_products(name: str, shape: tuple[int, int, int], batch: int) -> None:
    net = build_network(name, shape, 10)
    w, (x, y) = weights(net), examples(shape, batch)
    directions = torch.randn(3, net.size, generator=stream(3), dtype=torch.float64)
    tape = net.gradient(w, x, y)
    together = net.tangents(w, 3)
    for j, direction in enumerate(directions):
        together.set_row(j, direction)
    first, again, alone, single = (net.tangents(w, k) for k in (3, 3, 1, 1))
    net.products(w, tape, together, first)
    single.set_row(0, directions[1])
    net.products(w, tape, single, alone)
    net.products(w, tape, together, again)
    assert torch.equal(again.flat, first.flat)
    close(matrix(alone)[0], matrix(first)[1])


def test_a_product_with_no_direction_is_zero() -> None:
    net = build_network("lenet", (1, 28, 28), 10)
    w, (x, y) = weights(net), examples((1, 28, 28), 2)
    assert not products(net, w, x, y, torch.zeros(2, net.size, dtype=torch.float64)).any()


# ------------------------------------------------------------------------------- layers, one kind at a time


def network(*layers: Layer, shape: tuple[int, ...], classes: int) -> LayeredNetwork:
    return LayeredNetwork(Sequential(*layers), shape, classes)


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        (1, 1, 0), (3, 1, 0), (3, 1, 1), (3, 2, 1), (2, 2, 0), (5, 3, 2), (1, 2, 0), (4, 3, 0), (3, 1, 2),
        (5, 1, 0), (5, 1, 2), (6, 1, 1), (2, 1, 2),
    ],
)  # fmt: skip
@pytest.mark.parametrize("width", [8, 9])
def test_convolutions_of_any_kernel_stride_and_padding(
    kernel: int, stride: int, padding: int, width: int, bias: bool, first: bool
) -> None:
    shape = (2, 6, width)  # not square, and not divided by every stride
    before = [] if first else [Conv2d(2, 3, 3, padding=1, name="before")]
    conv = Conv2d(2 if first else 3, 4, kernel, stride=stride, padding=padding, bias=bias)
    inner = conv.output((conv.inputs, 6, width))
    x, weight = torch.zeros(1, conv.inputs, 6, width), torch.zeros(4, conv.inputs, kernel, kernel)
    assert inner == F.conv2d(x, weight, None, stride, padding).shape[1:]
    # a linear layer above makes the conv's output gradient depend on every weight
    net = network(*before, conv, Flatten(), Linear(math.prod(inner), 3), shape=shape, classes=3)
    assert_exact(net, shape, 3, 3)


def test_a_convolution_with_few_channels_is_pulled_back_by_pairs_of_columns() -> None:
    """The way that fills the lanes is taken where it can be, and gives what the plain one gives."""
    few, many = Conv2d(6, 16, 5), Conv2d(16, 16, 5)
    g = torch.randn(2, 16, 8, 8, dtype=torch.float64, generator=stream())
    for conv, thin in ((few, True), (many, False)):
        weight = torch.randn(16, conv.inputs, 5, 5, dtype=torch.float64, generator=stream())
        assert conv._is_thin(g, weight) is thin
    weight = torch.randn(16, 6, 5, 5, dtype=torch.float64, generator=stream())
    plain = torch.nn.grad.conv2d_input((2, 6, 12, 12), weight, g)
    close(few._pull_by_pairs(g, weight), plain)
    assert not few._is_thin(g[..., :7], weight)  # an odd number of columns


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("length", [8, 9])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(1, 1, 0), (3, 1, 0), (3, 1, 1), (5, 2, 1), (2, 3, 0), (3, 1, 2)]
)
def test_convolutions_of_sequences_of_any_kernel_stride_and_padding(
    kernel: int, stride: int, padding: int, length: int, bias: bool, first: bool
) -> None:
    before = [] if first else [Conv1d(2, 3, 3, padding=1, name="before")]
    conv = Conv1d(2 if first else 3, 16, kernel, stride=stride, padding=padding, bias=bias)
    inner = conv.output((conv.inputs, length))
    x, weight = torch.zeros(1, conv.inputs, length), torch.zeros(16, conv.inputs, kernel)
    assert inner == F.conv1d(x, weight, None, stride, padding).shape[1:]
    layers = [*before, conv, SiLU(), Flatten(), Linear(math.prod(inner), 3)]
    assert_exact(network(*layers, shape=(2, length), classes=3), (2, length), 3, 3)


def test_a_layer_that_does_not_fit_says_what_it_was_given() -> None:
    with pytest.raises(ValueError, match=r"of 1 sides cannot take \(2, 4, 4\)"):
        Conv1d(2, 3, 3).output((2, 4, 4))
    with pytest.raises(ValueError, match=r"of 6 features cannot take \(5,\)"):
        LayerNorm(6).output((5,))


ROWS = [
    pytest.param([Residual(Sequential(Linear(5, 5)), Sequential(SiLU())), Linear(5, 3, "out")], id="beside"),
    pytest.param([Linear(5, 6), LayerNorm(6), Linear(6, 3, "out")], id="norm"),
    pytest.param([Linear(5, 6), SiLU(), Linear(6, 3, "out")], id="silu"),
    pytest.param([LayerNorm(5), Linear(5, 3)], id="norm first"),
    pytest.param([SiLU(), Linear(5, 3)], id="silu first"),
    pytest.param([Linear(5, 3), LayerNorm(3)], id="norm last"),
    pytest.param([Linear(5, 3), SiLU()], id="silu last"),
    pytest.param([Linear(5, 6), ReLU(), SiLU(), ReLU(), LayerNorm(6), Linear(6, 3)], id="between relus"),
    pytest.param([LayerNorm(5, "a"), LayerNorm(5, "b"), SiLU(), SiLU(), Linear(5, 3)], id="two of each"),
    pytest.param([LayerNorm(5), SiLU(), Linear(5, 3)], id="nothing but norm below"),
    pytest.param(
        [Linear(5, 6), Residual(Sequential(SiLU(), Linear(6, 6, "a"), LayerNorm(6))), Linear(6, 3, "out")],
        id="residual, norm last",
    ),
    pytest.param(
        [
            Linear(5, 6),
            Residual(Sequential(Linear(6, 6, "a"), SiLU()), Sequential(ReLU()), Sequential(LayerNorm(6))),
            Linear(6, 3, "out"),
        ],
        id="residual, a norm seen by both",
    ),
]


@pytest.mark.parametrize("layers", ROWS)
def test_layers_of_rows_in_any_place(layers: list[Layer]) -> None:
    assert_exact(network(*layers, shape=(5,), classes=3), (5,), 4, 3)


def test_layer_norm_is_over_the_last_side_of_any_shape() -> None:
    net = network(
        Conv1d(2, 3, 3, padding=1), LayerNorm(5), SiLU(), Flatten(), Linear(15, 3), shape=(2, 5), classes=3
    )
    assert_exact(net, (2, 5), 4, 3)


@pytest.mark.parametrize(
    "middle",
    [
        pytest.param([ReLU()], id="relu"),
        pytest.param([MaxPool2()], id="max pool"),
        pytest.param([MaxPool2(), ReLU()], id="max pool, relu"),
        pytest.param([BatchNorm2d(4)], id="batch norm"),
        pytest.param([ReLU(), BatchNorm2d(4), ReLU(), ReLU()], id="relu, batch norm, relu, relu"),
        pytest.param([BatchNorm2d(4), BatchNorm2d(4, "again")], id="two batch norms"),
        pytest.param([GlobalAvgPool()], id="average"),
    ],
)
def test_each_kind_of_layer_between_others(middle: list[Layer]) -> None:
    shape = (2, 6, 4)
    layers = [Conv2d(2, 4, 3, padding=1), *middle, Flatten()]
    inner = Sequential(*layers).output(shape)
    net = network(*layers, Linear(math.prod(inner), 5), shape=shape, classes=5)
    assert_exact(net, shape, 4, 5)


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param([BatchNorm2d(2), Conv2d(2, 3, 3), GlobalAvgPool()], id="batch norm first"),
        pytest.param([ReLU(), MaxPool2(), Conv2d(2, 3, 1), GlobalAvgPool()], id="relu and pool first"),
        pytest.param([GlobalAvgPool(), Linear(2, 3)], id="average first"),
        pytest.param([Conv2d(2, 3, 3), GlobalAvgPool(), ReLU()], id="relu last"),
        pytest.param([Conv2d(2, 3, 6), Flatten()], id="flatten last"),
        pytest.param([BatchNorm2d(2), GlobalAvgPool(), Linear(2, 3)], id="nothing but norm below"),
        pytest.param(
            [Sequential(Conv2d(2, 2, 3), Sequential(ReLU())), GlobalAvgPool(), Linear(2, 3)], id="nested"
        ),
    ],
)
def test_layers_at_the_ends_of_a_network(layers: list[Layer]) -> None:
    assert_exact(network(*layers, shape=(2, 6, 6), classes=3), (2, 6, 6), 4, 3)


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("k", [1, ConvPool2.MANY, ConvPool2.MANY + 2])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 0), (3, 1, 1), (4, 2, 2), (1, 2, 0)])
def test_a_convolution_pooled_at_once_is_the_two_layers(
    kernel: int, stride: int, padding: int, k: int, bias: bool, first: bool
) -> None:
    shape = {(3, 1, 0): (2, 8, 12), (3, 1, 1): (2, 6, 10), (4, 2, 2): (2, 6, 10), (1, 2, 0): (2, 7, 11)}[
        kernel, stride, padding
    ]
    before = [] if first else [Conv2d(2, 3, 3, padding=1, name="before")]
    conv = Conv2d(2 if first else 3, 4, kernel, stride=stride, padding=padding, bias=bias)
    pooled = ConvPool2(conv)
    inner = pooled.output((conv.inputs, *shape[1:]))
    above = [ReLU(), Flatten(), Linear(math.prod(inner), 3)]
    net = network(*before, pooled, *above, shape=shape, classes=3)
    apart = network(*before, conv, MaxPool2(), *above, shape=shape, classes=3)
    assert_exact(net, shape, 3, 3)
    w, (x, y) = weights(net), examples(shape, 3)
    directions = torch.randn(k, net.size, dtype=torch.float64)
    y = y % 3
    close(products(net, w, x, y, directions), products(apart, w, x, y, directions))


def test_relu_s_derivative_at_zero_is_zero() -> None:
    net = network(Flatten(), Linear(2, 2, "one"), ReLU(), Linear(2, 2, "two"), shape=(2, 1, 1), classes=2)
    w = torch.tensor([1.0, -1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 2.0, 3.0, 5.0, 0.0, 0.0], dtype=torch.float64)
    x, y = torch.ones(1, 2, 1, 1, dtype=torch.float64), torch.tensor([0])
    gradient = net.gradient(w, x, y).gradient
    assert gradient[:2].tolist() == [0.0, 0.0]  # the first hidden unit is exactly 0
    assert gradient[2:4].abs().min() > 0
    close(gradient, autograd_gradient(net, w, x, y))


def test_pooling_takes_the_first_of_equals_as_torch_does() -> None:
    net = network(Conv2d(1, 2, 1), MaxPool2(), GlobalAvgPool(), shape=(1, 4, 4), classes=2)
    w, y = weights(net), torch.tensor([0, 1])
    x = torch.tensor([[1.0, 1.0, 2.0, 2.0]] * 4, dtype=torch.float64).expand(2, 1, 4, 4).contiguous()
    close(net.gradient(w, x, y).gradient, autograd_gradient(net, w, x, y))


# ------------------------------------------------------------------------------------------ residual blocks


def conv(inputs: int, outputs: int, name: str, stride: int = 1) -> Conv2d:
    return Conv2d(inputs, outputs, 3, stride=stride, padding=1, name=name)


RESIDUALS: list[tuple[str, Callable[[], Residual]]] = [
    ("identity", lambda: Residual(Sequential(conv(3, 3, "a"), ReLU(), conv(3, 3, "b")))),
    (
        "identity after a stem",
        lambda: Residual(Sequential(conv(3, 3, "a")), stem=Sequential(BatchNorm2d(3), ReLU())),
    ),
    (
        "relu shared by both",
        lambda: Residual(Sequential(conv(3, 3, "a")), Sequential(conv(3, 3, "s")), stem=Sequential(ReLU())),
    ),
    ("relu first", lambda: Residual(Sequential(ReLU(), conv(3, 3, "a")))),
    (
        "relu first, a convolution beside",
        lambda: Residual(Sequential(ReLU(), conv(3, 3, "a")), Sequential(conv(3, 3, "s"))),
    ),
    (
        "relu first in the shortcut",
        lambda: Residual(Sequential(conv(3, 3, "a")), Sequential(ReLU(), conv(3, 3, "s"))),
    ),
    (
        "relu first in both",
        lambda: Residual(Sequential(ReLU(), conv(3, 3, "a")), Sequential(ReLU(), conv(3, 3, "s"))),
    ),
    ("relu last", lambda: Residual(Sequential(conv(3, 3, "a"), ReLU()))),
    (
        "relu last, a convolution beside",
        lambda: Residual(Sequential(conv(3, 3, "a"), ReLU()), Sequential(conv(3, 3, "s"))),
    ),
    (
        "batch norm beside",
        lambda: Residual(Sequential(BatchNorm2d(3), conv(3, 3, "a")), Sequential(BatchNorm2d(3, "s"))),
    ),
    (
        "nested",
        lambda: Residual(Sequential(Residual(Sequential(ReLU(), conv(3, 3, "a"))), ReLU(), conv(3, 3, "b"))),
    ),
    (
        "the identity as its body",
        lambda: Residual(Sequential(), Sequential(conv(3, 3, "s"))),
    ),
    ("no parameters", lambda: Residual(Sequential(ReLU()))),
    (
        "a strided body beside every second pixel",
        lambda: Residual(
            Sequential(conv(3, 3, "a", 2)), Sequential(Conv2d(3, 3, 1)), Sequential(BatchNorm2d(3), ReLU()), 2
        ),
    ),
    (
        "every second pixel, a body that begins with relu",
        lambda: Residual(Sequential(ReLU(), conv(3, 3, "a", 2)), Sequential(Conv2d(3, 3, 1)), stride=2),
    ),
]


@pytest.mark.parametrize(
    ("place", "residual"),
    [
        pytest.param(
            place,
            residual,
            id=f"{what}-{place}",
        )
        for what, residual in RESIDUALS
        for place in ("first", "later")
    ],
)
def test_residual_blocks_of_any_make(place: str, residual: Callable[[], Residual]) -> None:
    before: list[Layer] = [] if place == "first" else [conv(3, 3, "before")]
    block = residual()
    _, height, width = block.output((3, 4, 4))
    after = [conv(3, 2, "after"), Flatten(), Linear(2 * height * width, 4)]
    net = network(*before, block, *after, shape=(3, 4, 4), classes=4)
    assert_exact(net, (3, 4, 4), 3, 4)


def test_a_residual_block_is_the_sum_of_its_branches() -> None:
    block = Residual(
        Sequential(conv(2, 4, "a", stride=2)),
        Sequential(Conv2d(2, 4, 1, stride=2, bias=False)),
        stem=Sequential(ReLU()),
    )
    net = network(block, GlobalAvgPool(), shape=(2, 4, 4), classes=4)
    w, (x, _) = weights(net), examples((2, 4, 4), 3)
    weight, bias, beside = (p.view(s) for p, s in zip(w.split([72, 4, 8]), net.shapes, strict=True))
    a = x.relu()
    expected = F.conv2d(a, weight, bias, 2, 1) + F.conv2d(a, beside, None, 2)
    close(net.logits(w, x), expected.mean((2, 3)))


# --------------------------------------------------------------------------------- networks drawn at random


def draw_layers(rng: random.Random, shape: tuple[int, ...], depth: int, most: int) -> Sequential:
    """Up to ``most`` layers that fit inputs of that shape, with residual blocks and sequences inside."""
    layers: list[Layer] = []
    for _ in range(rng.randint(0, most)):
        channels, height, width = shape
        kind = rng.choice(["conv", "conv", "relu", "norm", "pool", "residual", "sequence"])
        layer: Layer = ReLU()
        if kind == "conv":
            kernel, outputs = rng.randint(1, min(3, height, width)), rng.randint(1, 3)
            stride, padding, bias = rng.randint(1, 2), rng.randint(0, 1), rng.random() < 0.5
            layer = Conv2d(channels, outputs, kernel, stride=stride, padding=padding, bias=bias)
        elif kind == "norm":
            layer = BatchNorm2d(channels)
        elif kind == "pool" and height % 2 == width % 2 == 0:
            layer = MaxPool2()
        elif kind == "sequence" and depth:
            layer = draw_layers(rng, shape, depth - 1, 3)
        elif kind == "residual" and depth:
            stem = draw_layers(rng, shape, depth - 1, 2)
            inner = stem.output(shape)
            body = draw_layers(rng, inner, depth - 1, 3)
            beside = draw_layers(rng, inner, depth - 1, 2)
            if beside.output(inner) != body.output(inner):
                continue
            layer = Residual(body, beside, stem)
        layers.append(layer)
        shape = layer.output(shape)
    return Sequential(*layers)


def test_networks_drawn_at_random_are_exact() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        shape = (rng.randint(1, 2), rng.choice([4, 6]), rng.choice([4, 5]))
        body = draw_layers(rng, shape, 2, 5)
        side = math.prod(body.output(shape))
        assert_exact(network(body, Flatten(), Linear(side, 3), shape=shape, classes=3), shape, 4, 3, k=2)


# ---------------------------------------------------------------- the same network as an ordinary nn.Module


def reference_of(net: LayeredNetwork, name: str, shape: tuple[int, ...], w: Tensor) -> nn.Module:
    """The reference module with the parameters that ``w`` holds."""
    module = reference_module(name, shape).double()
    values = {
        parameter.name: part.view(parameter.shape)
        for parameter, part in zip(net.parameters, w.split([p.size for p in net.parameters]), strict=True)
    }
    if name.startswith("wrn"):
        blocks = (int(name.split("-")[1]) - 4) // 6  # in a group

        def module_name(match: re.Match[str]) -> str:
            return f"blocks.{(int(match[1]) - 1) * blocks + int(match[2])}."

        values = {re.sub(r"^group(\d)\.(\d)\.", module_name, key): value for key, value in values.items()}
    else:
        names = [key for key, _ in module.named_parameters()]
        values = dict(zip(names, values.values(), strict=True))
    assert values.keys() == dict(module.named_parameters()).keys()
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            parameter.copy_(values[key])
    return module.train()


def layered(name: str, shape: tuple[int, ...]) -> LayeredNetwork:
    net = build_network(name, shape, 10)
    assert isinstance(net, LayeredNetwork)
    return net


@small
def test_logits_are_those_of_the_module_as_anyone_would_write_it(
    name: str, shape: tuple[int, int, int], batch: int
) -> None:
    net = layered(name, shape)
    w, (x, y) = weights(net), examples(shape, batch)
    module = reference_of(net, name, shape, w)
    close(net.logits(w, x), module(x).detach())
    close(net.loss(w, x, y), F.cross_entropy(module(x), y).detach())


@pytest.mark.parametrize(
    ("name", "shape"),
    [("wrn-10-1", (3, 8, 8)), ("wrn-16-1", (3, 8, 8)), ("resnet-8", (1, 28, 28))],
)
def test_running_statistics_and_evaluation_are_those_of_torch(name: str, shape: tuple[int, ...]) -> None:
    net = layered(name, shape)
    w = weights(net)
    module = reference_of(net, name, shape, w)
    buffers = net.initial_buffers().double()
    for seed in range(4):
        x, y = examples(shape, 5, seed=seed)
        module(x + seed)
        net.gradient(w, x + seed, y, buffers)
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    truth = torch.cat([torch.cat([norm.running_mean, norm.running_var]) for norm in norms])  # type: ignore[list-item]
    close(buffers, truth)
    module.eval()
    close(net.logits(w, x, buffers), module(x).detach())
    assert not torch.allclose(net.logits(w, x, buffers), net.logits(w, x))


def test_before_any_batch_statistics_are_zero_mean_and_unit_variance() -> None:
    net = layered("wrn-10-1", (3, 8, 8))
    w, (x, _) = weights(net), examples((3, 8, 8), 3)
    module = reference_of(net, "wrn-10-1", (3, 8, 8), w).eval()
    close(net.logits(w, x, net.initial_buffers().double()), module(x).detach())


def test_statistics_are_updated_only_where_they_are_given_and_change_no_gradient() -> None:
    net = layered("wrn-10-1", (1, 8, 8))
    w, (x, y) = weights(net), examples((1, 8, 8), 3)
    buffers = net.initial_buffers().double()
    kept = buffers.clone()
    without = net.gradient(w, x, y).gradient.clone()
    assert torch.equal(buffers, kept)
    assert torch.equal(net.gradient(w, x, y, buffers).gradient, without)
    assert not torch.equal(buffers, kept)
    kept = buffers.clone()
    net.logits(w, x, buffers)
    assert torch.equal(buffers, kept)


@pytest.mark.parametrize("name", ["mlp", "lenet"])
def test_a_network_without_batch_norm_has_no_statistics(name: str) -> None:
    net = layered(name, (1, 28, 28))
    w, (x, y) = weights(net), examples((1, 28, 28), 2)
    empty = net.initial_buffers().double()
    assert empty.shape == (0,)
    close(net.gradient(w, x, y, empty).gradient, autograd_gradient(net, w, x, y))
    assert torch.equal(net.logits(w, x, empty), net.logits(w, x))


# -------------------------------------------------------------------------------- sizes and initial weights


@pytest.mark.parametrize(
    ("name", "shape", "size"),
    [
        ("mlp", (1, 28, 28), 784 * 64 + 64 + 64 * 10 + 10),
        ("lenet", (1, 28, 28), 44_426),
        ("lenet", (3, 32, 32), 62_006),
        ("wrn-10-1", (3, 32, 32), 77_850),
        ("wrn-16-1", (3, 32, 32), 175_066),
        ("wrn-40-2", (3, 32, 32), 2_243_546),
        ("resnet-8", (3, 32, 32), 77_850),
        ("conv1d", (1, 40), 5_210),
        ("tab-mlp", (16,), 16 * 64 + 64 * 64 + 64 * 10 + 2 * 3 * 64 + 10),
    ],
)
def test_the_models_have_as_many_parameters_as_in_the_literature(
    name: str, shape: tuple[int, ...], size: int
) -> None:
    net = build_network(name, shape, 10)
    assert net.size == size == sum(math.prod(s) for s in net.shapes)
    assert size == sum(p.numel() for p in reference_module(name, shape).parameters())
    assert net.initial(stream()).shape == (size,)


# The standard deviation of n normal draws has a relative error of 1 / sqrt(2 n): six of those.
@pytest.mark.parametrize(
    ("layer", "fans"),
    [
        (Linear(400, 100), 400 + 100),
        (Conv2d(40, 24, 5), (40 + 24) * 25),
        (Conv2d(40, 24, 5, stride=2, padding=1, bias=False), (40 + 24) * 25),
        (Conv2d(300, 100, 1), 300 + 100),
    ],
)
def test_weights_are_xavier_normal_and_biases_zero(layer: Layer, fans: int) -> None:
    weight, *bias = (p.initial(stream()) for p in layer.parameters)
    n, std = weight.numel(), math.sqrt(2 / fans)
    assert float(weight.std()) == pytest.approx(std, rel=6 / math.sqrt(2 * n))
    assert abs(float(weight.mean())) < 6 * std / math.sqrt(n)
    # normal, not uniform: 4.55 % of the draws lie beyond two standard deviations, none of a uniform's
    beyond = float((weight.abs() > 2 * std).float().mean())
    assert beyond == pytest.approx(0.0455, abs=6 * math.sqrt(0.0455 / n))
    assert all(not b.any() for b in bias)


def test_batch_norm_starts_as_the_identity_of_normalised_inputs() -> None:
    weight, bias = (p.initial(stream()) for p in BatchNorm2d(5).parameters)
    assert weight.tolist() == [1.0] * 5
    assert bias.tolist() == [0.0] * 5


def test_initial_weights_are_a_function_of_the_stream() -> None:
    net = build_network("lenet", (1, 28, 28), 10)
    assert torch.equal(net.initial(stream(1)), net.initial(stream(1)))
    assert not torch.equal(net.initial(stream(1)), net.initial(stream(2)))
    parts = [p for p in net.initial(stream(1)).split([math.prod(s) for s in net.shapes]) if p.any()]
    assert len({p[0].item() for p in parts}) == len(parts) == 5  # no two layers start alike


# ---------------------------------------------------------------------------------------- cost of a product


def test_the_cost_of_a_product_is_counted_in_multiply_adds() -> None:
    """Each weight is met 3 times in a gradient and 6 in a product, but twice both in a first layer."""
    first, last = 64 * 64, 64 * 10
    net = build_network("mlp", (1, 8, 8), 10)
    assert net.product_cost == pytest.approx((2 * first + 6 * last) / (2 * first + 3 * last), rel=1e-12)


def test_the_cost_is_the_same_however_layers_are_bracketed() -> None:
    plain = network(Flatten(), Linear(16, 5), ReLU(), Linear(5, 3), shape=(1, 4, 4), classes=3)
    inner = Sequential(Flatten(), Linear(16, 5), ReLU())
    nested = network(inner, Linear(5, 3), shape=(1, 4, 4), classes=3)
    assert nested.product_cost == plain.product_cost


def test_a_network_without_linear_layers_or_convolutions_has_a_cost() -> None:
    assert network(BatchNorm2d(3), GlobalAvgPool(), shape=(3, 2, 2), classes=3).product_cost > 0


def test_what_comes_after_a_residual_block_is_not_a_first_layer() -> None:
    block = Residual(Sequential(Conv2d(1, 1, 3, padding=1, bias=False)))
    net = network(block, Flatten(), Linear(16, 3), shape=(1, 4, 4), classes=3)
    once, last = 9 * 16, 16 * 3  # the block's own first layer may be counted either way
    ratios = [(h * once + 6 * last) / (g * once + 3 * last) for g, h in ((2, 2), (3, 6))]
    assert any(net.product_cost == pytest.approx(ratio) for ratio in ratios)


# -------------------------------------------------------------------------------------- any torch.nn.Module


def twins(kind: str) -> tuple[ModuleNetwork, LayeredNetwork, tuple[int, int, int]]:
    """One network as nn.Module and as layers, parameters in the same order."""
    shape = (2, 4, 4)
    if kind == "mlp":
        module = nn.Sequential(nn.Flatten(), nn.Linear(32, 6), nn.ReLU(), nn.Linear(6, 3))
        layers = [Flatten(), Linear(32, 6, "a"), ReLU(), Linear(6, 3, "b")]
    else:
        module = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3),
        )  # fmt: skip
        layers = [
            Conv2d(2, 4, 3, padding=1, name="a"), BatchNorm2d(4, "b"), ReLU(), MaxPool2(),
            Conv2d(4, 4, 1, bias=False, name="c"), BatchNorm2d(4, "d"), Flatten(), Linear(16, 3, "e"),
        ]  # fmt: skip
    return ModuleNetwork(module), network(*layers, shape=shape, classes=3), shape


@pytest.mark.parametrize("kind", ["mlp", "batch norm"])
@pytest.mark.parametrize("k", [1, 3])
def test_a_module_s_gradients_and_products_are_those_of_its_layered_twin(kind: str, k: int) -> None:
    module, layers, shape = twins(kind)
    assert module.shapes == layers.shapes
    assert module.size == layers.size
    w, (x, y) = weights(layers), examples(shape, 5, 3)
    directions = torch.randn(k, layers.size, generator=stream(4), dtype=torch.float64)
    close(module.logits(w, x), layers.logits(w, x))
    one, other = module.gradient(w, x, y), layers.gradient(w, x, y)
    close(one.loss, other.loss)
    close(one.gradient, other.gradient)
    close(products(module, w, x, y, directions), products(layers, w, x, y, directions))
    assert_exact(module, shape, 5, 3, k)


def test_a_module_of_several_calls_gives_the_same_gradient_again() -> None:
    """Batch norm leaves no trace of earlier batches."""
    module, _, shape = twins("batch norm")
    w, (x, y) = weights(module), examples(shape, 5, 3)
    first = module.gradient(w, x, y).gradient.clone()
    module.gradient(w, 3 + 2 * x, y)
    assert torch.equal(module.gradient(w, x, y).gradient, first)
    assert torch.equal(module.logits(w, x), module.logits(w, x, module.initial_buffers()))


def test_a_module_may_share_a_parameter_and_use_what_no_layer_kind_knows() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.back = nn.Linear(16, 16), nn.Linear(16, 16)
            self.back.weight = self.embed.weight
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return self.scale * self.back(torch.tanh(self.embed(x.flatten(1))))[:, :3]

    net = ModuleNetwork(Tied())
    assert net.size == 16 * 16 + 2 * 16 + 1
    assert_exact(net, (1, 4, 4), 5, 3)


def test_a_module_s_weights_are_xavier_normal_and_the_rest_as_it_made_them() -> None:
    module = nn.Sequential(nn.Conv2d(20, 30, 5), nn.Flatten(), nn.Linear(30, 70))
    biases = [module[0].bias.detach().clone(), module[2].bias.detach().clone()]
    net = ModuleNetwork(module)
    w = net.initial(stream())
    convolution, bias, linear, last = w.split([math.prod(shape) for shape in net.shapes])
    for weight, fans in ((convolution, (20 + 30) * 25), (linear, 30 + 70)):
        assert float(weight.std()) == pytest.approx(
            math.sqrt(2 / fans), rel=6 / math.sqrt(2 * weight.numel())
        )
    assert torch.equal(bias, biases[0])
    assert torch.equal(last, biases[1])
    assert torch.equal(w, net.initial(stream()))
    assert not torch.equal(w, net.initial(stream(1)))


def test_the_row_that_stands_for_padding_starts_as_zero() -> None:
    """torch gives it no gradient, so that it never moves: what is not zero would decay."""
    net = ModuleNetwork(nn.Sequential(nn.Embedding(5, 3, padding_idx=-2), nn.Flatten(), nn.Linear(6, 2)))
    table = net.initial(stream())[:15].view(5, 3)
    assert not table[3].any()
    assert table[[0, 1, 2, 4]].all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_buffers_have_the_precision_of_the_weights_and_integers_stay(dtype: torch.dtype) -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mix", torch.randn(4, 4))
            self.register_buffer("turn", torch.ones(4, dtype=torch.complex64))
            self.register_buffer("order", torch.tensor([3, 1, 0, 2]))
            self.out = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.out((x.flatten(1) @ self.mix)[:, self.order] * torch.view_as_real(self.turn)[:, 0])

    net = ModuleNetwork(Fixed())
    w, x = weights(net).to(dtype), torch.randn(5, 1, 2, 2, dtype=dtype, generator=stream())
    assert net.logits(w, x).dtype == dtype
    if dtype == torch.float64:
        assert_exact(net, (1, 2, 2), 5, 3)


# ----------------------------------------------------------------------------------- models by name or file

USER_FILE = """
import random

import torch
from torch import nn
from hpobench_fds.nn.layers import Flatten, Linear, ReLU, Sequential

def layers(shape, classes):
    side = shape[0] * shape[1] * shape[2]
    return Sequential(Flatten(), Linear(side, 5, "a"), ReLU(), Linear(5, classes, "b"))

def module(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))

def short(shape, classes):
    return Sequential(Flatten(), Linear(shape[0] * shape[1] * shape[2], classes - 1))

def pools(shape, classes):
    from hpobench_fds.nn.layers import MaxPool2
    return Sequential(MaxPool2(), MaxPool2(), Flatten(), Linear(shape[0] * 4, classes))

def few(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], 3))

def number(shape, classes):
    return 3

def broken(shape, classes):
    raise RuntimeError("no\\nway")

def narrow(shape, classes):
    return Sequential(Flatten(), Linear(5, classes))

def narrow_module(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(5, classes))

def few_classes(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes - 1))

def widens(shape, classes):
    from hpobench_fds.nn.layers import Conv2d, GlobalAvgPool, Residual
    body = Sequential(Conv2d(shape[0], classes, 3, padding=1))
    return Sequential(Residual(body), GlobalAvgPool())

def unflattened(shape, classes):
    return Sequential(Linear(shape[2], 1), Flatten(), Linear(shape[0] * shape[1], classes))

class AlwaysDrops(nn.Linear):
    def forward(self, x):
        return torch.nn.functional.dropout(super().forward(x.flatten(1)))

def always_drops(shape, classes):
    return AlwaysDrops(shape[0] * shape[1] * shape[2], classes)

class ByPython(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1)) * random.random()

def by_python(shape, classes):
    return ByPython(shape[0] * shape[1] * shape[2], classes)

NOT_CALLABLE = 5
"""


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    path = tmp_path / "my_model.py"
    path.write_text(USER_FILE)
    return path


def refused(name: str, shape: tuple[int, ...] = (1, 6, 6)) -> str:
    """The message of the InputError that building the model ends in: one line."""
    with pytest.raises(InputError) as caught:
        build_network(name, shape, 4)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("model: ")
    return message


def test_a_user_s_layers_get_layer_rules_and_a_user_s_module_the_fallback(user_file: Path) -> None:
    layers = build_network(f"{user_file}:layers", (1, 6, 6), 4)
    assert isinstance(layers, LayeredNetwork)
    assert_exact(layers, (1, 6, 6), 3, 4)
    module = build_network(f"{user_file}:module", (1, 6, 6), 4)
    assert isinstance(module, ModuleNetwork)
    assert_exact(module, (1, 6, 6), 3, 4)


def test_two_files_of_one_name_are_two_models(tmp_path: Path) -> None:
    sizes = []
    for width in (3, 7):
        path = tmp_path / str(width) / "my_model.py"
        path.parent.mkdir()
        path.write_text(USER_FILE.replace("5", str(width)))
        sizes.append(build_network(f"{path}:layers", (1, 6, 6), 4).size)
    assert sizes == [37 * width + 4 * (width + 1) for width in (3, 7)]


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_every_built_in_model_is_found_by_its_name(name: str) -> None:
    shape = OF_NO_IMAGES.get(name, (1, 28, 28))
    net = build_network(name, shape, 7)
    assert net.logits(net.initial(stream()), torch.zeros(1, *shape), net.initial_buffers()).shape == (1, 7)


def test_an_unknown_name_is_told_what_there_is() -> None:
    message = refused("resnet")
    assert "unknown model 'resnet'" in message
    assert all(name in message for name in [*MODELS, "FILE.py:FUNCTION"])


@pytest.mark.parametrize(
    ("name", "shape", "says"),
    [
        ("lenet", (1, 8, 8), "lenet takes images of 28 or 32 pixels, not 8"),
        ("resnet-8", (1, 8, 8), "resnet-8 takes images of 28 or 32 pixels, not 8"),
        ("resnet-8", (40,), "resnet-8 takes images [C, H, W], not examples of shape (40,)"),
        ("conv1d", (40,), "conv1d takes sequences [C, L], not examples of shape (40,)"),
        ("conv1d", (1, 28, 28), "conv1d takes sequences [C, L], not examples of shape (1, 28, 28)"),
        ("conv1d", (1, 2), "conv1d takes sequences of 3 and more, not 2"),
        ("tab-mlp", (1, 28, 28), "tab-mlp takes rows [F], not examples of shape (1, 28, 28)"),
    ],
)
def test_examples_that_a_built_in_model_does_not_take_are_refused(
    name: str, shape: tuple[int, ...], says: str
) -> None:
    assert refused(name, shape) == f"model: {says}"


def test_a_user_s_module_starts_alike_in_every_process_and_leaves_the_global_generator_alone(
    user_file: Path,
) -> None:
    starts = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        net = build_network(f"{user_file}:module", (1, 6, 6), 4)
        assert torch.equal(torch.get_rng_state(), before)
        starts.append(net.initial(torch.Generator().manual_seed(0)))
    assert torch.equal(*starts)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("", "no path to a model.*FILE.py:FUNCTION"),
        ("nowhere", "unknown function in .*my_model.py: 'nowhere'.*layers, module"),
        ("laiers", "did you mean 'layers'"),
        ("short", r"does not fit inputs \(1, 6, 6\).*\(3,\)"),
        ("pools", "cannot pool 3 x 3 pixels"),
        ("number", "built a int.*Sequential, nn.Module"),
        ("broken", "no way"),
        ("NOT_CALLABLE", "'NOT_CALLABLE' in .*my_model.py is a int, not callable"),
        ("few", r"gives \(3,\) outputs for 4 classes"),
        ("always_drops", r"random in evaluation as well \(allowed: dropout\(x, p, self.training\)\)"),
        ("by_python", r"random by other than torch's own generators.*allowed: torch.rand, dropout"),
    ],
)
def test_a_user_s_model_that_cannot_be_used_is_refused(user_file: Path, function: str, says: str) -> None:
    assert re.search(says, refused(f"{user_file}:{function}"))


def test_the_layer_of_a_user_s_module_that_does_not_fit_is_named(user_file: Path) -> None:
    said = r"does not fit inputs \(1, 6, 6\): the layer '1' \(Linear\): .*shapes cannot be multiplied"
    assert re.search(said, refused(f"{user_file}:narrow_module"))


@pytest.mark.parametrize("function", ["narrow", "narrow_module", "few_classes", "widens"])
def test_a_user_s_model_whose_inner_shapes_do_not_fit_is_refused(user_file: Path, function: str) -> None:
    assert "does not fit" in refused(f"{user_file}:{function}")


def test_layers_whose_training_pass_does_not_take_the_images_are_refused(user_file: Path) -> None:
    assert "does not fit" in refused(f"{user_file}:unflattened")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("def build(:", "cannot be imported: SyntaxError: invalid syntax"),
        (
            "import nothing_of_this_name",
            "cannot be imported: ModuleNotFoundError: No module named 'nothing_of_this_name'",
        ),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        pytest.param(
            "import torch; torch.nothing",
            "cannot be imported: .*'nothing'",
        ),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_with_its_reason(
    tmp_path: Path, content: str, says: str
) -> None:
    path = tmp_path / "broken.py"
    path.write_text(content)
    assert re.search(says, refused(f"{path}:build"))


def test_a_file_that_is_missing_or_no_python_is_refused(tmp_path: Path) -> None:
    assert "no file" in refused(f"{tmp_path / 'missing.py'}:build")
    (tmp_path / "model.txt").write_text(USER_FILE)
    assert "is not a Python file" in refused(f"{tmp_path / 'model.txt'}:layers")


def test_a_path_leads_from_the_folder_that_is_given(user_file: Path) -> None:
    net = build_network("my_model.py:layers", (1, 6, 6), 4, user_file.parent)
    assert net.size == build_network(f"{user_file}:layers", (1, 6, 6), 4).size


ONCE = """
import torch

class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return gradient

class Net(torch.nn.Linear):
    def forward(self, x):
        return Once.apply(super().forward(x.flatten(1)))

def build(shape, classes):
    return Net(shape[0] * shape[1] * shape[2], classes)
"""


def test_a_module_that_torch_differentiates_only_once_is_taken_and_says_so(tmp_path: Path) -> None:
    """Methods without Hessian-vector products train it as any other."""
    (tmp_path / "once.py").write_text(ONCE)
    net = build_network("once.py:build", (1, 6, 6), 4, tmp_path)
    assert net.no_products is not None
    assert "\n" not in net.no_products
    assert "Error: " in net.no_products
    x, y = examples((1, 6, 6), 5, 4)
    assert torch.isfinite(net.gradient(weights(net), x, y).gradient).all()


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_every_built_in_model_has_products(name: str) -> None:
    assert build_network(name, OF_NO_IMAGES.get(name, (1, 28, 28)), 7).no_products is None
