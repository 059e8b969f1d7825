"""``theanets train`` and ``theanets predict``: tables."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import metrics
from sklearn.model_selection import train_test_split

from ..errors import ConfigurationError, DataError, FileError, unknown
from ..feedforward import Classifier, Regressor
from ..network import Network
from . import columns
from .columns import Look, Wishes
from .options import fit, training
from .reading import emit, read
from .schema import Schema
from .target import DIGITS, Classes, Quantity, as_numbers, is_classes

Array = npt.NDArray[Any]

#: With fewer rows there is nothing to train, validate and test on.
FEWEST_ROWS = 10
FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


def _note(text: str) -> None:
    click.echo(text, err=True)


def _sizes(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    """Get the sizes of hidden layers from text such as ``100,50``; none from ``0``."""
    try:
        sizes = [int(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of sizes such as 100,50") from None
    if sizes == [0]:
        return []
    if min(sizes) < 1:
        raise click.BadParameter(f"{value!r} has a layer without units")
    return sizes


@click.command(short_help="Train a network on a table.")
@click.argument("data", type=FILE)
@click.option("-t", "--target", required=True, help="The column to predict.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the network is saved; by default DATA.safetensors.",
)
@click.option(
    "--task",
    type=click.Choice(["auto", "classification", "regression"]),
    default="auto",
    show_default=True,
    help="By default what the target looks like.",
)
@click.option(
    "-l",
    "--layers",
    default="100",
    show_default=True,
    callback=_sizes,
    help="Units of the hidden layers, such as 100,50; 0 for none.",
)
@click.option(
    "-g", "--activation", default="relu", show_default=True, help="Activation of the hidden layers."
)
@click.option("--ignore", multiple=True, help="A column to leave out; may be repeated.")
@click.option(
    "--categorical",
    multiple=True,
    help="A column to take as text, though it is numbers or differs much; may be repeated.",
)
@click.option(
    "--numeric",
    multiple=True,
    help="A column to take as numbers, what is none as missing; may be repeated.",
)
@click.option(
    "--missing", multiple=True, help="A text that stands for a missing value; may be repeated."
)
@click.option(
    "--test-fraction",
    type=click.FloatRange(0, 0.9, min_open=True),
    default=0.2,
    show_default=True,
    help="Fraction of the rows kept to test on.",
)
@training
def train(
    data: Path,
    target: str,
    output: Path | None,
    task: str,
    layers: list[int],
    activation: str,
    ignore: tuple[str, ...],
    categorical: tuple[str, ...],
    numeric: tuple[str, ...],
    missing: tuple[str, ...],
    test_fraction: float,
    **options: Any,
) -> None:
    """Train a network on a table DATA, a file of separated values with a line of names.

    Numbers are standardized, text becomes an indicator of each value, and
    missing values say nothing. A fifth of the rows is kept to test on, and a
    fifth of the others to validate on. The network is saved together with
    what `theanets predict` needs to know of the columns.
    """
    _keep_apart(output, data)
    frame, separator = read(data, note=_note)
    for name in (target, *ignore):
        if name not in frame:
            raise unknown("column", name, frame.columns)
    wishes = Wishes(categorical, numeric, missing)
    wishes.check(frame)
    frame, seen = _with_target(frame, target, separator, wishes)
    if len(frame) < FEWEST_ROWS:
        rows = "1 row is" if len(frame) == 1 else f"{len(frame)} rows are"
        raise DataError(
            f"{data}: {rows} too few to train, validate and test on; give {FEWEST_ROWS} at least"
        )
    classes = is_classes(seen) if task == "auto" else task == "classification"
    kind: Classes | Quantity
    if classes:
        kind, values = Classes.of(seen)
        if kind.size < 2:
            raise DataError(f"column {target!r} has one value; there is nothing to predict")
    else:
        values = as_numbers(seen)
    inside, test = _split(values, test_fraction, classes, options["seed"])
    fitting, valid = _split(values[inside], 0.2, classes, options["seed"])
    fitting, valid = inside[fitting], inside[valid]
    if not classes:
        kind = Quantity.of(values[fitting])

    features = frame.drop(columns=[target, *ignore])
    known = columns.find(features, fitting, _note, separator, wishes)
    used = {column.name for column in known}
    ignored = [name for name in frame.columns if name not in (*used, target)]
    schema = Schema(known, ignored, list(missing), separator)
    x = schema.encode(features).astype("float32")
    y = kind.encode(values)
    make = Classifier if classes else Regressor
    hidden = [(size, activation) for size in layers]
    net = make([x.shape[1], *hidden, kind.size], rng=options["seed"])
    net.metadata["table"] = {"target": target, "kind": kind.to_dict(), "schema": schema.to_dict()}

    what = f"classification, {kind.size} classes" if classes else "regression"
    of = "1 column" if len(known) == 1 else f"{len(known)} columns"
    click.echo(f"{what}; {x.shape[1]} input{'s' * (x.shape[1] != 1)} from {of}")
    click.echo(f"{len(fitting)} rows to train on, {len(valid)} to validate, {len(test)} to test")
    model = output or Path(f"{'table' if data.name == '-' else data.stem}.safetensors")
    try:
        fit(net, [x[fitting], y[fitting]], [x[valid], y[valid]], model, options)
    finally:
        if len(net.history):
            _report(net, kind, x[test], values[test])


def _keep_apart(output: Path | None, *inputs: Path) -> None:
    """Refuse to write over a file that is read."""
    for path in inputs:
        if output is not None and output.exists() and path.exists() and output.samefile(path):
            raise ConfigurationError(f"--output {output} is the file {path}, which is read")


def _with_target(
    frame: pd.DataFrame, target: str, separator: str, wishes: Wishes
) -> tuple[pd.DataFrame, Look]:
    """Leave out rows without a target, and say what the others look like."""
    seen = columns.look(frame[target], separator, wishes, _note)
    absent = seen.missing.to_numpy(bool)
    if absent.any():
        many = int(absent.sum())
        rows = "1 row" if many == 1 else f"{many} rows"
        _note(f"{rows} without a value of {target!r} {'is' if many == 1 else 'are'} left out")
        frame = frame[~absent].reset_index(drop=True)
    return frame, seen.of(~absent)


def _split(values: Array, fraction: float, classes: bool, seed: int) -> tuple[Any, Any]:
    """Get the positions of rows of two parts; each has all classes where that is possible."""
    rows = np.arange(len(values))
    # A class may have one row, and there may be more classes than rows in the smaller part.
    for stratify in (values, None) if classes else (None,):
        with suppress(ValueError):
            return tuple(
                train_test_split(rows, test_size=fraction, random_state=seed, stratify=stratify)
            )
    raise DataError(f"{len(values)} rows are too few to split")


def _report(net: Network, kind: Classes | Quantity, x: Array, right: Array) -> None:
    """Say how good the network is on rows that it never saw, and how good a guess would be."""
    if isinstance(kind, Classes):
        found = net.predict(x)
        guess = np.bincount(right).max() / len(right)
        with warnings.catch_warnings():
            # That a class is not among these rows.
            warnings.simplefilter("ignore", UserWarning)
            figures = {
                "accuracy": metrics.accuracy_score(right, found),
                "balanced accuracy": metrics.balanced_accuracy_score(right, found),
                "f1 (macro)": metrics.f1_score(right, found, average="macro", zero_division=0),
                "accuracy of always the most frequent class": guess,
            }
    else:
        found = kind.decode(net.predict(x))
        figures = {
            "R2": metrics.r2_score(right, found),
            "root mean squared error": metrics.root_mean_squared_error(right, found),
            "mean absolute error": metrics.mean_absolute_error(right, found),
            "standard deviation of the target": right.std(),
        }
    click.echo(f"on the {len(right)} rows to test on:")
    for name, value in figures.items():
        click.echo(f"  {name}: {value:.4g}")


@click.command(short_help="Predict the target of a table's rows.")
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("data", type=FILE)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the table goes; by default it is printed.",
)
@click.option("--probabilities", is_flag=True, help="Add a column for each class.")
@click.option(
    "--keep",
    multiple=True,
    help="A column of DATA that the result has too, such as an identifier; may be repeated.",
)
@click.option(
    "--missing",
    multiple=True,
    help="A text that stands for a missing value, besides those of training; may be repeated.",
)
@click.option(
    "--decimal",
    type=click.Choice([".", ","]),
    help="The decimal point of numbers in DATA; by default, for each column, that of training.",
)
@click.option("--mode", help="How to compile: NUMBA, CVM, JAX, PYTORCH, FAST_COMPILE.")
def predict(
    model: Path,
    data: Path,
    output: Path | None,
    probabilities: bool,
    keep: tuple[str, ...],
    missing: tuple[str, ...],
    decimal: str | None,
    mode: str | None,
) -> None:
    """Predict for each row of a table DATA with a network MODEL of `theanets train`.

    The result is a table of the same rows with a column of the target's name;
    where that is among the columns to keep, of its name and `(predicted)`.
    What a column is, was settled in training: what is predicted for a row does
    not depend on other rows.
    """
    _keep_apart(output, data, model)
    net = Network.load(model)
    table = net.metadata.get("table")
    if table is None:
        raise FileError(f"{model}: this network is not one of 'theanets train'")
    schema = Schema.from_dict(table.get("schema", {}), str(model))
    if probabilities and not isinstance(net, Classifier):
        raise ConfigurationError(f"{model} predicts a number; --probabilities is for classes")
    frame, _ = read(data, schema.separator, _note)
    for name in keep:
        if name not in frame:
            raise unknown("column", name, frame.columns)
    schema.missing.extend(missing)
    if decimal is not None:
        schema = schema.with_decimal(decimal)
    x = schema.encode(frame, _note)
    net, options = _exact(net), {} if mode is None else {"mode": mode}
    result = frame[list(dict.fromkeys(keep))].copy()
    target, digits = table["target"], DIGITS
    result_name = f"{target} (predicted)" if target in keep else target
    if isinstance(net, Classifier):
        names = Classes(**table["kind"]).names
        chances = net.predict_proba(x, **options)
        result[result_name] = [names[i] for i in chances.argmax(axis=-1)]
        if probabilities:
            for i, name in enumerate(names):
                result[f"{target}={name}"] = chances[:, i].round(6)
    else:
        kind = Quantity(**table["kind"])
        result[result_name] = kind.decode(net.predict(x, **options))
        digits = kind.digits
    emit(result, output, digits)


def _exact(net: Network) -> Network:
    """Get a network in float64, whose digits that are shown do not depend on the rows beside."""
    exact = type(net).from_spec({**net.to_spec(), "dtype": "float64"})
    for source, target in zip(
        [*net.params, *net.state], [*exact.params, *exact.state], strict=True
    ):
        target.set_value(source.get_value().astype(target.dtype))
    return exact
