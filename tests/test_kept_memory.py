"""Memory that is freed stays with the process where steps of training need it again."""

import os
import subprocess
import sys

import pytest

from theanets import memory

SCRIPT = """
import ctypes, sys
called = []
class Library:
    def mallopt(self, key, value):
        called.append((key, value))
        return 1
ctypes.CDLL = lambda name: Library()
if {dask}:
    sys.modules["distributed"] = sys
import theanets
net = theanets.Regressor([2, 3, 1], mode="FAST_COMPILE")
net.predict([[1.0, 2.0]])
print(called)
"""
BOTH = str([(-3, 2**26), (-1, 2**27)])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of the GNU C library")
@pytest.mark.parametrize(
    "dask, variables, expected",
    [
        (True, {"MALLOC_TRIM_THRESHOLD_": "65536"}, BOTH),
        (True, {}, "[]"),
        (False, {"MALLOC_TRIM_THRESHOLD_": "65536"}, "[]"),
        (True, {"MALLOC_TRIM_THRESHOLD_": "0"}, "[]"),
        (True, {"MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_MMAP_THRESHOLD_": "1"}, "[]"),
    ],
)
def test_any_network_keeps_memory_in_a_worker_of_dask(dask, variables, expected):
    plain = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(dask=dask)],
        capture_output=True,
        text=True,
        check=True,
        env={**plain, **variables},
    )
    assert done.stdout.strip() == expected


def test_what_the_user_sets_is_left(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert not memory.keep_freed_memory.__wrapped__()
