"""What a fresh process imports to predict, and no more."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import theanets

PREDICTS = """
import sys
import numpy as np, theanets
file, mode = sys.argv[1:]
net = theanets.Network.load(file)
# SciPy comes with PyTensor's first compilation: who asks for the value of a constant imports
# pytensor.sparse, `_get_underlying_scalar_constant_value` in pytensor/tensor/basic.py.
slow = {"rich", "matplotlib", "pandas", "sklearn", "click", "onnx", "jax", "torch"}
assert not (slow | {"scipy", "numba", "pytensor.sparse"}) & sys.modules.keys()
found = net.predict(np.load(file + ".npy"))
assert not slow & sys.modules.keys()
unused = "bayes calibration callbacks cli drawing minimization optimizers original plot"
unused += " pretraining profiling runs sklearn training"
names = {"theanets." + name for name in unused.split()}
imported = {name for name in sys.modules if ".".join(name.split(".")[:2]) in names}
# What `net.export` and `net.to_torch_state` are, but nothing that they need.
imported |= {name for name in sys.modules if name.startswith("theanets.export.")}
assert not imported, sorted(imported)
assert ("numba" in sys.modules) == (mode == "NUMBA")
if mode == "NUMBA":
    # It was told of the operations that there were before it, and is of those that come.
    assert theanets.ops.base._told == theanets.ops.base._made != set()
np.save(file + ".out.npy", found)
"""


@pytest.mark.parametrize(
    "mode",
    [
        "FAST_COMPILE",
        pytest.param("CVM", marks=pytest.mark.linker),
        pytest.param("NUMBA", marks=pytest.mark.linker),
    ],
)
def test_who_predicts_imports_what_the_linker_needs(mode, tmp_path, rng):
    """Numba takes 100 MB, and the C linker has no use for it."""
    net = theanets.Regressor([3, (4, "softmax"), 2], rng=1)
    x = rng.normal(size=(5, 3)).astype("f")
    net.save(tmp_path / "net.npz")
    np.save(tmp_path / "net.npz.npy", x)
    root = Path(theanets.__file__).parents[1]
    flags = f"{os.environ.get('PYTENSOR_FLAGS', '')},mode={mode}".strip(",")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PREDICTS, tmp_path / "net.npz", mode],
        check=True,
        # By the flag, so that it is the mode of graphs within graphs too.
        env={**os.environ, "PYTHONPATH": str(root), "PYTENSOR_FLAGS": flags},
    )
    found = np.load(tmp_path / "net.npz.out.npy")
    np.testing.assert_allclose(found, net.predict(x), rtol=1e-5, atol=1e-6)
