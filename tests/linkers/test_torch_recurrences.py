"""Recurrences of any equations by PyTorch: series of one length, and what is not in the loop."""

import numpy as np
import pytensor.tensor as pt
import pytest
from recurrent_cases import CELLS, Case, close

torch = pytest.importorskip("torch")

from theanets.ops.recurrent import by_numpy, by_torch  # noqa: E402
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


def truth(x, h, a, b):
    return x + pt.gt(h, 0) * a + b


def both_in_one_sum(x, h, a, b):
    return x + a + b


def used_twice(x, h, a, b):
    return (x + a) * (a + x * x) + b


@pytest.mark.parametrize("pre", [truth, both_in_one_sum, used_twice])
def test_sums(pre):
    def step(x, s, v, dot, count):
        a, b = dot("hh", s.h)
        out = pt.tanh(pre(x.h, s.h, a, b) + v.b)
        return {"h": out}, {"out": out}

    cell = of(step, dots={"hh": ("n", ("n", "n"))})
    rng = np.random.default_rng(0)
    shapes = [(3, 4, 5), (3, 5), (5,), (5, 10)]
    z, *others = (rng.normal(size=shape) for shape in shapes)
    kept, lengths = (True,) * cell.num_arrays, np.array([4, 2, 0])
    wanted = by_numpy.forward(cell, kept)(False, z, lengths, *others)
    found = by_torch.forward(cell, kept, False)(*map(torch.as_tensor, (z, lengths, *others)))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
