"""The drawing of a network: its layers, what joins them, and its losses, as SVG."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import names
from ..errors import ConfigurationError, naming
from ..layers import Layer
from ..losses import Loss
from ..markup import clean, table
from .layout import arrange

#: Size of the text of a box's first line and of the others, and the height of a line.
_HEAD, _SMALL, _LINE = 14.0, 12.0, 17.0
_PAD, _MARGIN, _TAP = 12.0, 14.0, 16.0
#: How far apart lines enter a box, and the longest text that is shown in full.
_ENTRY, _LONGEST = 14.0, 32
#: Fill and line of each kind; told apart by their corners as well.
_COLOURS = {
    "input": ("#f4f4f4", "#555555"),
    "layer": ("#dceaf7", "#20557f"),
    "loss": ("#fdebd3", "#9a5200"),
}
_INK, _FONT = "#1a1a1a", "Helvetica, Arial, 'Liberation Sans', sans-serif"


class Drawing(str):
    """A picture as the text of an SVG file; notebooks show it as a picture."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file.

        Raises
        ------
        ConfigurationError
            If the name of the file does not end in ``.svg``.
        FileError
            If it cannot be written.
        """
        if Path(path).suffix.lower() != ".svg":
            raise ConfigurationError(f"path={os.fspath(path)!r}: a drawing is an '.svg' file")
        with naming(path):
            Path(path).write_text(self, encoding="utf-8")

    def _repr_svg_(self) -> str:
        return str(self)


@dataclass
class _Box:
    """What stands in a box."""

    kind: str
    head: str
    lines: list[str]
    #: Outputs that have a place of their own where lines leave.
    taps: list[str] = field(default_factory=list)
    entries: int = 0
    tip: str = ""

    @property
    def width(self) -> float:
        texts = [_wide(self.head, _HEAD, bold=True), *(_wide(t, _SMALL) for t in self.lines)]
        taps = sum(_tap_width(tap) for tap in self.taps) + 6 * max(len(self.taps) - 1, 0)
        entries = _ENTRY * max(self.entries - 1, 0)
        return max(64.0, 2 * _PAD + max([*texts, taps, entries]))

    @property
    def body(self) -> float:
        return _LINE * (1 + len(self.lines)) + 12

    @property
    def height(self) -> float:
        return self.body + (_TAP if self.taps else 0)

    def exits(self, x: float) -> dict[str, float]:
        """Get where the lines of each output leave, for the middle of the box."""
        widths = [_tap_width(tap) for tap in self.taps]
        at = x - (sum(widths) + 6 * max(len(widths) - 1, 0)) / 2
        found = {}
        for tap, width in zip(self.taps, widths, strict=True):
            found[tap] = at + width / 2
            at += width + 6
        return found


def draw(layers: Sequence[Layer], losses: Sequence[Loss], title: str = "network") -> Drawing:
    """Draw layers and losses.

    Parameters
    ----------
    layers : list of Layer
        In order.
    losses : list of Loss
        What the outputs are compared in. Dashed lines lead to them.
    title : str
        What the picture is called, for those who do not see it.

    Returns
    -------
    Drawing
        A box for each layer, with its form, activation, shape of one
        example's output and number of parameters; where an output other than
        ``out`` is used, its name is below the box. A rounder box for each
        loss, with its weight and target.
    """
    boxes = [_layer_box(layer) for layer in layers] + [_loss_box(loss) for loss in losses]
    places = {str(layer.name): i for i, layer in enumerate(layers)}
    joins: list[tuple[int, int, str]] = []
    items: list[Layer | Loss] = [*layers, *losses]
    for i, item in enumerate(items):
        sources = item.output_names if isinstance(item, Loss) else item.input_names
        for name in dict.fromkeys(sources):
            layer, output = names.split_output(name)
            # A loss may be about a layer that is yet to come.
            if layer in places and places[layer] < i:
                joins.append((places[layer], i, output))
    for source, target, output in joins:
        boxes[target].entries += 1
        if output not in boxes[source].taps:
            boxes[source].taps.append(output)
    for box in boxes:
        if box.taps == ["out"]:
            box.taps = []
    sizes = [(box.width, box.height) for box in boxes]
    layout = arrange(sizes, [(source, target) for source, target, _ in joins])
    # Outputs leave, and lines enter, in the order of where the lines lead.
    for i, box in enumerate(boxes):
        leads = [(layout.bends[j][1][0], out) for j, (s, _, out) in enumerate(joins) if s == i]
        mean = {tap: [x for x, out in leads if out == tap] for tap in box.taps}
        box.taps.sort(key=lambda tap: sum(mean[tap]) / len(mean[tap]))
    entering: dict[int, list[int]] = {}
    for j in sorted(range(len(joins)), key=lambda j: layout.bends[j][-2][0]):
        entering.setdefault(joins[j][1], []).append(j)
    parts = []
    for j, (source, target, output) in enumerate(joins):
        x, y = layout.boxes[source]
        start = boxes[source].exits(x).get(output, x), y + boxes[source].height / 2
        every = entering[target]
        x, y = layout.boxes[target]
        end = x + (every.index(j) - (len(every) - 1) / 2) * _ENTRY, y - boxes[target].height / 2
        dashed = boxes[target].kind == "loss"
        parts.append(_line(start, layout.bends[j], end, dashed))
    for box, (x, y) in zip(boxes, layout.boxes, strict=True):
        parts.append(_box(box, x, y - box.height / 2))
    return _page(parts, layout.width, layout.height, title)


def _layer_box(layer: Layer) -> _Box:
    form = type(layer).__name__.lower()
    what = "input" if layer.is_input else "layer"
    lines = [form]
    activation = layer.activation.name
    if what == "layer" and activation != "linear":
        lines[0] += f" · {activation}"
    if hasattr(layer, "partner"):
        lines.append(f"weights of {_short(str(layer.partner.name))}")
    shape = shape_text(layer.output_shapes.get("out", ()))
    if layer.num_params:
        shape += f" · {layer.num_params:,} parameter" + "s" * (layer.num_params != 1)
    return _Box(what, _short(str(layer.name)), [*lines, shape], tip=str(layer.name))


def _loss_box(loss: Loss) -> _Box:
    weight = "" if loss.weight == 1 else f"{loss.weight:g} × "
    variable = loss.variables[0] if loss.variables else None
    target = _short(str(loss.target_name or getattr(variable, "name", None) or "target"))
    target = "target" if target == "target" else f"target {target}"
    target += ", weighted" if loss.weighted else ""
    return _Box("loss", weight + _short(loss.name), [target], tip=loss.log())


def shape_text(shape: Iterable[int | None]) -> str:
    """Write a shape: ``'28 × 28'``, with a question mark for any length."""
    return " × ".join("?" if n is None else str(n) for n in shape) or "scalar"


def _short(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST // 2]}…{text[1 - _LONGEST // 2 :]}"


def _wide(text: str, size: float, bold: bool = False) -> float:
    """Estimate how wide a text is: no less than it is in the usual fonts."""
    total = 0.0
    for char in text:
        if unicodedata.combining(char):
            continue
        if unicodedata.east_asian_width(char) in "WF" or ord(char) > 0xFFFF:
            total += 1.1
        elif char in "ijlI.,:;|!'()[]· ":
            total += 0.36
        elif char in "mwMW@%…&":
            total += 0.95
        elif char.isupper():
            total += 0.72
        else:
            total += 0.57
    return total * size * (1.06 if bold else 1.0)


def _tap_width(tap: str) -> float:
    return _wide(tap, 11.0) + 12


def _box(box: _Box, x: float, top: float) -> str:
    fill, stroke = _COLOURS[box.kind]
    corner = {"input": 0.0, "layer": 5.0, "loss": box.body / 2}[box.kind]
    left, width = x - box.width / 2, box.width
    parts = [
        f"<g><title>{clean(box.tip)}</title>",
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{box.body:.1f}" '
        f'rx="{corner:.1f}" fill="{fill}" stroke="{stroke}" stroke-width="1.3"/>',
        _text(box.head, x, top + 20, _HEAD, "bold"),
    ]
    for i, line in enumerate(box.lines):
        parts.append(_text(line, x, top + 20 + (i + 1) * _LINE, _SMALL))
    for tap, at in box.exits(x).items():
        wide = _tap_width(tap)
        y = top + box.body
        parts.append(
            f'<rect x="{at - wide / 2:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{_TAP:g}" '
            f'fill="#ffffff" stroke="{stroke}" stroke-width="1"/>'
        )
        parts.append(_text(tap, at, y + 12, 11.0))
    return "".join([*parts, "</g>"])


def _text(text: str, x: float, y: float, size: float, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" font-weight="{weight}" '
        f'fill="{_INK}" text-anchor="middle">{clean(text)}</text>'
    )


def _line(
    start: tuple[float, float],
    bends: Sequence[tuple[float, float, float]],
    end: tuple[float, float],
    dashed: bool,
) -> str:
    """Draw a line from box to box, in curves between the rows and straight down in them."""
    x, y = start
    path = [f"M{x:.1f} {y:.1f}V{bends[0][2]:.1f}"]
    y = bends[0][2]
    for i, (at, top, bottom) in enumerate(bends[1:], 1):
        last = i == len(bends) - 1
        at = end[0] if last else at
        middle = (y + top) / 2
        path.append(f"C{x:.1f} {middle:.1f} {at:.1f} {middle:.1f} {at:.1f} {top:.1f}")
        if not last:
            path.append(f"V{bottom:.1f}")
        x, y = at, bottom
    tip = end[1]
    path.append(f"V{tip - 6:.1f}")
    stroke = _COLOURS["loss"][1] if dashed else "#444444"
    dashes = ' stroke-dasharray="5 3"' if dashed else ""
    return (
        f'<path d="{" ".join(path)}" fill="none" stroke="{stroke}" stroke-width="1.4"{dashes}/>'
        f'<path d="M{x:.1f} {tip:.1f}l-4 -8h8z" fill="{stroke}"/>'
    )


def _page(parts: Sequence[str], width: float, height: float, title: str) -> Drawing:
    width, height = width + 2 * _MARGIN, height + 2 * _MARGIN
    return Drawing(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.1f} {height:.1f}" role="img" font-family="{_FONT}">'
        f"<title>{clean(title)}</title>"
        f'<rect width="100%" height="100%" rx="6" fill="#ffffff"/>'
        f'<g transform="translate({_MARGIN:g} {_MARGIN:g})">\n'
        + "\n".join(parts)
        + "\n</g></svg>\n"
    )


# ---- what is drawn of a network ----------------------------------------------------


def draw_network(net: Any) -> Drawing:
    """Draw a network, also one that is not complete yet."""
    return draw(net.layers, _losses(net), _title(net))


def network_html(net: Any) -> str:
    """Describe a network for a notebook: the drawing, and a table of its layers."""
    rows = []
    for layer in net.layers:
        inputs = ", ".join(name.removesuffix(":out") for name in layer.input_names)
        params = ", ".join(
            # Parts of a layer, as the two of a bidirectional one, have a name that is longer.
            f"{p.name.removeprefix(f'{layer.name}.').removeprefix(f'{layer.name}_')} "
            f"{shape_text(p.get_value(borrow=True).shape)}"
            for p in layer.params
        )
        form, activation = type(layer).__name__.lower(), layer.activation.name
        shape = shape_text(layer.output_shapes.get("out", ()))
        rows.append([str(layer.name), form, inputs, shape, activation, params, layer.num_params])
    heads = ["layer", "form", "inputs", "output", "activation", "parameters", "count"]
    total = " + ".join(loss.log() for loss in _losses(net)) or "none"
    return (
        f'<div><div style="overflow:auto;max-height:60em">{draw_network(net)}</div>'
        f"<p><b>{clean(_title(net))}</b></p>{table(heads, rows)}<p>loss: {clean(total)}</p></div>"
    )


def _title(net: Any) -> str:
    return f"{type(net).__name__}, {net.num_params:,} parameters, {net.dtype}"


def _losses(net: Any) -> Sequence[Loss]:
    try:
        found: Sequence[Loss] = net.bound_losses()
    except ConfigurationError:
        # Of layers that are yet to come.
        found = net.losses
    return found
