"""What the layers of a network put out: expressions by name, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import rng as _rng
from .expressions import Expression, Shared

if TYPE_CHECKING:
    from .layers import Layer
    from .regularizers import Regularizer


class Generators(dict[str, Shared]):
    """Shared random generators of noise by name, each with a stream of its own."""

    def reseed(self, seed: int) -> None:
        """Start all anew from a seed."""
        for name, generator in self.items():
            generator.set_value(_rng.generator(seed, "noise", name), borrow=True)

    def moved(self, to: Callable[[Shared], Shared]) -> Generators:
        """Get the same on other variables."""
        return Generators({name: to(generator) for name, generator in self.items()})


class Outputs(dict[str, Any]):
    """Expressions of a network's outputs by full name (``'hid1:out'``).

    Parameters
    ----------
    values : mapping
        The first of them.
    level : callable, optional
        Gets the variable for the weight of a regularizer; by default that is
        the number.
    seed : int
        Seed of the noise.

    Attributes
    ----------
    logits : dict
        By the name of an output that is a softmax, the expression that it is
        the softmax of.
    log_odds : dict
        By the name of an output that is a sigmoid, the expression that it is
        the logistic function of.
    layers : dict
        The layers by name, for losses on their parameters or scores.
    updates : dict
        Updates of shared variables that a function of these outputs needs;
        without those of random generators every call draws the same numbers.
    generators : Generators
        The shared random generators by name.
    lengths : dict
        Number of steps of each series, expressions of shape (batch,), by the
        name of an output in which some steps do not exist; these are 0.
    weights : variable or None
        The weights of a loss that say so, if it is these.
    carried : dict
        Shared variables by name, with states that stateful layers carry on.
    initial, final : dict
        States that recurrent layers start from and end with, by name, by the
        name of the layer.
    """

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        level: Callable[[Regularizer], Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(values or {})
        self.logits: dict[str, Any] = {}
        self.log_odds: dict[str, Any] = {}
        self.layers: Mapping[str, Layer] = {}
        self.updates: dict[Any, Any] = {}
        self.generators = Generators()
        self.lengths: dict[str, Any] = {}
        self.weights: Any = None
        self.initial: Mapping[str, Mapping[str, Any]] = {}
        self.final: dict[str, dict[str, Any]] = {}
        self.carried: dict[str, Any] = {}
        self._level = level
        self._seed = seed

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Outputs:
        """Get outputs as they are, or of expressions by name, of which nothing else is known.

        What a user may call with either of these begins with this.
        """
        return values if isinstance(values, cls) else cls(values)

    def generator(self, name: str) -> Shared:
        """Make a shared random generator with a stream of its own."""
        while name in self.generators:
            name += "'"
        self.generators[name] = _rng.shared_rng(_rng.generator(self._seed, "noise", name), name)
        return self.generators[name]

    def replace(self, replaced: Callable[[list[Any]], list[Any]]) -> None:
        """Replace all expressions by those that a function of their list returns."""
        groups: list[dict[Any, Any]] = [self, self.logits, self.log_odds, self.lengths]
        groups += [self.updates, *self.final.values()]
        found = iter(replaced([value for group in groups for value in group.values()]))
        for group in groups:
            group.update({key: next(found) for key in group})

    def level(self, regularizer: Regularizer) -> Expression:
        """Get the weight of a regularizer, as a number or a variable."""
        return regularizer.weight if self._level is None else self._level(regularizer)
