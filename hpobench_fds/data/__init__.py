"""Data sets on disk, whole in memory; splits, batch order, augmentation.

Knows nothing of models or training.
"""

from hpobench_fds.data.catalogue import DATASETS, load_dataset, register_dataset
from hpobench_fds.data.dataset import Dataset

__all__ = ["DATASETS", "Dataset", "load_dataset", "register_dataset"]
