"""Losses with samples of their outputs and targets, and with twins of their formulas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.special as sc
import scipy.stats as st
from loss_twins import (
    at,
    binary,
    binary_focal,
    cosine,
    cross_entropy,
    focal,
    gaussian,
    hinge,
    huber,
    l_softmax,
    mixture,
    pinball,
    several_quantiles,
    square,
    squentropy,
)

from theanets.losses import Loss

N = 6  # Examples.


@dataclass
class Case:
    """A loss, what it is tried on, and its errors.

    ``twin`` maps (output, target) to the error of each entry, and, where that is
    not 1, to what each error counts in the mean.
    """

    form: str
    sample: Callable[[np.random.Generator], tuple[Any, Any]]
    twin: Callable[[Any, Any], Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    @cached_property
    def loss(self) -> Loss:
        """The loss with its defaults; shared, since it keeps what it has compiled."""
        return self.build()

    def build(self, **keywords: Any) -> Loss:
        return Loss.build(self.form, **{**self.options, **keywords})

    def expected(self, output: Any, target: Any) -> tuple[Any, Any]:
        found = self.twin(output, target)
        return found if isinstance(found, tuple) else (found, np.ones_like(found))

    def __str__(self) -> str:
        options = ",".join(f"{k}={v}" for k, v in self.options.items())
        return f"{self.form}({options}){self.note}".replace(" ", "")


def real(rng):
    return rng.normal(size=(N, 3)), rng.normal(size=(N, 3))


def series(rng):
    return rng.normal(size=(N, 4, 2)), rng.normal(size=(N, 4, 2))


def counts(rng):
    return rng.normal(size=(N, 3)), rng.poisson(2.0, size=(N, 3)).astype(float)


def positive(rng):
    return rng.gamma(2.0, size=(N, 3)), rng.gamma(2.0, size=(N, 3)) + 0.1


def rates(rng):
    return rng.gamma(2.0, size=(N, 3)), rng.poisson(2.0, size=(N, 3)).astype(float)


def spread(rng, last=3):
    return (rng.normal(size=(N, 3)), rng.gamma(2.0, size=(N, last))), rng.normal(size=(N, 3))


def log_spread(rng):
    return (rng.normal(size=(N, 3)), rng.normal(size=(N, 3))), rng.normal(size=(N, 3))


def probabilities(rng, shape=(N, 4)):
    return sc.softmax(rng.normal(size=shape), axis=-1)


def labels_proba(rng):
    return probabilities(rng), rng.integers(0, 4, size=N)


def labels(rng):
    return rng.normal(size=(N, 4)), rng.integers(0, 4, size=N)


def label_series(rng):
    return rng.normal(size=(N, 3, 4)), rng.integers(0, 4, size=(N, 3))


def some_ignored(rng):
    output, target = labels(rng)
    target[[1, 4]] = -100
    return output, target


def soft(rng):
    return rng.normal(size=(N, 4)), probabilities(rng)


def decisions(rng):
    return rng.normal(size=(N, 3)), rng.integers(0, 2, size=(N, 3)).astype(float)


def soft_decisions(rng):
    return rng.random(size=(N, 3)), rng.random(size=(N, 3))


def signs(rng):
    return rng.normal(size=(N, 3)), rng.choice([-1.0, 1.0], size=(N, 3))


def mixture_sample(each):
    def sample(rng):
        scales = rng.gamma(2.0, size=(N, 6 if each else 3))
        return (rng.normal(size=(N, 3)), rng.normal(size=(N, 6)), scales), rng.normal(size=(N, 2))

    return sample


def layer_sample(rng):
    return (rng.normal(size=(N, 4)), rng.normal(size=(4, 3))), rng.integers(0, 3, size=N)


H = {"kind": "crammer-singer", "margin": 1.0}
W = {"kind": "weston-watkins", "margin": 0.5}
B = {"kind": "binary", "margin": 0.7}
ORDERS = [0.1, 0.5, 0.9]
CASES = [
    Case("mse", real, lambda y, t: (y - t) ** 2),
    Case("mse", series, lambda y, t: (y - t) ** 2, note=" series"),
    Case("mse", labels, lambda y, t: ((y - np.eye(4)[t]) ** 2).mean(-1), note=" labels"),
    Case("mae", real, lambda y, t: np.abs(y - t)),
    Case("huber", real, lambda y, t: huber(y, t, 1.0)),
    Case("huber", real, lambda y, t: huber(y, t, 0.4), {"delta": 0.4}),
    Case("smooth_l1", real, lambda y, t: huber(y, t, 1.0)),
    Case("smooth_l1", real, lambda y, t: huber(y, t, 0.3) / 0.3, {"beta": 0.3}),
    Case("smooth_l1", real, lambda y, t: np.abs(y - t), {"beta": 0}),
    Case("log_cosh", real, lambda y, t: np.log(np.cosh(y - t))),
    Case("quantile", real, lambda y, t: pinball(y, t, 0.5)),
    Case("quantile", series, lambda y, t: pinball(y, t, 0.2), {"quantile": 0.2}),
    Case(
        "quantile",
        lambda rng: (rng.normal(size=(N, 6)), rng.normal(size=(N, 2))),
        lambda y, t: several_quantiles(y, t, ORDERS),
        {"quantile": ORDERS},
    ),
    Case(
        "quantile",
        lambda rng: (rng.normal(size=(N, 2, 3)), rng.normal(size=(N, 2))),
        lambda y, t: several_quantiles(y, t, ORDERS),
        {"quantile": ORDERS},
        " own axis",
    ),
    Case("poisson", counts, lambda y, t: np.exp(y) - t * y),
    Case("poisson", counts, lambda y, t: -st.poisson.logpmf(t, np.exp(y)), {"full": True}),
    Case("poisson", rates, lambda y, t: y - t * np.log(y), {"log_input": False}),
    Case("gamma", lambda rng: (real(rng)[0], positive(rng)[1]), lambda y, t: y + t * np.exp(-y)),
    Case(
        "gamma",
        positive,
        lambda y, t: -st.gamma.logpdf(t, 1, scale=y),
        {"log_input": False},
    ),
    Case("msle", positive, lambda y, t: np.log((1 + y) / (1 + t)) ** 2),
    Case("mape", real, lambda y, t: np.abs(y / t - 1)),
    Case("mape", real, lambda y, t: np.abs(y - t) / np.maximum(np.abs(t), 0.5), {"eps": 0.5}),
    Case("cosine", real, lambda y, t: cosine(y, t, -1)),
    Case("cosine", series, lambda y, t: cosine(y, t, 1), {"axis": 1}),
    Case("gll", spread, lambda y, t: gaussian(y, t, 1e-3)),
    Case("gll", lambda rng: spread(rng, 1), lambda y, t: gaussian(y, t, 1e-3), note=" one"),
    Case("gll", spread, lambda y, t: gaussian(y, t, 0.5), {"covar_eps": 0.5}),
    Case(
        "gll",
        log_spread,
        lambda y, t: gaussian((y[0], np.exp(y[1])), t, 0.1),
        {"log_covar": True, "covar_eps": 0.1},
    ),
    Case(
        "gll",
        log_spread,
        lambda y, t: gaussian((y[0], np.exp(y[1])), t, 0),
        {"log_covar": True, "covar_eps": 0},
    ),
    Case("laplace", spread, lambda y, t: -st.laplace.logpdf(t, y[0], y[1] + 1e-3)),
    Case(
        "laplace",
        log_spread,
        lambda y, t: -st.laplace.logpdf(t, y[0], np.exp(y[1]) + 0.1),
        {"log_scale": True, "scale_eps": 0.1},
    ),
    Case("student_t", spread, lambda y, t: -st.t.logpdf(t, 3, y[0], y[1] + 1e-3)),
    Case(
        "student_t",
        log_spread,
        lambda y, t: -st.t.logpdf(t, 1.5, y[0], np.exp(y[1]) + 0.1),
        {"log_scale": True, "scale_eps": 0.1, "df": 1.5},
    ),
    Case("mixture_density", mixture_sample(True), mixture),
    Case("mixture_density", mixture_sample(False), mixture, note=" one"),
    Case(
        "kl",
        lambda rng: (probabilities(rng), probabilities(rng)),
        lambda y, t: sc.rel_entr(t, y).sum(-1),
    ),
    Case("kl", soft, lambda y, t: sc.rel_entr(t, sc.softmax(y, -1)).sum(-1), {"logits": True}),
    Case("mmd", real),
    Case("mmd", series, options={"kernel": [0.5, 2.0]}),
    Case("mmd", real, options={"kernel": "median"}),
    Case("xe", labels_proba, lambda y, t: -np.log(at(y, t))),
    Case("xe", labels, cross_entropy, {"logits": True}),
    Case("xe", label_series, cross_entropy, {"logits": True}, " series"),
    Case("xe", soft, cross_entropy, {"logits": True}, " soft"),
    Case(
        "xe",
        some_ignored,
        lambda y, t: cross_entropy(y, t, ignore=-100),
        {"logits": True, "ignore_index": -100},
    ),
    Case(
        "xe",
        some_ignored,
        lambda y, t: cross_entropy(y, t, [1, 2, 3, 0.5], 0.1, 2.0, -100),
        {
            "logits": True,
            "ignore_index": -100,
            "class_weight": [1, 2, 3, 0.5],
            "label_smoothing": 0.1,
            "temperature": 2.0,
        },
    ),
    Case(
        "xe",
        soft,
        lambda y, t: cross_entropy(y, t, [1, 2, 3, 0.5], 0.1, 0.5),
        {
            "logits": True,
            "class_weight": [1, 2, 3, 0.5],
            "label_smoothing": 0.1,
            "temperature": 0.5,
        },
        " soft",
    ),
    Case("focal", labels, lambda y, t: focal(y, t, 2), {"logits": True}),
    Case(
        "focal",
        label_series,
        lambda y, t: focal(y, t, 0.5, [1, 2, 3, 4]),
        {"logits": True, "gamma": 0.5, "alpha": [1, 2, 3, 4]},
    ),
    Case("focal", labels_proba, lambda y, t: focal(np.log(y), t, 2), note=" probabilities"),
    Case("hinge", labels, lambda y, t: hinge(y, t, **H)),
    Case("hinge", label_series, lambda y, t: hinge(y, t, **H), note=" series"),
    Case("hinge", labels, lambda y, t: hinge(y, t, **W), W),
    Case("hinge", signs, lambda y, t: hinge(y, t, **B), B),
    Case("squared_hinge", labels, lambda y, t: hinge(y, t, **H, power=2)),
    Case("squared_hinge", labels, lambda y, t: hinge(y, t, **W, power=2), W),
    Case("squared_hinge", decisions, lambda y, t: hinge(y, t, **B, power=2), B),
    Case("square", labels, lambda y, t: square(y, t, 1, 1)),
    Case("square", label_series, lambda y, t: square(y, t, 3, 5), {"k": 3, "M": 5}),
    Case("squentropy", labels, squentropy),
    Case("squentropy", label_series, squentropy, note=" series"),
    Case("bce", soft_decisions, binary),
    Case("bce", soft_decisions, lambda y, t: binary(y, t, 3.0), {"pos_weight": 3.0}),
    Case("bce_logits", decisions, lambda y, t: binary(sc.expit(y), t)),
    Case(
        "bce_logits",
        decisions,
        lambda y, t: binary(sc.expit(y), t, np.array([1, 2, 3])),
        {"pos_weight": [1, 2, 3]},
    ),
    Case("binary_focal", decisions, lambda y, t: binary_focal(y, t, 2, None), {"logits": True}),
    Case(
        "binary_focal",
        decisions,
        lambda y, t: binary_focal(y, t, 1.5, 0.25),
        {"logits": True, "gamma": 1.5, "alpha": 0.25},
    ),
    *(
        Case("l_softmax", layer_sample, lambda y, t, m=m: l_softmax(y, t, m), {"margin": m})
        for m in (1, 2, 3, 4)
    ),
    Case(
        "l_softmax",
        layer_sample,
        lambda y, t: l_softmax(y, t, 3, 2.0),
        {"margin": 3, "plain": 2.0},
    ),
]

# Losses whose formulas have tests of their own elsewhere, for what holds for all losses.
OTHERS = [
    Case(
        "ctc",
        lambda rng: (rng.normal(size=(N, 5, 4)), rng.integers(1, 4, size=(N, 2))),
        options={"logits": True},
    ),
    *(
        Case(form, labels)
        for form in (
            "crf",
            "perceptron",
            "structured_hinge",
            "softmax_margin",
            "risk",
            "ramp",
            "soft_ramp",
            "infinite_ramp",
        )
    ),
]


def as_tuple(output: Any) -> tuple[Any, ...]:
    return output if isinstance(output, tuple) else (output,)


def finite_differences(function: Callable[[Any], float], output: Any, h: float = 1e-4) -> Any:
    """Get the gradient by differences of the fourth order."""
    arrays = as_tuple(output)
    found = tuple(np.zeros_like(array) for array in arrays)
    for which, array in enumerate(arrays):
        for index in np.ndindex(array.shape):
            total = 0.0
            for steps, factor in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
                moved = array.copy()
                moved[index] += steps * h
                parts = (*arrays[:which], moved, *arrays[which + 1 :])
                total += factor * float(function(parts if isinstance(output, tuple) else moved))
            found[which][index] = total / (12 * h)
    return found
