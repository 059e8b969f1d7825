"""Plans of steps, and the loops that are printed for them."""

import doctest
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from recurrent_cases import CELLS, ROWS, Case, close
from scipy.special import expit

import theanets.ops.recurrent
from theanets.ops.recurrent import by_numpy
from theanets.ops.recurrent.cell import with_cotangents
from theanets.ops.recurrent.loops import BackwardPrinter, ForwardPrinter
from theanets.ops.recurrent.plan import backward_plan, forward_plan, is_zero
from theanets.ops.recurrent.scalars import COSTLY, TRUTHS
from theanets.ops.recurrent.values import LEAVES

PRINTED = Path(__file__).parent / "printed"


@pytest.fixture(autouse=True)
def cells(monkeypatch):
    for name, made in ROWS.items():
        monkeypatch.setitem(CELLS, name, made)


@cache
def cell_of(name):
    return Case(name).fast()[0]["out"].owner.op.cell


def walk(cell, plan, given, product):
    """Go through a plan as a step does, and get its stores as (wave, last wave, store).

    ``given`` are values that are read though they are not leaves, ``product`` is the kind of
    leaf that a product gives.
    """
    multiplied, kept, stores, where = set(), set(), [], {}
    for w, wave in enumerate(plan.waves):
        completed = set()
        for loop in wave.loops:
            there = set()
            for index in loop.loads:
                value = cell.values[index]
                assert value.op in LEAVES or index in given
                assert value.op != product or index in given or value.args[0] in multiplied
                there.add(index)
            assert set(loop.temporaries) <= kept
            there |= set(loop.temporaries)
            for index in loop.order:
                assert set(cell.values[index].args) <= there
                there.add(index)
                where.setdefault(index, set()).add(w)
            for store in loop.stores:
                assert store.value in there
                stores.append((w, store))
                if store.kind in ("w", "r"):
                    completed.add(store.index[0])
        kept |= completed
        if wave.dot is not None:
            multiplied.add(wave.dot)
    for _, store in stores:
        assert store.kind != "w" or cell.values[store.value].op not in TRUTHS
    assert multiplied == set(range(len(cell.dots)))
    # What costs much is computed once.
    assert all(len(waves) == 1 for i, waves in where.items() if cell.values[i].op in COSTLY)
    assert {i for i, _ in plan.temporaries} == kept
    return stores, [wave.dot for wave in plan.waves]


@pytest.mark.parametrize("name", [*CELLS, *ROWS])
def test_a_step_is_planned(name):
    cell = cell_of(name)
    made = [True] * cell.num_arrays
    stores, dots = walk(cell, forward_plan(cell, made), set(), "d")
    found = sorted((s.kind, s.index) for _, s in stores if s.kind not in ("w", "r"))
    bare = [cell.bare(k) is not None for k in range(len(cell.dots))]
    expected = [("e", (k,)) for k, yes in enumerate(bare) if not yes]
    expected += [("s", (i,)) for i, _ in enumerate(cell.states)]
    expected += [("o", (i,)) for i, _ in enumerate(cell.outputs)]
    assert found == sorted(expected)
    for w, store in stores:
        # States are replaced when nothing reads the old ones any more.
        assert store.kind != "s" or w == len(dots) - 1
        assert store.kind != "e" or w <= dots.index(store.index[0])


@pytest.mark.parametrize("all_given", [True, False])
@pytest.mark.parametrize("name", [*CELLS, *ROWS])
def test_its_derivative_is_planned(name, all_given):
    whole = cell_of(name)
    cell = with_cotangents(whole, [all_given or i == 0 for i in range(whole.num_arrays)])
    stores, dots = walk(cell, backward_plan(cell), set(cell.outputs), "gd")
    found = sorted((s.kind, s.index) for _, s in stores if s.kind not in ("w", "r"))
    expected = [("dz", (i,)) for i, _ in enumerate(cell.blocks)]
    expected += [("dd", (k, j)) for k, dot in enumerate(cell.dots) for j, _ in enumerate(dot.dims)]
    expected += [("e", (k,)) for k, _ in enumerate(cell.dots) if cell.bare(k) is None]
    expected += [
        ("dv", (i, j))
        for i, sizes in enumerate(cell.vectors)
        for j, _ in enumerate(sizes)
        if cell.trained[i]
    ]
    expected += [("part", (i,)) for i, v in enumerate(cell.d_states) if not is_zero(cell, v)]
    assert found == sorted(expected)
    assert all(w <= dots.index(s.index[0]) for w, s in stores if s.kind == "dd")


# ---- printed loops ---------------------------------------------------------------


class Numpy:
    """NumPy whose empty arrays are no numbers, so that whoever reads them is found out."""

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype):
        return np.full(shape, np.nan, dtype)

    def empty_like(self, x):
        return np.full_like(x, np.nan)


#: What printed source calls, done by Python.
SCOPE = {
    "np": Numpy(),
    "F": np.float64,
    "U": int,
    "loop": lambda function: function,
    "tanh": np.tanh,
    "sigmoid": expit,
    "exp": np.exp,
    "softplus": lambda x: np.logaddexp(0, x),
    "plus": lambda total, x: total + x,
}


def executed(source):
    scope = dict(SCOPE)
    exec(compile(source, "<printed>", "exec"), scope)
    return scope["run"]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", [*CELLS, *ROWS])
def test_loops_do_what_arrays_do(name, reverse):
    """The source for Numba, which Python understands too, and the source for NumPy."""
    by_numba = pytest.importorskip("theanets.ops.recurrent.by_numba")
    case = Case(name, steps=3, lengths=(3, 1, 0))
    cell = cell_of(name)
    kept, many = (True,) * cell.num_arrays, cell.num_arrays
    given, final = (True,) * many, (True,) * len(cell.states)
    inputs = case.arguments
    expected = by_numpy.forward(cell, kept)(reverse, *inputs)
    found = executed(by_numba.forward_source(cell, kept, reverse))(*inputs)
    close(found, expected, 1e-12)
    rng = np.random.default_rng(2)
    used = by_numpy.backward_inputs(with_cotangents(cell, given), given)
    arriving = [rng.normal(size=a.shape) for a in expected]
    inputs = [*inputs, *(expected[i] for i in used), *arriving]
    expected = by_numpy.backward(cell, given, final)(reverse, 2, *inputs)
    source = by_numba.backward_source(cell, given, final, reverse, 2, False)
    found = executed(source)(*inputs)
    close(list(found), expected, 1e-10)
    assert all(np.abs(g).max() > 1e-3 for g in found[:1])


def printed(name):
    """Print the loops of a step and those of its derivative."""
    cell = cell_of(name)
    every = (True,) * cell.num_arrays
    back = with_cotangents(cell, every)
    parts = []
    for printer in (
        ForwardPrinter(cell, forward_plan(cell, every)),
        BackwardPrinter(back, backward_plan(back), every),
    ):
        for w, wave in enumerate(printer.plan.waves):
            for loop in wave.loops:
                printer.loop(f"loop_{w}_{loop.dim}", loop)
        parts += printer.functions
    return "\n\n".join(parts) + "\n"


@pytest.mark.parametrize("name", ["gru", "norm:mean"])
def test_what_is_printed(name):
    """Two products in a step, and a sum of a row. Written anew by deleting the file."""
    path = PRINTED / f"{name.replace(':', '_')}.txt"
    if not path.exists():
        path.write_text(printed(name))
        pytest.fail(f"{path} is new: read it")
    assert printed(name) == path.read_text()


def test_the_tour_is_true():
    found = doctest.testmod(theanets.ops.recurrent)
    assert found.failed == 0 and found.attempted >= 8
