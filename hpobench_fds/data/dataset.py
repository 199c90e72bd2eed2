"""A data set as tensors, normalised and whole in memory: a batch is one ``index_select``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset, normalised, whole, on one device.

    x_train, x_test : [N, ...] floating point, images [N, C, H, W]; or int64 codes, for models that embed
        them. Contiguous. y_train, y_test : [N] int64 in [0, classes); or numbers [N, k], or tokens [N, ...].
    classes : how many outputs a model has: classes, numbers, or tokens.
    black : [C], the normalised value of raw 0, with which crops are padded; None pads with the mean, 0.
    labels : what each class is called, where that is not its number.
    digest : SHA-256 of all examples as read, before any is left out; None of a registered data set.
    software : versions of the packages that brought or made the data.
    """

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int
    black: Tensor | None = None
    labels: tuple[str, ...] = ()
    digest: str | None = None
    software: Mapping[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an example; (C, H, W) of an image."""
        return tuple(self.x_train.shape[1:])

    @property
    def device(self) -> torch.device:
        return self.x_train.device

    @property
    def dtype(self) -> torch.dtype:
        return self.x_train.dtype

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> Dataset:
        """The same dataset elsewhere; codes and labels stay int64, and what is there is not copied."""
        kind = (dtype or self.dtype) if self.dtype.is_floating_point else self.dtype
        return replace(
            self,
            x_train=self.x_train.to(device, kind),
            y_train=_moved(self.y_train, device, dtype),
            x_test=self.x_test.to(device, kind),
            y_test=_moved(self.y_test, device, dtype),
            black=None if self.black is None else self.black.to(device, kind),
        )

    @classmethod
    def from_own(
        cls,
        name: str,
        train: tuple[Tensor, Tensor],
        test: tuple[Tensor, Tensor],
        labels: Sequence[str],
        outputs: int,
        digest: str,
        *,
        software: Mapping[str, str] | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Dataset:
        """From examples [N, ...] and targets as they are: numbers get mean 0 and variance 1 in training.

        Each column of a table for itself, each target too; of more dimensions each index of the first, the
        channel. What does not vary becomes 0. int64 codes, classes and tokens stay as they are.
        """
        shift, scale = torch.zeros(()), torch.ones(())
        codes = train[0].dtype == torch.int64
        if not codes:
            numbers = train[0].to(torch.float64)
            over = (0, *range(2, numbers.dim()))
            shift = numbers.mean(over, keepdim=True)[0]
            scale = numbers.std(over, correction=0, keepdim=True)[0]
            scale = torch.where(scale > 0, scale, 1.0)

        def normalise(raw: Tensor) -> Tensor:
            if codes:
                return raw.to(device)
            return ((raw.to(torch.float64) - shift) / scale).to(device, dtype).contiguous()

        def told(y: Tensor) -> Tensor:
            if not y.is_floating_point():
                return y.to(device, torch.int64)
            middle, spread = train[1].mean(0), train[1].std(0, correction=0)
            return ((y - middle) / spread).to(device, dtype).contiguous()

        image = train[0].dim() == 4 and not codes
        return cls(
            name=name,
            x_train=normalise(train[0]),
            y_train=told(train[1]),
            x_test=normalise(test[0]),
            y_test=told(test[1]),
            classes=outputs,
            black=normalise(torch.zeros_like(train[0][:1, :, :1, :1]))[0].flatten() if image else None,
            labels=tuple(labels),
            digest=digest,
            software=software or {},
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
        digest: str | None = None,
        software: Mapping[str, str] | None = None,
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
            digest=digest,
            software=software or {},
        )


def _moved(y: Tensor, device: str | torch.device, dtype: torch.dtype | None) -> Tensor:
    return y.to(device, dtype) if y.is_floating_point() and dtype else y.to(device)


def digest_of(*tensors: Tensor) -> str:
    """SHA-256 of values, types and shapes of tensors on the CPU."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.contiguous().numpy().reshape(-1).data)
    return found.hexdigest()
