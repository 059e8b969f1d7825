"""The output layer of a linear-chain conditional random field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytensor.tensor as pt

from ..errors import ConfigurationError, DataError
from ..expressions import Expression
from ..ops.sequences import chain_by_numpy as numpy_chain
from ..ops.sequences import chain_sums, with_boundary
from .feedforward import Feedforward
from .signals import Inputs, Shape

Array = npt.NDArray[Any]


class CRF(Feedforward, names=("crf",)):
    r"""A linear chain of labels: the distribution of label sequences, given a series.

    The probability of labels :math:`y_1 \dots y_n` is proportional to the
    exponential of

    .. math:: \sum_t z_{t, y_t} + s_{y_1} + \sum_{t>1} A_{y_{t-1}, y_t} + e_{y_n}

    with the scores of each step, ``z = x @ w + b``, of transitions, of the
    first and of the last label. Where neighbouring labels depend on each
    other, that is better than to predict each step by itself. Use it as the
    output layer, for instance of a `Classifier`, whose loss is then ``'crf'``
    and whose predictions are the most probable sequences. Any of the
    structured losses may take its place.

    Inputs are series, (time, variables) for each example. Parameters ``w``
    (inputs, size), ``b`` (size), ``transition`` (size, size) with the scores
    of a label (row) being followed by another (column), ``start`` (size) and
    ``end`` (size). The last three start at 0, as independent steps, unless
    their ``std_transition`` and the like are given. Outputs ``pre`` (time,
    size), the scores of steps, and ``out`` (time, size), the marginal
    probabilities of the labels of each step where all steps exist: only the
    structured losses, and predictions with a ``mask``, leave out steps.

    Parameters
    ----------
    size : int
        Number of labels.
    **kwargs
        See `Layer`; there is no activation.

    References
    ----------
    Lafferty, McCallum & Pereira 2001, "Conditional random fields:
    probabilistic models for segmenting and labeling sequence data".
    """

    fixed_activation = "linear"
    label_loss = "crf"
    chooses_jointly = True
    # The output is of all steps together.
    linear_map = None

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shapes of ``out`` and ``pre``."""
        shapes = super().resolve_outputs()
        if len(shapes["pre"]) != 2:
            raise ConfigurationError(
                f"layer {self.full_name!r}: a crf labels the steps of a series, so its inputs must "
                f"have the shape (time, variables) for each example, not {self.input_shapes[0]}; "
                "an input layer of such a shape is (None, 12)"
            )
        return shapes

    def setup(self) -> None:
        """Make all parameters."""
        super().setup()
        size = self.output_size
        found = self._draws("transition", (), {"std": 0.0})
        self.add_param(
            "transition",
            lambda: self._random_matrix("transition", size, size, found),
            (size, size),
        )
        self.add_bias("start")
        self.add_bias("end")

    def transform(self, inputs: Inputs) -> dict[str, Expression]:
        """Get ``out`` and ``pre``."""
        pre = super().transform(inputs)["pre"]
        mask = pt.ones(pre.shape[:2], dtype="bool")
        matrix = with_boundary(*(self.find(key) for key in ("transition", "start", "end")))
        return {"out": chain_sums(pre, matrix, mask)[1], "pre": pre}

    def chain(self, outputs: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
        """Get the scores of the chain; see `Layer.chain`."""
        parts = (self.find(key) for key in ("transition", "start", "end"))
        return (outputs[self.scores_output], *parts)

    @property
    def scores_output(self) -> str:
        """The scores of steps, ``pre``."""
        return f"{self.name}:pre"

    def choose(self, scores: Array, mask: Any = None) -> Array:
        """Choose labels: those of the most probable sequence, see `decode`."""
        return self.decode(scores, mask)

    def probabilities(self, scores: Array, mask: Any) -> Array:
        """Compute the probabilities of the labels of each step, see `marginals`."""
        return self.marginals(scores, mask)

    def decode(self, pre: Any, mask: Any = None) -> Array:
        """Find the most probable label sequences, by the algorithm of Viterbi.

        Parameters
        ----------
        pre : array_like of shape (batch, time, size)
            Scores of the steps, the output ``pre``.
        mask : array_like of shape (batch, time), optional
            Which steps exist: not 0. By default all.

        Returns
        -------
        ndarray of int of shape (batch, time)
            0 at steps that do not exist.
        """
        return numpy_chain.viterbi(*self._arrays(pre, mask)).astype(int)

    def marginals(self, pre: Array, mask: Array | None = None) -> Array:
        """Compute the probabilities of the labels of each step.

        Parameters
        ----------
        pre, mask
            See `decode`.

        Returns
        -------
        ndarray of shape (batch, time, size)
            0 at steps that do not exist.
        """
        return numpy_chain.forward_backward(*self._arrays(pre, mask))[1]

    def _arrays(self, pre: Array, mask: Array | None) -> tuple[Array, Array, Array]:
        pre = np.asarray(pre, dtype=self.dtype)
        if pre.ndim != 3 or pre.shape[2] != self.output_size:
            raise DataError(
                f"pre has shape {pre.shape}; expected (batch, time, {self.output_size})"
            )
        mask = np.ones(pre.shape[:2]) if mask is None else np.asarray(mask)
        if mask.shape != pre.shape[:2]:
            raise DataError(f"mask has shape {mask.shape}; expected {pre.shape[:2]}")
        size = self.output_size
        matrix = np.zeros((size + 1, size + 1))
        matrix[:size, :size] = self.find("transition").get_value(borrow=True)
        matrix[size, :size] = self.find("start").get_value(borrow=True)
        matrix[:size, size] = self.find("end").get_value(borrow=True)
        return pre, matrix, mask != 0
