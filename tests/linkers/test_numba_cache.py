"""What Numba compiled, on the disk: damaged files are as none, and are replaced."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = [pytest.mark.linker, pytest.mark.slow]

SCRIPT = """
import logging, sys
logging.basicConfig(level="WARNING", format="LOG %(message)s", stream=sys.stdout)
import numpy as np
import theanets
from theanets.linkers.numba import NumbaCompilations
net = theanets.Regressor([3, 4, 2], rng=1, mode="NUMBA", dtype="float64")
watched = NumbaCompilations()
print("SUM", repr(float(net.predict(np.ones((2, 3))).sum())))
watched.done()
print("COMPILED", watched.count)
"""


def run(directory, script=SCRIPT, **environment):
    """Run a script in a process whose caches are in a directory; get what it prints, by line."""
    environment = {**os.environ, "PYTENSOR_FLAGS": f"base_compiledir={directory}", **environment}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_damaged_files_are_compiled_anew_and_replaced(tmp_path):
    first = run(tmp_path)
    assert int(first["COMPILED"]) > 3
    files = sorted((tmp_path / "numba").glob("theanets-*.nb[ic]"))
    assert {file.suffix for file in files} == {".nbi", ".nbc"}
    whole = {file: file.read_bytes() for file in files}

    def truncated(data):
        return data[: len(data) // 2]

    def flipped(data):
        middle = 2 * len(data) // 3
        return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]

    def empty(data):
        return b""

    rng = np.random.default_rng(0)
    for number, (file, data) in enumerate(whole.items()):
        # Where an index is damaged, what it leads to is not looked at.
        if file.suffix == ".nbc" or number % 3 == 0:
            file.write_bytes(rng.choice([truncated, flipped, empty])(data))
    again = run(tmp_path)
    assert again["SUM"] == first["SUM"]
    assert int(again["COMPILED"]) > 3
    # What was damaged is whole again.
    assert run(tmp_path) == {**first, "COMPILED": "0"}


def test_code_of_another_level_of_optimization_is_other_code(monkeypatch):
    from numba.core import config

    from theanets.linkers.numba_cache import KeyedCache

    class Codegen:
        def magic_tuple(self):
            return ("x86_64", "some processor", "")

    cache = KeyedCache.__new__(KeyedCache)
    cache._form, keys = "keyed", set()
    for level in (1, 3, 3):
        monkeypatch.setattr(config, "OPT", level)
        keys.add(cache._index_key("signature", Codegen()))
    assert len(keys) == 2


def test_a_disk_that_takes_no_more_is_said_and_no_error(tmp_path):
    full = SCRIPT.replace(
        "watched =",
        "from numba.core.caching import IndexDataCacheFile\n"
        "def save(*args): raise OSError(28, 'No space left on device')\n"
        "IndexDataCacheFile.save = save\n"
        "watched =",
    )
    found = run(tmp_path, full)
    assert found["LOG"].startswith("what Numba compiles cannot be kept in")
    assert "No space left" in found["LOG"]
    assert found["SUM"] == run(tmp_path)["SUM"]


@pytest.mark.parametrize("mode", ["NUMBA", "CVM"])
def test_no_place_for_what_is_compiled(tmp_path, mode):
    taken = tmp_path / "taken"
    taken.write_text("a file, no directory")
    script = (
        "import numpy as np, theanets\n"
        f"net = theanets.Regressor([3, 2], mode={mode!r})\n"
        "try:\n    net.predict(np.ones((2, 3)))\n"
        "except theanets.FileError as error:\n    print('ERROR', error)"
    )
    found = run(taken / "below", script)
    assert f"cannot be kept in {taken / 'below'}" in found["ERROR"]
    assert "base_compiledir" in found["ERROR"]
