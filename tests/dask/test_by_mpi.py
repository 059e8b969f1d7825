"""Workers that were started by MPI, which add up their gradients by it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("distributed")
pytest.importorskip("mpi4py")

from dask_cases import arrays, blocks, environment, losses, network, values

from theanets import spmd
from theanets.dask import collective

MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH')}")

OPTIONS = {"epochs": 3, "batch_size": 16, "learning_rate": 0.02}

SCRIPT = """
import json, sys
from dask_mpi import initialize

initialize(nthreads=1, dashboard=False, local_directory=sys.argv[1])

from distributed import Client
from dask_cases import arrays, blocks, idle, losses, network, values, wait_until
import theanets.dask
from theanets.dask import collective

def fails(run):
    raise LookupError("of the callback")

client = Client()
kind = collective.common(list(client.run(collective.able).values()))
options = json.loads(sys.argv[2])
raised = 0
try:
    theanets.dask.train(client, network(), blocks(*arrays()), callbacks=fails, **options)
except LookupError:
    raised += 1
net = network()
theanets.dask.train(client, net, blocks(*arrays()), **options)
found = [kind, raised, len(client.nthreads()), values(net).tolist(), losses(net)]
with open(f"{sys.argv[1]}/found.json", "w") as file:
    json.dump(found, file)
"""


@pytest.mark.slow
@pytest.mark.skipif(MPIEXEC is None, reason="needs mpiexec")
def test_workers_of_dask_mpi_do_what_threads_do(tmp_path):
    pytest.importorskip("dask_mpi")
    version = subprocess.run([MPIEXEC, "--version"], capture_output=True, text=True, check=False)
    options = ["--oversubscribe", "--allow-run-as-root"] if "Open MPI" in version.stdout else []
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path), json.dumps(OPTIONS)]
    done = subprocess.run(
        [MPIEXEC, *options, "-np", "4", *command],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**os.environ, **environment(), "OMP_NUM_THREADS": "1"},
    )
    found = tmp_path / "found.json"
    assert found.exists(), done.stderr
    kind, raised, workers, params, measured = json.loads(found.read_text())
    assert (kind, raised, workers) == ("mpi", 1, 2)
    nets = [network() for _ in range(2)]
    parts = zip(*([block.compute() for block in one.blocks] for one in blocks(*arrays())))
    shards = dict(enumerate(map(list, parts)))

    def work(group):
        own = {i: part for i, part in shards.items() if i % 2 == group.rank}
        return spmd.train(nets[group.rank], group, own, **OPTIONS)

    spmd.together(2, work)
    np.testing.assert_allclose(params, values(nets[0]), rtol=1e-4, atol=1e-6)
    assert measured == pytest.approx(losses(nets[0]), rel=1e-5)


ABLE = {"mpi": [2, 4], "torch": True, "xgboost": True}


@pytest.mark.parametrize(
    "others, kind",
    [
        ([{"mpi": [3, 4]}], "mpi"),
        ([{"mpi": None}], "torch"),
        ([{"mpi": [2, 4]}], "torch"),  # the same place in another world
        ([{"mpi": [3, 5]}], "torch"),
        ([{"mpi": [3, 4]}, {"mpi": None, "torch": False}], "xgboost"),
    ],
)
def test_mpi_is_taken_where_all_are_of_one_world(others, kind):
    found = [ABLE, *({**ABLE, **other} for other in others)]
    assert collective.common(found) == kind


def test_a_process_alone_has_no_world():
    assert collective.World.able() is None
