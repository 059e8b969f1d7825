"""The objective: losses and penalties as one scalar expression, and its gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedGrad, ZeroGrad
from pytensor.scalar import Ceil, Floor, RoundHalfAwayFromZero, RoundHalfToEven, Sign, Trunc
from pytensor.tensor.elemwise import Elemwise

from . import monitors, process, series_lengths
from .errors import ConfigurationError, ZeroGradientWarning
from .expressions import Expression, Shared, scalar, untrained
from .graph import Graph, Outputs
from .losses import Loss
from .losses.formulas import nonzero
from .monitors import Terms
from .regularizers import Regularizer


class Strengths:
    """Weights of losses and regularizers as shared variables.

    Changing a strength changes no graph, so nothing is compiled again.

    Parameters
    ----------
    dtype : str
        Type of the variables.
    """

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self._shared: dict[str, Any] = {}
        self._index: dict[int, int] = {}

    def loss(self, i: int) -> Expression:
        """Get the variable for the weight of the i-th loss."""
        return self._get(f"loss {i}")

    def level(self, regularizer: Regularizer) -> Expression:
        """Get the variable for the weight of a regularizer."""
        i = self._index.setdefault(id(regularizer), len(self._index))
        return self._get(f"regularizer {i}")

    @property
    def scale(self) -> Expression:
        """The variable that multiplies all penalties."""
        return self._get("scale")

    def _get(self, key: str) -> Shared:
        if key not in self._shared:
            value = np.asarray(1, dtype=self._dtype)
            self._shared[key] = untrained(pytensor.shared(value, name=key))
        return self._shared[key]

    def number(self, regularizers: Sequence[Regularizer]) -> None:
        """Fix the order of the regularizers, by which `assign` finds them again."""
        for i, regularizer in enumerate(regularizers):
            self._index[id(regularizer)] = i

    def moved(self, to: Callable[[Shared], Shared]) -> Strengths:
        """Get the same on other variables, to be assigned."""
        found = Strengths(self._dtype)
        found._shared = {key: to(variable) for key, variable in self._shared.items()}
        return found

    def assign(
        self, losses: Sequence[Loss], regularizers: Sequence[Regularizer], scale: float
    ) -> None:
        """Set all variables."""
        values = {f"loss {i}": loss.weight for i, loss in enumerate(losses)}
        values.update({f"regularizer {i}": r.weight for i, r in enumerate(regularizers)})
        values["scale"] = scale
        for key, variable in self._shared.items():
            variable.set_value(np.asarray(values[key], dtype=self._dtype))


@dataclass
class Objective:
    """What training minimizes, as expressions.

    Attributes
    ----------
    total : scalar expression
        The weighted sum of losses and penalties.
    losses, metrics : dict
        Pairs (sum, count) of scalar expressions by name.
    penalties : dict
        Lists of such pairs: a penalty is the sum of the ratios. The count is
        the number of examples, unless it is that of the entries that exist.
    outputs : Outputs
        The outputs it was built on.
    strengths : Strengths
        Weights of losses and penalties.
    better : dict
        ``'max'`` or ``'min'`` by name of a metric, where it is known.
    batch : scalar expression
        Number of examples.
    added : dict
        As ``losses``, but with weight 1: what a class of the user's adds to
        them, or has in their place.
    """

    total: Any
    losses: Terms
    penalties: dict[str, list[tuple[Any, Any]]]
    metrics: Terms
    outputs: Outputs
    strengths: Strengths
    better: dict[str, str]
    batch: Any
    added: Terms = field(default_factory=dict)
    _means: list[tuple[str, Any]] | None = field(default=None, init=False, repr=False)

    @property
    def terms(self) -> dict[str, list[tuple[Any, Any]]]:
        """All pairs (sum, count) by name."""
        one = {**self.losses, **self.added, **self.metrics}
        names = [*self.losses, *self.added, *self.penalties, *self.metrics]
        return {name: self.penalties.get(name) or [one[name]] for name in names}

    def means(self) -> list[tuple[str, Any]]:
        """Get the means of all terms, the same expressions each time."""
        if self._means is None:
            self._means = []
            for name, pairs in self.terms.items():
                # As in an evaluation, a count of 0 means the sum itself.
                found = [total / nonzero(n) for total, n in pairs]
                self._means.append((name, sum(found[1:], found[0])))
        return self._means

    def stacked(self, dtype: str) -> Expression:
        """Get all sums and counts as one vector."""
        flat = [x.astype(dtype) for term in self.terms.values() for p in term for x in p]
        return pt.stack(flat) if flat else pt.zeros((0,), dtype=dtype)


def build(
    graph: Graph,
    losses: Sequence[Loss],
    regularizers: Sequence[Regularizer],
    *,
    training: bool,
    watched: Any = (),
    seed: int | None = None,
    noise: bool = True,
    divisor: Callable[[str, Any, Any], Any] | None = None,
    revise: Callable[[Objective], None] | None = None,
) -> Objective:
    """Build the objective of a network.

    Parameters
    ----------
    graph : Graph
        The network's layers.
    losses : list of Loss
        Its losses, bound to their targets.
    regularizers : list of Regularizer
        Penalties to add, and noise to put in the graph.
    training : bool
        Whether layers show their training form.
    watched : dict or list
        Further monitors, see `theanets.monitors.custom`.
    seed : int, optional
        Seed of the noise; by default that of the graph.
    noise : bool
        Whether regularizers may change the graph, or only add penalties.
    divisor : callable, optional
        Gets what the sum of a loss is divided by, from its name, its count and
        the number of examples; by default the count, unless it is 0.
    revise : callable, optional
        Changes the objective in the end, see `theanets.structure.overrides`.

    Returns
    -------
    Objective

    Raises
    ------
    ConfigurationError
        If there is neither a loss nor a penalty, or a monitor is wrong.
    """
    dtype = graph.dtype
    strengths = Strengths(dtype)
    strengths.number(regularizers)
    with process.building(dtype):
        lengths, weights = series_lengths.from_weights(graph.by_name, losses)
        outputs = graph.outputs(
            training=training,
            regularizers=regularizers if noise else (),
            level=strengths.level,
            seed=graph.seed if seed is None else seed,
            lengths=lengths,
            weights=weights,
        )
        loss_terms = dict(
            zip(monitors.loss_names(losses), (loss.terms(outputs) for loss in losses), strict=True)
        )
        batch = outputs[next(iter(outputs))].shape[0].astype(dtype)

        def ratio(name: str, total: Expression, count: Expression) -> Expression:
            if divisor is None:
                return total / nonzero(count)
            return total / divisor(name, count, batch)

        parts = [
            strengths.loss(i) * ratio(name, *pair)
            for i, (name, pair) in enumerate(loss_terms.items())
        ]
        penalties: dict[str, list[tuple[Any, Any]]] = {}
        for regularizer in regularizers:
            name = distinct(regularizer.name, {*monitors.RESERVED, *loss_terms, *penalties})
            pairs = regularizer.terms(graph.layers, outputs)
            if pairs is not None:
                level = strengths.level(regularizer)
                pairs = [(level * total.astype(dtype), n.astype(dtype)) for total, n in pairs]
                found = [ratio(f"{name} {i}", *pair) for i, pair in enumerate(pairs)]
                parts.append(strengths.scale * sum(found[1:], found[0]))
                penalties[name] = pairs
                continue
            value = regularizer.loss(graph.layers, outputs)
            if value is not None:
                value = scalar(value, f"regularizer {regularizer.name!r}")
                value = strengths.level(regularizer) * value.astype(dtype)
                parts.append(strengths.scale * value)
                penalties[name] = [(value * batch, batch)]
        if not parts:
            if revise is None:
                raise ConfigurationError("the network has no loss; add one with add_loss()")
            parts = [pt.zeros((), dtype=dtype)]
        metrics: Terms = {}
        for name, term in monitors.accuracies(losses, outputs).items():
            metrics[distinct(name, {*loss_terms, *penalties, *metrics})] = term
        better = dict.fromkeys(metrics, "max")
        for name, term in monitors.custom(watched, outputs, graph.params, batch).items():
            metrics[distinct(name, {*loss_terms, *penalties, *metrics})] = term
        total = scalar(sum(parts[1:], parts[0]), "the sum of the losses").astype(dtype)
    objective = Objective(total, loss_terms, penalties, metrics, outputs, strengths, better, batch)
    if revise is not None:
        revise(objective)
    return objective


def distinct(name: str, taken: Iterable[str]) -> str:
    """Get a name that is not taken yet: with a number, if need be."""
    number = 2
    base = name
    while name in taken:
        name, number = f"{base}:{number}", number + 1
    return name


# ---- gradients -------------------------------------------------------------------

_FLAT = (Ceil, Floor, RoundHalfAwayFromZero, RoundHalfToEven, Sign, Trunc)


def reachable(cost: Expression) -> set[Expression]:
    """Get the variables that an expression depends on with a gradient that is not zero by form.

    Paths end where values become discrete (comparisons, integers) or where an
    operation is flat (sign, rounding).
    """
    seen: set[Any] = set()
    stack = [cost]
    while stack:
        variable = stack.pop()
        if variable in seen or not str(getattr(variable, "dtype", "")).startswith("float"):
            continue
        seen.add(variable)
        node = variable.owner
        if node is None:
            continue
        op = node.op
        flat = isinstance(op, Elemwise) and isinstance(op.scalar_op, _FLAT)
        if not flat and not isinstance(op, (DisconnectedGrad, ZeroGrad)):
            stack.extend(node.inputs)
    return seen


def still(cost: Expression, params: Sequence[Shared]) -> list[Shared]:
    """Get the parameters that a cost has no gradient with respect to, by its form."""
    live = reachable(cost)
    return [p for p in params if p not in live]


def gradients(cost: Expression, params: Sequence[Shared]) -> list[Expression]:
    """Get the gradients of a cost, zeros for parameters that it does not depend on.

    Warns
    -----
    ZeroGradientWarning
        If there are such parameters; names them.
    """
    left = still(cost, params)
    moving = [p for p in params if p not in left]
    if left:
        warnings.warn(
            f"the loss has no gradient with respect to {', '.join(p.name for p in left)}: "
            "training does not change them",
            ZeroGradientWarning,
            stacklevel=2,
        )
    found = (
        dict(zip(moving, pytensor.grad(cost, moving, disconnected_inputs="ignore"), strict=True))
        if moving
        else {}
    )
    return [found.get(p, pt.zeros_like(p)) for p in params]
