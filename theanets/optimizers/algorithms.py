r"""The first-order algorithms.

In the formulas g is a (clipped) gradient, t the number of updates so far, the
present one included, and d the direction: without momentum the parameter moves
by :math:`-\alpha d`, where :math:`\alpha` is the learning rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytensor
import pytensor.tensor as pt

from ..expressions import Expression, Shared
from ..ops.kernels.settled import settle
from .base import FirstOrder
from .hyper import Hyper
from .transforms import State, Transform

# Learning rate of each algorithm when none is given: what `benchmarks/accuracy.py --rates`
# found to learn well on both of its data sets.
LEARNING_RATES = {
    "sgd": 0.03,
    "momentum": 0.01,
    "nag": 0.01,
    "rprop": 1e-3,
    "rmsprop": 1e-3,
    "adagrad": 0.01,
    "adadelta": 1.0,
    "esgd": 0.01,
    "adam": 1e-3,
    "adamw": 1e-3,
    "nadam": 1e-3,
    "adamax": 1e-3,
}

RMS_DECAY = Hyper("decay", 14, "fraction", halflife="rms_halflife")
RMS_REGULARIZER = Hyper("rms_regularizer", 1e-8)
BETAS = (
    Hyper("beta1", 7, "fraction", halflife="beta1_halflife"),
    Hyper("beta2", 69, "fraction", halflife="beta2_halflife"),
)


def average(
    state: State, param: Shared, name: str, decay: Expression, value: Expression
) -> Expression:
    r"""Update and return :math:`a \leftarrow \gamma a + (1 - \gamma) x`; return its new value."""
    old = state.zeros(param, name)
    return state.update(old, decay * old + (state.constant(1) - decay) * value)


class SGD(FirstOrder):
    r"""Stochastic gradient descent, :math:`d = g`; Robbins and Monro, 1951."""

    default_rate = LEARNING_RATES["sgd"]


class Momentum(FirstOrder):
    """Stochastic gradient descent with momentum 0.9 unless given; see `AddMomentum`."""

    default_rate = LEARNING_RATES["momentum"]
    default_momentum = 0.9


class NAG(FirstOrder, names=("nag", "nesterov")):
    """Nesterov's accelerated gradient, momentum 0.9 unless given; see `AddMomentum`."""

    default_rate = LEARNING_RATES["nag"]
    default_momentum = 0.9
    default_nesterov = True


@dataclass(frozen=True)
class ScaleByRProp(Transform):
    """Direction of `RProp`."""

    def __call__(
        self, steps: list[Expression], params: Sequence[Shared], state: State
    ) -> list[Expression]:
        one, zero = state.constant(1), state.constant(0)
        # A schedule may take the rate down to exactly zero.
        rate = pt.maximum(state.hyper("learning_rate"), state.constant(1e-30))
        low, high = state.hyper("rprop_min_step") / rate, state.hyper("rprop_max_step") / rate
        up, down = state.hyper("rprop_increase"), state.hyper("rprop_decrease")
        results = []
        for g, param in zip(steps, params, strict=True):
            previous, size = state.zeros(param, "gradient"), state.zeros(param, "step", fill=1.0)
            # The product of the signs, since that of small gradients may be rounded to zero.
            agreement = pt.sign(g) * pt.sign(previous)
            factor = pt.switch(agreement > zero, up, pt.switch(agreement < zero, down, one))
            size = state.update(size, pt.clip(size * factor, low, high))
            kept = state.update(previous, pt.switch(agreement < zero, zero, g))
            results.append(pt.sign(kept) * size)
        return results


class RProp(FirstOrder):
    r"""Resilient backpropagation without weight-backtracking (iRprop-), for full batches.

    .. math::
        \Delta &\leftarrow \mathrm{clip}(\eta \Delta, \Delta_{min}, \Delta_{max}),\quad
        \eta = \eta^+, \eta^-, 1 \text{ where } g g_{t-1} > 0, < 0, = 0 \\
        g &\leftarrow 0 \text{ where } g g_{t-1} < 0; \qquad \alpha d = \mathrm{sign}(g) \Delta

    The learning rate is the initial step. What is stored is the step divided
    by the learning rate, so that a schedule scales all steps.

    Parameters
    ----------
    rprop_increase, rprop_decrease : float
        The factors.
    rprop_min_step, rprop_max_step : float
        Bounds of the steps.
    **kwargs
        As in `FirstOrder`.

    References
    ----------
    Igel, Huesken, "Improving the Rprop learning algorithm", 2000.
    """

    default_rate = LEARNING_RATES["rprop"]
    hypers = (
        Hyper("rprop_increase", 1.01, "growth"),
        Hyper("rprop_decrease", 0.99, "shrinkage"),
        Hyper("rprop_min_step", 0.0, "nonnegative"),
        Hyper("rprop_max_step", 100.0),
    )

    def scale(self) -> list[Transform]:
        return [ScaleByRProp()]


@dataclass(frozen=True)
class ScaleByAdaGrad(Transform):
    """Direction of `AdaGrad`."""

    def __call__(
        self, steps: list[Expression], params: Sequence[Shared], state: State
    ) -> list[Expression]:
        eps = state.hyper("rms_regularizer")
        results = []
        for g, param in zip(steps, params, strict=True):
            total = state.zeros(param, "sum")
            results.append(g / (pt.sqrt(state.update(total, total + pt.sqr(g))) + eps))
        return results


class AdaGrad(FirstOrder):
    r"""Adaptive subgradients.

    .. math:: G \leftarrow G + g^2; \qquad d = g / (\sqrt{G} + \epsilon)

    Parameters
    ----------
    rms_regularizer : float
        The :math:`\epsilon`.
    **kwargs
        As in `FirstOrder`.

    References
    ----------
    Duchi, Hazan, Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization", JMLR 2011.
    """

    default_rate = LEARNING_RATES["adagrad"]
    hypers = (RMS_REGULARIZER,)

    def scale(self) -> list[Transform]:
        return [ScaleByAdaGrad()]


@dataclass(frozen=True)
class ScaleByRMS(Transform):
    """Direction of `RMSProp`."""

    centered: bool = False

    def __call__(
        self, steps: list[Expression], params: Sequence[Shared], state: State
    ) -> list[Expression]:
        decay, eps = state.hyper("decay"), state.hyper("rms_regularizer")
        rest = state.constant(1) - decay
        results = []
        for g, param in zip(steps, params, strict=True):
            if not self.centered:
                square = average(state, param, "v", decay, pt.sqr(g))
                results.append(g / (pt.sqrt(square) + eps))
                continue
            mean, variance = state.zeros(param, "mean"), state.zeros(param, "variance")
            deviation = g - mean
            state.update(mean, mean + rest * deviation)
            new = state.update(variance, decay * (variance + rest * pt.sqr(deviation)))
            results.append(g / pt.sqrt(new + eps))
        return results


class RMSProp(FirstOrder):
    r"""Root mean square propagation.

    .. math::
        v \leftarrow \gamma v + (1 - \gamma) g^2; \qquad d = g / (\sqrt{v} + \epsilon)

    and, if centered,

    .. math::
        f \leftarrow \gamma f + (1 - \gamma) g; \qquad d = g / \sqrt{v - f^2 + \epsilon}

    The variance :math:`v - f^2` is itself what is kept, in the equivalent form
    :math:`s \leftarrow \gamma (s + (1 - \gamma) (g - f)^2)` with the old f, that
    rounding cannot make negative.

    Parameters
    ----------
    rms_halflife : float
        Half-life of the averages, or ``decay``, the :math:`\gamma` itself.
    rms_regularizer : float
        The :math:`\epsilon`: 1e-8 by default, Graves' 1e-4 if centered.
    centered : bool
        Whether to divide by the standard deviation rather than the root mean square.
    **kwargs
        As in `FirstOrder`.

    References
    ----------
    Tieleman, Hinton, "Lecture 6.5: rmsprop", 2012. Graves, "Generating
    sequences with recurrent neural networks", 2013, equations 38 to 45.
    """

    default_rate = LEARNING_RATES["rmsprop"]
    hypers = (RMS_DECAY, RMS_REGULARIZER)
    flags: ClassVar[dict[str, bool]] = {"centered": False}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.options["centered"] and kwargs.get("rms_regularizer") is None:
            self.values["rms_regularizer"] = 1e-4

    def scale(self) -> list[Transform]:
        return [ScaleByRMS(self.options["centered"])]


@dataclass(frozen=True)
class ScaleByAdaDelta(Transform):
    """Direction of `AdaDelta`."""

    def __call__(
        self, steps: list[Expression], params: Sequence[Shared], state: State
    ) -> list[Expression]:
        decay, eps = state.hyper("decay"), state.hyper("rms_regularizer")
        results = []
        for g, param in zip(steps, params, strict=True):
            square = average(state, param, "v", decay, pt.sqr(g))
            moved = state.zeros(param, "x")
            step = g * pt.sqrt((moved + eps) / (square + eps))
            state.update(moved, decay * moved + (state.constant(1) - decay) * pt.sqr(step))
            results.append(step)
        return results


class AdaDelta(FirstOrder):
    r"""Steps in units of earlier steps.

    .. math::
        v &\leftarrow \gamma v + (1 - \gamma) g^2 \\
        d &= g \sqrt{x + \epsilon} / \sqrt{v + \epsilon} \\
        x &\leftarrow \gamma x + (1 - \gamma) d^2

    Parameters
    ----------
    rms_halflife : float
        Half-life of the averages, or ``decay``, the :math:`\gamma` itself.
    rms_regularizer : float
        The :math:`\epsilon`.
    **kwargs
        As in `FirstOrder`.

    References
    ----------
    Zeiler, "ADADELTA: an adaptive learning rate method", 2012.
    """

    default_rate = LEARNING_RATES["adadelta"]
    # The size of the very first steps, so not as small as elsewhere; Zeiler's value.
    hypers = (RMS_DECAY, Hyper("rms_regularizer", 1e-6))

    def scale(self) -> list[Transform]:
        return [ScaleByAdaDelta()]


@dataclass(frozen=True)
class ScaleByEquilibration(Transform):
    """Direction of `ESGD`."""

    def __call__(
        self, steps: list[Expression], params: Sequence[Shared], state: State
    ) -> list[Expression]:
        decay, eps = state.hyper("decay"), state.hyper("rms_regularizer")
        probes = [state.normal(param) for param in params]
        slope = sum(pt.sum(g * r) for g, r in zip(state.gradients, probes, strict=True))
        products = pytensor.grad(
            slope, list(params), consider_constant=probes, disconnected_inputs="ignore"
        )
        settle(products)
        root = pt.sqrt(state.bias(decay))
        state.rate = state.rate * root
        return [
            step / (pt.sqrt(average(state, param, "d", decay, pt.sqr(hr))) + eps * root)
            for step, param, hr in zip(steps, params, products, strict=True)
        ]


class ESGD(FirstOrder):
    r"""Equilibrated stochastic gradient descent.

    .. math::
        D \leftarrow \gamma D + (1 - \gamma) (H r)^2, \quad r \sim N(0, 1); \qquad
        d = g / (\sqrt{D / (1 - \gamma^t)} + \epsilon)

    H is the Hessian over all parameters. The products come from a second
    derivative, of the sum of g r, so they cost about as much as the gradient.

    Parameters
    ----------
    rms_halflife : float
        Half-life of the average, or ``decay``, the :math:`\gamma` itself.
    rms_regularizer : float
        The :math:`\epsilon`.
    **kwargs
        As in `FirstOrder`.

    References
    ----------
    Dauphin, de Vries, Bengio, "Equilibrated adaptive learning rates for
    non-convex optimization", NIPS 2015; their plain average is a running one
    here, without bias at the start.
    """

    default_rate = LEARNING_RATES["esgd"]
    hypers = (RMS_DECAY, RMS_REGULARIZER)

    def scale(self) -> list[Transform]:
        return [ScaleByEquilibration()]
