"""The nearest orthogonal matrix."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["orthogonalize"]

QUINTIC = 3.4445, -4.7750, 2.0315
"""Of Muon: steep at 0, so that small singular values grow fast; they end in about 0.7 to 1.2."""


def orthogonalize(matrix: Tensor, *, exact: bool = False, steps: int = 5) -> Tensor:
    """The matrix with its singular values set to 1: U·Vᵀ of U·S·Vᵀ, where S is not zero.

    Args:
        matrix: `(rows, columns)`.
        exact: by singular value decomposition; else by Newton-Schulz iterations, whose singular values lie in about
            0.7 to 1.2, those of directions a thousand times smaller than the largest lower still.
        steps: iterations, at least 1.

    Returns:
        A tensor like `matrix`.

    Raises:
        ValueError: not a matrix, or `steps` below 1.

    Helps: steepest descent under the spectral norm.

    Harms: low-rank gradients: noise in the small directions is made as large as the signal.

    Costs: iterations: three products a step, of the size of the matrix times its shorter side.

    Source: Jordan et al., "Muon", 2024, with their coefficients, in float32 where theirs is bfloat16. For an orthogonal
    start: `torch.nn.init.orthogonal_`.

    >>> orthogonalize(torch.tensor([[3.0, 0.0], [0.0, -0.5]]), exact=True)
    tensor([[ 1.,  0.],
            [ 0., -1.]])
    """
    if matrix.ndim != 2 or steps < 1:
        raise ValueError(
            f"orthogonalize() got shape {tuple(matrix.shape)} and steps={steps}; a matrix, and at least 1."
        )
    x = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    if exact:
        u, s, v = torch.linalg.svd(x, full_matrices=False)
        kept = s > s.max() * max(x.shape) * torch.finfo(x.dtype).eps
        found: Tensor = (u * kept) @ v
        return found.to(matrix.dtype)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    norm = torch.linalg.matrix_norm(x)
    x = x * torch.where(norm > 0, 1 / norm, 0.0)
    a, b, c = QUINTIC
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)
