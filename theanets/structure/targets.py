"""Targets: the symbolic arrays that losses compare outputs with, and what data must look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from .. import series_lengths
from ..data import Field
from ..errors import ConfigurationError
from ..expressions import Expression, placeholder
from ..layers import Layer
from ..losses import Loss
from ..losses.base import Function
from ..ops.sparse import vectors

#: A target, and the loss and the output that it was made for.
Made: TypeAlias = tuple[Any, Loss | None, str | None]


class Targets:
    """The targets of a list of losses, and their weights.

    Losses on the same target share one variable, and weighted ones of them
    one variable of weights.

    Parameters
    ----------
    make : callable
        Makes the variable for a loss's target, from the loss and a name.
    shape : callable
        Gets the shape of one example of an output.
    dtype : str
        Type of the weights.
    """

    def __init__(
        self,
        make: Callable[[Loss, str], Any],
        shape: Callable[[str], tuple[int | None, ...]],
        dtype: str,
    ) -> None:
        self._make = make
        self._shape = shape
        self._dtype = dtype
        self._made: dict[str, Made] = {}
        self._weights: dict[str, Any] = {}

    def bind(self, losses: Sequence[Loss], inputs: Sequence[Any]) -> None:
        """Give the losses their targets and weights.

        The first of the losses on a target says what it is like, so that
        nothing depends on losses that were in the list before.

        Raises
        ------
        ConfigurationError
            If an output does not exist, or two arrays have the same name.
        """
        made: dict[str, Made] = {}
        weights: dict[str, Any] = {}
        weighed: dict[str, Any] = {}
        bound: list[tuple[Loss, Any, Any]] = []
        for loss in losses:
            if not isinstance(loss, Loss):
                raise ConfigurationError(
                    f"net.losses has {loss!r}, which is not a Loss; use net.add_loss({loss!r})"
                )
            target = loss.target_variable
            if not loss.uses_target:
                target, key = inputs[0], "target"
            elif target is None:
                key = loss.target_name or "target"
                if key not in made:
                    made[key] = self._find(key, loss, inputs)
                target = made[key][0]
            elif not target.name:
                raise ConfigurationError(f"the target variable of loss {loss.name!r} has no name")
            else:
                key = "target" if target is next(iter(inputs), None) else target.name
            check_fit(loss, target, self._shape)
            if loss.weighted:
                if key in weighed and weighed[key] is not target:
                    key = target.name
                weighed[key] = target
                if key not in weights:
                    weights[key] = self._weight(key, target, inputs)
            bound.append((loss, target, weights[key] if loss.weighted else None))
        _check_names([*inputs, *(v for _, *pair in bound for v in pair if v is not None)])
        for loss, target, weight in bound:
            loss.bind(target, weight)
        self._made, self._weights = made, weights

    def _find(self, key: str, loss: Loss, inputs: Sequence[Any]) -> Made:
        name = _free("target", inputs) if key == "target" else key
        old, maker, output = self._made.get(key, (None, None, None))
        if old is not None and old.name != name and not _among(old, inputs):
            old = None
        if old is not None and maker is loss and output == loss.output_name:
            return old, maker, output
        variable = self._make(loss, name)
        # The same variable as long as it will do: compiled functions take it.
        if old is not None and old.name == variable.name and old.type == variable.type:
            variable = old
        return variable, loss, loss.output_name

    def _weight(self, key: str, target: Expression, inputs: Sequence[Any]) -> Expression:
        name = _free("weights", inputs) if key == "target" else f"{key}_weights"
        old = self._weights.get(key)
        if old is not None and old.name == name and old.type.shape == target.type.shape:
            return old
        return placeholder(name, self._dtype, target.type.shape)


def _free(name: str, inputs: Sequence[Any]) -> str:
    taken = [variable.name for variable in inputs]
    while name in taken:
        name = f"out_{name}"
    return name


def _among(variable: Expression, others: Sequence[Any]) -> bool:
    return any(variable is other for other in others)


def _check_names(variables: Sequence[Any]) -> None:
    distinct: dict[str, Any] = {}
    for variable in variables:
        if distinct.setdefault(variable.name, variable) is not variable:
            raise ConfigurationError(
                f"two arrays of the data would be called {variable.name!r}; input layers, targets "
                "and their weights need different names: rename the layer, or the target of a "
                "loss with target='...'"
            )


def is_entrywise(loss: Loss) -> bool:
    """Tell whether a loss is a formula that has to have targets of a certain shape."""
    return type(loss).__call__ is Loss.__call__ and not isinstance(loss, Function)


def check_fit(
    loss: Loss, target: Expression, shape: Callable[[str], tuple[int | None, ...]]
) -> None:
    """Refuse a loss that compares an output with a target of another shape.

    Parameters
    ----------
    loss : Loss
        The loss.
    target : variable
        What it is to be bound to.
    shape : callable
        Gets the shape of one example of an output.
    """
    for name in loss.output_names:
        shape(name)
    if not is_entrywise(loss):
        return
    given = tuple(target.type.shape[1:])
    output = loss.target_shape(shape, target.dtype.startswith("int"))
    if len(given) != len(output) or any(
        a != b for a, b in zip(given, output, strict=True) if None not in (a, b)
    ):
        raise ConfigurationError(
            f"loss {loss.name!r} cannot compare output {loss.output_name!r} with the target "
            f"{target.name!r}: it needs targets of shape {output} for each example, but these "
            f"have {given}; give the loss a target of its own: target='name'"
        )


def variables(inputs: Sequence[Any], losses: Sequence[Loss]) -> list[Any]:
    """Get the arrays that bound losses need: inputs, then each target and its weights."""
    found = list(inputs)
    for loss in losses:
        found.extend(v for v in loss.variables if not _among(v, found))
    return found


def fields(
    inputs: Sequence[Any],
    losses: Sequence[Loss],
    shape: Callable[[str], tuple[int | None, ...]],
) -> list[Field]:
    """Describe what data must look like.

    Parameters
    ----------
    inputs : list of variables
        The symbolic inputs.
    losses : list of Loss
        Bound to their targets.
    shape : callable
        Gets the shape of one example of an output.

    Returns
    -------
    list of Field
        In the order of `~Structure.variables`.
    """
    found = []
    for variable in variables(inputs, losses):
        common: dict[str, Any] = {"dtype": variable.dtype, "shape": variable.type.shape[1:]}
        on_it = [loss for loss in losses if loss._target is variable]
        # An entry without weight may be anything, if no loss looks at it all the same.
        weighted = bool(on_it) and all(loss._weights is not None for loss in on_it)
        if weighted:
            common["weighted_by"] = on_it[0]._weights.name
        if _among(variable, inputs):
            # Of symbols there are so many.
            common["classes"] = getattr(variable.tag, "classes", None)
            common["sparse"] = vectors(variable) is not None
            common["limits"] = _limits(on_it)
            found.append(Field(variable.name, "input", impute=weighted, **common))
        elif on_it:
            classes, ignore = _labels(variable, on_it, shape)
            blanks = [loss.blank_label(classes) for loss in on_it]
            common["limits"] = _limits(on_it)
            common["blank"] = next((blank for blank in blanks if blank is not None), None)
            found.append(Field(variable.name, "target", classes=classes, ignore=ignore, **common))
        else:
            target = next(loss._target for loss in losses if loss._weights is variable)
            found.append(Field(variable.name, "weights", weighs=target.name, **common))
    return found


def with_lengths(
    found: Sequence[Field], layers: Mapping[str, Layer], losses: Sequence[Loss]
) -> list[Field]:
    """Say of fields of series which input has their numbers of steps, as far as one has."""
    holders = {
        output: variable.name for output, variable in series_lengths.from_inputs(layers).items()
    }
    known = {output.partition(":")[0]: name for output, name in holders.items()}
    for loss in losses if known else ():
        names = {
            holders[name]
            for name in series_lengths.same_time(layers, loss.output_name) & {*holders}
        }
        if loss.by_step and len(names) == 1:
            known.setdefault(loss._target.name, names.pop())
    ended = _ended(layers, losses)
    return [
        replace(
            field,
            lengths=known.get(field.name),
            ended_by=None if field.name in known else ended.get(field.name),
        )
        for field in found
    ]


def _ended(layers: Mapping[str, Layer], losses: Sequence[Loss]) -> dict[str, str]:
    """Get the weights that the series of inputs end with: no loss looks at what comes after."""
    weights = losses[0]._weights if losses else None
    if weights is None or any(loss._weights is not weights or not loss.by_step for loss in losses):
        return {}
    found: dict[str, str] = {}
    for loss in losses:
        for name in series_lengths.same_time(layers, loss.output_name):
            layer = name.partition(":")[0]
            if layers[layer].is_input:
                found[layer] = weights.name
    return found


def _limits(losses: Sequence[Loss]) -> tuple[float | None, float | None]:
    """Get the least and the greatest number that all losses of a target have a meaning for."""
    # Labels have a range of their own.
    values = [loss for loss in losses if loss._target.dtype.startswith("float")]
    limits = [loss.limits().get("target", (None, None)) for loss in values]
    lows = [low for low, _ in limits if low is not None]
    highs = [high for _, high in limits if high is not None]
    return max(lows, default=None), min(highs, default=None)


def _labels(
    target: Expression, losses: Sequence[Loss], shape: Callable[[str], tuple[int | None, ...]]
) -> tuple[int | None, int | None]:
    """Get the number of classes, and the label to ignore, of a target."""
    if not target.dtype.startswith("int"):
        return None, None
    widths = {loss.output_name: shape(loss.output_name)[-1] for loss in losses}
    if len(set(widths.values())) > 1:
        raise ConfigurationError(
            f"the labels {target.name!r} are compared with outputs of different sizes: "
            + ", ".join(f"{name} has {width}" for name, width in widths.items())
        )
    ignored = {getattr(loss, "ignore_index", None) for loss in losses}
    # A label that one loss ignores is out of range for another.
    return next(iter(widths.values())), ignored.pop() if len(ignored) == 1 else None
