"""The benchmark of devices runs in its small form: its numbers are checked, its times are not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.mark.linker
@pytest.mark.slow
def test_the_small_form():
    pytest.importorskip("jax")
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(SCRIPT), "--small"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("from uncompiled") == 3
    assert "64-100-10" in done.stdout
