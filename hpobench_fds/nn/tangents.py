"""k tangents of a parameter vector, stored parameter by parameter.

A plain [k, P] array would make every layer's k weight tangents strided. Here the k tangents of one
parameter lie together, [k, *shape], so that a layer's tangents enter one GEMM or convolution as
they are, while elementwise work still runs over one flat buffer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Tangents:
    """k vectors over parameters of the given shapes.

    Attributes
    ----------
    flat : the whole buffer [k * P].
    blocks : one view [k, *shape] for each parameter.
    """

    def __init__(
        self, shapes: Sequence[tuple[int, ...]], k: int, *, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.shapes, self.k = list(shapes), k
        sizes = [_numel(shape) for shape in self.shapes]
        self.flat = torch.zeros(k * sum(sizes), dtype=dtype, device=device)
        self.sizes = sizes
        self.blocks = [
            block.view(k, *shape)
            for block, shape in zip(
                self.flat.split_with_sizes([k * n for n in sizes]), self.shapes, strict=True
            )
        ]
        self._rows: dict[int, list[Tensor]] = {}

    def like(self) -> Tangents:
        """Zeros of the same layout."""
        return Tangents(self.shapes, self.k, dtype=self.flat.dtype, device=self.flat.device)

    def grown(self, k: int) -> Tangents:
        """The same tangents followed by zero ones, ``k`` in all."""
        out = Tangents(self.shapes, k, dtype=self.flat.dtype, device=self.flat.device)
        for new, old in zip(out.blocks, self.blocks, strict=True):
            new[: self.k] = old
        return out

    def row(self, j: int) -> list[Tensor]:
        """Views of tangent ``j``: one flat vector for each parameter."""
        if j not in self._rows:
            self._rows[j] = [
                block.view(self.k, n)[j] for block, n in zip(self.blocks, self.sizes, strict=True)
            ]
        return self._rows[j]

    def add_to_row(self, j: int, vector: Tensor, scale: float = 1.0) -> None:
        """Tangent j += scale * vector [P]."""
        torch._foreach_add_(self.row(j), list(vector.split_with_sizes(self.sizes)), alpha=scale)

    def mul_vector(self, vector: Tensor) -> None:
        """Every tangent *= vector [P], elementwise."""
        parts = vector.split_with_sizes(self.sizes)
        for block, part, shape in zip(self.blocks, parts, self.shapes, strict=True):
            block.mul_(part.view(shape))

    def add_times(self, other: Tangents, vector: Tensor) -> None:
        """Every tangent += the other's * vector [P], elementwise."""
        parts = vector.split_with_sizes(self.sizes)
        for block, more, part, shape in zip(self.blocks, other.blocks, parts, self.shapes, strict=True):
            block.addcmul_(more, part.view(shape))

    def set_row(self, j: int, vector: Tensor) -> None:
        """Tangent j = vector [P]."""
        torch._foreach_copy_(self.row(j), list(vector.split_with_sizes(self.sizes)))

    def vector(self, j: int) -> Tensor:
        """Tangent j as one vector [P]; a view of the buffer if it is the only tangent."""
        return self.flat if self.k == 1 else torch.cat(self.row(j))

    def norms(self) -> Tensor:
        """Euclidean norms [k], float64."""
        double = torch.float64
        parts = [
            torch.linalg.vector_norm(b.view(self.k, n), dim=1, dtype=double)
            for b, n in zip(self.blocks, self.sizes, strict=True)
        ]
        norms: Tensor = torch.linalg.vector_norm(torch.stack(parts), dim=0)
        return norms

    def dot(self, vector: Tensor) -> Tensor:
        """Inner products with a vector [P]: [k]."""
        parts = zip(self.blocks, vector.split_with_sizes(self.sizes), self.sizes, strict=True)
        return torch.stack([b.view(self.k, n) @ part for b, part, n in parts]).sum(0)


def _numel(shape: tuple[int, ...]) -> int:
    n = 1
    for side in shape:
        n *= side
    return n
