"""Options that several commands have, and what is done with them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..errors import DataError, naming
from ..network import Network

Command = TypeVar("Command", bound=Callable[..., Any])

TRAINING = (
    click.option("-O", "--algorithm", "--algo", "algo", default="adam", show_default=True,
                 help="Algorithm of training."),
    click.option("-r", "--learning-rate", type=float, help="By default the algorithm's."),
    click.option("-m", "--momentum", type=float, help="For algorithms that have one."),
    click.option("-n", "--nesterov/--no-nesterov", default=None,
                 help="Nesterov's form of the momentum."),
    click.option("-b", "--batch-size", type=click.IntRange(1), default=32, show_default=True,
                 help="Examples in a batch."),
    click.option("-p", "--patience", type=click.IntRange(0), default=10, show_default=True,
                 help="Validations without improvement before training stops."),
    click.option("-v", "--validate-every", type=click.IntRange(1), default=1, show_default=True,
                 help="Epochs between validations."),
    click.option("-i", "--min-improvement", type=click.FloatRange(0), default=0.0,
                 show_default=True, help="Smallest improvement, a fraction, that counts."),
    click.option("-e", "--epochs", type=click.IntRange(1), help="Most passes over the data."),
    click.option("--seconds", type=click.FloatRange(0, min_open=True),
                 help="Most seconds of training."),
    click.option("-x", "--max-gradient-norm", type=click.FloatRange(0, min_open=True),
                 help="Longer gradients are scaled to this length."),
    click.option("--rms-halflife", type=click.FloatRange(0, min_open=True),
                 help="Half-life of running means of squared gradients, in updates."),
    click.option("--rms-regularizer", type=click.FloatRange(0),
                 help="Added to these means."),
    click.option("--input-noise", type=click.FloatRange(0), help="Deviation of noise on inputs."),
    click.option("--input-dropout", "--input-dropouts", type=click.FloatRange(0, 1, max_open=True),
                 help="Fraction of the inputs that is left out."),
    click.option("--hidden-noise", type=click.FloatRange(0),
                 help="Deviation of noise on hidden units."),
    click.option("--hidden-dropout", "--hidden-dropouts",
                 type=click.FloatRange(0, 1, max_open=True),
                 help="Fraction of the hidden units that is left out."),
    click.option("--hidden-l1", type=click.FloatRange(0), help="L1 penalty of hidden outputs."),
    click.option("--hidden-l2", type=click.FloatRange(0), help="L2 penalty of hidden outputs."),
    click.option("--weight-l1", type=click.FloatRange(0), help="L1 penalty of weights."),
    click.option("--weight-l2", type=click.FloatRange(0), help="L2 penalty of weights."),
    click.option("--mode", help="How to compile: NUMBA, CVM, JAX, PYTORCH, FAST_COMPILE."),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything."),
)  # fmt: skip


def training(command: Command) -> Command:
    """Give a command the options of training; it gets them as ``options``."""
    for option in reversed(TRAINING):
        command = option(command)
    return command


def keywords(options: dict[str, Any]) -> dict[str, Any]:
    """Get what was asked for as keywords of `theanets.Network.train`."""
    found = {k: v for k, v in options.items() if v is not None}
    seed = found.pop("seed")
    if "seconds" in found:
        found["max_seconds"] = found.pop("seconds")
    return {**found, "rng": seed}


def read_text(path: Path) -> str:
    """Read a file of text, or the standard input for ``-``.

    Raises
    ------
    DataError
        If it is not UTF-8.
    FileError
        If it cannot be read.
    """
    try:
        if str(path) == "-":
            return sys.stdin.read()
        with naming(path):
            return path.read_text(encoding="utf-8-sig")
    except UnicodeError as error:
        raise DataError(f"{path}: the file is not UTF-8; save it as UTF-8 ({error})") from None


def _written(path: Path) -> int | None:
    """Get when a file was written, if it exists."""
    return path.stat().st_mtime_ns if path.exists() else None


def fit(net: Network, train: Any, valid: Any, model: Path, options: dict[str, Any]) -> None:
    """Train a network and save it, also after Ctrl-C.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, when the network is saved.
    """
    before = _written(model)
    net.train(train, valid, save_progress=model, **keywords(options))
    reason = net.history.stop_reason
    # An interruption may come so early that there is nothing to save.
    saved = _written(model) != before
    done = f"saved the network to {model}" if saved else "there is nothing to save yet"
    click.echo(f"stopped by {reason}; {done}")
    if reason == "interrupted":
        raise KeyboardInterrupt
