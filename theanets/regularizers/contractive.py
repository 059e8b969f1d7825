"""The contractive penalty: how much outputs change with the input of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytensor
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedGrad
from pytensor.scalar import Switch
from pytensor.tensor.elemwise import Elemwise

from .. import names as _names
from .. import rng as _rng
from ..errors import ConfigurationError
from ..expressions import Expression
from ..layers import Feedforward, Layer
from ..options import Whole
from ..outputs import Outputs
from .base import Regularizer
from .penalties import hidden_outputs, matching_outputs


class Contractive(Regularizer, names=("contractive",)):
    r"""Penalty on the Jacobian of outputs with respect to the network's input.

    .. math:: \frac{1}{N} \sum_n \| \partial h_n / \partial x_n \|_F^2

    with N examples. It is exact for a feedforward layer on the input, where
    :math:`h = g(x W + b)` with an elementwise g:

    .. math:: \| J \|_F^2 = \sum_j g'(x w_j + b_j)^2 \, \| w_j \|^2

    Of all other outputs it is estimated: of independent v with entries of +1
    and -1, which are drawn anew in each batch, the expected value of
    :math:`\| J^T v \|^2` is :math:`\| J \|_F^2`.

    Parameters
    ----------
    weight, pattern
        See `Regularizer`. By default ``out`` of all hidden layers. Several
        outputs that match are averaged.
    wrt : str or list of str, optional
        Glob patterns over the inputs that count; by default all that hold
        floating-point numbers. Noise of an input is not part of the Jacobian,
        that of a hidden layer is.
    samples : int
        How many v the estimate is averaged over.

    Notes
    -----
    Steps that do not exist do not count, and neither do series without steps.
    ``evaluate`` estimates too; L-BFGS draws v once. Training takes second
    derivatives.

    References
    ----------
    Rifai, Vincent, Muller, Glorot & Bengio 2011, "Contractive auto-encoders:
    explicit invariance during feature extraction". The estimate is that of
    Hutchinson 1990, "A stochastic estimator of the trace of the influence
    matrix".
    """

    options: ClassVar[dict[str, Any]] = {"wrt": None, "samples": Whole(1)}
    wrt: Any
    samples: int

    def check(self) -> None:
        """Refuse options that make no sense."""
        super().check()
        if self.wrt is not None:
            self.wrt = _names.split_patterns(self.wrt)

    def loss(self, layers: Sequence[Layer], outputs: Mapping[str, Any]) -> Expression:
        """Get the penalty of all outputs that match, averaged."""
        inputs = self._inputs(layers)
        by_name = {str(layer.name): layer for layer in layers}
        outputs = Outputs.of(outputs)
        values = []
        names = self._outputs(layers, outputs)
        for name in names:
            layer = by_name[_names.split_output(name)[0]]
            count = _count(outputs[name], outputs.lengths.get(name))
            found = closed_form(by_name, layer, name, inputs, outputs)
            if found is not None:
                values.append(found.sum() / count)
                continue
            sparse = [n for n in inputs if _is_sparse(by_name[_names.split_output(n)[0]])]
            if sparse:
                raise ConfigurationError(
                    f"regularizer {self.name!r} cannot be estimated for {name!r}, since input "
                    f"{sparse[0]!r} is sparse; expected the output of a feedforward layer on it, "
                    "with an elementwise activation"
                )
            for _ in range(self.samples):
                values.append(self._estimate(name, inputs, outputs) / (count * self.samples))
        return sum(values[1:], values[0]) / len(names)

    def _estimate(self, name: str, inputs: list[str], outputs: Outputs) -> Expression:
        h = outputs[name]
        generator = outputs.generator(f"{self.name}:{name}")
        outputs.updates[generator], draws = _rng.uniform(generator, h.shape, h.dtype)
        signs = pt.switch(draws < 0.5, pt.as_tensor(-1, dtype=h.dtype), 1)
        wanted = [outputs[n] for n in inputs]
        slopes = pytensor.grad((h * signs).sum(), wanted, disconnected_inputs="ignore")
        squares = [pt.sqr(slope).sum() for slope in slopes]
        return sum(squares[1:], squares[0])

    def _outputs(self, layers: Sequence[Layer], outputs: Outputs) -> list[str]:
        found = matching_outputs(self.pattern, outputs, hidden_outputs(layers))
        wrong = [name for name in found if not outputs[name].dtype.startswith("float")]
        if wrong:
            raise ConfigurationError(
                f"regularizer {self.name!r}: output {wrong[0]!r} holds integers, which have no "
                "Jacobian"
            )
        return found

    def _inputs(self, layers: Sequence[Layer]) -> list[str]:
        found = [x for x in layers if x.is_input and x.variable.dtype.startswith("float")]
        known = [layer.output_name for layer in found]
        if not known:
            raise ConfigurationError(
                f"regularizer {self.name!r}: no input of the network holds floating-point numbers"
            )
        if self.wrt is None or self.wrt == ["*"]:
            return known
        return _names.match_some("input", _names.output_patterns(self.wrt), known)


def _is_sparse(layer: Layer) -> bool:
    return layer.is_input and bool(layer.sparse)


def _count(h: Expression, lengths: Expression | None) -> Expression:
    """Get the number of examples that have any steps."""
    count = h.shape[0] if lengths is None else pt.maximum((lengths > 0).sum(), 1)
    return count.astype(h.dtype)


def closed_form(
    layers: Mapping[str, Layer],
    layer: Layer,
    name: str,
    inputs: Sequence[str],
    outputs: Mapping[str, Any],
) -> Expression | None:
    """Get the squared norms of the rows of the Jacobian, or None where there is no closed form.

    Parameters
    ----------
    layers : dict
        The layers of the network by name.
    layer : Layer
        Its output it is.
    name : str
        Full name of the output.
    inputs : list of str
        What the derivatives are with respect to.
    outputs : mapping
        Expressions of the network's outputs.

    Returns
    -------
    expression of the output's shape, or None
    """
    if not isinstance(layer, Feedforward) or type(layer).transform is not Feedforward.transform:
        return None
    if not all(layers[_names.split_output(n)[0]].is_input for n in layer.input_names):
        return None
    if any(n.startswith(f"{layer.name}:pre-") for n in outputs):
        # With noise it is no longer what the output is computed from.
        return None
    pre, h = _unmasked(outputs[f"{layer.name}:pre"]), outputs[name]
    if not elementwise(h, pre):
        return None
    slope = pytensor.grad(h.sum(), pre, disconnected_inputs="ignore")
    matrices: dict[str, Any] = {}
    for source, key in zip(layer.input_names, layer._weight_names(), strict=True):
        w = layer.find(key)
        matrices[source] = matrices[source] + w if source in matrices else w
    squares = [pt.sqr(w).sum(axis=0) for source, w in matrices.items() if source in inputs]
    return pt.sqr(slope) * sum(squares, pt.zeros((), dtype=h.dtype))


def _unmasked(x: Expression) -> Expression:
    """Get what an output was before steps that do not exist were set to 0."""
    op = None if x.owner is None else x.owner.op
    masked = isinstance(op, Elemwise) and isinstance(op.scalar_op, Switch)
    return x.owner.inputs[1] if masked else x


def elementwise(y: Expression, x: Expression) -> bool:
    """Tell whether each entry of an expression depends on the same entry of another only.

    Paths through integers and booleans, shapes for instance, have no derivative.
    """
    known: dict[Any, bool] = {x: True}
    stack = [y]
    while stack:
        variable = stack[-1]
        if variable in known:
            stack.pop()
            continue
        # A random generator has no dtype.
        smooth = str(getattr(variable, "dtype", "")).startswith("float")
        sources = variable.owner.inputs if smooth and variable.owner is not None else []
        todo = [source for source in sources if source not in known]
        if todo:
            stack += todo
            continue
        known[variable] = any(known[source] for source in sources)
        if known[variable] and not isinstance(variable.owner.op, (Elemwise, DisconnectedGrad)):
            return False
        stack.pop()
    return known[y]
