"""A cluster that the tests of a session share; what kills workers has one of its own."""

import pytest
from dask_cases import cluster


@pytest.fixture(scope="session")
def shared():
    with cluster(2) as found:
        yield found


@pytest.fixture
def client(shared):
    import distributed

    with distributed.Client(shared) as found:
        yield found
