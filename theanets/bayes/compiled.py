"""Functions of inputs and of drawn parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pymc as pm
from pymc.pytensorf import reseed_rngs
from pytensor.graph.replace import clone_replace, graph_replace
from pytensor.tensor.random.type import RandomType

from .. import linkers, process
from ..errors import ConfigurationError
from ..layers.time import without
from ..network import Network
from ..versions import pushforward
from .likelihoods import Term

#: From outputs and spreads to an expression.
Make = Callable[[Any, Mapping[str, Any]], Any]


class Function:
    """A function of inputs, and of parameters and spreads whose types it knows by name.

    Any number of threads may call it, see `theanets.process.Function`.
    """

    def __init__(
        self, inputs: Sequence[Any], drawn: Mapping[str, Any], found: Any, mode: Any
    ) -> None:
        self.types = {name: variable.dtype for name, variable in drawn.items()}
        compiled = pm.compile(
            [*inputs, *drawn.values()], found, mode=mode, on_unused_input="ignore"
        )
        compiled.trust_input = True
        shared = compiled.get_shared()
        self.generators = [v for v in shared if isinstance(v.type, RandomType)]
        when_called = linkers.find(compiled.maker.linker).compiles_when_called
        self._function = process.Function(compiled, process.share(shared), when_called)

    def over(
        self, draws: Sequence[Any], batches: Sequence[Sequence[Any]], seed: int | None = None
    ) -> npt.NDArray[Any]:
        """Compute the results with each draw, those of all batches of rows in one array.

        One call for each draw: where PyTensor vectorizes the graph over draws, it takes two to
        five times as long, as products of stacks of matrices do not go to BLAS.

        Parameters
        ----------
        draws : list of ndarray
            Parameters and spreads, (draws, ...) each.
        batches : list of tuple of ndarray
            Inputs, checked.
        seed : int, optional
            Where the generators start; nobody else draws meanwhile.

        Returns
        -------
        ndarray of shape (draws, rows, ...)
        """
        calls = [
            (*batch, *(np.asarray(value[i]) for value in draws))
            for i in range(len(draws[0]))
            for batch in batches
        ]

        def begin() -> Any:
            if seed is not None:
                reseed_rngs(self.generators, seed)
            return self._function(*calls[0])

        if seed is None:
            parts = [self._function(*call) for call in calls]
        else:
            with self._function.held(begin) as first:
                parts = [first, *(self._function(*call) for call in calls[1:])]
        step = len(batches)
        rows = [np.concatenate(parts[i : i + step]) for i in range(0, len(parts), step)]
        return np.stack(rows)


def raw_outputs(net: Network, outputs: Any) -> list[Any]:
    """Get what the formulas of losses work on, logits where there are some."""
    found: list[Any] = []
    for loss in net.bound_losses():
        raw = loss.scores(outputs)[0]
        found += [r for r in (raw if isinstance(raw, tuple) else (raw,)) if r not in found]
    return found


def existing(found: Any, outputs: Any, name: str) -> Any:
    """Get what was made of an output with 0 at the steps that do not exist."""
    lengths = outputs.lengths.get(name)
    return found if lengths is None else without(found, lengths)


def linearized(found: Any, raw: Sequence[Any], drawn: Mapping[Any, Any]) -> Any:
    """Get an expression with others in it made linear in parameters, about their values.

    Parameters
    ----------
    found : expression
        The expression.
    raw : list of expressions
        What is made linear: ``r(best) + J (drawn - best)``.
    drawn : dict
        Variables by shared variable, whose value is the best.
    """
    best, steps = list(drawn), [value - p for p, value in drawn.items()]
    own = clone_replace(list(raw), rebuild_strict=False)
    slopes = pushforward(own, best, steps, disconnected_outputs="ignore")
    lines = [r + slope for r, slope in zip(own, slopes, strict=True)]
    return graph_replace([found], dict(zip(raw, lines, strict=True)), strict=False)[0]


def pointwise(term: Term) -> Make:
    """Get what makes the log-likelihood of each example."""

    def make(outputs: Any, spreads: Mapping[str, Any]) -> Any:
        found = term.log_density(outputs, spreads.get(str(term.spread_name))) * term.loss.weight
        if not found.ndim:
            raise ConfigurationError(
                f"loss {term.loss.name!r} has a __call__ of its own, which says nothing of single "
                "examples"
            )
        return found.sum(axis=tuple(range(1, found.ndim))) if found.ndim > 1 else found

    return make
