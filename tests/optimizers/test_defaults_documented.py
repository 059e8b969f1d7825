"""The defaults of algorithms that the guide lists are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from theanets import optimizers
from theanets.optimizers import Optimizer

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "training.md"
OURS = [n for n in Optimizer.registry if Optimizer.registry[n].__module__.startswith("theanets.")]


def row(algo):
    """Get the rate, and the other cells' text, of the row of an algorithm."""
    text = GUIDE.read_text(encoding="utf-8").split("| algorithm | `learning_rate` | besides |")[1]
    rows = [line.split("|")[1:4] for line in text.strip().partition("\n\n")[0].splitlines()[1:]]
    found = {name: (cells[1].strip(), cells[2]) for cells in rows for name in names(cells[0])}
    assert sorted(found) == sorted(OURS)
    rate, besides = found[algo]
    if "the same" in besides:
        besides = found["adam"][1] + besides
    return rate, besides


def names(cell):
    return re.findall(r"`([\w-]+)`", cell)


def rounded(value, text):
    """Get a number to as many digits as there are in a text, as a number."""
    digits = len(re.sub(r"^[0.]+|e.*$|\.", "", text)) or 1
    return float(f"{value:.{digits}g}")


@pytest.mark.parametrize("algo", OURS)
def test_the_table_of_defaults(algo):
    form, made, (rate, besides) = Optimizer.registry[algo], optimizers.build(algo), row(algo)
    assert (float(rate) if rate else None) == made.values.get("learning_rate")
    written = dict(re.findall(r"`(\w+)` = ([\w.+-]*\w)", besides))
    for name, text in written.items():
        if name in made.options:
            assert text == str(made.options[name])
        elif name in made.values:
            assert float(text) == rounded(made.values[name], text)
        else:
            assert float(text) == {hyper.halflife: hyper.default for hyper in form.hypers}[name]
    # All that is not as for other algorithms.
    usual = {hyper.name: hyper.default for hyper in optimizers.FirstOrder.all_hypers()}
    own = {name for name, value in made.values.items() if usual.get(name) != value}
    halflives = {hyper.halflife for hyper in form.hypers if hyper.halflife}
    assert {*written} == (own | halflives | {*form.flags}) - {"learning_rate"}
    ahead = "`nesterov` for `nag`" in besides and algo == "nag"
    assert ahead == made.options.get("nesterov", False)
