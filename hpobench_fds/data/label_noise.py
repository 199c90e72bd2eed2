"""Wrong labels in training data, on purpose."""

from __future__ import annotations

from dataclasses import replace

import torch

from hpobench_fds.data.dataset import Dataset
from hpobench_fds.seeds import generator


def with_label_noise(dataset: Dataset, share: float) -> Dataset:
    """A data set with each training label wrong with probability ``share``; testing labels stay.

    What stands in its place is any other class, all alike (symmetric noise: van Rooyen et al., NeurIPS 2015).
    Which are wrong is the same every time; those of a smaller share are wrong with a larger one as well.
    Validation examples are drawn from the training data: their labels are as noisy.
    """
    y = dataset.y_train
    stream = generator(0, "label noise")
    drawn = torch.rand(len(y), generator=stream, dtype=torch.float64)
    moved = torch.randint(1, dataset.classes, (len(y),), generator=stream)
    wrong = (drawn < share).to(y.device)
    other = (y + moved.to(y.device)) % dataset.classes
    return replace(dataset, y_train=torch.where(wrong, other, y))
