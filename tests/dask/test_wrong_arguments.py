"""What is no client, no network, no method or no time is refused before anything is sent."""

import numpy as np
import pytest

pytest.importorskip("distributed")

import dask.array as da

import theanets
import theanets.dask

NET = theanets.Regressor([2, 3], rng=1)
X = da.zeros((4, 2), chunks=(2, 2), dtype="float32")
Y = da.zeros((4, 3), chunks=(2, 3), dtype="float32")
NO_CLIENTS = ["tcp://127.0.0.1:8786", 3]


@pytest.mark.parametrize("client", [*NO_CLIENTS, None])
def test_clients_of_a_cluster(client):
    for call in (
        lambda: theanets.dask.train(client, NET, [X, Y]),
        lambda: theanets.dask.warmup(client, NET),
    ):
        with pytest.raises(theanets.ConfigurationError, match=r"client=.*distributed\.Client$"):
            call()


@pytest.mark.parametrize("client", NO_CLIENTS)
def test_clients_that_may_be_left_out(client):
    for call in (
        lambda: theanets.dask.predict(client, NET, X),
        lambda: theanets.dask.evaluate(client, NET, [X, Y]),
    ):
        with pytest.raises(theanets.ConfigurationError, match=r"client=.* or None for"):
            call()


@pytest.mark.parametrize("net", [3, None, theanets.Regressor])
def test_networks(client, net):
    for call in (
        lambda: theanets.dask.train(client, net, [X, Y]),
        lambda: theanets.dask.warmup(client, net),
        lambda: theanets.dask.evaluate(None, net, [X, Y]),
    ):
        with pytest.raises(theanets.ConfigurationError, match=r"net=.* expected a network"):
            call()


def test_models_and_methods():
    with pytest.raises(theanets.ConfigurationError, match="is a class"):
        theanets.dask.predict(None, theanets.Regressor, X)
    for method in (None, 3, "predcit"):
        with pytest.raises(theanets.ConfigurationError, match="no such method"):
            theanets.dask.predict(None, NET, X, method=method)


@pytest.mark.parametrize("sync", ["step", "epoch"])
@pytest.mark.parametrize(
    "keywords, message",
    [
        (dict(restarts=-1), "restarts=-1"),
        (dict(restarts=None), "restarts=None"),
        (dict(timeout=0), "timeout=0"),
        (dict(timeout=np.nan), "timeout=nan"),
    ],
)
def test_numbers(client, sync, keywords, message):
    with pytest.raises(theanets.ConfigurationError, match=message):
        theanets.dask.train(client, NET, [X, Y], sync=sync, **keywords)
