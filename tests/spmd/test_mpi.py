"""Training by MPI, in processes of its own, each with rows of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from group_cases import FAST, cut, data, regressor

import theanets
from theanets import mpi, spmd

pytest.importorskip("mpi4py")

PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
MPIEXEC = shutil.which("mpiexec", path=PLACES)

needs_mpiexec = pytest.mark.skipif(MPIEXEC is None, reason="needs mpiexec")

SCRIPT = """
import json, sys
import numpy as np
import pytensor
pytensor.config.mode = "FAST_COMPILE"
from group_cases import cut, data, regressor
import theanets
from theanets import mpi

rank = mpi.rank()
sizes = [60, 43]
net = regressor() if rank == 0 else theanets.Regressor([4, (6, "tanh"), 2], dtype="float64")
part = cut(data(), sizes)[rank]
kwargs = dict(epochs=3, batch_size=10, progress=False)
CHANGE
train, valid = mpi.train(net, part, **kwargs)
found = [p.get_value().tolist() for p in net.params]
with open(f"{sys.argv[1]}/{rank}.json", "w") as file:
    json.dump([valid["loss"], found], file)
"""


def start(folder, change="", size=2, module=("-m", "mpi4py")):
    """Run a script in several processes; get its exit status and what it said."""
    version = subprocess.run([MPIEXEC, "--version"], capture_output=True, text=True, check=False)
    options = ["--oversubscribe", "--allow-run-as-root"] if "Open MPI" in version.stdout else []
    script = folder / "script.py"
    script.write_text(SCRIPT.replace("CHANGE", change))
    found = [str(Path(theanets.__file__).parents[1]), str(Path(__file__).parents[1])]
    path = os.pathsep.join([*found, os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [MPIEXEC, *options, "-np", str(size), sys.executable, *module, str(script), str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )


@needs_mpiexec
def test_processes_train_what_threads_do(tmp_path):
    done = start(tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"{i}.json").read_text()) for i in (0, 1))
    assert first == second
    net = regressor()
    shards = cut(data(), [60, 43])
    spmd.train(net, spmd.Alone(), shards, epochs=3, batch_size=10, **FAST)
    for param, value in zip(net.params, first[1], strict=True):
        np.testing.assert_allclose(param.get_value(), value, 0, 1e-13)
    assert net.history["valid_loss"][-1] == pytest.approx(first[0], rel=1e-12)


@needs_mpiexec
def test_an_error_of_one_ends_all(tmp_path):
    change = "if rank: part = [part[0][:, :3], part[1]]"
    done = start(tmp_path, change)
    assert done.returncode != 0
    assert "shard 1, array 1 of 2 ('in') has shape (43, 3)" in done.stderr
    assert not list(tmp_path.glob("*.json"))


@needs_mpiexec
def test_what_cannot_be_told_ends_all_at_once(tmp_path):
    # Rank 1 fails where rank 0 waits for it, and is not started by mpi4py's runner.
    change = """
def fail(*arguments):
    raise RuntimeError("it fails here")

if rank:
    from theanets.training import setup
    setup.constrain = fail
"""
    done = start(tmp_path, change, module=())
    assert done.returncode != 0
    assert "it fails here" in done.stderr
    assert not list(tmp_path.glob("*.json"))


def test_a_process_alone():
    nets = [regressor() for _ in range(2)]
    x, y = data()
    mpi.train(nets[0], [x, y], [x[:10], y[:10]], epochs=2, **FAST)
    spmd.train(nets[1], spmd.Alone(), {0: [x, y]}, {0: [x[:10], y[:10]]}, epochs=2, **FAST)
    several = cut((x, y))
    mpi.train(nets[0], several, epochs=1, **FAST)
    spmd.train(nets[1], spmd.Alone(), several, epochs=1, **FAST)
    for a, b in zip(nets[0].params, nets[1].params, strict=True):
        np.testing.assert_array_equal(a.get_value(), b.get_value())
    assert (mpi.rank(), mpi.size()) == (0, 1)
    with pytest.raises(theanets.ConfigurationError, match="comm='world'"):
        mpi.train(nets[0], [x, y], comm="world")


def test_without_mpi4py_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"theanets\[mpi\]"):
        mpi.train(regressor(), data(), epochs=1)
