"""Labels that are wrong on purpose: so many, the same every time, never in test."""

from __future__ import annotations

import pytest
import torch

from hpobench_fds.data import load_dataset
from hpobench_fds.data.label_noise import with_label_noise


def test_a_share_of_training_labels_is_wrong_and_no_test_label() -> None:
    clean = load_dataset("digits")
    noisy = with_label_noise(clean, 0.3)
    wrong = noisy.y_train != clean.y_train
    assert float(wrong.float().mean()) == pytest.approx(0.3, abs=0.04)  # 3 standard errors of 1,442
    assert torch.equal(noisy.y_test, clean.y_test)
    assert torch.equal(noisy.x_train, clean.x_train)
    assert noisy.digest == clean.digest  # of what was read
    assert set(noisy.y_train.tolist()) == set(range(10))


def test_every_other_class_takes_its_place_alike() -> None:
    clean = load_dataset("digits")
    noisy = with_label_noise(clean, 0.9)
    moved = (noisy.y_train - clean.y_train)[noisy.y_train != clean.y_train] % 10
    counts = torch.bincount(moved, minlength=10)
    assert counts[0] == 0
    assert float(counts[1:].double().std() / counts[1:].double().mean()) < 0.2


def test_it_is_the_same_every_time_and_less_of_it_lies_within_more() -> None:
    clean = load_dataset("digits")
    some, again, more = (with_label_noise(clean, share).y_train for share in (0.2, 0.2, 0.4))
    assert torch.equal(some, again)
    wrong = some != clean.y_train
    assert torch.equal(some[wrong], more[wrong])
    assert int((more != clean.y_train).sum()) > int(wrong.sum())
