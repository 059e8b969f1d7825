"""Models of series: autoencoder, regressor, classifier and predictor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from pytensor.compile.mode import Mode

from .. import feedforward, prediction, process
from .. import rng as _rng
from ..data import comes_in_batches
from ..data.mapped import mapped
from ..data.series import Padded, is_ragged, of_series, of_steps
from ..errors import ConfigurationError, DataError
from ..network import Network
from ..options import whole_number
from ..structure.sizes import SizeError
from . import ragged, reading, views
from .sequences import drawn, starts
from .streams import Stream, carrier, inputs_of

Array = npt.NDArray[Any]


# In files and pickles, models are named by where users find them: `theanets.recurrent`.


class _Series(Network):
    """What networks of series have in common."""

    INPUT_NDIM = 3

    def padded(self, data: Any, only: str | None = None) -> Any:
        """Make arrays of lists of series of different lengths.

        Parameters
        ----------
        data : list, tuple or dict
            Arrays in the order of `~Structure.variables`, or by name. Each may be a list
            of arrays. The weights and lengths that say which steps exist may
            be left out. Or a callable or iterable that gives such data, batch
            by batch.
        only : str, optional
            ``'input'`` if the data are inputs only.

        Returns
        -------
        dict, or ``data`` itself if nothing in it is to be padded. Where the
        network has no place for the lengths of the series, they are in it as
        ``'lengths'`` all the same, or as ``'<input>_lengths'`` if it has
        several series; all that the network does takes such data. Of a
        callable or iterable, one that pads what it gives.

        Raises
        ------
        DataError
            If lengths do not fit each other.
        """
        if comes_in_batches(data):
            return mapped(data, self.padded)
        arrays = None if isinstance(data, Padded) else ragged.by_name(self, data, only)
        if arrays is None:
            return data
        net = views.view(self, views.needed(self, arrays, only))
        found = ragged.padded(net, arrays, only)
        return data if found is None else found

    def _with_lengths(self) -> Any:
        """Get the view of the network that takes the lengths of all its series."""
        return views.view(self, views.names(self))

    def _ready(self, *data: Any) -> tuple[Any, ...]:
        """Get the view of the network that the data need, and the data as it takes them."""
        found = [self.padded(one) for one in data]
        net = views.view(self, set().union(*(views.given(self, one) for one in found)))
        return (net, *(views.fitted(self, net, one) for one in found))

    def _inputs(self, x: Any) -> tuple[Any, Any]:
        """Get the same of inputs."""
        found = self.padded(x, "input")
        return views.view(self, views.given(self, found)), found

    def _existing(self, x: Any) -> Any:
        """Get which steps of the output exist for inputs; None if all do."""
        arrays = ragged.by_name(self, x, "input")
        if arrays is None:
            return None
        return ragged.existing_steps(views.view(self, views.needed(self, arrays, "input")), arrays)

    def _weights(self, x: Any, w: Any) -> Any:
        """Get weights of the steps of the output that exist."""
        exists = self._existing(x)
        if w is None or exists is None:
            return exists if w is None else w
        return of_steps(w, exists.sum(axis=1), exists.shape[1], ("w", "x"))

    def _outputs(
        self, x: Any, wanted: Any = None, options: Any = None, then: Any = None, **given: Any
    ) -> Any:
        if "given" in given:
            # What `decode` gets is no input.
            return super()._outputs(x, wanted, options, **given)
        plan, size, rng = prediction.look_up(self, wanted, options, **given)
        arrays = plan.ready(x)
        if arrays is not None:
            # There is nothing to be padded.
            return plan.run(self, x, size=size, rng=rng, arrays=arrays, then=then)
        # As in training, all are there at once, filled up with steps that do not exist.
        groups = None if (options or {}).get("training") else ragged.groups(self, x)
        if groups is not None:
            with suppress(SizeError, DataError), plan.moment(self):
                # One may be too short by itself for what is padding beside longer ones. What is
                # refused in a group is refused below again, by its place among all series.
                found = groups(lambda part: plan.run(self, part, size=size, rng=rng))
                return found if then is None else then(found)
        net, x = self._inputs(x)
        found = super(_Series, net)._outputs(x, wanted, options, then=then)
        if wanted is not None:
            return found
        # What a view has besides is nobody's.
        return {k: v for k, v in found.items() if k.partition(":")[0] in self.graph.by_name}

    def _length_check(self) -> Any:
        return ragged.length_check(self)

    def predict(self, x: Any, state: Any = None, return_state: bool = False, **kwargs: Any) -> Any:
        """Compute the output for series.

        Parameters
        ----------
        x : array_like, list or dict
            Inputs; of series of different lengths a list. What is predicted
            for steps that do not exist is 0.
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
        if state is None and not return_state:
            return super().predict(x, **kwargs)
        mode, mask = kwargs.pop("mode", None), kwargs.pop("mask", None)
        if kwargs:
            raise ConfigurationError(f"predict with a state takes no {', '.join(kwargs)}")
        added, one = prediction.with_a_row(x)
        if added:
            found, after = self.predict(one, return_state=True, mode=mode)
            none = {name: {k: v[:0] for k, v in of.items()} for name, of in after.items()}
            return (found[:0], none) if return_state else found[:0]
        net, x = self._inputs(x)
        arrays, series = inputs_of(net, x)
        run = carrier(net, self._predicted(), mode)
        states = run.check(state or {}, series)
        with process.moment(run.function, [*self.params, *self.state]):
            output, after = run(arrays, states)
            found = self._as_prediction(output, mask)
        return (found, after) if return_state else found

    def _predicted(self) -> str:
        """Get the output that predictions are made of."""
        return self.output_name

    def _as_prediction(self, output: Array, mask: Any) -> Array:
        return output

    def stream(self, series: int = 1, mode: Mode | str | None = None) -> Stream:
        """Get an object that takes series step by step, and keeps their state.

        Parameters
        ----------
        series : int
            How many run side by side.
        mode : str or Mode, optional
            How to compile; by default as the network says.
        """
        return Stream(self, self.output_name, series, mode)


class Regressor(_Series, feedforward.Regressor):
    """A network that maps series to values, at each step or once.

    Takes what `theanets.Regressor` takes.
    """

    __module__ = __package__

    def score(self, x: Any, y: Any, w: Any = None, **kwargs: Any) -> float:
        """Get R squared, of the steps that exist; see `theanets.Network.score`."""
        return super().score(x, y, self._weights(x, w), **kwargs)


class Autoencoder(_Series, feedforward.Autoencoder):
    """A network that reproduces series; see `theanets.Autoencoder`."""

    __module__ = __package__

    def score(self, x: Any, w: Any = None, **kwargs: Any) -> float:  # type: ignore[override]
        """Get R squared of the steps that exist; see `theanets.Autoencoder.score`."""
        return super().score(x, self._weights(x, w), **kwargs)


class Predictor(Regressor):
    """A network that predicts the next step of series.

    Data are ``[series]``, of at least two steps, or a callable that returns
    such batches, as `batches` makes: the network is trained to map each step
    to the next one.
    """

    __module__ = __package__

    def padded(self, data: Any, only: str | None = None) -> Any:
        """Split series into what is known and what is to be predicted; see `Regressor.padded`."""
        if only is not None or not (isinstance(data, (list, tuple)) or hasattr(data, "__array__")):
            return super().padded(data, only)
        self._check_same()
        single = isinstance(data, (list, tuple)) and len(data) == 1
        series = data[0] if single else data
        several = isinstance(series, (list, tuple))
        if several and not single and not (_are_series(data) or is_ragged(data)):
            return super().padded(data)
        if several and series:
            start = self.layers[0]
            arrays = of_series(series, str(start.name), [start.output_shape])
            return super().padded([[a[:-1] for a in arrays], [a[1:] for a in arrays]])
        (array,) = of_series([series], str(self.layers[0].name))
        if array.ndim != 3 or array.shape[1] < 2:
            raise DataError(
                f"series of shape {array.shape}; expected (examples, time, variables) with at "
                "least two steps"
            )
        return [array[:, :-1], array[:, 1:]]

    def _check_same(self) -> None:
        """Refuse a network whose outputs cannot be the next steps of its input."""
        start = self.layers[0]
        if getattr(start, "classes", None) is not None:
            raise ConfigurationError(
                f"the input {start.name!r} is one of symbols, of which the next one is a class: "
                "use theanets.recurrent.Classifier, with the symbols but the last as inputs and "
                "those but the first as labels"
            )
        given, made = start.output_shape, self.graph.shape(self.output_name)
        if given != made:
            raise ConfigurationError(
                f"a Predictor's output is the next step of its input, but {self.output_name!r} "
                f"has the shape {made}, and {start.name!r} {given}"
            )

    def generate(self, seed: Any, steps: int, mode: Mode | str | None = None) -> Array:
        """Continue series by feeding predictions back.

        Parameters
        ----------
        seed : array_like of shape (series, time, size), or list of series
            What came before.
        steps : int
            How many steps to add.
        mode : str or Mode, optional
            How to compile; by default as the network says.

        Returns
        -------
        ndarray of shape (series, steps, size)
        """
        steps = whole_number("steps", steps)
        self._check_same()
        output, state = self.predict(seed, return_state=True, mode=mode)
        exists = self._existing(seed)
        last = -1 if exists is None else exists.sum(axis=1) - 1
        stream = self.stream(len(output), mode)
        stream.state = state
        found = [output[np.arange(len(output)), last]]
        with stream.repeated():
            while len(found) < steps:
                found.append(stream.step(found[-1]))
        return np.stack(found[:steps], axis=1)


def _are_series(values: Any) -> bool:
    """Tell whether all of a list are arrays of two axes, or lists as such."""
    try:
        return all(np.ndim(one) == 2 for one in values)
    except (TypeError, ValueError, RuntimeError):
        return False  # what is wrong with it is said where it is needed as an array


class Classifier(_Series, feedforward.Classifier):
    """A network that maps series to classes, of each step or of the series.

    Takes what `theanets.Classifier` takes.
    """

    __module__ = __package__

    def predict(  # type: ignore[override]
        self, x: Any, state: Any = None, return_state: bool = False, **kwargs: Any
    ) -> Any:
        """Get the most probable class of each step, or of each series, as integers.

        Takes what `Regressor.predict` takes, and ``mask``, see
        `theanets.Classifier.predict`; 0 at steps that do not exist.
        """
        return super().predict(x, state, return_state, **self._masked(x, kwargs))

    def predict_proba(self, x: Any, mask: Any = None, **kwargs: Any) -> Array:
        """Get the probability of each class; see `theanets.Classifier.predict_proba`."""
        given = kwargs if mask is None else {**kwargs, "mask": mask}
        return super().predict_proba(x, **self._masked(x, given))

    predict_labels = reading.predict_labels

    def score(self, x: Any, y: Any, w: Any = None, **kwargs: Any) -> float:
        """Get the share of labels that are predicted; see `theanets.Classifier.score`."""
        return super().score(x, y, self._weights(x, w), **kwargs)

    def _masked(self, x: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Tell an output layer that looks at whole series which steps exist."""
        # Of an array, all steps do.
        plain = type(x) is np.ndarray and x.dtype.kind != "O"
        if plain or "mask" in kwargs or not self.output_layer.chooses_jointly:
            return kwargs
        mask = self._existing(x)
        return kwargs if mask is None else {**kwargs, "mask": mask}

    def _predicted(self) -> str:
        return self.output_layer.scores_output

    def _as_prediction(self, output: Array, mask: Any) -> Array:
        return self.output_layer.choose(output, mask)

    def predict_sequence(
        self,
        labels: Sequence[int] | Any,
        steps: int,
        streams: int | None = None,
        rng: _rng.Seed = None,
        temperature: float = 1.0,
        greedy: bool = False,
        top_k: int | None = None,
        mode: Mode | str | None = None,
    ) -> Iterator[Any]:
        """Continue a sequence of labels, by drawing the next one again and again.

        The network's inputs are vectors with a 1 at the label, or, where the
        input is one of symbols, the labels themselves; its classes are the
        labels that follow. See `Text`.

        Parameters
        ----------
        labels : list of int, or (streams, time) array of int
            What came before, at least one label; all of it is read.
        steps : int
            How many labels to draw.
        streams : int, optional
            How many continuations to draw side by side; by default as many as
            there are rows of ``labels``, and several of a single row.
        rng : int, Generator or None
            Source of randomness.
        temperature : float
            Divides the logits: below 1 for more probable labels, above for
            less.
        greedy : bool
            Whether to take the most probable label always.
        top_k : int, optional
            To draw from the most probable labels only.
        mode : str or Mode, optional
            How to compile; by default as the network says.

        Yields
        ------
        int, or ndarray of int of shape (streams,) if there are several

        Raises
        ------
        ConfigurationError
            If the network has several inputs, or an option is out of range.
        DataError
            If ``labels`` are not what the input takes, or rows of different lengths.
        """
        whole_number("steps", steps, 0)
        if not temperature > 0:
            hint = "; greedy=True takes the most probable label" if temperature == 0 else ""
            raise ConfigurationError(f"temperature={temperature!r} is not positive{hint}")
        if top_k is not None:
            whole_number("top_k", top_k)
        seed = starts(self, labels, streams)
        generator = np.random.default_rng(_rng.as_seed(rng))
        return drawn(self, seed, steps, generator, temperature, greedy, top_k, mode)
