"""Values and gradients of a loss for arrays, without a network."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode

from .. import backends, process
from ..errors import DataError, check_weights, unknown
from ..options import Configured
from ..outputs import Outputs

if TYPE_CHECKING:
    from .base import Loss

Array = npt.NDArray[Any]

#: Nothing is compiled, and only what is computed twice is rewritten: the first call is
#: quick, and what comes out is what the formula says.
MODE = Mode(linker="py", optimizer="merge")


class Numeric(Configured):
    """Numbers of a loss, for arrays; see `theanets.Loss`."""

    _functions: dict[Any, Any]

    def value(self, output: Any, target: Any, weights: Any = None) -> Any:
        """Compute the loss of arrays.

        Parameters
        ----------
        output : array_like, or tuple or dict of these
            The output, examples along the first axis. Losses on several
            outputs take them in the order of `output_names`, or by name.
        target : array_like
            The target; class labels are integers.
        weights : array_like, optional
            Weights of the target's shape, or without some trailing axes, or
            with length 1 there.

        Returns
        -------
        scalar, or ndarray if the reduction is ``'none'``
            float32 if the outputs are, else float64.

        Raises
        ------
        DataError
            If shapes do not fit, a label is out of range, or a number is NaN,
            infinite or outside of the loss's domain, unless its weight is 0.
        """
        return _evaluate(self, output, target, weights, gradient=False)

    def gradient(self, output: Any, target: Any, weights: Any = None) -> Any:
        """Compute the gradient of the loss with respect to the output.

        Parameters
        ----------
        output, target, weights
            See `value`.

        Returns
        -------
        ndarray of the output's shape, or tuple of these for several outputs
            If the reduction is ``'none'``, the gradient of the errors' sum.

        Raises
        ------
        DataError
            See `value`.
        """
        return _evaluate(self, output, target, weights, gradient=True)

    def label_range(self, classes: int) -> tuple[int, int]:
        """Get the first valid label, and the one after the last."""
        return 0, classes

    def limits(self) -> dict[str, tuple[float | None, float | None]]:
        """Get the least and the greatest valid number for ``'target'`` and for outputs."""
        return {}

    @property
    def array_names(self) -> list[str]:
        """Names of the arrays that `value` takes as the output."""
        raise NotImplementedError

    def array_shapes(self, arrays: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
        """Get the shape of one example of each output from the arrays that `value` takes."""
        return {name: array.shape[1:] for name, array in arrays.items()}

    def options_key(self) -> Hashable:
        """Get what the compiled formula depends on."""
        found = ((key, getattr(self, key)) for key in self.valid_options())
        return tuple((key, repr(np.asarray(v).tolist())) for key, v in found)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_functions": {}}


def _evaluate(loss: Any, output: Any, target: Any, weights: Any, gradient: bool) -> Any:
    """Compute a loss, or its gradient, for arrays.

    Parameters
    ----------
    loss : Loss
        The loss.
    output, target, weights : array_like
        See `Loss.value`.
    gradient : bool
        Whether to compute the gradient with respect to the output.

    Returns
    -------
    scalar, ndarray or tuple of ndarrays
    """
    names = loss.array_names
    outputs = _outputs(loss, output, names)
    shapes = loss.array_shapes(dict(zip(names, outputs, strict=True)))
    target, labels = _target(loss, outputs[0], shapes, target)
    seen = np.ones(target.shape, bool)
    if weights is not None:
        weights = _weights(loss, weights, target, outputs[0].dtype)
        seen &= weights != 0
    if labels:
        seen &= _check_labels(loss, target, shapes[loss.output_name][-1])
    _check(loss, "target", target, seen)
    for name, array in zip(names, outputs, strict=True):
        _check(loss, name, array, seen)
    arrays = [*outputs, target] + ([] if weights is None else [weights])
    key = (gradient, loss.options_key(), *((a.dtype.str, a.shape[1:]) for a in arrays))
    function = loss._functions.get(key)
    if function is None:
        function = loss._functions[key] = _compile(loss, names, arrays, gradient)
    results = [np.asarray(r) for r in function(*arrays)]
    if gradient:
        return results[0] if len(results) == 1 else tuple(results)
    return results[0][()]


def _compile(loss: Loss, names: Sequence[str], arrays: Sequence[Array], gradient: bool) -> Any:
    dtype = str(arrays[0].dtype)
    labels = [*names, "target", "weights"]
    with process.building(dtype):
        variables = [
            pt.TensorType(str(array.dtype), (None, *array.shape[1:]))(name)
            for name, array in zip(labels, arrays, strict=False)
        ]
        count = len(names)
        twin = copy.copy(loss)
        twin.bind(*variables[count:])
        outputs = Outputs(dict(zip(names, variables, strict=False)))
        if loss.reduction == "none":
            result = twin.weighted_errors(outputs)[0]
        else:
            result = twin(outputs)
        if gradient:
            total = result.sum() if result.ndim else result
            results = pytensor.grad(total, variables[:count], disconnected_inputs="ignore")
        else:
            results = [result]
    return backends.function(variables, results, mode=MODE, dtype=dtype)


def _outputs(loss: Loss, output: Any, names: Sequence[str]) -> list[Array]:
    """Get one array for each output of the loss, all of one type, float32 or float64."""
    if isinstance(output, Mapping):
        full = {key if ":" in key else f"{key}:out": value for key, value in output.items()}
        for name in full:
            if name not in names:
                raise unknown(f"output of loss {loss.name!r}", name, names)
        given = [full[name] for name in names if name in full]
    elif len(names) > 1:
        given = list(output) if isinstance(output, (tuple, list)) else [output]
    else:
        given = [output]
    if len(given) != len(names):
        raise DataError(
            f"loss {loss.name!r} takes {len(names)} outputs, {', '.join(names)}, as a tuple or "
            f"a dict; got {len(given)}"
        )
    arrays = [np.asarray(array) for array in given]
    for name, array in zip(names, arrays, strict=True):
        if array.dtype.kind not in "biuf" or not array.ndim or not array.size:
            raise DataError(
                f"output {name!r} has shape {array.shape} and dtype {array.dtype}; expected "
                "numbers, of at least one example along the first axis"
            )
    rows = {len(array) for array in arrays}
    if len(rows) > 1 and list(names) == list(loss.output_names):
        shapes = ", ".join(f"{n!r} has shape {a.shape}" for n, a in zip(names, arrays, strict=True))
        raise DataError(f"loss {loss.name!r}: {shapes}; expected as many rows in each")
    floats = [array.dtype for array in arrays if array.dtype.kind == "f"]
    single = floats and np.result_type(*floats, np.float32) == np.float32
    dtype = np.float32 if single else np.float64
    return [array.astype(dtype, copy=False) for array in arrays]


def _target(
    loss: Loss, first: Array, shapes: Mapping[str, tuple[int, ...]], target: Any
) -> tuple[Array, bool]:
    """Get the target, and whether it is class labels."""
    array = np.asarray(target)
    expected = []
    for labels in (True, False):
        if labels and not loss.accepts_labels:
            continue
        shape = (
            len(first),
            *loss.target_shape(lambda name: shapes[name], labels),
        )
        fits = array.ndim == len(shape) and all(
            b is None or a == b for a, b in zip(array.shape, shape, strict=True)
        )
        if fits and array.dtype.kind in ("biu" if labels else "biuf"):
            return array.astype(np.int32 if labels else first.dtype, copy=False), labels
        expected.append(f"{'integers' if labels else 'numbers'} of shape {shape}")
    raise DataError(
        f"loss {loss.name!r}: target has shape {array.shape} and dtype {array.dtype}; expected "
        + " or ".join(expected)
    )


def _weights(loss: Loss, weights: Any, target: Array, dtype: Any) -> Array:
    given = np.asarray(weights)
    if given.dtype.kind in "iuf":
        check_weights(given, dtype, f"loss {loss.name!r}: the array of weights")
    array = np.asarray(given, dtype=dtype)
    full = array.reshape(array.shape + (1,) * (target.ndim - array.ndim))
    try:
        spread = np.broadcast_to(full, target.shape)
    except ValueError:
        raise DataError(
            f"loss {loss.name!r}: weights have shape {array.shape}, which does not broadcast to "
            f"the target's, {target.shape}; they may lack trailing axes"
        ) from None
    if not np.isfinite(array).all():
        raise DataError(f"loss {loss.name!r}: weights are not all finite")
    return np.ascontiguousarray(spread)


def _check_labels(loss: Loss, target: Array, classes: int) -> Array:
    """Refuse labels out of range; get which ones count."""
    ignore = getattr(loss, "ignore_index", None)
    counts = np.ones(target.shape, bool) if ignore is None else target != ignore
    low, high = loss.label_range(classes)
    wrong = counts & ((target < low) | (target >= high))
    if wrong.any():
        extra = "" if ignore is None else f" or {ignore}"
        raise DataError(
            f"loss {loss.name!r}: target has the label {target[wrong][0]}; valid is "
            f"[{low}, {high}){extra}"
        )
    return counts


def _check(loss: Loss, name: str, array: Array, seen: Array) -> None:
    """Refuse NaN, inf and values that the formula has no meaning for, where they count."""
    if array.dtype.kind != "f":
        return
    counts: Array
    if array.shape[: seen.ndim] == seen.shape:
        counts = seen.reshape(seen.shape + (1,) * (array.ndim - seen.ndim))
    elif len(array) == len(seen):
        rows = seen.reshape(len(seen), -1).any(axis=1)
        counts = rows.reshape((-1,) + (1,) * (array.ndim - 1))
    else:
        counts = np.ones((1,) * array.ndim, bool)
    low, high = loss.limits().get(name, (None, None))
    wrong = ~np.isfinite(array)
    with np.errstate(invalid="ignore"):
        if low is not None:
            wrong |= array < low
        if high is not None:
            wrong |= array > high
    wrong &= counts
    if wrong.any():
        span = f"[{'-inf' if low is None else low:}, {'inf' if high is None else high}]"
        where = [int(i) for i in np.argwhere(wrong)[0]]
        raise DataError(
            f"loss {loss.name!r}: {name} has {array[tuple(where)]} at {where}; expected finite "
            f"numbers in {span}, except where weights are 0"
        )
