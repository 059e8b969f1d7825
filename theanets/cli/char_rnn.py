"""``theanets char-rnn``: texts, character by character."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from .. import recurrent
from ..errors import DataError, FileError
from ..network import Network
from .options import fit, read_text, training

READABLE = click.Path(exists=True, dir_okay=False, path_type=Path)
WRITABLE = click.Path(dir_okay=False, path_type=Path)


@click.command("char-rnn", short_help="Learn to write from texts, and continue them.")
@click.option(
    "-d",
    "--data",
    "files",
    type=READABLE,
    multiple=True,
    help="A text file to learn from; may be repeated. Without one, the saved network only writes.",
)
@click.option(
    "-s",
    "--save-progress",
    "--model",
    "model",
    type=WRITABLE,
    default="char-rnn.safetensors",
    show_default=True,
    help="The network's file.",
)
@click.option(
    "-S",
    "--save-every",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Epochs between saving; 0 is at the end.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with training that was interrupted, if there is any; its state is in a "
    "file beside the network's that ends in .checkpoint.",
)
@click.option(
    "-t",
    "--time",
    "steps",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Characters through which gradients go back.",
)
@click.option(
    "-a", "--alphabet", help="The characters to learn; by default all that are frequent enough."
)
@click.option(
    "-A",
    "--min-count",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="How often a character has to occur to be in the alphabet.",
)
@click.option(
    "-l",
    "--layers",
    "sizes",
    type=click.IntRange(1),
    multiple=True,
    default=[128],
    show_default=True,
    help="Units of a recurrent layer; may be repeated.",
)
@click.option(
    "-L",
    "--layer-type",
    default="lstm",
    show_default=True,
    help="Form of the layers: rnn, lstm, gru, scrn, mut1, clockwork, ...",
)
@click.option("-g", "--activation", help="Activation of the layers; by default the form's.")
@click.option(
    "-B", "--train-batches", type=click.IntRange(1), help="Batches in an epoch; by default all."
)
@click.option(
    "-V", "--valid-batches", type=click.IntRange(1), help="Batches in a validation; by default all."
)
@click.option(
    "--sample",
    "count",
    type=click.IntRange(0),
    default=400,
    show_default=True,
    help="Characters to write in the end.",
)
@click.option("--prompt", default="The ", show_default=True, help="The beginning of the sample.")
@click.option(
    "--temperature",
    type=click.FloatRange(0, min_open=True),
    default=0.7,
    show_default=True,
    help="Below 1 what is probable is written even more often.",
)
@click.option("--top-k", type=click.IntRange(1), help="Write only the k most probable characters.")
@click.option("--greedy", is_flag=True, help="Always write the most probable character.")
@training
def char_rnn(
    files: tuple[Path, ...],
    model: Path,
    resume: bool,
    steps: int,
    alphabet: str | None,
    min_count: int,
    sizes: tuple[int, ...],
    layer_type: str,
    activation: str | None,
    count: int,
    prompt: str,
    temperature: float,
    top_k: int | None,
    greedy: bool,
    **options: Any,
) -> None:
    """Learn to write from texts, character by character, and continue a prompt.

    The first nine tenths of the text are read again and again, side by side
    in pieces, each from beginning to end; the rest is validated on.
    """
    seed = options["seed"]
    if not files and not model.exists():
        raise click.UsageError(f"there is no network {str(model)!r}; give a text with --data")
    if files:
        text = "\n".join(read_text(path) for path in files)
        cut = len(text) * 9 // 10
        known = recurrent.Text(text[:cut], alpha=alphabet, min_count=min_count)
        if known.classes == 1:
            raise DataError("there are no characters to learn")
        net = _network(known, sizes, layer_type, activation, seed)
        _train(net, known, text[cut:], steps, model, resume, options)
    else:
        net, known = _load(model)
    if count:
        labels = net.predict_sequence(
            known.encode(prompt) or [0],
            count,
            temperature=temperature,
            top_k=top_k,
            greedy=greedy,
            rng=seed,
        )
        click.echo(prompt + known.decode(labels))


def _network(
    text: recurrent.Text,
    sizes: tuple[int, ...],
    form: str,
    activation: str | None,
    seed: int,
) -> recurrent.Classifier:
    options = {"form": form, "stateful": True}
    if activation is not None:
        options["activation"] = activation
    layers = [{**options, "size": size} for size in sizes]
    net = recurrent.Classifier([text.classes, *layers, text.classes], rng=seed)
    net.metadata["text"] = {"alpha": text.alpha, "unknown": text.unknown}
    return net


def _load(model: Path) -> tuple[recurrent.Classifier, recurrent.Text]:
    net = Network.load(model)
    described = net.metadata.get("text")
    if described is None or not isinstance(net, recurrent.Classifier):
        raise FileError(f"{model}: this network is not one of 'theanets char-rnn'")
    return net, recurrent.Text("", **described)


def _train(
    net: recurrent.Classifier,
    known: recurrent.Text,
    rest: str,
    steps: int,
    model: Path,
    resume: bool,
    options: dict[str, Any],
) -> None:
    state = model.with_name(model.name + ".checkpoint")
    if resume and not state.exists():
        click.echo(
            f"there is nothing to resume (no file {str(state)!r}); training starts", err=True
        )
    if not resume:
        state.unlink(missing_ok=True)
    valid_text = recurrent.Text(rest, alpha=known.alpha, unknown=known.unknown)
    train = known.contiguous_batches(steps, options["batch_size"])
    valid = valid_text.contiguous_batches(steps, min(options["batch_size"], 8))
    click.echo(f"{len(known.text)} characters to learn, {len(rest)} to validate, "
               f"{known.classes - 1} in the alphabet")  # fmt: skip
    try:
        fit(net, train, valid, model, {**options, "checkpoint": state})
    finally:
        if len(net.history):
            bits = net.evaluate(valid)["xe"] / math.log(2)
            click.echo(f"{bits:.3f} bits per character of the validation")
    state.unlink(missing_ok=True)
