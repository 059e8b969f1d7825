"""Workers that add up their gradients."""

import numpy as np
import pytest

pytest.importorskip("distributed")

from dask_cases import adds_up, arrays, blocks, idle, losses, network, values, wait_until
from distributed import Client

import theanets
import theanets.dask
from theanets import spmd
from theanets.dask import collective

pytestmark = pytest.mark.skipif(
    not adds_up(), reason="needs PyTorch or XGBoost, which add up gradients"
)

OPTIONS = {"epochs": 4, "batch_size": 16, "learning_rate": 0.02}


def expected(algo, options):
    """Train by threads, of which one has two of the shards."""
    x, y = arrays()
    parts = [[np.asarray(part) for part in pair] for pair in zip(*map(_parts, blocks(x, y)))]
    nets = [network(), network()]

    def work(group):
        own = {i: part for i, part in enumerate(parts) if i % 2 == group.rank}
        return spmd.train(nets[group.rank], group, own, algo=algo, **options)

    monitors = spmd.together(2, work)[0]
    return nets[0], monitors


def _parts(array):
    return [part.compute() for part in array.blocks]


@pytest.mark.parametrize(
    "algo, options", [("adam", OPTIONS), ("l-bfgs", {"epochs": 4})], ids=["adam", "l-bfgs"]
)
def test_it_is_what_a_group_of_threads_does(client, kind, algo, options):
    other, monitors = expected(algo, options)
    net = network()
    found = theanets.dask.train(client, net, blocks(*arrays()), algo=algo, **options)
    assert found[1] == pytest.approx(monitors[1], rel=1e-5)
    np.testing.assert_allclose(values(net), values(other), rtol=1e-4, atol=1e-6)
    assert losses(net) == pytest.approx(losses(other), rel=1e-5)
    assert net.history.stop_reason == other.history.stop_reason == "epochs"
    assert net.evaluate(list(arrays()))["loss"] == pytest.approx(found[0]["loss"], rel=1e-5)


def test_data_to_validate_on(client):
    x, y = arrays()
    net, valid = network(), [x[:40], y[:40]]
    found = theanets.dask.train(
        client, net, blocks(x, y), blocks(*valid, sizes=(25, 15)), **OPTIONS
    )
    assert net.evaluate(valid)["loss"] == pytest.approx(found[1]["loss"], rel=1e-5)
    assert net.evaluate([x, y])["loss"] == pytest.approx(found[0]["loss"], rel=1e-5)


def fails(run):
    raise LookupError("of the callback")


def test_an_exception_in_one_worker_ends_all(client, kind):
    net = network()
    before = values(net)
    with pytest.raises(LookupError, match="of the callback"):
        theanets.dask.train(client, net, blocks(*arrays()), callbacks=fails, **OPTIONS)
    np.testing.assert_array_equal(values(net), before)
    wait_until(lambda: idle(client))
    # And the cluster is as it was.
    theanets.dask.train(client, net, blocks(*arrays()), **{**OPTIONS, "epochs": 1})


def test_what_has_no_meaning_is_refused(client):
    data = blocks(*arrays())
    for keywords, message in [
        ({"sync": "steps"}, "'step' or 'epoch'"),
        ({"replicas": 2}, "replicas=2"),
        ({"restarts": -1}, "restarts=-1"),
        ({"learning_rat": 1}, "learning_rate"),
        ({"algo": "layerwise"}, "layerwise"),
    ]:
        with pytest.raises(theanets.ConfigurationError, match=message):
            theanets.dask.train(client, network(), data, **keywords)
    with pytest.raises(theanets.DataError, match=r"NaN|finite"):
        theanets.dask.train(client, network(), blocks(arrays()[0] * np.nan, arrays()[1]))


def test_workers_that_cannot_add_up_are_told_what_to_install(client, monkeypatch):
    class Unknown(collective.Gloo):
        package = "no_such_package"

    monkeypatch.setattr(collective, "KINDS", {"unknown": Unknown})
    with pytest.raises(theanets.ConfigurationError, match="needs no_such_package in each worker"):
        theanets.dask.train(client, network(), blocks(*arrays()))


def test_workers_in_one_process_are_refused():
    with (
        Client(processes=False, n_workers=2, dashboard_address=":0", set_as_default=False) as own,
        pytest.raises(theanets.ConfigurationError, match="processes"),
    ):
        theanets.dask.train(own, network(), blocks(*arrays()), **OPTIONS)


def test_who_does_not_find_the_others_is_one_who_has_lost_them(monkeypatch):
    """Training then begins again, whatever the package has raised."""

    class Nobody:
        package = "json"

        def __init__(self, *place):
            raise ValueError("failed to bootstrap")

        @staticmethod
        def say(*place):
            return None

    monkeypatch.setattr(collective, "KINDS", {"nobody": Nobody})
    monkeypatch.setattr(collective, "meet", lambda *place: [None, None])
    with (
        pytest.raises(theanets.GroupError, match=r"rank 1 of 2 .* failed to bootstrap"),
        collective.joined("nobody", "key", 1, 2, 1.0),
    ):
        pass
