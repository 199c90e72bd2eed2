"""Streams: fresh examples of a law, and a few that have exactly its moments."""

from __future__ import annotations

import pytest
import torch

from hpobench_fds.data.catalogue import DATASETS, load_dataset, register_dataset
from hpobench_fds.data.stream import STREAM, GaussianStream
from hpobench_fds.errors import InputError
from hpobench_fds.seeds import generator

STREAMS = [
    GaussianStream((1.0,), (2.0,), 0.5),
    GaussianStream((2.0, 0.3, 1e-3), (1.0, -2.0, 0.5), 0.25),
    GaussianStream.power_law(),
    GaussianStream.power_law(inputs=100, decay=0.5, noise=0.6),
]


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: str(stream.inputs))
def test_the_examples_that_stand_for_a_law_have_its_moments(stream: GaussianStream) -> None:
    x, y = stream.population(torch.float64)
    spectrum, signal = torch.tensor(stream.spectrum).double(), torch.tensor(stream.signal).double()
    exact = {"rtol": 0.0, "atol": 1e-14 * float(spectrum.sum() + 1)}
    torch.testing.assert_close(x.mean(0), torch.zeros_like(spectrum), **exact)
    torch.testing.assert_close(x.T @ x / len(x), spectrum.diag(), rtol=0.0, atol=1e-7)
    noise = y[:, 0] - x @ signal
    torch.testing.assert_close(noise @ x / len(x), torch.zeros_like(spectrum), rtol=0.0, atol=1e-7)
    assert float(noise.square().mean()) == pytest.approx(stream.noise, rel=1e-7)


@pytest.mark.parametrize("stream", STREAMS[1:3], ids=lambda stream: str(stream.inputs))
def test_their_mean_loss_is_the_laws(stream: GaussianStream) -> None:
    x, y = stream.population(torch.float64)
    spectrum, signal = (torch.tensor(one, dtype=torch.float64) for one in (stream.spectrum, stream.signal))
    w = torch.linspace(-1, 2, stream.inputs, dtype=torch.float64)
    loss = (x @ w[:, None] - y).square().mean()
    assert float(loss) == pytest.approx(float(spectrum @ (w - signal).square() + stream.noise), rel=1e-12)


def test_targets_have_variance_1_of_which_noise_is_a_share() -> None:
    stream = GaussianStream.of((3.0, 0.5), 0.2)
    _, y = stream.population(torch.float64)
    assert float(y.square().mean()) == pytest.approx(1.0, rel=1e-12)
    assert sum(h * w * w for h, w in zip(stream.spectrum, stream.signal, strict=True)) == pytest.approx(0.8)


def test_samples_are_of_the_law_and_a_function_of_the_generator() -> None:
    stream = STREAMS[1]
    x, y = stream.sample(200_000, generator(0, "a"), torch.float32)
    again, _ = stream.sample(200_000, generator(0, "a"), torch.float32)
    other, _ = stream.sample(200_000, generator(0, "b"), torch.float32)
    assert (x.shape, y.shape, x.dtype) == ((200_000, 3), (200_000, 1), torch.float32)
    assert torch.equal(x, again)
    assert not torch.equal(x, other)
    covariance = x.T @ x / len(x)
    torch.testing.assert_close(covariance, torch.tensor(stream.spectrum).diag(), rtol=0.02, atol=0.01)
    noise = y[:, 0] - x @ torch.tensor(stream.signal)
    assert float(noise.square().mean()) == pytest.approx(stream.noise, rel=0.02)


def test_it_is_a_built_in_data_set() -> None:
    dataset = load_dataset(STREAM, dtype=torch.float64, targets="numbers")
    assert (dataset.shape, dataset.classes) == ((16,), 1)
    assert torch.equal(dataset.x_train, dataset.x_test)
    assert "nothing" in DATASETS[STREAM]
    with pytest.raises(InputError, match="built-in"):
        register_dataset(STREAM, lambda root, dtype: dataset)
    with pytest.raises(InputError, match="numbers for targets"):
        load_dataset(STREAM, targets="tokens")
