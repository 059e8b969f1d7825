"""Steps of recurrent layers that reduce rows: against steps that are unrolled."""

import numpy as np
import pytensor.tensor as pt
import pytest
from recurrent_cases import CELLS, ROWS, Case, close, norm_z, rnn, softmax, total

from theanets.ops.recurrent.trace import Layout, NotElementwiseError, trace


@pytest.fixture(autouse=True)
def cells(monkeypatch):
    for name, made in ROWS.items():
        monkeypatch.setitem(CELLS, name, made)


def made(cell, **options):
    # Unrolled steps of the layer of four gates take long to compile.
    sizes = dict(steps=2, lengths=(2, 1, 0)) if cell == "normalized lstm" else {}
    return Case(cell, **{**sizes, **options})


@pytest.mark.parametrize("cell, reverse", [(cell, i % 2 == 1) for i, cell in enumerate(ROWS)])
def test_values_and_gradients_are_those_of_unrolled_steps(cell, reverse):
    case = made(cell)
    expected = case.stepwise(reverse)
    close(case.run(*case.fast(reverse=reverse)), expected, 1e-10)


@pytest.mark.parametrize("cell", ["attention"])
def test_gradients_of_the_output_alone(cell):
    case = made(cell)
    expected = case.stepwise(names=["out"], ends=False)
    close(case.run(*case.fast(), names=["out"], ends=False), expected, 1e-10)


@pytest.mark.parametrize("cell", ["norm:z", "norm:mean", "norm:max", "softmax"])
def test_what_is_no_number_passes_as_in_unrolled_steps(cell):
    case = Case(cell, steps=2, lengths=(2,) * 5)
    case.arguments[0][:4, 0, 2] = np.nan, np.inf, -np.inf, 1e300
    with np.errstate(all="ignore"):
        expected = case.stepwise()
        found = case.run(*case.fast())
    assert not np.isfinite(expected[0][0]).all() and np.isfinite(expected[0][4]).all()
    close(found, expected, 1e-10)


def test_largest_entries_that_are_equal_get_all_of_the_gradient():
    case = Case("norm:max", steps=1, lengths=(1, 1))
    case.arguments[0][:] = np.array([3.0, -3, 1, 3, 0])
    for value in case.arguments[2:]:
        value[:] = 0
    expected = case.stepwise()
    close(case.run(*case.fast()), expected, 1e-10)


def test_a_number_for_each_row_is_spread_over_the_units(monkeypatch):
    def cell(spread):
        def step(x, s, v, dot, count):
            (a,) = dot("hh", s.h)
            out = pt.tanh(x.h + a * total(s.m))
            top = out.max(axis=1, keepdims=True) + spread * out
            return {"h": out, "m": total(out) / 2 + spread * out}, {"out": out, "top": top}

        states = {"h": "n", "m": "n"}
        return Layout(("n",), {"h": "n"}, states, {}, {"hh": ("n", ("n",))}), step

    monkeypatch.setitem(CELLS, "spread", lambda: cell(0))
    case = made("spread")
    expected = case.stepwise()
    close(case.run(*case.fast()), expected, 1e-10)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x - x.sum(axis=1),  # a row for the batch
        lambda x: x - x.sum(),
        lambda x: x / x.sum(axis=0, keepdims=True),
        lambda x: x * pt.prod(x, axis=-1, keepdims=True),
        lambda x: x - x.mean(axis=1, keepdims=True).sum(axis=1, keepdims=True),
        lambda x: x / x.shape[0],
        lambda x: softmax(x.T).T,
        lambda x: pt.special.softmax(x, axis=None),
        lambda x: pt.special.softmax(x, axis=0),
        lambda x: (x[:, None, :] * x[:, :, None]).sum(axis=-1),
    ],
)
def test_what_goes_over_other_axes_is_refused(function):
    layout, step = rnn(function)
    with pytest.raises(NotElementwiseError):
        trace(layout, step, "float64")


@pytest.mark.parametrize("first, second, same", [(0, 1, True), (1, 0, True), (1, 1, False)])
def test_rows_of_different_sizes_are_refused(first, second, same):
    def step(x, s, v, dot, count):
        (factors,) = dot("hf", s.h)
        (through,) = dot("fh", (softmax if first else pt.tanh)(x.f) * factors)
        out = pt.tanh((norm_z if second else pt.tanh)(x.h) + through)
        return {"h": out}, {"out": out}

    dots = {"hf": ("n", ("f",)), "fh": ("f", ("n",))}
    layout = Layout(("n", "f"), {"h": "n", "f": "f"}, {"h": "n"}, {}, dots)
    if same:
        trace(layout, step, "float64")
    else:
        with pytest.raises(NotElementwiseError, match="different sizes"):
            trace(layout, step, "float64")


def test_sums_are_simplified():
    """A mean that was subtracted is not subtracted again, and what a row shares is divided once."""
    case = Case("norm:z")
    ops = [v.op for v in case.fast()[0]["out"].owner.op.cell.values]
    assert ops.count("rowsum") < 8


@pytest.mark.linker
@pytest.mark.parametrize("cell, reverse", [("normalized lstm", False), ("statistics", True)])
def test_numba_agrees(cell, reverse):
    case = Case(cell, lengths=(4, 2, 0, 4))
    expected = case.run(*case.fast(reverse=reverse), mode="FAST_COMPILE")
    close(case.run(*case.fast(reverse=reverse), mode="NUMBA"), expected, 1e-10)


@pytest.mark.linker
def test_numba_passes_what_is_no_number():
    case = Case("norm:max", "float32", lengths=(4, 2, 0, 4))
    case.arguments[0][0, 1, 2] = np.nan
    case.arguments[0][3, 2, 1] = np.inf
    expected = case.run(*case.fast(), mode="FAST_COMPILE")
    assert np.isnan(expected[0]).any()
    close(case.run(*case.fast(), mode="NUMBA"), expected, 2e-5)
