"""The summary of a network as a table of text."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph
from ..losses import Loss


def summarize(graph: Graph, losses: Sequence[Loss], devices: Sequence[str] = ()) -> str:
    """Describe layers and losses.

    Parameters
    ----------
    graph : Graph
        The layers.
    losses : list of Loss
        The losses.
    devices : list of str
        Those that compute, where there may be others.

    Returns
    -------
    str
        One row for each layer: name, form, inputs, shape of one example's
        output, activation, number of parameters; then totals, losses and devices.
    """
    rows = [("layer", "form", "inputs", "output shape", "activation", "params")]
    for layer in graph.layers:
        shape = " x ".join("?" if n is None else str(n) for n in layer.output_shape) or "scalar"
        inputs = ", ".join(name.removesuffix(":out") for name in layer.input_names)
        rows.append(
            (
                str(layer.name),
                type(layer).__name__.lower(),
                inputs or "-",
                shape,
                layer.activation.name,
                f"{layer.num_params:,}",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(w) for cell, w in zip(row[:-1], widths, strict=False)]
        lines.append("  ".join([*cells, row[-1].rjust(widths[-1])]).rstrip())
    lines.insert(1, "-" * max(len(line) for line in lines))
    total = sum(layer.num_params for layer in graph.layers)
    lines.append(f"{total:,} parameters, {graph.dtype}")
    lines.append("loss: " + (" + ".join(loss.log() for loss in losses) or "none"))
    if devices:
        lines.append(f"computed on {', '.join(devices)}")
    return "\n".join(lines)
