"""Regularizers against NumPy: values, gradients, places, streams of noise, and what is compiled."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from penalty_cases import RNG, X, Y, make, values

import theanets
from theanets import backends
from theanets.regularizers import Regularizer, WeightL1, WeightL2

WEIGHTS = ("hid1.w", "hid2.w", "out.w")
HIDDEN = ("hid1", "hid2")


def power(p, names, reduce=np.mean):
    """The penalty ``mean |x| ** p``, averaged over some things."""
    return lambda v: np.mean([reduce(np.abs(v[n]) ** p) for n in names])


def half(function):
    return lambda v: 0.5 * function(v)


def trace(w):
    return (w * w).sum()


ALIASES = [
    ("weight_l2", "weight_decay", half(power(2, WEIGHTS))),
    ("weight_l2", "weightl2", half(power(2, WEIGHTS))),
    ("weight_l1", "weight_sparsity", half(power(1, WEIGHTS))),
    ("weight_l1", "weightl1", half(power(1, WEIGHTS))),
    ("hidden_l1", "hidden_sparsity", half(power(1, HIDDEN))),
    ("hidden_l1", "hiddenl1", half(power(1, HIDDEN))),
    ("hidden_l2", "hiddenl2", half(power(2, HIDDEN))),
]
PENALTIES = [
    ({"weight_l2": 0.5}, half(power(2, WEIGHTS))),
    ({"weight_l1": 0.5}, half(power(1, WEIGHTS))),
    ({"hidden_l1": 0.5}, half(power(1, HIDDEN))),
    ({"hidden_l2": 0.5}, half(power(2, HIDDEN))),
    # Where.
    ({"weight_l2": {"weight": 0.5, "pattern": "hid1.w"}}, half(power(2, ["hid1.w"]))),
    (
        {"weight_l1": {"weight": 0.5, "pattern": "hid?.w, out.b"}},
        half(power(1, ["hid1.w", "hid2.w", "out.b"])),
    ),
    (
        {"weight_l1": {"weight": 0.5, "pattern": ["hid1.*", "out.b"]}},
        half(power(1, ["hid1.w", "hid1.b", "out.b"])),
    ),
    ({"hidden_l1": {"weight": 0.5, "pattern": "hid1, out"}}, half(power(1, ["hid1", "out"]))),
    ({"hidden_l2": {"weight": 0.5, "pattern": "hid*:out"}}, half(power(2, HIDDEN))),
    # A strength for each.
    (
        {"weight_l2": {"hid1.w": 0.5, "out.*": 2}},
        lambda v: 0.5 * (v["hid1.w"] ** 2).mean() + 2 * power(2, ["out.w", "out.b"])(v),
    ),
    (
        {"hidden_l1": {"hid1": 0.5, "hid2": 2}},
        lambda v: 0.5 * np.abs(v["hid1"]).mean() + 2 * np.abs(v["hid2"]).mean(),
    ),
    # How.
    (
        {"weight_l2": {"weight": 0.5, "norm": "sum"}},
        lambda v: 0.5 * sum((v[n] ** 2).sum() for n in WEIGHTS),
    ),
    (
        {"hidden_l1": {"weight": 0.5, "norm": "sum"}},
        lambda v: 0.5 * sum(np.abs(v[n]).sum() for n in HIDDEN) / len(X),
    ),
    ({"weight_l2": {"weight": 0.5, "lnorm": 3}}, half(power(3, WEIGHTS))),
    ({"weight_l1": {"weight": 0.5, "lnorm": 0.5}}, half(power(0.5, WEIGHTS))),
    ({"weight_l1": {"weight": 0.5, "lnorm": 2}}, half(power(2, WEIGHTS))),
    (
        {"weight_l2": {"weight": 0.5, "pattern": "out.w", "norm": "sum", "root": True}},
        lambda v: 0.5 * np.linalg.norm(v["out.w"]),
    ),
    (
        {"hidden_l2": {"weight": 0.5, "lnorm": 1.5, "root": True}},
        lambda v: 0.5 * np.mean([(np.abs(v[n]) ** 1.5).mean() ** (1 / 1.5) for n in HIDDEN]),
    ),
    # Several at once, in every form.
    (
        {"weight_l2": 0.5, "hidden_l1": 2},
        lambda v: 0.5 * power(2, WEIGHTS)(v) + 2 * power(1, HIDDEN)(v),
    ),
    (
        {"regularizers": [WeightL2(0.5), WeightL2(2, "out.b")], "hidden_l1": 3},
        lambda v: 0.5 * power(2, WEIGHTS)(v) + 2 * power(2, ["out.b"])(v) + 3 * power(1, HIDDEN)(v),
    ),
    (
        {"regularizers": {"weight_l2": 0.5, "hidden_l1": {"hid2": 2}}, "weight_l1": 3},
        lambda v: 0.5 * power(2, WEIGHTS)(v) + 2 * power(1, ["hid2"])(v) + 3 * power(1, WEIGHTS)(v),
    ),
    (
        {"regularizers": [{"form": "WeightL1", "weight": 0.5, "pattern": "out.w"}]},
        half(power(1, ["out.w"])),
    ),
    ({"regularizers": WeightL1(weight=0.5)}, half(power(1, WEIGHTS))),
    # Functions of the user.
    (
        {"regularizers": [theanets.penalty(trace, weight=0.5)]},
        lambda v: 0.5 * sum((v[n] ** 2).sum() for n in WEIGHTS),
    ),
    (
        {"regularizers": [theanets.penalty(trace, "hid1.b hid2", 0.5)], "weight_l1": 2},
        lambda v: (
            0.5 * ((v["hid1.b"] ** 2).sum() + (v["hid2"] ** 2).sum()) + 2 * power(1, WEIGHTS)(v)
        ),
    ),
    # One strength for all.
    (
        {"weight_l2": 0.5, "hidden_l1": 2, "penalty_scale": 10},
        lambda v: 5 * power(2, WEIGHTS)(v) + 20 * power(1, HIDDEN)(v),
    ),
    ({"weight_l2": 0.5, "reg_lambda": np.float32(3)}, lambda v: 1.5 * power(2, WEIGHTS)(v)),
    ({"weight_l2": 0.5, "reg_lambda": 0}, lambda v: 0.0),
]


@pytest.mark.parametrize(("keywords", "expected"), PENALTIES)
def test_penalties(keywords, expected):
    net = make()
    for param in net.params:
        param.set_value(param.get_value() + RNG.normal(size=param.get_value().shape))
    clean = net.evaluate([X, Y])
    found = net.evaluate([X, Y], **keywords)
    assert found["err"] == pytest.approx(clean["loss"], rel=1e-12)
    assert found["err"] == pytest.approx(((values(net)["out"] - Y) ** 2).mean(), rel=1e-12)
    assert found["loss"] - found["err"] == pytest.approx(expected(values(net)), rel=1e-9)
    # Each is a monitor, with its own strength.
    names = [name for name in found if name not in ("loss", "err", "mse")]
    scale = float(keywords.get("penalty_scale", keywords.get("reg_lambda", 1)))
    total = scale * sum(found[name] for name in names)
    assert total == pytest.approx(expected(values(net)), rel=1e-9)


@pytest.mark.parametrize(("name", "alias", "expected"), ALIASES)
def test_aliases(name, alias, expected):
    net = make()
    found = net.evaluate([X, Y], **{alias: 0.5})
    assert found[name] == pytest.approx(expected(values(net)), rel=1e-9)
    assert alias in theanets.regularizers.keywords()


@pytest.mark.parametrize(("keywords", "expected"), PENALTIES)
def test_gradients_of_penalties(keywords, expected):
    net = make()
    penalty = net.loss(**keywords) - net.loss()
    function = pytensor.function(
        net.variables, [penalty, *pytensor.grad(penalty, net.params, disconnected_inputs="ignore")]
    )
    gradients = function(X, Y)[1:]
    start = [p.get_value() for p in net.params]
    for _ in range(3):
        along = [RNG.normal(size=p.shape) for p in start]
        ends = []
        for step in (1e-5, -1e-5):
            for param, value, direction in zip(net.params, start, along, strict=True):
                param.set_value(value + step * direction)
            ends.append(expected(values(net)))
        slope = sum((g * d).sum() for g, d in zip(gradients, along, strict=True))
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-8)


class Watch(theanets.Callback):
    """Keeps the parameters after the first update."""

    def batch(self, run):
        self.values = [p.get_value() for p in run.params]
        run.stop()


def test_training_follows_the_penalty():
    net = make()
    keywords = {"weight_l2": 0.5, "hidden_l1": 2, "penalty_scale": 3}
    gradients = pytensor.function(net.variables, pytensor.grad(net.loss(**keywords), net.params))(
        X, Y
    )
    before = [p.get_value() for p in net.params]
    watch = Watch()
    net.train([X, Y], algo="sgd", learning_rate=0.1, batch_size=10, callbacks=watch, **keywords)
    for value, start, gradient in zip(watch.values, before, gradients, strict=True):
        np.testing.assert_allclose(value, start - 0.1 * gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("lnorm", [0.3, 1, 1.5, 2, 3])
@pytest.mark.parametrize("root", [False, True])
def test_gradients_are_finite_at_zero(lnorm, root):
    net = theanets.Regressor([4, (5, "relu"), 3])
    net.find("hid1", "b").set_value(np.full(5, -100, "float32"))
    net.find("out", "w").set_value(np.zeros((5, 3), "float32"))
    how = {"weight": 1, "lnorm": lnorm, "root": root}
    loss = net.loss(hidden_l1=how, weight_l1={**how, "pattern": "out.w"}) - net.loss()
    function = pytensor.function(
        net.variables, [loss, *pytensor.grad(loss, net.params)], on_unused_input="ignore"
    )
    assert all((result == 0).all() for result in function(X.astype("f"), Y.astype("f")))


def test_hidden_layers_are_those_between():
    """Neither a second input is hidden, nor a second head; a layer that ends nothing is."""
    net = theanets.Regressor(
        [
            4,
            {"form": "input", "size": 2, "name": "b"},
            {"size": 5, "inputs": ("in", "b"), "name": "h", "activation": "tanh"},
            {"size": 2, "inputs": "h", "name": "head"},
            {"size": 3, "inputs": "h", "name": "out"},
        ],
        dtype="float64",
    )
    net.add_loss("mse", output_name="head", target="y2")
    data = [X, X[:, :2], Y, Y[:, :2]]
    found = net.evaluate(data, hidden_l2=1, hidden_l1={"b": 2, "head": 3})
    outputs = net.feed_forward([X, X[:, :2]])
    penalty = (
        (outputs["h:out"] ** 2).mean()
        + 2 * np.abs(X[:, :2]).mean()
        + 3 * np.abs(outputs["head:out"]).mean()
    )
    assert found["loss"] - found["err"] == pytest.approx(penalty, rel=1e-9)


# ---- classes of the user ---------------------------------------------------------------------


class InverseSquare(Regularizer, names=("inverse_square",)):
    """A penalty by a class, with an attribute that is not an option."""

    def __init__(self, weight=0.0, pattern=None, size=1):
        self.size = size
        super().__init__(weight, pattern)

    def loss(self, layers, outputs):
        return self.size / pt.sqr(layers[-1].find("w")).sum()


class Doubler(Regularizer, register=False):
    """A change of the graph by a class."""

    def modify_graph(self, outputs):
        if "hid1:out" in outputs:
            outputs["hid1:out"] = self.weight * outputs["hid1:out"]


def test_penalties_by_a_class():
    net = make()
    inverse = 1 / (values(net)["out.w"] ** 2).sum()
    found = net.evaluate([X, Y], inverse_square=0.5)
    assert found["inverse_square"] == pytest.approx(0.5 * inverse)
    mine = InverseSquare(1, size=2)
    assert net.evaluate([X, Y], regularizers=mine)["inverse_square"] == pytest.approx(2 * inverse)
    mine.size = 3  # Shapes the graph too.
    assert net.evaluate([X, Y], regularizers=mine)["inverse_square"] == pytest.approx(3 * inverse)


def test_changes_of_the_graph_by_a_class():
    net = make()
    v = values(net)
    found = net.feed_forward(X, regularizers=[Doubler(2)])
    np.testing.assert_allclose(found["hid1:out"], 2 * v["hid1"])
    hid2 = 1 / (1 + np.exp(-(2 * v["hid1"] @ v["hid2.w"] + v["hid2.b"])))
    np.testing.assert_allclose(found["hid2:out"], hid2)


# ---- names and compilation -------------------------------------------------------------------


@pytest.mark.parametrize("old", ["input_dropouts", "hidden_dropouts"])
def test_deprecated_names(old):
    net = make()
    for keywords in ({old: 0.5}, {"regularizers": {old: 0.5}}):
        with pytest.warns(DeprecationWarning, match=f"{old}= is now {old[:-1]}=") as caught:
            predicted = net.predict(X, rng=1, **keywords)
        assert [w.filename for w in caught] == [__file__]
        np.testing.assert_array_equal(predicted, net.predict(X, rng=1, **{old[:-1]: 0.5}))


@pytest.fixture
def compiled(monkeypatch):
    """The names of the functions that are compiled."""
    names = []
    function = backends.function

    def spy(*args, **kwargs):
        names.append(kwargs["name"])
        return function(*args, **kwargs)

    monkeypatch.setattr(backends, "function", spy)
    return names


def test_strengths_of_zero_compile_nothing(compiled):
    net = make()
    net.train([X, Y], epochs=1)
    before = list(compiled)
    net.train([X, Y], epochs=1, weight_l2=0.0, hidden_dropout=0, noise={"hid1": 0.0}, reg_lambda=2)
    net.evaluate([X, Y], weight_l2=0, hidden_l1={"hid1": 0})
    assert compiled == before
    net.predict(X)
    net.predict(X, hidden_dropout=0.0, dropout=None)
    assert compiled == [*before, "predict"]


def test_other_strengths_compile_nothing(compiled):
    net = make()
    net.train([X, Y], epochs=1, weight_l2=0.1, hidden_dropout=0.1)
    before = list(compiled)
    watch = Watch()
    net.train([X, Y], epochs=1, weight_l2=0.2, hidden_dropout=0.3, penalty_scale=5, callbacks=watch)
    assert compiled == before
    one = net.evaluate([X, Y], weight_l2=0.1)["weight_l2"]
    before = list(compiled)
    assert net.evaluate([X, Y], weight_l2=0.3)["weight_l2"] == pytest.approx(3 * one)
    assert compiled == before
    # Other things that match do.
    net.evaluate([X, Y], weight_l2={"out.w": 0.3})
    assert len(compiled) == len(before) + 1


def test_penalties_do_not_matter_to_prediction(compiled):
    net = make()
    net.predict(X)
    before = list(compiled)
    np.testing.assert_array_equal(net.predict(X, weight_l2=0.1, reg_lambda=2), net.predict(X))
    assert compiled == before


def test_l_bfgs_minimizes_losses_and_penalties_exactly():
    """Ridge regression, and batches of different sizes add up."""
    net = theanets.Regressor([4, 3], dtype="float64")
    x, y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    keywords = {"algo": "l-bfgs", "batch_size": 3, "patience": 1000, "epochs": 200}
    net.train([x, y], weight_l2=0.6, penalty_scale=2, **keywords)
    # The penalty is a mean over 12 entries, the loss one over 30.
    ridge = np.linalg.solve(x.T @ x + np.eye(4) * 30 * 1.2 / 12, x.T @ y)
    expected = ((x @ ridge - y) ** 2).mean() + 1.2 * (ridge**2).mean()
    assert net.history["train_loss"][-1] == pytest.approx(expected, rel=1e-9)
