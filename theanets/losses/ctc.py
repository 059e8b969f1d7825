"""Connectionist temporal classification: labels of a series without their places in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytensor.tensor as pt
from pytensor.tensor.special import log_softmax

from .. import names
from ..errors import ConfigurationError, DataError, unknown
from ..expressions import Expression
from ..ops.sequences import Alignments
from ..options import Flag, Name, Whole, whole_number
from ..outputs import Outputs
from .classification import Scores
from .formulas import const, safe_log
from .reduction import Compared

Array = npt.NDArray[Any]
Shape = tuple[int | None, ...]


class ConnectionistTemporalClassification(Scores, names=("ctc",)):
    r"""Minus the log-probability of labels, summed over all their places in a series.

    .. math:: -\log \sum_{\pi \in A(t)} \prod_f p_{f, \pi_f}

    with the distribution p over K labels, one of them the blank, at each
    frame f of the output (batch, time, K): logits of a softmax layer,
    probabilities otherwise. An alignment :math:`\pi` gives each frame a label;
    A(t) are those that read as the target, once repetitions and then blanks
    are left out.

    Targets are integer labels (batch, length), without the blank. Shorter ones
    are filled with -1, in any place. For recognition of speech, writing or
    events where it is known which labels occur in which order, but not when.

    Parameters
    ----------
    blank : int
        Which label is the blank: 0 by default; -1 is the last.
    frames : str, optional
        Name of an output of one number for each example: how many frames it
        has. The rest of the series has no influence. For instance of a further
        input layer, ``dict(form='input', name='frames', shape=(1,))``, which takes
        an array (batch, 1). By default all frames that exist count: a layer
        of the form ``'lengths'`` can say which do.
    zero_infinity : bool
        Whether the error is 0 where a target cannot be aligned, since it has
        more labels (and repetitions, which need a blank between them) than
        there are frames. Otherwise it is infinite, which ends training. The
        gradient is 0 in either case. True by default. Training warns of such
        targets, and refuses data without any other.
    reduction : {'mean', 'sum', 'batch', 'none'}
        ``'mean'`` divides each error by the number of labels (at least 1) and
        then takes the mean over examples; the others do not divide.
    logits : bool
        Whether an output that is not a softmax layer's, or a bare array, is
        logits already.

    Notes
    -----
    Weights are of the target's shape. A label of weight 0 is left out of the
    target; the weight of an example is the mean of those of its labels that
    are not 0. An example all of whose weights are 0 has no influence.

    `theanets.recurrent.Classifier.predict_labels` reads the labels of series, by
    `ctc_greedy_decode` or `ctc_beam_decode`; the metric ``'label_error_rate'`` compares them
    with targets.

    References
    ----------
    Graves, Fernandez, Gomez & Schmidhuber 2006, "Connectionist temporal
    classification: labelling unsegmented sequence data with recurrent neural
    networks".
    """

    labels = True
    by_step = False
    #: The entry of a target that is no label.
    ignore_index = -1
    options: ClassVar[dict[str, Any]] = {
        "blank": Whole(0, least=-1),
        "frames": Name(None),
        "zero_infinity": Flag(True),
    }
    blank: int
    frames: str | None
    zero_infinity: bool

    @property
    def output_names(self) -> list[str]:
        """The output, and the one with the number of frames, if there is one."""
        found = [self.output_name]
        return found if self.frames is None else [*found, names.output_name(self.frames)]

    def blank_label(self, classes: int | None) -> int | None:
        """Get the blank; -1 is the last label."""
        return self.blank if self.blank >= 0 or classes is None else classes - 1

    def _blank_of(self, output: Expression) -> int:
        """Get the blank among the labels of an output."""
        known = output.type.shape[-1]
        if known is None and self.blank == -1:
            raise ConfigurationError(
                f"loss {self.name!r}: blank=-1 needs an output of a known number of labels"
            )
        if known is not None and not self.blank < known:
            raise ConfigurationError(
                f"loss {self.name!r}: blank={self.blank} is not one of the {known} labels of "
                f"{self.output_name!r}"
            )
        return int(known - 1 if known is not None and self.blank == -1 else self.blank)

    def target_shape(self, shape: Callable[[str], Shape], labels: bool) -> Shape:
        """Get the shape of one example's target: of any length."""
        found = shape(self.output_name)
        if len(found) != 2:
            raise ConfigurationError(
                f"loss {self.name!r} needs an output of shape (time, labels) for each example; "
                f"{self.output_name!r} has {found}"
            )
        return (None,) if labels else found

    def limits(self) -> dict[str, tuple[float | None, float | None]]:
        """Get the limits of probabilities."""
        return {self.output_name: (None if self.logits else 0, None)}

    def link(self, output: Expression) -> Expression:
        """Get the logarithm of probabilities, whose softmax they are again."""
        return safe_log(output)

    def weighted_errors(self, outputs: Outputs) -> tuple[Expression, Expression]:
        """Get the error of each example times its weight, and these weights."""
        self._check_bound()
        target, weights = self._target, self._weights
        if not target.dtype.startswith("int") or target.ndim != 2:
            raise ConfigurationError(
                f"loss {self.name!r} needs a target of integers of shape (batch, length), not "
                f"of {target.ndim} dimensions and {target.dtype}"
            )
        raw, link = self.scores(outputs)
        importance = None
        if weights is not None:
            seen = pt.neq(weights, 0)
            target = self._seen(target)
            importance = weights.sum(axis=1) / pt.maximum(seen.sum(axis=1), 1).astype(raw.dtype)
            importance = importance.astype(raw.dtype)
            raw = self.mask(raw, seen.any(axis=1))
        errors = self.errors(target, link(raw), self._frames(raw, outputs))
        if self.reduction == "mean":
            count = pt.maximum(pt.ge(target, 0).sum(axis=1), 1)
            errors = errors / count.astype(errors.dtype)
        if importance is None:
            return errors, None
        # A weight of 0 times an infinite error is no error.
        return pt.switch(pt.neq(importance, 0), importance * errors, const(0, errors)), importance

    def _seen(self, target: Expression) -> Expression:
        """Get labels without those of weight 0."""
        if self._weights is None:
            return target
        return pt.switch(pt.neq(self._weights, 0), target, np.asarray(-1, target.dtype))

    def alignable(self, outputs: Outputs) -> tuple[Expression, Expression]:
        """Get the labels that count, and the number of frames of each series; see `fit`."""
        self._check_bound()
        raw, _ = self.scores(outputs)
        return self._seen(self._target), self._frames(raw, outputs).sum(axis=1)

    def _frames(self, raw: Any, outputs: Outputs) -> Expression:
        """Get which frames exist, (batch, time)."""
        if self.frames is None:
            known = outputs.lengths.get(self.output_name)
            every = pt.ones(raw.shape[:2], dtype="bool")
            return every if known is None else every & (pt.arange(raw.shape[1]) < known[:, None])
        key = names.output_name(self.frames)
        if key not in outputs:
            raise unknown(f"output frames= of loss {self.name!r}", self.frames, outputs)
        count = outputs[key].reshape((-1, 1))
        return pt.arange(raw.shape[1], dtype="int32")[None, :] < count

    def errors(
        self, target: Expression, output: Expression, mask: Expression | None = None
    ) -> Expression:
        """Get the error of each example.

        Parameters
        ----------
        target : integer expression of shape (batch, length)
            Labels; those below 0 do not count.
        output : expression of shape (batch, time, K)
            Logits.
        mask : boolean expression of shape (batch, time), optional
            Which frames exist; by default all.

        Returns
        -------
        expression of shape (batch)
        """
        blank = self._blank_of(output)
        mask = pt.ones(output.shape[:2], dtype="bool") if mask is None else mask
        total, _ = Alignments(blank)(log_softmax(output, axis=-1), target, mask)
        if self.zero_infinity:
            total = pt.switch(pt.isinf(total), const(0, total), total)
        return -total

    def compared(self, outputs: Outputs) -> None:
        """Get None: labels cannot be compared frame by frame."""
        return

    def comparisons(self, outputs: Outputs) -> list[Compared]:
        """Get the labels that are wanted, and those of the most probable alignment."""
        raw, _ = self.scores(outputs)
        path = pt.argmax(raw, axis=-1).astype("int32")
        before = pt.concatenate([pt.full_like(path[:, :1], -1), path[:, :-1]], axis=1)
        blank = self._blank_of(raw)
        new = pt.neq(path, before) & pt.neq(path, blank) & self._frames(raw, outputs)
        weights = self._weights
        if weights is not None:
            seen = pt.maximum(pt.neq(weights, 0).sum(axis=1), 1)
            weights = weights.sum(axis=1) / seen.astype(weights.dtype)
        read = pt.switch(new, path, np.asarray(-1, "int32"))
        return [Compared("sequences", self._seen(self._target), read, weights)]

    def decode(self, scores: Any, frames: Any = None, width: int | None = None) -> list[list[int]]:
        """Read the labels of series from what the output gives.

        Parameters
        ----------
        scores : array_like of shape (batch, time, K)
            See `ctc_greedy_decode`, and with a ``width`` `ctc_beam_decode`.
        frames : array_like of int of shape (batch), optional
            Numbers of frames; by default all.
        width : int, optional
            Of the beam; by default labels are those of the most probable alignment.
        """
        if width is None:
            return ctc_greedy_decode(scores, frames, self.blank)
        return ctc_beam_decode(scores, frames, self.blank, width)


def fit(labels: Array, frames: Array) -> Array:
    """Tell which labels can be aligned with their series.

    Parameters
    ----------
    labels : ndarray of int of shape (batch, length)
        Those below 0 do not count.
    frames : ndarray of int of shape (batch)
        Numbers of frames.

    Returns
    -------
    ndarray of bool of shape (batch)
        Whether there is a frame for each label, and one for the blank between
        two that are equal.
    """
    labels = np.take_along_axis(labels, np.argsort(labels < 0, axis=1, kind="stable"), axis=1)
    there = labels >= 0
    repeats = there[:, 1:] & (labels[:, 1:] == labels[:, :-1])
    found: Array = there.sum(axis=1) + repeats.sum(axis=1) <= frames
    return found


def ctc_greedy_decode(probabilities: Any, lengths: Any = None, blank: int = 0) -> list[list[int]]:
    """Read the labels of the most probable alignment of each example.

    Parameters
    ----------
    probabilities : array_like of shape (batch, time, K)
        Probabilities of labels at each frame, or logits, or anything else with
        the same order.
    lengths : array_like of int of shape (batch), optional
        Numbers of frames; by default all.
    blank : int
        Which label is the blank; -1 is the last.

    Returns
    -------
    list of lists of int

    Raises
    ------
    DataError
        If shapes do not fit, or the blank is not a label.
    """
    array, frames, blank = _decoded(probabilities, lengths, blank)
    found = []
    for scores, n in zip(array, frames, strict=True):
        path = scores[:n].argmax(axis=-1)
        new = path[np.flatnonzero(np.diff(path, prepend=-1))]
        found.append([int(label) for label in new if label != blank])
    return found


def ctc_beam_decode(
    probabilities: Any, lengths: Any = None, blank: int = 0, width: int = 10
) -> list[list[int]]:
    """Find the most probable labels of each example, by a search over prefixes.

    Unlike the most probable alignment, this adds up the alignments of each
    sequence of labels. It is exact if the beam is wide enough to hold all.

    Parameters
    ----------
    probabilities : array_like of shape (batch, time, K)
        Probabilities of labels at each frame.
    lengths, blank
        See `ctc_greedy_decode`.
    width : int
        How many prefixes are kept at each frame.

    Returns
    -------
    list of lists of int

    Raises
    ------
    DataError
        If shapes do not fit, the blank is not a label, or there are negative
        numbers, as in logits.
    ConfigurationError
        If ``width`` is not positive.

    References
    ----------
    Hannun, Maas, Jurafsky & Ng 2014, "First-pass large vocabulary continuous
    speech recognition using bi-directional recurrent DNNs".
    """
    array, frames, blank = _decoded(probabilities, lengths, blank)
    whole_number("width", width)
    if not (array >= 0).all():
        raise DataError(
            f"probabilities have {array.min()}; expected numbers of at least 0, so take the "
            "softmax of logits"
        )
    with np.errstate(divide="ignore"):
        logs = np.log(array)
    return [_beam(scores[:n], blank, int(width)) for scores, n in zip(logs, frames, strict=True)]


def _beam(logs: Array, blank: int, width: int) -> list[int]:
    # By prefix: the log-probabilities of its alignments that end in a blank, and that do not.
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -np.inf)}
    for frame in logs:
        new: dict[tuple[int, ...], list[float]] = {}

        def add(prefix: tuple[int, ...], ends: int, score: float, new: Any = new) -> None:
            pair = new.setdefault(prefix, [-np.inf, -np.inf])
            pair[ends] = float(np.logaddexp(pair[ends], score))

        for prefix, (blanked, labelled) in beam.items():
            both = float(np.logaddexp(blanked, labelled))
            add(prefix, 0, both + frame[blank])
            for label in range(len(frame)):
                if label == blank:
                    continue
                if prefix and prefix[-1] == label:
                    add(prefix, 1, labelled + frame[label])
                    add((*prefix, label), 1, blanked + frame[label])
                else:
                    add((*prefix, label), 1, both + frame[label])
        ranked = sorted(new.items(), key=lambda item: -np.logaddexp(item[1][0], item[1][1]))
        beam = {prefix: (pair[0], pair[1]) for prefix, pair in ranked[:width]}
    return list(next(iter(beam)))


def _decoded(probabilities: Any, lengths: Any, blank: int) -> tuple[Array, Array, int]:
    array = np.asarray(probabilities, dtype=float)
    if array.ndim != 3 or array.shape[2] < 1:
        raise DataError(f"probabilities have shape {array.shape}; expected (batch, time, labels)")
    batch, time, k = array.shape
    if not -1 <= blank < k:
        raise DataError(f"blank={blank} is not one of the {k} labels, nor -1")
    frames = np.full(batch, time) if lengths is None else np.asarray(lengths)
    frames = frames.reshape(-1)
    if frames.shape != (batch,) or (batch and not 0 <= frames.min() <= frames.max() <= time):
        raise DataError(
            f"lengths={lengths!r} are not {batch} numbers of frames between 0 and {time}"
        )
    return array, frames.astype(int), blank % k
