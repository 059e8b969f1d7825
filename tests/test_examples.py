"""Every example runs, on a small setting."""

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SETTINGS = {
    "crf_labels.py": ["--epochs", "1", "--lines", "150"],
    "digits.py": ["--epochs", "2", "--save", "digits.safetensors"],
    "digits_convolution.py": ["--epochs", "1"],
    "fashion_mnist.py": [".", "--epochs", "1", "--save", "fashion.safetensors"],
}


def write_idx(path, array):
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


def test_every_example_has_a_setting():
    assert sorted(SETTINGS) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_example_runs(name, tmp_path, rng):
    for part, count in (("train", 200), ("t10k", 50)):
        images, labels = rng.integers(256, size=(count, 28, 28)), rng.integers(10, size=count)
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    flags = ",".join(filter(None, [os.environ.get("PYTENSOR_FLAGS"), "mode=FAST_COMPILE"]))
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *SETTINGS[name]],
        cwd=tmp_path,
        env={**os.environ, "PYTENSOR_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    for place in SETTINGS[name]:
        if place.endswith(".safetensors"):
            assert (tmp_path / place).exists()
