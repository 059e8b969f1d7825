"""Workers that add up their gradients, and what is done where one is lost."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("distributed")
pytest.importorskip("torch")

from dask_cases import Kills, arrays, blocks, cluster, losses, network, values
from distributed import Client

import theanets
import theanets.dask
from theanets import spmd

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
def test_it_is_what_a_group_of_threads_does(client, algo, options):
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


@pytest.fixture(scope="module")
def fragile():
    """Start a cluster whose workers may be killed; they come again."""
    with cluster(2) as found, Client(found, set_as_default=False) as client:
        yield client


@pytest.mark.slow
def test_killed_workers_are_done_without(client, fragile, tmp_path):
    calm = network()
    theanets.dask.train(client, calm, blocks(*arrays()), **OPTIONS)
    for whom in ("rank 0", "another"):
        fragile.wait_for_workers(2)
        pids = fragile.run(os.getpid)
        killed, path = tmp_path / f"killed {whom}", tmp_path / f"{whom}.ckpt"
        kills = Kills(killed, 2, None if whom == "rank 0" else pids[max(pids)])
        net = network()
        theanets.dask.train(
            fragile, net, blocks(*arrays()), checkpoint=path, callbacks=kills, timeout=60, **OPTIONS
        )
        assert killed.exists() and len(net.history) == 4
        assert losses(net) == pytest.approx(losses(calm), rel=1e-6)
        np.testing.assert_allclose(values(net), values(calm), rtol=1e-5, atol=1e-6)
    fragile.wait_for_workers(2)
    net = network()
    with pytest.raises(theanets.dask.LostWorkerError, match="restarts=0"):
        kills = Kills(tmp_path / "last", 1)
        theanets.dask.train(fragile, net, blocks(*arrays()), restarts=0, callbacks=kills, **OPTIONS)
    np.testing.assert_array_equal(values(net), values(network()))


def fails(run):
    raise LookupError("of the callback")


def _idle(client):
    """Tell whether no worker computes anything."""
    busy = client.run(lambda dask_worker: dask_worker.state.executing_count)
    return not any(busy.values())


def _wait_until(said, seconds=30):
    end = time.monotonic() + seconds
    while not said() and time.monotonic() < end:
        time.sleep(0.1)
    assert said()


def test_an_exception_in_one_worker_ends_all(client):
    net = network()
    before = values(net)
    with pytest.raises(LookupError, match="of the callback"):
        theanets.dask.train(client, net, blocks(*arrays()), callbacks=fails, **OPTIONS)
    np.testing.assert_array_equal(values(net), before)
    _wait_until(lambda: _idle(client))
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


def test_workers_in_one_process_are_refused():
    with (
        Client(processes=False, n_workers=2, dashboard_address=":0", set_as_default=False) as own,
        pytest.raises(theanets.ConfigurationError, match="processes"),
    ):
        theanets.dask.train(own, network(), blocks(*arrays()), **OPTIONS)


def test_two_trainings_at_once(shared, client):
    nets = [network(), network()]

    def work(net):
        # A client of its own, as of another process.
        with Client(shared, set_as_default=False) as own:
            theanets.dask.train(own, net, blocks(*arrays()), **OPTIONS)

    threads = [threading.Thread(target=work, args=(net,), daemon=True) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    np.testing.assert_array_equal(values(nets[0]), values(nets[1]))
    assert losses(nets[0]) == losses(nets[1])


ENDLESS = """
import sys
from distributed import Client
from dask_cases import arrays, blocks, network
import theanets.dask
if __name__ == "__main__":
    with Client(sys.argv[1]) as client:
        theanets.dask.train(client, network(), blocks(*arrays()), epochs=10**7, patience=None)
"""


@pytest.mark.slow
def test_a_killed_client_leaves_nothing_that_runs(shared, client, tmp_path):
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    paths = [p for p in sys.path if p]
    process = subprocess.Popen(
        [sys.executable, str(script), shared.scheduler_address],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    try:
        _wait_until(lambda: not _idle(client), 60)
        time.sleep(2)
        assert process.poll() is None and not _idle(client)
    finally:
        process.kill()
        process.wait()
    _wait_until(lambda: _idle(client), 60)
    net = network()
    theanets.dask.train(client, net, blocks(*arrays()), **OPTIONS)
    assert len(net.history) == 4
