"""Checkpoints of a run of training: what it takes to continue one bit for bit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import atomic, checkpoint, process
from ..errors import FileError, is_integer
from ..locks import Lock
from ..optimizers import Schedule
from ..regularizers import Regularizer
from .criterion import Criterion
from .history import History

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


def lock(path: Path) -> Lock:
    """Keep other runs from a checkpoint while one uses it.

    Raises
    ------
    FileError
        If another run uses it now.
    """
    return Lock(atomic.beside(path, "lock"), str(path))


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
            _check_run(run, file)
            arrays, header = file.arrays(), file.header
    except FileNotFoundError:
        return False
    engine, state = run.engine, run.engine.arrays()
    try:
        counters = {key: _counter(key, header["counters"][key]) for key in COUNTERS}
        best = [_fitting(param, arrays[f"best/{param.name}"]) for param in run.params]
        values = [(param, _fitting(param, arrays[f"param/{param.name}"])) for param in run.params]
        values += [(variable, arrays[f"state/{name}"]) for name, variable in state.items()]
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


def _check_run(run: Run, file: checkpoint.File) -> None:
    """Refuse the file of another run, before its arrays are read."""
    path, header = file.where, file.header
    if header.get("kind") != "checkpoint":
        raise FileError(f"{path}: this is a {header.get('kind')} file, not a checkpoint")
    differs = _differences(header.get("identity"), describe(run.identity))
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


def adopt_seed(net: Any, path: str | os.PathLike[str] | None) -> None:
    """Give a network whose seed nobody chose that of the run that it is to continue.

    A script that is started again makes a network with another fresh seed.
    """
    if path is None or net._seed_chosen:
        return
    try:
        with checkpoint.reading(path) as file:
            header = file.header
    except FileNotFoundError:
        return
    described = header.get("identity")
    seed = described.get("seed") if isinstance(described, Mapping) else None
    if is_integer(seed, 0):
        net.seed = net.graph.seed = seed


def identity(
    net: Any,
    optimizer: Any,
    regularizers: Sequence[Regularizer],
    scale: float,
    seed: int,
    train_data: Any,
    valid_data: Any,
    criterion: Criterion,
    frozen: Sequence[Any] = (),
) -> dict[str, Any]:
    """Get what must be the same for a checkpoint to be continued, as JSON can hold it.

    The values of the data are read for it.
    """
    return describe(
        {
            "layers": {layer.name: layer.to_spec() for layer in net.layers},
            "parameters": {p.name: p.get_value(borrow=True).shape for p in net.params},
            "losses": [loss.to_spec() for loss in net.losses],
            "algorithm": repr(optimizer),
            "schedule": getattr(optimizer, "schedule", None),
            "regularizers": [[r.name, r.weight, r.structure()[1:]] for r in regularizers],
            "penalty_scale": scale,
            "seed": seed,
            "dtype": net.dtype,
            "batch_size": train_data.batch_size,
            "train_batches": train_data.batches,
            "examples": train_data.examples,
            "buckets": train_data.buckets,
            "valid_examples": valid_data.examples if valid_data is not None else None,
            "criterion": [criterion.name, criterion.direction],
            "freeze": [variable.name for variable in frozen] or None,
            "values": {
                "train": train_data.fingerprint(),
                "valid": None if valid_data is None else valid_data.fingerprint(),
            },
        }
    )


def _differences(was: Any, now: dict[str, Any]) -> str:
    values = now.pop("values")
    if not isinstance(was, Mapping):
        return "it has no identity"
    differs = difference({key: was[key] for key in was if key != "values"}, now)
    # Files of version 0.9 and before do not have it.
    if differs or "values" not in was:
        return differs
    array = difference(was["values"], values).partition(" was ")[0]
    return array and f"the data have other values, in the array {array!r}"


def describe(value: Any) -> Any:
    """Turn a value into what JSON can hold, the same for two values that mean the same."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(k): describe(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(v) for v in value]
    if isinstance(value, Schedule):
        return {"form": type(value).__name__, **describe(vars(value))}
    return getattr(value, "__name__", type(value).__name__)


def difference(was: Any, now: Any, where: str = "") -> str:
    """Say where two descriptions differ first, or nothing if they do not."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in now:
            found = difference(was.get(key), now[key], f"{where}.{key}" if where else key)
            if found:
                return found
        gone = sorted(set(was) - set(now))
        return f"{where}.{gone[0]} is no longer there" if gone else ""
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for i, (old, new) in enumerate(zip(was, now, strict=True)):
            found = difference(old, new, f"{where}[{i}]")
            if found:
                return found
        return ""
    return "" if was == now else f"{where or 'it'} was {was!r}, now is {now!r}"
