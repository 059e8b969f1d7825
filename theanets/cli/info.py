"""``theanets info`` and ``theanets warmup``."""

from __future__ import annotations

from pathlib import Path

import click

from .. import precompile
from ..network import Network
from .schema import Schema


@click.command(short_help="Describe a saved network.")
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def info(model: Path) -> None:
    """Describe the network in the file MODEL: its layers, losses and what it was made from."""
    net = Network.load(model)
    click.echo(f"{model}: {type(net).__name__}, {model.stat().st_size / 1024:.1f} kB")
    click.echo(net.summary())
    table = net.metadata.get("table")
    if table is not None:
        click.echo(f"predicts {table['target']!r} from a table with the columns")
        schema = Schema.from_dict(table.get("schema", {}), str(model))
        for column in schema.columns:
            click.echo(f"  {column.name!r}: {column.describe()}")
        if schema.ignored:
            click.echo(f"  ignored: {', '.join(map(repr, schema.ignored))}")
    text = net.metadata.get("text")
    if text is not None:
        click.echo(f"continues texts of the characters {text['alpha']!r}")


@click.command(short_help="Fill the cache of compiled code.")
@click.argument("kinds", nargs=-1, type=click.Choice(list(precompile.KINDS)))
@click.option("--mode", help="How to compile: NUMBA or CVM.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float32",
    show_default=True,
    help="Type of the networks.",
)
def warmup(kinds: tuple[str, ...], mode: str | None, dtype: str) -> None:
    """Compile what common networks of these kinds need, by default of all, for later processes."""
    seconds = precompile.warmup(kinds or tuple(precompile.KINDS), dtype=dtype, mode=mode)
    click.echo(f"{len(seconds)} networks in {sum(seconds.values()):.0f} s")
