"""Initial values of weights and biases."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .errors import ConfigurationError
from .options import number
from .rng import Seed, as_seed


def random_matrix(
    rows: int,
    cols: int,
    mean: float = 0.0,
    std: float | None = None,
    sparsity: float = 0.0,
    radius: float = 0.0,
    diagonal: float = 0.0,
    rng: Seed = None,
    dtype: str = "float32",
) -> npt.NDArray[np.floating]:
    """Draw a matrix of weights.

    Parameters
    ----------
    rows, cols : int
        The shape: inputs, outputs.
    mean : float
        Mean of the normal distribution.
    std : float, optional
        Its standard deviation; by default ``sqrt(2 / (rows + cols))``, which
        keeps the variance of activations and gradients alike (Glorot &
        Bengio 2010, "Understanding the difficulty of training deep
        feedforward neural networks").
    sparsity : float
        The exact fraction of entries, rounded to whole entries, that are
        zero: in [0, 1).
    radius : float
        If positive, the largest absolute eigenvalue of the (square) result,
        its spectral radius.
    diagonal : float
        If not zero, the value on the diagonal, all else being zero.
    rng : Generator, int, SeedSequence, RandomState or None
        Source of randomness; by default a fresh one.
    dtype : str
        The type of the result.

    Returns
    -------
    ndarray of shape (rows, cols)

    Raises
    ------
    ConfigurationError
        If an argument is out of its range, or ``radius`` is asked of a matrix
        that is not square.
    """
    if std is None:
        std = float(np.sqrt(2.0 / (rows + cols)))
    number("mean", mean)
    number("std", std, "nonnegative")
    number("sparsity", sparsity, "fraction")
    number("radius", radius, "nonnegative")
    number("diagonal", diagonal)
    if diagonal:
        return (diagonal * np.eye(rows, cols)).astype(dtype)
    generator = _generator(rng)
    values = generator.normal(mean, std, size=(rows, cols))
    zeros = round(sparsity * rows * cols)
    if zeros:
        values.flat[generator.choice(rows * cols, zeros, replace=False)] = 0
    if radius:
        if rows != cols:
            raise ConfigurationError(
                f"radius={radius!r} needs a square matrix; this one is {rows} x {cols}"
            )
        largest = np.abs(np.linalg.eigvals(values)).max()
        if largest > 0:
            values *= radius / largest
    return values.astype(dtype)


def random_orthogonal(
    rows: int, cols: int, rng: Seed = None, dtype: str = "float32"
) -> npt.NDArray[np.floating]:
    """Draw a matrix whose shorter side is orthonormal, uniformly from all of these.

    Parameters
    ----------
    rows, cols : int
        The shape.
    rng : Generator, int, SeedSequence, RandomState or None
        Source of randomness; by default a fresh one.
    dtype : str
        The type of the result.

    Returns
    -------
    ndarray of shape (rows, cols)
        Of which no product with a vector is longer than the vector.

    References
    ----------
    Saxe et al. 2014, "Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks". Mezzadri 2007, "How to generate random
    matrices from the classical compact groups", says why signs are needed.
    """
    values = _generator(rng).normal(size=(max(rows, cols), min(rows, cols)))
    q, r = np.linalg.qr(values)
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return (q if rows >= cols else q.T).astype(dtype)


def random_vector(
    size: int,
    mean: float = 0.0,
    std: float = 0.0,
    rng: Seed = None,
    dtype: str = "float32",
) -> npt.NDArray[np.floating]:
    """Draw a vector of biases.

    Parameters
    ----------
    size : int
        Its length.
    mean, std : float
        Of the normal distribution; all zeros by default.
    rng : Generator, int, SeedSequence, RandomState or None
        Source of randomness; by default a fresh one.
    dtype : str
        The type of the result.

    Returns
    -------
    ndarray of shape (size,)
    """
    number("mean", mean)
    number("std", std, "nonnegative")
    if std == 0:
        return np.full(size, mean, dtype=dtype)
    return _generator(rng).normal(mean, std, size=size).astype(dtype)


def _generator(rng: Seed) -> np.random.Generator:
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng(as_seed(rng))
