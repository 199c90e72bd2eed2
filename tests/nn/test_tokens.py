"""Layers of tokens: gradients and products by their rules are those of autograd."""

from __future__ import annotations

import math

import pytest
import torch
from hpobench_fds.benchmarks.engine.reference import double_backward_products, reference_module
from oracles import matrix
from torch import Tensor

from hpobench_fds.errors import InputError
from hpobench_fds.nn.layers import GELU, CausalAttention, Embedding, Linear, PerToken, Residual, Sequential
from hpobench_fds.nn.losses import NextToken
from hpobench_fds.nn.network import LayeredNetwork, Network
from hpobench_fds.nn.zoo import build_network

CONTEXT, TOKENS = 6, 11


def gpt_nano() -> Network:
    return build_network("gpt-nano", (CONTEXT,), TOKENS, None, TOKENS, NextToken())


def attention_alone() -> Network:
    """Values go straight from the embedding into attention, and past it."""
    body = Sequential(
        Embedding(TOKENS, CONTEXT, 12), CausalAttention(2), GELU(),
        Residual(Sequential(PerToken(Linear(4, 4, "a"), GELU()))), PerToken(Linear(4, TOKENS, "b")),
    )  # fmt: skip
    network = LayeredNetwork(body, (CONTEXT,), TOKENS)
    network.objective = NextToken()
    return network


def embedding_alone() -> Network:
    network = LayeredNetwork(Sequential(Embedding(TOKENS, CONTEXT, TOKENS)), (CONTEXT,), TOKENS)
    network.objective = NextToken()
    return network


NETWORKS = [gpt_nano, attention_alone, embedding_alone]


def weights(network: Network) -> Tensor:
    """Initial ones in float64, moved so that biases and norms count."""
    g = torch.Generator().manual_seed(0)
    w = network.initial(g).double()
    return w + 0.1 * torch.randn(w.shape, generator=g, dtype=torch.float64)


def batch(size: int = 3) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    x, y = torch.randint(TOKENS, (2, size, CONTEXT), generator=g)
    return x, y


def close(found: Tensor, truth: Tensor) -> None:
    torch.testing.assert_close(found, truth, rtol=1e-12, atol=1e-13 * float(truth.abs().max()))


@pytest.mark.parametrize("build", NETWORKS)
@pytest.mark.parametrize("k", [1, 3])
def test_loss_gradient_and_products_are_autograd_s(build: object, k: int) -> None:
    network: Network = build()  # type: ignore[operator]
    w, (x, y) = weights(network), batch()
    leaf = w.clone().requires_grad_()
    loss = network.loss(leaf, x, y)
    (truth,) = torch.autograd.grad(loss, leaf, create_graph=True)
    tape = network.gradient(w, x, y)
    close(tape.loss, loss.detach())
    close(tape.gradient, truth.detach())
    directions = torch.randn(k, network.size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    given, out = network.tangents(w, k), network.tangents(w, k)
    for j, direction in enumerate(directions):
        given.set_row(j, direction)
    for _ in range(2):  # one tape serves several
        out.flat.fill_(math.nan)
        network.products(w, tape, given, out)
        products = [torch.autograd.grad(truth @ d, leaf, retain_graph=True)[0] for d in directions]
        close(matrix(out), torch.stack(products))
    assert torch.equal(matrix(given), directions)


def test_gpt_nano_is_the_reference_module() -> None:
    network = gpt_nano()
    w, (x, _) = weights(network), batch()
    module = reference_module("gpt-nano", (CONTEXT,), TOKENS).double()
    parts = w.split([math.prod(shape) for shape in network.shapes])
    with torch.no_grad():
        for parameter, part in zip(module.parameters(), parts, strict=True):
            parameter.copy_(part.view(parameter.shape))
        close(network.logits(w, x), module(x))


def test_the_other_side_of_the_benchmark_makes_the_same_products() -> None:
    """torch differentiates its fast attention once only: the benchmark must ask for the formula."""
    network = gpt_nano()
    w, (x, y) = weights(network), batch()
    module = reference_module("gpt-nano", (CONTEXT,), TOKENS).double()
    with torch.no_grad():
        for parameter, part in zip(
            module.parameters(), w.split([math.prod(shape) for shape in network.shapes]), strict=True
        ):
            parameter.copy_(part.view(parameter.shape))
    directions = torch.randn(2, len(w), dtype=w.dtype, generator=torch.Generator().manual_seed(1))
    gradient, products = double_backward_products(module, x, y, directions)
    tape = network.gradient(w, x, y)
    given, out = network.tangents(w, 2), network.tangents(w, 2)
    for j, direction in enumerate(directions):
        given.set_row(j, direction)
    network.products(w, tape, given, out)
    close(gradient, tape.gradient)
    close(matrix(out), products)


def test_no_place_sees_what_follows_it() -> None:
    network = gpt_nano()
    w, (x, _) = weights(network), batch()
    changed = x.clone()
    changed[:, 4:] = (changed[:, 4:] + 1) % TOKENS
    before, after = network.logits(w, x), network.logits(w, changed)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.isclose(before[:, 4:], after[:, 4:]).all(-1).any()


def test_its_flops_are_those_of_its_matrix_products() -> None:
    """A forward pass multiplies each weight of a matrix by each place, and all places by all twice."""
    network, width = gpt_nano(), 64
    matrices = 2 * 12 * width**2 + width * TOKENS
    forward = CONTEXT * matrices + 2 * 2 * CONTEXT**2 * width
    assert network.gradient_flops == 2 * 3 * forward
    assert network.product_cost == 2.0


@pytest.mark.parametrize(
    ("shape", "tokens", "loss", "said"),
    [
        ((1, 8, 8), 4, None, r"takes codes \[L\], not examples of shape \(1, 8, 8\)"),
        ((6,), 4, NextToken(), "does not fit inputs"),
    ],
)
def test_what_is_no_text_is_refused(
    shape: tuple[int, ...], tokens: int, loss: NextToken | None, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        build_network("gpt-nano", shape, tokens, objective=loss)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (lambda: Sequential(Embedding(5, 4, 8), CausalAttention(3)), r"of 3 heads cannot take \(4, 8\)"),
        (lambda: Sequential(Embedding(5, 7, 8)), r"of 7 places cannot take \(4,\)"),
        (lambda: Sequential(PerToken(Linear(4, 5))), r"sequences \[L, F\], not \(4,\)"),
    ],
)
def test_layers_that_do_not_fit_say_so(body: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        body().output((4,))  # type: ignore[operator]
