"""Graphs as programs for the interpreter of operations that Numba compiled."""

import re

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from numba.core.dispatcher import Dispatcher
from program_cases import X, alive, compiled, program_of, several
from pytensor.compile.mode import get_mode
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_and_cache_key

from theanets import Classifier
from theanets.linkers import numba_program
from theanets.linkers.numba import Numba
from theanets.linkers.numba_program import Typed

pytestmark = pytest.mark.linker


@pytest.fixture(autouse=True)
def all_graphs_are_programs(monkeypatch):
    monkeypatch.setattr(numba_program, "LEAST", 1)


def test_a_program_gives_what_the_function_of_the_graph_gives():
    x = pt.matrix("x")
    program = program_of(compiled([x], several(x)))
    found, expected = program(X.copy()), program.whole(X.copy())
    assert isinstance(next(iter(program._typed.values())), Typed)
    assert len(found) == len(expected) == len(several(x))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    plain = pytensor.function([x], several(x), mode="FAST_COMPILE")(X)
    for one, other in zip(found, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize(
    "given",
    [
        np.asfortranarray(X),
        X[::-1, ::2],
        X[:0],
        X[:1],
        np.broadcast_to(X[:1], (3, 4)),  # cannot be written to
        np.concatenate([X] * 100_000),
    ],
    ids=["by columns", "with steps", "no rows", "one row", "read-only", "3e5 rows"],
)
def test_arrays_of_any_layout(given):
    x = pt.matrix("x")
    outputs = [pt.tanh(x * 2) + x.sum(axis=0), x.T, x[1:] - 1]
    program = program_of(compiled([x], outputs))
    before = given.copy()
    for _ in range(2):
        found = program(given)
        np.testing.assert_allclose(found[0], np.tanh(before * 2) + before.sum(0), rtol=1e-6)
        np.testing.assert_array_equal(found[1], before.T)
        np.testing.assert_array_equal(found[2], before[1:] - 1)
    np.testing.assert_array_equal(given, before)


def test_types_are_told_apart_and_each_is_compiled_for():
    x = pt.matrix("x")
    program = program_of(compiled([x], [pt.exp(x) * 3]))
    for given in (X, X.astype("float32"), X.astype("int64"), np.asfortranarray(X)):
        (found,), (expected,) = program(given), program.whole(given)
        np.testing.assert_array_equal(found, expected, strict=True)
        np.testing.assert_allclose(found, np.exp(given) * 3, rtol=1e-6)
    assert len(program._typed) == 4


def test_an_array_in_a_file_is_an_array(tmp_path):
    np.save(tmp_path / "x.npy", X)
    x = pt.matrix("x")
    program = program_of(compiled([x], [x * 2 + 1]))
    for mode in ("r", "c"):
        (found,) = program(np.load(tmp_path / "x.npy", mmap_mode=mode))
        np.testing.assert_array_equal(found, X * 2 + 1)


@pytest.mark.parametrize("given", ["no array", None, 1.5, [1.0], np.array(["a"]), X[0]])
def test_what_is_no_array_of_the_type_is_an_error(given):
    x = pt.matrix("x")
    function = compiled([x], [pt.exp(x) @ x.T])
    program = program_of(function)
    with pytest.raises(Exception) as expected:
        program.whole(given)
    before = alive()
    with pytest.raises(expected.type, match=re.escape(str(expected.value)[:40])):
        program(given)
    assert alive() == before
    np.testing.assert_allclose(program(X)[0], np.exp(X) @ X.T)


class Given(Op):
    """Adds what a function takes by default."""

    __props__ = ("default",)

    def __init__(self, default):
        self.default = default

    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = inputs[0] + (self.default or 0)


@pytest.mark.parametrize("default", [None, 2, 0.5])
def test_functions_with_arguments_that_nobody_gives(default):
    @register_funcify_and_cache_key(Given)
    def funcify(op, node, **kwargs):
        given = op.default

        @numba_njit
        def added(x, more=given):
            return x.copy() if more is None else x + more

        return added, f"given-{given!r}"

    x = pt.matrix("x")
    program = program_of(compiled([x], [pt.tanh(Given(default)(pt.exp(x))) * 2]))
    for _ in range(2):
        (found,) = program(X)
        expected = np.tanh(np.exp(X) + (default or 0)) * 2
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert isinstance(next(iter(program._typed.values())), Typed)


class Nested(Op):
    """Gives an array, and what its function has as a tuple."""

    __props__ = ()

    def make_node(self, x):
        return Apply(self, [x], [x.type(), x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0], outputs[1][0] = inputs[0].copy(), inputs[0].copy()


def test_tuples_of_tuples_are_for_functions():
    @register_funcify_and_cache_key(Nested)
    def funcify(op, node, **kwargs):
        @numba_njit
        def nested(x):
            return x.copy(), (x.copy(), x.copy())

        return nested, "nested"

    x = pt.matrix("x")
    program = program_of(compiled([x], [Nested()(x)[0] * 2]))
    before = alive()
    np.testing.assert_array_equal(program(X)[0], X * 2)
    assert program._typed == {next(iter(program._typed)): program.whole}
    assert alive() == before


class Uncached(Op):
    """Doubles, and is nothing that PyTensor keeps on the disk."""

    __props__ = ()

    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = inputs[0] * 2


@pytest.mark.filterwarnings("ignore:Numba will use object mode")
def test_what_cannot_be_a_program_is_a_function(monkeypatch):
    x = pt.matrix("x")
    made = [compiled([x], [Uncached()(x) + 1])]
    with pytensor.config.change_flags(numba__cache=False):
        made.append(compiled([x], [x * 2 + 1]))
    monkeypatch.setattr(numba_program, "_fingerprint", None)
    made.append(compiled([x], [x * 2 + 1]))
    monkeypatch.undo()
    monkeypatch.setattr(numba_program, "LEAST", 100)
    made.append(compiled([x], [x + x + 1]))
    for function in made:
        assert isinstance(function.vm.jit_fn, Dispatcher)
        np.testing.assert_allclose(function(X)[0], X * 2 + 1)


def test_who_calls_pytensor_without_us_gets_a_function_of_numba():
    x = pt.matrix("x")
    mode = Numba().for_others(get_mode("NUMBA"))
    function = pytensor.function([x], [pt.tanh(x) + 3], mode=mode)
    assert isinstance(function.vm.jit_fn, Dispatcher)
    np.testing.assert_allclose(function(X)[0], np.tanh(X) + 3)


def test_networks_of_one_build_have_one_program():
    nets = [Classifier([4, (5, "tanh"), 3], mode="NUMBA", rng=i) for i in range(2)]
    x = np.linspace(-1, 1, 8).reshape(2, 4).astype("float32")
    first, second = (net.predict_proba(x) for net in nets)
    assert not np.allclose(first, second)
    for net, found in zip(nets, (first, second), strict=True):
        twin = Classifier([4, (5, "tanh"), 3], mode="FAST_COMPILE")
        for mine, other in zip(twin.params, net.params, strict=True):
            mine.set_value(other.get_value())
        np.testing.assert_allclose(twin.predict_proba(x), found, rtol=1e-5)
