"""The regularizer: a penalty on parameters or outputs, or noise in the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar

from .. import names as _names
from ..errors import deprecated, formerly
from ..expressions import Expression
from ..layers import Layer
from ..options import Configured, Number
from ..registry import Registered, Registry
from ..spec import frozen


class Regularizer(Configured, Registered, abstract=True):
    """Base class of regularizers.

    A subclass is registered under its lower-case class name; ``class
    R(Regularizer, names=('x',))`` adds aliases. It overrides

    - either `loss`, which returns a scalar expression that is multiplied by
      ``weight`` and added to what training minimizes;
    - or `modify_graph`, which changes the outputs of a layer before the next
      layers get them.

    Parameters
    ----------
    weight : float
        Strength of a penalty, or level of a noise.
    pattern : str or list of str, optional
        Glob patterns over the names of parameters (``'hid1.w'``) or outputs
        (``'hid1:out'``) that it applies to.
    **options
        The options of the subclass.
    """

    registry: ClassVar[Registry[type[Regularizer]]] = Registry("regularizer")
    #: What the weight has to be.
    strength: ClassVar[Number] = Number(0.0, "nonnegative")

    def __init__(
        self, weight: float = 0.0, pattern: str | Sequence[str] | None = None, **options: Any
    ) -> None:
        if isinstance(weight, (str, list, tuple)) and isinstance(pattern, Real):
            deprecated(f"{type(self).__name__}(pattern, weight) is now (weight, pattern)")
            weight, pattern = pattern, weight
        where = f"regularizer {self.name!r}"
        self.set_options(options, where, ("weight", "pattern"))
        self.weight: float = self.strength.check("weight", weight, where)
        if pattern is not None and not isinstance(pattern, str):
            pattern = _names.split_patterns(pattern)
        self.pattern = pattern
        self.check()

    @classmethod
    def build(cls, form: str, *args: Any, **kwargs: Any) -> Regularizer:
        """Build a regularizer by its registered name."""
        return cls.registry[form](*args, **kwargs)

    @property
    def name(self) -> str:
        """Canonical name."""
        return Regularizer.registry.name_of(type(self)) or type(self).__name__.lower()

    def check(self) -> None:
        """Refuse options that make no sense; called once they are attributes."""

    def loss(self, layers: Sequence[Layer], outputs: Mapping[str, Any]) -> Expression | None:
        """Get the penalty as a scalar expression, without the weight.

        Parameters
        ----------
        layers : list of Layer
            The network's layers.
        outputs : mapping
            Its outputs by full name.

        Returns
        -------
        scalar expression, or None for a regularizer that is no penalty
        """
        return None

    def terms(
        self, layers: Sequence[Layer], outputs: Mapping[str, Any]
    ) -> list[tuple[Expression, Expression]] | None:
        """Get pairs of a sum and a count, the sum of whose ratios is the penalty.

        Sums and counts of several batches can be added up, which gives the
        exact penalty of all their examples, where they have different numbers
        of entries that exist.

        Returns
        -------
        list of (sum, count), scalar expressions; None if there is only `loss`
        """
        return None

    def modify_graph(self, outputs: Any) -> None:
        """Change the outputs of one layer in place.

        Parameters
        ----------
        outputs : Outputs
            Expressions by full name; ``outputs.generator(name)`` gives a
            source of randomness, ``outputs.level(self)`` the weight as a
            variable.
        """

    def cache_key(self) -> tuple[Any, ...]:
        """Get what shapes the graph: all attributes but the weight."""
        return (type(self), frozen({k: v for k, v in vars(self).items() if k != "weight"}))

    structure = formerly("structure()", "cache_key")

    def log(self) -> str:
        """Describe the regularizer in one line."""
        return f"{self.name}({self.pattern or 'default'}, {self.weight:g})"

    def __repr__(self) -> str:
        return f"<regularizer {self.log()}>"
