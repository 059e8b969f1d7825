"""Markup: text and tables as they may stand in HTML and XML."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any


def clean(text: str) -> str:
    """Get a text as it may stand in XML and HTML."""
    # Characters that no escape can say in XML.
    kept = "".join(
        c if c in "\t\n" or 32 <= ord(c) < 0xD800 or 0xE000 <= ord(c) < 0xFFFE or ord(c) > 0xFFFF
        else "\ufffd"
        for c in text
    )  # fmt: skip
    return html.escape(kept)


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Make an HTML table; numbers are set to the right."""
    lines = ["<table><thead><tr>", *(f"<th>{clean(head)}</th>" for head in heads)]
    lines.append("</tr></thead><tbody>")
    for row in rows:
        cells = []
        for value in row:
            number = isinstance(value, (int, float))
            text = f"{value:,}" if isinstance(value, int) else number_text(value)
            side = "right" if number else "left"
            cells.append(f'<td style="text-align:{side}">{clean(text)}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "".join([*lines, "</tbody></table>"])


def number_text(value: Any) -> str:
    """Write a number in few digits, None as nothing, and anything else as it is."""
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
