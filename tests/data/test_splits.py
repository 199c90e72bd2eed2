"""Specification of subsets, splits and the order of batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hpobench_fds.data.catalogue import load_dataset
from hpobench_fds.data.splits import BatchOrder, EpochCache, make_split, stratified_subset
from hpobench_fds.errors import InputError

few = settings(max_examples=40, deadline=None)


# ------------------------------------------------------------------------------------------------- subsets


def test_limits_keep_a_fixed_balanced_subset() -> None:
    full = load_dataset("digits")
    small = load_dataset("digits", train_limit=100, test_limit=30)
    assert (len(small.x_train), len(small.y_train), len(small.x_test), len(small.y_test)) == (
        100,
        100,
        30,
        30,
    )
    assert torch.bincount(small.y_train).tolist() == [10] * 10
    assert torch.bincount(small.y_test).tolist() == [3] * 10
    assert torch.equal(small.x_train, load_dataset("digits", train_limit=100).x_train)
    known = {
        (*row, y) for row, y in zip(full.x_train.flatten(1).tolist(), full.y_train.tolist(), strict=True)
    }
    kept = {
        (*row, y) for row, y in zip(small.x_train.flatten(1).tolist(), small.y_train.tolist(), strict=True)
    }
    assert kept < known  # normalised as the full set is, each image with its own label


def test_a_limit_above_what_there_is_keeps_all() -> None:
    full = load_dataset("digits")
    assert torch.equal(load_dataset("digits", train_limit=10**6).x_train, full.x_train)
    assert torch.equal(load_dataset("digits", test_limit=len(full.x_test)).x_test, full.x_test)


@pytest.mark.parametrize("key", ["train_limit", "test_limit"])
@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_positive(key: str, limit: int) -> None:
    with pytest.raises(InputError, match=f"suite: {key}: {limit} examples"):
        load_dataset("digits", where="suite", **{key: limit})  # type: ignore[arg-type]


@few
@given(y=st.lists(st.integers(0, 4), min_size=1, max_size=60), limit=st.integers(1, 60))
def test_subsets_are_proportional_and_nested(y: list[int], limit: int) -> None:
    labels = torch.tensor(y)
    limit = min(limit, len(y))
    chosen = stratified_subset(labels, limit, "train")
    assert len(set(chosen.tolist())) == len(chosen) == limit
    assert chosen.tolist() == sorted(chosen.tolist())
    share = torch.bincount(labels, minlength=5) / len(y)
    got = torch.bincount(labels[chosen], minlength=5)
    # Half an example of rounding for each class, and the class's share of everyone's rounding.
    assert ((got - limit * share).abs() <= 0.5 + 5 / 2 * share + 1e-4).all()
    larger = stratified_subset(labels, min(limit + 7, len(y)), "train")
    assert set(chosen.tolist()) <= set(larger.tolist())


@pytest.mark.parametrize(("limit", "counts"), [(10, [10, 0]), (100, [99, 1]), (500, [495, 5])])
def test_a_rare_class_stays_as_rare(limit: int, counts: list[int]) -> None:
    labels = torch.tensor([0] * 990 + [1] * 10)
    assert torch.bincount(labels[stratified_subset(labels, limit, "train")], minlength=2).tolist() == counts


@few
@given(members=st.integers(1, 8), classes=st.integers(1, 6), limit=st.integers(1, 48))
def test_subsets_of_equal_classes_differ_by_one_at_most(members: int, classes: int, limit: int) -> None:
    labels = torch.arange(members * classes) % classes
    counts = torch.bincount(labels[stratified_subset(labels, limit, "train")], minlength=classes)
    assert int(counts.max() - counts.min()) <= 1
    assert int(counts.sum()) == min(limit, members * classes)


# -------------------------------------------------------------------------------------------------- splits


@few
@given(n=st.integers(2, 300), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 2**40))
def test_a_split_is_disjoint_and_complete(n: int, fraction: float, seed: int) -> None:
    if not 1 <= np.floor(n * fraction + 0.5) < n:
        with pytest.raises(InputError, match="validation_fraction"):
            make_split(n, fraction, seed)
        return
    split = make_split(n, fraction, seed)
    assert sorted(split.train.tolist() + split.validation.tolist()) == list(range(n))
    assert abs(len(split.validation) - n * fraction) <= 0.5
    assert split.train.dtype == split.validation.dtype == torch.int64
    again = make_split(n, fraction, seed)
    assert torch.equal(split.train, again.train)
    assert torch.equal(split.validation, again.validation)


def test_another_seed_is_another_split() -> None:
    drawn = {tuple(make_split(1000, 0.05, seed).validation.tolist()) for seed in range(5)}
    assert len(drawn) == 5


def test_a_split_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    make_split(100, 0.1, 0)
    BatchOrder(torch.arange(10), 2, 0, "cpu").batch(0)
    assert torch.equal(torch.rand(1), expected)


def test_validation_examples_are_drawn_evenly() -> None:
    counts = torch.zeros(20)
    for seed in range(400):
        counts[make_split(20, 0.25, seed).validation] += 1
    assert counts.min() > 60  # of 100 expected, with a standard deviation of 9
    assert counts.max() < 140


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, 0.001, 0.999, float("nan"), float("inf")])
def test_neither_part_of_a_split_is_empty(fraction: float) -> None:
    with pytest.raises(InputError, match="suite: validation_fraction"):
        make_split(100, fraction, 0, where="suite")


# --------------------------------------------------------------------------------------------- batch order


def order_of(n: int, batch_size: int, seed: int = 0) -> tuple[BatchOrder, Tensor]:
    indices = torch.arange(n) * 3 + 1
    return BatchOrder(indices, batch_size, seed, "cpu"), indices


sizes = st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


@few
@given(size=sizes, seed=st.integers(0, 2**40), first=st.integers(0, 30))
def test_each_epoch_is_the_start_of_a_permutation(size: tuple[int, int], seed: int, first: int) -> None:
    order, indices = order_of(*size, seed)
    steps = order.steps_per_epoch
    assert steps == size[0] // size[1]
    epoch = [order.batch(step) for step in range(first * steps, (first + 1) * steps)]
    assert all(batch.shape == (size[1],) and batch.dtype == torch.int64 for batch in epoch)
    seen = torch.cat(epoch).tolist()
    assert len(set(seen)) == len(seen) == steps * size[1]
    assert set(seen) <= set(indices.tolist())


@few
@given(size=sizes, seed=st.integers(0, 2**40), steps=st.lists(st.integers(0, 400), min_size=1, max_size=30))
def test_random_access_equals_sequential(size: tuple[int, int], seed: int, steps: list[int]) -> None:
    order, _ = order_of(*size, seed)
    other, _ = order_of(*size, seed)
    sequence = [other.batch(step).clone() for step in range(max(steps) + 1)]
    for step in [*steps, *reversed(steps)]:
        assert torch.equal(order.batch(step), sequence[step])


def test_epochs_and_seeds_differ() -> None:
    order, _ = order_of(100, 100)
    drawn = {tuple(order.batch(step).tolist()) for step in range(5)}
    drawn |= {tuple(order_of(100, 100, seed)[0].batch(0).tolist()) for seed in range(1, 5)}
    assert len(drawn) == 9


def test_every_example_is_dropped_now_and_then() -> None:
    order, indices = order_of(10, 4)
    seen = torch.cat([order.batch(step) for step in range(2 * 20)])
    assert set(seen.tolist()) == set(indices.tolist())


def test_the_order_is_drawn_on_the_cpu_and_moved() -> None:
    order = BatchOrder(torch.arange(10), 5, 0, "meta")
    assert order.batch(0).device.type == "meta"


@pytest.mark.parametrize("batch_size", [0, -1, 11])
def test_a_batch_fits_the_examples(batch_size: int) -> None:
    with pytest.raises(InputError, match=f"batch_size: {batch_size} .*1 to 10"):
        order_of(10, batch_size)


def test_there_is_no_negative_step() -> None:
    order, _ = order_of(10, 5)
    for step in (-1, -2, -3):
        with pytest.raises(IndexError):
            order.batch(step)
    with pytest.raises(IndexError):
        order.batch(-1)


def test_the_epochs_last_used_are_kept() -> None:
    drawn: list[int] = []

    def draw(epoch: int) -> list[int]:
        drawn.append(epoch)
        return [10 * epoch, 10 * epoch + 1]

    cache = EpochCache(draw, steps_per_epoch=2, keep=2)
    assert [cache.at(step) for step in (0, 1, 2, 3, 2, 1)] == [0, 1, 10, 11, 10, 1]
    assert drawn == [0, 1]
    assert cache.at(4) == 20  # epoch 0 was used after epoch 1, which makes room
    assert cache.at(0) == 0
    assert drawn == [0, 1, 2]
    assert cache.at(2) == 10
    assert drawn == [0, 1, 2, 1]
