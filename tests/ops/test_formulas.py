"""Formulas of recurrent cells: each operation, what is simplified, and what is read."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from formulas import MEANINGS, evaluate
from hypothesis import given, settings
from hypothesis import strategies as st

from theanets.ops.recurrent import operation
from theanets.ops.recurrent.entries import read, to_scalars
from theanets.ops.recurrent.scalars import BY_SCALAR_OP, COSTLY, OPERATIONS, ROWS, TRUTHS
from theanets.ops.recurrent.trace import Layout, trace
from theanets.ops.recurrent.values import LEAVES, NotElementwiseError, Values, needed

# ---- each operation, in each library ---------------------------------------------


def positive(x):
    return abs(x) + 0.5


#: Applied to PyTensor's variables, and what is expected of arrays, by operation.
APPLIED = {
    "add": lambda m, a, b, c: m.add(a, b),
    "sub": lambda m, a, b, c: m.sub(a, b),
    "mul": lambda m, a, b, c: m.mul(a, b),
    "div": lambda m, a, b, c: m.true_div(a, b),
    "neg": lambda m, a, b, c: m.neg(a),
    "reciprocal": lambda m, a, b, c: m.reciprocal(a),
    "sqr": lambda m, a, b, c: m.sqr(a),
    "switch": lambda m, a, b, c: m.switch(m.gt(a, 0), b, c),
    "pow": lambda m, a, b, c: m.pow(positive(a), b),
    "log": lambda m, a, b, c: m.log(positive(a)),
    "log1p": lambda m, a, b, c: m.log1p(positive(a)),
    "sqrt": lambda m, a, b, c: m.sqrt(positive(a)),
    "neq": lambda m, a, b, c: m.neq(m.floor(a), m.floor(b)),
    "eq": lambda m, a, b, c: m.eq(m.floor(a), m.floor(b)),
    "and": lambda m, a, b, c: m.and_(m.gt(a, 0), m.and_(m.gt(b, 0), np.array(True))),
    "or": lambda m, a, b, c: m.or_(m.gt(a, 0), m.or_(m.gt(b, 0), np.array(False))),
    "not": lambda m, a, b, c: m.invert(m.gt(a, b)),
    "mod": lambda m, a, b, c: m.mod(a, np.float64(1.5)),
    "rowsum": lambda m, a, b, c: m.sum(a, axis=1, keepdims=True),
    "rowmax": lambda m, a, b, c: m.max(a, axis=1, keepdims=True),
}
for _name in OPERATIONS.keys() - APPLIED.keys():
    _two = _name in {"maximum", "minimum", *TRUTHS}
    APPLIED[_name] = lambda m, a, b, c, n=_name, k=1 + _two: getattr(m, n)(*(a, b, c)[:k])


class Meanings:
    """The same functions of arrays."""

    def __getattr__(self, name):
        other = {"true_div": "div", "and_": "and", "or_": "or", "invert": "not"}
        return MEANINGS[other.get(name, name)]

    def sum(self, x, **options):
        return MEANINGS["rowsum"](x)

    def max(self, x, **options):
        return MEANINGS["rowmax"](x)


def every_operation():
    """Get a function of three blocks by one step of a cell, with an output for each operation."""

    def step(x, s, v, dot, count):
        outputs = {n: f(pt, x.a, x.b, x.c).astype("float64") for n, f in APPLIED.items()}
        return {"h": s.h}, outputs

    blocks = dict.fromkeys("abc", "n")
    cell, _ = trace(Layout(("n",), blocks, {"h": "n"}, {}, {}), step, "float64")
    return cell


@pytest.fixture
def eager():
    """PyTorch's functions are called as they are, not compiled."""
    torch = pytest.importorskip("torch")
    with torch.compiler.set_stance("force_eager"):
        yield


# Of PyTorch, about itself and about constants of PyTensor.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.linker
def test_each_operation_by_pytorch(eager, rng):
    check_each_operation("PYTORCH", rng)


@pytest.mark.linker
@pytest.mark.parametrize("mode", ["NUMBA", "JAX"])
def test_each_operation_compiled(mode, rng):
    if mode == "JAX":
        pytest.importorskip("jax")
    check_each_operation(mode, rng)


def test_each_operation(rng):
    check_each_operation("FAST_COMPILE", rng)


def check_each_operation(mode, rng):
    """Run a cell with all of them, and compare each with what its name says."""
    a, b, c = rng.normal(size=(3, 6, 4)) * 2
    a[0], b[0, :2] = [0, 1, -1, 0], 0
    a[1, 0] = b[2, 1] = np.nan
    cell = every_operation()
    assert {v.op for v in cell.values} - LEAVES >= OPERATIONS.keys() - {"sqr"}
    z, lengths, h = pt.dtensor3(), pt.lvector(), pt.dmatrix()
    outputs = operation.recur(cell, z, lengths, [h], [], []).outputs
    function = pytensor.function([z, lengths, h], list(outputs.values()), mode=mode)
    arrays = function(np.concatenate([a, b, c], axis=1)[:, None], np.ones(6, int), a)
    found = dict(zip(outputs, arrays, strict=True))
    for name in OPERATIONS:
        with np.errstate(all="ignore"):
            expected = np.broadcast_to(APPLIED[name](Meanings(), a, b, c), a.shape)
        result = np.asarray(found[name])[:, 0]
        np.testing.assert_allclose(result, expected, rtol=1e-12, err_msg=name)


def test_the_table():
    assert len(BY_SCALAR_OP) == len(OPERATIONS) - len(ROWS)
    assert not TRUTHS & COSTLY and ROWS < COSTLY
    assert not LEAVES & OPERATIONS.keys() and OPERATIONS.keys() == MEANINGS.keys()
    x = pt.dscalar()
    for name in OPERATIONS.keys() - ROWS - {"and", "or", "not"}:
        op = APPLIED[name](pt, x, x, x).owner.op
        assert BY_SCALAR_OP[type(op.scalar_op).__name__] == name


# ---- simplification --------------------------------------------------------------

#: Numbers of units and of rows.
N, ROWS_OF = 4, 3
UNARY = ("neg", "tanh", "sigmoid", "exp", "sqr", "abs", "sin", "softplus")
BINARY = ("add", "sub", "mul", "maximum", "minimum")
DIVIDING = ("div", "pow", "reciprocal", "log", "sqrt")
STEPS = (*UNARY, *BINARY, *DIVIDING, "switch", "rowsum", "rowmax", "centred", "shared", "of row")


class Twin:
    """Formulas, and what they come to where nothing is simplified."""

    def __init__(self):
        rng = np.random.default_rng(3)
        self.values, self.leaves = Values(), {}
        self.known, self.positive, self.truths = [], [], []
        for op, args, array in (
            ("x", (0,), rng.normal(size=(ROWS_OF, N))),
            ("x", (1,), rng.normal(size=(ROWS_OF, N))),
            ("v", (0, 0), rng.uniform(0.5, 2, size=N) * np.ones((ROWS_OF, 1))),
            ("t", (), np.array([[1.0], [2.0], [4.0]])),
        ):
            self.leaves[op, args] = array
            self.keep(self.values.add(op, args, None if op == "t" else 0), array)
        for number in (0, 1, -1, 2, 0.5):
            self.keep(self.values.const(number), np.float64(number))
        self.keep(self.values.add("n", (0,), None), np.float64(N))
        x, y = self.known[:2]
        self.truths = [
            (self.values.apply("gt", [x[0], y[0]]), x[1] > y[1]),
            (self.values.apply("not", [self.values.apply("eq", [x[0], x[0]])]), x[1] != x[1]),
        ]

    def keep(self, index, array):
        # Formulas that are badly conditioned tell nothing of what is simplified.
        if np.abs(array).max() < 100:
            self.known.append((index, array))
            if array.min() > 0.1:
                self.positive.append((index, array))

    def apply(self, op, *parts):
        index = self.values.apply(op, [i for i, _ in parts])
        array = MEANINGS[op](*(a for _, a in parts))
        return index, array

    def reduce(self, op, part):
        whole = np.broadcast_to(part[1], (ROWS_OF, N))
        return self.values.reduce(op, part[0], 0), MEANINGS[op](whole)

    def step(self, name, i, j, k):
        a, b, c = (self.known[n % len(self.known)] for n in (i, j, k))
        p = self.positive[j % len(self.positive)]
        if name in UNARY:
            found = self.apply(name, a)
        elif name in BINARY:
            found = self.apply(name, a, b)
        elif name == "div":
            found = self.apply(name, a, p)
        elif name == "pow":
            found = self.apply(name, p, a)
        elif name in DIVIDING:
            found = self.apply(name, p)
        elif name == "switch":
            found = self.apply(name, self.truths[k % 2], a, b)
        elif name in ROWS:
            found = self.reduce(name, a)
        elif name == "centred":
            size = self.values.add("n", (0,), None), np.float64(N)
            mean = self.apply("div", self.reduce("rowsum", a), size)
            multiple = self.apply("mul", self.apply("sub", a, mean), c)
            parts = (multiple, b) if k % 2 else (b, multiple)
            found = self.reduce("rowsum", self.apply(("add", "sub")[i % 2], *parts))
        elif name == "shared":
            parts = (self.known[3], a) if k % 2 else (a, self.known[3])
            found = self.reduce("rowsum", self.apply("mul", *parts))
        else:
            total = self.reduce("rowsum", self.positive[j % 2])
            found = self.apply("reciprocal", self.apply("mul", total, total))
        self.keep(*found)

    def check(self):
        found = evaluate(self.values.values, self.leaves, N)
        for index, array in self.known:
            expected, result = np.broadcast_arrays(array, found[index])
            np.testing.assert_allclose(result, expected, rtol=1e-8, atol=1e-8)
            if self.values[index].dim is None:
                assert np.ptp(np.broadcast_to(result, (ROWS_OF, N)), axis=1).max() < 1e-8
        assert len(set(self.values.values)) == len(self.values.values)


INDICES = st.integers(0, 40)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(STEPS), INDICES, INDICES, INDICES), max_size=25))
def test_what_is_simplified_keeps_its_value(steps):
    twin = Twin()
    for step in steps:
        twin.step(*step)
    twin.check()


@pytest.fixture
def named():
    """Values, and the leaves that stand for two arrays, a row's number and a size."""
    values = Values()
    leaves = [("x", (0,), 0), ("x", (1,), 0), ("t", (), None), ("n", (0,), None)]
    return values, *(values.add(*leaf) for leaf in leaves)


def test_what_changes_nothing_is_left_out(named):
    values, x, y, row, _ = named
    zero, one, two = map(values.const, (0, 1, 2))
    many = len(values.values)
    for op, *args in (
        *(("add", x, zero), ("add", zero, x), ("sub", x, zero), ("mul", one, x), ("mul", x, one)),
        *(("pow", x, one), ("switch", y, x, x), ("add", x), ("mul", x)),
    ):
        assert values.apply(op, args) == x
    assert values.apply("mul", [x, zero]) == values.apply("mul", [zero, x]) == zero
    assert values.apply("sub", [two, one]) == one and values.apply("add", [one, one]) == two
    assert values.reduce("rowmax", row, 0) == row
    assert len(values.values) == many
    opposite = values.apply("neg", [x])
    assert values.apply("neg", [opposite]) == x
    assert values.apply("mul", [x, values.const(-1)]) == opposite == values.apply("sub", [zero, x])
    square = values.apply("mul", [x, x])
    assert values.apply("sqr", [x]) == values.apply("pow", [x, two]) == square


def test_a_row_is_gone_through_once(named):
    """What all its entries share is not summed, and what was centred has the sum 0."""
    values, x, y, row, size = named
    total = values.reduce("rowsum", x, 0)
    for op in ("mul", "div"):
        found = values.reduce("rowsum", values.apply(op, [x, row]), 0)
        assert found in (
            values.apply(op, [total, row]),
            values.apply("mul", [total, values.apply("reciprocal", [row])]),
        )
    assert values.reduce("rowsum", row, 0) == values.apply("mul", [row, size])
    centred = values.apply("sub", [x, values.apply("div", [total, size])])
    for multiple in (centred, values.apply("neg", [centred]), values.apply("mul", [row, centred])):
        assert values.number(values.reduce("rowsum", multiple, 0)) == 0
        rest = values.reduce("rowsum", y, 0)
        opposite = values.apply("neg", [rest])
        for op, one, two, expected in (
            ("add", multiple, y, rest),
            ("add", y, multiple, rest),
            ("sub", y, multiple, rest),
            ("sub", multiple, y, opposite),
        ):
            assert values.reduce("rowsum", values.apply(op, [one, two]), 0) == expected
    other = values.apply("sub", [x, values.apply("div", [values.reduce("rowsum", y, 0), size])])
    assert values.number(values.reduce("rowsum", other, 0)) is None


def test_sizes_are_not_mixed(named):
    values, x, *_ = named
    other = values.add("x", (2,), 1)
    with pytest.raises(NotElementwiseError, match="add of arrays of different sizes"):
        values.apply("add", [x, other])
    with pytest.raises(NotElementwiseError, match="rowsum over different sizes"):
        values.reduce("rowsum", other, 0)


def test_what_the_derivative_is_told(named):
    """What is costly, and results of products; what is cheap is computed again."""
    values, x, _, _, _ = named
    product = values.add("d", (0, 0), 0)
    pre = values.apply("add", [x, product])
    out = values.apply("tanh", [pre])
    slope = values.apply("sub", [values.const(1), values.apply("mul", [out, out])])
    forward = frozenset((x, product, pre, out))
    assert needed(values.values, forward, [slope]) == [out]
    assert needed(values.values, forward, [pre]) == [pre]
    truth = values.apply("gt", [out, x])
    assert needed(values.values, forward | {truth}, [truth]) == [out]


# ---- from expressions to formulas ------------------------------------------------

EXPRESSIONS = {
    "elementwise": lambda x, y, w: pt.tanh(x) * y - w / (2 + pt.sqr(y)) + 1,
    "mean": lambda x, y, w: x - x.mean(axis=1, keepdims=True),
    "variance": lambda x, y, w: y / pt.sqrt(pt.var(x, axis=1, keepdims=True) + 1e-3),
    "largest": lambda x, y, w: pt.max(x * w, axis=1, keepdims=True) + 0 * y,
    "kept as a vector": lambda x, y, w: x * pt.sum(y, axis=1)[:, None],
    "softmax": lambda x, y, w: pt.special.softmax(x * 50, axis=1) * y,
    "log softmax": lambda x, y, w: pt.special.log_softmax(x * 900, axis=1),
    "log sum": lambda x, y, w: pt.logsumexp(x * 90, axis=1, keepdims=True) + y,
    "share": lambda x, y, w: (x > y).sum(axis=1, keepdims=True) / x.shape[1] * y,
    "filled": lambda x, y, w: pt.ones_like(x) * 3 + pt.zeros_like(y).sum(axis=1, keepdims=True),
    "chosen": lambda x, y, w: pt.switch((x > 0) & ~(y >= w), x, pt.minimum(y, 0.5)),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_entry_is_that_of_the_expression(name, rng):
    matrices, vector = pt.dmatrices("xy"), pt.dvector("w")
    expression = EXPRESSIONS[name](*matrices, vector)
    values, leaves = Values(), {}
    entries = {m: pt.dscalar() for m in matrices}
    arrays = [rng.normal(size=(3, N)), rng.normal(size=(3, N)), rng.normal(size=N)]
    for i, m in enumerate(matrices):
        leaves[entries[m]] = values.add("x", (i,), 0)
    scalars, found = to_scalars([expression], entries, dict.fromkeys(matrices, 0))
    assert found in ([], [vector])
    for v in found:
        leaves[entries[v]] = values.add("v", (0, 0), 0)
    (root,) = read(scalars, leaves, values)
    known = {("x", (0,)): arrays[0], ("x", (1,)): arrays[1], ("v", (0, 0)): arrays[2]}
    result = evaluate(values.values, known, N)[root]
    given = dict(zip([*matrices, vector], arrays, strict=True))
    expected = expression.eval({v: a for v, a in given.items()}, on_unused_input="ignore")
    np.testing.assert_allclose(np.broadcast_to(result, expected.shape), expected, rtol=1e-12)
    assert np.isfinite(expected).all()
