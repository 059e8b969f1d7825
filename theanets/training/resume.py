"""Checkpoints of a run of training: what it takes to continue one bit for bit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import atomic, checkpoint, process
from ..errors import FileError, is_integer
from ..history import History
from ..locks import LockFile
from .identity import differences

if TYPE_CHECKING:
    from .loop import Run

#: Attributes of a run that a checkpoint holds as they are, and what they are: counts, with the
#: least, numbers, or monitors.
COUNTERS: dict[str, Any] = {
    "epoch": 0,
    "updates": 0,
    "train": dict,
    "valid": dict,
    "best_loss": float,
    "_best": float,
    "best_epoch": 0,
    "_best_train": dict,
    "_best_valid": dict,
    "_last_success": float,
    "_failures": 0,
    "_validated": -1,
}
#: How the columns of the history begin that hold numbers.
MEASURED = ("train_", "valid_", "epoch", "updates", "seconds", "learning_rate")
#: A run that ended for one of these reasons stays ended. Limits may be raised,
#: and what was cut off goes on.
FINAL = ("diverged", "converged")


def save(run: Run, path: str | os.PathLike[str]) -> None:
    """Write all that is needed to continue a run."""
    arrays = {f"param/{p.name}": p.get_value(borrow=True) for p in run.params}
    for param, value in zip(run.params, run.best_values, strict=True):
        arrays[f"best/{param.name}"] = value
    for name, variable in run.engine.arrays().items():
        arrays[f"state/{name}"] = np.asarray(variable.get_value(borrow=True))
    # Not in the header: JSON of all rows would have to be made anew at each epoch.
    arrays["history"] = run.history.to_bytes()
    header = {
        "kind": "checkpoint",
        "identity": run.identity,
        "engine": run.engine.state(),
        "generators": {
            name: generator.get_value(borrow=True).bit_generator.state
            for name, generator in run.engine.generators().items()
        },
        "counters": {key: getattr(run, key) for key in COUNTERS},
        "seconds": run.seconds,
        "initial": run.history.initial,
        "cut": run.cut,
        "stop_reason": run.stop_reason,
    }
    checkpoint.write(path, arrays, header)


def lock(path: Path) -> LockFile:
    """Keep other runs from a checkpoint while one uses it.

    Raises
    ------
    FileError
        If another run uses it now.
    """
    return LockFile(atomic.beside(path, "lock"), str(path))


def restore(run: Run, path: Path) -> bool:
    """Put a run where its checkpoint is; tell whether there is one.

    Raises
    ------
    FileError
        If the file is damaged, or the checkpoint of another run.
    """
    # What a process left that was killed while it wrote.
    atomic.clean(path)
    try:
        with checkpoint.reading(path) as file:
            _check_run(run.identity, file)
            arrays, header = file.arrays(), file.header
    except FileNotFoundError:
        return False
    engine, state = run.engine, run.engine.arrays()
    try:
        counters = {key: _counter(key, header["counters"][key]) for key in COUNTERS}
        best = [_fitting(param, arrays[f"best/{param.name}"]) for param in run.params]
        values = [(param, _fitting(param, arrays[f"param/{param.name}"])) for param in run.params]
        values += [
            (variable, arrays[f"state/{name}"])
            for name, variable in state.items()
            # What earlier versions did not have begins anew.
            if f"state/{name}" in arrays or name not in engine.later()
        ]
        history, seconds = History(), float(header["seconds"])
        history.initial = _monitors("initial", header.get("initial", {}))
        if "history" in header:  # as of files of version 0.9 and before
            history.rows = list(header["history"])
        else:
            history.read_bytes(arrays["history"])
        for row in history.rows:
            # What a callback adds to a row may be anything.
            _monitors("history", {k: v for k, v in row.items() if k.startswith(MEASURED)})
        for name, generator in engine.generators().items():
            value = generator.get_value(borrow=False)
            value.bit_generator.state = header["generators"][name]
            generator.set_value(value, borrow=True)
        engine.restore(header["engine"])
        with process.hold(variable for variable, _ in values):
            for variable, array in values:
                variable.set_value(array)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise FileError(f"{path}: the checkpoint is incomplete: {error!r}") from error
    for key, counter in counters.items():
        setattr(run, key, counter)
    run.best_values = best
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


def _counter(key: str, value: Any) -> Any:
    kind = COUNTERS[key]
    if kind is dict:
        if _monitors(key, value) and "loss" not in value:
            raise ValueError(f"{key} has no loss")
        return value
    valid = _is_number(value) if kind is float else is_integer(value, kind)
    if not valid:
        raise ValueError(f"{key} is {value!r:.50}")
    return value


def _monitors(what: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(map(_is_number, value.values())):
        raise ValueError(f"{what} has {value!r:.50}, which is not numbers by name")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _fitting(param: Any, value: Any) -> Any:
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
