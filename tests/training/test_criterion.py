"""The criterion: which figure decides about the best parameters, and about when to stop."""

import io

import numpy as np
import pytensor.tensor as pt
import pytest
from rich.console import Console

import theanets
from theanets.callbacks import progress
from theanets.errors import ConfigurationError, DataError, FileError, UnknownNameError
from theanets.training.criterion import Criterion

ONE = [np.zeros((1, 1), "float32"), np.zeros((1, 1), "float32")]
SLOW = {"algo": "sgd", "learning_rate": 1e-30}
RNG = np.random.default_rng(4)
X = RNG.normal(size=(50, 4))
DATA = [X, X @ RNG.normal(size=(4, 2)) + 0.3 * RNG.normal(size=(50, 2))]
VALID = [RNG.normal(size=(23, 4)), RNG.normal(size=(23, 2))]


def level(output):
    return output


@pytest.fixture(scope="module")
def line():
    """A network whose loss is its output bias."""
    return theanets.Regressor([1, 1], loss=lambda target, output: output + 0 * target)


def scripted(net, levels, **kwargs):
    """Train a network whose biases are those of a script, and get what it ends with."""
    bias = net.find("out.b")
    dtype = bias.get_value().dtype

    class Script(theanets.Callback):
        def batch(self, run):
            bias.set_value(np.array(levels[run.updates], dtype, ndmin=1))

    bias.set_value(np.array(levels[0], dtype, ndmin=1))
    data = kwargs.pop("data", ONE)
    script = [Script(), *kwargs.pop("callbacks", ())]
    kwargs = {**SLOW, "epochs": len(levels) - 1, **kwargs}
    return net.train(data, callbacks=script, **kwargs)[1], bias.get_value()


@pytest.mark.parametrize(
    ("criterion", "best", "epochs"),
    [
        (None, -4.0, 4),
        ("loss", -4.0, 4),
        (("out:level", "min"), -4.0, 4),
        # 3, then two that are not larger.
        (("out:level", "max"), 3.0, 3),
        (["loss", "max"], 3.0, 3),
    ],
)
def test_what_is_best_and_when_to_stop(line, criterion, best, epochs):
    valid, bias = scripted(
        line,
        [1.0, 3.0, 0.0, -1.0, -4.0],
        criterion=criterion,
        monitors={"out": level},
        patience=1,
    )
    assert bias == best == valid["loss"]
    assert len(line.history) == epochs
    assert line.history.stop_reason == ("patience" if epochs == 3 else "epochs")
    assert line.history["valid_loss"] == [3.0, 0.0, -1.0, -4.0][:epochs]


def test_the_least_improvement_of_what_is_to_be_large(line):
    kwargs = dict(criterion=("out:level", "max"), monitors={"out": level}, patience=0)
    scripted(line, [1.0, 1.5, 2.5, 4.0], min_improvement=0.4, **kwargs)
    assert len(line.history) == 3
    # 2.5 is more by two thirds, 3.25 by less than a half.
    scripted(line, [1.0, 1.625, 2.5, 3.25, 9.0], min_improvement=0.5, **kwargs)
    assert len(line.history) == 3
    assert line.history.best_epoch == 3


def test_the_objective_has_the_penalties(line):
    levels = [1.0, -0.5, -2.0, -1.5]
    penalty = {"weight_l2": {"out.b": 1.0}}
    valid, bias = scripted(line, levels, **penalty)
    assert bias == valid["loss"] == -2
    assert "objective" not in valid
    valid, bias = scripted(line, levels, criterion="objective", **penalty)
    assert bias == -0.5
    assert {k: valid[k] for k in ("loss", "err", "objective", "weight_l2")} == {
        "loss": -0.5,
        "err": -0.5,
        "objective": -0.25,
        "weight_l2": 0.25,
    }
    assert line.history["valid_objective"] == [-0.25, 2.0, 0.75]
    assert line.history["valid_loss"] == levels[1:]
    # The strength of all of them makes a difference too.
    _, bias = scripted(line, levels, criterion="objective", penalty_scale=0.25, **penalty)
    assert bias == -2


def test_the_objective_is_clean_and_of_the_validation_data():
    net = theanets.Regressor([4, (6, "tanh"), 2], dtype="float64")
    penalties = dict(weight_l2=0.3, hidden_l1=0.2, penalty_scale=1.5)
    others = []

    def other(run):
        # Other strengths of the same penalties, while the run goes on.
        others.append(net.evaluate(VALID, weight_l2=9.0, hidden_l1=7.0)["loss"])

    kwargs = dict(criterion="objective", input_noise=0.5, hidden_dropout=0.3, callbacks=other)
    train, valid = net.train(DATA, VALID, epochs=4, batch_size=7, **kwargs, **penalties)
    for data, found in ((DATA, train), (VALID, valid)):
        whole = net.evaluate(data, batch_size=11, **penalties)
        assert found["objective"] == pytest.approx(whole["loss"], rel=1e-12)
        assert found["loss"] == found["err"] == pytest.approx(whole["err"], rel=1e-12)
        assert found["hidden_l1"] == pytest.approx(whole["hidden_l1"], rel=1e-12)
    column = net.history["valid_objective"]
    assert min(column) == valid["objective"]
    assert len(others) == 4


class Shaken(theanets.Regularizer, register=False):
    """Both a penalty and noise."""

    def modify_graph(self, outputs):
        if "out:out" in outputs:
            outputs["out:out"] = outputs["out:out"] + 1

    def loss(self, layers, outputs):
        return pt.sqr(outputs["out:out"]).mean()


def test_a_penalty_that_is_noise_too(line):
    shaken = Shaken(2.0)
    valid, _ = scripted(line, [1.0, 0.5], criterion="objective", regularizers=[shaken])
    # 0.5 + 2 * 0.25, without what it does to the graph.
    assert valid["objective"] == 1.0
    assert valid["loss"] == 0.5


def test_without_penalties_the_objective_is_the_loss(line):
    valid, _ = scripted(line, [1.0, 2.0, -1.0], criterion="objective")
    assert valid["objective"] == valid["loss"] == -1


def test_batches_that_come_in_are_their_own_validation(line):
    kwargs = dict(weight_l2={"out.b": 1.0}, train_batches=1, data=lambda: ONE)
    scripted(line, [1.0, -0.5, -2.0, -1.5], criterion="objective", **kwargs)
    # An epoch's monitors are those before its update.
    assert line.history["valid_objective"] == line.history["train_loss"] == [2.0, -0.25, 2.0]
    assert line.history.best_epoch == 2
    with pytest.raises(UnknownNameError, match=r"valid:.* grad"):
        scripted(line, [1.0, 2.0], criterion="weight_l1", monitor_gradients=True, **kwargs)


@pytest.fixture(scope="module")
def pair():
    """A network of two classes that looks at nothing, and its data: mostly ones."""
    net = theanets.Classifier([1, 2])
    net.find("out.w").set_value(np.zeros((1, 2), "float32"))
    return net, [np.zeros((4, 1)), np.array([1, 1, 1, 0])]


def test_more_accuracy_is_better(pair):
    net, data = pair
    # Sure of what is right mostly, or unsure of what is wrong mostly.
    levels = [[0.5, 0], [0, 30], [0.25, 0], [0.1, 0]]
    valid, bias = scripted(net, levels, data=data, criterion="acc")
    assert (valid["acc"], list(bias)) == (0.75, [0, 30])
    valid, _ = scripted(net, levels, data=data)
    assert valid["acc"] == 0.25


def test_a_network_that_is_nan_has_diverged_whatever_its_accuracy(pair):
    net, data = pair
    levels = [[1, 0], [0, 1], [0, np.nan], [0, 2]]
    valid, bias = scripted(net, levels, data=data, criterion=("acc", "min"))
    assert net.history.stop_reason == "diverged"
    assert (valid["acc"], list(bias)) == (0.25, [1, 0])


def test_a_plateau_of_the_criterion(line):
    kwargs = dict(monitors={"out": level}, patience=None)
    kwargs["learning_rate_schedule"] = dict(form="plateau", factor=0.5, patience=0)
    scripted(line, [4.0, 3.0, 2.0, 1.0], **kwargs)
    rates = line.history["learning_rate"]
    assert rates[2] == rates[0]
    scripted(line, [4.0, 3.0, 2.0, 1.0], criterion=("out:level", "max"), **kwargs)
    rates = line.history["learning_rate"]
    assert rates[2] / rates[0] == pytest.approx(0.5)


@pytest.mark.parametrize("criterion", ["loss", "objective"])
def test_lbfgs_without_validation_data(criterion):
    x, y = DATA
    net = theanets.Regressor([4, 2], dtype="float64")
    centered, means = x - x.mean(0), (x.mean(0), y.mean(0))
    scatter, target = centered.T @ centered, centered.T @ (y - means[1])

    def set_to(strength):
        # 1 / (n 2) sum of squares + strength / (4 2) sum of w^2.
        w = np.linalg.solve(scatter + strength * len(x) / 4 * np.eye(4), target)
        net.find("out.w").set_value(w)
        net.find("out.b").set_value(means[1] - means[0] @ w)
        return w

    penalized, plain = set_to(0.5), set_to(0)
    net.train(DATA, algo="l-bfgs", epochs=60, weight_l2=0.5, criterion=criterion, patience=None)
    # It begins where the loss alone is least.
    expected = plain if criterion == "loss" else penalized
    np.testing.assert_allclose(net.find("out.w").get_value(), expected, rtol=1e-4, atol=1e-5)


def root(output):
    return pt.sqrt(output)


def test_a_criterion_without_value(line):
    kwargs = dict(monitors={"out": root}, criterion=("out:root", "min"))
    with pytest.raises(DataError, match="criterion='out:root' is nan"):
        scripted(line, [-1.0, 1.0], **kwargs)
    # Once there is a best one, it is a failure like others.
    _, bias = scripted(line, [1.0, 0.5, -1.0, -1.0, 0.25], patience=1, **kwargs)
    assert (bias, len(line.history)) == (0.5, 3)


WRONG = [
    ("los", UnknownNameError, "unknown criterion 'los'.*did you mean 'loss'.*valid:.*objective"),
    ("acc", UnknownNameError, "'acc'"),
    ("weight_l2", UnknownNameError, "weight_l2"),
    ("out<0", ConfigurationError, r"criterion=\('out<0', 'min'\) or .*\('out<0', 'max'\)"),
    (("loss", "least"), ConfigurationError, "least.*'min' or 'max'"),
    (("loss",), ConfigurationError, "pair"),
    (3, ConfigurationError, "criterion=3"),
    (min, ConfigurationError, "criterion="),
]


@pytest.mark.parametrize(("criterion", "error", "message"), WRONG)
def test_what_is_no_criterion(line, criterion, error, message):
    with pytest.raises(error, match=message):
        line.train(ONE, epochs=1, criterion=criterion, monitors={"out": 0}, weight_l2=1)


def test_directions_that_are_known():
    directions = {"acc": "max", "mse": "min", "x<0": None}
    assert Criterion.build("acc").resolve(directions).direction == "max"
    assert Criterion.build("mse").resolve(directions).direction == "min"
    assert Criterion.build(("x<0", "max")).resolve(directions).direction == "max"
    # What the user says counts: a loss of negative weight is to be large.
    assert Criterion.build(("mse", "max")).resolve(directions).direction == "max"


class Interrupt(theanets.Callback):
    def batch(self, run):
        if run.updates == 17:
            raise KeyboardInterrupt


@pytest.mark.parametrize("criterion", ["objective", ("hid1<0", "max")])
def test_checkpoints_remember_it(tmp_path, criterion):
    kwargs = dict(
        algo="adam",
        learning_rate=0.05,
        batch_size=8,
        epochs=9,
        weight_l2=0.1,
        hidden_dropout=0.2,
        monitors={"hid1": 0.0},
        criterion=criterion,
        learning_rate_schedule=dict(form="plateau", patience=0),
        patience=4,
    )

    def make():
        return theanets.Regressor([4, (6, "tanh"), 2], rng=13)

    def outcome(net, result):
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in net.history]
        params = [p.get_value().tobytes() for p in net.params]
        return result, rows, params, net.history.best_epoch, net.history.stop_reason

    net, path = make(), tmp_path / "run.ckpt"
    plain = outcome(net, net.train(DATA, VALID, **kwargs))
    net = make()
    net.train(DATA, VALID, checkpoint=path, callbacks=Interrupt(), **kwargs)
    assert net.history.stop_reason == "interrupted"
    net = make()
    assert outcome(net, net.train(DATA, VALID, checkpoint=path, **kwargs)) == plain
    kwargs["criterion"] = "loss"
    with pytest.raises(FileError, match="criterion"):
        net.train(DATA, VALID, checkpoint=path, **kwargs)


def test_progress_shows_it(line):
    file = io.StringIO()
    shown = progress.for_console(Console(file=file, force_terminal=False, width=100))
    scripted(
        line,
        [1.0, 3.0, 0.0, -1.0],
        criterion=("out:level", "max"),
        monitors={"out": level},
        callbacks=[shown],
        progress=False,
    )
    # Whether anything is compiled depends on what ran before.
    lines = [line for line in file.getvalue().splitlines() if not line.startswith("compiling")]
    head, *epochs, _, best = lines
    assert "valid out:level" in head
    assert [line.endswith("*") for line in epochs] == [True, False, False]
    assert all(len(line) <= len(head) for line in epochs)
    assert best == "best: epoch 1, validation out:level 3.0000"
