"""A recurrent layer whose step is a function of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytensor.tensor as pt
from pytensor.graph.traversal import ancestors

from ...errors import ConfigurationError
from ...expressions import Expression, check_takes
from ...ops.recurrent import Layout, Named, Products, Results
from ...options import Whole
from .base import Recurrent


class Cell:
    """What a step function of the `cell` form makes parameters with.

    Attributes
    ----------
    activation : callable
        The layer's activation.
    count : expression
        How many steps came before, for each series, also where it is continued.
    """

    def __init__(
        self,
        activation: Callable[[Any], Any],
        count: Expression,
        dot: Callable[[str, Any], Any],
        vector: Callable[[str, float], Any],
    ) -> None:
        self.activation, self.count = activation, count
        self._dot, self._vector = dot, vector

    def dot(self, x: Expression, name: str = "hh") -> Expression:
        """Get the product of ``x`` with a matrix of parameters (units, units) of that name."""
        return self._dot(name, x)

    def vector(self, name: str = "b", start: float = 0.0) -> Expression:
        """Get a vector of parameters (units) of that name, all of which start at a number."""
        return self._vector(name, start)


class CellLayer(Recurrent, names=("cell",)):
    """A recurrent layer whose step is a function of symbolic variables.

    ::

        def step(cell, x, h):
            return pt.tanh(x + cell.dot(h, 'hh') + cell.vector('b'))

        net = theanets.recurrent.Regressor([3, dict(form='cell', size=10, step=step), 2])

    The function gets a `Cell`, what the input contributes to the step, and
    the states; all are matrices (batch, units). What ``cell.dot`` and
    ``cell.vector`` are asked for become parameters of the layer, beside
    ``xh`` (inputs, blocks * units). If everything else is done entry by
    entry, or is a sum, a mean, a largest entry or a softmax over the units,
    the layer is as fast as the others; else it is run by PyTensor's scan.

    Parameters
    ----------
    step : callable
        ``step(cell, x, *states)`` returns the new state, the first of which
        is the output, or a tuple of several. It may return a pair of that and
        a dict of further outputs.
    blocks : int
        Into how many parts of the input's contribution, (batch, units) each;
        if there are several, ``x`` is a list.
    states : int
        How many states.
    outputs_named : list of str
        Names of the further outputs.
    """

    options: ClassVar[dict[str, Any]] = {
        "step": None,
        "blocks": Whole(1),
        "states": Whole(1),
        "outputs_named": (),
    }
    step: Callable[..., Any]
    blocks: int
    states: int
    outputs_named: Sequence[str]
    #: What the step asked for, once it was tried.
    _dots: Sequence[str] = ()
    _vectors: Sequence[str] = ()

    def check_options(self) -> None:
        """Refuse options that have no meaning."""
        super().check_options()
        if not callable(self.step):
            raise ConfigurationError(
                f"layer {self.full_name!r}: step={self.step!r} is not a function "
                "step(cell, x, h) of symbolic variables"
            )
        taken = ["cell", "x", "h", *(f"s{i}" for i in range(1, self.states))]
        check_takes(f"layer {self.full_name!r}: step={self.step!r}", self.step, taken)

    def outputs(self) -> dict[str, int]:
        return dict.fromkeys(("out", *self.outputs_named), self._units())

    def _state_names(self) -> list[str]:
        return ["h", *(f"s{i}" for i in range(1, self.states))]

    def setup(self) -> None:
        """Make ``xh`` and whatever the function asks for."""
        n = self.output_size
        self.add_weights("xh", blocks=[n] * self.blocks)
        dots: list[str] = []
        vectors: list[str] = []

        def dot(name: str, x: Expression) -> Expression:
            if name in self._params:
                raise ConfigurationError(
                    f"layer {self.full_name!r}: its step has two products {name!r}; name each "
                    "differently"
                )
            dots.append(name)
            return pt.dot(x, self.add_weights(name, n, n))

        def vector(name: str, start: float) -> Expression:
            if name not in self._params:
                vectors.append(name)
                self.add_bias(name, n, mean=start)
            return self._params[name]

        def matrix() -> Expression:
            return pt.matrix(dtype=self.dtype)

        blocks = [matrix() for _ in range(self.blocks)]
        states = [matrix() for _ in range(self.states)]
        count = matrix()
        new, further = self._call(blocks, states, dot, vector, count)
        for value in {**new, **further}.values():
            if getattr(value, "ndim", None) != 2:
                raise ConfigurationError(
                    f"layer {self.full_name!r}: its step returned {value!r}; expected expressions "
                    "of shape (batch, units)"
                )
        self._dots, self._vectors = dots, vectors
        self.counts = count in set(ancestors([*new.values(), *further.values()]))

    def _call(
        self,
        blocks: Sequence[Any],
        states: Sequence[Any],
        dot: Callable[..., Expression],
        vector: Callable[..., Expression],
        count: Expression,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        cell = Cell(self.activation, count, dot, vector)
        result = self.step(cell, blocks[0] if self.blocks == 1 else list(blocks), *states)
        further: Mapping[str, Any] = {}
        if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping):
            result, further = result
        found = result if isinstance(result, (tuple, list)) else (result,)
        names = self._state_names()
        if len(found) != len(names) or set(further) != set(self.outputs_named):
            raise ConfigurationError(
                f"layer {self.full_name!r}: its step returned {len(found)} states and the outputs "
                f"{sorted(further)}; expected states={self.states} and "
                f"outputs_named={list(self.outputs_named)}"
            )
        new = dict(zip(names, found, strict=True))
        return new, {"out": new["h"], **further}

    def layout(self) -> Layout:
        return Layout(
            sizes=("n",),
            blocks={f"x{i}": "n" for i in range(self.blocks)},
            states=dict.fromkeys(self._state_names(), "n"),
            vectors=dict.fromkeys(self._vectors, "n"),
            dots={name: ("n", ("n",)) for name in self._dots},
        )

    def formulas(self, x: Named, s: Named, v: Named, dot: Products, count: Expression) -> Results:
        return self._call(
            [getattr(x, f"x{i}") for i in range(self.blocks)],
            [getattr(s, name) for name in self._state_names()],
            lambda name, value: dot(name, value)[0],
            lambda name, start: getattr(v, name),
            count,
        )


__all__ = ["Cell", "CellLayer"]
