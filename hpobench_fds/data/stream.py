"""Examples without end: linear regression of Gaussian inputs, drawn as they are needed.

What is known of such a stream is all of it, its law, so that the expected loss of a training on it can be
worked out (``training.expected``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hpobench_fds.data.dataset import Dataset, digest_of

STREAM = "gaussian_stream"
INPUTS, DECAY, NOISE = 16, 2.0, 0.1  # of the one that is meant where nothing else is said

Examples = tuple[Tensor, Tensor]  # x [n, d] and y [n, 1]


@dataclass(frozen=True)
class GaussianStream:
    """x ~ N(0, diag(spectrum)) and y = sum_i signal_i x_i + N(0, noise).

    spectrum : [d] variances of the inputs. signal : [d] weights. noise : variance of what no input tells.
    """

    spectrum: tuple[float, ...]
    signal: tuple[float, ...]
    noise: float

    @classmethod
    def of(cls, spectrum: tuple[float, ...], noise: float) -> GaussianStream:
        """The stream of that spectrum whose targets have variance 1, ``noise`` of it noise; weights alike.

        So guessing the mean costs 1, and nothing costs less than ``noise``.
        """
        weight = math.sqrt((1.0 - noise) / math.fsum(spectrum))
        return cls(spectrum, (weight,) * len(spectrum), noise)

    @classmethod
    def power_law(cls, inputs: int = INPUTS, decay: float = DECAY, noise: float = NOISE) -> GaussianStream:
        """The stream whose i-th input has variance i^-decay, i = 1, 2, ..."""
        return cls.of(tuple((i + 1.0) ** -decay for i in range(inputs)), noise)

    @property
    def inputs(self) -> int:
        return len(self.spectrum)

    def sample(self, count: int, generator: torch.Generator, dtype: torch.dtype) -> Examples:
        """So many fresh examples, x [count, d] and y [count, 1], on the CPU."""
        normal = torch.randn(count, self.inputs + 1, generator=generator, dtype=torch.float64)
        return self._made(normal, dtype)

    def population(self, dtype: torch.dtype) -> Examples:
        """A few examples with exactly the moments of the law: their mean loss is the stream's.

        They are columns of a Hadamard matrix (Sylvester, 1867), which have mean 0, are orthogonal to each
        other and have ones for squares: inputs, and noise, of variance 1. The number of examples is the
        least power of 2 above d + 1.
        """
        signs = torch.ones(1, 1, dtype=torch.float64)
        while len(signs) < self.inputs + 2:
            signs = torch.cat([torch.cat([signs, signs], 1), torch.cat([signs, -signs], 1)])
        return self._made(signs[:, 1 : self.inputs + 2], dtype)

    def _made(self, normal: Tensor, dtype: torch.dtype) -> Examples:
        """Examples from d + 1 numbers each [n, d + 1] of mean 0 and variance 1."""
        spectrum, signal = (torch.tensor(one, dtype=torch.float64) for one in (self.spectrum, self.signal))
        x = normal[:, :-1] * spectrum.sqrt()
        y = x @ signal + math.sqrt(self.noise) * normal[:, -1]
        return x.to(dtype).contiguous(), y[:, None].to(dtype)

    def dataset(self, device: str | torch.device, dtype: torch.dtype) -> Dataset:
        """Its law as a data set, by whose examples weights are validated and tested; batches are sampled."""
        exact = self.population(torch.float64)
        x, y = (one.to(device, dtype) for one in exact)
        return Dataset(STREAM, x, y, x, y, classes=1, digest=digest_of(*exact))
