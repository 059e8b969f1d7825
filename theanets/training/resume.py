"""Checkpoints of a run of training: what it takes to continue one bit for bit."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import atomic, checkpoint, process
from ..errors import FileError, is_integer
from ..expressions import Shared
from ..history import History
from ..locks import LockFile
from ..options import whole_number
from . import stored
from .identity import differences

if TYPE_CHECKING:
    from .loop import Run

log = logging.getLogger("theanets")

#: How the columns of the history begin that hold numbers.
MEASURED = ("train_", "valid_", "epoch", "updates", "seconds", "learning_rate")
#: A run that ended for one of these reasons stays ended. Limits may be raised,
#: and what was cut off goes on.
FINAL = ("diverged", "converged")


class Checkpoint:
    """The file that a run is kept in, if there is to be one.

    Parameters
    ----------
    path : path, optional
        The file.
    every : int, optional
        Epochs between writing it, 1 by default.
    identity : dict, optional
        What must be the same for a run to be continued, see `identity`.
    seed : int, optional
        The seed of the file, which a network takes over that has none of its own.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        every: int | None = None,
        identity: Any = None,
        seed: int | None = None,
    ) -> None:
        self.every = whole_number("checkpoint_every", 1 if every is None else every)
        self.path = None if path is None else Path(path)
        self.identity, self.seed = identity, seed
        self._saved = -1
        self._lock: LockFile | None = None

    def begin(self, run: Run) -> bool:
        """Keep other runs from the file, and put this one where it is; tell whether there is one.

        Raises
        ------
        FileError
            If another run uses it now, or it is damaged, or the checkpoint of another run.
        """
        if self.path is None:
            return False
        self._lock = LockFile(atomic.beside(self.path, "lock"), str(self.path))
        # What a process left that was killed while it wrote.
        atomic.clean(self.path)
        if not restore(run, self.path, self.identity):
            return False
        if self.seed is not None:
            run.network.reseed(self.seed)
        log.info("continuing from %s, epoch %d", self.path, run.epoch)
        return True

    def save(self, run: Run) -> None:
        """Write the file, unless it was written after the last update."""
        if self.path is not None and self._saved != run.updates:
            save(run, self.path, self.identity)
            self._saved = run.updates

    def end(self) -> None:
        """Let other runs use the file."""
        if self._lock is not None:
            self._lock.release()


def save(run: Run, target: checkpoint.PathOrFile, identity: Any) -> None:
    """Write all that is needed to continue a run."""
    arrays = {f"param/{p.name}": p.get_value(borrow=True) for p in run.params}
    for param, value in zip(run.params, run.best_values, strict=True):
        arrays[f"best/{param.name}"] = value
    arrays.update(run.averages.arrays())
    for name, variable in run.engine.arrays().items():
        arrays[f"state/{name}"] = np.asarray(variable.get_value(borrow=True))
    # Not in the header: JSON of all rows would have to be made anew at each epoch.
    arrays["history"] = run.history.to_bytes()
    header = {
        "kind": "checkpoint",
        "identity": identity,
        "engine": run.engine.state(),
        "generators": {
            name: generator.get_value(borrow=True).bit_generator.state
            for name, generator in run.engine.generators().items()
        },
        "counters": {
            "epoch": run.epoch,
            "updates": run.updates,
            "train": run.train,
            "valid": run.valid,
            **run.best.state(),
        },
        "seconds": run.seconds,
        "initial": run.history.initial,
        "cut": run.cut,
        "average": run.averages.state(),
        "stop_reason": run.stop_reason,
    }
    checkpoint.write(target, arrays, header)


def restore(run: Run, source: checkpoint.PathOrFile, identity: Any) -> bool:
    """Put a run where its checkpoint is; tell whether there is one.

    Raises
    ------
    FileError
        If the file is damaged, or the checkpoint of another run.
    """
    try:
        with checkpoint.reading(source) as file:
            _check_run(identity, file)
            arrays, header = file.arrays(), file.header
    except FileNotFoundError:
        return False
    engine, state = run.engine, run.engine.arrays()
    try:
        counters = header["counters"]
        if "criterion" not in header["identity"]:  # in the first files, the loss decides
            counters = {"_best": counters["best_loss"], **counters}
        epoch, updates = (stored.count(key, counters[key]) for key in ("epoch", "updates"))
        train, valid = (stored.monitors(key, counters[key]) for key in ("train", "valid"))
        best = copy.copy(run.best)
        best.restore(
            counters, [_fitting(param, arrays[f"best/{param.name}"]) for param in run.params]
        )
        averages = [
            _fitting(param, arrays[key])
            for param in run.params
            if (key := f"average/{param.name}") in arrays
        ]
        values = [(param, _fitting(param, arrays[f"param/{param.name}"])) for param in run.params]
        values += [
            (variable, arrays[f"state/{name}"])
            for name, variable in state.items()
            # What earlier versions did not have begins anew.
            if f"state/{name}" in arrays or name not in engine.later()
        ]
        history, seconds = History(), float(header["seconds"])
        history.initial = stored.numbers("initial", header.get("initial", {}))
        if "history" in header:  # as of files of version 0.9 and before
            history.rows = list(header["history"])
        else:
            history.read_bytes(arrays["history"])
        for row in history.rows:
            # What a callback adds to a row may be anything.
            stored.numbers("history", {k: v for k, v in row.items() if k.startswith(MEASURED)})
        for name, generator in engine.generators().items():
            value = generator.get_value(borrow=False)
            value.bit_generator.state = header["generators"][name]
            generator.set_value(value, borrow=True)
        engine.restore(header["engine"])
        run.averages.restore(header.get("average"), averages)
        with process.hold(variable for variable, _ in values):
            for variable, array in values:
                variable.set_value(array)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise FileError(
            f"{checkpoint.name_of(source)}: the checkpoint is incomplete: {error!r}"
        ) from error
    run.epoch, run.updates, run.train, run.valid = epoch, updates, train, valid
    run.best = best
    run.history.rows, run.history.initial = history.rows, history.initial
    run.resumed_seconds = seconds
    run.cut = header.get("cut") is True
    if header.get("stop_reason") in FINAL:
        run.stop(header["stop_reason"])
    return True


def check(path: str | os.PathLike[str], identity: Any) -> None:
    """Refuse the checkpoint of another run, before anything is changed for this one.

    Raises
    ------
    FileError
        If the file is damaged, no checkpoint, or that of another run.
    """
    with suppress(FileNotFoundError), checkpoint.reading(path) as file:
        _check_run(identity, file)


def _check_run(identity: Any, file: checkpoint.File) -> None:
    """Refuse the file of another run, before its arrays are read."""
    path, header = file.where, file.header
    if header.get("kind") != "checkpoint":
        raise FileError(f"{path}: this is a {header.get('kind')} file, not a checkpoint")
    differs = differences(header.get("identity"), identity)
    if differs:
        raise FileError(
            f"{path}: the checkpoint belongs to another run: {differs}; delete the file to start "
            "anew, or take its parameters first: net.load_params(path)"
        )


def _fitting(param: Shared, value: Any) -> Any:
    mine = param.get_value(borrow=True)
    if value.shape != mine.shape or value.dtype != mine.dtype:
        raise ValueError(
            f"{param.name} is {value.dtype} of shape {value.shape}, the network's is {mine.dtype} "
            f"of {mine.shape}"
        )
    return value


def seed_of(path: str | os.PathLike[str] | None) -> int | None:
    """Get the seed of the run that a checkpoint holds; None if there is none."""
    if path is None:
        return None
    try:
        with checkpoint.reading(path) as file:
            described = file.header.get("identity")
    except FileNotFoundError:
        return None
    seed = described.get("seed") if isinstance(described, Mapping) else None
    return int(seed) if is_integer(seed, 0) else None  # type: ignore[arg-type]
