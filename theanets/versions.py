"""What differs between versions of PyTensor, and what of it is private: here and nowhere else.

Whatever is private may be gone in the next version. So it is asked for here, and who gets
nothing goes on without: slower, or with an error of PyTensor's where it would have been a
convenience.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeVar

import pytensor
import pytensor.tensor as pt
from pytensor.tensor import subtensor

F = TypeVar("F", bound=Callable[..., Any])


#: Derivatives in a direction, which up to PyTensor 3.2 were called ``Rop``.
pushforward: Callable[..., Any] = (
    getattr(pytensor.gradient, "pushforward", None) or pytensor.gradient.Rop
)


def shape_arguments(arguments: tuple[Any, ...]) -> tuple[Any, Any]:
    """Get the node and the shapes that ``infer_shape`` is called with.

    Up to PyTensor 3.2 the graph comes before them.
    """
    node, shapes = arguments[-2:]
    return node, shapes


def _present(*names: str) -> tuple[type, ...]:
    return tuple(vars(subtensor)[name] for name in names if hasattr(subtensor, name))


#: What takes from arrays by indices, and what sets there. Up to PyTensor 3.2 a vector of
#: indices has a class of its own, which later is a function.
TAKING = tuple(
    kind
    for kind in _present("Subtensor", "AdvancedSubtensor", "AdvancedSubtensor1")
    if isinstance(kind, type)
)
SETTING = tuple(
    kind
    for kind in _present("IncSubtensor", "AdvancedIncSubtensor", "AdvancedIncSubtensor1")
    if isinstance(kind, type)
)


def axis_of(node: Any, place: int) -> tuple[Any, list[Any]]:
    """Get the axis along which arrays are joined, split or sorted, and the other inputs.

    Up to PyTensor 3.2 the axis is an input, a variable, at some place.
    """
    axis, inputs = getattr(node.op, "axis", None), list(node.inputs)
    return (inputs.pop(place) if axis is None else axis), inputs


def joined(node: Any) -> tuple[list[Any], int | None]:
    """Get what is joined, and along which axis; None where that is not known.

    Up to PyTensor 3.2 the axis comes before the arrays.
    """
    if hasattr(node.op, "axis"):
        return list(node.inputs), int(node.op.axis)
    axis, *arrays = node.inputs
    found = getattr(axis, "data", None)
    return arrays, None if found is None else int(found)


def converts(kind: type) -> Callable[[F], F]:
    """Decorate what makes a tensor of instances of a class, wherever PyTensor takes a tensor.

    Without a way to tell it, PyTensor refuses them.
    """

    def register(function: F) -> F:
        dispatch = getattr(pt, "_as_tensor_variable", None)
        if dispatch is not None:
            dispatch.register(kind)(function)
        return function

    return register


def features(graph: Any) -> list[Any] | None:
    """Get what keeps track of a graph's changes; None where that is not known."""
    return getattr(graph, "_features", None)


@dataclass(frozen=True)
class NumbaParts:
    """What the linker for Numba is made of.

    Attributes
    ----------
    module : module
        Where the linker looks up `looked_up`.
    looked_up : str
        The name of what makes a function of an Op or a graph, with another around it that
        is kept on the disk.
    wrapped : callable
        That function.
    with_key : callable
        Makes the function alone, and its key for the disk.
    keys : mapping
        The keys, by Python functions.
    """

    module: Any
    looked_up: str
    wrapped: Callable[..., Any]
    with_key: Callable[..., Any]
    keys: MutableMapping[Any, str]


def numba_parts() -> NumbaParts | None:
    """Get the parts of PyTensor's linker for Numba; None where they are called otherwise."""
    try:
        module = importlib.import_module("pytensor.link.numba.dispatch.basic")
        cache = importlib.import_module("pytensor.link.numba.cache")
        looked_up = "numba_funcify_ensure_cache"
        return NumbaParts(
            module,
            looked_up,
            getattr(module, looked_up),
            module.numba_funcify_and_cache_key,
            cache.CACHED_SRC_FUNCTIONS,
        )
    except (ModuleNotFoundError, AttributeError):
        return None


def numba_fingerprint() -> Callable[[Any], bytes] | None:
    """Get what describes the types of a tuple's arrays, by which Numba finds compiled code.

    None where there is no such function, or where addresses are not of 64 bits.
    """
    try:
        module = importlib.import_module("numba._dispatcher")
        found: Callable[[Any], bytes] = module.compute_fingerprint
    except (ModuleNotFoundError, AttributeError):
        return None
    return found if sys.maxsize == 2**63 - 1 else None
