"""Losses over classes; they work on logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.special import log_softmax

from .base import Loss, one_hot


class Classification(Loss, abstract=True):
    """Base class of losses over classes.

    The output's last axis are the classes. Where the layer is a softmax, the
    formula gets its pre-activation, the logits, else the output itself.
    Targets are integer labels, with one axis less than the output.
    """

    labels = True

    def scores(self, outputs: Mapping[str, Any]) -> tuple[Any, Callable[[Any], Any]]:
        """Get the logits, or the output where there are none."""
        logits = getattr(outputs, "logits", {}).get(self.output_name)
        if logits is not None:
            return logits, lambda z: z
        return self.output(outputs), self.link

    def link(self, output: Any) -> Any:
        """Turn the output of a layer without logits into scores of the classes."""
        return output


class CrossEntropy(Classification, names=("xe",)):
    r"""Cross-entropy, :math:`-\log p_t`, the negative log-likelihood of the label.

    The mean over examples (and steps). Targets are integer labels in [0,
    classes), or distributions over the classes, of the output's shape:
    :math:`-\sum_k t_k \log p_k`. Outputs of a softmax layer are taken as
    logits, so that the value is finite and the gradient right however
    confident the network is. Other outputs are taken as probabilities, up to
    a common factor; one below the smallest normal number counts as that.

    The default of a classifier.
    """

    def link(self, output: Any) -> Any:
        """Get the logarithm of probabilities, whose softmax they are again."""
        return pt.log(pt.maximum(output, np.finfo(output.dtype).tiny))

    def errors(self, target: Any, output: Any) -> Any:
        """Get minus the log-probability of each target."""
        output = log_softmax(output, axis=-1)
        if target.ndim == output.ndim:
            # The error of an entry, times the number of classes since the mean
            # is taken over entries and not over examples.
            return -target * output * output.shape[-1]
        return -pick(output, target)


class Hinge(Classification, names=("hinge",)):
    r"""Multi-class hinge, :math:`\max(0, m + \max_{k \ne t} z_k - z_t)`.

    The mean over examples (and steps). Targets are integer labels in [0,
    classes). Outputs of a softmax layer are taken as logits, other outputs
    as they are. Use it for a large margin where probabilities are not
    needed.

    Parameters
    ----------
    margin : float
        The margin m, 1 by default; 0 is the perceptron's loss.

    References
    ----------
    Crammer & Singer 2001, "On the algorithmic implementation of multiclass
    kernel-based vector machines".
    """

    options = {"margin": 1.0}  # noqa: RUF012
    margin: float

    def errors(self, target: Any, output: Any) -> Any:
        """Get the hinge of each label."""
        dtype = output.dtype
        if target.ndim == output.ndim:
            target = pt.argmax(target, axis=-1)
        at_label = one_hot(target, output.shape[-1], "bool")
        low = pt.as_tensor(np.asarray(-np.inf, dtype=dtype))
        others = pt.switch(at_label, low, output).max(axis=-1)
        margin = pt.as_tensor(np.asarray(self.margin, dtype=dtype))
        gap = margin + others - pick(output, target)
        return pt.switch(gap <= 0, pt.zeros((), dtype=dtype), gap)


def pick(values: Any, labels: Any) -> Any:
    """Get ``values[..., label]`` for each label.

    Parameters
    ----------
    values : expression of shape (..., classes)
        Scores of the classes.
    labels : integer expression of shape (...)
        Labels in [0, classes); an index outside of that is not checked.
    """
    if labels.ndim == 1:
        return values[pt.arange(labels.shape[0]), labels]
    flat = values.reshape((-1, values.shape[-1]))
    return flat[pt.arange(flat.shape[0]), labels.ravel()].reshape(labels.shape)
