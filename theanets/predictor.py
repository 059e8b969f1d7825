"""Predictions again and again, by what was looked up before: what a service keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from pytensor.compile.mode import Mode

from . import prediction
from .errors import ConfigurationError, DataError
from .names import output_name
from .options import whole_number
from .prediction import Exactly
from .registry import is_ours
from .structure import Snapshot

Array = npt.NDArray[Any]


class PredictFunction:
    """A function from inputs to predictions of a network; `theanets.Network.predictor` makes it.

    Parameters
    ----------
    net, outputs, batch, mode
        See there.
    """

    def __init__(self, net: Any, outputs: Any, batch: int | None, mode: Mode | str | None) -> None:
        self._net, self._asked = net, (outputs, batch, mode)
        several = isinstance(outputs, (list, tuple))
        self._names: list[str] | None = None
        if outputs is not None:
            self._names = list(outputs) if several else [outputs]
            if not self._names:
                raise ConfigurationError(
                    f"outputs={outputs!r} names none; expected the name of an output, such as "
                    "'hid1', a list of these, or None for what predict() gives"
                )
        self._several = several
        self._size = None if batch is None else Exactly(whole_number("batch", batch))
        self._mode = net.mode if mode is None else mode
        self._options = {"batch_size": self._size, "mode": mode}
        self._options = {key: value for key, value in self._options.items() if value is not None}
        self._found = self._find()
        self._warm_up()

    def __call__(self, x: Any) -> Any:
        """Compute predictions.

        Parameters
        ----------
        x : array_like, list or dict
            Inputs, as for `theanets.Network.predict`.

        Returns
        -------
        ndarray, or dict of str to ndarray
            See `theanets.Network.predictor`.

        Raises
        ------
        DataError
            If ``x`` does not have the form that the network needs.
        UnknownNameError
            If the network was changed, and has no such output any more.
        """
        snapshot, plan, finish = self._found
        if not snapshot.holds(self._net):
            snapshot, plan, finish = self._found = self._find()
        arrays = None if plan is None else plan.ready(x)
        if plan is None or arrays is None:
            # There is something to be done first, maybe by rules of the kind of network.
            if self._names is None:
                return self._net.predict(x, **self._options)
            found = self._net._outputs(x, self._names, {**self._options, "mode": self._mode})
        else:
            found = plan.run(self._net, x, size=self._size, arrays=arrays)
            if self._names is None:
                (only,) = found.values()
                return only if finish is None else finish(only)
        if self._several:
            return {name: found[output_name(name)] for name in self._names}
        return found[output_name(self._names[0])]

    def _find(self) -> tuple[Snapshot, prediction.Plan | None, Callable[[Array], Array] | None]:
        """Look up all that a call needs; no plan where the network's method has to be asked."""
        net, finish = self._net, None
        snapshot, wanted = net.snapshot(), self._names
        if wanted is None:
            # A class of the user's may have its own idea of a prediction.
            owner = next(cls for cls in type(net).__mro__ if "predict" in vars(cls))
            usual = net._usual_prediction(snapshot) if is_ours(owner) else None
            if usual is None:
                return snapshot, None, None
            wanted, finish = [usual[0]], usual[1]
        plan = prediction.plan(net, wanted, self._mode, snapshot=snapshot)
        plan.compile(net)
        return snapshot, plan, finish

    def _warm_up(self) -> None:
        """Call it, as some linkers compile at the first call."""
        fields = [f for f in self._net.fields if f.role == "input"]
        rows = 1 if self._size is None else self._size
        ones = [np.zeros((rows, *(n or 1 for n in f.shape)), f.dtype) for f in fields]
        try:
            self(ones if len(ones) > 1 else ones[0])
        except DataError:
            # Of an axis that may have any length, one may not do.
            if not any(None in f.shape for f in fields):
                raise

    def __reduce__(self) -> Any:
        return type(self), (self._net, *self._asked)

    def __repr__(self) -> str:
        outputs, batch, mode = self._asked
        return f"<predictor outputs={outputs!r} batch={batch} mode={mode!r} of {self._net!r}>"


def make(
    net: Any,
    outputs: str | list[str] | tuple[str, ...] | None = None,
    *,
    batch: int | None = None,
    mode: Mode | str | None = None,
) -> PredictFunction:
    """Get a function that predicts, for a service that answers many calls.

    It takes what `predict` takes, with the same checks, and gives the same. All that a call
    needs is looked up, compiled, and where the sizes of inputs are known called once, before
    this returns. Any number of threads may call it.

    Parameters
    ----------
    outputs : str or list of str, optional
        The outputs to compute: ``'out'`` is what `predict_proba` of a classifier gives,
        ``'hid1'`` what `encode` gives of that layer. By default what `predict` gives.
    batch : int, optional
        Compute exactly so many rows at a time, the last of them again and again where there are
        fewer: for JAX, which compiles anew for each number of rows. By default all that there
        are, up to 4096 at a time.
    mode : str or Mode, optional
        How to compile; by default as the network says by now.

    Returns
    -------
    callable
        ``f(x)`` returns an array with a row for each of ``x``; where ``outputs`` is a list, a
        dict of these by the names in it. It is of the network, not a copy: it has the parameters
        that the network has at the time of a call, also while another thread trains. Where the
        structure has changed, by another layer or another activation, it is that of the network
        as it is now, which the next call compiles.

    Raises
    ------
    ConfigurationError
        If ``batch`` or ``mode`` has no meaning.
    UnknownNameError
        If there is no such output.

    Examples
    --------
    At the start of a service::

        classes = net.predictor()
        probabilities = net.predictor("out")
    """
    return PredictFunction(net, outputs, batch, mode)
