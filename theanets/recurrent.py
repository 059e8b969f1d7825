"""Recurrent models: autoencoder, regressor, classifier and predictor of series.

Data are ``(examples, time, variables)``. Series may have any length, and with
``weighted=True`` different ones in a batch: steps after the last one of positive
weight do not exist for recurrent layers. Where data are a list of arrays of
different lengths, they are padded, and weights and lengths that the network
needs are added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import feedforward
from . import rng as _rng
from .callbacks import Callback
from .callbacks import build as build_callbacks
from .errors import ConfigurationError, DataError
from .layers import Lengths, Recurrent
from .network import Network
from .series import Text, batches, buckets, is_ragged, pad
from .streams import Stream, carrier, inputs_of

__all__ = [
    "Autoencoder",
    "Classifier",
    "Predictor",
    "Regressor",
    "Text",
    "batches",
    "buckets",
    "pad",
]

Array = npt.NDArray[Any]


class _Series(Network):
    """What networks of series have in common."""

    INPUT_NDIM = 3

    def padded(self, data: Any, only: str | None = None) -> Any:
        """Make arrays of lists of series of different lengths.

        Parameters
        ----------
        data : list, tuple or dict
            Arrays in the order of `variables`, or by name. Each may be a list
            of arrays. The weights and lengths that say which steps exist may
            be left out.
        only : str, optional
            ``'input'`` if the data are inputs only.

        Returns
        -------
        dict, or ``data`` itself if nothing in it is to be padded.
        """
        fields = [f for f in self.fields if only is None or f.role == only]
        holders = [layer.name for layer in self.layers if isinstance(layer, Lengths)]
        optional = {f.name for f in fields if f.role == "weights" or f.name in holders}
        if isinstance(data, Mapping):
            arrays = dict(data)
        elif is_ragged(data) and len([f for f in fields if f.name not in optional]) == 1:
            arrays = {next(f.name for f in fields if f.name not in optional): data}
        elif isinstance(data, (list, tuple)):
            names = [f.name for f in fields]
            if len(data) != len(names):
                names = [name for name in names if name not in optional]
            if len(data) != len(names):
                return data
            arrays = dict(zip(names, data, strict=True))
        else:
            return data
        ragged = [name for name, value in arrays.items() if is_ragged(value)]
        if not ragged:
            return data
        lengths = None
        for name in ragged:
            arrays[name], found = pad(arrays[name])
            if lengths is not None and not np.array_equal(found, lengths):
                raise DataError(f"the series {name!r} differ in length from {ragged[0]!r}")
            lengths = found
        assert lengths is not None
        mask = np.arange(lengths.max()) < lengths[:, None]
        for field in fields:
            if field.name in arrays:
                continue
            if field.name in holders:
                arrays[field.name] = lengths.astype("int32")
            elif field.role == "weights" and len(field.shape) >= 1:
                arrays[field.name] = mask.reshape(mask.shape + (1,) * (len(field.shape) - 1))
        return arrays

    def itertrain(
        self, train: Any, valid: Any = None, algo: Any = None, **kwargs: Any
    ) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
        """Train, epoch by epoch; see `Network.itertrain`."""
        self._reset_by_epoch(kwargs)
        return super().itertrain(self.padded(train), self.padded(valid), algo, **kwargs)

    def train(
        self, train: Any, valid: Any = None, algo: Any = None, **kwargs: Any
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Train until validation no longer improves, or a limit is reached; see `Network.train`."""
        self._reset_by_epoch(kwargs)
        return super().train(self.padded(train), self.padded(valid), algo, **kwargs)

    def _reset_by_epoch(self, kwargs: dict[str, Any]) -> None:
        """Let stateful layers start each epoch from the beginning."""
        layers = [x for x in self.layers if isinstance(x, Recurrent) and x.stateful]
        if layers:
            callbacks = build_callbacks(kwargs.get("callbacks"))
            kwargs["callbacks"] = [*callbacks, _Reset(layers)]

    def evaluate(self, data: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate the network on data; see `Network.evaluate`."""
        return super().evaluate(self.padded(data), **kwargs)

    def predict(self, x: Any, state: Any = None, return_state: bool = False, **kwargs: Any) -> Any:
        """Compute the output for series.

        Parameters
        ----------
        x : array_like, list or dict
            Inputs; a list of series of different lengths is padded if the
            network has a layer of lengths.
        state : dict, optional
            States to continue from, as ``return_state`` gives them: arrays
            (series, units) by name, by the name of the layer. What is left
            out is zero.
        return_state : bool
            Whether to return the state after the last step too.
        **kwargs
            See `feed_forward`; with a state, ``mode`` only.

        Returns
        -------
        ndarray, or (ndarray, dict)
        """
        x = self.padded(x, "input")
        if state is None and not return_state:
            return super().predict(x, **kwargs)
        mode = kwargs.pop("mode", None)
        if kwargs:
            raise ConfigurationError(f"predict with a state takes no {', '.join(kwargs)}")
        arrays = inputs_of(self, x)
        run = carrier(self, self._predicted(), mode)
        output, after = run(arrays, run.check(state or {}, len(arrays[0])))
        found = self._as_prediction(output)
        return (found, after) if return_state else found

    def _predicted(self) -> str:
        """Get the output that predictions are made of."""
        return "out:out"

    def _as_prediction(self, output: Array) -> Array:
        return output

    def stream(self, series: int = 1) -> Stream:
        """Get an object that takes series step by step, and keeps their state.

        Parameters
        ----------
        series : int
            How many run side by side.
        """
        return Stream(self, "out:out", series)


class _Reset(Callback):
    """Starts stateful layers anew, before the first epoch and after each."""

    def __init__(self, layers: Sequence[Recurrent]) -> None:
        self.layers = layers

    def start(self, run: Any) -> None:
        self.epoch(run)

    def epoch(self, run: Any) -> None:
        for layer in self.layers:
            layer.reset()


class Regressor(_Series, feedforward.Regressor):
    """A network that maps series to values, at each step or once.

    Takes what `theanets.Regressor` takes.
    """

    OUTPUT_NDIM = 3


class Autoencoder(_Series, feedforward.Autoencoder):
    """A network that reproduces series; see `theanets.Autoencoder`."""

    OUTPUT_NDIM = 3


class Predictor(Regressor):
    """A network that predicts the next step of series.

    Data are ``[series]``, of at least two steps: the network is trained to
    map each step to the next one.
    """

    def padded(self, data: Any, only: str | None = None) -> Any:
        """Split series into what is known and what is to be predicted; see `Regressor.padded`."""
        if only is not None or data is None or callable(data) or isinstance(data, Mapping):
            return super().padded(data, only)
        single = isinstance(data, (list, tuple)) and len(data) == 1
        series = data[0] if single else data
        if not single and isinstance(data, (list, tuple)) and not is_ragged(data):
            return data
        if is_ragged(series):
            arrays = [np.asarray(one) for one in series]
            return super().padded([[a[:-1] for a in arrays], [a[1:] for a in arrays]])
        array = np.asarray(series)
        if array.ndim != 3 or array.shape[1] < 2:
            raise DataError(
                f"series of shape {array.shape}; expected (examples, time, variables) with at "
                "least two steps"
            )
        return [array[:, :-1], array[:, 1:]]

    def generate(self, seed: Any, steps: int) -> Array:
        """Continue series by feeding predictions back.

        Parameters
        ----------
        seed : array_like of shape (series, time, variables)
            What came before.
        steps : int
            How many steps to add.

        Returns
        -------
        ndarray of shape (series, steps, variables)
        """
        output, state = self.predict(seed, return_state=True)
        stream = self.stream(len(output))
        stream.state = state
        found = [output[:, -1]]
        while len(found) < steps:
            found.append(stream.step(found[-1]))
        return np.stack(found[:steps], axis=1)


class Classifier(_Series, feedforward.Classifier):  # type: ignore[misc]
    """A network that maps series to classes, of each step or of the series.

    Takes what `theanets.Classifier` takes.
    """

    OUTPUT_NDIM = 2

    def _predicted(self) -> str:
        return self.graph.layer("out").logits_output or "out:out"

    def _as_prediction(self, output: Array) -> Array:
        return self._choose(output, None)

    def predict_sequence(
        self,
        labels: Sequence[int] | Any,
        steps: int,
        streams: int = 1,
        rng: _rng.Seed = None,
        temperature: float = 1.0,
        greedy: bool = False,
        top_k: int | None = None,
    ) -> Iterator[Any]:
        """Continue a sequence of labels, by drawing the next one again and again.

        The network's inputs are vectors with a 1 at the label, its classes
        the labels that follow; see `Text`.

        Parameters
        ----------
        labels : list of int, or (streams, time) array of int
            What came before, at least one label; all of it is read.
        steps : int
            How many labels to draw.
        streams : int
            How many continuations to draw side by side.
        rng : int, Generator or None
            Source of randomness.
        temperature : float
            Divides the logits: below 1 for more probable labels, above for
            less.
        greedy : bool
            Whether to take the most probable label always.
        top_k : int, optional
            To draw from the most probable labels only.

        Yields
        ------
        int, or ndarray of int of shape (streams,) if there are several
        """
        if not temperature > 0:
            raise ConfigurationError(f"temperature={temperature!r} is not positive")
        if top_k is not None and top_k < 1:
            raise ConfigurationError(f"top_k={top_k!r} is not a positive integer")
        classes = self.layers[0].output_size
        seed = np.atleast_2d(np.asarray(labels))
        seed = np.broadcast_to(seed, (streams if len(seed) == 1 else len(seed), seed.shape[1]))
        if not seed.size or seed.min() < 0 or seed.max() >= classes or len(seed) != streams:
            raise DataError(
                f"labels of shape {np.shape(labels)} for streams={streams}: expected at least one "
                f"label, all in [0, {classes})"
            )
        return self._drawn(
            seed, steps, np.random.default_rng(_rng.as_seed(rng)), temperature, greedy, top_k
        )

    def _drawn(
        self,
        seed: Array,
        steps: int,
        generator: np.random.Generator,
        temperature: float,
        greedy: bool,
        top_k: int | None,
    ) -> Iterator[Any]:
        vectors = np.eye(self.layers[0].output_size, dtype=self.dtype)
        run = carrier(self, self._predicted())
        logits, state = run([vectors[seed]], run.zeros(len(seed)))
        for left in range(steps, 0, -1):
            drawn = _draw(logits[:, -1], generator, temperature, greedy, top_k)
            yield int(drawn[0]) if len(drawn) == 1 else drawn
            if left > 1:
                logits, state = run([vectors[drawn[:, None]]], state)


def _draw(
    logits: Array,
    generator: np.random.Generator,
    temperature: float,
    greedy: bool,
    top_k: int | None,
) -> Array:
    """Draw a label for each row of logits."""
    if greedy:
        return logits.argmax(axis=1)
    scaled = logits.astype(float) / temperature
    if top_k is not None and top_k < scaled.shape[1]:
        least = np.partition(scaled, -top_k, axis=1)[:, -top_k, None]
        scaled = np.where(scaled >= least, scaled, -np.inf)
    # The largest of logits with Gumbel noise is a draw from their softmax.
    return (scaled + generator.gumbel(size=scaled.shape)).argmax(axis=1)
