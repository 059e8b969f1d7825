"""The learning rate, and several algorithms."""

import warnings

import numpy as np
import pytensor.tensor as pt
import pytest
from training_cases import TINY, linear, regression, regressor, same, values

import theanets
from theanets.errors import ConfigurationError


@pytest.fixture(scope="module")
def used():
    net = regressor()
    return net, values(net)


@pytest.fixture
def net(used):
    """A network as new, but for functions that it may have compiled before."""
    net, start = used
    for param in net.params:
        param.set_value(start[param.name])
    net._runs, net.history = 0, theanets.History()
    return net


# ---- the learning rate ------------------------------------------------------------


def test_schedule_per_epoch(net):
    net.train(
        regression(),
        algo="sgd",
        learning_rate=0.25,
        learning_rate_schedule={"form": "step", "every": 2, "factor": 0.5},
        epochs=5,
    )
    assert net.history["learning_rate"] == [0.25, 0.25, 0.125, 0.125, 0.0625]


@pytest.mark.parametrize(
    "schedule",
    [
        {"form": "exponential", "decay": 0.5, "unit": "update"},
        lambda update, epoch: 0.5**update,
        {"form": "warmup", "updates": 1, "after": lambda update, epoch: 0.5**update},
    ],
)
def test_schedule_per_update(schedule):
    x, y = linear(20)
    net = theanets.Regressor([3, 2], dtype="float64")
    wanted = values(net)
    for update in range(4):  # x and y repeat, so that all batches are the same
        err = 2 * (x @ wanted["out.w"] + wanted["out.b"] - y) / y.size
        rate = 0.1 * 0.5**update
        wanted = {
            "out.w": wanted["out.w"] - rate * x.T @ err,
            "out.b": wanted["out.b"] - rate * err.sum(axis=0),
        }
    net.train(
        lambda: (x, y),
        [x, y],
        train_batches=2,
        algo="sgd",
        learning_rate=0.1,
        learning_rate_schedule=schedule,
        epochs=2,
    )
    for name, value in wanted.items():
        np.testing.assert_allclose(values(net)[name], value, rtol=1e-6)
    # That of the last update.
    np.testing.assert_allclose(net.history["learning_rate"], [0.05, 0.0125])


def test_reduced_on_plateaus(net):
    net.train(
        regression(),
        algo="sgd",
        learning_rate=TINY,
        learning_rate_schedule={"form": "plateau", "factor": 0.5, "patience": 1},
        epochs=8,
    )
    # Nothing improves. The first validation after an update sets the best.
    factors = np.array(net.history["learning_rate"]) / TINY
    np.testing.assert_allclose(factors, [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125])


def test_a_schedule_starts_anew_with_each_run(net):
    schedule = theanets.optimizers.schedules.build({"form": "plateau", "patience": 0})
    optimizer = theanets.optimizers.build(
        "sgd", learning_rate=TINY, learning_rate_schedule=schedule
    )
    for _ in range(2):
        net.train(regression(), algo=optimizer, epochs=3)
        np.testing.assert_allclose(np.array(net.history["learning_rate"]) / TINY, [1, 1, 0.1])


# ---- algorithms ------------------------------------------------------------


def test_one_algorithm_after_the_other():
    net, twin = regressor(), regressor()
    net.train(regression(), algo=["sgd", None, "l-bfgs"], epochs=2, momentum=0.5, beta1=0.8)
    twin.train(regression(), algo="sgd", epochs=2, momentum=0.5)
    twin.train(regression(), algo="adam", epochs=2, momentum=0.5, beta1=0.8)
    twin.train(regression(), algo="l-bfgs", epochs=2)
    same(values(net), values(twin))
    pairs = list(regressor().itertrain(regression(), algo=("sgd", "adam"), epochs=2))
    assert len(pairs) == 4


def test_an_interruption_ends_all_algorithms():
    def interrupt(run):
        raise KeyboardInterrupt

    for train in (lambda net, **k: net.train(**k), lambda net, **k: list(net.itertrain(**k))):
        net = regressor()
        train(net, train=regression(), algo=["sgd", "adam"], epochs=3, callbacks=interrupt)
        assert net.history.stop_reason == "interrupted"
        assert len(net.history) == 1
        assert net._runs == 1


def test_trainer_object():
    class Trainer:
        def itertrain(self, train, valid=None, **kwargs):
            self.got = train, valid, kwargs
            yield {"loss": 2.0}, {"loss": 3.0}
            yield {"loss": 1.0}, {"loss": 4.0}

    trainer, net, data = Trainer(), regressor(), regression()
    assert net.train(data, algo=trainer, level=3) == ({"loss": 1.0}, {"loss": 4.0})
    assert trainer.got == (data, None, {"level": 3})
    assert len(list(net.itertrain(data, data, algo=trainer))) == 2
    net.train(data, algo=[trainer, "sgd"], epochs=2)
    assert len(net.history) == 2


def test_deprecated_name():
    net, twin = regressor(), regressor()
    with pytest.warns(DeprecationWarning, match="algo="):
        net.train(regression(), algorithm=("sgd",), epochs=1)
    with pytest.warns(DeprecationWarning, match="algo="):
        list(net.itertrain(regression(), algorithm="sgd", epochs=1))
    twin.train(regression(), algo="sgd", epochs=1)
    twin.train(regression(), algo="sgd", epochs=1)
    same(values(net), values(twin))


def test_optimizer_instance_and_class():
    nets = [regressor() for _ in range(3)]
    built = theanets.optimizers.build("adam")
    for net, algo in zip(nets, (built, theanets.optimizers.Adam, "ADAM")):
        net.train(regression(), algo=algo, epochs=2)
    same(values(nets[0]), values(nets[1]))
    same(values(nets[0]), values(nets[2]))
    with pytest.raises(ConfigurationError, match="learning_rate"):
        nets[0].train(regression(), algo=built, learning_rate=0.1)


def test_parameters_that_cannot_move():
    net = theanets.Regressor([4, (5, "tanh"), 2], loss=lambda target, output: pt.sign(output))
    before = values(net)
    with pytest.warns(theanets.ZeroGradientWarning, match=r"hid1\.w"):
        net.train(regression(), epochs=1, algo="sgd")
    same(values(net), before)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.train(regression(), epochs=1, algo="sgd")
