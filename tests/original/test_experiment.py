"""What earlier versions called by other names: the experiment, and the utilities."""

import logging

import numpy as np
import pytest

import theanets
from theanets import ConfigurationError, Experiment, util

X = np.random.default_rng(3).normal(size=(20, 4))
Y = X[:, :3] ** 2


def test_an_experiment_of_a_class(tmp_path):
    exp = Experiment(theanets.Regressor, [4, 5, 3], loss="mae", rng=4)
    net = theanets.Regressor([4, 5, 3], loss="mae", rng=4)
    assert type(exp.network) is theanets.Regressor
    np.testing.assert_array_equal(exp.network.predict(X), net.predict(X))
    # It trains as the network does, to the same bits.
    assert exp.train([X, Y], epochs=2) == net.train([X, Y], epochs=2)
    assert list(exp.itertrain([X, Y], epochs=2)) == list(net.itertrain([X, Y], epochs=2))
    exp.save(tmp_path / "net")
    for again in (Experiment(tmp_path / "net"), Experiment(str(tmp_path / "net"))):
        np.testing.assert_array_equal(again.network.predict(X), net.predict(X))
    other = Experiment(theanets.Regressor([4, 3]))
    assert other.load(tmp_path / "net") is other.network
    np.testing.assert_array_equal(other.network.predict(X), net.predict(X))
    other.train([X, Y], epochs=1)


def test_an_experiment_of_a_network():
    net = theanets.Regressor([4, 3])
    assert Experiment(net).network is net
    with pytest.raises(ConfigurationError, match=r"only a callable takes arguments, got 3, rng=4"):
        Experiment(net, 3, rng=4)


def test_an_experiment_of_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        Experiment(tmp_path / "missing")
    for wrong in (5, None, [4, 3]):
        with pytest.raises(ConfigurationError, match="is not a network, something that returns"):
            Experiment(wrong)
    with pytest.raises(ConfigurationError, match=r"<class 'dict'> returned {}, which is not a net"):
        Experiment(dict)


def test_log(caplog):
    """Braces are places only where there is something to put there; nothing is printed."""
    with caplog.at_level(logging.INFO, logger="theanets"):
        theanets.log("{} of {what}", 3, what="%s")
        theanets.log("a {brace} and 100%")
        theanets.log({"any": "thing"})
    messages = ["3 of %s", "a {brace} and 100%", "{'any': 'thing'}"]
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [
        ("theanets", "INFO", message) for message in messages
    ]


def test_utilities():
    assert util.Error is theanets.Error
    assert util.ConfigurationError is theanets.ConfigurationError
