"""The loss: a weighted term of what training minimizes.

A loss is a pure formula that gives an error for each entry of the target
(`Loss.errors`); how the errors are weighted, masked and reduced to a number
is the same for all losses and stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt

from .. import names as _names
from ..errors import ConfigurationError, check_keywords, unknown
from ..registry import Registry, subclass_names
from ..spec import parse_loss


class Loss:
    r"""Base class of losses.

    A subclass is registered under its lower-case class name, so that
    ``loss='myname'`` finds it; ``class L(Loss, names=('x',))`` adds short
    names, ``register=False`` keeps it private. It overrides

    - either `errors`, the formula for each entry: weights, masks and the
      mean are then done here;
    - or ``__call__(self, outputs)``, which returns a scalar expression from
      ``outputs[self.output_name]``, ``self._target`` and ``self._weights``.
      The latter is None for an unweighted loss: test it with ``is not
      None``, since a symbolic variable has no truth value.

    Parameters
    ----------
    target : str, int or variable, optional
        Which target the outputs are compared with: the name of an array in
        the data (losses with the same name share it), a number of
        dimensions, or a symbolic variable. By default the model's target.
    weight : float
        Strength of the loss in the sum that training minimizes.
    weighted : bool
        Whether the data hold an array of weights for the target.
    output_name : str
        The output that is compared with the target; ``'out'`` means
        ``'out:out'``.
    **options
        The options of the subclass.

    Attributes
    ----------
    weight : float
        May be changed at any time; the next call of ``train`` uses it.

    Notes
    -----
    The value is the mean of the errors over all entries, or with weights
    ``sum(w * error) / sum(w)``. An entry of weight 0 has no influence on the
    value or its gradient, even where target or output is NaN. If all weights
    are zero, the value and its gradient are 0.
    """

    registry: ClassVar[Registry[type[Loss]]] = Registry("loss")
    options: ClassVar[dict[str, Any]] = {}
    #: Whether targets are class labels, with one axis less than the output.
    labels: ClassVar[bool] = False

    def __init_subclass__(
        cls,
        names: Iterable[str] = (),
        register: str | bool | None = None,
        abstract: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        found = subclass_names(cls, names, register, abstract)
        if found:
            Loss.registry.register(cls, *found)

    def __init__(
        self,
        target: Any = None,
        weight: float = 1.0,
        weighted: bool = False,
        output_name: str = "out",
        **options: Any,
    ) -> None:
        valid = self.valid_options()
        keywords = [*valid, "target", "weight", "weighted", "output_name"]
        check_keywords(f"loss {self.name!r}", set(options) - set(valid), keywords)
        for key, default in valid.items():
            setattr(self, key, options.get(key, default))
        self.weight = weight
        self.weighted = bool(weighted)
        self.output_name = _names.output_name(output_name)
        self.target_name = target if isinstance(target, str) else None
        self.target_variable: Any = None
        self._target: Any = None
        self._weights: Any = None
        if isinstance(target, (int, np.integer)):
            self.bind(*_free_variables(self, int(target)))
        elif target is not None and not isinstance(target, str):
            self.target_variable = target
            self.bind(target, _weights_like(target) if weighted else None)

    @classmethod
    def valid_options(cls) -> dict[str, Any]:
        """Get the options of the class and its bases, with their defaults."""
        merged: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            merged.update(vars(base).get("options", {}))
        return merged

    @classmethod
    def build(cls, spec: Any, **keywords: Any) -> Loss:
        """Build a loss.

        Parameters
        ----------
        spec : str, dict, type, Loss or callable
            A registered name or alias (case-insensitive), a dict with
            ``form`` and keywords, a class, an instance (returned as it is),
            or a callable ``(target, output) -> expression``, scalar or with
            an error for each entry of the target.
        **keywords
            Keywords of the loss.

        Returns
        -------
        Loss

        Raises
        ------
        ConfigurationError
            If there is no such loss, or a keyword is not one of its.
        """
        parsed = parse_loss(spec, **keywords)
        form, options = parsed.form, parsed.options
        if isinstance(form, Loss):
            for key in options:
                if key not in ("weight", "weighted", "output_name"):
                    raise ConfigurationError(
                        f"loss {form!r} is an instance already; {key}= must be given when it "
                        "is made"
                    )
            for key, value in options.items():
                setattr(form, key, _names.output_name(value) if key == "output_name" else value)
            return form
        if isinstance(form, str):
            return cls.registry[form](**options)
        if isinstance(form, type) and issubclass(form, Loss):
            return form(**options)
        if callable(form) and not isinstance(form, type):
            return Function(form, **options)
        raise ConfigurationError(
            f"loss {form!r} is a {type(form).__name__}; expected a name, dict, Loss or callable"
        )

    # ---- the formula ---------------------------------------------------------

    def errors(self, target: Any, output: Any) -> Any:
        """Get the error of each entry.

        Parameters
        ----------
        target : expression
            The target.
        output : expression
            The output, of the target's shape; for a loss over classes with
            the classes as a further, last axis.

        Returns
        -------
        expression of the target's shape
        """
        raise TypeError(
            f"loss class {type(self).__name__} defines neither errors(self, target, output) "
            "nor __call__(self, outputs)"
        )

    def scores(self, outputs: Mapping[str, Any]) -> tuple[Any, Callable[[Any], Any]]:
        """Get what the formula works on, in two steps so that masks come between them.

        Returns
        -------
        (raw, link)
            An expression, and the function that turns it, once masked, into
            the second argument of `errors`. By default the output as it is.
        """
        return self.output(outputs), _identity

    def __call__(self, outputs: Mapping[str, Any]) -> Any:
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
        return total / pt.switch(pt.eq(count, 0), 1, count)

    def terms(self, outputs: Mapping[str, Any]) -> tuple[Any, Any]:
        """Get the sum and the count whose ratio is the loss.

        Sums and counts of several batches can be added up, which gives the
        exact loss of all their examples together.

        Returns
        -------
        (sum, count) : scalar expressions
            The count is the number of entries, or the sum of their weights.
        """
        if type(self).__call__ is not Loss.__call__:
            count = _batch_length(self.output(outputs))
            return self(outputs) * count, count
        self._check_bound()
        target, weights = self._target, self._weights
        output, link = self.scores(outputs)
        if weights is None:
            errors = self.errors(target, link(output))
            return errors.sum(), errors.size.astype(errors.dtype)
        # Masked entries are replaced before the formula as well as after it:
        # the gradient of a NaN that is masked only afterwards is 0 * NaN.
        seen = pt.neq(weights, 0)
        target = pt.switch(seen, target, pt.zeros((), dtype=target.dtype))
        seen_output = pt.shape_padright(seen, output.ndim - seen.ndim)
        output = pt.switch(seen_output, output, pt.zeros((), dtype=output.dtype))
        errors = self.errors(target, link(output))
        weighted = pt.switch(seen, weights * errors, pt.zeros((), dtype=errors.dtype))
        return weighted.sum(), weights.sum()

    def accuracy_terms(self, outputs: Mapping[str, Any]) -> tuple[Any, Any] | None:
        """Get the (weighted) number of labels met and of labels, or None without labels."""
        target, weights = self._target, self._weights
        output = self.output(outputs)
        # A softmax does not change which is the largest.
        output = getattr(outputs, "logits", {}).get(self.output_name, output)
        if target is None or target.dtype[:3] != "int" or target.ndim != output.ndim - 1:
            return None
        met = pt.eq(pt.argmax(output, axis=-1), target).astype(output.dtype)
        if weights is None:
            return met.sum(), met.size.astype(output.dtype)
        return (weights * met).sum(), weights.sum()

    # ---- its place in a network ------------------------------------------------

    @property
    def name(self) -> str:
        """Canonical name of its class."""
        return Loss.registry.name_of(type(self)) or type(self).__name__.lower()

    @property
    def variables(self) -> list[Any]:
        """The symbolic inputs of the loss: its target, and its weights if it has any."""
        return [v for v in (self._target, self._weights) if v is not None]

    def output(self, outputs: Mapping[str, Any]) -> Any:
        """Get the output that the loss is about."""
        if self.output_name not in outputs:
            raise unknown(f"output of loss {self.name!r}", self.output_name, outputs)
        return outputs[self.output_name]

    def bind(self, target: Any, weights: Any = None) -> None:
        """Set the symbolic target and weights."""
        self._target = target
        self._weights = weights

    def _check_bound(self) -> None:
        if self._target is None:
            raise ConfigurationError(
                f"loss {self.name!r} has no target yet: add it to a network, or build it "
                "with target=<number of dimensions>"
            )

    def log(self) -> str:
        """Describe the loss in one line."""
        target = self.target_name or "target"
        kind = "weighted " if self.weighted else ""
        return f"{self.weight:g} * {kind}{self.name}({self.output_name}, {target})"

    def to_spec(self) -> dict[str, Any]:
        """Get the keywords that build the loss again, with its form."""
        form = Loss.registry.name_of(type(self)) or type(self)
        spec: dict[str, Any] = {"form": form, "weight": self.weight}
        spec.update(weighted=self.weighted, output_name=self.output_name)
        if self.target_name is not None:
            spec["target"] = self.target_name
        return {**spec, **{key: getattr(self, key) for key in self.valid_options()}}

    def __repr__(self) -> str:
        return f"<loss {self.log()}>"


class Function(Loss, abstract=True):
    """A loss from a callable ``(target, output) -> expression``.

    The result is either a scalar, or an error for each entry of the target,
    which is then weighted and averaged.
    """

    def __init__(self, function: Callable[[Any, Any], Any], **keywords: Any) -> None:
        self.function = function
        super().__init__(**keywords)

    @property
    def name(self) -> str:
        """Name of the function."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    def errors(self, target: Any, output: Any) -> Any:
        """Get the error of each entry."""
        return pt.as_tensor(self.function(target, output))

    def terms(self, outputs: Mapping[str, Any]) -> tuple[Any, Any]:
        """Get the sum and the count whose ratio is the loss."""
        self._check_bound()
        output = self.output(outputs)
        errors = self.errors(self._target, output)
        if errors.ndim > 0:
            if errors.ndim != self._target.ndim:
                raise ConfigurationError(
                    f"loss {self.name!r} returned an expression of {errors.ndim} dimensions; "
                    f"expected a scalar, or the {self._target.ndim} of the target"
                )
            return super().terms(outputs)
        if self.weighted:
            raise ConfigurationError(
                f"loss {self.name!r} is weighted, so it has to return an error for each entry "
                "of the target, not a scalar"
            )
        count = _batch_length(output)
        return errors * count, count

    def to_spec(self) -> dict[str, Any]:
        """Get the keywords that build the loss again; the form is the function."""
        return {**super().to_spec(), "form": self.function}


def _identity(output: Any) -> Any:
    return output


def _batch_length(output: Any) -> Any:
    return output.shape[0].astype(output.dtype)


def _free_variables(loss: Loss, ndim: int) -> tuple[Any, Any]:
    dtype = "int32" if loss.labels else "floatX"
    target = pt.tensor(name="target", dtype=dtype, shape=(None,) * ndim)
    return target, _weights_like(target) if loss.weighted else None


def _weights_like(target: Any) -> Any:
    dtype = target.dtype if target.dtype.startswith("float") else "floatX"
    return pt.tensor(name="weights", dtype=dtype, shape=target.type.shape)


def one_hot(labels: Any, classes: Any, dtype: str) -> Any:
    """Get an indicator of each label along a new last axis.

    Parameters
    ----------
    labels : integer expression
        Labels in [0, classes).
    classes : int or scalar expression
        Number of classes.
    dtype : str
        Type of the result.
    """
    return pt.eq(labels[..., None], pt.arange(classes, dtype=labels.dtype)).astype(dtype)
