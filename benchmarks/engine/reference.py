"""The other side of every engine benchmark: what a careful user would write with PyTorch alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def reference_module(name: str, shape: tuple[int, int, int], classes: int = 10) -> nn.Module:
    """mlp, lenet or wrn-16-1 as an ordinary nn.Module."""
    channels, side, _ = shape
    if name == "mlp":
        flat = channels * side * side
        return nn.Sequential(nn.Flatten(), nn.Linear(flat, 64), nn.ReLU(), nn.Linear(64, classes))
    if name == "lenet":
        flat = 16 * ((side - 4) // 2 - 4) ** 2 // 4
        return nn.Sequential(
            nn.Conv2d(channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(flat, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes),
        )  # fmt: skip
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
            F.cross_entropy(module(x[indices]), y[indices]).backward()
            optimiser.step()

    return run


def double_backward_products(
    module: nn.Module, x: Tensor, y: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradient [P] and k Hessian-vector products [k, P], one double-backward product at a time.

    This is how published forward-mode code makes its tangents.
    """
    parameters = list(module.parameters())
    loss = F.cross_entropy(module(x), y)
    grads = torch.autograd.grad(loss, parameters, create_graph=True)
    flat = torch.cat([g.reshape(-1) for g in grads])
    rows = [torch.autograd.grad(flat @ direction, parameters, retain_graph=True) for direction in directions]
    return flat.detach(), torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows])
