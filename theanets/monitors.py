"""Monitors: named quantities that are watched, aggregated exactly over batches.

A monitor is a pair of scalar expressions, a sum and a count. Sums and counts
of all batches are added up before one is divided by the other, so that a last,
smaller batch counts for what it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pytensor.tensor as pt

from . import names as _names
from .errors import ConfigurationError
from .expressions import Expression, applied
from .layers.time import existing_terms
from .losses import Loss
from .outputs import Outputs

Terms = dict[str, tuple[Any, Any]]

#: Names of monitors that every network has.
RESERVED = ("loss", "err", "objective", "acc")
#: Which of two values of a monitor is better.
DIRECTIONS = ("min", "max")


def improves(figure: float, last: float, fraction: float = 0.0) -> bool:
    """Tell whether a figure, of which less is better, is better by more than a fraction.

    Parameters
    ----------
    figure : float
        The figure; one that is not finite is no improvement.
    last : float
        What to improve on; on one that is not finite, any does.
    fraction : float
        The part of the absolute value of ``last`` by which the figure has to be less.
    """
    if not math.isfinite(figure):
        return False
    return not math.isfinite(last) or last - figure > abs(last) * fraction


def loss_names(losses: Sequence[Loss]) -> list[str]:
    """Get a distinct name for each loss.

    A loss is called by its form. Of several of one form, each has its output
    with it, ``'mae:b'``, and then its target, and then a number. So has one
    whose form is the name of another monitor, for instance a function
    ``loss``.
    """
    plain = [loss.name for loss in losses]
    output = [
        f"{loss.name}:{loss.output_name.removesuffix(':out').replace(':', '.')}" for loss in losses
    ]
    target = [f"{o}:{loss.target_name or 'target'}" for o, loss in zip(output, losses, strict=True)]
    result: list[str] = []
    for i, loss in enumerate(losses):
        main = loss.main or len(losses) == 1
        for names in (plain, output, target):
            clear = names is not plain or (main and plain[i] not in RESERVED)
            if clear and names.count(names[i]) == 1:
                result.append(names[i])
                break
        else:
            result.append(f"{target[i]}:{target[:i].count(target[i]) + 1}")
    return result


def accuracies(losses: Sequence[Loss], outputs: Outputs) -> Terms:
    """Get the accuracy of each output that is compared with class labels, or with decisions.

    Decisions are the targets of losses such as ``'bce'``; each entry is one.

    Returns
    -------
    dict
        ``'acc'`` for the network's output, else ``'acc:<layer>'``.
    """
    found: Terms = {}
    for loss in losses:
        terms = loss.accuracy_terms(outputs)
        key = "acc" if loss.main else f"acc:{loss.output_name.removesuffix(':out')}"
        if terms is not None and key not in found:
            found[key] = terms
    return found


def custom(spec: Any, outputs: Outputs, params: Sequence[Any], batch: Expression) -> Terms:
    """Get the monitors that a user asks for.

    Parameters
    ----------
    spec : dict, or list of pairs
        From glob patterns over outputs (``'hid1:out'``) and parameters
        (``'hid1.w'``) to what is watched of all that match: a number or list
        of numbers (the fraction of entries below each, named ``'x<0.1'`` for a
        pattern ``'x'``, ``'x:out<0.1'`` for ``'x:out'`` and ``'*:out'``), a
        callable (named ``'x:function'``), a pair ``(label, callable)``, or a
        dict from labels to callables; None for what matches itself. A callable
        maps the expression to an expression, whose mean is watched. Of an
        output with series of different lengths it has to give a value for each
        entry, so that only steps that exist count. A scalar of other outputs is
        that of each batch, averaged by their examples.
    outputs : Outputs
        Expressions by full name.
    params : list
        Parameters.
    batch : scalar expression
        Number of examples.

    Returns
    -------
    dict

    Raises
    ------
    ConfigurationError
        If a pattern matches nothing, or a value has no meaning.
    """
    every = {**dict(outputs), **{p.name: p for p in params}}
    pairs = spec.items() if isinstance(spec, Mapping) else spec
    if not isinstance(pairs, Iterable) or isinstance(pairs, str):
        raise ConfigurationError(
            f"monitors={spec!r} is neither a dict from patterns to what is watched, nor a list "
            "of pairs"
        )
    found: Terms = {}
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ConfigurationError(f"monitors: {pair!r} is not a pair (pattern, what)")
        pattern, what = pair
        for name, called in _matching(pattern, every).items():
            for label, function in _watched(what):
                value = applied(function, [every[name]], f"monitor {name + label!r}")
                lengths = outputs.lengths.get(name)
                if lengths is not None:
                    what = f"monitor {name + label!r}"
                    term = existing_terms(value, every[name], lengths, what)
                    found[f"{name.removesuffix(':out')}{label}"] = term
                    continue
                value = value.astype(_dtype(every[name]))
                count = value.size.astype(value.dtype) if value.ndim else batch
                total = value.sum() if value.ndim else value * batch
                found[f"{called}{label}"] = (total, count)
    return found


def _dtype(x: Expression) -> str:
    return x.dtype if x.dtype.startswith("float") else "float64"


def _matching(pattern: Any, every: Iterable[str]) -> dict[str, str]:
    """Get what matches, and how it is called: without ``:out`` where the pattern is."""
    found: dict[str, str] = {}
    for part in _names.split_patterns(pattern):
        direct = _names.match([part], every)
        completed = direct or _names.match_some("monitor", _names.output_name(part), every)
        for name in completed:
            found.setdefault(name, name if direct else name.removesuffix(":out"))
    return found


def _watched(what: Any) -> list[tuple[str, Callable[[Any], Any]]]:
    if what is None:
        return [("", lambda x: x)]
    if isinstance(what, (np.ndarray, range)):
        what = list(np.atleast_1d(what))
    if isinstance(what, Mapping):
        return [_labelled(label, function) for label, function in what.items()]
    if callable(what):
        return [(f":{getattr(what, '__name__', type(what).__name__)}", what)]
    if isinstance(what, Real) and not isinstance(what, bool):
        return [(f"<{float(what):g}", _below(float(what)))]
    if isinstance(what, (tuple, list)):
        if len(what) == 2 and isinstance(what[0], str):
            return [_labelled(*what)]
        return [pair for item in what for pair in _watched(item)]
    raise ConfigurationError(
        f"monitors: {what!r} is not a number, a callable, a pair (label, callable), "
        "a dict or a list of these"
    )


def _labelled(label: Any, function: Any) -> tuple[str, Callable[[Any], Any]]:
    if not callable(function):
        raise ConfigurationError(f"monitors: {function!r}, labelled {label!r}, is not callable")
    return f":{label}", function


def _below(level: float) -> Callable[[Any], Any]:
    return lambda x: pt.lt(x, level)
