"""Initial values of weights and biases."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .errors import ConfigurationError


def random_matrix(
    rows: int,
    cols: int,
    mean: float = 0.0,
    std: float | None = None,
    sparsity: float = 0.0,
    radius: float = 0.0,
    diagonal: float = 0.0,
    rng: np.random.Generator | None = None,
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
        If positive, the largest absolute eigenvalue of the (square) result.
    diagonal : float
        If not zero, the value on the diagonal, all else being zero.
    rng : numpy.random.Generator, optional
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
    rng = np.random.default_rng() if rng is None else rng
    if std is None:
        std = float(np.sqrt(2.0 / (rows + cols)))
    if not 0 <= sparsity < 1:
        raise ConfigurationError(f"sparsity={sparsity!r} is not in [0, 1)")
    if std < 0:
        raise ConfigurationError(f"std={std!r} is negative")
    if diagonal:
        return (diagonal * np.eye(rows, cols)).astype(dtype)
    values = rng.normal(mean, std, size=(rows, cols))
    zeros = round(sparsity * rows * cols)
    if zeros:
        values.flat[rng.choice(rows * cols, zeros, replace=False)] = 0
    if radius:
        if rows != cols:
            raise ConfigurationError(
                f"radius={radius!r} needs a square matrix; this one is {rows} x {cols}"
            )
        largest = np.abs(np.linalg.eigvals(values)).max()
        if largest > 0:
            values *= radius / largest
    return values.astype(dtype)


def random_vector(
    size: int,
    mean: float = 0.0,
    std: float = 0.0,
    rng: np.random.Generator | None = None,
    dtype: str = "float32",
) -> npt.NDArray[np.floating]:
    """Draw a vector of biases.

    Parameters
    ----------
    size : int
        Its length.
    mean, std : float
        Of the normal distribution; all zeros by default.
    rng : numpy.random.Generator, optional
        Source of randomness; by default a fresh one.
    dtype : str
        The type of the result.

    Returns
    -------
    ndarray of shape (size,)
    """
    if std < 0:
        raise ConfigurationError(f"std={std!r} is negative")
    if std == 0:
        return np.full(size, mean, dtype=dtype)
    rng = np.random.default_rng() if rng is None else rng
    return rng.normal(mean, std, size=size).astype(dtype)
