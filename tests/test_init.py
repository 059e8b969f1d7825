"""Initial values: moments, exact sparsity, spectral radius, sources of randomness."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theanets import rng as randomness
from theanets.errors import ConfigurationError
from theanets.init import random_matrix, random_vector


def test_default_moments():
    w = random_matrix(300, 500, rng=1, dtype="float64")
    assert w.shape == (300, 500)
    # Five standard errors of the mean and of the standard deviation.
    std = np.sqrt(2 / 800)
    assert abs(w.mean()) < 5 * std / np.sqrt(w.size)
    assert abs(w.std() - std) < 5 * std / np.sqrt(2 * w.size)


def test_given_moments():
    w = random_matrix(300, 500, mean=3, std=0.5, rng=1)
    assert w.dtype == "float32"
    assert abs(w.mean() - 3) < 0.01
    assert abs(w.std() - 0.5) < 0.01
    b = random_vector(100_000, mean=-1, std=2, rng=1)
    assert b.shape == (100_000,)
    assert abs(b.mean() + 1) < 0.05
    assert abs(b.std() - 2) < 0.05


def test_constant_vectors():
    np.testing.assert_array_equal(random_vector(4), np.zeros(4, "f"))
    np.testing.assert_array_equal(random_vector(4, mean=2, dtype="float64"), np.full(4, 2.0))


@given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 1, exclude_max=True))
def test_sparsity_is_exact(rows, cols, sparsity):
    w = random_matrix(rows, cols, sparsity=sparsity, rng=3)
    assert (w == 0).sum() == round(sparsity * rows * cols)


@pytest.mark.parametrize("sparsity", [0, 0.5])
def test_radius_is_of_eigenvalues(sparsity):
    w = random_matrix(30, 30, radius=1.2, sparsity=sparsity, rng=4, dtype="float64")
    assert np.abs(np.linalg.eigvals(w)).max() == pytest.approx(1.2)
    plain = random_matrix(30, 30, sparsity=sparsity, rng=4, dtype="float64")
    np.testing.assert_allclose(w / plain.max(), plain * w.max() / plain.max() ** 2)


def test_radius_of_a_nilpotent_matrix():
    w = random_matrix(2, 2, radius=1, sparsity=0.75, rng=np.random.default_rng(2))
    assert np.isfinite(w).all()


def test_diagonal():
    expected = [[0.5, 0, 0], [0, 0.5, 0]]
    np.testing.assert_array_equal(random_matrix(2, 3, diagonal=0.5, sparsity=0.9), expected)


@pytest.mark.parametrize(
    ("kwargs", "part"),
    [
        ({"sparsity": 1}, r"sparsity=1 is not a number in \[0, 1\)"),
        ({"sparsity": -0.1}, "sparsity=-0.1"),
        ({"std": -1}, "std=-1 is not a number of at least 0"),
        ({"std": float("nan")}, "std=nan is not a number of at least 0"),
        ({"mean": float("inf")}, "mean=inf"),
        ({"mean": "a"}, "mean='a' is not a finite number"),
        ({"radius": -1}, "radius=-1 is not a number of at least 0"),
        ({"radius": 1}, "needs a square matrix; this one is 2 x 3"),
        ({"rng": -1}, "rng=-1 is negative"),
        ({"rng": "x"}, "rng='x' is not a source of randomness"),
        ({"rng": True}, "rng=True"),
    ],
)
def test_wrong_arguments(kwargs, part):
    with pytest.raises(ConfigurationError, match=part):
        random_matrix(2, 3, **kwargs)


def test_wrong_arguments_of_vectors():
    with pytest.raises(ConfigurationError, match="std=-1"):
        random_vector(3, std=-1)


SOURCES = {
    "int": lambda: 5,
    "numpy int": lambda: np.int64(5),
    "large int": lambda: 2**100,
    "seed sequence": lambda: np.random.SeedSequence(5),
    "generator": lambda: np.random.default_rng(5),
    "random state": lambda: np.random.RandomState(5),
}


@pytest.mark.parametrize("source", SOURCES)
def test_sources_repeat(source):
    make = SOURCES[source]
    np.testing.assert_array_equal(random_matrix(3, 4, rng=make()), random_matrix(3, 4, rng=make()))
    assert randomness.as_seed(make()) == randomness.as_seed(make()) >= 0


def test_sources_differ():
    seeds = [randomness.as_seed(make()) for make in SOURCES.values()]
    assert len(set(seeds)) == len(SOURCES) - 1  # an int and a NumPy int are the same
    assert randomness.as_seed(None) != randomness.as_seed(None)
    assert not np.array_equal(random_matrix(3, 4), random_matrix(3, 4))


@pytest.mark.parametrize("source", ["generator", "random state"])
def test_generators_advance(source):
    generator = SOURCES[source]()
    assert randomness.as_seed(generator) != randomness.as_seed(generator)


def test_streams():
    """A stream belongs to a seed and a key, whatever else was drawn, and to no other."""
    keys = [("layer", "a"), ("layer", "b"), ("noise", "a"), ("layer",), ("run", 0), ("run", 1)]
    draws = {key: tuple(randomness.generator(3, *key).random(3)) for key in keys}
    assert len(set(draws.values())) == len(keys)
    for key in reversed(keys):
        assert tuple(randomness.generator(3, *key).random(3)) == draws[key]
        assert tuple(randomness.generator(4, *key).random(3)) != draws[key]
