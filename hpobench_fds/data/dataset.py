"""A data set as tensors, normalised and whole in memory: a batch is one ``index_select``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification dataset, normalised, whole, on one device.

    x_train, x_test : [N, C, H, W] floating point, contiguous; y_train, y_test : [N] int64 in [0, classes).
    black : [C], the normalised value of raw 0, with which crops are padded; None pads with the mean, 0.
    """

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int
    black: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.x_train.shape[1:]
        return channels, height, width

    @property
    def device(self) -> torch.device:
        return self.x_train.device

    @property
    def dtype(self) -> torch.dtype:
        return self.x_train.dtype

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> Dataset:
        """The same dataset elsewhere; labels stay int64, and what is already there is not copied."""
        return replace(
            self,
            x_train=self.x_train.to(device, dtype or self.dtype),
            y_train=self.y_train.to(device),
            x_test=self.x_test.to(device, dtype or self.dtype),
            y_test=self.y_test.to(device),
            black=None if self.black is None else self.black.to(device, dtype or self.dtype),
        )

    @classmethod
    def from_images(
        cls,
        name: str,
        train: tuple[Tensor, Tensor],
        test: tuple[Tensor, Tensor],
        classes: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        scale: float = 255.0,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Dataset:
        """From raw pairs (images [N, C, H, W] in 0..scale, labels [N]); mean, std [C] of images / scale."""
        # Tensors, not Python numbers: CUDA divides by a number through its reciprocal and would differ from
        # the CPU in the last bit.
        centre, spread = (
            (torch.tensor(values, dtype=torch.float64) * scale).to(device, dtype).view(-1, 1, 1)
            for values in (mean, std)
        )

        def normalise(raw: Tensor) -> Tensor:
            # Raw bytes travel to the device, a quarter of what floats would.
            x = raw.to(device).to(dtype, copy=True, memory_format=torch.contiguous_format)
            return x.sub_(centre).div_(spread)

        return cls(
            name=name,
            x_train=normalise(train[0]),
            y_train=train[1].to(device, torch.int64),
            x_test=normalise(test[0]),
            y_test=test[1].to(device, torch.int64),
            classes=classes,
            black=normalise(torch.zeros(len(mean), 1, 1)).flatten(),
        )
