"""A loss that uses no target asks the data for no array."""

import numpy as np
import pytensor.tensor as pt
import pytest

import theanets


class Slope(theanets.Loss, register=False):
    """The output is to solve u' = -u, u(0) = 1."""

    uses_target = False

    def __call__(self, outputs):
        t, u = outputs["in:out"], outputs[self.output_name]
        start = pt.sqr(u[0] - 1).sum()
        return pt.sqr(theanets.derivative(u, t) + u).mean() + start


class Size(theanets.Loss, register=False):
    """The mean square of the output."""

    uses_target = False

    def __call__(self, outputs):
        return pt.sqr(outputs[self.output_name]).mean()


TIMES = np.linspace(0, 1, 20)[:, None]


def test_an_equation_is_trained_from_its_points_alone():
    net = theanets.Regressor([1, (8, "tanh"), 1], loss=Slope(), rng=1, dtype="float64")
    assert [variable.name for variable in net.variables] == ["in"]
    net.train(TIMES, algo="l-bfgs", epochs=100)
    np.testing.assert_allclose(net.predict(TIMES), np.exp(-TIMES), atol=1e-2)


def test_with_a_loss_that_uses_one(rng):
    net = theanets.Regressor([3, 2], rng=1)
    net.add_loss(Size(), weight=0.5)
    x, y = rng.normal(size=(2, 10, 3)).astype("f"), rng.normal(size=(10, 2))
    assert "0.5 * size(out:out)" in net.summary()
    found = net.evaluate([x[0], y])
    predicted = net.predict(x[0])
    assert found["size"] == pytest.approx(np.mean(predicted**2), rel=1e-5)
    assert found["loss"] == pytest.approx(found["mse"] + 0.5 * found["size"])


@pytest.mark.parametrize("sizes", [(4, 4, 4), (7, 5)])
def test_batches_weigh_by_their_examples(sizes, rng):
    net = theanets.Regressor([3, 2], loss=Size(), rng=1)
    x = rng.normal(size=(12, 3)).astype("f")
    parts = np.split(x, np.cumsum(sizes)[:-1])
    found = net.evaluate(iter(parts))["loss"]
    assert found == pytest.approx(np.mean(net.predict(x) ** 2), rel=1e-5)


def test_what_it_cannot_have():
    with pytest.raises(theanets.ConfigurationError, match="uses no target, but target='y'"):
        Size(target="y")
    with pytest.raises(
        theanets.ConfigurationError, match="uses no target, which could be weighted"
    ):
        Size(weighted=True)


def test_a_network_of_weighted_losses_has_no_weights_for_it(rng):
    net = theanets.Regressor([3, 2], loss=Size(), weighted=True, rng=1)
    assert [variable.name for variable in net.variables] == ["in"]
    assert set(net.evaluate(rng.normal(size=(5, 3)))) == {"loss", "err", "size"}
    with pytest.raises(theanets.ConfigurationError, match="no loss compares"):
        net.evaluate(rng.normal(size=(5, 3)), metrics="r2")


def test_classifiers_and_series(rng):
    net = theanets.recurrent.Regressor([3, (4, "rnn"), 2], loss=Size(), rng=1)
    series = [rng.normal(size=(n, 3)) for n in (3, 5)]
    net.train(series, epochs=1)
    net = theanets.Classifier([3, 4, 2], loss=Size(), rng=1)
    net.train(rng.normal(size=(5, 3)), epochs=1)


def test_networks_are_saved_and_copied(tmp_path):
    class Kept(Size, register="kept"):
        pass

    net = theanets.Regressor([1, 3, 1], loss="kept", rng=1)
    net.save(tmp_path / "net.st")
    other = theanets.Regressor.load(tmp_path / "net.st")
    assert other.evaluate(TIMES) == net.evaluate(TIMES)
