"""Penalties: terms that are added to the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytensor.tensor as pt

from .. import names as _names
from ..errors import ConfigurationError
from ..expressions import Expression, Shared, applied, scalar
from ..layers import Layer
from ..layers.time import existing_terms
from ..options import DROPPED, DROPPED_FLAG, Choice, Dropped, Flag, Number
from ..outputs import Outputs
from .base import Regularizer


class Penalty(Regularizer, abstract=True):
    r"""Base class of penalties on the entries of parameters or outputs.

    Parameters
    ----------
    weight, pattern
        See `Regularizer`. Several things that match are averaged.
    norm : {'mean', 'sum'}
        Whether the entries of a thing are averaged, so that the strength does
        not depend on its size, or summed; those of outputs are summed over
        each example, and averaged over examples. With ``'sum'`` the things
        that match are summed too.
    lnorm : float, optional
        The power p of :math:`|x|^p`, instead of the penalty's own.
    root : bool
        Whether the p-th root is taken of what is then the p-norm. Its
        gradient at zero is 0.
    """

    options: ClassVar[dict[str, Any]] = {
        "norm": Choice("mean", ("mean", "sum")),
        "lnorm": Number(None, "positive"),
        "root": Flag(False),
    }
    norm: str
    lnorm: float | None
    root: bool
    power: ClassVar[float] = 2

    def targets(self, layers: Sequence[Layer], outputs: Outputs) -> list[Any]:
        """Get the expressions that are penalized."""
        raise TypeError(f"{type(self).__name__} does not define targets")

    def entries(self, x: Expression) -> Expression:
        """Get the penalty of each entry."""
        p = self.power if self.lnorm is None else self.lnorm
        if p == 1:
            return pt.abs(x)
        if p == 2:
            return pt.sqr(x)
        power = pt.as_tensor(p, dtype=x.dtype)
        if p > 1:
            return pt.abs(x) ** power
        # The derivative is infinite at 0, where that of |x| is taken to be 0.
        zero = pt.eq(x, 0)
        return pt.switch(zero, 0, pt.abs(pt.switch(zero, 1, x)) ** power)

    def reduce(self, entries: Expression) -> Expression:
        """Get the mean or the sum of the penalties of entries."""
        return entries.sum() if self.norm == "sum" else entries.mean()

    def one(self, x: Any) -> Expression:
        """Get the penalty of one parameter or output."""
        return self.rooted(self.reduce(self.entries(x)))

    def rooted(self, value: Expression) -> Expression:
        """Get the root, where it is asked for; its gradient at zero is 0."""
        if not self.root:
            return value
        p = self.power if self.lnorm is None else self.lnorm
        positive = value > 0
        root = pt.switch(positive, value, 1) ** pt.as_tensor(1 / p, dtype=value.dtype)
        return pt.switch(positive, root, 0)

    def loss(self, layers: Sequence[Layer], outputs: Mapping[str, Any]) -> Expression:
        """Get the mean (or sum) of the penalties of all that match, each of which counts alike."""
        values = [self.one(x) for x in self.targets(layers, Outputs.of(outputs))]
        total = sum(values[1:], values[0])
        return total if self.norm == "sum" else total / len(values)


def matching_params(pattern: str | Sequence[str] | None, layers: Sequence[Layer]) -> list[Shared]:
    """Get the parameters that match; by default all of two or more dimensions."""
    params = {p.name: p for layer in layers for p in layer.params}
    if pattern is None or pattern == "*":
        found = [p for p in params.values() if p.ndim >= 2]
        if not found:
            raise ConfigurationError(f"no parameter is a matrix; parameters: {list(params)}")
        return found
    return [params[n] for n in _names.match_some("parameter", pattern, params)]


def matching_outputs(
    pattern: str | Sequence[str] | None, outputs: Mapping[str, Any], default: list[str]
) -> list[str]:
    """Get the names of the outputs that match; by default those named."""
    if pattern is None or pattern == "*":
        found = [name for name in default if name in outputs]
        if not found:
            raise ConfigurationError("the network has no hidden layer to regularize")
        return found
    patterns = _names.output_patterns(pattern)
    return _names.match_some("output", patterns, outputs)


def hidden_outputs(layers: Sequence[Layer]) -> list[str]:
    """Get the names of ``out`` of the layers that neither take data nor end the network.

    A layer ends the network if no other layer takes its outputs. Of a block,
    the block itself stands for its last layer.
    """
    used = {_names.split_output(name)[0] for layer in layers for name in layer.input_names}
    hidden = [layer for layer in layers if not layer.is_input and layer.name in used]
    passed = passed_on(layers)
    return [layer.output_name for layer in hidden if layer.output_name not in passed]


def passed_on(layers: Sequence[Layer]) -> set[str]:
    """Get the names of the outputs that another layer gives as they are."""
    return {name for layer in layers if layer.passes_on for name in layer.input_names}


class _WeightPenalty(Penalty, abstract=True):
    def targets(self, layers: Sequence[Layer], outputs: Outputs) -> list[Any]:
        return matching_params(self.pattern, layers)


class OutputPenalty(Penalty, abstract=True):
    """Base class of penalties on outputs, of which the steps that exist count.

    What is penalized are pairs: an output in which the steps that do not exist
    are 0, and the number of steps of each series, or None if all exist.
    """

    def terms(
        self, layers: Sequence[Layer], outputs: Mapping[str, Any]
    ) -> list[tuple[Any, Any]] | None:
        """Get the sums and counts of the entries that exist, where not all do."""
        own = type(self).one is OutputPenalty.one and type(self).loss is Penalty.loss
        if not own or self.root or self.norm == "sum":
            return None
        targets = self.targets(layers, Outputs.of(outputs))
        if all(lengths is None for _, lengths in targets):
            return None
        pairs = []
        for h, lengths in targets:
            entries = self.entries(h)
            count = entries.size
            if lengths is not None:
                count = lengths.sum() * pt.prod(entries.shape[2:])
            pairs.append((entries.sum() / len(targets), count.astype(entries.dtype)))
        return pairs

    def one(self, x: Any) -> Expression:
        """Get the penalty of one output."""
        h, lengths = x
        entries = self.entries(h)
        if self.norm == "sum":
            value = entries.sum() / entries.shape[0]
        elif lengths is None:
            value = entries.mean()
        else:
            # Steps that do not exist are 0, and so is their penalty.
            count = lengths.sum() * pt.prod(entries.shape[2:])
            value = entries.sum() / pt.maximum(count, 1).astype(entries.dtype)
        return self.rooted(value)


class _HiddenPenalty(OutputPenalty, abstract=True):
    def targets(self, layers: Sequence[Layer], outputs: Outputs) -> list[Any]:
        names = matching_outputs(self.pattern, outputs, hidden_outputs(layers))
        return [(outputs[name], outputs.lengths.get(name)) for name in names]


class WeightL2(_WeightPenalty, names=("weight_l2", "weight_decay")):
    r"""Penalty on squared weights, :math:`\mathrm{mean}(w^2)` of each parameter.

    By default on all parameters of two or more dimensions, so not on biases. Of K
    parameters it is the mean of their means, :math:`\frac1K \sum_k
    \mathrm{mean}(w_k^2)`: each counts alike, whatever its size, so that an entry
    of a small one counts more. ``norm='sum'`` adds up all entries alike.
    """


class WeightL1(_WeightPenalty, names=("weight_l1", "weight_sparsity")):
    r"""Penalty on absolute weights, :math:`\mathrm{mean}(|w|)` of each parameter.

    By default on all parameters of two or more dimensions, so not on biases; of several,
    the mean of their means, as for `WeightL2`.
    """

    power = 1


class HiddenL1(_HiddenPenalty, names=("hidden_l1", "hidden_sparsity")):
    r"""Penalty on absolute hidden outputs, :math:`\mathrm{mean}(|h|)`.

    By default on ``out`` of all hidden layers; of several, the mean of their means.
    """

    power = 1


class HiddenL2(_HiddenPenalty, names=("hidden_l2",)):
    r"""Penalty on squared hidden outputs, :math:`\mathrm{mean}(h^2)`.

    By default on ``out`` of all hidden layers; of several, the mean of their means.
    """


class FunctionPenalty(Penalty, abstract=True):
    """A penalty from a callable that maps a parameter or output to a scalar.

    See `penalty`.
    """

    options: ClassVar[dict[str, Any]] = {
        "norm": Dropped("mean"),
        "lnorm": DROPPED,
        "root": DROPPED_FLAG,
    }

    def __init__(
        self, function: Callable[[Any], Any], pattern: str | Sequence[str], weight: float
    ) -> None:
        if not callable(function):
            raise ConfigurationError(f"penalty({function!r}): the function is not callable")
        self.function = function
        self.norm, self.lnorm, self.root = "sum", None, False
        super().__init__(weight, pattern)

    @property
    def name(self) -> str:
        """Name of the function."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    def targets(self, layers: Sequence[Layer], outputs: Outputs) -> list[Any]:
        """Get the parameters, or else the outputs, that match."""
        params = {p.name: p for layer in layers for p in layer.params}
        every = {**params, **outputs}
        patterns = [
            pattern if _names.match([pattern], every) else _names.output_name(pattern)
            for pattern in _names.split_patterns(self.pattern or "*.w*")
        ]
        return [every[n] for n in _names.match_some("parameter or output", patterns, every)]

    def one(self, x: Any) -> Expression:
        """Get the penalty of one parameter or output."""
        return scalar(self.function(x), f"penalty {self.name!r}")

    def terms(
        self, layers: Sequence[Layer], outputs: Mapping[str, Any]
    ) -> list[tuple[Any, Any]] | None:
        """Get the sums and counts of the entries that exist, of outputs in which not all do."""
        outputs = Outputs.of(outputs)
        found, known = self.targets(layers, outputs), outputs.lengths
        lengths = {id(outputs[name]): steps for name, steps in known.items() if name in outputs}
        if not any(id(x) in lengths for x in found):
            return None
        pairs = []
        for x in found:
            value = applied(self.function, [x], f"penalty {self.name!r}")
            if id(x) in lengths:
                pairs.append(existing_terms(value, x, lengths[id(x)], f"penalty {self.name!r}"))
            else:
                value = scalar(value, f"penalty {self.name!r}")
                batch = outputs[next(iter(outputs))].shape[0].astype(value.dtype)
                pairs.append((value * batch, batch))
        return pairs


def penalty(
    function: Callable[[Any], Any], pattern: str | Sequence[str] = "*.w*", weight: float = 1.0
) -> Regularizer:
    """Make a regularizer from any function of a parameter or output.

    Parameters
    ----------
    function : callable
        Maps the symbolic parameter or output to a scalar expression; an
        output with series of different lengths to one of its own axes, of
        which the mean over the steps that exist is the penalty.
    pattern : str or list of str
        Glob patterns over names of parameters (``'hid1.w'``) and outputs
        (``'hid1:out'``). The penalties of all that match are summed.
    weight : float
        Strength.

    Returns
    -------
    Regularizer
        For ``train(..., regularizers=[...])``.

    Raises
    ------
    ConfigurationError
        When it is used, if nothing matches or the result is no scalar.
    """
    return FunctionPenalty(function, pattern, weight)
