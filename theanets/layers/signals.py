"""What goes into a layer and what comes out of it, as expressions by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytensor.tensor as pt
from pytensor.graph.basic import Variable

from ..errors import ConfigurationError
from ..expressions import Expression
from ..versions import converts

#: Shape of one example: None is any length.
Shape = tuple[int | None, ...]


class Inputs(dict[str, Any]):
    """The expressions a layer gets, by full output name.

    Parameters
    ----------
    values : dict
        Expressions by full name.
    training : bool
        Whether the graph is the one that trains, or the clean one.
    order : list of str, optional
        The names of the layer's inputs, where one may be repeated.
    carries : bool
        Whether stateful layers, in training, go on from the batch before.

    Attributes
    ----------
    training, carries : bool
        As above; the second is False where the first is.
    ordered : list
        The expressions in the order of the layer's inputs; one that the
        layer has twice is here twice.
    updates : dict
        What a layer may add its updates of shared variables to.
    generator : callable
        Maps a word to a shared random generator with a stream of its own;
        the layer has to add its next state to the updates.
    lengths : dict
        Number of steps of each series, expressions of shape (batch,) by the
        full name of an input; in one that is not here all steps exist. The
        others are 0.
    initial : dict
        Initial states that a recurrent layer is to start from, by name.
    final : dict
        The states that it ended with.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        training: bool = False,
        order: Sequence[str] | None = None,
        carries: bool = True,
    ) -> None:
        super().__init__(values)
        self.training, self.carries = training, training and carries
        self.ordered = [self[name] for name in (self if order is None else order)]
        self.updates: dict[Any, Any] = {}
        self.generator: Callable[[str], Any] = _no_generator
        self.lengths: dict[str, Any] = {}
        self.initial: dict[str, Any] = {}
        self.final: dict[str, Any] = {}

    @property
    def only(self) -> Expression:
        """The expression of a layer's single input."""
        if len(self.ordered) != 1:
            raise ConfigurationError(
                f"expected one input, got {len(self.ordered)}: {', '.join(self)}"
            )
        return self.ordered[0]


@converts(Inputs)
def _tensor_of_inputs(inputs: Inputs, name: Any = None, ndim: Any = None, **kwargs: Any) -> Any:
    """Let ``pt.dot(inputs, w)`` be about the single input, as in examples of earlier versions."""
    return pt.as_tensor(inputs.only, name, ndim, **kwargs)


def _no_generator(what: str) -> Any:
    raise ConfigurationError(f"there is no random generator for {what!r} outside of a network")


def named_outputs(
    result: Any,
    layer: str,
    shapes: Mapping[str, Shape],
    dtype: str,
    updates: dict[Any, Any],
    tried: bool = False,
) -> dict[str, Any]:
    """Turn what ``transform`` returned into expressions by full name.

    Parameters
    ----------
    result : expression, dict, or (dict, updates)
        What ``transform`` returned.
    layer : str
        Name of the layer.
    shapes : dict
        Shape of one example of each output that the layer declares.
    dtype : str
        What expressions of another type are cast to.
    updates : dict
        Gets the updates.
    tried : bool
        Whether the outputs are being found out: of what is declared there has
        to be ``out``, and there may be more than that.

    Raises
    ------
    ConfigurationError
        If the result is none of these, or its names or shapes differ from
        those that the layer declares.
    """
    if isinstance(result, tuple):
        if len(result) != 2:
            raise ConfigurationError(
                f"layer {layer!r}: transform returned a tuple of {len(result)}; expected an "
                "expression, a dict of expressions, or a pair (dict, updates)"
            )
        result, new = result
        updates.update(dict(new))
    if not isinstance(result, Mapping):
        result = {"out": result}
    if not ("out" in result if tried else set(shapes) == set(result)):
        raise ConfigurationError(
            f"layer {layer!r}: transform returned the outputs {sorted(result)}, but "
            f"resolve_outputs declares {sorted(shapes)}"
        )
    return {
        f"{layer}:{key}": _output(f"{layer}:{key}", result[key], shapes.get(key), dtype)
        for key in sorted(result, key=[*shapes, *result].index)
    }


def _output(name: str, value: Any, shape: Shape | None, dtype: str) -> Any:
    if not isinstance(value, Variable):
        raise ConfigurationError(
            f"output {name!r} is a {type(value).__name__}, not a symbolic expression"
        )
    value = pt.as_tensor(value)
    static = value.type.shape[1:]
    fits = shape is None or (
        value.ndim == len(shape) + 1
        and all(a is None or b is None or a == b for a, b in zip(static, shape, strict=True))
    )
    if shape is not None and not fits:
        raise ConfigurationError(
            f"output {name!r} has {value.ndim} dimensions, of shape {value.type.shape}; declared "
            f"is {shape} for one example, so (batch, {', '.join(map(str, shape))})"
        )
    if value.dtype != dtype:
        # One float64 would make float64 of all that follows.
        value = value.astype(dtype)
    if not value.name:
        value.name = name
    return value
