"""Randomness: one seed, and an independent generator for everything that is random.

Also the one place that draws symbolic random numbers, since PyTensor's
interface for them differs between the versions we support.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pytensor
import pytensor.tensor as pt

from .errors import ConfigurationError
from .expressions import Expression, Shared

# What fresh seeds are drawn from, if not from the operating system. A generator
# locks itself, so threads may draw at once.
_fresh: np.random.Generator | None = None

#: What may name a source of randomness; see `as_seed`.
Seed: TypeAlias = (
    "int | np.integer[Any] | np.random.SeedSequence | np.random.Generator"
    " | np.random.RandomState | None"
)


def set_seed(seed: Seed) -> None:
    """Make what is random from here on repeatable, in this process.

    Whatever is made without a seed of its own draws a fresh one, by default
    from the operating system; after this call the fresh seeds are a sequence
    that depends on ``seed`` alone. So the networks that a script makes differ,
    but each of them is the same whenever the script runs. (Threads that make
    networks at once may get these seeds in any order.)

    Parameters
    ----------
    seed : int, SeedSequence, Generator, RandomState or None
        Where the sequence starts; None for the operating system again.

    Raises
    ------
    ConfigurationError
        If ``seed`` is none of these, or a negative integer.

    Examples
    --------
    ::

        theanets.set_seed(1)
        ensemble = [theanets.Regressor([4, 8, 1]) for _ in range(5)]
    """
    global _fresh
    _fresh = None if seed is None else generator(as_seed(seed), "fresh")


def is_set() -> bool:
    """Tell whether fresh seeds are those of `set_seed`."""
    return _fresh is not None


def as_seed(rng: Seed) -> int:
    """Turn whatever names a source of randomness into one integer seed.

    Parameters
    ----------
    rng : int, SeedSequence, Generator, RandomState or None
        None draws a fresh seed, see `set_seed`. Generators are advanced by
        one draw, so that two networks made from the same one differ.

    Returns
    -------
    int
        At least 0, and below 2**63 unless a larger integer was given.

    Raises
    ------
    ConfigurationError
        If ``rng`` is none of these, or a negative integer.
    """
    if rng is None:
        generator = _fresh
        if generator is not None:
            return int(generator.integers(2**63))
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        if rng < 0:
            raise ConfigurationError(f"rng={rng} is negative; a seed is an integer of at least 0")
        return int(rng)
    if isinstance(rng, np.random.SeedSequence):
        return int(rng.generate_state(1, np.uint64)[0] >> 1)
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**63))
    if isinstance(rng, np.random.RandomState):
        return int(rng.randint(2**31))
    raise ConfigurationError(
        f"rng={rng!r} is not a source of randomness; expected an int, None, "
        "a numpy Generator, RandomState or SeedSequence"
    )


def generator(seed: int, *key: str | int) -> np.random.Generator:
    """Get the generator of a seed that belongs to a key.

    Parameters
    ----------
    seed : int
        The seed that governs everything.
    *key : str or int
        Names what it is for: ``('layer', 'hid1')``. Different keys
        give independent ones; the same key always gives the same one,
        whatever else was drawn before.

    Returns
    -------
    numpy.random.Generator
    """
    spawn_key = tuple(k if isinstance(k, int) else zlib.crc32(k.encode()) for k in key)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=spawn_key))


def shared_rng(generator: np.random.Generator, name: str) -> Shared:
    """Make the shared variable that holds a generator's state."""
    return pytensor.shared(generator, name=name)


def normal(rng: Expression, shape: Any, dtype: str) -> tuple[Expression, Expression]:
    """Draw standard normal numbers.

    Returns
    -------
    (next_rng, draws)
        The draws, and what the shared generator must be updated to; without
        that update every call repeats the same numbers.
    """
    return tuple(pt.random.normal(size=shape, rng=rng, dtype=dtype, return_next_rng=True))


def uniform(rng: Expression, shape: Any, dtype: str) -> tuple[Expression, Expression]:
    """Draw numbers uniformly from [0, 1); returns as `normal` does."""
    return tuple(pt.random.uniform(size=shape, rng=rng, dtype=dtype, return_next_rng=True))


def in_json(state: Any) -> Any:
    """Get the state of a bit generator as JSON can hold it."""
    if isinstance(state, Mapping):
        return {key: in_json(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, (np.ndarray, np.generic)) else state
