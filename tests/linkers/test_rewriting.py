"""What PyTensor does not rewrite in functions of ours, and what it computes all the same."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode, get_mode, optdb
from pytensor.graph.basic import Constant
from pytensor.scalar.basic import Add, Exp, Mul, Sqr
from pytensor.tensor.basic import Alloc
from pytensor.tensor.elemwise import DimShuffle, Elemwise

import theanets
from theanets import backends, linkers
from theanets.linkers import rewriting
from theanets.ops.kernels import Fill, Rows
from theanets.ops.kernels.settled import SETTLED, Settled, settle

MODES = ["FAST_COMPILE", pytest.param("NUMBA", marks=pytest.mark.linker)]


def lean(name="FAST_COMPILE"):
    mode = get_mode(name)
    return rewriting.lean(linkers.find(mode.linker).rewritten(mode))


def nodes(function):
    return function.maker.fgraph.toposort()


def compile_update(settled=True, extra=(), mode=None):
    """Compile an update that depends on an expression, of which it may be said to be final."""
    x, w = pt.matrix("x", dtype="float64"), pytensor.shared(np.arange(6.0).reshape(2, 3), "w")
    rate = pytensor.shared(0.5, "rate")
    cost = pt.sqr(x @ w).sum()
    gradient = pytensor.grad(cost, w)
    if settled:
        settle([gradient])
    new = w - pt.neg(pt.neg(rate * gradient)) * (1 + rate - rate)
    outputs = [cost, *(f(x, w, gradient) for f in extra)]
    return pytensor.function([x], outputs, updates={w: new}), w


MORE = {"max_global_norm": 0.1, "decoupled_weight_decay": 0.1, "weight_l2": 0.1}


@pytest.mark.parametrize(
    ("algo", "more"),
    [("adam", {"average": "ema", **MORE}), ("nag", MORE), ("rprop", {}), ("esgd", {})],
)
def test_steps_are_what_they_are_with_all_of_pytensors_rewrites(algo, more, rng, monkeypatch):
    x = rng.normal(size=(12, 5)).astype("float64")
    y = rng.integers(0, 3, 12)
    found = []
    for part in (lambda mode: mode, rewriting.lean):
        monkeypatch.setattr(backends.rewriting, "lean", part)
        net = theanets.Classifier([5, (4, "tanh"), 3], rng=3, dtype="float64")
        net.train([x, y], algo=algo, epochs=3, batch_size=4, hidden_dropout=0.2, **more)
        found.append([param.get_value() for param in net.params])
        theanets.structure.builds.clear()
    for before, after in zip(*found, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-10, atol=1e-12)


def settled_in(mode, function):
    """Get what is in one operation while PyTensor simplifies the rest, as (operations, outputs)."""
    seen = []
    query = mode.provided_optimizer.including(SETTLED)
    query.position_cutoff = 1
    graph = function.maker.fgraph.clone()
    graph.update_mapping = function.maker.fgraph.update_mapping
    mode.optdb.query(query)(graph)
    for node in graph.toposort():
        if isinstance(node.op, Settled):
            seen.append((len(node.op.nodes), len(node.outputs)))
    return seen


def as_built(settled=True, **options):
    with pytensor.config.change_flags(mode=Mode(linker="py", optimizer=None)):
        return compile_update(settled, **options)


def test_what_is_made_of_gradients_lies_in_one_operation():
    function, _ = as_built()
    ((count, outputs),) = settled_in(get_mode("FAST_COMPILE"), function)
    assert outputs == 1 and count >= 6
    assert not any(isinstance(node.op, Settled) for node in nodes(function))


def test_nothing_does_where_nobody_said_so():
    function, _ = as_built(settled=False)
    assert settled_in(get_mode("FAST_COMPILE"), function) == []


def test_what_others_need_too_is_rewritten():
    function, _ = as_built(extra=[lambda x, w, g: (g * 0.5).sum()])
    ((count, outputs),) = settled_in(get_mode("FAST_COMPILE"), function)
    assert outputs == 1 and count >= 6


def test_what_others_are_made_of_is_rewritten():
    """Here all that the update is, and its value too."""
    x, w = pt.matrix("x", dtype="float64"), pytensor.shared(np.ones((2, 3)), "w")
    gradient = pytensor.grad(pt.sqr(x @ w).sum(), w)
    settle([gradient])
    new = w - 0.5 * gradient
    with pytensor.config.change_flags(mode=Mode(linker="py", optimizer=None)):
        function = pytensor.function([x], new.sum(), updates={w: new})
    assert not any(count for count, _ in settled_in(get_mode("FAST_COMPILE"), function))


def test_what_linkers_do_not_know_is_rewritten():
    x, w = pt.matrix("x", dtype="float64"), pytensor.shared(np.ones((2, 3)), "w")
    gradient = pytensor.grad(pt.sqr(x @ w).sum(), w)
    settle([gradient])
    with pytensor.config.change_flags(mode=Mode(linker="py", optimizer=None)):
        function = pytensor.function([x], [], updates={w: w - gradient * pt.second(w, 0.5)})
    assert settled_in(get_mode("FAST_COMPILE"), function) == []


def test_updates_that_read_each_other():
    """The first is replaced in what reads it too, while that is in the operation."""
    one, two = (pytensor.shared(np.array(value), name) for value, name in ((1.0, "a"), (2.0, "b")))
    gradients = pytensor.grad(one**2 * two, [one, two])
    settle(gradients)
    new = one - 0.1 * gradients[0]
    updates = {one: new, two: two - new * gradients[1] + pt.sqr(new)}
    with pytensor.config.change_flags(mode=lean()):
        function = pytensor.function([], [], updates=updates)
    function()
    assert float(one.get_value()) == pytest.approx(0.6)
    assert float(two.get_value()) == pytest.approx(2 - 0.6 * 1 + 0.36)


def test_axes_of_constants_are_given_beforehand():
    x, w = pt.matrix("x", dtype="float64"), pytensor.shared(np.ones((2, 3)), "w")
    gradient = pytensor.grad(pt.sqr(x @ w).sum(), w)
    settle([gradient])
    with pytensor.config.change_flags(mode=Mode(linker="py", optimizer=None)):
        function = pytensor.function([x], [], updates={w: w - 0.3 * gradient * 0.7})
    graph = function.maker.fgraph.clone()
    graph.update_mapping = function.maker.fgraph.update_mapping
    lean().optimizer.rewrite(graph)
    shuffles = [node for node in graph.toposort() if isinstance(node.op, DimShuffle)]
    assert not any(isinstance(node.inputs[0], Constant) for node in shuffles)


def test_parts_are_back_before_what_is_done_entry_by_entry_is_fused():
    """Seen from the order of the rewrites, as fused code takes long to compile."""
    place = optdb.__position__
    opened = place[f"{SETTLED}_opened"]
    assert place["canonicalize"] < opened < min(place["elemwise_fusion"], place["inplace_elemwise"])


@pytest.mark.parametrize("mode", MODES)
def test_parts_come_back(mode):
    found = lean(mode)
    with pytensor.config.change_flags(mode=found):
        function, w = compile_update()
    assert not any(isinstance(node.op, Settled) for node in nodes(function))
    x, before = np.array([[1.0, -2.0], [0.5, 3.0]]), w.get_value()
    function(x)
    np.testing.assert_allclose(w.get_value(), before - 0.5 * 2 * x.T @ (x @ before))


def test_products_of_matrices_in_updates_are_rewritten():
    x, w = pt.matrix("x", dtype="float64"), pytensor.shared(np.eye(3), "w")
    gradient = pytensor.grad(pt.sqr(x @ w).sum(), w)
    settle([gradient])
    with pytensor.config.change_flags(mode=Mode(linker="py", optimizer=None)):
        function = pytensor.function([x], [], updates={w: w - gradient @ gradient.T @ w})
    assert settled_in(get_mode("FAST_COMPILE"), function) == []


def test_equal_parts_are_computed_once():
    """As rates and decays, which each parameter has in its formula."""
    rate = pytensor.shared(0.5, "rate")
    variables = [pytensor.shared(np.ones((2, n)), f"w{n}") for n in (2, 3)]
    updates = {}
    for w in variables:
        gradient = pytensor.grad(pt.sqr(w).sum(), w)
        settle([gradient])
        updates[w] = w - pt.exp(rate) * gradient
    with pytensor.config.change_flags(mode=lean()):
        function = pytensor.function([], [], updates=updates)
    exponentials = [n for n in nodes(function) if isinstance(getattr(n.op, "scalar_op", None), Exp)]
    assert len(exponentials) == 1
    function()
    for w in variables:
        np.testing.assert_allclose(w.get_value(), 1 - np.exp(0.5) * 2)


def test_equal_numbers_are_equal_in_whichever_formula_they_are():
    """Each parameter has its own of what is one and the same."""
    rate = pytensor.shared(0.5, "rate")
    variables = [pytensor.shared(np.ones((2, n)), f"w{n}") for n in (2, 3)]
    updates = {}
    for w, decay in zip(variables, (0.25, 0.25), strict=True):
        gradient = pytensor.grad(pt.sqr(w).sum(), w)
        settle([gradient])
        updates[w] = w - pt.exp(rate * np.asarray(decay)) * gradient
    with pytensor.config.change_flags(mode=lean()):
        function = pytensor.function([], [], updates=updates)
    exponentials = [n for n in nodes(function) if isinstance(getattr(n.op, "scalar_op", None), Exp)]
    assert len(exponentials) == 1
    function()
    for w in variables:
        np.testing.assert_allclose(w.get_value(), 1 - np.exp(0.125) * 2)


def test_gradients_themselves_are_no_part_of_what_is_made_of_them():
    """Of plain operations too, of another gradient, and where they are what is kept."""
    w, last = (pytensor.shared(np.ones(3), name) for name in ("w", "last"))
    first = pytensor.grad(pt.exp(w).sum(), w)
    second = pt.sqr(first)
    settle([first, second])
    with pytensor.config.change_flags(mode=Mode(linker="py", optimizer=None)):
        function = pytensor.function([], [], updates={w: w - 0.5 * second, last: second})
    graph = function.maker.fgraph.clone()
    graph.update_mapping = function.maker.fgraph.update_mapping
    query = lean().provided_optimizer
    query.position_cutoff = 1
    lean().optdb.query(query)(graph)
    (one,) = [node.op for node in graph.toposort() if isinstance(node.op, Settled)]
    inside = {type(node.op.scalar_op) for node in one.nodes if isinstance(node.op, Elemwise)}
    assert len(one.outputs) == 1 and not inside & {Exp, Sqr}
    function()
    np.testing.assert_allclose(w.get_value(), 1 - 0.5 * np.exp(2))
    np.testing.assert_allclose(last.get_value(), np.exp(2))


def test_a_gradient_that_is_all_there_is_is_no_part():
    w = pytensor.shared(np.ones(3), "w")
    first = pytensor.grad(pt.exp(w).sum(), w)
    second = pt.sqr(first)
    settle([first, second])
    with pytensor.config.change_flags(mode=Mode(linker="py", optimizer=None)):
        function = pytensor.function([], [], updates={w: second})
    assert settled_in(get_mode("FAST_COMPILE"), function) == []


@pytest.mark.parametrize("combine", [pt.add, pt.mul])
def test_without_a_compiler_arrays_are_added_and_multiplied_two_at_a_time(combine, rng):
    arrays = [pt.matrix(f"x{i}", dtype="float32") for i in range(4)]
    counts = pt.lvector("n")
    outputs = [combine(*arrays), combine(counts, counts, counts)]
    function = backends.function([*arrays, counts], outputs, mode="FAST_COMPILE")
    several = [
        node
        for node in nodes(function)
        if isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, (Add, Mul))
    ]
    assert several and all(len(node.inputs) == 2 for node in several)
    values = [rng.normal(size=(3, 2)).astype("float32") for _ in arrays]
    found, whole = function(*values, np.arange(3))
    wanted = np.add if combine is pt.add else np.multiply
    np.testing.assert_allclose(found, wanted.reduce(values), rtol=1e-6)
    np.testing.assert_array_equal(whole, wanted.reduce([np.arange(3)] * 3))


@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_parts_of_sums_that_are_too_large_for_their_type_are_right(dtype):
    small, wide = pt.vector("small", dtype="int8"), pt.vector("wide", dtype=dtype)
    outputs = [pt.add(small, small, wide), pt.mul(small, small, wide)]
    function = backends.function([small, wide], outputs, mode="FAST_COMPILE")
    found = function(np.array([100], "int8"), np.array([1], dtype))
    np.testing.assert_array_equal(np.ravel(found), [201, 10_000])


def test_modes_that_simplify_nothing_stay_as_they_are():
    for mode in (Mode("py", "merge"), Mode("py", None), get_mode("DebugMode")):
        assert rewriting.lean(mode) is mode
        assert linkers.find(mode.linker).rewritten(mode) is mode


def test_products_are_not_searched_for_known_matrices():
    x = pt.matrix("x")
    names = {str(getattr(r, "name", r)) for r in _rewrites(lean().optimizer)}
    everything = {str(getattr(r, "name", r)) for r in _rewrites(get_mode("FAST_COMPILE").optimizer)}
    assert "dot_diag_to_elemwise" in everything  # else there is nothing to leave out any more
    assert names.isdisjoint(rewriting.OF_KNOWN_MATRICES)
    function = backends.function([x], pt.diag(x[0]) @ x, mode="FAST_COMPILE")
    value = np.arange(9.0).reshape(3, 3).astype(x.dtype)
    np.testing.assert_allclose(function(value), np.diag(value[0]) @ value)


def _rewrites(rewriter):
    rewriter = getattr(rewriter, "_rewriter", rewriter)
    for part in getattr(rewriter, "data", []):
        yield from _rewrites(part)
    if hasattr(rewriter, "get_node_rewriters"):
        yield from rewriter.get_node_rewriters()


@pytest.mark.linker
def test_arrays_of_one_value_and_of_equal_rows_are_ours_under_numba():
    """Stacks of vectors of one value are such; PyTensor's own takes seconds to compile."""
    x = pt.matrix("x", dtype="float64")
    columns = [pt.full((x.shape[0],), value, dtype="int64") for value in (x.shape[1], 4)]
    one = pt.alloc(x.min(keepdims=True), x.shape[0], 3)
    function = backends.function([x], [pt.stack(columns, axis=1), one], mode="NUMBA")
    found = [type(node.op) for node in nodes(function)]
    assert Alloc not in found and found.count(Rows) == found.count(Fill) == 1
    rows, filled = function(np.arange(6.0).reshape(2, 3) + 5)
    np.testing.assert_array_equal(rows, [[3, 4]] * 2)
    np.testing.assert_array_equal(filled, np.full((2, 3), 5.0))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [0, 1, 4])
def test_rows(mode, count):
    row, n = pt.matrix("row", dtype="int64", shape=(1, 3)), pt.lscalar("n")
    function = backends.function([row, n], Rows()(row, n), mode=mode)
    value = np.array([[3, 1, 2]])
    np.testing.assert_array_equal(function(value, np.asarray(count)), np.repeat(value, count, 0))
