"""What is computed entry by entry, compiled: against NumPy, for all types, layouts and shapes."""

import pickle

import numba
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.scalar.basic import Composite, float64
from pytensor.tensor.elemwise import Elemwise
from scipy import special

from theanets import backends
from theanets.ops.kernels.entrywise import TYPES, Entrywise
from theanets.ops.kernels.scalars_by_numba import OF_FLOATS, OF_INTEGERS, program

pytestmark = pytest.mark.linker


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def entrywise(expression):
    """Get the Op for the node that made an expression."""
    found = Entrywise.of(expression.owner)
    assert found is not None
    return found


def compiled(op):
    """Get the Op's kernel as a function of arrays, which gives a list of them."""
    kernel = numba.njit(op.kernel()[0].py_func)
    several = len(op.scalar_node().outputs) > 1
    return (lambda *arrays: list(kernel(*arrays))) if several else lambda *x: [kernel(*x)]


def run(op, *arrays):
    """Compute with it once."""
    return compiled(op)(*arrays)


def made(rng, shape, dtype):
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.startswith("float"):
        return rng.uniform(0.2, 3, shape).astype(dtype)
    return rng.integers(1, 9, shape).astype(dtype)


def variable(array, broadcast=None):
    flags = broadcast or (False,) * array.ndim
    return pt.tensor(dtype=array.dtype, shape=[1 if flag else None for flag in flags])


#: Unary operations, and what NumPy has for them.
UNARY = {
    **{name: (getattr(pt, name), getattr(np, name)) for name in ("exp", "log", "sqrt", "tanh")},
    **{name: (getattr(pt, name), getattr(np, name)) for name in ("expm1", "log1p", "floor")},
    **{name: (getattr(pt, name), getattr(np, name)) for name in ("ceil", "sin", "cos", "log2")},
    **{name: (getattr(pt, name), getattr(np, name)) for name in ("log10", "isnan", "isinf")},
    "abs": (abs, np.abs),
    "neg": (lambda x: -x, np.negative),
    "sqr": (pt.sqr, np.square),
    "sign": (pt.sign, np.sign),
    "sigmoid": (pt.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "softplus": (pt.softplus, lambda x: np.log1p(np.exp(x))),
    "reciprocal": (pt.reciprocal, lambda x: 1 / x),
}

#: Operations of two arrays.
BINARY = {
    "add": (lambda x, y: x + y, np.add),
    "sub": (lambda x, y: x - y, np.subtract),
    "mul": (lambda x, y: x * y, np.multiply),
    "div": (pt.true_div, np.true_divide),
    "maximum": (pt.maximum, np.maximum),
    "minimum": (pt.minimum, np.minimum),
    "eq": (pt.eq, np.equal),
    "neq": (pt.neq, np.not_equal),
    "lt": (pt.lt, np.less),
    "le": (pt.le, np.less_equal),
    "gt": (pt.gt, np.greater),
    "ge": (pt.ge, np.greater_equal),
    "pow": (pt.power, np.power),
    "floor_divide": (lambda x, y: x // y, np.floor_divide),
    "mod": (lambda x, y: x % y, np.mod),
    "arctan2": (pt.arctan2, np.arctan2),
}


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_operations_of_one_array(name, dtype, rng):
    make, twin = UNARY[name]
    x = made(rng, (3, 7), dtype) - (0 if name in ("log", "log2", "log10", "sqrt") else 1)
    with np.errstate(all="ignore"):
        if name in ("isnan", "isinf", "abs", "neg", "exp"):
            x.flat[:3] = np.nan, np.inf, -np.inf
        expected = twin(x)
    (found,) = run(entrywise(make(variable(x))), x)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=2e-6 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(
    "dtypes",
    [("float32",) * 2, ("float64",) * 2, ("int64",) * 2, ("int32",) * 2, ("int8", "float32")],
)
def test_operations_of_two_arrays(name, dtypes, rng):
    make, twin = BINARY[name]
    x, y = (made(rng, (2, 9), dtype) for dtype in dtypes)
    y[0, :3] = x[0, :3]
    if dtypes[0] == dtypes[1] == "int64" and name not in ("pow", "div", "arctan2", "mod"):
        x[1], y[0] = -x[1], -y[0]
    expression = make(variable(x), variable(y))
    (found,) = run(entrywise(expression), x, y)
    assert found.dtype == expression.dtype
    expected = twin(x.astype(expression.dtype), y) if name in ("pow", "div") else twin(x, y)
    np.testing.assert_allclose(found, expected.astype(found.dtype), rtol=3e-6)


@pytest.mark.parametrize("dtype", sorted(TYPES))
def test_sums_products_choices_and_conversions(dtype, rng):
    x, y, z = made(rng, (3, 4), dtype), made(rng, (3, 4), dtype), made(rng, (3, 4), dtype)
    a, b, c = map(variable, (x, y, z))
    chosen, numbers = made(rng, x.shape, "bool"), rng.uniform(0, 9, x.shape)
    for expression, arrays, expected in (
        (pt.add(a, b, c), (x, y, z), x + y + z),
        (pt.mul(a, b, c), (x, y, z), x * y * z),
        (pt.switch(variable(chosen), b, c), (chosen, y, z), np.where(chosen, y, z)),
        (pt.cast(variable(numbers), dtype), (numbers,), numbers.astype(dtype)),
        (pt.cast(a, "float32"), (x,), x.astype("float32")),
    ):
        if expression.owner is None:
            continue  # a conversion to the same type
        (found,) = run(entrywise(expression), *arrays)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_is_not_a_number_passes_comparisons():
    x = np.array([np.nan, 1.0, -np.inf, np.inf])
    y = np.array([0.0, np.nan, 0.0, 0.0])
    a, b = variable(x), variable(y)
    for make, twin in ((pt.maximum, np.maximum), (pt.minimum, np.minimum)):
        np.testing.assert_array_equal(run(entrywise(make(a, b)), x, y)[0], twin(x, y))
    low, high = np.full(4, -1.0), np.full(4, 1.0)
    (found,) = run(entrywise(pt.clip(a, variable(low), variable(high))), x, low, high)
    np.testing.assert_array_equal(found, np.clip(x, low, high))
    for make, twin in ((pt.lt, np.less), (pt.ge, np.greater_equal), (pt.neq, np.not_equal)):
        np.testing.assert_array_equal(run(entrywise(make(a, b)), x, y)[0], twin(x, y))


def layouts(whole):
    """Get arrays of the same entries that lie in other ways."""
    yield np.ascontiguousarray(whole)
    yield np.asfortranarray(whole)
    yield np.repeat(whole, 2, axis=-1)[..., ::2]
    yield np.ascontiguousarray(whole[..., ::-1])[..., ::-1]


@pytest.mark.parametrize("dtypes", [("int64", "uint64"), ("uint64", "int64"), ("int64", "int64")])
def test_large_integers_are_compared_as_they_are(dtypes):
    """No float64 is between 2^62 and 2^62 + 1."""
    a = np.array([2**62 + 1, 2**62 - 1, 2**62, 2**63 - 1], dtypes[0])
    b = np.array([2**62, 2**62, 2**62, 2**63 - 2], dtypes[1])
    x, y = variable(a), variable(b)
    for name in ("eq", "neq", "lt", "le", "gt", "ge"):
        op = entrywise(getattr(pt, name)(x, y))
        expected = {"neq": "not_equal", "eq": "equal", "le": "less_equal", "ge": "greater_equal"}
        function = getattr(np, expected.get(name, {"lt": "less", "gt": "greater"}.get(name, "")))
        np.testing.assert_array_equal(run(op, a, b)[0], function(a, b), err_msg=name)


def test_an_expression_keeps_the_type_that_it_was_made_with(rng):
    """A quotient of integers is of the type of floats that is configured when it is made."""
    a, b = rng.integers(1, 9, (2, 5))
    x, y = pt.lvectors("x", "y")
    with pytensor.config.change_flags(floatX="float64"):
        quotient = x / y
    with pytensor.config.change_flags(floatX="float32"):
        assert Entrywise.of(quotient.owner) is None
    found = backends.function([x, y], [quotient], mode="NUMBA", dtype="float32")(a, b)[0]
    np.testing.assert_array_equal(found, a / b, strict=True)


@pytest.mark.parametrize(
    "patterns",
    [
        ("...", "..."),
        ("...", "11."),
        ("...", "..1"),
        ("...", ".1."),
        ("...", "111"),
        ("11.", "..1"),
        (".1.", "1.."),
        ("..1", "..1"),
        ("11.", "11."),
        ("111", "111"),
        ("1..", "..1", "..."),
    ],
)
def test_repeated_axes(patterns, rng):
    flags = [tuple(c == "1" for c in p) for p in patterns]
    variables = [pt.tensor(dtype="float64", shape=[1 if f else None for f in fs]) for fs in flags]
    function = compiled(entrywise(pt.add(*variables)))
    for lengths in ((2, 3, 4), (0, 3, 4), (2, 0, 4), (2, 3, 0), (1, 1, 1), (5, 1, 9)):
        shapes = [[1 if f else n for f, n in zip(fs, lengths, strict=True)] for fs in flags]
        wholes = [made(rng, shape, "float64") for shape in shapes]
        others = [list(layouts(x))[i] for i, x in enumerate(wholes)]
        for arrays in (*zip(*map(layouts, wholes), strict=True), others):
            (found,) = function(*arrays)
            assert found.flags.c_contiguous
            np.testing.assert_array_equal(found, sum(wholes[1:], wholes[0]))


def test_shapes_that_do_not_fit_are_refused(rng):
    a, b = pt.matrix(dtype="float32"), pt.matrix(dtype="float32")
    row = pt.tensor(dtype="float32", shape=(1, None))
    x = made(rng, (3, 4), "float32")
    for other in ((3, 5), (2, 4), (1, 4), (3, 1), (0, 4)):
        with pytest.raises(ValueError, match="shapes that do not fit"):
            run(entrywise(a + b), x, made(rng, other, "float32"))
    for other in ((3, 4), (1, 5), (2, 4), (0, 4)):
        with pytest.raises(ValueError, match="shapes that do not fit"):
            run(entrywise(a + row), x, made(rng, other, "float32"))


@pytest.mark.parametrize("layout", range(4))
def test_in_place(layout, rng):
    x = list(layouts(made(rng, (3, 4), "float32")))[layout]
    y, row = made(rng, (3, 4), "float32"), made(rng, (1, 4), "float32")
    a, b, r = variable(x), variable(y), variable(row, (True, False))
    added = (a + b + r).owner.op.scalar_op
    expected = x + y + row
    op = entrywise(Elemwise(added, {0: 1})(b, a, r))
    assert op.destroy_map == {0: [1]}
    (found,) = run(op, y, x, row)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(found, x)
    assert np.shares_memory(found, x)


def test_several_outputs_some_in_place(rng):
    x, y = made(rng, (6, 5), "float64"), made(rng, (6, 5), "float64")
    p, q = float64(), float64()
    scalar = Composite([p, q], [p + q, p * q, p > q, p * 2.0])
    op = entrywise(Elemwise(scalar, {1: 0})(variable(x), variable(y))[0])
    expected = [x + y, x * y, x > y, x * 2]
    found = run(op, x, y)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert np.shares_memory(found[1], x) and not np.shares_memory(found[0], x)
    # Arrays without axes.
    op = entrywise(Elemwise(scalar, {1: 0})(pt.dscalar(), pt.dscalar())[0])
    assert [float(x) for x in run(op, np.asarray(3.0), np.asarray(4.0))] == [
        7,
        12,
        0,
        6,
    ]


def test_what_is_overwritten_is_read_under_one_name():
    x = pt.vector()
    assert Entrywise.of(Elemwise((x * x).owner.op.scalar_op, {0: 0})(x, x).owner) is None


@pytest.mark.parametrize("dtype", ["float16", "complex64", "complex128"])
def test_other_types_are_left(dtype):
    x = pt.tensor(dtype=dtype, shape=(None,))
    assert Entrywise.of((x + x).owner) is None


def test_functions_of_the_linker(rng):
    z, values = pt.dvector(), rng.uniform(0.5, 4, 5)
    for make, twin in ((pt.gammaln, special.gammaln), (pt.erf, special.erf), (pt.psi, special.psi)):
        (found,) = run(entrywise(make(z)), values)
        np.testing.assert_allclose(found, twin(values), rtol=1e-12)


def test_wrong_inputs_are_refused():
    x = pt.matrix(dtype="float32")
    op = entrywise(x + x)
    with pytest.raises(TypeError, match="float64"):
        op(pt.matrix(dtype="float64"), pt.matrix(dtype="float64"))
    with pytest.raises(TypeError, match="repeated"):
        op(x, pt.row(dtype="float32"))


def test_equal_ones_share_a_function():
    def op(constant, shape=(None, None), dtype="float32"):
        x = pt.tensor(dtype=dtype, shape=shape)
        graph = backends.function([x], pt.exp(x) * constant, mode="NUMBA", dtype=dtype).maker.fgraph
        (node,) = graph.toposort()
        return node.op

    one = op(2.5)
    assert isinstance(one, Entrywise)
    assert pickle.loads(pickle.dumps(one)) == one
    others = [op(3.5), op(2.5, (None, 1)), op(2.5, dtype="float64")]
    assert op(2.5) == one and op(2.5).kernel()[1] == one.kernel()[1]
    assert len({one.kernel()[1], *(other.kernel()[1] for other in others)}) == 4
    assert len({one, *others}) == 4
    assert op(2.5, (None, 7)) == one  # lengths are not compiled in


def test_it_is_the_same_without_a_compiler(rng):
    x, y = made(rng, (3, 4), "float32"), made(rng, (1, 4), "float32")
    op = entrywise(variable(x) * variable(y, (True, False)))
    inputs = [pt.tensor(dtype="float32", shape=shape) for shape in ((None, None), (1, None))]
    function = pytensor.function(inputs, op(*inputs), mode="FAST_COMPILE")
    np.testing.assert_array_equal(function(x, y), x * y)
    shape = pytensor.function(inputs, op(*inputs).shape, mode="FAST_COMPILE")
    assert tuple(shape(x, y)) == (3, 4)


def test_all_rows_of_the_tables_are_tried():
    kinds = {type(entrywise(make(pt.dvector())).scalar_op) for make, _ in UNARY.values()}
    two = [pt.dvector(), pt.dvector()]
    kinds |= {type(entrywise(make(*two)).scalar_op) for make, _ in BINARY.values()}
    kinds.add(type(entrywise(pt.clip(*two, pt.dvector())).scalar_op))
    assert set(OF_FLOATS) <= kinds
    assert set(OF_INTEGERS) <= kinds


def test_no_function_is_compiled_for_what_is_in_the_tables():
    x = pt.dvector()
    node = entrywise(pt.exp(x)).scalar_node()
    assert not program(node).calls
    assert program(entrywise(pt.erf(x)).scalar_node()).calls
