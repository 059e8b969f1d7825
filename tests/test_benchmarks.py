"""The benchmarks run, in tiny sizes: what they measure is not looked at."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
NOT_COMPILED = "mode=FAST_COMPILE,cxx="

pytestmark = pytest.mark.slow


def run(*arguments):
    pytest.importorskip("sklearn")
    environment = {**os.environ, "PYTENSOR_FLAGS": NOT_COMPILED, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(FOLDER / "run.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_sections(tmp_path):
    sections = ["epochs", "steps", "predict", "autoencoder", "recurrence", "convolutions"]
    sections += ["sparse_inputs", "scaling"]
    target, curves = tmp_path / "rows.json", tmp_path / "images" / "curves.svg"
    options = ["--plot", str(curves)]
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        options = []
    text = run("--quick", "--json", str(target), *options, "--only", *sections)
    found = json.loads(target.read_text())
    assert list(found["sections"]) == sections
    assert {"cpu", "cores", "blas", "python", "theanets", "pytensor"} <= set(found["machine"])
    for section in found["sections"].values():
        assert section["title"] in text
        for row in section["rows"]:
            assert row["work"] in text
            assert "sizes" in row or all(v["min"] >= 0 for v in row["times"].values())
    assert not options or curves.exists()
    # What was measured is kept, and printed again.
    assert run("--show", "--json", str(target)) == text


def test_jobs():
    text = run("--quick", "--only", "accuracy", "starts", "memory", "threads")
    assert "accuracy 0.3" in text and "cache filled" in text and "1 thread" in text


def test_processes(tmp_path):
    pytest.importorskip("mpi4py.MPI")
    pytest.importorskip("matplotlib")
    target, curves = tmp_path / "rows.json", tmp_path / "curves.svg"
    options = ["--turns", "1", "--divisor", "1000", "--only", "10-20-3", "--json", str(target)]
    command = [sys.executable, str(FOLDER / "distributed.py"), *options, "--plot", str(curves)]
    environment = {**os.environ, "PYTENSOR_FLAGS": NOT_COMPILED}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "a model, not measured" in done.stdout
    assert "10-20-3" in done.stdout
    assert curves.exists()
    found = json.loads(target.read_text())
    ways = [way for way in ("dask", "epoch", "dask-mpi") if f"  {way}, sync=" in done.stdout]
    assert ways == [row["way"] for row in found if "way" in row]
    if find_spec("distributed"):
        adds_up = find_spec("torch") or find_spec("xgboost")
        by_mpi = ["dask-mpi"] if find_spec("dask_mpi") else []
        assert ways == ["dask"] * bool(adds_up) + ["epoch"] + by_mpi
