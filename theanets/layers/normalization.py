"""Layers that normalize what comes in, and layers of noise.

References
----------
Ioffe & Szegedy 2015, "Batch normalization". Ba, Kiros & Hinton 2016, "Layer
normalization". Zhang & Sennrich 2019, "Root mean square layer normalization".
Wu & He 2018, "Group normalization". Ulyanov, Vedaldi & Lempitsky 2016,
"Instance normalization". Srivastava et al. 2014, "Dropout".
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt

from .. import rng as _rng
from ..errors import ConfigurationError
from ..expressions import Expression
from ..options import Flag, Number, Whole
from . import checks
from .base import Layer
from .signals import Inputs, Shape
from .time import exists, one_for_all_steps, without


class _Unchanged(Layer, abstract=True):
    """Base class of layers with one input, of whose shape the output is."""

    default_activation = "linear"
    max_inputs = 1
    keeps_entries = True

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of ``out``."""
        return {"out": checks.check_declared(self, self.input_shape)}

    def constant(self, value: float) -> Expression:
        """Get a number as a constant of the network's dtype."""
        return pt.as_tensor(np.asarray(value, self.dtype))


class BatchNorm(_Unchanged, names=("batch_norm",)):
    r"""Each unit or channel with mean 0 and variance 1, over the examples of a batch.

    .. math:: g(\gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta)

    In training the mean and the variance are those of the batch, over all axes
    but the last; in validation and prediction they are running means of these,
    which are saved with the network. Steps of series that do not exist do not
    count. A unit needs two values to have a variance: training joins a last
    batch of a single example to the one before, and refuses others. Where
    examples are series or images, which may have many values of a unit, a
    batch of a single value is normalized by the running means instead, and
    leaves them as they are.

    Parameters
    ----------
    momentum : float
        What of a running mean stays with each batch, in [0, 1).
    epsilon : float
        Added to the variance; at least 0.

    Notes
    -----
    Parameters ``scale`` and ``shift`` (units); state ``mean`` and
    ``variance`` (units), where the latter is of the unbiased variances.
    """

    options: ClassVar[dict[str, Any]] = {
        "momentum": Number(0.9, "fraction"),
        "epsilon": Number(1e-5, "nonnegative"),
    }
    momentum: float
    epsilon: float

    def setup(self) -> None:
        """Make ``scale`` and ``shift``, and the running ``mean`` and ``variance``."""
        size = self.input_size
        self.add_param("scale", 1.0, (size,))
        self.add_param("shift", 0.0, (size,))
        self.add_state("mean", 0.0, (size,))
        self.add_state("variance", 1.0, (size,))

    @property
    def least_examples(self) -> int:
        """Two, where each example has one value of a unit."""
        return 2 if len(self.input_shape) == 1 else 1

    def transform(self, inputs: Inputs) -> Expression:
        """Get the normalized input."""
        x = inputs.only
        mean, variance = self.find("mean"), self.find("variance")
        if inputs.training:
            axes = tuple(range(x.ndim - 1))
            one = self.constant(1)
            lengths = inputs.lengths.get(self.input_name)
            if lengths is None:
                count = math.prod([x.shape[i] for i in axes]).astype(self.dtype)
                now = x.mean(axis=axes)
                spread = pt.sqr(x - now).mean(axis=axes)
            else:
                count = lengths.sum().astype(self.dtype)
                some = pt.maximum(count, one)
                now = without(x, lengths).sum(axis=axes) / some
                spread = without(pt.sqr(x - now), lengths).sum(axis=axes) / some
            unbiased = spread * (count / pt.maximum(count - one, one))
            keep = self.constant(self.momentum)
            means = keep * mean + (one - keep) * now
            variances = keep * variance + (one - keep) * unbiased
            if x.ndim > 2:
                some = pt.gt(count, one)
                means, now = (pt.switch(some, value, mean) for value in (means, now))
                variances, spread = (pt.switch(some, v, variance) for v in (variances, spread))
            inputs.updates[mean], inputs.updates[variance] = means, variances
            mean, variance = now, spread
        factor = self.find("scale") / pt.sqrt(variance + self.constant(self.epsilon))
        return self.activation((x - mean) * factor + self.find("shift"))


class LayerNorm(_Unchanged, names=("layer_norm",)):
    r"""Each example, or step of a series, with mean 0 and variance 1 over its units.

    .. math:: g(\gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta)

    with the mean and variance over the last axis, in training and prediction
    alike.

    Parameters
    ----------
    epsilon : float
        Added to the variance; more than 0.

    Notes
    -----
    Parameters ``scale`` and ``shift`` (units).
    """

    options: ClassVar[dict[str, Any]] = {"epsilon": Number(1e-5, "positive")}
    epsilon: float

    def setup(self) -> None:
        """Make ``scale`` and ``shift``."""
        self.add_param("scale", 1.0, (self.input_size,))
        self.add_param("shift", 0.0, (self.input_size,))

    def transform(self, inputs: Inputs) -> Expression:
        """Get the normalized input."""
        x = inputs.only
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = pt.sqr(centred).mean(axis=-1, keepdims=True)
        normal = centred / pt.sqrt(variance + self.constant(self.epsilon))
        return self.activation(normal * self.find("scale") + self.find("shift"))


class RMSNorm(_Unchanged, names=("rms_norm",)):
    r"""Each example, or step of a series, with mean square 1 over its units.

    .. math:: g(\gamma \frac{x}{\sqrt{\overline{x^2} + \epsilon}})

    with the mean over the last axis, in training and prediction alike.

    Parameters
    ----------
    epsilon : float
        Added to the mean square; more than 0.

    Notes
    -----
    Parameter ``scale`` (units).
    """

    options: ClassVar[dict[str, Any]] = {"epsilon": Number(1e-5, "positive")}
    epsilon: float

    def setup(self) -> None:
        """Make ``scale``."""
        self.add_param("scale", 1.0, (self.input_size,))

    def transform(self, inputs: Inputs) -> Expression:
        """Get the normalized input."""
        x = inputs.only
        square = pt.sqr(x).mean(axis=-1, keepdims=True)
        normal = x / pt.sqrt(square + self.constant(self.epsilon))
        return self.activation(normal * self.find("scale"))


class _OverPlaces(_Unchanged, abstract=True):
    """Base class of what normalizes each example by itself, over its steps or places too."""

    options: ClassVar[dict[str, Any]] = {"epsilon": Number(1e-5, "positive")}
    epsilon: float

    @property
    def cannot_continue(self) -> str | None:
        """Of series it needs all steps."""
        series = len(self.input_shape) == 2
        return "normalizes over all steps of a series" if series else None

    def setup(self) -> None:
        """Make ``scale`` and ``shift``."""
        self.add_param("scale", 1.0, (self.input_size,))
        self.add_param("shift", 0.0, (self.input_size,))

    def _parts(self, x: Expression) -> tuple[Expression, tuple[int, ...]]:
        """Get the input, perhaps in another shape, and the axes over which it is normalized."""
        return x, tuple(range(1, x.ndim - 1))

    def transform(self, inputs: Inputs) -> Expression:
        """Get the normalized input."""
        x = inputs.only
        parts, axes = self._parts(x)
        lengths = inputs.lengths.get(self.input_name)
        if lengths is None:
            centred = parts - parts.mean(axis=axes, keepdims=True)
            variance = pt.sqr(centred).mean(axis=axes, keepdims=True)
        else:
            there = exists(lengths, parts)
            count = there.sum(axis=1, keepdims=True) * math.prod(parts.shape[i] for i in axes[1:])
            some = pt.maximum(count, 1).astype(self.dtype)
            zero = self.constant(0)
            known = pt.switch(there, parts, zero)
            mean = known.sum(axis=axes, keepdims=True) / some
            centred = pt.switch(there, parts - mean, zero)
            variance = pt.sqr(centred).sum(axis=axes, keepdims=True) / some
        normal = (centred / pt.sqrt(variance + self.constant(self.epsilon))).reshape(x.shape)
        return self.activation(normal * self.find("scale") + self.find("shift"))


class GroupNorm(_OverPlaces, names=("group_norm",)):
    r"""Each group of channels of an example with mean 0 and variance 1.

    .. math:: g(\gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta)

    with the mean and variance over the channels of the group and over all
    steps of a series or all places of an image, in training and prediction
    alike. Steps of series that do not exist do not count.

    Parameters
    ----------
    groups : int
        How many groups of neighbouring channels there are; it divides the
        number of channels.
    epsilon : float
        Added to the variance; more than 0.

    Notes
    -----
    Parameters ``scale`` and ``shift`` (channels).
    """

    options: ClassVar[dict[str, Any]] = {**_OverPlaces.options, "groups": Whole(1)}
    groups: int

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of ``out``."""
        checks.check_groups(self, self.groups, self.input_size, "channels of the input")
        if len(self.input_shape) == 1 and self.groups == self.input_size:
            raise ConfigurationError(
                f"layer {self.full_name!r}: groups={self.groups} of {self.input_size} units have "
                "1 unit each, which has no variance"
            )
        return super().resolve_outputs()

    def _parts(self, x: Expression) -> tuple[Expression, tuple[int, ...]]:
        shape = [x.shape[i] for i in range(x.ndim - 1)]
        parts = x.reshape((*shape, self.groups, self.input_size // self.groups))
        return parts, (*range(1, x.ndim - 1), x.ndim)


class InstanceNorm(_OverPlaces, names=("instance_norm",)):
    r"""Each channel of an example with mean 0 and variance 1.

    .. math:: g(\gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta)

    with the mean and variance over all steps of a series or all places of an
    image, in training and prediction alike: a `GroupNorm` with a group for
    each channel. Steps of series that do not exist do not count.

    Parameters
    ----------
    epsilon : float
        Added to the variance; more than 0.

    Notes
    -----
    Parameters ``scale`` and ``shift`` (channels).
    """

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of ``out``."""
        if len(self.input_shape) < 2:
            raise ConfigurationError(
                f"layer {self.full_name!r} normalizes over steps or places; {self.input_name!r} "
                f"has the shape {self.input_shape} for one example, without such an axis"
            )
        return super().resolve_outputs()


class Dropout(_Unchanged, names=("dropout",)):
    """Sets entries to 0 with a probability, and divides the others by what is left of 1.

    Only in training; the expected value does not change. (``hidden_dropout=``
    of ``train`` does the same to outputs of layers that know nothing of it.)

    Parameters
    ----------
    rate : float
        The probability, in [0, 1).
    per_series : bool
        Whether the same units are dropped at all steps of a series, or at all
        places of an image. By default each entry is dropped by itself.
    per_example : bool
        Whether all entries of an example are dropped together, or none.

    References
    ----------
    Gal & Ghahramani 2016, "A theoretically grounded application of dropout in
    recurrent neural networks", for the dropout of series.
    """

    options: ClassVar[dict[str, Any]] = {
        "rate": Number(0.5, "fraction"),
        "per_series": Flag(False),
        "per_example": Flag(False),
    }
    rate: float
    per_series: bool
    per_example: bool

    def transform(self, inputs: Inputs) -> Expression:
        """Get the input, in training with entries dropped."""
        x = inputs.only
        if inputs.training and self.rate:
            generator = inputs.generator("dropout")
            shape = one_for_all_steps(x) if self.per_series else x.shape
            if self.per_example:
                shape = (x.shape[0], *(1,) * (x.ndim - 1))
            inputs.updates[generator], draws = _rng.uniform(generator, shape, x.dtype)
            kept = x * self.constant(1 / (1 - self.rate))
            x = pt.switch(draws >= self.constant(self.rate), kept, self.constant(0))
        return self.activation(x)


class Noise(_Unchanged, names=("noise",)):
    """Adds normal noise of mean 0, only in training.

    Parameters
    ----------
    std : float
        Standard deviation; at least 0.
    """

    options: ClassVar[dict[str, Any]] = {"std": Number(0.1, "nonnegative")}
    std: float

    def transform(self, inputs: Inputs) -> Expression:
        """Get the input, in training with noise."""
        x = inputs.only
        if inputs.training and self.std:
            generator = inputs.generator("noise")
            inputs.updates[generator], draws = _rng.normal(generator, x.shape, x.dtype)
            x = x + self.constant(self.std) * draws
        return self.activation(x)
