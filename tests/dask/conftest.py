"""A cluster that the tests of a session share; what kills workers has one of its own."""

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent


def cluster(workers):
    """Start a cluster of processes of one thread each, on a linker that compiles nothing."""
    import dask
    import distributed

    # Workers know the modules that tests share, and compile no more than the tests themselves.
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    flags = f"mode=FAST_COMPILE,{os.environ.get('PYTENSOR_FLAGS', '')}".strip(",")
    environment = {"PYTHONPATH": paths, "PYTENSOR_FLAGS": flags}
    spawn = {f"distributed.nanny.pre-spawn-environ.{k}": v for k, v in environment.items()}
    with dask.config.set(spawn):
        return distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=":0", processes=True
        )


@pytest.fixture(scope="session")
def shared():
    with cluster(2) as found:
        yield found


@pytest.fixture
def client(shared):
    import distributed

    with distributed.Client(shared) as found:
        yield found
