"""A cost in the place of a network's layers and losses: the expressions that training asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Constant
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import graph_inputs, io_toposort
from pytensor.tensor.random.type import RandomType

from .. import rng as _rng
from ..costs import names, shared_variables
from ..expressions import Expression, Shared
from ..graph import Graph
from ..losses import Loss
from ..losses.reduction import batch_length
from ..outputs import Generators, Outputs

#: What there is besides monitors: an array whose first axis has the examples, and the cost.
ROWS, COST = "rows:out", "cost:out"


class Formula(Graph):
    """Expressions of inputs and shared variables, instead of layers.

    Training knows by its name what it changes, and users' variables may have none, or that
    of another. So in the expressions others are in their place, which hold the same values.

    Parameters
    ----------
    cost : scalar expression
        What is minimized.
    inputs : list of variables
        The arrays of a batch.
    params : list of shared variables
        What is trained.
    updates : dict of shared variable to expression
        What else changes with each step.
    watched : dict of str to expression
        What is measured.
    seed : int, optional
        Where random generators start, which are then those of a run's seed; by default they
        go on from where they are.
    """

    def __init__(
        self,
        cost: Expression,
        inputs: Sequence[Any],
        params: Sequence[Shared],
        updates: Mapping[Shared, Any],
        watched: Mapping[str, Any],
        seed: int | None,
    ) -> None:
        super().__init__(str(cost.dtype))
        values = [cost, *watched.values(), *updates.values()]
        every = dict.fromkeys([*shared_variables(values), *updates])
        random = [v for v in every if isinstance(v.type, RandomType)]
        state = [v for v in updates if v not in random]
        held = {**_aliases([*params, *state], "param"), **_aliases(random, "rng")}
        cost, *others = graph_replace(values, held, strict=False)
        self._shown = {COST: cost, **dict(zip(watched, others, strict=False))}
        new = others[len(watched) :]
        self._updates = {held[v]: x for v, x in zip(updates, new, strict=True)}
        self._inputs, self._seeded = list(inputs), seed is not None
        self._params, self._state = ([held[v] for v in some] for some in (params, state))
        self._drawing = [held[v] for v in random if v in updates]
        if seed is not None:
            for generator in self._drawing:
                generator.set_value(_rng.generator(seed, "noise", str(generator.name)))
        # With l-bfgs, what is trained draws these numbers too.
        self._fixed = {v: _rng.shared_rng(v.get_value(), str(v.name)) for v in self._drawing}

    @property
    def params(self) -> list[Any]:
        """What is trained."""
        return list(self._params)

    @property
    def state(self) -> list[Any]:
        """What else the steps change, but for random generators."""
        return list(self._state)

    @property
    def inputs(self) -> list[Any]:
        """The arrays of a batch."""
        return list(self._inputs)

    def outputs(self, *, training: bool = False, **options: Any) -> Outputs:
        """Get the expressions as those of a network.

        Where they are not for training they draw the same numbers in each call: so two
        validations can be compared, and none has an influence on what is trained.
        """
        found = Outputs()
        if not self._seeded:
            found.generators = _Kept()
        # The first of all says how many examples there are.
        found[ROWS] = self._inputs[0]
        found.update(self._shown)
        if training:
            found.updates.update(self._updates)
            found.generators.update({str(v.name): v for v in self._drawing})
        elif self._fixed:
            found.replace(lambda values: list(graph_replace(values, self._fixed, strict=False)))
        return found


class _Kept(Generators):
    """Generators that go on from where they are."""

    def reseed(self, seed: int) -> None:
        pass


def _aliases(variables: Sequence[Shared], otherwise: str) -> dict[Shared, Shared]:
    """Get variables that hold the same values, each with a name of its own."""
    return {
        variable: variable.clone(name=name)
        for variable, name in zip(variables, names(variables, otherwise), strict=True)
    }


class Cost(Loss, register=False):
    """The cost as a loss, which has no target: its value for a batch counts by its examples.

    Parameters
    ----------
    cost : scalar expression
        For checkpoints, which tell it from others.
    """

    by_step = False

    def __init__(self, cost: Expression) -> None:
        super().__init__(weighted=False)
        self._cost = cost

    @property
    def name(self) -> str:
        """What its monitor is called."""
        return "cost"

    def terms(self, outputs: Mapping[str, Any]) -> tuple[Expression, Expression]:
        """Get the cost times the number of examples, and that number."""
        cost = outputs[COST]
        count = batch_length(outputs[ROWS]).astype(cost.dtype)
        return cost * count, count

    def to_spec(self) -> dict[str, Any]:
        """Get what tells the cost from others."""
        return {"form": "cost", "digest": digest(self._cost)}

    def relevance(self, outputs: Outputs) -> None:
        """Get nothing: all data count."""

    def accuracy_terms(self, outputs: Outputs) -> None:
        """Get nothing: there is no target."""


def digest(expression: Expression) -> str:
    """Get what tells an expression from others, for checkpoints."""
    found = hashlib.sha256()
    _describe([expression], found.update)
    return found.hexdigest()[:16]


def _describe(outputs: Sequence[Any], write: Callable[[bytes], None]) -> None:
    number: dict[Any, int] = {}

    def of(variable: Any) -> int:
        if variable not in number:
            number[variable] = len(number)
            if variable.owner is None:
                value = variable.data if isinstance(variable, Constant) else variable.name
                write(f"{variable.type} {value}\n".encode())
                if isinstance(value, np.ndarray):  # of which the text has not all
                    write(value.tobytes())
        return number[variable]

    for node in io_toposort(graph_inputs(outputs), outputs):
        inputs = list(map(of, node.inputs))
        write(f"{node.op} {inputs} {list(map(of, node.outputs))}\n".encode())
        if hasattr(node.op, "inner_outputs"):
            _describe(node.op.inner_outputs, write)
    write(str(list(map(of, outputs))).encode())
