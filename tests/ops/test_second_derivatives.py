"""Second derivatives of each Op of ours: those of finite differences, or refused by our error.

Differences are of the gradient that PyTensor's `grad` makes, along random directions.
"""

import importlib
import pkgutil

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from op_cases import DISCRETE, FIRST, SMOOTH, applied, cost_of, floats
from pytensor.gradient import DisconnectedType, pushforward
from pytensor.graph.op import Op
from recurrent_cases import Case

import theanets
import theanets.ops
from theanets.errors import ConfigurationError, DerivativeError, Error

RNG = np.random.default_rng(2)

#: Those of which all is tested below.
RECURRENT = {"RecurrentForward", "RecurrentBackward", "FirstOrder"}
#: Bases; what stands in for PyTensor's Ops once gradients are made; what cells are traced by.
OTHERS = {
    *("KernelOp", "ChainOp", "CtcOp", "WindowOp", "Pooling", "SparseOp", "_Recurrent"),
    *("MatMul", "RowArgmax", "RowSoftmax", "Sums", "Fill", "Axes", "Positions", "Draws"),
    *("RowOp", "RowSum", "RowMax", "RowSize", "Early", "FromKey"),
}


def difference(function, values, moved, step=1e-5):
    """Differences of a function's results along directions of some arguments."""
    ends = []
    for sign in (1, -1):
        at = list(values)
        for i, direction in moved.items():
            at[i] = values[i] + sign * step * direction
        ends.append(function(*at))
    return [(a - b) / (2 * step) for a, b in zip(*ends)]


def subclasses(kind):
    for sub in kind.__subclasses__():
        yield sub
        yield from subclasses(sub)


def test_all_operations_are_here():
    for module in pkgutil.walk_packages(theanets.ops.__path__, "theanets.ops."):
        if not any(library in module.name for library in ("jax", "torch")):
            importlib.import_module(module.name)
    ours = {op for op in subclasses(Op) if op.__module__.startswith("theanets.")}
    tested = {type(op) for op, *_ in [*SMOOTH.values(), *FIRST.values(), *DISCRETE.values()]}
    assert {op.__name__ for op in ours - tested} - OTHERS <= RECURRENT


@pytest.mark.parametrize("name", SMOOTH)
def test_second_derivatives_are_those_of_differences(name):
    op, arguments, which = SMOOTH[name]
    symbols, values, outputs = applied(op, arguments)
    moving = floats(symbols)
    wrt = [symbols[i] for i in moving]
    options = dict(disconnected_inputs="ignore")
    gradient = pytensor.grad(cost_of(outputs[which]), wrt, **options)
    directions = [RNG.normal(size=values[i].shape) for i in moving]
    slope = sum((g * d).sum() for g, d in zip(gradient, directions))
    second = pytensor.grad(slope, wrt, **options)
    first = pytensor.function(symbols, gradient, on_unused_input="ignore")
    found = pytensor.function(symbols, second, on_unused_input="ignore")(*values)
    expected = difference(first, values, dict(zip(moving, directions)))
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
    assert any(np.abs(b).max() > 1e-3 for b in expected)


@pytest.mark.parametrize("name", SMOOTH)
def test_first_derivatives_of_all_outputs(name):
    """Backward and forward; the latter takes the derivative of the former."""
    op, arguments, which = SMOOTH[name]
    symbols, values, outputs = applied(op, arguments)
    # Of the largest entries, only the place counts.
    moving = floats(symbols)[name in ("MaxGather", "MaxScatter") :]
    wrt = [symbols[i] for i in moving]
    options = dict(disconnected_inputs="ignore")
    directions = [RNG.normal(size=values[i].shape) for i in moving]
    moved = dict(zip(moving, directions))
    cost = cost_of(outputs)
    gradient = pytensor.grad(cost, wrt, **options)
    slope = sum((g * d).sum() for g, d in zip(gradient, directions))
    tangents = pushforward(outputs[which], wrt, [pt.as_tensor(d) for d in directions])
    results = [slope, *tangents]
    function = pytensor.function(symbols, results, on_unused_input="ignore")
    plain = pytensor.function(symbols, [cost, *outputs[which]], on_unused_input="ignore")
    for a, b in zip(function(*values), difference(plain, values, moved)):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", [*SMOOTH, *DISCRETE, *FIRST])
def test_what_is_declared_disconnected_has_no_influence(name):
    op, arguments, *_ = {**SMOOTH, **DISCRETE, **FIRST}[name]
    symbols, values, outputs = applied(op, arguments)
    function = pytensor.function(symbols, outputs, on_unused_input="ignore")
    node = outputs[0].owner
    default = [[True] * len(outputs)] * len(node.inputs)
    pattern = getattr(op, "connection_pattern", lambda node: default)(node)
    for i in floats(symbols):
        slopes = difference(function, values, {i: RNG.normal(size=values[i].shape)})
        row = pattern[node.inputs.index(symbols[i])]
        for connected, slope in zip(row, slopes, strict=True):
            # Labels and the like do not move at all.
            assert connected or not slope.any(), (i, row)


@pytest.mark.parametrize("name", FIRST)
def test_derivatives_without_derivatives_say_so(name):
    op, arguments = FIRST[name]
    symbols, _, outputs = applied(op, arguments)
    with pytest.raises(DerivativeError, match="has none itself"):
        pytensor.grad(cost_of(outputs), symbols[0])
    assert issubclass(DerivativeError, Error)


@pytest.mark.parametrize("op, arguments", [SMOOTH["ForwardBackward"][:2], SMOOTH["Alignments"][:2]])
def test_third_derivatives_are_refused(op, arguments):
    symbols, _, outputs = applied(op, arguments)
    second = cost_of([pytensor.grad(cost_of(outputs[:1]), symbols[0])])
    third = cost_of([pytensor.grad(second, symbols[0])])
    with pytest.raises(DerivativeError, match="Tangent"):
        pytensor.grad(third, symbols[0])


def test_second_derivatives_of_recurrences_are_refused():
    case = Case("tanh")
    outputs, _ = case.fast()
    cost = pt.sqr(outputs["out"]).sum()
    for wrt in (case.weights[0], case.z, case.states[0]):
        first = pytensor.grad(cost, wrt)
        with pytest.raises(DerivativeError, match="has none itself"):
            pytensor.grad(first.sum(), wrt)
    with pytest.raises(DerivativeError, match="has none itself"):
        pushforward(outputs["out"], case.z, case.z)


def test_lengths_are_no_input_of_derivatives():
    case = Case("tanh")
    node = case.fast()[0]["out"].owner
    pattern = node.op.connection_pattern(node)
    assert pattern[0] == [True] * len(node.outputs) and pattern[1] == [False] * len(node.outputs)
    gradients = node.op.pullback(node.inputs, node.outputs, [o.ones_like() for o in node.outputs])
    assert isinstance(gradients[1].type, DisconnectedType)


# ---- networks --------------------------------------------------------------------

X = RNG.normal(size=(4, 4, 3))
ALIGNMENT = np.array([[1, 2], [1, -1], [2, -1], [-1, -1]])


def ctc_network(**options):
    return theanets.recurrent.Classifier(
        [3, (4, "tanh"), 3], loss="ctc", dtype="float64", **options
    )


def test_esgd_of_ctc_learns_by_its_hessian():
    """The products that it averages are those of differences."""
    net = ctc_network(rng=1)
    params = net.params
    cost = net.loss()
    gradient = pytensor.grad(cost, params)
    directions = [RNG.normal(size=p.get_value().shape) for p in params]
    slope = sum((g * d).sum() for g, d in zip(gradient, directions))
    second = pytensor.grad(slope, params)
    variables = net.variables
    first, found = (
        pytensor.function(variables, values, on_unused_input="ignore")
        for values in (gradient, second)
    )
    data = [X, ALIGNMENT.astype("int32")]
    found, ends = found(*data), []
    start = [p.get_value() for p in params]
    for sign in (1e-5, -1e-5):
        for p, value, direction in zip(params, start, directions):
            p.set_value(value + sign * direction)
        ends.append(first(*data))
    for a, up, down in zip(found, *ends):
        np.testing.assert_allclose(a, (up - down) / 2e-5, rtol=1e-6, atol=1e-8)
    for p, value in zip(params, start):
        p.set_value(value)
    before = net.evaluate([X, ALIGNMENT])["loss"]
    net.train([X, ALIGNMENT], algo="esgd", epochs=5, learning_rate=0.01)
    assert net.evaluate([X, ALIGNMENT])["loss"] < before


RECURRENT_NETS = {
    "rnn": ([3, (4, "rnn"), (4, "rnn", "tanh"), 2], "layer 'hid1' and layer 'hid2' has"),
    "both": (
        [3, (4, "tanh"), dict(form="bidirectional", size=4, worker="gru", name="both"), 2],
        "layer 'both' has",
    ),
}


@pytest.mark.parametrize("name, algo", [("rnn", "esgd"), ("both", "sgd"), ("rnn", "l-bfgs")])
def test_networks_without_second_derivatives_say_who_lacks_them(name, algo):
    layers, what = RECURRENT_NETS[name]
    net = theanets.recurrent.Regressor(layers, rng=1)
    before = [p.get_value() for p in net.params]
    who = "algorithm ESGD" if algo == "esgd" else "'contractive'"
    options = {} if algo == "esgd" else dict(contractive=0.1)
    with pytest.raises(ConfigurationError, match=f"^{who} needs .*higher order than {what}"):
        net.train([X, X[..., :2]], algo=algo, epochs=1, **options)
    for p, value in zip(net.params, before):
        np.testing.assert_array_equal(p.get_value(), value)


def test_a_loss_of_the_users_own_that_needs_them():
    """A penalty on a gradient, of a layer that has no second one."""

    class Slope(theanets.Loss, names=()):
        def __call__(self, outputs):
            y = outputs[self.output_name]
            return pt.sqr(pytensor.grad(y.sum(), outputs["in:out"])).mean()

    net = theanets.recurrent.Regressor([3, (4, "rnn"), 2], loss=Slope(), rng=1)
    with pytest.raises(ConfigurationError, match=r"needs derivatives .* layer 'hid1'"):
        net.train([X, X[..., :2]], epochs=1)
