"""A cluster that tests share; what kills workers has one of its own."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from dask_cases import cluster

HERE = Path(__file__).parent
#: The cluster that there is.
_held: list[Any] = []
_stack = ExitStack()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Iterator[None]:
    """Close it when tests of something else follow: processes that idle take some of a core."""
    try:
        return (yield)
    finally:
        if nextitem is None or HERE not in nextitem.path.parents:
            _held.clear()
            _stack.close()


@pytest.fixture
def shared() -> Any:
    if not _held:
        _held.append(_stack.enter_context(cluster(2)))
    return _held[0]


@pytest.fixture(params=["torch", "xgboost"])
def kind(request, monkeypatch):
    """Take each kind of group for ``sync='step'`` that is installed."""
    from theanets.dask import collective

    if not collective.KINDS[request.param].able():
        pytest.skip(f"needs {request.param}")
    monkeypatch.setattr(collective, "KINDS", {request.param: collective.KINDS[request.param]})
    return request.param


@pytest.fixture
def client(shared):
    import distributed

    with distributed.Client(shared) as found:
        yield found
