"""What the scheduler gives to trainings, and takes back from those whose client is gone."""

import subprocess
import sys
import threading

import pytest

pytest.importorskip("distributed")

from dask_cases import wait_until
from distributed import Client, LocalCluster

from theanets.dask.scheduler import NAME, Lost, alone, attend
from theanets.errors import ConfigurationError

WITHOUT = """
import sys

sys.modules["theanets"] = None
from distributed.cli.dask_scheduler import main

main()
"""


@pytest.fixture(scope="module")
def threads():
    """Start a cluster in this process: a scheduler is all that is needed."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as found:
        yield found


@pytest.fixture
def pair(threads):
    """Get two clients."""
    with (
        Client(threads, set_as_default=False) as one,
        Client(threads, set_as_default=False) as other,
    ):
        attend(one)
        attend(other)
        yield one, other


def plugin(client):
    return client.cluster.scheduler.plugins[NAME]


def waiting(client):
    """Get how many trainings have their workers, and how many wait."""
    each = [training.granted for training in plugin(client)._trainings.values()]
    return sum(each), len(each) - sum(each)


class Asking(threading.Thread):
    """Asks for workers, and keeps them until it is told to end."""

    def __init__(self, client, workers):
        super().__init__(daemon=True)
        self.client, self.workers = client, workers
        self.has, self.ends, self.error = threading.Event(), threading.Event(), None
        self.start()

    def run(self):
        try:
            with alone(self.client, self.workers):
                self.has.set()
                self.ends.wait(60)
        except (Lost, OSError, RuntimeError) as error:
            self.error = error


def test_each_worker_is_of_one_training_at_a_time(pair):
    one, other = pair
    first, second = sorted(one.nthreads())
    a = Asking(one, [first])
    assert a.has.wait(30)
    b = Asking(other, [second, first])
    wait_until(lambda: waiting(one) == (1, 1))
    # Who comes later does not overtake: else one that needs all would wait for ever.
    c = Asking(one, [second])
    wait_until(lambda: waiting(one) == (1, 2))
    a.ends.set()
    assert b.has.wait(30)
    assert waiting(one) == (1, 1) and not c.has.is_set()
    b.ends.set()
    assert c.has.wait(30)
    c.ends.set()
    for thread in (a, b, c):
        thread.join(30)
        assert thread.error is None
    assert waiting(one) == (0, 0)


@pytest.mark.parametrize("has", [True, False])
def test_what_a_client_that_is_gone_had_or_awaited_is_free(threads, pair, has):
    one, _ = pair
    workers = sorted(one.nthreads())
    gone = Client(threads, set_as_default=False)
    if has:
        theirs = Asking(gone, workers)
        assert theirs.has.wait(30)
    else:
        holder = Asking(one, workers)
        assert holder.has.wait(30)
        theirs = Asking(gone, workers)
        wait_until(lambda: waiting(one) == (1, 1))
    # As a process that is killed: nothing is said, the connection ends.
    gone.loop.add_callback(gone.scheduler_comm.comm.abort)
    if not has:
        wait_until(lambda: waiting(one) == (1, 0))
        holder.ends.set()
        holder.join(30)
    own = Asking(one, workers)
    assert own.has.wait(30)
    own.ends.set()
    own.join(30)
    theirs.ends.set()
    gone.close()
    wait_until(lambda: waiting(one) == (0, 0))


def test_a_worker_that_is_unknown_is_lost(pair):
    with pytest.raises(Lost), alone(pair[0], ["tcp://127.0.0.1:1"]):
        pass
    assert waiting(pair[0]) == (0, 0)


def test_what_comes_after_its_client_has_gone_is_released(threads, pair):
    """As of a client that is killed while the scheduler is at what it has sent."""
    gone = Client(threads, set_as_default=False)
    name = gone.id
    gone.close()
    one, _ = pair
    scheduler = threads.scheduler
    wait_until(lambda: name not in scheduler.clients)
    one.sync(one.scheduler.scatter, data={"left": b"0"}, workers=None, client=name)
    assert "left" not in scheduler.tasks or scheduler.tasks["left"].who_wants
    wait_until(lambda: "left" not in scheduler.tasks and name not in scheduler.clients)
    assert not any(one.has_what().values())


def test_a_group_meets_or_is_told_that_it_will_not(pair):
    from theanets.dask.scheduler import meet
    from theanets.errors import GroupError

    one, _ = pair
    first, second = workers = sorted(one.nthreads())
    with alone(one, workers) as key:
        said = [
            one.submit(meet, key, "here", rank, 2, [rank, "x"], workers=[worker], pure=False)
            for rank, worker in enumerate(workers)
        ]
        assert [list(map(list, found)) for found in one.gather(said)] == [[[0, "x"], [1, "x"]]] * 2
        late = one.submit(meet, key, "there", 0, 2, workers=[first], pure=False)
        wait_until(lambda: "there" in next(iter(plugin(one)._trainings.values())).said)
    for future in (late, one.submit(meet, key, "there", 1, 2, workers=[second], pure=False)):
        with pytest.raises(GroupError, match="the client is gone"):
            future.result()


def test_a_scheduler_without_theanets_is_told_of(tmp_path):
    file = tmp_path / "dask.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file]
    scheduler = subprocess.Popen([sys.executable, "-c", WITHOUT, *options], stderr=subprocess.PIPE)
    try:
        with (
            Client(scheduler_file=str(file), set_as_default=False, timeout=60) as client,
            pytest.raises(ConfigurationError, match=r"client: the scheduler at .* install it"),
        ):
            attend(client)
    finally:
        scheduler.kill()
        scheduler.communicate()
