"""Transforms: the small pieces that update rules are chained from.

A transform is a callable ``(steps, params, state) -> steps``. The steps start
as the gradients and end as what is subtracted from the parameters. A transform
is a frozen dataclass: two that compare equal build the same graph, and all
numbers that a user may change are shared scalars that come from `State.hyper`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from .. import rng as randomness
from ..errors import ConfigurationError
from ..expressions import Expression, Shared, joint_norm


def fit(expr: Expression, variable: Expression) -> Expression:
    """Make an expression acceptable as the update of a shared variable.

    Parameters
    ----------
    expr : expression
        New value.
    variable : shared variable
        What it is the new value of.

    Returns
    -------
    expression
        Of the variable's dtype, and of a static shape that is at least as
        specific as the variable's.
    """
    if expr.dtype != variable.dtype:
        expr = pt.cast(expr, variable.dtype)
    if expr.ndim == variable.ndim and not variable.type.is_super(expr.type):
        expr = pt.specify_shape(expr, variable.type.shape)
    return expr


class State:
    """What transforms keep between updates, and the updates themselves.

    Its ``variables`` are a dict of shared variables by name, the state of the
    transforms.

    Attributes
    ----------
    rate : expression
        The 0-d factor that `ScaleByRate` applies. Transforms fold corrections
        that are the same for all elements into it, so that they cost nothing
        per element.
    gradients : list of expression
        The gradients, before any transform.
    loss : expression or None
        The loss.
    names : dict of shared variable to str
        What parameters are called, where that is not their name.
    hypers, generators : dict of str to shared variable
        Hyper-parameters and random generators, by name.
    initial : dict of str to float
        What each state variable is filled with at the start.
    updates : dict of shared variable to expression
        New values of state variables and generators.
    """

    def __init__(
        self,
        gradients: Sequence[Expression],
        loss: Expression | None,
        values: Mapping[str, np.ndarray],
        dtype: str,
        rng: np.random.Generator | None,
        names: Mapping[Any, str] | None = None,
    ) -> None:
        self.names = names or {}
        self.gradients = list(gradients)
        self.loss = loss
        self.dtype = dtype
        self.variables: dict[str, Any] = {}
        self.hypers: dict[str, Any] = {}
        self.generators: dict[str, Any] = {}
        self.initial: dict[str, float] = {}
        self.updates: dict[Any, Any] = {}
        self._values = values
        self._rng = rng
        self.rate: Any = self.hyper("learning_rate")

    def constant(self, value: float) -> Expression:
        """Make a 0-d constant that does not upcast what it is combined with."""
        return pt.constant(np.asarray(value, self.dtype))

    def hyper(self, name: str) -> Shared:
        """Get the shared scalar that holds a hyper-parameter."""
        if name not in self.hypers:
            self.hypers[name] = pytensor.shared(self._values[name], name=name)
        return self.hypers[name]

    def zeros(self, param: Shared, name: str, fill: float = 0.0) -> Shared:
        """Make a state variable of a parameter's type, filled with zeros (or ``fill``)."""
        key = f"{self.names.get(param, param.name)}/{name}"
        value = np.full(param.get_value(borrow=True).shape, fill, param.dtype)
        return self._add(key, value, fill, param.type.shape)

    def update(self, variable: Shared, expr: Expression) -> Expression:
        """Set the new value of a state variable, and return it."""
        expr = fit(expr, variable)
        self.updates[variable] = expr
        return expr

    def count(self) -> Expression:
        """Get the number of updates, the present one included, as a 0-d float.

        It is exact up to 2**24 in float32, and stays there. By then a bias
        correction is 1 to rounding for any decay whose half-life is shorter.
        """
        variable = self.variables.get("t")
        if variable is None:
            variable = self._add("t", np.zeros((), self.dtype), 0.0, ())
            self.update(variable, variable + self.constant(1))
        return self.updates[variable]

    def bias(self, decay: Expression, ahead: int = 0) -> Expression:
        r"""Get :math:`1 - \beta^{t + ahead}` without cancellation, as a 0-d expression."""
        # The lower bound keeps a decay of zero away from log(0).
        safe = pt.maximum(decay, self.constant(1e-30 if self.dtype != "float16" else 1e-4))
        return -pt.expm1((self.count() + self.constant(ahead)) * pt.log(safe))

    def normal(self, param: Shared) -> Expression:
        """Draw standard normal numbers of a parameter's shape, new ones at each update."""
        shared = self.generators.get("rng")
        if shared is None:
            generator = self._rng
            if generator is None:
                generator = randomness.generator(randomness.as_seed(None), "optimizer")
            shared = self.generators["rng"] = randomness.shared_rng(generator, "rng")
        current = self.updates.get(shared, shared)
        self.updates[shared], draws = randomness.normal(current, param.shape, param.dtype)
        return fit(draws, param)

    def _add(
        self, key: str, value: np.ndarray, fill: float, shape: tuple[int | None, ...]
    ) -> Shared:
        if key in self.variables:
            raise ConfigurationError(f"the optimizer state {key!r} exists already")
        self.initial[key] = fill
        self.variables[key] = pytensor.shared(value, name=key, shape=shape)
        return self.variables[key]


class Transform:
    """Base class of transforms; subclasses are frozen dataclasses."""

    def __call__(
        self, steps: list[Expression], params: Sequence[Shared], state: State
    ) -> list[Expression]:
        """Transform the steps.

        Parameters
        ----------
        steps : list of expression
            One per parameter, of its shape.
        params : sequence of shared variable
            The parameters.
        state : State
            Makes state variables and collects their updates.

        Returns
        -------
        list of expression
            The new steps, in the same order.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class ClipElements(Transform):
    r"""Clip each element of a gradient to :math:`[-c, c]`, c being ``max_gradient_elem``."""

    def __call__(
        self, steps: list[Expression], params: Sequence[Shared], state: State
    ) -> list[Expression]:
        limit = state.hyper("max_gradient_elem")
        return [pt.clip(step, -limit, limit) for step in steps]


@dataclass(frozen=True)
class ClipNorms(Transform):
    r"""Rescale each gradient whose L2 norm exceeds ``max_gradient_norm`` to that norm.

    .. math:: g \leftarrow g \, c / \max(\lVert g \rVert, c)

    References
    ----------
    Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural
    networks", ICML 2013.
    """

    def __call__(
        self, steps: list[Expression], params: Sequence[Shared], state: State
    ) -> list[Expression]:
        limit = state.hyper("max_gradient_norm")
        return [step * (limit / pt.maximum(joint_norm([step]), limit)) for step in steps]


@dataclass(frozen=True)
class ClipGlobalNorm(Transform):
    """Rescale all gradients together so that their joint L2 norm is at most ``max_global_norm``.

    The formula is that of `ClipNorms`, with one norm over all parameters.
    """

    def __call__(
        self, steps: list[Expression], params: Sequence[Shared], state: State
    ) -> list[Expression]:
        limit = state.hyper("max_global_norm")
        factor = limit / pt.maximum(joint_norm(steps), limit)
        return [step * factor for step in steps]


@dataclass(frozen=True)
class ScaleByRate(Transform):
    """Multiply the steps by `State.rate`: the learning rate, times corrections of it."""

    def __call__(
        self, steps: list[Expression], params: Sequence[Shared], state: State
    ) -> list[Expression]:
        return [state.rate * step for step in steps]


@dataclass(frozen=True)
class AddMomentum(Transform):
    r"""Accumulate steps :math:`\delta` in a velocity.

    .. math::
        v &\leftarrow \mu v - \delta \\
        p &\leftarrow p + v \qquad\text{or, with Nesterov's look-ahead,}\quad
        p \leftarrow p + \mu v - \delta

    References
    ----------
    Polyak, "Some methods of speeding up the convergence of iteration methods",
    1964. Sutskever, Martens, Dahl, Hinton, "On the importance of initialization
    and momentum in deep learning", ICML 2013; in the form of Bengio,
    Boulanger-Lewandowski, Pascanu, "Advances in optimizing recurrent
    networks", 2012.
    """

    nesterov: bool = False

    def __call__(
        self, steps: list[Expression], params: Sequence[Shared], state: State
    ) -> list[Expression]:
        momentum = state.hyper("momentum")
        results = []
        for step, param in zip(steps, params, strict=True):
            velocity = state.zeros(param, "velocity")
            new = state.update(velocity, momentum * velocity - step)
            results.append(step - momentum * new if self.nesterov else -new)
        return results


@dataclass(frozen=True)
class DecayWeights(Transform):
    r"""Shrink parameters of two or more dimensions by :math:`\alpha \lambda p`.

    The decay bypasses the algorithm's scaling and its momentum, and follows the
    learning rate :math:`\alpha`; :math:`\lambda` is ``decoupled_weight_decay``.

    References
    ----------
    Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """

    def __call__(
        self, steps: list[Expression], params: Sequence[Shared], state: State
    ) -> list[Expression]:
        factor = state.hyper("learning_rate") * state.hyper("decoupled_weight_decay")
        return [
            step + factor * param if param.ndim >= 2 else step
            for step, param in zip(steps, params, strict=True)
        ]
