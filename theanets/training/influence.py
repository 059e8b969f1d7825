"""Whether data have an influence on the losses: refused or said where they have none.

And what losses learn from all targets before the first step.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytensor.tensor as pt

from .. import backends, process, series_lengths
from ..data import Dataset
from ..errors import ConfigurationError, DataError
from ..losses import Loss
from ..losses.ctc import ConnectionistTemporalClassification as CTC
from ..losses.ctc import fit
from ..losses.factors import Factors
from ..structure import Structure
from .counts import MODE, SIZE, of_data
from .task import Datasets, Task

Array = npt.NDArray[Any]


class Compiled(NamedTuple):
    """What finds out about a batch, for the losses whose numbers are given.

    Attributes
    ----------
    weighed, aligned : tuple of int
        The losses that some entries may have no influence on, and those of
        labels that have to fit in their series.
    weights, labels : callable or None
        Map a batch to whether any entry counts, for each of the former, and
        to labels and numbers of frames, for each of the latter.
    """

    weighed: tuple[int, ...]
    weights: Any
    aligned: tuple[int, ...]
    labels: Any

    def moved(self, to: Callable[[Any], Any]) -> Compiled:
        """Get the same on other variables: those of another network."""
        weights, labels = (
            function and backends.moved(function, to) for function in (self.weights, self.labels)
        )
        return self._replace(weights=weights, labels=labels)


def check(
    task: Task, data: Datasets, everyone: Callable[[Array], Array] = lambda seen: seen
) -> None:
    """Refuse data to train or validate on that have no influence on any loss.

    An entry has none whose weight is 0, be it that of the data, of its class or
    of a step that does not exist, or whose label is the one to ignore; and
    labels have none that cannot be aligned with their series. Batches of such
    are as good as others: it is all the data that are looked at, and of those
    that come in batches only whether labels fit, batch by batch.

    Parameters
    ----------
    task : Task
        What is trained.
    data : Datasets
        What is trained and validated on.
    everyone : callable
        Gets, of what this process has found of each loss, what all that train together have.

    Raises
    ------
    DataError
        If nothing has an influence.

    Warns
    -----
    UserWarning
        If nothing has one on one loss of several, or some labels do not fit.
    """
    losses = task.losses
    if task.revise((), True) is not None:  # what is trained may be no loss of these
        return
    found: Compiled = task.cached("influence", (), lambda: _compile(task.net, losses))
    for part in (data.train, None if data.valid is data.whole else data.valid):
        if part is None:
            continue
        if part.examples is None:
            part.watch = _watcher(losses, found) if found.aligned else None
            continue
        part = part.ordered(SIZE)
        _check_weights(losses, found, part, everyone)
        _check_labels(losses, found, part)


def _compile(net: Structure, losses: Sequence[Loss]) -> Compiled:
    graph = net.graph
    if all(loss.all_count() for loss in losses) and not any(x.holds_lengths for x in net.layers):
        return Compiled((), None, (), None)
    with process.building(graph.dtype):
        lengths, weights = series_lengths.from_weights(graph.by_name, losses)
        outputs = graph.outputs(lengths=lengths, weights=weights, seed=graph.seed)
        counts = {i: loss.relevance(outputs) for i, loss in enumerate(losses)}
        any_counts = {
            i: pt.neq(count, 0).any()
            for i, count in counts.items()
            if count is not None and of_data(count)
        }
        aligned = {i: x.alignable(outputs) for i, x in enumerate(losses) if isinstance(x, CTC)}

    def function(expressions: list[Any], mode: Any) -> Any:
        if not expressions:
            return None
        return backends.function(
            net.variables, expressions, mode=mode, dtype=graph.dtype, name="influence"
        )

    return Compiled(
        tuple(any_counts),
        function(list(any_counts.values()), MODE),
        tuple(aligned),
        # Of a series, the number of frames is found without computing it.
        function([x for pair in aligned.values() for x in pair], "FAST_COMPILE"),
    )


def _check_weights(
    losses: Sequence[Loss],
    compiled: Compiled,
    data: Dataset,
    everyone: Callable[[Array], Array],
) -> None:
    if not compiled.weighed:
        return
    seen = np.zeros(len(compiled.weighed), bool)
    with closing(data.epoch()) as batches:
        for batch, _ in batches:
            seen |= np.array(compiled.weights(*batch), bool)
            if seen.all():
                break
    seen = everyone(seen)
    # Of a loss whose strength is 0, nothing is expected.
    without = [
        losses[i]
        for i, has in zip(compiled.weighed, seen, strict=True)
        if not has and losses[i].weight
    ]
    if not without:
        return
    message = (
        f"{data.where}: nothing counts for the loss {', '.join(loss.log() for loss in without)}: "
        "the weights of all entries are 0, be it by weights, by class_weight or as their labels "
        "are the one to ignore, so that the loss is always 0"
    )
    if len(without) == sum(loss.weight != 0 for loss in losses):
        raise DataError(message)
    warnings.warn(message, stacklevel=2)


def _check_labels(losses: Sequence[Loss], compiled: Compiled, data: Dataset) -> None:
    if not compiled.aligned:
        return
    fitting: list[Array] = []
    with closing(data.epoch()) as batches:
        fitting.extend(_fitting(compiled, batch) for batch, _ in batches)
    for i, fits in zip(compiled.aligned, np.concatenate(fitting, axis=1), strict=True):
        if fits.all():
            continue
        row = data.row(int(np.argmin(fits)))
        message = _unaligned(losses[i], data.where, int((~fits).sum()), len(fits), row)
        if not fits.any() and len(losses) == 1:
            raise DataError(message)
        warnings.warn(message, stacklevel=2)


def _fitting(compiled: Compiled, batch: Sequence[Any]) -> Array:
    """Tell which labels fit in their series, (losses, examples)."""
    arrays = compiled.labels(*batch)
    return np.array([fit(arrays[j], arrays[j + 1]) for j in range(0, len(arrays), 2)])


def _unaligned(loss: Loss, where: str, many: int, every: int, row: int) -> str:
    return (
        f"{where}: the labels of {many} of {every} series do not fit in these, the first in row "
        f"{row}: loss {loss.name!r} needs a frame for each label, and one for the blank between "
        "two that are equal; these series teach nothing. Give longer series, or leave them out"
    )


def _watcher(losses: Sequence[Loss], compiled: Compiled) -> Callable[[Sequence[Any], str], None]:
    """Get what says, once for each loss, that labels of a batch do not fit."""
    said: set[int] = set()

    def watch(batch: Sequence[Any], where: str) -> None:
        for i, fits in zip(compiled.aligned, _fitting(compiled, batch), strict=True):
            if i not in said and not fits.all():
                said.add(i)
                row = int(np.argmin(fits))
                message = _unaligned(losses[i], where, int((~fits).sum()), len(fits), row)
                warnings.warn(f"{message}. It is said of no further batch", stacklevel=2)

    return watch


# ---- what losses learn --------------------------------------------------------------------


def inform(
    net: Structure,
    losses: Sequence[Loss],
    data: Dataset | None,
    everyone: Callable[[Any], Any] = lambda counts: counts,
) -> None:
    """Give losses what they learn from all targets that are trained on, before the first step.

    Parameters
    ----------
    net, losses, data
        The network, its losses, and what is trained on.
    everyone : callable
        Adds up the counts of all that train together.
    """
    for loss in losses:
        if not isinstance(loss, Factors) or not loss.waits:
            continue
        if data is None:
            raise ConfigurationError(
                f"loss {loss.name!r}: {loss.factors}='balanced' needs all targets at once, but "
                "train data come batch by batch; give numbers"
            )
        outputs = net.outputs()
        weights = loss.importance(net.dtype, outputs)
        found = [loss._target] if weights is None else [loss._target, weights]
        # Of a step of series that does not exist, the weight is 0.
        compute = backends.function(net.variables, found, mode="FAST_COMPILE", dtype=net.dtype)
        parts = (compute(*batch) for batch, _ in data.epoch())
        classes = int(net.graph.shape(loss.output_name)[-1] or 0)
        loss.settle(
            ((part[0], part[1] if len(part) > 1 else None) for part in parts), classes, everyone
        )
