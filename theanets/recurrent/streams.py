"""State that outlives a call: predictions that continue series, step by step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytensor.tensor as pt
from pytensor.compile.mode import Mode

from .. import backends, process
from ..data import Field, gather, prepare, sparse
from ..data.coerce import coerce
from ..data.fields import behaved
from ..data.tables import plain
from ..errors import ConfigurationError, DataError, unknown
from ..layers.attention.cache import COUNT, PLACES
from ..names import output_name
from ..options import whole_number
from ..structure import Structure
from .rooms import Rooms, shortened

Array = npt.NDArray[Any]
#: States by name, by the name of the layer: arrays (series, units).
State = dict[str, dict[str, Array]]


class Carrier:
    """A function from inputs and states to an output and new states.

    Parameters
    ----------
    net : Structure
        The network.
    wanted : str
        Name of the output.
    mode : str or Mode or None
        How to compile.

    Raises
    ------
    ConfigurationError
        If a layer runs backward, so that nothing can be continued.
    """

    def __init__(self, net: Structure, wanted: str, mode: Mode | str | None = None) -> None:
        for layer in net.layers:
            if layer.cannot_continue:
                raise ConfigurationError(
                    f"layer {layer.name!r} {layer.cannot_continue}: its series cannot be continued"
                )
        found = {str(layer.name): layer.state_shapes() for layer in net.layers}
        #: Shape of one series' state, by name, by the name of the layer.
        self.shapes = {name: shapes for name, shapes in found.items() if shapes}
        #: How many steps a series may come to, by the name of a layer that counts them.
        self.most = {str(x.name): x.most_steps for x in net.layers if x.most_steps is not None}
        #: Which states have a row for each step, by the name of the layer.
        self.open = {
            name: [state for state, shape in shapes.items() if None in shape]
            for name, shapes in self.shapes.items()
        }
        self.open = {name: states for name, states in self.open.items() if states}
        #: How many of these rows are needed at most.
        self.kept = {str(layer.name): layer.kept_steps for layer in net.layers}
        names = [layer.name for layer in net.layers if layer.is_input]
        #: Which of the inputs have the numbers of steps.
        self.holders = [names.index(layer.name) for layer in net.layers if layer.holds_lengths]
        self.dtype = net.dtype
        with process.building(net.dtype):
            initial = {
                name: {
                    state: pt.tensor(name=f"{name}:{state}", dtype=net.dtype, shape=(None, *shape))
                    for state, shape in shapes.items()
                }
                for name, shapes in self.shapes.items()
            }
            for name in self.open:
                initial[name][PLACES] = pt.vector(f"{name}:{PLACES}", dtype="int64")
        outputs = net.graph.outputs(needed=[wanted], initial=initial, seed=net.seed)
        self.names = [(name, state) for name, shapes in self.shapes.items() for state in shapes]
        missing = [name for name in self.shapes if name not in outputs.final]
        if missing:
            raise ConfigurationError(f"output {wanted!r} does not depend on layer {missing[0]!r}")
        self.function = backends.function(
            [
                *net.inputs,
                *(initial[n][s] for n, s in self.names),
                *(initial[n][PLACES] for n in self.open),
            ],
            [outputs[output_name(wanted)], *(outputs.final[n][s] for n, s in self.names)],
            outputs.updates,
            mode=net.mode if mode is None else mode,
            dtype=net.dtype,
            name="continue",
            changed=[
                initial[name][state] for name, states in self.open.items() for state in states
            ],
        )

    def moved(self, to: Callable[[Any], Any]) -> Carrier:
        """Get the same on other variables: those of another network."""
        return self.by(backends.moved(self.function, to))

    def by(self, function: Any) -> Carrier:
        """Get the same by another function, which does what this one's does."""
        found = copy.copy(self)
        found.function = function
        return found

    def zeros(self, series: int) -> State:
        """Get the state at the start of series."""
        return {
            name: {
                state: np.zeros((series, *(n or 0 for n in shape)), self.dtype)
                for state, shape in shapes.items()
            }
            for name, shapes in self.shapes.items()
        }

    def check(self, state: Mapping[str, Mapping[str, Any]], series: int) -> State:
        """Complete a state by zeros, and refuse one that does not fit.

        Raises
        ------
        DataError
            If an array has a wrong shape.
        UnknownNameError
            If there is no such layer or state.
        """
        found = self.zeros(series)
        for name, parts in state.items():
            if name not in found:
                raise unknown("layer with a state", name, found)
            for key, value in parts.items():
                if key not in found[name]:
                    raise unknown(f"state of layer {name!r}", key, found[name])
                array = behaved(np.ascontiguousarray(value, dtype=self.dtype))
                expected = (series, *self.shapes[name][key])
                if len(expected) != array.ndim or any(
                    n not in (None, m) for n, m in zip(expected, array.shape, strict=True)
                ):
                    raise DataError(
                        f"state {key!r} of layer {name!r} has shape {array.shape}; expected "
                        f"{expected}"
                    )
                found[name][key] = array
        for name, parts in found.items():
            self._check_open(name, parts)
        return found

    def _check_open(self, name: str, parts: Mapping[str, Array]) -> None:
        """Refuse states of one layer, such as keys and values, of different numbers of steps."""
        if name not in self.open:
            return
        steps = {key: parts[key].shape[1] for key in self.open[name]}
        if len(set(steps.values())) > 1:
            raise DataError(
                f"state of layer {name!r}: "
                + ", ".join(f"{key!r} has {n} steps" for key, n in steps.items())
                + "; they must agree"
            )
        (found,) = set(steps.values())
        seen, kept = int(parts[COUNT].max(initial=0)), self.kept[name]
        if found < (seen if kept is None else min(seen, kept)):
            what = "" if kept is None else f", of which {kept} are needed"
            raise DataError(
                f"state of layer {name!r}: {self.open[name][0]!r} has {found} steps, but {COUNT!r} "
                f"says that a series had {seen}{what}"
            )

    def _check_most(self, arrays: list[Array], state: State) -> None:
        """Refuse steps for which a layer has nothing: compiled code would say it its own way."""
        for name, most in self.most.items():
            if len(self.holders) > 1:
                return  # it is not known which of them count
            new: Any = [arrays[i] for i in self.holders] or [arrays[0].shape[1]]
            steps = int((state[name][COUNT][:, 0] + np.ravel(new[0])).max(initial=0))
            if steps > most:
                raise DataError(
                    f"a series comes to {steps} steps, but layer {name!r} has learned the "
                    f"positions of {most} (steps={most})"
                )

    def __call__(
        self, arrays: list[Array], state: State, rooms: Rooms | None = None
    ) -> tuple[Array, State]:
        """Compute the output of the next steps, and the state after them.

        Parameters
        ----------
        arrays : list of ndarray
            Inputs.
        state : dict
            From `zeros`, `check` or the call before.
        rooms : Rooms, optional
            Where states that have a row for each step are from call to call; without it, the state
            is copied, and has no more of these than are needed.
        """
        self._check_most(arrays, state)
        mine = Rooms() if rooms is None else rooms
        more = max((array.shape[1] for array in arrays if array.ndim > 1), default=1)
        given, kept = dict(state), {}
        for name, keys in self.open.items():
            parts = state[name]
            rows = tuple([parts[key] for key in keys])
            found = kept[name] = mine.enter(name, rows, parts[COUNT], more, self.kept[name])
            given[name] = {**parts, **dict(zip(keys, found.rooms, strict=True))}
        flat = [given[name][key] for name, key in self.names]
        output, *after = self.function(*arrays, *flat, *(kept[name].places for name in self.open))
        new: State = {name: {} for name in self.shapes}
        for (name, key), value in zip(self.names, after, strict=True):
            # What has a row for each step stays where it is.
            new[name][key] = value if key in self.open.get(name, ()) else np.asarray(value)
        for name, keys in self.open.items():
            parts = new[name]
            wide = tuple([parts[key] for key in keys])
            found = mine.leave(name, kept[name], wide, parts[COUNT])
            rows = found.rows
            if rooms is None:
                rows = shortened(tuple(map(np.asarray, rows)), found.places, self.kept[name])
            parts.update(zip(keys, rows, strict=True))
        return np.asarray(output), new

    def shortened(self, state: State) -> State:
        """Get a state, of series that had equally many steps of late, without rows too many."""
        found = dict(state)
        for name, keys in self.open.items():
            parts = state[name]
            rows = tuple([np.asarray(parts[key]) for key in keys])
            places = np.minimum(parts[COUNT][:, 0].astype("int64"), rows[0].shape[1])
            rows = shortened(rows, places, self.kept[name])
            found[name] = {**parts, **dict(zip(keys, rows, strict=True))}
        return found


def carrier(net: Any, wanted: str, mode: Mode | str | None = None) -> Carrier:
    """Get a network's `Carrier`, compiled unless it was before."""
    key = ("continue", wanted, backends.mode_key(net.mode if mode is None else mode))
    return net.cached(key, lambda: Carrier(net, wanted, mode), objective=False)


def inputs_of(net: Structure, x: Any) -> tuple[list[Array], int]:
    """Get the inputs of a network as a compiled function takes them, and the number of rows."""
    fields: list[Field] = [field for field in net.fields if field.role == "input"]
    arrays = prepare(fields, x, "x")
    rows = slice(0, int(arrays[0].shape[0]))
    batch = [gather(f, a, rows, "x") for f, a in zip(fields, arrays, strict=True)]
    return sparse.flat(fields, batch), rows.stop


def refuse_other_inputs(net: Structure, what: str) -> str:
    """Get the name of the input of a network; refuse one with others, but those of lengths.

    Raises
    ------
    ConfigurationError
        If it has several inputs.
    """
    found = [str(x.name) for x in net.layers if x.is_input and not x.holds_lengths]
    if len(found) > 1:
        raise ConfigurationError(
            f"{what} takes steps for one input, but the network has {found[0]!r} and "
            f"{', '.join(map(repr, found[1:]))}"
        )
    return found[0]


class Stream:
    """Series that arrive step by step.

    A copy (`copy.copy`) goes on from the same steps by itself, by the same network; a
    `copy.deepcopy` or a pickle has the network too.

    Parameters
    ----------
    net : Network
        A recurrent network with one input.
    wanted : str
        Name of the output.
    series : int
        How many series run side by side.
    mode : str or Mode, optional
        How to compile; by default as the network says.

    Attributes
    ----------
    state : dict
        The present states, by layer and name; may be set.
    """

    def __init__(
        self, net: Any, wanted: str, series: int = 1, mode: Mode | str | None = None
    ) -> None:
        found = refuse_other_inputs(net, "a stream")
        self._lengths = [x.name for x in net.layers if x.holds_lengths]
        whole_number("series", series)
        self._made = net, wanted, series, mode
        self._call = self._carrier = carrier(net, wanted, mode)
        #: Shape of one step: none for symbols, of which a step is one.
        self._shape = net.layers[0].output_shape[1:]
        self._field = next(field for field in net.fields if field.name == found)
        self.series = series
        self._rooms = Rooms()
        self._state = self._carrier.zeros(series)

    @property
    def state(self) -> State:
        """The present states."""
        self._state = self._carrier.shortened(self._state)
        return self._state

    @state.setter
    def state(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        self._state = self._carrier.check(state, self.series)

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """Let parameters stay on a device from step to step; nobody may change them in place."""
        with backends.repeated(self._carrier.function) as function:
            self._call = self._carrier.by(function)
            try:
                yield
            finally:
                self._call = self._carrier

    def __reduce__(self) -> Any:
        # What is compiled is the network's, and is found or made there.
        state = {
            name: {key: value.copy() for key, value in parts.items()}
            for name, parts in self.state.items()
        }
        return _resumed, (*self._made, state)

    def reset(self, which: Any = slice(None)) -> None:
        """Start series anew: all, or those of some indices.

        Raises
        ------
        DataError
            If there is no such series.
        """
        try:
            np.empty(self.series)[which]
        except IndexError as error:
            raise DataError(
                f"which={which!r} are not indices of {self.series} series: {error}"
            ) from None
        for parts in self.state.values():
            for key, value in parts.items():
                fresh = value.copy()
                fresh[which] = 0
                parts[key] = fresh

    def step(self, x: Any) -> Array:
        """Take one step of each series, and get the output for it.

        Parameters
        ----------
        x : array_like of shape (series, variables)
            The step; of a single series (variables) will do. Where the input
            is one of symbols: integers of shape (series), or one alone.

        Returns
        -------
        ndarray of shape (series, outputs), or (outputs)

        Raises
        ------
        DataError
            If it has another shape, or values that the input cannot have.
        """
        row = plain(x)
        alone = self.series == 1 and row.shape == self._shape
        row = row[None] if alone else row
        if row.shape != (self.series, *self._shape):
            raise DataError(f"x has shape {row.shape}; expected {(self.series, *self._shape)}")
        row = behaved(coerce(self._field, row[:, None], "x"))
        ones = [np.ones(self.series, "int32") for _ in self._lengths]
        # One step of this stream at a time.
        call = self._call
        held = self._carrier.function.held
        with held(lambda: call([row, *ones], self._state, self._rooms)) as found:
            output, self._state = found
        output = output[:, 0] if output.ndim == 3 else output
        return output[0] if alone else output


def _resumed(net: Any, wanted: str, series: int, mode: Mode | str | None, state: State) -> Stream:
    """Get a stream that goes on from a state."""
    found = Stream(net, wanted, series, mode)
    found.state = state
    return found
