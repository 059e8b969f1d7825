"""``theanets train`` and ``theanets predict``: tables."""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from sklearn import metrics
from sklearn.model_selection import train_test_split

from ..errors import ConfigurationError, DataError, FileError, unknown
from ..feedforward import Classifier, Regressor
from ..network import Network
from . import columns
from .columns import Classes, Quantity
from .options import fit, training

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
    test_fraction: float,
    **options: Any,
) -> None:
    """Train a network on a table DATA, a file of separated values with a line of names.

    Numbers are standardized, text becomes an indicator of each value, and
    missing values say nothing. A fifth of the rows is kept to test on, and a
    fifth of the others to validate on. The network is saved together with
    what `theanets predict` needs to know of the columns.
    """
    frame = columns.read(data)
    for name in (target, *ignore):
        if name not in frame:
            raise unknown("column", name, frame.columns)
    missing = int(frame[target].isna().sum())
    if missing:
        _note(f"{missing} rows without a value of {target!r} are left out")
        frame = frame.dropna(subset=[target])
    if len(frame) < columns.FEWEST_ROWS:
        rows = "1 row is" if len(frame) == 1 else f"{len(frame)} rows are"
        raise DataError(
            f"{data}: {rows} too few to train, validate and test on; "
            f"give {columns.FEWEST_ROWS} at least"
        )
    values = frame[target]
    classes = columns.is_classes(values) if task == "auto" else task == "classification"
    inside, test = _split(values, test_fraction, classes, options["seed"])
    fitting, valid = _split(values.iloc[inside], 0.2, classes, options["seed"])
    fitting, valid = inside[fitting], inside[valid]

    features = frame.drop(columns=[target, *ignore])
    known = columns.find(features.iloc[fitting], _note)
    x = columns.encode(features, known)
    kind = Classes.of(values) if classes else Quantity.of(_numbers(values).iloc[fitting])
    y = kind.encode(values)
    hidden = [(size, activation) for size in layers]
    if isinstance(kind, Classes):
        if len(kind.names) < 2:
            raise DataError(f"column {target!r} has one value; there is nothing to predict")
        net: Network = Classifier([x.shape[1], *hidden, len(kind.names)], rng=options["seed"])
    else:
        net = Regressor([x.shape[1], *hidden, 1], rng=options["seed"])
    net.metadata["table"] = {"target": target, "columns": known, "kind": vars(kind)}

    if isinstance(kind, Classes):
        what = f"classification, {len(kind.names)} classes"
    else:
        what = "regression"
    of = "1 column" if len(known) == 1 else f"{len(known)} columns"
    click.echo(f"{what}; {x.shape[1]} input{'s' * (x.shape[1] != 1)} from {of}")
    click.echo(f"{len(fitting)} rows to train on, {len(valid)} to validate, {len(test)} to test")
    model = output or Path(f"{'table' if data.name == '-' else data.stem}.safetensors")
    try:
        fit(net, [x[fitting], y[fitting]], [x[valid], y[valid]], model, options)
    finally:
        if len(net.history):
            _report(net, kind, x[test], values.iloc[test])


def _numbers(values: pd.Series) -> pd.Series:
    try:
        return pd.to_numeric(values)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"column {values.name!r} cannot be a regression's target: {error}"
        ) from None


def _split(values: pd.Series, fraction: float, classes: bool, seed: int) -> tuple[Any, Any]:
    """Get the positions of rows of two parts; each has all classes where that is possible."""
    rows = np.arange(len(values))
    # A class may have one row, and there may be more classes than rows in the smaller part.
    for stratify in (values, None) if classes else (None,):
        with suppress(ValueError):
            return tuple(
                train_test_split(rows, test_size=fraction, random_state=seed, stratify=stratify)
            )
    raise DataError(f"{len(values)} rows are too few to split")


def _report(net: Network, kind: Classes | Quantity, x: Any, values: pd.Series) -> None:
    """Say how good the network is on rows that it never saw, and how good a guess would be."""
    if isinstance(kind, Classes):
        found, right = net.predict(x), kind.encode(values)
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
        predicted, numbers = kind.decode(net.predict(x)), values.to_numpy(float)
        figures = {
            "R2": metrics.r2_score(numbers, predicted),
            "root mean squared error": metrics.root_mean_squared_error(numbers, predicted),
            "mean absolute error": metrics.mean_absolute_error(numbers, predicted),
            "standard deviation of the target": numbers.std(),
        }
    click.echo(f"on the {len(values)} rows to test on:")
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
def predict(model: Path, data: Path, output: Path | None, probabilities: bool) -> None:
    """Predict for each row of a table DATA with a network MODEL of `theanets train`.

    The result is a table of the same rows with a column of the target's name.
    """
    net = Network.load(model)
    table = net.metadata.get("table")
    if table is None:
        raise FileError(f"{model}: this network is not one of 'theanets train'")
    x = columns.encode(columns.read(data), table["columns"])
    digits = columns.DIGITS
    if isinstance(net, Classifier):
        names = Classes(**table["kind"]).names
        chances = net.predict_proba(x)
        result = pd.DataFrame({table["target"]: [names[i] for i in chances.argmax(axis=-1)]})
        if probabilities:
            for i, name in enumerate(names):
                result[f"{table['target']}={name}"] = chances[:, i].round(6)
    elif probabilities:
        raise ConfigurationError(f"{model} predicts a number; --probabilities is for classes")
    else:
        kind = Quantity(**table["kind"])
        result = pd.DataFrame({table["target"]: kind.decode(net.predict(x))})
        digits = kind.digits
    result.to_csv(output or sys.stdout, index=False, float_format=f"%.{digits}g")
