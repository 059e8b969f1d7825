"""The blocks of code in pages of the documentation."""

import re

BLOCK = re.compile(r"^```(py|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page, kinds=("python",)):
    """Get the blocks of code of a page, padded so that line numbers are the page's.

    Those of the kind "py" need something that the rest of the page does not, or take long.
    """
    text = page.read_text(encoding="utf-8")
    return [
        "\n" * text[: m.start(2)].count("\n") + m[2] for m in BLOCK.finditer(text) if m[1] in kinds
    ]
