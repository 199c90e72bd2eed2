"""The other side of every engine benchmark: what a careful user would write with PyTorch alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


def reference_module(name: str, shape: tuple[int, ...], classes: int = 10) -> nn.Module:
    """A built-in model as an ordinary nn.Module."""
    channels = shape[0]
    if name == "mlp":
        flat = math.prod(shape)
        return nn.Sequential(nn.Flatten(), nn.Linear(flat, 64), nn.ReLU(), nn.Linear(64, classes))
    if name == "linear":
        return nn.Linear(channels, classes, bias=False)
    if name == "tab-mlp":
        return nn.Sequential(
            nn.Linear(channels, 64), nn.LayerNorm(64), nn.SiLU(),
            nn.Linear(64, 64), nn.LayerNorm(64), nn.SiLU(), nn.Linear(64, classes),
        )  # fmt: skip
    if name == "conv1d":
        body = nn.Sequential(
            nn.Conv1d(channels, 25, 5, 2, 1), nn.ReLU(), nn.Conv1d(25, 25, 3, 2, 1), nn.ReLU(),
            nn.Conv1d(25, 25, 3, 2, 1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        return nn.Sequential(*body, nn.Linear(body(torch.zeros(1, *shape)).shape[1], classes))
    if name == "resnet-8":
        return _ResNet8(channels, classes)
    if name == "lenet":
        flat = 16 * ((shape[1] - 4) // 2 - 4) ** 2 // 4
        return nn.Sequential(
            nn.Conv2d(channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(flat, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes),
        )  # fmt: skip
    if name == "gpt-nano":
        return _GPTNano(shape[0], classes)
    if name.startswith("wrn-"):
        depth, widen = (int(part) for part in name.split("-")[1:])
        return _WideResNet(channels, classes, depth, widen)
    raise ValueError(f"no reference module {name!r}")


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(self.norm1(x))
        out: Tensor = self.conv2(F.relu(self.norm2(self.conv1(a))))
        return out + (x if self.shortcut is None else self.shortcut(a))


class _WideResNet(nn.Module):
    def __init__(self, channels: int, classes: int, depth: int, widen: int) -> None:
        super().__init__()
        widths = [16, 16 * widen, 32 * widen, 64 * widen]
        self.stem = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        blocks = []
        for group in range(3):
            for index in range((depth - 4) // 6):
                inputs = widths[group] if index == 0 else widths[group + 1]
                blocks.append(_Block(inputs, widths[group + 1], 2 if group and index == 0 else 1))
        self.blocks = nn.Sequential(*blocks)
        self.norm, self.output = nn.BatchNorm2d(widths[3]), nn.Linear(widths[3], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.blocks(self.stem(x))))
        out: Tensor = self.output(x.mean((2, 3)))
        return out


class _BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = outputs // inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = None if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(out + (x if self.shortcut is None else self.shortcut(x)))


class _ResNet8(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(channels, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(_BasicBlock(16, 16), _BasicBlock(16, 32), _BasicBlock(32, 64))
        self.output = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.output(self.blocks(F.relu(self.norm(self.stem(x)))).mean((2, 3)))
        return out


class _GPTBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.up = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.down = nn.Linear(width, width)
        self.norm2, self.hidden = nn.LayerNorm(width), nn.Linear(width, 4 * width)
        self.output = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.up(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.down(mixed.transpose(1, 2).flatten(2))
        out: Tensor = self.output(F.gelu(self.hidden(self.norm2(x))))
        return x + out


class _GPTNano(nn.Module):
    def __init__(self, context: int, tokens: int, width: int = 64) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(tokens, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(_GPTBlock(width, 4), _GPTBlock(width, 4))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, tokens)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.norm(self.blocks(self.token(x) + self.place.weight)))
        return out


def _loss(out: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of classes, or of the tokens at each place."""
    return F.cross_entropy(out.flatten(0, -2), y.flatten())


def plain_loop(
    module: nn.Module, x: Tensor, y: Tensor, order: Callable[[int], Tensor], lr: float = 0.01
) -> Callable[[int], None]:
    """A tight loop with torch.optim.SGD over data already on the device; call it with a number of steps."""
    optimiser = torch.optim.SGD(module.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
    done = 0

    def run(steps: int) -> None:
        nonlocal done
        for _ in range(steps):
            indices = order(done)
            done += 1
            optimiser.zero_grad(set_to_none=True)
            _loss(module(x[indices]), y[indices]).backward()
            optimiser.step()

    return run


def double_backward_products(
    module: nn.Module, x: Tensor, y: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradient [P] and k Hessian-vector products [k, P], one double-backward product at a time.

    This is how published forward-mode code makes its tangents. Attention is its plain formula, since torch
    differentiates no other twice.
    """
    parameters = list(module.parameters())
    with sdpa_kernel(SDPBackend.MATH):
        loss = _loss(module(x), y)
    grads = torch.autograd.grad(loss, parameters, create_graph=True)
    flat = torch.cat([g.reshape(-1) for g in grads])
    rows = [torch.autograd.grad(flat @ direction, parameters, retain_graph=True) for direction in directions]
    return flat.detach(), torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows])
