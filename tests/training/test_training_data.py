"""Training: the forms of data."""

import itertools

import numpy as np
import pytest
from training_cases import regression, regressor, same, values

import theanets
from theanets.errors import ConfigurationError, DataError


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


def test_forms_of_data_are_the_same_data():
    x, y = regression()
    trained = []
    for data in ([x, y], (x, y), {"target": y, "in": x}, [x.astype("float64"), y.tolist()]):
        net = regressor()
        net.train(data, epochs=2, algo="sgd")
        trained.append(values(net))
    for other in trained[1:]:
        same(trained[0], other)


def test_several_inputs_and_targets_in_the_order_of_variables():
    net = theanets.Regressor(
        [dict(size=2, name="a"), dict(size=3, activation="tanh", name="hid1")], loss=None
    )
    net.add_layer(form="input", size=1, name="b")
    net.add_layer(size=2, name="one", inputs="hid1", activation="linear")
    net.add_layer(size=1, name="two", inputs="b", activation="linear")
    net.add_loss("mse", output_name="one", target="y1")
    net.add_loss("mae", output_name="two", target="y2", weight=0.5)
    assert [v.name for v in net.variables] == ["a", "b", "y1", "y2"]
    rng = np.random.default_rng(0)
    data = [rng.normal(size=(9, k)) for k in (2, 1, 2, 1)]
    found = net.evaluate(dict(zip(["a", "b", "y1", "y2"], data)))
    assert found == net.evaluate(data)
    p = {k: v.astype("float64") for k, v in values(net).items()}
    one = np.tanh(data[0] @ p["hid1.w"] + p["hid1.b"]) @ p["one.w"] + p["one.b"]
    two = data[1] @ p["two.w"] + p["two.b"]
    mse, mae = np.mean((one - data[2]) ** 2), np.mean(abs(two - data[3]))
    assert [*found][:2] == ["loss", "err"]
    np.testing.assert_allclose(list(found.values()), [mse + mae / 2] * 2 + [mse, mae], rtol=1e-5)


def batch_source(calls, n=8):
    def draw():
        calls.append(1)
        return regression(n, seed=len(calls))

    return draw


def test_callable(net):
    calls = []
    net.train(batch_source(calls), regression(), epochs=3, train_batches=4)
    assert len(calls) == 12
    assert net.history["updates"] == [4, 8, 12]
    assert net.history.stop_reason == "epochs"


def test_callable_that_ends(net):
    batches = iter([regression(8, seed=i) for i in range(5)])
    net.train(lambda: next(batches), regression(), train_batches=2)
    assert net.history["updates"] == [2, 4, 5]
    assert net.history.stop_reason == "data"


def test_generator_is_consumed_across_epochs(net):
    drawn = []

    def generate():
        for i in itertools.count():
            drawn.append(i)
            yield regression(8, seed=i)

    net.train(generate(), regression(), epochs=3, train_batches=4)
    assert drawn == list(range(12))
    net.train(generate(), regression(), max_updates=5)
    assert len(drawn) == 17


def test_generator_that_ends(net):
    net.train((regression(8, seed=i) for i in range(7)), regression(), train_batches=3)
    assert net.history["updates"] == [3, 6, 7]
    assert net.history.stop_reason == "data"
    net.train((regression(8, seed=i) for i in range(7)), regression())
    assert net.history["updates"] == [7]
    with pytest.raises(DataError, match="0 batches"):
        net.train(iter([]), regression())


class Batches:
    def __init__(self, n):
        self.n, self.started = n, 0

    def __len__(self):
        return self.n

    def __iter__(self):
        self.started += 1
        return (regression(8, seed=i) for i in range(self.n))


def test_iterable_starts_anew(net):
    data, valid = Batches(3), Batches(2)
    net.train(data, valid, epochs=4)
    assert net.history["updates"] == [3, 6, 9, 12]
    assert data.started == 4
    assert valid.started == 5
    everything = [np.concatenate(parts) for parts in zip(*Batches(2))]
    np.testing.assert_allclose(
        net.history["valid_loss"][-1], net.evaluate(everything)["loss"], rtol=1e-5
    )


def test_without_validation_data_streams_are_judged_by_their_own_monitors(net):
    train, valid = net.train(Batches(3), epochs=3)
    assert net.history["valid_loss"] == net.history["train_loss"]
    assert train == valid
    assert train["loss"] == min(net.history["train_loss"])


def test_iterator_to_validate_on(net):
    batches = (regression(8, seed=i) for i in itertools.count())
    net.train(regression(), batches, epochs=3, valid_batches=2)
    everything = [np.concatenate(parts) for parts in zip(*Batches(2))]
    np.testing.assert_allclose(
        net.history["valid_loss"][-1], net.evaluate(everything)["loss"], rtol=1e-5
    )
    with pytest.raises(ConfigurationError, match="valid_batches"):
        net.train(regression(), batches)


def test_train_batches_and_valid_batches(net):
    x, y = regression()
    seen = []
    net.train(
        [x, y],
        epochs=7,
        batch_size=10,
        train_batches=2,
        valid_batches=3,
        callbacks=lambda run: seen.append(run.updates),
    )
    assert seen == [2, 4, 6, 8, 10, 12, 14]
    # Always the same first ones.
    first = net.evaluate([x[:30], y[:30]])
    np.testing.assert_allclose(net.history["valid_loss"][-1], first["loss"], rtol=1e-5)
