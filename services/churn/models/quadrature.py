"""Gauss-Jacobi quadrature on [0, 1] against a beta density, with numpy alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NODES = 64


@lru_cache(maxsize=4096)
def beta_rule(a: float, b: float) -> tuple[Floats, Floats]:
    """Nodes and weights, (NODES,) each, so that sum(w * f(p)) is E[f(P)], P ~ Beta(a, b), a and b > 0.

    Golub & Welsch (1969): eigenvalues of the Jacobi matrix, mapped from [-1, 1]. Exact for polynomials up to
    degree 2 * NODES - 1. The arrays are shared between callers and read-only.
    """
    # The weight p^(a-1) (1-p)^(b-1) is Jacobi's (1-y)^alpha (1+y)^beta under p = (1+y)/2.
    alpha, beta = b - 1.0, a - 1.0
    k = np.arange(1, NODES, dtype=np.float64)
    total = 2.0 * k + alpha + beta
    diagonal = np.empty(NODES)
    diagonal[0] = (beta - alpha) / (alpha + beta + 2.0)
    diagonal[1:] = (beta - alpha) * (beta + alpha) / (total * (total + 2.0))
    square = np.empty(NODES - 1)
    # k = 1 apart: the general term is 0 / 0 where alpha + beta = -1.
    square[0] = 4.0 * (1.0 + alpha) * (1.0 + beta) / ((2.0 + alpha + beta) ** 2 * (3.0 + alpha + beta))
    rest, t = k[1:], total[1:]
    square[1:] = 4.0 * rest * (rest + alpha) * (rest + beta) * (rest + alpha + beta) / (t**2 * (t**2 - 1.0))
    off = np.sqrt(square)
    nodes, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1))
    # A node may round to 0 or just below it; callers divide by it.
    p = np.clip((1.0 + nodes) / 2.0, 1e-12, 1.0)
    weights = vectors[0] ** 2
    p.flags.writeable = False
    weights.flags.writeable = False
    return p, weights
