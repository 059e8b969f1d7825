"""Penalties on how the outputs of recurrent layers change from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytensor.tensor as pt

from .. import names as _names
from ..errors import ConfigurationError
from ..expressions import Expression
from ..layers import Layer
from ..layers.time import without
from ..outputs import Outputs
from .penalties import OutputPenalty


class _ChangePenalty(OutputPenalty, abstract=True):
    """Base class of penalties on changes, over pairs of steps that both exist."""

    def changes(self, h: Expression) -> Expression:
        """Get what is penalized, (batch, time - 1, size)."""
        raise NotImplementedError

    def targets(self, layers: Sequence[Layer], outputs: Outputs) -> list[Any]:
        """Get the changes of the series that match, each with the numbers of pairs of steps."""
        known = outputs.lengths
        found = []
        for name in self._series(layers, outputs):
            x = self.changes(outputs[name])
            if name in known:
                pairs = pt.maximum(known[name] - 1, 0)
                x = without(x, pairs)
            else:
                # Of a single step there are none, whose mean would be NaN.
                pairs = pt.full((x.shape[0],), x.shape[1], dtype="int64")
            found.append((x, pairs))
        return found

    def _series(self, layers: Sequence[Layer], outputs: Outputs) -> list[str]:
        """Get the names of the series that match; by default ``out`` of all recurrent layers."""
        recurrent = [x for x in layers if x.is_recurrent]
        series = {
            f"{layer.name}:{key}": outputs[f"{layer.name}:{key}"]
            for layer in recurrent
            for key, shape in layer.output_shapes.items()
            if len(shape) == 2 and f"{layer.name}:{key}" in outputs
        }
        if self.pattern is None or self.pattern == "*":
            names = [name for name in series if name.endswith(":out")]
        else:
            patterns = _names.output_patterns(self.pattern)
            names = _names.match_some("output of a recurrent layer", patterns, series)
        if not names:
            raise ConfigurationError(
                f"regularizer {self.name!r}: the network has no recurrent layer whose output is a "
                "series"
            )
        return names


class RecurrentState(_ChangePenalty, names=("recurrent_state",)):
    r"""Penalty on changes of the state, :math:`\mathrm{mean}((h_t - h_{t-1})^2)`.

    By default on ``out`` of all recurrent layers. Steps that do not exist do
    not count.
    """

    def changes(self, h: Expression) -> Expression:
        """Get the differences of the entries."""
        return h[:, 1:] - h[:, :-1]


class RecurrentNorm(_ChangePenalty, names=("recurrent_norm",)):
    r"""Penalty on changes of the state's size, :math:`\mathrm{mean}((|h_t|^2 - |h_{t-1}|^2)^2)`.

    By default on ``out`` of all recurrent layers. Steps that do not exist do
    not count.

    References
    ----------
    After Krueger & Memisevic 2016, "Regularizing RNNs by stabilizing
    activations".
    """

    def changes(self, h: Expression) -> Expression:
        """Get the differences of the squared norms."""
        size = pt.sqr(h).sum(axis=2, keepdims=True)
        return size[:, 1:] - size[:, :-1]
