"""From a formula to a number: how errors are masked, weighted and reduced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import pytensor.tensor as pt

from ..errors import ConfigurationError
from ..expressions import Expression, scalar
from ..outputs import Outputs
from .formulas import const, identity, nonzero


class Compared(NamedTuple):
    """Expressions of what measures of agreement compare.

    Attributes
    ----------
    kind : {'classes', 'labels', 'binary', 'values', 'quantiles', 'sequences'}
        Class labels with scores of the classes, or with the labels that are
        predicted; decisions (0 or 1) with numbers that are positive for yes;
        values with values, or with their quantiles; sequences of labels with
        those that are read, -1 being none.
    target, output : expressions
        Of one shape; scores have the classes as a further, last axis, and
        sequences are of any length, (batch, length).
    weights : expression or None
        Of the target's shape, of sequences (batch), 0 for what does not
        count; None for 1 each.
    logits : bool
        Whether the scores are logits, whose softmax are probabilities.
    orders : tuple of float
        Of quantiles, which are a further, last axis of the output.
    """

    kind: str
    target: Any
    output: Any
    weights: Any
    logits: bool = False
    orders: tuple[float, ...] = ()


class Reduced:
    """What turns the errors of a loss into a number; see `theanets.Loss`."""

    #: Whether targets may be class labels.
    accepts_labels: ClassVar[bool] = True
    #: The axis that an error is about, where errors have an axis less than the target.
    joint_axis: int = -1
    #: Whether targets of an output that is a series have its steps.
    by_step: ClassVar[bool] = True
    uses_target: ClassVar[bool]
    reduction: str
    output_name: str
    _target: Any
    _weights: Any

    @property
    def name(self) -> str:
        """Name of the loss."""
        raise NotImplementedError

    def output(self, outputs: Mapping[str, Any]) -> Expression:
        """Get the output that the loss is about."""
        raise NotImplementedError

    def errors(self, target: Expression, output: Any) -> Expression:
        """Get the error of each entry.

        Parameters
        ----------
        target : expression
            The target.
        output : expression
            The output, of the target's shape; for a loss over classes with
            the classes as a further, last axis. A tuple for a loss on
            several outputs.

        Returns
        -------
        expression of the target's shape, or without the axis `joint_axis`
        """
        raise TypeError(
            f"loss class {type(self).__name__} defines neither errors(self, target, output) "
            "nor __call__(self, outputs)"
        )

    def scores(self, outputs: Outputs) -> tuple[Any, Callable[[Any], Any]]:
        """Get what the formula works on, in two steps so that masks come between them.

        Returns
        -------
        (raw, link)
            An expression or a tuple of them, and the function that turns it,
            once masked, into the second argument of `errors`. By default the
            output as it is.
        """
        return self.output(outputs), identity

    def valid(self, target: Expression) -> Expression | None:
        """Get which entries count at all, as a boolean expression; None for all of them."""
        return None

    def counts(self, target: Expression, output: Expression) -> Expression | None:
        """Get what the error of each entry counts in the mean; None for 1 each.

        It gets what `errors` gets, and has the shape of what that returns.
        """
        return None

    def mask(self, raw: Any, seen: Expression) -> Any:
        """Replace what must not have an influence, by 0.

        Parameters
        ----------
        raw : expression or tuple of expressions
            From `scores`.
        seen : boolean expression of the target's shape
            Which entries have an influence.
        """
        if isinstance(raw, tuple):
            return tuple(self.mask(part, seen) for part in raw)
        return pt.switch(pt.shape_padright(seen, raw.ndim - seen.ndim), raw, const(0, raw))

    def __call__(self, outputs: Mapping[str, Any]) -> Expression:
        """Get the scalar expression for the loss.

        Parameters
        ----------
        outputs : mapping
            Expressions of a network's outputs by full name.

        Returns
        -------
        scalar expression
        """
        total, count = self.terms(outputs)
        return total / nonzero(count)

    def terms(self, outputs: Mapping[str, Any]) -> tuple[Expression, Expression]:
        """Get the sum and the count whose ratio is the loss.

        Sums and counts of several batches can be added up, which gives the
        exact loss of all their examples together.

        Returns
        -------
        (sum, count) : scalar expressions
            The count is the number of entries, or the sum of their weights;
            with the reduction ``'batch'`` the number of examples. A count of
            0 means that the loss is the sum itself: so it is with ``'sum'``.
        """
        outputs = Outputs.of(outputs)
        if type(self).__call__ is not Reduced.__call__:
            return self._own_terms(outputs)
        if self.reduction == "none":
            raise ConfigurationError(
                f"loss {self.name!r} has reduction='none', which gives no number to minimize: it "
                "is for loss.value(output, target) only; use 'mean', 'sum' or 'batch'"
            )
        errors, counts = self.weighted_errors(outputs)
        if self.reduction == "sum":
            return errors.sum(), const(0, errors)
        if self.reduction == "batch":
            return errors.sum(), batch_length(errors)
        return errors.sum(), (errors.size.astype(errors.dtype) if counts is None else counts.sum())

    def all_count(self) -> bool:
        """Tell whether each entry counts, whatever the data; as long as all steps exist.

        Without building what the loss computes: False is no promise of the contrary.
        """
        methods = ("counts", "importance", "weighted_errors", "terms", "relevance")
        plain = all(getattr(type(self), key) is getattr(Reduced, key) for key in methods)
        return plain and self._weights is None and self.valid(self._target) is None

    def relevance(self, outputs: Outputs) -> Expression | None:
        """Get what counts in the loss, an expression that is 0 where nothing does.

        None where everything does.
        """
        # The sum itself, and that over the examples, are not divided by the weights.
        if self.reduction in ("sum", "batch") and type(self).errors is not Reduced.errors:
            return self.weighted_errors(outputs)[1]
        return self.terms(outputs)[1]

    def _own_terms(self, outputs: Outputs) -> tuple[Expression, Expression]:
        """Get the sum and the count of a class with a ``__call__`` of its own."""
        target, own = self._target, self._weights
        existing, weights = self.existing(outputs), own
        if existing is not None:
            ones = existing.astype(self.output(outputs).dtype)
            weights = ones if own is None else pt.switch(existing, own, const(0, own))
        if weights is None:
            count = batch_length(self.output(outputs))
            return scalar(self(outputs), f"loss {self.name!r}") * count, count
        # What it sees has no NaN where the weight is 0, and never only such weights.
        count = weights.sum()
        empty = pt.eq(count, 0)
        self._target = pt.switch(pt.neq(weights, 0), target, pt.zeros((), dtype=target.dtype))
        self._weights = pt.switch(empty, const(1, weights), weights)
        try:
            value = scalar(self(outputs), f"loss {self.name!r}")
        finally:
            self._target, self._weights = target, own
        return pt.switch(empty, 0, value * count), count

    def weighted_errors(self, outputs: Outputs) -> tuple[Expression, Expression]:
        """Get the errors times their weights, and what they count in the mean.

        Returns
        -------
        (errors, counts)
            Expressions of one shape; counts is None for 1 each.
        """
        target, output, weights = self.masked(outputs)
        errors, counts = self.errors(target, output), self.counts(target, output)
        if weights is None:
            return errors, counts
        if errors.ndim < weights.ndim:
            weights = weights.mean(axis=self.joint_axis)
        errors = pt.switch(pt.neq(weights, 0), weights * errors, const(0, errors))
        return errors, weights if counts is None else weights * counts

    def masked(self, outputs: Outputs) -> tuple[Any, Any, Any]:
        """Get what `errors` takes, with entries of weight 0 replaced, and the weights.

        Returns
        -------
        (target, output, weights)
            Weights have the target's shape; None for 1 each.
        """
        self._check_bound()
        target = self._target
        raw, link = self.scores(outputs)
        first = raw[0] if isinstance(raw, tuple) else raw
        weights = self.importance(first.dtype, outputs)
        if weights is None:
            return target, link(raw), None
        # Masked entries are replaced before the formula as well as after it:
        # the gradient of a NaN that is masked only afterwards is 0 * NaN.
        seen = pt.neq(weights, 0)
        target = pt.switch(seen, target, pt.zeros((), dtype=target.dtype))
        return target, link(self.mask(raw, seen)), weights

    def existing(self, outputs: Outputs) -> Expression | None:
        """Get which entries are of steps that exist; None for all, or if the weights say it."""
        lengths = outputs.lengths.get(self.output_name)
        if lengths is None or not self.by_step or self._target.ndim < 2:
            return None
        if self._weights is not None and outputs.weights is self._weights:
            return None
        found = pt.arange(self._target.shape[1]) < lengths[:, None]
        return pt.shape_padright(found, self._target.ndim - 2) & pt.ones_like(
            self._target, dtype="bool"
        )

    def importance(self, dtype: str, outputs: Outputs) -> Expression | None:
        """Get the weight of each entry, 0 for one that is not valid; None for 1 each."""
        valid = self.valid(self._target)
        existing = self.existing(outputs)
        if existing is not None:
            valid = existing if valid is None else valid & existing
        if valid is None or self._weights is None:
            return self._weights if valid is None else valid.astype(dtype)
        return pt.switch(valid, self._weights, const(0, self._weights))

    def compared(self, outputs: Outputs) -> Compared | None:
        """Get what measures of agreement compare, or None if outputs and targets do not match."""
        if not self.uses_target:
            return None
        target, output = self._target, self.output(outputs)
        if not isinstance(getattr(target, "type", None), pt.TensorType) or not target.ndim:
            return None
        labels = target.dtype.startswith("int")
        if target.ndim != output.ndim - labels:
            return None
        weights = self.importance(output.dtype, outputs)
        if labels:
            # A softmax does not change which is the largest.
            logits = outputs.logits.get(self.output_name)
            found = output if logits is None else logits
            normal = logits is not None or getattr(self, "logits", False)
            return Compared("classes", target, found, weights, normal)
        if len({target.type.shape[-1], output.type.shape[-1]} - {None}) > 1:
            return None
        decisions = self.decisions(outputs)
        if decisions is None:
            return Compared("values", target, self.values(output), weights)
        scores, limit = decisions
        return Compared("binary", pt.gt(target, limit).astype("int8"), scores, weights)

    def comparisons(self, outputs: Outputs) -> list[Compared]:
        """Get all that measures of agreement may compare: by default one thing or nothing."""
        found = self.compared(outputs)
        return [] if found is None else [found]

    def values(self, output: Expression) -> Expression:
        """Get the values that an output, an expression, says; by default these are the output."""
        return output

    def point(self, output: Expression) -> Expression:
        """Get the values that an output, an array, says; by default these are the output."""
        return output

    def decisions(self, outputs: Outputs) -> tuple[Expression, float] | None:
        """Get numbers that are positive for yes, and what targets that mean yes are above.

        None where the loss compares values and not decisions, as by default.
        """
        return None

    def bounds(self, probabilities: bool) -> tuple[float, float] | None:
        """Get what outputs, and targets, that mean yes are above; None for values, as by default.

        Parameters
        ----------
        probabilities : bool
            Whether the output's layer is a sigmoid.
        """
        return None

    def accuracy_terms(self, outputs: Outputs) -> tuple[Expression, Expression] | None:
        """Get the (weighted) number of labels or decisions met, and of all; None without these."""
        found = self.compared(outputs)
        if found is None or found.kind == "values":
            return None
        predicted, dtype = found.output, self.output(outputs).dtype
        if found.kind == "classes":
            predicted = pt.argmax(predicted, axis=-1)
        elif found.kind == "binary":
            predicted = pt.gt(predicted, 0)
        met, weights = pt.eq(predicted, found.target).astype(dtype), found.weights
        if weights is None:
            return met.sum(), met.size.astype(dtype)
        return (weights * met).sum(), weights.sum()

    def accuracy(self, outputs: Mapping[str, Any]) -> Expression:
        """Get the (weighted) share of labels or decisions met, a scalar expression.

        Raises
        ------
        ConfigurationError
            If the loss compares values.
        """
        terms = self.accuracy_terms(Outputs.of(outputs))
        if terms is None:
            raise ConfigurationError(f"loss {self.name!r} compares values, so it has no accuracy")
        return terms[0] / terms[1]

    def _check_bound(self) -> None:
        if self._target is None:
            raise ConfigurationError(
                f"loss {self.name!r} has no target yet: add it to a network, or build it "
                "with target=<number of dimensions>"
            )


def batch_length(output: Expression) -> Expression:
    """Get the number of examples, as a number of the output's type."""
    return output.shape[0].astype(output.dtype)
