"""Data augmentation of whole batches on the device: random crop, horizontal flip, cutout.

A batch's augmentation is a pure function of (images, seed, step), so that reverse mode can replay it. The
draws of an epoch are made at once on the CPU, and are the same on every device.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hpobench_fds.data.splits import Around, EpochCache
from hpobench_fds.errors import InputError
from hpobench_fds.seeds import generator


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training image, in this order.

    crop_padding : pixels of raw black added at each side before a crop to the old size, drawn uniformly.
    flip : mirror left to right, with probability one half.
    cutout, cutout_probability : with that probability, set a square of that side (pixels) to 0, the mean. Its
        centre is drawn uniformly in the image and the square is clipped at the border.

    Raises
    ------
    InputError : a negative size, or a probability outside 0..1.
    """

    crop_padding: int = 0
    flip: bool = False
    cutout: int = 0
    cutout_probability: float = 1.0

    def __post_init__(self) -> None:
        for key, size in (("crop_padding", self.crop_padding), ("cutout", self.cutout)):
            if size < 0:
                raise InputError(f"{size}", key=key, allowed="0 or more pixels")
        if not 0 <= self.cutout_probability <= 1:
            raise InputError(f"{self.cutout_probability}", key="cutout_probability", allowed="0 to 1")

    @property
    def active(self) -> bool:
        """Whether it changes anything."""
        return self.crop_padding > 0 or self.flip or (self.cutout > 0 and self.cutout_probability > 0)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise InputError if it changes examples that are no images (C, H, W).

        So it does, naming the option, if it moves or cuts more than images have.
        """
        if len(shape) != 3:
            if self.active:
                raise InputError(f"for examples of shape {shape}", allowed="images [C, H, W]")
            return
        _, height, width = shape
        for key, size in (("crop_padding", self.crop_padding), ("cutout", self.cutout)):
            if size > min(height, width):
                raise InputError(f"{size} for images of {height}x{width} pixels", key=key)


class _Draw(NamedTuple):
    """One batch's draws, each [batch_size] int64 on the device."""

    corner: Tensor  # where the crop starts in the flattened padded image
    flip: Tensor  # 0 or 1
    top: Tensor  # first row and column of the cutout; it may lie outside
    left: Tensor


class Augmenter:
    """Augments the batch of a step.

    Parameters
    ----------
    order_seed : the seed of the batch order; streams of their own are derived from it.
    batch_size, steps_per_epoch : as in BatchOrder.
    image_shape : (C, H, W).
    black : [C], the value to pad crops with (Dataset.black); None pads with 0, the mean.
    around : entered while the numbers of an epoch are drawn.

    Raises
    ------
    InputError : padding or cutout larger than the image.
    """

    def __init__(
        self,
        augmentation: Augmentation,
        order_seed: int,
        batch_size: int,
        steps_per_epoch: int,
        image_shape: tuple[int, int, int],
        device: str | torch.device,
        *,
        black: Tensor | None = None,
        around: Around = nullcontext,
    ) -> None:
        self.augmentation = augmentation
        self.image_shape = image_shape
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self._seed = order_seed
        self._device = torch.device(device)
        channels, height, width = image_shape
        augmentation.check(image_shape)
        if black is None:
            black = torch.zeros(channels)
        self._black = black.detach().to(self._device)
        self._rows = torch.arange(height, device=self._device)
        self._columns = torch.arange(width, device=self._device)
        # [2, H * W]: where each pixel of an image, plain and mirrored, lies in a flattened padded image.
        stride = width + 2 * augmentation.crop_padding
        plain = self._rows[:, None] * stride + self._columns
        self._grid = torch.stack([plain.flatten(), plain.flip(1).flatten()])
        self._draws: EpochCache[_Draw] = EpochCache(self._draw, steps_per_epoch, around=around)

    def __call__(self, x: Tensor, step: int) -> Tensor:
        """x [batch_size, C, H, W], as augmented at that step; x itself is left alone.

        Raises
        ------
        ValueError : x has another shape.
        """
        if x.shape != (self.batch_size, *self.image_shape):
            raise ValueError(f"{tuple(x.shape)} is not the shape {(self.batch_size, *self.image_shape)}")
        if not self.augmentation.active:
            return x
        draw = self._draws.at(step)
        if self.augmentation.crop_padding or self.augmentation.flip:
            x = self._crop_and_flip(x, draw)
        if self.augmentation.cutout:
            x = x.masked_fill(self._hole(draw), 0.0)
        return x

    def _crop_and_flip(self, x: Tensor, draw: _Draw) -> Tensor:
        # One gather does both: a mirrored image is read by a mirrored grid.
        source = (self._grid[draw.flip] + draw.corner[:, None])[:, None].expand(-1, x.shape[1], -1)
        return self._padded(x).flatten(2).gather(2, source).view(x.shape)

    def _padded(self, x: Tensor) -> Tensor:
        padding = self.augmentation.crop_padding
        if not padding:
            return x
        batch, channels, height, width = x.shape
        canvas = self._black.to(x.dtype).view(1, channels, 1, 1)
        canvas = canvas.expand(batch, channels, height + 2 * padding, width + 2 * padding)
        canvas = canvas.clone(memory_format=torch.contiguous_format)
        canvas[:, :, padding:-padding, padding:-padding] = x
        return canvas

    def _hole(self, draw: _Draw) -> Tensor:
        """[B, 1, H, W], true inside the cutout."""
        side = self.augmentation.cutout
        down, along = self._rows - draw.top[:, None], self._columns - draw.left[:, None]
        inside_rows, inside_columns = (down >= 0) & (down < side), (along >= 0) & (along < side)
        return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]

    def _draw(self, epoch: int) -> tuple[_Draw, ...]:
        """An epoch's draws. Each kind has its own stream: switching one on leaves the others as they were."""
        options, size = self.augmentation, self.steps_per_epoch * self.batch_size
        _, height, width = self.image_shape

        def stream(kind: str) -> torch.Generator:
            return generator(self._seed, "augmentation", kind, epoch)

        shift = torch.randint(0, 2 * options.crop_padding + 1, (2, size), generator=stream("crop"))
        corner = shift[0] * (width + 2 * options.crop_padding) + shift[1]
        mirrored = torch.rand(size, generator=stream("flip")) < (0.5 if options.flip else 0.0)
        cutouts = stream("cutout")
        top = torch.randint(0, height, (size,), generator=cutouts) - options.cutout // 2
        left = torch.randint(0, width, (size,), generator=cutouts) - options.cutout // 2
        spared = torch.rand(size, generator=cutouts) >= options.cutout_probability
        top[spared] = height  # below the image: nothing is cut
        table = torch.stack([corner, mirrored.long(), top, left])
        table = table.view(4, self.steps_per_epoch, self.batch_size).to(self._device)
        return tuple(_Draw(*table[:, step].unbind()) for step in range(self.steps_per_epoch))
