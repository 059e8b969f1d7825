"""The workers of a cluster, which a client asks for while it refreshes what it knows of them."""

import pytest

pytest.importorskip("distributed")

import dask
from distributed import Client

from theanets.dask.models import workers


def test_a_clients_own_looks_do_not_hide_workers():
    """Every two seconds a client fetches the totals of the cluster, without the workers."""
    started = {
        "processes": False,
        "n_workers": 2,
        "threads_per_worker": 1,
        "dashboard_address": ":0",
    }
    with (
        dask.config.set({"distributed.client.scheduler-info-interval": "1ms"}),
        Client(**started) as client,
    ):
        there = sorted(client.nthreads())
        assert len(there) == 2
        assert [sorted(workers(client)) for _ in range(300)] == [there] * 300
