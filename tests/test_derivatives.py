"""Derivatives for each row, against formulas, differences and the derivatives of single rows."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets
from theanets import derivative, divergence, laplacian

x = pt.matrix("x", shape=(None, 2))
t = pt.vector("t")
column = pt.matrix("c", shape=(None, 1))
POINTS = np.random.default_rng(0).uniform(-1, 1, size=(7, 2))
A, B = POINTS.T
#: sin(a) b^3 + a b
U = pt.sin(x[:, 0]) * x[:, 1] ** 3 + x[:, 0] * x[:, 1]


def at(expression, value=POINTS, variable=x):
    return expression.eval({variable: value})


FORMULAS = {
    "first": (dict(along=0), np.cos(A) * B**3 + B),
    "last": (dict(along=-1), 3 * np.sin(A) * B**2 + A),
    "second": (dict(order=2, along=0), -np.sin(A) * B**3),
    "second by columns": (dict(along=(1, 1)), 6 * np.sin(A) * B),
    "mixed": (dict(along=(0, 1)), 3 * np.cos(A) * B**2 + 1),
    "mixed otherwise": (dict(order=2, along=[1, 0]), 3 * np.cos(A) * B**2 + 1),
    "third": (dict(order=3, along=1), 6 * np.sin(A)),
    "all": ({}, np.stack([np.cos(A) * B**3 + B, 3 * np.sin(A) * B**2 + A], axis=1)),
    "fourth is none": (dict(order=4, along=1), 0 * A),
}


@pytest.mark.parametrize("case", FORMULAS)
def test_formulas(case):
    keywords, expected = FORMULAS[case]
    np.testing.assert_allclose(at(derivative(U, x, **keywords)), expected, atol=1e-12)
    # Of a matrix of outputs, each has its own.
    both = pt.stack([U, 2 * U], axis=1)
    expected = np.stack([expected, 2 * expected], axis=1)
    np.testing.assert_allclose(at(derivative(both, x, **keywords)), expected, atol=1e-12)


@pytest.mark.parametrize("variable", [t, column], ids=["vector", "column"])
def test_an_input_of_one_column_needs_no_choice(variable):
    value = A if variable is t else A[:, None]
    u = pt.exp(2 * variable)
    for order in (1, 2, 5):
        found = at(derivative(u, variable, order), value, variable)
        np.testing.assert_allclose(found, 2**order * np.exp(2 * value))
    np.testing.assert_allclose(at(laplacian(u, variable), value, variable), 4 * np.exp(2 * value))


def test_a_linear_output_has_a_second_derivative_of_zero():
    np.testing.assert_array_equal(at(derivative(3 * t, t, 2), A, t), 0 * A)


def test_sums_of_derivatives():
    np.testing.assert_allclose(at(laplacian(U, x)), -np.sin(A) * B**3 + 6 * np.sin(A) * B)
    np.testing.assert_allclose(at(laplacian(U, x, along=1)), 6 * np.sin(A) * B)
    np.testing.assert_allclose(at(laplacian(U, x, along=[1])), 6 * np.sin(A) * B)
    field = pt.stack([U, x[:, 0] * x[:, 1] ** 2], axis=1)
    np.testing.assert_allclose(at(divergence(field, x)), np.cos(A) * B**3 + B + 2 * A * B)
    np.testing.assert_allclose(at(divergence(pt.sin(t), t), A, t), np.cos(A))


LAYERS = {
    "tanh": (8, "tanh"),
    "batch_norm": "batch_norm",
    "layer_norm": "layer_norm",
    "softmax": (4, "softmax"),
    "maxout": (6, "maxout:2"),
    "images": (
        dict(form="reshape", shape=(5, 1)),
        dict(form="conv1", size=2, filter_size=2, activation="tanh"),
        dict(form="pool1", pool_size=2, mode="mean"),
        "flatten",
    ),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_networks_by_single_rows(layer):
    """Each row's derivatives are those of a batch that has only that row."""
    layers = LAYERS[layer] if layer == "images" else [LAYERS[layer]]
    net = theanets.Regressor([2, (5, "tanh"), *layers, 2], rng=1, dtype="float64")
    u, inputs = net.outputs()["out:out"], net.inputs[0]
    found = pytensor.function(
        [inputs], [derivative(u, inputs), derivative(u, inputs, along=(0, 1))]
    )
    first, mixed = found(POINTS)
    assert first.shape == (7, 2, 2)
    assert mixed.shape == (7, 2)
    for i in range(7):
        alone = found(POINTS[i : i + 1])
        np.testing.assert_allclose(alone[0][0], first[i], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(alone[1][0], mixed[i], rtol=1e-9, atol=1e-12)
    step = 1e-4
    shifted = {
        s: net.predict(POINTS + step * np.array(s)) for s in ((1, 1), (1, -1), (-1, 1), (-1, -1))
    }
    twin = shifted[1, 1] - shifted[1, -1] - shifted[-1, 1] + shifted[-1, -1]
    np.testing.assert_allclose(mixed, twin / (4 * step**2), atol=1e-5)


def test_it_costs_one_gradient_whatever_the_number_of_columns():
    """Not one for each: the derivatives by 50 columns are a graph of the size of those by 2."""
    sizes = []
    for columns in (2, 50):
        net = theanets.Regressor([columns, (5, "tanh"), 1], rng=1, dtype="float64")
        u = derivative(net.outputs()["out:out"], net.inputs[0])
        sizes.append(len(list(pytensor.graph.traversal.applys_between([], [u]))))
    assert sizes[0] == sizes[1]


OTHER = pytensor.shared(np.ones((2, 2)))
MIXED = {
    "mean": x * x.mean(axis=0),
    "sum of all": x * x.sum(),
    "maximum": x / x.max(axis=0),
    "norm": x / pt.sqrt(pt.sqr(x).sum(axis=0)),
    "softmax over rows": pt.special.softmax(x, axis=0),
    "logsumexp": x - pt.logsumexp(x, axis=0),
    "cumulated": x.cumsum(axis=0),
    "pairs": (x[:, None] - x[None]).sum(axis=1),
    "kernel": x @ x.T @ x,
    "gram": x @ (x.T @ x),
    "differences": pt.concatenate([x[:1], x[1:] - x[:-1]]),
    "reversed": x[::-1] * x,
    "one for all": x * x[0],
}


#: What is not followed: these do take rows together.
UNKNOWN = {
    "taken": x[pt.constant([3, 1, 0, 5, 2, 4, 6])],
    "take": pt.take(x, [3, 1, 0, 5, 2, 4, 6], axis=0),
    "sorted": pt.sort(x, axis=0),
    "by a column": x[pt.argsort(x[:, 0])],
    "norm": x / pt.linalg.norm(x),
    "einsum": pt.einsum("ij,jk->ik", np.tri(7), x),
    "solved": pt.linalg.solve(np.tri(7) + np.eye(7), x),
    "repeated": pt.repeat(x, 2, axis=0)[:7],
    "reshaped": pt.stack([x[:, 0]] * 2).reshape((7, 2)),
    "reshaped by rows": pt.concatenate([x, 2 * x], axis=1).T.reshape((-1, 2))[:7],
    "scan": pytensor.scan(
        lambda r, s: r + s, sequences=x, outputs_info=x[0] * 0, return_updates=False
    ),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_may_take_rows_together_is_refused(case):
    u = UNKNOWN[case][:, 0]
    with pytest.raises(theanets.ConfigurationError, match=r"depend on other rows|check=False"):
        derivative(u, x, along=0)
    each = at(pytensor.gradient.jacobian(u, x, vectorize=False))
    assert not np.allclose(each.sum(axis=0), each[range(7), range(7)])


def test_who_knows_may_say_so():
    """A scan over the rows that has nothing of the one before."""
    u = pytensor.scan(pt.sin, sequences=x, return_updates=False)
    u = pt.specify_shape(u, (7, 2))[:, 0]
    with pytest.raises(theanets.ConfigurationError, match=r"depend on other rows|check=False"):
        derivative(u, x, along=0)
    np.testing.assert_allclose(at(derivative(u, x, along=0, check=False)), np.cos(A))
    found = at(laplacian(u, x, check=False))
    np.testing.assert_allclose(found, -np.sin(A))


@pytest.mark.parametrize("case", MIXED)
def test_rows_that_meet_each_other_are_refused(case):
    u = MIXED[case][:, 0]
    with pytest.raises(theanets.ConfigurationError, match="depend on other rows of the input"):
        derivative(u, x)
    # It would be wrong indeed: that of the sum is not that of the row.
    each = at(pytensor.gradient.jacobian(u, x, vectorize=True))
    assert not np.allclose(each.sum(axis=0), each[range(7), range(7)])


APART = {
    "product": x @ OTHER,
    "stacked": pt.stack([x[:, 0], x[:, 1] ** 2], axis=1),
    "joined": pt.concatenate([x, x**2], axis=1)[:, 1:3],
    "sum of columns": x * x.sum(axis=1, keepdims=True),
    "softmax": pt.special.softmax(x, axis=1),
    "transposed twice": (OTHER @ x.T).T,
    "of the number of rows": x * x.shape[0],
    "of a mean that is held": x * pytensor.gradient.disconnected_grad(x.mean(axis=0)),
    "for each a matrix": (x[:, :, None] * x[:, None, :]).sum(axis=2),
    "matrices": pt.matmul(x[:, None, :], OTHER)[:, 0],
    "specified": pt.specify_shape(x, (7, 2)),
    "cumulated": x.cumsum(axis=1),
    "reshaped": x.reshape((x.shape[0], 2, 1)).reshape((-1, 2)),
    "flattened": pt.flatten(x[:, :, None] * x[:, None], 2),
    "filled": pt.alloc(x[:, :1], x.shape[0], 3) * x[:, :1],
    "repeated": pt.repeat(x, 2, axis=1),
    "counted": x * (x[:, :1] > 0),
}


@pytest.mark.parametrize("case", APART)
def test_rows_that_do_not_are_taken(case):
    u = APART[case][:, 0]
    found = at(derivative(u, x))
    for i in range(7):
        row = at(pytensor.grad(u[i], x))
        np.testing.assert_allclose(found[i], row[i])
        np.testing.assert_array_equal(np.delete(row, i, axis=0), 0)


def test_batch_norm_in_training_is_refused():
    net = theanets.Regressor([2, 5, "batch_norm", 1], rng=1, dtype="float64")
    u = net.outputs(training=True)["out:out"]
    with pytest.raises(theanets.ConfigurationError, match=r"batch_norm in training"):
        derivative(u, net.inputs[0])


REFUSED = {
    "number": (3.0, x, {}, "the output 3.0 is no symbolic array"),
    "integers": (x[:, 0] > 0, x, {}, "no symbolic array of floating point"),
    "an integer input": (U, pt.lvector("i"), {}, "the input i is no symbolic array"),
    "scalar": (U.sum(), x, {}, "the output has 0 dimensions"),
    "series": (U, pt.tensor3("s"), {}, "has 3 dimensions.*series"),
    "elsewhere": (U, t, {}, "does not depend on the input t"),
    "columns": (U, x, {"order": 2}, r"several derivatives of order 2: along="),
    "no column": (U, x, {"along": 2}, "along=2 is no column of the input, which has 2"),
    "no number": (U, x, {"along": "x"}, "along='x' is no column"),
    "order": (U, x, {"order": 0, "along": 0}, "order=0 is not an integer of at least 1"),
    "orders": (U, x, {"order": 3, "along": (0, 1)}, "has 2 columns, but the order is 3"),
    "unknown columns": (pt.exp(pt.matrix("m")), x, {}, "how many columns the output has"),
    "transposed": (pt.specify_shape(x.T, (2, 7)), x, {}, "are axis 1 of the output"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    output, variable, keywords, message = REFUSED[case]
    with pytest.raises(theanets.ConfigurationError, match=message):
        derivative(output, variable, **keywords)


def test_a_divergence_has_as_many_outputs_as_columns():
    with pytest.raises(theanets.ConfigurationError, match="got 1 and 2"):
        divergence(U, x)


@pytest.mark.linker
@pytest.mark.parametrize("mode", ["NUMBA", "JAX"])
def test_linkers(mode):
    if mode == "JAX":
        pytest.importorskip("jax")
    net = theanets.Regressor([2, (8, "tanh"), 1], rng=1, dtype="float64")
    u = net.outputs()["out:out"]
    found = [derivative(u, net.inputs[0], 2, along=0), laplacian(u, net.inputs[0])]
    results = pytensor.function(net.inputs, found, mode=mode)(POINTS)
    plain = pytensor.function(net.inputs, found, mode="FAST_COMPILE")(POINTS)
    for result, expected in zip(results, plain, strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-9)
