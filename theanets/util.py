"""What earlier versions had in this module; most of it has a place of its own now."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytensor.tensor as pt

from . import init
from .errors import ConfigurationError, Error, deprecated

__all__ = [
    "FLOAT",
    "FLOAT_CONTAINERS",
    "INT_CONTAINERS",
    "ConfigurationError",
    "Error",
    "Registrar",
    "enable_detailed_callsite_logging",
    "log",
    "outputs_matching",
    "params_matching",
    "random_matrix",
    "random_vector",
]

#: The type of numbers in a network that is not told otherwise.
FLOAT = "float32"
#: Functions that make a symbolic array, by its number of dimensions.
FLOAT_CONTAINERS = (pt.scalar, pt.vector, pt.matrix, pt.tensor3, pt.tensor4)
INT_CONTAINERS = (pt.iscalar, pt.ivector, pt.imatrix, pt.itensor3, pt.itensor4)


class Registrar(type):
    """A metaclass whose classes keep their subclasses by name, in lower case.

    A subclass is also registered under the names in its
    ``__extra_registration_keys__``.
    """

    _registry: dict[str, Any]

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        if not hasattr(cls, "_registry"):
            cls._registry = {}
            return
        for key in (name, *namespace.get("__extra_registration_keys__", ())):
            cls._registry[key.lower()] = cls

    def build(cls, key: str, *args: Any, **kwargs: Any) -> Any:
        """Make an instance of the class of a name."""
        return cls.get_class(key)(*args, **kwargs)

    def get_class(cls, key: str) -> Any:
        """Get the class of a name."""
        return cls._registry[key.lower()]

    def is_registered(cls, key: str) -> bool:
        """Tell whether there is a class of that name."""
        return key.lower() in cls._registry


def random_matrix(
    rows: int,
    cols: int,
    mean: float = 0.0,
    std: float = 1.0,
    sparsity: float = 0.0,
    radius: float = 0.0,
    diagonal: float = 0.0,
    rng: Any = None,
) -> Any:
    """Draw a matrix as `theanets.init.random_matrix` does, with a standard deviation of 1."""
    return init.random_matrix(rows, cols, mean, std, sparsity, radius, diagonal, rng)


def random_vector(size: int, mean: float = 0.0, std: float = 1.0, rng: Any = None) -> Any:
    """Draw a vector as `theanets.init.random_vector` does, with a standard deviation of 1."""
    return init.random_vector(size, mean, std, rng)


def outputs_matching(outputs: Any, patterns: Any) -> Iterator[tuple[str, Any]]:
    """Generate the outputs that match any of some glob patterns.

    Parameters
    ----------
    outputs : dict or list of pairs
        Expressions by name, ``'hid1:out'``.
    patterns : str, list of str or None
        What is matched against the names; None matches all.

    Yields
    ------
    (name, expression)
    """
    pairs = outputs.items() if isinstance(outputs, Mapping) else outputs
    for name, expression in pairs:
        if _matches(name, patterns):
            yield name, expression


def params_matching(layers: Iterable[Any], patterns: Any) -> Iterator[tuple[str, Any]]:
    """Generate the parameters of layers that match any of some glob patterns.

    Parameters
    ----------
    layers : list of Layer
        The layers.
    patterns : str, list of str or None
        What is matched against the names, ``'hid1.w'``; None matches all.

    Yields
    ------
    (name, parameter)
    """
    return outputs_matching([(p.name, p) for layer in layers for p in layer.params], patterns)


def _matches(name: str, patterns: Any) -> bool:
    listed = [patterns] if isinstance(patterns, str) else ["*"] if patterns is None else patterns
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in listed)


def enable_detailed_callsite_logging() -> None:
    """Do nothing: the format of log records says where they come from, ``%(pathname)s``."""
    deprecated("the format of a handler says where records come from: '%(pathname)s:%(lineno)d'")


def log(message: object, *args: Any, **kwargs: Any) -> None:
    """Log a message to ``logging.getLogger('theanets')``, at the level ``INFO``.

    Parameters
    ----------
    message : object
        What is logged. Braces are places for the arguments, as in
        `str.format`, if there are any arguments, and else stay as they are.
    *args, **kwargs
        The arguments.
    """
    text = str(message)
    logging.getLogger(__package__).info(
        "%s", text.format(*args, **kwargs) if args or kwargs else text
    )
