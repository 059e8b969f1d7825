"""Prediction: outputs of a network for data, computed in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pytensor.compile.mode import Mode

from . import backends, process
from . import rng as _rng
from .data import Field, Ready, chunks, gather, prepare, resident, sparse
from .data.batches import FEW
from .data.tables import plain, refuse_dask
from .errors import DataError, check_keywords
from .expressions import placeholder
from .metrics.agreement import check_targets, r2
from .names import output_name
from .ops.sparse import is_sparse
from .options import flag, whole_number
from .regularizers import Regularizer, from_kwargs, keywords
from .structure import Snapshot, Structure
from .structure.forward import Compiled

Array = npt.NDArray[Any]
#: Refuses arrays, given by name.
Check: TypeAlias = Callable[[Mapping[str, Any]], None]
#: Makes something of outputs by name.
Then: TypeAlias = Callable[[dict[str, Array]], Any]

#: Rows that are computed at once, where the caller does not say.
BATCH_SIZE = 4096
#: Parts from how many on, and of how many rows, are computed in one call where a linker can.
FEW_PARTS, SMALL_PART = 4, 1024
#: Keywords of ``predict`` and the like besides those of regularizers.
OPTIONS = ("batch_size", "rng", "mode", "training")


class Exactly(int):
    """A number of rows that are computed at once in any case, some of them for nothing."""


class Plan:
    """How some outputs are computed: what is found out once for a structure.

    Parameters
    ----------
    net : Structure
        The network; it is not held.
    wanted : tuple of str or None
        Full names of the outputs.
    noise : list of Regularizer
        Noise to put in the graph. Plans for other strengths of it have the function
        in common.
    given : str or None
        The output that stands for the inputs.
    mode : str or Mode or None
        How to compile.
    training : bool
        Whether layers show their training form.
    """

    def __init__(
        self,
        net: Any,
        wanted: tuple[str, ...] | None,
        noise: Sequence[Regularizer],
        given: str | None,
        mode: Mode | str | None,
        training: bool,
    ) -> None:
        for name in wanted or ():
            net.graph.shape(name)
        self._asked = wanted, noise, given, mode, training
        self._noise = list(noise)
        self._least = max(layer.least_examples for layer in net.layers) if training else 1
        self.check: Callable[[Sequence[Any], str], None] | None = None
        self.check_lengths: Check | None = None
        if given is None:
            self.fields = [f for f in net.fields if f.role == "input"]
            self.check = net.sizes(self.fields)
            self.check_lengths = net._length_check()
        else:
            name = output_name(given)
            self.fields = [Field(name, "input", net.dtype, net.graph.shape(name))]
        self.ready = Ready(self.fields)
        self.compiled: Compiled | None = None

    def compile(self, net: Structure) -> Compiled:
        """Get the function, compiled unless it was before; data should fit by then."""
        if self.compiled is None:
            wanted, noise, given, mode, training = self._asked
            kinds = tuple([r.cache_key() for r in noise])

            def make() -> Compiled:
                replaced = {} if given is None else {output_name(given): _variable(net, given)}
                return Compiled(net, wanted, noise, replaced, mode, training)

            key = ("compiled", wanted, given, training, kinds, backends.mode_key(mode))
            self.compiled = net.cached(key, make, objective=False)
        return self.compiled

    def moment(self, net: Structure) -> Any:
        """Keep all parameters of a network as they are, while this is run, maybe several times."""
        return process.moment(self.compile(net).function, [*net.params, *net.state])

    def run(
        self,
        net: Structure,
        x: Any,
        where: str = "x",
        size: int | None = None,
        rng: Any = None,
        arrays: list[Any] | None = None,
        then: Then | None = None,
    ) -> Any:
        """Compute the outputs for some data, see `compute`.

        Parameters
        ----------
        net : Structure
            The network, of the structure that the plan was made for.
        x : array_like, list or dict
            Inputs.
        where : str
            What they are called in messages.
        size : int or Exactly, optional
            Rows to compute at once.
        rng : optional
            Starts the noise anew.
        arrays : list, optional
            What `ready` finds in ``x``.
        then : callable, optional
            Makes something of the outputs, with the parameters that they were computed with.
        """
        if then is not None:
            with self.moment(net):
                return then(self.run(net, x, where, size, rng, arrays))
        exact = isinstance(size, Exactly)
        size = BATCH_SIZE if size is None else whole_number("batch_size", size)
        arrays = self.ready(x) if arrays is None else arrays
        quick = arrays is not None and rng is None and not self._noise
        padded = False
        if arrays is None:
            refuse_dask(x, where)
            padded, x = with_a_row(x)
            arrays = prepare(self.fields, x, where)
        if self.check is not None:
            self.check([array.shape[1:] for array in arrays], where)
        if self.check_lengths is not None:
            self.check_lengths(dict(zip([f.name for f in self.fields], arrays, strict=True)))
        rows = int(arrays[0].shape[0])
        if not padded and min(rows, size) < self._least:
            few = FEW.format(self._least)
            raise DataError(
                f"{where}: batches of {min(rows, size)} row with training=True, but {few}"
            )
        compiled = self.compiled or self.compile(net)
        if quick and (rows == size or (rows < size and not exact)):
            results = compiled.function(*arrays)
        else:
            parts: list[Any] = list(chunks(rows, size, self._least))
            if exact:
                # The last row again and again.
                parts = [np.minimum(np.arange(p.start, p.start + size), rows - 1) for p in parts]
            seed = None if rng is None else _rng.as_seed(rng)
            results = self._by_parts(compiled, arrays, where, parts, seed)
        stop = 0 if padded else rows
        return {
            name: np.asarray(array)[:stop]
            for name, array in zip(compiled.wanted, results, strict=True)
        }

    def _by_parts(
        self,
        compiled: Compiled,
        arrays: Sequence[Any],
        where: str,
        parts: Sequence[Any],
        seed: int | None,
    ) -> Any:

        def batch(part: Any) -> list[Array]:
            each = zip(self.fields, arrays, strict=True)
            return sparse.flat(self.fields, [gather(f, a, part, where) for f, a in each])

        def begin(call: Callable[..., Any], *arguments: Any) -> Any:
            compiled.strengths.assign((), self._noise, 1)
            if seed is not None:
                compiled.generators.reseed(seed)
            return call(*arguments)

        function = compiled.function
        if len(parts) == 1:
            if seed is None and not self._noise:
                return function(*batch(parts[0]))
            with function.held(partial(begin, function, *batch(parts[0]))) as found:
                return found
        # Parameters of one moment, and noise of one strength and one seed.
        together = self._together(compiled, arrays, parts)
        if together is not None:
            every = np.arange(arrays[0].shape[0])
            rows = [(part if isinstance(part, np.ndarray) else every[part], None) for part in parts]
            with function.held(partial(begin, together, rows)) as results:
                pass
        else:
            beginning = batch(parts[0])
            with (
                backends.repeated(function) as call,
                function.held(partial(begin, call, *beginning)) as first,
            ):
                results = [first, *(call(*batch(part)) for part in parts[1:])]
        return map(np.concatenate, zip(*results, strict=True))

    def _together(
        self, compiled: Compiled, arrays: Sequence[Any], parts: Sequence[Any]
    ) -> Callable[..., Any] | None:
        """Get what computes many parts in a call, where that is a gain."""
        # Large ones take so long that nobody waits for the calls.
        if len(parts) < FEW_PARTS or arrays[0].shape[0] / len(parts) > SMALL_PART:
            return None
        found = resident(self.fields, arrays)
        return None if found is None else backends.fused(compiled.function, found)


def compute(
    net: Any,
    x: Any,
    wanted: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    given: str | None = None,
    where: str = "x",
    snapshot: Snapshot | None = None,
    then: Then | None = None,
) -> Any:
    """Compute outputs of a network.

    Parameters
    ----------
    net : Network
        The network.
    x : array_like, list or dict
        Inputs: one array, or several in order or by name.
    wanted : list of str, optional
        Names of outputs; by default all, with the clean ones of those that
        have noise.
    options : dict, optional
        What the user may say:

        - ``batch_size``: rows to compute at once; 4096 by default;
        - ``rng``: an int, Generator or RandomState starts the noise anew;
          without it, noise goes on where the last call stopped;
        - ``mode``: how to compile; by default as the network says;
        - ``training``: whether layers show their training form;
        - noise at prediction time, see `theanets.regularizers.from_kwargs`.
          Penalties have no meaning here and are ignored.
    given : str, optional
        Name of an output that ``x`` holds, instead of the inputs.
    where : str
        What the data are called in messages.
    snapshot : Snapshot, optional
        That of the network, if it was asked for just now.
    then : callable, optional
        What makes something of the outputs by parameters, which are those of the same moment.

    Returns
    -------
    dict of str to ndarray, or what ``then`` makes of it
        Arrays with a row for each of ``x``; there may be none.

    Raises
    ------
    DataError
        If ``x`` does not have the form that the network needs, or too few
        rows for a layer that compares them.
    ConfigurationError
        If an output does not exist, or a keyword is unknown.
    """
    found, size, rng = look_up(net, wanted, options, given, snapshot)
    return found.run(net, x, where, size, rng, then=then)


def look_up(
    net: Any,
    wanted: Sequence[str] | None,
    options: Mapping[str, Any] | None,
    given: str | None = None,
    snapshot: Snapshot | None = None,
) -> tuple[Plan, Any, Any]:
    """Get how outputs are computed, and the options ``batch_size`` and ``rng``; see `compute`."""
    size = rng = mode = None
    training = False
    noise: Sequence[Regularizer] = ()
    if options:
        options = dict(options)
        valid = [*OPTIONS, *keywords()]
        check_keywords("prediction", set(options) - set(valid), valid)
        size, rng, mode, training = (options.pop(key, None) for key in OPTIONS)
        training = training is not None and flag("training", training, "prediction")
        found = from_kwargs(net.layers, **options)[0] if options else []
        noise = [r for r in found if type(r).modify_graph is not Regularizer.modify_graph]
    mode = net.mode if mode is None else mode
    return plan(net, wanted, mode, noise, given, snapshot, training), size, rng


def compute_one(net: Any, x: Any, wanted: str, options: Mapping[str, Any], **given: Any) -> Array:
    """Compute one output of a network, as its own `compute` does."""
    found: Array = net._outputs(x, [wanted], options, **given)[output_name(wanted)]
    return found


def plan(
    net: Any,
    wanted: Sequence[str] | None,
    mode: Mode | str | None,
    noise: Sequence[Regularizer] = (),
    given: str | None = None,
    snapshot: Snapshot | None = None,
    training: bool = False,
) -> Plan:
    """Get how outputs are computed, found out unless it was before; see `Plan`."""
    names = None if wanted is None else tuple(map(output_name, wanted))
    of_noise = tuple([(r.cache_key(), r.weight) for r in noise]) if noise else ()
    found: Plan = net.cached(
        ("predict", names, given, training, of_noise, backends.mode_key(mode)),
        lambda: Plan(net, names, noise, given, mode, training),
        objective=False,
        snapshot=snapshot,
    )
    return found


def with_a_row(x: Any) -> tuple[bool, Any]:
    """Put one row of zeros into arrays that have no rows; tell whether that was done.

    Not all that a network computes is defined for no rows at all.
    """
    several = isinstance(x, (Mapping, list, tuple)) and not is_sparse(x)
    arrays = list(x.values() if isinstance(x, Mapping) else x) if several else [x]
    shapes: list[tuple[int, ...]] = [getattr(array, "shape", ()) for array in arrays]
    if not shapes or not all(len(shape) > 1 and shape[0] == 0 for shape in shapes):
        return False, x
    rows = [
        np.zeros((1, *shape[1:]), plain(array).dtype)
        for array, shape in zip(arrays, shapes, strict=True)
    ]
    if isinstance(x, Mapping):
        return True, dict(zip(x, rows, strict=True))
    return True, rows if several else rows[0]


def _variable(net: Structure, name: str) -> Any:
    name = output_name(name)
    shape = net.graph.shape(name)
    with process.building(net.dtype):
        return placeholder(name, net.dtype, (None, *shape))


def score(net: Any, predicted: Array, y: Any, w: Any) -> float:
    """Get R squared of predictions, or the share of decisions that are right.

    See `theanets.Network.score`.
    """
    bounds = None
    loss = next((loss for loss in net.losses if loss.output_name == net.output_name), None)
    if loss is not None:
        predicted = loss.point(predicted)
        bounds = loss.bounds(net.output_layer.log_odds_output is not None)
    if bounds is not None and not net._decides:
        # Log-odds say values as well, the probabilities.
        predicted = (1 + np.tanh(predicted / 2)) / 2 if bounds == (0, 0.5) else predicted
        bounds = None
    y, w = check_targets(y, w, predicted.shape)
    if bounds is None:
        return r2(y, predicted, w)
    return float(np.average((predicted > bounds[0]) == (y > bounds[1]), weights=w))
