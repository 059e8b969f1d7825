r"""Structured losses: scores of whole outputs, against those that the target rules out.

Each has two forms. Over **classes**, each entry of the target is a choice of
its own between K labels. Over the label **sequences** of a linear chain, where
the output is a `crf` layer, or the loss has a ``transition`` matrix: then sums
and maxima over all sequences are exact, by dynamic programming.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt

from ..errors import ConfigurationError
from ..expressions import Expression
from ..options import DROPPED, DROPPED_FLAG
from ..outputs import Outputs
from .chain import Chain, Classes
from .classification import Classification
from .formulas import const
from .reduction import Compared


class Structured(Classification, abstract=True):
    r"""Base class of losses on the scores of whole outputs.

    With the score :math:`s(y)` of labels, of which :math:`t` is the target,
    and the cost :math:`c(y)` of predicting :math:`y`, a loss is made of

    - the score of the target, :math:`s(t)`;
    - maxima, :math:`\max_y s(y) \pm c(y)`;
    - sums, :math:`\log \sum_y \exp(s(y) \pm c(y))`.

    Over classes, :math:`y` is one label and :math:`s(y)` the output at it:
    logits of a softmax layer, any other output as it is. Over sequences,
    :math:`s(y)` is the sum of the steps' scores, which are the output ``pre``
    of a `crf` layer, and of its transitions, start and end; costs of the
    steps add up.

    Targets are integer labels in [0, K), of shape (...) for outputs (..., K);
    for sequences (batch, time). Where weights of steps are 0, or labels are
    ``ignore_index``, the steps do not exist, and those around them follow one
    another: that is how sequences of different lengths share an array. A
    sequence gives each of its steps an equal part of its error. So the mean
    is the errors of all sequences over all their steps, and with
    ``reduction='batch'`` it is the mean over sequences.

    Parameters
    ----------
    cost : array_like, optional
        What it costs to predict a label in place of the target's: (K, K), the
        target's label by row; or (K), the cost of missing each label. At
        least 0. By default 1 for each wrong label, over sequences the Hamming
        distance.
    transition : array_like of shape (K, K), optional
        Fixed scores of each label (row) being followed by each (column): makes
        a chain of an output that is not a `crf` layer.
    start, end : array_like of shape (K), optional
        Fixed scores of the first and last label, with ``transition``.
    ignore_index : int, optional
        A label that does not count.

    Attributes
    ----------
    cost, transition, start, end : ndarray or None
        As given.
    """

    options: ClassVar[dict[str, Any]] = {
        "cost": None,
        "transition": None,
        "start": None,
        "end": None,
        "logits": DROPPED_FLAG,
    }
    logits = False
    cost: Any
    transition: Any
    start: Any
    end: Any

    def check_options(self) -> None:
        """Refuse costs and scores of wrong shapes; make arrays of them."""
        super().check_options()
        self._as_array("cost", (1, 2), low=0.0)
        self._as_array("transition", (2,))
        for key in ("start", "end"):
            self._as_array(key, (1,))
            value = getattr(self, key)
            if value is None:
                continue
            if self.transition is None:
                raise ConfigurationError(f"loss {self.name!r}: {key}= needs transition=")
            if len(value) != len(self.transition):
                raise ConfigurationError(
                    f"loss {self.name!r}: {key} has {len(value)} scores, transition is for "
                    f"{len(self.transition)} labels"
                )

    def _as_array(self, key: str, ranks: tuple[int, ...], low: float = -np.inf) -> None:
        value = getattr(self, key)
        if value is None:
            return
        shapes = " or ".join({1: "(K)", 2: "(K, K)"}[rank] for rank in ranks)
        expected = f"an array of numbers{'' if low else ' of at least 0'}, of shape {shapes}"
        try:
            array = np.array(value, dtype=float)
        except (TypeError, ValueError):
            array = np.array(np.nan)
        valid = array.ndim in ranks and len(set(array.shape)) == 1 and array.size > 0
        # Scores may be -inf, which forbids a label or a transition; costs are finite.
        valid = valid and bool(((array >= low) & (array < np.inf)).all())
        self.require(valid, key, expected)
        setattr(self, key, array)

    def scores(self, outputs: Outputs) -> tuple[Any, Callable[[Any], Any]]:
        """Get the scores of labels, and what makes a chain of them where they are one."""
        chain = self.chain(outputs)
        if chain is None:
            return super().scores(outputs)
        unary, transition, start, end = chain
        importance = self.importance(unary.dtype, outputs)
        mask = None if importance is None else pt.neq(importance, 0)
        return unary, lambda raw: Chain(raw, transition, start, end, mask)

    def chain(self, outputs: Outputs) -> tuple[Any, Any, Any, Any] | None:
        """Get the scores of a chain, or None over classes.

        Returns
        -------
        (unary, transition, start, end) or None
            Expressions, see `Chain`.
        """
        layers = (x for x in outputs.layers.values() if x.output_name == self.output_name)
        layer = next(layers, None)
        chain = None if layer is None else layer.chain(outputs)
        if self.transition is None:
            return chain
        if chain is not None:
            raise ConfigurationError(
                f"loss {self.name!r} has transition=, but its output {self.output_name!r} is a "
                "crf layer, which has its own"
            )
        unary = outputs.logits.get(self.output_name, self.output(outputs))
        k = len(self.transition)
        if unary.ndim != 3 or unary.type.shape[2] not in (None, k):
            raise ConfigurationError(
                f"loss {self.name!r}: transition is for outputs of shape (batch, time, {k}); "
                f"{self.output_name!r} has {unary.type.shape}"
            )
        zeros = np.zeros(k)
        ends = (zeros if end is None else end for end in (self.start, self.end))
        return (unary, const(self.transition, unary), *(const(end, unary) for end in ends))

    def errors(self, target: Expression, output: Any) -> Expression:
        """Get the error of each entry; ``output`` is an expression or a `Chain`."""
        space = output if isinstance(output, Classes) else Classes(output)
        unary = space.unary
        if not target.dtype.startswith("int") or target.ndim != unary.ndim - 1:
            raise ConfigurationError(
                f"loss {self.name!r} needs integer labels of {unary.ndim - 1} dimensions; its "
                f"target has {target.ndim}, of {target.dtype}"
            )
        return space.entries(self.error(space, target, self.costs(target, unary)))

    def error(self, space: Classes, target: Expression, cost: Expression) -> Expression:
        """Get the error of each choice.

        Parameters
        ----------
        space : Classes
            What is chosen from, classes or sequences.
        target : integer expression
            The labels to choose.
        cost : expression
            The cost of each label at each position.
        """
        raise NotImplementedError

    def costs(self, target: Expression, unary: Expression) -> Expression:
        """Get the cost of each label at each position.

        Parameters
        ----------
        target : integer expression of shape (...)
            Labels.
        unary : expression of shape (..., K)
            Whose type the costs get.
        """
        wrong = pt.neq(target[..., None], pt.arange(unary.shape[-1], dtype=target.dtype))
        if self.cost is None:
            return wrong.astype(unary.dtype)
        k, known = len(self.cost), unary.type.shape[-1]
        if known not in (None, k):
            raise ConfigurationError(
                f"loss {self.name!r}: cost has shape {self.cost.shape}, but the output "
                f"{self.output_name!r} has {known} labels"
            )
        # Clipped so that an index is never out of range, also if K is not known.
        rows = pt.clip(target, 0, k - 1)
        found = const(self.cost, unary)[rows.ravel()]
        if self.cost.ndim == 1:
            return found.reshape(target.shape)[..., None] * wrong
        return found.reshape((*target.shape, k))

    def compared(self, outputs: Outputs) -> Compared | None:
        """Get what measures of agreement compare; of chains, the labels of the best path."""
        if self.chain(outputs) is None or self._target is None:
            return super().compared(outputs)
        raw, link = self.scores(outputs)
        importance = self.importance(raw.dtype, outputs)
        if importance is not None:
            raw = self.mask(raw, pt.neq(importance, 0))
        return Compared("labels", self._target, link(raw).decode(), importance)


class ConditionalRandomField(Structured, names=("crf",)):
    r"""Log-loss, :math:`-s(t) + \log \sum_y \exp s(y)`.

    The negative log-likelihood of the target. Over the sequences of a chain
    this is the loss of a conditional random field; over classes it is the
    cross-entropy of logits. The default where the output is a `crf` layer.

    Takes what `Structured` takes, but for ``cost``.

    References
    ----------
    Lafferty, McCallum & Pereira 2001, "Conditional random fields:
    probabilistic models for segmenting and labeling sequence data".
    """

    options: ClassVar[dict[str, Any]] = {"cost": DROPPED}
    cost = None

    def error(self, space: Classes, target: Expression, cost: Expression) -> Expression:
        """Get the log-loss of each choice."""
        return space.log_sum(space.unary) - space.score(target)


class Perceptron(Structured, names=("perceptron",)):
    r"""Perceptron loss, :math:`-s(t) + \max_y s(y)`.

    0 where the target has the highest score. It asks for no margin.

    Takes what `Structured` takes, but for ``cost``.

    References
    ----------
    Collins 2002, "Discriminative training methods for hidden Markov models".
    """

    options: ClassVar[dict[str, Any]] = {"cost": DROPPED}
    cost = None

    def error(self, space: Classes, target: Expression, cost: Expression) -> Expression:
        """Get the perceptron loss of each choice."""
        return space.best(space.unary) - space.score(target)


class StructuredHinge(Structured, names=("structured_hinge",)):
    r"""Hinge with costs, :math:`-s(t) + \max_y (s(y) + c(y))`.

    The loss of structured support vector machines, with margin rescaling: an
    output must be below the target by its cost. At least the `perceptron`'s
    loss. Takes what `Structured` takes.

    References
    ----------
    Taskar, Guestrin & Koller 2003, "Max-margin Markov networks";
    Tsochantaridis et al. 2005, "Large margin methods for structured and
    interdependent output variables".
    """

    def error(self, space: Classes, target: Expression, cost: Expression) -> Expression:
        """Get the hinge of each choice."""
        return space.best(space.unary + cost) - space.score(target)


class SoftmaxMargin(Structured, names=("softmax_margin",)):
    r"""Softmax-margin, :math:`-s(t) + \log \sum_y \exp(s(y) + c(y))`.

    The log-loss with a margin: at least the `crf` loss, and at least the
    `structured_hinge`. Takes what `Structured` takes.

    References
    ----------
    Gimpel & Smith 2010, "Softmax-margin CRFs: training log-linear models with
    cost functions".
    """

    def error(self, space: Classes, target: Expression, cost: Expression) -> Expression:
        """Get the softmax-margin of each choice."""
        return space.log_sum(space.unary + cost) - space.score(target)


class Risk(Structured, names=("risk",)):
    r"""Expected cost, :math:`\sum_y c(y) \exp s(y) / \sum_y \exp s(y)`.

    Bounded, so that outliers matter little; not convex, so that it is best
    started from parameters that another loss has found. Takes what
    `Structured` takes.

    References
    ----------
    Smith & Eisner 2006, "Minimum risk annealing for training log-linear
    models"; Li & Eisner 2009, "First- and second-order expectation
    semirings".
    """

    def error(self, space: Classes, target: Expression, cost: Expression) -> Expression:
        """Get the expected cost of each choice."""
        return space.mean(cost)
