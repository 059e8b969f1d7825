r"""Adam and its relatives; the symbols are those of `theanets.optimizers.algorithms`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytensor.tensor as pt

from ..expressions import Expression, Shared
from .algorithms import BETAS, LEARNING_RATES, RMS_REGULARIZER, average
from .base import FirstOrder
from .transforms import State, Transform


@dataclass(frozen=True)
class ScaleByAdam(Transform):
    r"""Direction of `Adam`, or of `NAdam` with ``nesterov``.

    The bias corrections are numbers, not arrays: with :math:`c_i = 1 - \beta_i^t`,

    .. math:: \frac{m / c_1}{\sqrt{v / c_2} + \epsilon}
        = \frac{\sqrt{c_2}}{c_1} \frac{m}{\sqrt{v} + \epsilon \sqrt{c_2}}

    of which the first factor goes to the learning rate.
    """

    nesterov: bool = False

    def __call__(
        self, steps: list[Expression], params: Sequence[Shared], state: State
    ) -> list[Expression]:
        beta1, beta2 = state.hyper("beta1"), state.hyper("beta2")
        first, root = state.bias(beta1), pt.sqrt(state.bias(beta2))
        eps = state.hyper("rms_regularizer") * root
        state.rate = state.rate * (root / first)
        # Relative to the first factor: its division by c_1 is part of the rate.
        ahead = beta1 * first / state.bias(beta1, ahead=1)
        results = []
        for g, param in zip(steps, params, strict=True):
            m = average(state, param, "m", beta1, g)
            v = average(state, param, "v", beta2, pt.sqr(g))
            if self.nesterov:
                m = ahead * m + (state.constant(1) - beta1) * g
            results.append(m / (pt.sqrt(v) + eps))
        return results


class Adam(FirstOrder):
    r"""Adaptive moments.

    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1) g; \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        d &= \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Parameters
    ----------
    beta1_halflife, beta2_halflife : float
        Half-lives of the two averages, or ``beta1`` and ``beta2`` themselves.
    rms_regularizer : float
        The :math:`\epsilon`.
    **kwargs
        As in `FirstOrder`.

    References
    ----------
    Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """

    default_rate = LEARNING_RATES["adam"]
    hypers = (*BETAS, RMS_REGULARIZER)

    def scale(self) -> list[Transform]:
        return [ScaleByAdam()]


class AdamW(Adam):
    """Adam with a decoupled weight decay of 0.01 unless given; see `DecayWeights`."""

    default_rate = LEARNING_RATES["adamw"]
    default_decay = 0.01


class NAdam(Adam):
    r"""Adam with Nesterov's look-ahead.

    .. math::
        d = \frac{\beta_1 m / (1 - \beta_1^{t+1}) + (1 - \beta_1) g / (1 - \beta_1^t)}
        {\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Parameters
    ----------
    **kwargs
        As in `Adam`.

    References
    ----------
    Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016, with
    a constant momentum.
    """

    default_rate = LEARNING_RATES["nadam"]

    def scale(self) -> list[Transform]:
        return [ScaleByAdam(nesterov=True)]


@dataclass(frozen=True)
class ScaleByAdaMax(Transform):
    """Direction of `AdaMax`."""

    def __call__(
        self, steps: list[Expression], params: Sequence[Shared], state: State
    ) -> list[Expression]:
        beta1, beta2 = state.hyper("beta1"), state.hyper("beta2")
        eps = state.hyper("rms_regularizer")
        state.rate = state.rate / state.bias(beta1)
        results = []
        for g, param in zip(steps, params, strict=True):
            m = average(state, param, "m", beta1, g)
            u = state.zeros(param, "u")
            results.append(m / state.update(u, pt.maximum(beta2 * u, abs(g) + eps)))
        return results


class AdaMax(FirstOrder):
    r"""Adam with the infinity norm.

    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1) g; \qquad
        u \leftarrow \max(\beta_2 u, |g| + \epsilon) \\
        d &= \frac{m}{(1 - \beta_1^t) u}

    Parameters
    ----------
    **kwargs
        As in `Adam`.

    References
    ----------
    Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015,
    section 7.1; the :math:`\epsilon` keeps a zero gradient from giving NaN.
    """

    default_rate = LEARNING_RATES["adamax"]
    hypers = (*BETAS, RMS_REGULARIZER)

    def scale(self) -> list[Transform]:
        return [ScaleByAdaMax()]
