"""Optimizers: update rules as chains of small symbolic transforms.

::

    opt = optimizers.build('adam', learning_rate=1e-3, max_global_norm=1)
    step = opt.apply(params, gradients, loss, dtype='float32', rng=generator)
    train = pytensor.function(inputs, loss, updates=step.updates)

or, for the same without the objects, ``updates=optimizers.updates(loss, params,
learning_rate=1e-3)``. All numbers are shared scalars (``step.hyper``), so changing them compiles
nothing: ``step.set_rate(1e-4)``, or ``optimizers.build('adam', ...).assign(step)``
if ``cache_key()`` is the same.

An algorithm of one's own is a transform and a class that names it; clipping,
momentum, decay and schedules come with the base class::

    @dataclass(frozen=True)
    class ScaleBySign(optimizers.Transform):
        def __call__(self, steps, params, state):
            mix = state.hyper('mix')
            results = []
            for g, param in zip(steps, params):
                m = state.zeros(param, 'm')
                new = state.update(m, mix * m + (state.constant(1) - mix) * g)
                results.append(pt.sign(new))
            return results

    class Signum(optimizers.FirstOrder):
        default_rate = 1e-3
        hypers = (optimizers.Hyper('mix', 0.9, 'fraction'),)

        def scale(self):
            return [ScaleBySign()]

    opt = optimizers.build('signum', mix=0.95)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import deprecated
from . import adam, algorithms, hyper, lbfgs, schedules, transforms
from .adam import Adam, AdaMax, AdamW, NAdam
from .algorithms import (
    ESGD,
    LEARNING_RATES,
    NAG,
    SGD,
    AdaDelta,
    AdaGrad,
    Momentum,
    RMSProp,
    RProp,
)
from .base import FirstOrder, Optimizer, Updates, build, keywords, names
from .hyper import Hyper
from .lbfgs import LBFGS
from .schedules import Schedule
from .symbolic import updates
from .transforms import State, Transform

__all__ = [
    "ESGD",
    "LBFGS",
    "LEARNING_RATES",
    "NAG",
    "SGD",
    "AdaDelta",
    "AdaGrad",
    "AdaMax",
    "Adam",
    "AdamW",
    "FirstOrder",
    "Hyper",
    "Momentum",
    "NAdam",
    "Optimizer",
    "RMSProp",
    "RProp",
    "Schedule",
    "State",
    "Transform",
    "Updates",
    "adam",
    "algorithms",
    "build",
    "hyper",
    "keywords",
    "lbfgs",
    "names",
    "schedules",
    "transforms",
    "updates",
]


if not TYPE_CHECKING:  # for a type checker, every name would exist

    def __getattr__(name: str) -> Any:
        """Find what an earlier version had; `theanets.compat` is not asked, as it comes later."""
        if name != "Step":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        deprecated(f"{__name__}.Step is now {__name__}.Updates")
        return Updates
