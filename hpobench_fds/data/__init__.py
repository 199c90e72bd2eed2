"""Data sets on disk, whole in memory; splits, batch order, augmentation.

Knows nothing of models or training.
"""

from hpobench_fds.data.dataset import DATASETS, Dataset, load_dataset, register_dataset

__all__ = ["DATASETS", "Dataset", "load_dataset", "register_dataset"]
