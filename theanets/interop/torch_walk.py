"""Modules of PyTorch one after the other, and what passes between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..data.tensors import of_tensor
from ..errors import ConfigurationError, nearest
from ..export.torch_arrays import Array, flat_order
from .plan import Plan, refused

#: Shape of one example.
Lengths: TypeAlias = tuple[int | None, ...]
#: What may stand in a list of modules: only what the last recurrence ends with passes.
LAST = "last"


@dataclass(frozen=True)
class Reader:
    """How a class of modules is read.

    Attributes
    ----------
    read : callable
        Gets the walk, the module and its path.
    start : callable or None
        Gets the shape of an example that the module takes, where that is the
        first that asks for one; None if it takes any.
    channels_first : bool or None
        Whether the axis of channels is before those of places; None where it
        does not matter.
    vague : bool
        Whether it takes arrays of other ranks than ``start`` says, so that a
        later module may say more.
    """

    read: Callable[[Walk, Any, str], None]
    start: Callable[[Any], Lengths] | None = None
    channels_first: bool | None = None
    vague: bool = False


#: By the name of the class in torch.nn.
READERS: dict[str, Reader] = {}


def reads(
    *kinds: str,
    start: Callable[[Any], Lengths] | None = None,
    channels_first: bool | None = None,
    vague: bool = False,
) -> Callable[[Callable[[Walk, Any, str], None]], Callable[[Walk, Any, str], None]]:
    """Register a function that reads modules of some classes."""

    def register(read: Callable[[Walk, Any, str], None]) -> Callable[[Walk, Any, str], None]:
        READERS.update(dict.fromkeys(kinds, Reader(read, start, channels_first, vague)))
        return read

    return register


def kind_of(module: Any) -> str:
    """Get the name of the class in torch.nn that a module computes as; '' if it is none.

    A class of the user's computes as its base if it does not override ``forward``.
    """
    for cls in type(module).__mro__:
        if cls.__module__.startswith("torch.nn.modules."):
            same = getattr(type(module), "forward", None) is getattr(cls, "forward", None)
            return cls.__name__ if same and cls.__name__ != "Module" else ""
    return ""


def array(tensor: Any) -> Array:
    """Get a tensor as an array, of float64 if it is one of these and else of float32."""
    if tensor.is_meta:
        raise ConfigurationError(
            "a parameter of the module is on PyTorch's device 'meta', which has shapes and no "
            "values; load a state into the module before"
        )
    found = of_tensor(tensor.detach())
    return found if found.dtype in (np.float32, np.float64) else found.astype(np.float32)


def state(module: Any, keys: Sequence[str], suffix: str = "") -> dict[str, Array]:
    """Get the tensors of a module that it has, as arrays."""
    found = {key: getattr(module, key + suffix, None) for key in keys}
    return {key: array(value) for key, value in found.items() if value is not None}


class Walk:
    """What has been found out on the way from the first module to the last.

    Parameters
    ----------
    plan : Plan
        Gets the layers.
    shape : tuple
        Shape of one example as the first module takes it.
    channels_first : bool
        Whether it is one of an image, or of a series for convolutions.

    Attributes
    ----------
    shape : tuple
        Shape of one example at this place, as modules see it.
    channels_first : bool
        Whether the first axis of it is that of channels, which we have last.
    order : ndarray or None
        Which entry of the vector that modules see each of ours is, if they differ.
    time_first : bool
        Whether modules have the time before the axis of examples.
    causal : bool
        Whether the user said that steps attend to none after them.
    """

    def __init__(self, plan: Plan, shape: Lengths, channels_first: bool) -> None:
        self.plan = plan
        self.shape = shape
        self.channels_first = channels_first
        self.order: Array | None = None
        self.time_first = False
        self.causal = False
        #: How many axes of length 1 modules see behind the channels, that we have not.
        self.ones = 0

    @property
    def ours(self) -> Lengths:
        """Shape of one example at this place, as layers see it."""
        first, shape = self.channels_first, self.shape
        return (*shape[1:], shape[0]) if first else shape

    def axis(self, dim: int, batched: bool = True) -> int:
        """Get which axis of ours, of an example, one of theirs is, counted with the batch."""
        rank = len(self.shape) + 1
        place = dim + rank if dim < 0 else dim
        if self.channels_first:
            place = rank - 1 if place == 1 else place - 1
        return place - 1

    def refuse_unless(self, holds: Any, module: Any, path: str, why: str) -> None:
        """Refuse a module."""
        if not holds:
            raise refused(path, type(module).__name__, why)

    def expect(self, module: Any, path: str, rank: int, first: bool | None) -> None:
        """Refuse a module that does not take what comes, by its axes."""
        said = f"what comes here is {self.said}"
        self.refuse_unless(
            len(self.shape) == rank,
            module,
            path,
            f"{said}; it has a counterpart for {rank} ax{'i' if rank == 1 else 'e'}s per example",
        )
        self.refuse_unless(
            first is None or rank == 1 or self.channels_first == first,
            module,
            path,
            f"{said}, with channels {'first' if self.channels_first else 'last'}; it has a "
            f"counterpart for channels that come {'first' if first else 'last'}",
        )

    def expect_channels(self, module: Any, path: str, name: str) -> None:
        """Refuse a module that is of another number of channels than come."""
        come = self.ours[-1]
        self.refuse_unless(
            come == getattr(module, name),
            module,
            path,
            f"{name}={getattr(module, name)}, but {'any number' if come is None else come} of "
            f"{self.said} come",
        )

    @property
    def said(self) -> str:
        """Shape of what comes, as modules see it, in words."""
        return f"(batch, {', '.join('any' if n is None else str(n) for n in self.shape)})"

    def permuted(self, params: dict[str, Array], *keys: str) -> dict[str, Array]:
        """Get parameters with an entry or row for each entry of a flat vector, in our order."""
        if self.order is None:
            return params
        return {k: v[self.order] if k in keys else v for k, v in params.items()}

    def flatten(self) -> None:
        """Make a vector of what comes; see `flat_order`."""
        if self.channels_first and len(self.shape) > 1:
            lengths = [n for n in self.shape[1:] if n is not None]
            order = flat_order(tuple(lengths), int(self.shape[0] or 0))
            self.order = None if (order == np.arange(len(order))).all() else order
        self.shape = (math.prod(n for n in self.shape if n is not None),)
        self.channels_first = False

    def give_axes(self) -> None:
        """Give what comes the axes of length 1 that modules see."""
        if self.ones:
            self.shape, self.ones = (self.shape[0], *(1,) * self.ones), 0
            self.channels_first = True
            self.plan.add("reshape", f"{self.plan.last['name']}+axes", shape=self.ours)


def leaves(modules: Any, path: str, alone: bool = True) -> Iterator[tuple[str, Any]]:
    """Get modules with their paths, those of each Sequential, list and dict one by one.

    Raises
    ------
    ConfigurationError
        If something is no module.
    """
    if isinstance(modules, (list, tuple)):
        items: Any = enumerate(modules)
    elif isinstance(modules, Mapping):
        items = modules.items()
    elif kind_of(modules) == "Sequential":
        _check_hooks(modules, path or "the module")
        # `named_children` would leave out an activation that is there twice.
        items = modules._modules.items()
    elif kind_of(modules) == "TransformerEncoder":
        _check_hooks(modules, path)
        items = [(f"layers.{i}", layer) for i, layer in enumerate(modules.layers)]
        items += [] if modules.norm is None else [("norm", modules.norm)]
    elif isinstance(modules, str) and modules == LAST:
        yield path, LAST
        return
    elif hasattr(modules, "named_parameters") and hasattr(modules, "forward"):
        _check_hooks(modules, path)
        yield path or type(modules).__name__.lower(), modules
        return
    else:
        hint = nearest(modules, [LAST]) if isinstance(modules, str) else ""
        raise ConfigurationError(
            f"{path or 'module'!r}: {modules!r} is not a module of torch.nn, a list of these, a "
            f"dict of these, or {LAST!r}{hint}"
        )
    for name, module in items:
        yield from leaves(module, f"{path}.{name}" if path else str(name), False)


def _check_hooks(module: Any, path: str) -> None:
    for name in ("_forward_pre_hooks", "_forward_hooks"):
        if getattr(module, name, None):
            raise refused(
                path,
                type(module).__name__,
                "it has hooks, whose work cannot be seen; remove them, of a norm of weights by "
                "torch.nn.utils",
            )


def check_known(found: Sequence[tuple[str, Any]]) -> None:
    """Refuse all modules of classes that are not read, and weights that are there twice.

    Raises
    ------
    ConfigurationError
        Names them, with their paths.
    """
    unknown = [
        f"{path!r} ({type(module).__name__})"
        for path, module in found
        if not isinstance(module, str) and kind_of(module) not in READERS
    ]
    if unknown:
        raise ConfigurationError(
            f"these modules have no counterpart here: {', '.join(unknown)}; of a class with a "
            "forward of its own, give a list or dict of its modules in their order"
        )
    seen: dict[int, str] = {}
    for path, module in found:
        if not isinstance(module, str) and any(True for _ in module.parameters()):
            before = seen.setdefault(id(module), path)
            if before != path:
                raise refused(path, type(module).__name__, f"it is the same module as {before!r}")


def begin(plan: Plan, found: Sequence[tuple[str, Any]], shape: Any) -> Walk:
    """Add the input, and start the walk.

    Raises
    ------
    ConfigurationError
        If the shape is not said, by the first modules either.
    """
    modules = [module for _, module in found if not isinstance(module, str)]
    readers = [(READERS[kind_of(module)], module) for module in modules]
    sides = [reader.channels_first for reader, _ in readers if reader.channels_first is not None]
    first = bool(sides and sides[0])
    says = [(reader.vague, reader.start, m) for reader, m in readers if reader.start]
    starts = [start(module) for _, start, module in sorted(says, key=lambda each: each[0])]
    given = _lengths(shape, starts[0] if starts else None)
    if given is None:
        raise ConfigurationError(
            "shape=None: the first modules do not say what they take; give the shape of one "
            "example, without the axis of examples: shape=(3, 32, 32)"
        )
    walk = Walk(plan, given, first and len(given) > 1)
    taken = {plan.name(path) for path, _ in found}
    name = next(n for n in ("in", "input", "input_data", "in_") if n not in taken)
    if kind_of(modules[0]) == "Embedding":
        plan.add("symbols", name, shape=walk.ours, classes=modules[0].num_embeddings)
    else:
        plan.add("input", name, shape=walk.ours)
    return walk


def _lengths(shape: Any, start: Lengths | None) -> Lengths | None:
    """Get the shape of an example: what the user said, or what the first module does."""
    if shape is None:
        return start
    given = (shape,) if isinstance(shape, (int, np.integer)) else shape
    whole = isinstance(given, (tuple, list)) and all(
        n is None or (isinstance(n, (int, np.integer)) and n > 0) for n in given
    )
    if not whole or not given:
        raise ConfigurationError(
            f"shape={shape!r} is not the shape of one example, of integers and of None where any "
            "length will do: shape=(3, 32, 32)"
        )
    return tuple(None if n is None else int(n) for n in given)
