"""Feedforward models: autoencoder, regressor, classifier."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from . import prediction
from . import rng as _rng
from .errors import ConfigurationError
from .expressions import Expression
from .losses import Loss
from .metrics.agreement import check_targets
from .network import Network
from .structure import Snapshot, Structure

Array = npt.NDArray[Any]


class Regressor(Network):
    """A network that maps inputs to values.

    Takes what `Network` takes. Data are ``[inputs, targets]``, and with
    ``weighted=True`` ``[inputs, targets, weights]``: inputs (examples,
    variables), targets and weights of the output's shape. The default loss is
    ``'mse'``.
    """

    TARGET = "values"


class Autoencoder(Network):
    """A network that reproduces its input.

    Takes what `Network` takes. Data are ``[inputs]``, and with
    ``weighted=True`` ``[inputs, weights]``, where an entry of weight 0 may be
    anything, NaN included: the network sees a 0 in place of a NaN, and what it
    puts out there is free. The default loss is ``'mse'``.
    """

    TARGET = "values"
    _decides = False

    def _make_target(self, loss: Loss, key: str) -> Expression:
        if loss.target_name is not None:
            return super()._make_target(loss, key)
        variable = self.inputs[0]
        shape = self.graph.shape(loss.output_name)
        if shape != tuple(variable.type.shape[1:]):
            raise ConfigurationError(
                f"an autoencoder reproduces its input: output {loss.output_name!r} has shape "
                f"{shape}, the input {variable.name!r} has {tuple(variable.type.shape[1:])}"
            )
        return variable

    def encode(self, x: Any, layer: Any = None, sample: bool = False, **kwargs: Any) -> Array:
        """Compute a hidden representation of inputs.

        Parameters
        ----------
        x : array_like
            Inputs.
        layer : str, int or Layer, optional
            Whose output; by default that of the layer in the middle,
            and of two in the middle the later: ``[7, 8, 12, 7]`` has 12.
        sample : bool
            Whether to draw 0 or 1 for each unit, with its output as the
            probability of 1; outputs must be in [0, 1].
        **kwargs
            See `feed_forward`; ``rng`` also seeds the sample.

        Returns
        -------
        ndarray of shape (examples, ..., units)
        """
        name = middle_output(self, layer)
        encoded = self._compute(x, name, kwargs)
        if not sample:
            return encoded
        if encoded.size and not (encoded.min() >= 0 and encoded.max() <= 1):
            raise ConfigurationError(
                f"sample=True takes outputs as probabilities, but those of {name!r} go from "
                f"{encoded.min():g} to {encoded.max():g}; use a sigmoid layer"
            )
        rng = kwargs.get("rng")
        generator = self._sampler if rng is None else _rng.generator(_rng.as_seed(rng), "sample")
        return (generator.random(encoded.shape) < encoded).astype(encoded.dtype)

    @property
    def _sampler(self) -> np.random.Generator:
        # Of several threads that begin it, each gets the one that was first.
        made: np.random.Generator = vars(self).get("_sample_generator") or vars(self).setdefault(
            "_sample_generator", _rng.generator(self.seed, "sample")
        )
        return made

    def decode(self, z: Any, layer: Any = None, **kwargs: Any) -> Array:
        """Compute the output from a hidden representation.

        Parameters
        ----------
        z : array_like
            What `encode` returns.
        layer : str, int or Layer, optional
            Whose output ``z`` is; by default as for `encode`.
        **kwargs
            See `feed_forward`.

        Returns
        -------
        ndarray of shape (examples, ..., variables)

        Raises
        ------
        ConfigurationError
            If the output does not depend on that layer alone.
        """
        name = middle_output(self, layer)
        return self._compute(z, self.output_name, kwargs, given=name, where="z")

    def score(self, x: Any, w: Any = None, **kwargs: Any) -> float:  # type: ignore[override]
        """Get R squared of the reproduction of ``x``, weighted by ``w``; see `Network.score`."""
        y = x
        if isinstance(x, Mapping):
            y = x.get(self.inputs[0].name)
        elif isinstance(x, (list, tuple)) and len(x) == len(self.inputs):
            y = x[0]
        return super().score(x, y, w, **kwargs)


class Classifier(Network):
    """A network that maps inputs to one of several classes.

    Takes what `Network` takes; the output layer is a softmax by default, and
    the default loss ``'xe'``. Data are ``[inputs, labels]``, and with
    ``weighted=True`` ``[inputs, labels, weights]``: inputs (examples,
    variables), integer labels in [0, classes) and weights (examples).

    With a `crf` layer as the output layer, the labels of the steps of a series
    are predicted together: inputs are (examples, time, variables), labels and
    weights (examples, time), where a weight of 0 says that there is no such
    step. The default loss is then ``'crf'``.
    """

    DEFAULT_OUTPUT_ACTIVATION: ClassVar[str] = "softmax"
    TARGET = "labels"

    def _usual_loss(self) -> str:
        last = self.layers[-1] if self.layers else None
        named = self.graph.by_name.get("out", last)
        return "xe" if named is None else named.label_loss

    def predict(self, x: Any, mask: Any = None, **kwargs: Any) -> Array:
        """Get the most probable class of each example, as integers.

        Parameters
        ----------
        x : array_like, list or dict
            Inputs.
        mask : array_like of shape (examples, time), optional
            For a `crf` output layer, which steps exist: not 0.
        **kwargs
            See `feed_forward`.

        Returns
        -------
        ndarray of int of shape (examples, ...)
            Of a `crf` layer, the most probable sequence of each example, found
            by the algorithm of Viterbi; 0 at steps that do not exist.
        """
        if mask is not None:
            self._check_mask()
        snapshot = self.snapshot()
        choose = snapshot.output_layer.choose
        return self._scored(x, kwargs, snapshot, lambda scores: choose(scores, mask))

    def _check_mask(self) -> None:
        if not self.output_layer.chooses_jointly:
            raise ConfigurationError(
                "mask= is for networks whose output layer is a crf layer; this one's is "
                f"{self.output_layer!r}"
            )

    def _scored(
        self, x: Any, kwargs: dict[str, Any], snapshot: Snapshot, finish: Callable[[Array], Any]
    ) -> Any:
        """Make something of the scores, with the parameters that they were computed with."""
        layer, name = snapshot.output_layer, snapshot.scores_output
        if layer.chooses_jointly:

            def then(found: dict[str, Array]) -> Any:
                return finish(found[name])

            return self._outputs(x, [name], kwargs, snapshot=snapshot, then=then)
        # Logits tell apart what is the same as a probability; but noise may come after them.
        if kwargs and not set(kwargs) <= set(prediction.OPTIONS):
            name = layer.output_name
        return finish(self._compute(x, name, kwargs, snapshot=snapshot))

    def _usual_prediction(self, snapshot: Snapshot) -> tuple[str, Any] | None:
        layer = snapshot.output_layer
        return None if layer.chooses_jointly else (layer.scores_output, layer.choose)

    def classify(self, x: Any, **kwargs: Any) -> Array:
        """Do what `predict` does; deprecated."""
        warnings.warn("classify() is now predict()", DeprecationWarning, stacklevel=2)
        return self.predict(x, **kwargs)

    def predict_proba(self, x: Any, mask: Any = None, **kwargs: Any) -> Array:
        """Get the probability of each class, of shape (examples, ..., classes).

        Takes what `predict` takes. Of a `crf` layer, these are the marginal
        probabilities of the labels of each step.
        """
        snapshot = self.snapshot()
        layer = snapshot.output_layer
        if mask is not None:
            self._check_mask()
            of = layer.probabilities
            return self._scored(x, kwargs, snapshot, lambda scores: of(scores, mask))
        return self._compute(x, layer.output_name, kwargs, snapshot=snapshot)

    def predict_logit(self, x: Any, **kwargs: Any) -> Array:
        """Get the logits, what the softmax is taken of, of shape (examples, ..., classes).

        Of a `crf` layer, these are the scores of the labels of each step.
        """
        return self._compute(x, f"{self.output_layer.name}:pre", kwargs)

    def score(self, x: Any, y: Any, w: Any = None, **kwargs: Any) -> float:
        """Get the (weighted) share of examples whose most probable class is the label.

        Parameters
        ----------
        x : array_like, list or dict
            Inputs.
        y : array_like of int
            Labels. Those that the network's losses ignore do not count.
        w : array_like, optional
            Weights of the labels.
        **kwargs
            See `feed_forward`.

        Raises
        ------
        DataError
            If ``x``, ``y`` or ``w`` do not have the form that the network
            needs, or a weight is negative or all are 0.
        """
        snapshot = self.snapshot()
        ignored = {getattr(loss, "ignore_index", None) for loss in self.losses if loss.main}
        ignore = ignored.pop() if len(ignored) == 1 else None

        def share(scores: Array) -> float:
            labels, weights = check_targets(y, w, scores.shape[:-1], scores.shape[-1], ignore)
            chosen = snapshot.output_layer.choose(scores, weights)
            return float(np.average(chosen == labels, weights=weights))

        found: float = self._scored(x, kwargs, snapshot, share)
        return found


def middle_output(net: Structure, layer: Any = None) -> str:
    """Find the output that an autoencoder encodes to.

    Parameters
    ----------
    net : Structure
        The network.
    layer : str, int, Layer or None
        A layer, or the name of an output. None is the middle one of all
        layers in order, inputs but the first left out, and of two the later.
    """
    if isinstance(layer, str) and ":" in layer:
        net.graph.shape(layer)
        return layer
    if layer is not None:
        return net.graph.layer(layer).output_name
    layers = [found for found in net.layers if not found.is_input]
    if len(layers) < 2:
        raise ConfigurationError("the network has no hidden layer to encode to")
    return layers[(len(layers) + 1) // 2 - 1].output_name
