"""Ops put in the place of PyTensor's: against NumPy and SciPy, and where they are used."""

import warnings

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.basic import Constant
from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS
from pytensor.raise_op import CheckAndRaise
from scipy import special

import theanets
from theanets import backends, optimizers
from theanets.linkers import c
from theanets.ops.kernels.operations import Fill, MatMul, Positions, RowArgmax, RowSoftmax, Sums
from theanets.training.compiled import compile_evaluation, compile_step

pytestmark = pytest.mark.linker


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def run(op, *arrays, mode="NUMBA"):
    inputs = [pt.tensor(dtype=a.dtype, shape=(None,) * a.ndim) for a in arrays]
    function = pytensor.function(inputs, op(*inputs), mode=mode)
    function.trust_input = True  # views and all
    return function(*arrays)


def test_products(rng):
    for dtype in ("float32", "float64"):
        for n, k, m in ((3, 4, 5), (0, 4, 5), (3, 0, 5), (1, 1, 1)):
            a = rng.normal(size=(n, k)).astype(dtype)
            b = rng.normal(size=(k, m)).astype(dtype)
            for ta in (False, True):
                for tb in (False, True):
                    x = np.ascontiguousarray(a.T) if ta else a
                    y = np.ascontiguousarray(b.T) if tb else b
                    op = MatMul(ta, tb)
                    assert op(pt.as_tensor(x), pt.as_tensor(y)).type.shape == (n, m)
                    for mode in ("NUMBA", "FAST_COMPILE"):
                        found = run(op, x, y, mode=mode)
                        assert found.dtype == dtype
                        np.testing.assert_allclose(found, a @ b, rtol=1e-5, atol=1e-6)


def test_a_product_of_views(rng):
    whole = rng.normal(size=(8, 10))
    views = [whole[::2, 1::2], whole[:4, :5], np.asfortranarray(whole[:4, :5])]
    right = rng.normal(size=(5, 3))
    for view in views:
        np.testing.assert_allclose(run(MatMul(), view, right), view @ right, rtol=1e-12)


def test_a_product_with_axes_left_out(rng):
    a, filters = pt.matrix("a"), pt.tensor("filters", shape=(None, None, 1, 1))
    transposed = filters.dimshuffle(1, 0)
    function = backends.function([a, filters], pt.dot(a, transposed), mode="NUMBA", dtype="float64")
    x, y = rng.normal(size=(3, 4)), rng.normal(size=(5, 4, 1, 1))
    np.testing.assert_allclose(function(x, y), x @ y[:, :, 0, 0].T, rtol=1e-12)
    assert "MatMul" in {type(node.op).__name__ for node in function.maker.fgraph.toposort()}


ROWS = np.array(
    [
        [1.0, 3.0, 3.0, -2.0],
        [np.nan, 1.0, 2.0, np.nan],
        [0.0, np.nan, 5.0, 1.0],
        [-np.inf, -np.inf, -np.inf, -np.inf],
        [-1e4, 1e4, 0.0, 88.0],
        [0.5, 1.0, -np.inf, 0.0],
    ]
)


@pytest.mark.parametrize("shape", [(6, 4), (2, 3, 4)])
def test_rows(shape):
    x = ROWS.reshape(shape)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        for mode in ("NUMBA", "FAST_COMPILE"):
            np.testing.assert_array_equal(run(RowArgmax(), x, mode=mode), np.argmax(x, axis=-1))
            for log, twin in ((False, special.softmax), (True, special.log_softmax)):
                found = run(RowSoftmax(log), x, mode=mode)
                np.testing.assert_allclose(found, twin(x, axis=-1), rtol=1e-12)


def test_the_largest_of_long_rows():
    x = np.tile(np.concatenate([ROWS, ROWS[::-1]]), 5)
    for mode in ("NUMBA", "FAST_COMPILE"):
        np.testing.assert_array_equal(run(RowArgmax(), x, mode=mode), np.argmax(x, axis=-1))


def test_rows_of_nothing():
    empty = np.zeros((0, 4))
    assert run(RowArgmax(), empty).shape == (0,)
    assert run(RowSoftmax(), empty).shape == (0, 4)
    assert run(RowSoftmax(True), np.zeros((3, 0))).shape == (3, 0)
    with pytest.raises(ValueError, match="no values"):
        run(RowArgmax(), np.zeros((3, 0)))


def test_sums(rng):
    for shape in ((5, 4), (2, 3, 4), (0, 4), (2, 3, 0), (7,)):
        x = rng.normal(size=shape)
        leading = tuple(range(x.ndim - 1))
        for over, axis in (("all", None), ("last", -1), ("leading", leading)):
            for view in (x, x[..., ::-1]):
                for mode in ("NUMBA", "FAST_COMPILE"):
                    found = run(Sums(over), view, mode=mode)
                    assert np.shape(found) == view.sum(axis=axis).shape
                    np.testing.assert_allclose(found, view.sum(axis=axis), rtol=1e-12)


def test_sums_are_precise():
    x = np.full(20_000_000, 0.1, "float32")
    for over in ("all", "last"):
        assert float(run(Sums(over), x)) == pytest.approx(0.1 * len(x), rel=1e-6)


def test_fills():
    for shape in ((3,), (0, 2), (2, 3, 4)):
        lengths = [np.asarray(n) for n in shape]
        for value in (np.asarray(-1.5, "float32"), np.asarray(7, "int32")):
            for mode in ("NUMBA", "FAST_COMPILE"):
                found = run(Fill((None,) * len(shape)), value, *lengths, mode=mode)
                assert found.dtype == value.dtype
                np.testing.assert_array_equal(found, np.full(shape, value))


def compiled_ops(expression, inputs, mode):
    function = backends.function(inputs, expression, mode=mode, dtype="float64")
    return {type(node.op).__name__ for node in function.maker.fgraph.toposort()}


def test_where_they_are_used(monkeypatch):
    x, y, w = pt.matrix("x"), pt.tensor3("y"), pt.matrix("w")
    expressions = [pt.dot(x, w), pt.dot(y, w), pt.dot(w.T, x.T), pt.argmax(y, axis=-1)]
    expressions += [pt.zeros(x.shape)]
    inputs = [x, y, w]
    found = compiled_ops(expressions, inputs, "NUMBA")
    assert {"MatMul", "RowArgmax", "Fill"} <= found
    assert not {"Dot", "Argmax", "Alloc"} & found
    assert not {"MatMul", "RowArgmax"} & compiled_ops(expressions, inputs, "FAST_COMPILE")
    monkeypatch.setattr(c, "has_blas", lambda: False)
    found = compiled_ops(expressions, inputs, "CVM")
    assert "MatMul" in found and "RowArgmax" not in found
    monkeypatch.setattr(c, "has_blas", lambda: True)
    assert "MatMul" not in compiled_ops(expressions, inputs, "CVM")


def test_what_is_said_without_blas(monkeypatch):
    class Config:
        messages: tuple = ()
        flags = ""

        @property
        def blas__ldflags(self):
            for message in self.messages:
                warnings.warn(message, stacklevel=1)
            self.messages = ()
            return self.flags

    monkeypatch.setattr(c, "config", config := Config())
    config.messages = "PyTensor could not link to a BLAS installation.\nAt length.", "something"
    with pytest.warns(UserWarning) as told:
        assert not c.has_blas()
    assert [str(one.message) for one in told] == [c.NO_BLAS, "something"]
    assert not c.has_blas()  # said once
    config.flags = "-lopenblas"
    assert c.has_blas()


@pytest.mark.parametrize("axis", [None, 0, 1, 2, (0, 1), (1, 2), (0, 2)])
def test_sums_of_arrays_are_replaced_where_their_axes_fit(axis, rng):
    x = pt.tensor3("x", dtype="float64")
    function = backends.function([x], x.sum(axis=axis), mode="NUMBA", dtype="float64")
    kinds = {type(node.op).__name__ for node in function.maker.fgraph.toposort()}
    assert ("Sums" in kinds) == (axis in (None, 2, (0, 1)))
    values = rng.normal(size=(2, 3, 4))
    np.testing.assert_allclose(function(values), values.sum(axis=axis), rtol=1e-12)


def test_softmax_along_the_last_axis_is_replaced(rng):
    values = rng.normal(size=(2, 3))
    for kind in ("softmax", "log_softmax"):
        for axis in (0, 1, -1):
            x = pt.matrix("x", dtype="float64")
            y = getattr(pt.special, kind)(x, axis=axis)
            function = backends.function([x], y, mode="NUMBA", dtype="float64")
            kinds = {type(node.op).__name__ for node in function.maker.fgraph.toposort()}
            assert ("RowSoftmax" in kinds) == (axis != 0)
            np.testing.assert_allclose(function(values), getattr(special, kind)(values, axis=axis))


def test_what_is_not_a_product_of_float_matrices_stays():
    x, i = pt.matrix("x"), pt.imatrix("i")
    expressions = [pt.dot(i, i), pt.argmax(x, axis=0)]
    found = compiled_ops(expressions, [x, i], "NUMBA")
    assert not {"MatMul", "RowArgmax"} & found


def test_a_network_is_the_same_with_them(rng):
    x = rng.normal(size=(40, 6)).astype("float32")
    y = rng.integers(0, 3, size=40)
    results = []
    for mode in ("NUMBA", "FAST_COMPILE"):
        net = theanets.Classifier([6, 8, 3], rng=3)
        net.train((x, y), epochs=3, rng=1, mode=mode, progress=False)
        results.append(net.predict_proba(x))
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)


def test_positions_and_sizes(rng):
    x, labels = pt.matrix("x", shape=(None, 6)), pt.ivector("labels")
    b, c = pt.vector("b", shape=(4,)), pt.vector("c", shape=(2,))
    chosen = pt.eq(pt.arange(6, dtype="int32")[None], labels[:, None])
    parts = pt.split(x, [4, 2], n_splits=2, axis=1)
    expressions = [pt.switch(chosen, x, 0), pt.zeros((x.shape[0], 4)) + b, parts[0], parts[1] * c]
    function = backends.function([x, labels, b, c], expressions, mode="NUMBA", dtype="float64")
    inputs = [i for node in function.maker.fgraph.toposort() for i in node.inputs]
    constants = [np.asarray(i.data) for i in inputs if isinstance(i, Constant)]
    assert not any(value.size == 6 or np.isin(value, [2, 4]).any() for value in constants)
    values, bias, factors = rng.normal(size=(3, 6)), rng.normal(size=4), rng.normal(size=2)
    found = function(values, np.asarray([5, 0, 2], "int32"), bias, factors)
    np.testing.assert_array_equal(found[0], np.where(np.eye(6)[[5, 0, 2]] == 1, values, 0))
    np.testing.assert_array_equal(found[1], np.tile(bias, (3, 1)))
    np.testing.assert_array_equal(found[2], values[:, :4])
    np.testing.assert_allclose(found[3], values[:, 4:] * factors, rtol=1e-12)
    for mode in ("NUMBA", "FAST_COMPILE"):
        y = rng.normal(size=(2, 3, 5)).astype("float32")
        np.testing.assert_array_equal(run(Positions("int32"), y, mode=mode), [[[0, 1, 2, 3, 4]]])


CONV = {"form": "conv2", "filter_size": (3, 3)}
NETWORKS = {
    "classifier": (theanets.Classifier, lambda n, m, k: [n, m, m + 1, k]),
    "regressor": (theanets.Regressor, lambda n, m, k: [n, (m, "tanh"), k]),
    "autoencoder": (theanets.Autoencoder, lambda n, m, k: [n, m, "tied"]),
    **{
        form: (theanets.recurrent.Classifier, lambda n, m, k, form=form: [n, (m, form), k])
        for form in ("rnn", "lstm", "gru")
    },
    "convolution": (
        theanets.convolution.Classifier,
        lambda n, m, k: [(9, 9, n), {**CONV, "size": m}, "flatten", k],
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_other_sizes_have_the_same_code(name):
    model, layers = NETWORKS[name]

    def keys(*sizes):
        net = model(layers(*sizes), mode="NUMBA")
        losses = net.bound_losses()
        optimizer = optimizers.build("adam")
        arguments = net.graph, net.variables, losses, []
        made = [
            compile_step(*arguments, optimizer, mode="NUMBA"),
            compile_evaluation(*arguments, mode="NUMBA"),
        ]
        return [CACHED_SRC_FUNCTIONS[m.function.vm.jit_fn.py_func] for m in made]

    # Sizes that are the same in one network and not in the other would be told apart.
    assert keys(4, 8, 5) == keys(17, 130, 11)


def test_lengths_that_do_not_fit():
    x, y = pt.matrix("x"), pt.matrix("y")
    sums, rows = (x + y).sum(), (x + y).shape[0]
    function = backends.function([x, y], [sums, rows], mode="NUMBA", dtype="float64")
    assert not any(isinstance(n.op, CheckAndRaise) for n in function.maker.fgraph.toposort())
    assert [int(a) for a in function(np.ones((3, 2)), np.ones((3, 2)))] == [12, 3]
    with pytest.raises(ValueError, match=r"[Ss]hape"):
        function(np.ones((3, 2)), np.ones((4, 2)))  # the sum itself asks that
