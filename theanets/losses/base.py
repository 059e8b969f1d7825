"""The loss: a weighted term of what training minimizes.

A loss is a pure formula that gives an error for each entry of the target
(`Loss.errors`); how the errors are weighted, masked and reduced to a number
is the same for all losses and stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ..errors import ConfigurationError, nearest
from ..expressions import Expression, applied, check_takes
from ..options import Choice, number
from ..outputs import Outputs
from ..registry import Registered, Registry, signature_of, taken
from ..spec import parse_loss
from .formulas import one_hot
from .numeric import Numeric
from .place import Placed
from .reduction import Reduced, batch_length

__all__ = ["Function", "Loss", "one_hot"]

#: What all losses take besides their options.
KEYWORDS = ("target", "weight", "weighted", "output_name")

Limits = dict[str, tuple[float | None, float | None]]


class Loss(Placed, Numeric, Registered, abstract=True):
    r"""Base class of losses.

    A subclass is registered under its lower-case class name, so that
    ``loss='myname'`` finds it; ``class L(Loss, names=('x',))`` adds short
    names, ``register=False`` keeps it private. It overrides

    - either `errors`, the formula for each entry: weights, masks and the
      mean are then done here;
    - or ``__call__(self, outputs)``, which returns a scalar expression from
      ``outputs[self.output_name]``, ``self._target`` and ``self._weights``.
      The latter is None for an unweighted loss: test it with ``is not
      None``, since a symbolic variable has no truth value. Where series have
      different lengths there are weights in any case, 0 at steps that do not
      exist; unless the class says ``by_step = False``, that its targets do not
      have the steps of its outputs. One that says ``uses_target = False`` asks
      the data for no target.

    Parameters
    ----------
    target : str, int or variable, optional
        Which target the outputs are compared with: the name of an array in
        the data (losses with the same name share it), a number of
        dimensions, or a symbolic variable. By default the model's target.
    weight : float
        Strength of the loss in the sum that training minimizes.
    weighted : bool, optional
        Whether the data hold an array of weights for the target; by default
        as the network says that the loss is added to.
    output_name : str, optional
        The output that is compared with the target; ``'hid1'`` means
        ``'hid1:out'``. By default the network's, see `Structure.output_name`.
    reduction : {'mean', 'sum', 'batch', 'none'}
        What becomes of the errors of the entries, e, with weights w:

        - ``'mean'``: their mean, ``sum(w * e) / sum(w)``;
        - ``'sum'``: their sum, ``sum(w * e)``;
        - ``'batch'``: the sum over the variables (and steps) of an example,
          then the mean over examples: ``sum(w * e) / examples``;
        - ``'none'``: the errors themselves, ``w * e``, for `value` only.
    **options
        The options of the subclass.

    Attributes
    ----------
    weight : float
        May be changed at any time; the next call of ``train`` uses it.

    Notes
    -----
    An entry of weight 0 has no influence on the value or its gradient, even
    where target or output is NaN. If all weights are zero, the value and its
    gradient are 0. A loss whose error is about a vector, such as a
    distribution over classes, gives it the mean of its entries' weights.

    Over several batches, the loss is that of all their examples together,
    for each reduction: the sum grows with the data, and the gradient with the
    size of a batch. In training ``'mean'`` divides by the mean weight of all
    data, see `theanets.training.counts.MeanCounts`.
    """

    registry: ClassVar[Registry[type[Loss]]] = Registry("loss")
    options: ClassVar[dict[str, Any]] = {
        "reduction": Choice("mean", ("mean", "sum", "batch", "none"))
    }
    reduction: str
    #: What it has compiled for itself.
    _shapeless: ClassVar[frozenset[str]] = frozenset({"_functions"})

    def __init__(
        self,
        target: Any = None,
        weight: float = 1.0,
        weighted: bool | None = None,
        output_name: str | None = None,
        **options: Any,
    ) -> None:
        self.set_options(options, f"loss {self.name!r}", KEYWORDS)
        self.weight = weight
        self._place(weighted, output_name)
        self._functions: dict[Any, Any] = {}
        self._check_reduction()
        self.check_options()
        self._take_target(target)

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
                setattr(form, key, value)
            return form
        kind = cls.registry[form] if isinstance(form, str) else form
        if isinstance(kind, type) and issubclass(kind, Loss):
            # A constructor of earlier versions may not do without a target.
            target = signature_of(kind).parameters.get("target")  # type: ignore[arg-type]
            if target is not None and target.default is target.empty:
                options = {"target": None, **options}
            return kind(**options)
        if callable(form) and not isinstance(form, type):
            return Function(form, **options)
        hint = nearest(form.__name__, cls.registry.names()) if isinstance(form, type) else ""
        if isinstance(form, (list, tuple)) and form:
            hint = f"; of several losses, give the first, and net.add_loss({form[-1]!r}) the others"
        raise ConfigurationError(
            f"loss {form!r} is a {type(form).__name__}{hint}; expected a name, dict, Loss or "
            "callable"
        )

    def check_options(self) -> None:
        """Refuse options that have no meaning; called once they are attributes."""

    def require(self, valid: bool, key: str, expected: str) -> None:
        """Refuse the value of an option unless it is valid; say what was expected."""
        if not valid:
            raise ConfigurationError(
                f"loss {self.name!r}: {key}={getattr(self, key)!r} is not {expected}"
            )

    def _check_reduction(self) -> None:
        if self.reduction != "mean" and type(self).__call__ is not Reduced.__call__:
            raise ConfigurationError(
                f"loss {self.name!r} has its own __call__, which returns a scalar; "
                f"reduction={self.reduction!r} needs errors(self, target, output) instead"
            )

    @property
    def weight(self) -> float:
        """Strength of the loss in the sum that training minimizes; may be changed at any time."""
        return self._weight

    @weight.setter
    def weight(self, value: float) -> None:
        self._weight = number("weight", value, where=f"loss {self.name!r}")

    @property
    def name(self) -> str:
        """Canonical name of its class."""
        return Loss.registry.name_of(type(self)) or type(self).__name__.lower()

    @property
    def array_names(self) -> list[str]:
        """Names of the arrays that `value` takes: by default the outputs."""
        return self.output_names

    def log(self) -> str:
        """Describe the loss in one line."""
        target = f", {self.target_name or 'target'}" if self.uses_target else ""
        kind = "weighted " if self.weighted else ""
        return f"{self.weight:g} * {kind}{self.name}({self.output_name}{target})"

    def to_spec(self) -> dict[str, Any]:
        """Get the keywords that build the loss again, with its form."""
        form = Loss.registry.name_of(type(self)) or type(self)
        spec: dict[str, Any] = {"form": form, "weight": self.weight}
        spec.update(weighted=self.weighted, output_name=self.output_name)
        if self.target_name is not None:
            spec["target"] = self.target_name
        spec.update({key: getattr(self, key) for key in self.valid_options()})
        spec.update(self.own_arguments({*spec, "target"}))
        # A constructor of the user's may take less.
        return {"form": spec.pop("form"), **taken(type(self), spec)}

    def __repr__(self) -> str:
        return f"<loss {self.log()}>"


class Function(Loss, abstract=True):
    """A loss from a callable ``(target, output) -> expression``.

    The result is either a scalar, or an error for each entry of the target,
    which is then weighted and averaged. It has to be the latter if the loss is
    weighted, or of series of different lengths.
    """

    def __init__(self, function: Callable[[Any, Any], Any], **keywords: Any) -> None:
        self.function = function
        check_takes(f"loss {self.name!r}", function, ("target", "output"))
        super().__init__(**keywords)

    @property
    def name(self) -> str:
        """Name of the function."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    def errors(self, target: Expression, output: Expression) -> Expression:
        """Get the error of each entry."""
        return applied(self.function, (target, output), f"loss {self.name!r}")

    def terms(self, outputs: Mapping[str, Any]) -> tuple[Expression, Expression]:
        """Get the sum and the count whose ratio is the loss."""
        outputs = Outputs.of(outputs)
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
        why = "is weighted" if self.weighted else "is of series of different lengths"
        if self.weighted or self.existing(outputs) is not None:
            raise ConfigurationError(
                f"loss {self.name!r} {why}, so it has to return an error for each entry of the "
                f"target, an expression of {self._target.ndim} dimensions such as (target - "
                "output) ** 2, and not a scalar; the mean is taken of those that count. A scalar "
                "can be that of a class, whose __call__(self, outputs) gets self._weights"
            )
        count = batch_length(output)
        return errors * count, count

    def to_spec(self) -> dict[str, Any]:
        """Get the keywords that build the loss again; the form is the function."""
        return {**super().to_spec(), "form": self.function}
