"""Noise: random changes of the outputs of layers, in the graph that trains."""

from __future__ import annotations

from typing import Any, ClassVar

import pytensor.tensor as pt

from .. import names as _names
from .. import rng as _rng
from ..errors import ConfigurationError
from ..expressions import Expression, Shared
from ..layers.time import one_for_all_steps
from ..ops import sparse
from ..options import Flag, Number
from .base import Regularizer


class Noise(Regularizer, abstract=True):
    """Base class of noise.

    By default on all inputs and hidden outputs. The clean output stays visible
    as ``'hid1:out-<suffix>'``.
    """

    suffix = "prenoise"
    #: Whether an entry of 0 stays 0, so that sparse inputs can have it.
    keeps_zeros: ClassVar[bool] = False

    def modify_graph(self, outputs: Any) -> None:
        """Replace the outputs that match by noisy ones."""
        names = [n for n in outputs if not n.endswith(("-prenoise", "-predrop"))]
        for name in _names.match(_names.output_patterns(self.pattern or "*:*"), names):
            clean = outputs[name]
            if not clean.dtype.startswith("float"):
                raise ConfigurationError(
                    f"regularizer {self.name!r}: output {name!r} holds integers, which can have "
                    "no noise"
                )
            generator = outputs.generator(f"{self.suffix}:{name}")
            stored = sparse.vectors(clean)
            if stored is not None and not self.keeps_zeros:
                raise ConfigurationError(
                    f"regularizer {self.name!r}: output {name!r} is a sparse input, which would "
                    "not be sparse with this noise; use dropout there, say by a pattern where to "
                    "put the noise, or give the input sparse=False"
                )
            x = clean if stored is None else stored[0]
            next_state, noisy = self.apply(x, outputs.level(self), generator)
            if stored is not None:
                noisy = sparse.with_data(clean, noisy)
            outputs.updates[generator] = next_state
            outputs[f"{name}-{self.suffix}"] = clean
            outputs[name] = noisy

    def apply(
        self, x: Expression, level: Expression, generator: Shared
    ) -> tuple[Expression, Expression]:
        """Get the next state of the generator, and the noisy ``x``."""
        raise TypeError(f"{type(self).__name__} does not define apply")


class GaussianNoise(Noise, names=("noise",)):
    """Adds normal noise of mean 0; the weight is its standard deviation."""

    def apply(
        self, x: Expression, level: Expression, generator: Shared
    ) -> tuple[Expression, Expression]:
        """Get the next state of the generator, and ``x`` with noise."""
        next_state, draws = _rng.normal(generator, x.shape, x.dtype)
        return next_state, x + level * draws


class BernoulliDropout(Noise, names=("dropout",)):
    """Sets entries to 0 with a probability, the weight, and scales the others up.

    The entries that stay are divided by ``1 - weight``, so that the expected
    value does not change (Srivastava et al. 2014, "Dropout: a simple way to
    prevent neural networks from overfitting").

    Parameters
    ----------
    weight, pattern
        See `Regularizer`.
    per_series : bool
        Whether the same units are dropped at all steps of a series (Gal &
        Ghahramani 2016, "A theoretically grounded application of dropout in
        recurrent neural networks"), or at all places of an image. By default
        each entry is dropped by itself.
    """

    suffix = "predrop"
    strength = Number(0.0, "fraction")
    options: ClassVar[dict[str, Any]] = {"per_series": Flag(False)}
    per_series: bool
    keeps_zeros = True

    def apply(
        self, x: Expression, level: Expression, generator: Shared
    ) -> tuple[Expression, Expression]:
        """Get the next state of the generator, and ``x`` with entries dropped."""
        shape = one_for_all_steps(x) if self.per_series else x.shape
        next_state, draws = _rng.uniform(generator, shape, x.dtype)
        scaled = x * (1 / (1 - level))
        return next_state, pt.switch(draws >= level, scaled, pt.zeros((), dtype=x.dtype))
