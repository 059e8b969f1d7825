"""Recurrences of any equations by PyTorch: series of one length, and what is not in the loop."""

import pytensor.tensor as pt
import pytest
from recurrent_cases import CELLS, Case, close

torch = pytest.importorskip("torch")

from theanets.ops.recurrent import by_torch  # noqa: E402
from theanets.ops.recurrent.cell import with_cotangents  # noqa: E402
from theanets.ops.recurrent.trace import Layout, trace  # noqa: E402

pytestmark = [
    pytest.mark.linker,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of PyTorch, about itself
]


@pytest.mark.parametrize("cell", CELLS)
def test_series_of_one_length(cell):
    case = Case(cell, steps=3, lengths=(3, 3))
    options = dict(reverse=cell in ("rnn", "clock", "many"), limit=2 * (cell in ("gru", "scrn")))
    expected = case.run(*case.fast(**options), mode="FAST_COMPILE")
    close(case.run(*case.fast(**options), mode="PYTORCH"), expected, 1e-11)


def body(source):
    """Get the lines of a function before its loop, and in it."""
    lines = source.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("    for t in"))
    inner = [line.strip() for line in lines[start + 1 :] if line.startswith(" " * 8)]
    return "\n".join(lines[:start]), inner


def calls(lines):
    """Get the lines that compute, by what they call."""
    return [line for line in lines if not line.startswith(("p", "all_", "new", "s", "G"))]


def of(step, **layout):
    sizes = dict(sizes=("n",), blocks={"h": "n"}, states={"h": "n"}, dots={"hh": ("n", ("n",))})
    return trace(Layout(**{**sizes, "vectors": {"b": "n"}, **layout}), step, "float64")[0]


def test_what_is_known_is_added_to_the_product():
    def step(x, s, v, dot, count):
        (through,) = dot("hh", s.h)
        out = pt.tanh(x.h + through + v.b)
        return {"h": out}, {"out": out}

    before, inner = body(by_torch.forward_source(of(step), [True], False))
    assert "K0 = " in before
    assert [line.split(" = ")[1].split("(")[0] for line in calls(inner)] == [
        "torch.addmm",
        "d0",
        "torch.tanh",
    ]


def test_what_no_step_needs_comes_after_the_loop():
    def step(x, s, v, dot, count):
        (through,) = dot("hh", s.h)
        out = pt.tanh(x.h + through)
        return {"h": out}, {"out": out, "shown": pt.exp(out) * pt.sqr(x.h)}

    cell = of(step, vectors={})
    _, inner = body(by_torch.forward_source(cell, [True] * cell.num_arrays, False))
    assert not any("exp" in line for line in inner)


def test_a_product_that_is_used_twice_is_left_alone():
    def step(x, s, v, dot, count):
        (through,) = dot("hh", s.h)
        out = pt.tanh(x.h + through) + through * v.b
        return {"h": out}, {"out": out}

    cell = of(step)
    _, inner = body(by_torch.forward_source(cell, [True] * cell.num_arrays, False))
    assert not any("addmm" in line for line in inner)


def test_of_the_derivative_only_what_is_carried_is_in_the_loop():
    def step(x, s, v, dot, count):
        (through,) = dot("hh", s.h)
        out = pt.tanh(x.h + through + v.b)
        return {"h": out}, {"out": out}

    cell, given = of(step), (True,)
    source = by_torch.backward_source(with_cotangents(cell, given), given, (False,), False, 0)
    _, inner = body(source)
    # The sum with what arrives, its product with the slope, and that with the weights.
    computing = [line for line in inner if not line.startswith(("p", "all_", "G"))]
    assert len(computing) == 4, computing
