"""A cache that cannot be written to: what is in it is used, and what is not is said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Predicts by a network with an activation, and tells how many files Numba read from the cache.
SCRIPT = """
import logging, sys
logging.basicConfig(level="WARNING", stream=sys.stdout)
import numpy as np
from numba.core import caching
import theanets
loaded = []
original = caching.IndexDataCacheFile.load
caching.IndexDataCacheFile.load = lambda self, key: (
    loaded.append(found) if (found := original(self, key)) is not None else None) or found
net = theanets.Regressor([3, (4, "{}"), 2], rng=1, mode="NUMBA")
print(len(loaded), net.predict(np.ones((1, 3), "f")).sum(), len(loaded))
"""


def run(folder, activation):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "PYTENSOR_FLAGS": f"base_compiledir={folder}",
        "HOME": str(folder),
    }
    command = [sys.executable, "-B", "-c", SCRIPT.format(activation)]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.linker
@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the user may write anywhere")
def test_a_cache_that_was_filled_serves_who_cannot_write_to_it(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    try:
        filled = run(folder, "tanh")
        assert filled.returncode == 0, filled.stderr
        folder.chmod(0o555)
        for path in folder.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        found = run(folder, "tanh")
        assert found.returncode == 0, found.stderr
        assert "cannot be kept" not in found.stdout
        *_, total, loads = found.stdout.split()
        assert total == filled.stdout.split()[-2]
        assert int(loads) > 0
        other = run(folder, "softplus")
        assert other.returncode == 0, other.stderr
        assert other.stdout.count("cannot be kept") == 1
    finally:
        for path in [folder, *(p for p in folder.rglob("*") if p.is_dir())]:
            path.chmod(0o755)
