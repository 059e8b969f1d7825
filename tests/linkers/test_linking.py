"""PyTensor's own functions know our Ops: with JAX and PyTorch, imported before us or after."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.replace import vectorize_graph

import theanets

pytestmark = pytest.mark.linker

OPERATIONS = """
import sys, warnings
import numpy as np, pytensor
linker, order = sys.argv[1:3]
package = {"JAX": "jax", "PYTORCH": "torch"}[linker]
if order == "before":
    __import__(package)
    __import__(f"pytensor.link.{linker.lower()}.dispatch")
import theanets
if linker == "PYTORCH" and order == "before":
    import torch
    torch.compiler.set_stance("force_eager")

from op_cases import DISCRETE, SMOOTH, applied
from recurrent_cases import Case

graphs = {}
for name, (op, arguments, *_) in {**SMOOTH, **DISCRETE}.items():
    graphs[name] = applied(op, arguments)
case = Case("lstm")
outputs, final = case.fast()
cost = sum(out.sum() for out in [*outputs.values(), *final])
gradients = pytensor.grad(cost, case.trained, disconnected_inputs="ignore")
slope = sum((g * g).sum() for g in gradients)
gradients += pytensor.grad(slope, case.trained, disconnected_inputs="ignore")
graphs["recurrent"] = case.inputs, case.arguments, [*outputs.values(), *final, *gradients]

# Gradients of networks have much of PyTensor's own around our operations.
kinds = {
    "gru": (theanets.recurrent.Regressor, [2, (3, "gru"), 2]),
    "crf": (theanets.recurrent.Classifier, [2, dict(form="crf", size=2)]),
    "pool": (theanets.Regressor, [(4, 2), dict(form="pool1", pool_size=2), "flat", 2]),
    "attention": (theanets.recurrent.Regressor, [2, (4, "attention"), 2]),
}
rng = np.random.default_rng(1)
for name, (model, layers) in kinds.items() if linker == "PYTORCH" else ():
    net = model(layers, dtype="float64", rng=1)
    x = y = rng.normal(size=(3, 4, 2))
    if name == "crf":
        y = rng.integers(2, size=(3, 4)).astype("int32")
    elif name == "pool":
        y = x[:, 0]
    loss = net.loss()
    graphs[name] = net.variables, [x, y], [loss, *pytensor.grad(loss, net.params)]

assert (package in sys.modules) == (order == "before")
found = 0
for name, (symbols, values, outputs) in graphs.items():
    options = dict(on_unused_input="ignore")
    expected = pytensor.function(symbols, outputs, mode="FAST_COMPILE", **options)(*values)
    function = pytensor.function(symbols, outputs, mode=linker, **options)
    if linker == "PYTORCH":
        sys.modules["torch"].compiler.set_stance("force_eager")
    for a, b in zip(function(*values), expected, strict=True):
        a = np.asarray(a)
        assert a.shape == b.shape, (name, a.shape, b.shape)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11, err_msg=name)
        found += 1
assert package in sys.modules and found > len(graphs)
# What only our functions may have, such as checks that are left out, is not in those of others.
assert "theanets.linkers.torch_setup" not in sys.modules
assert "theanets.linkers.jax_function" not in sys.modules
print("fine", found)
"""


@pytest.mark.slow
@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("linker, package", [("JAX", "jax"), ("PYTORCH", "torch")])
def test_operations(linker, package, order):
    pytest.importorskip(package)
    root = Path(__file__).parent.parent
    path = os.pathsep.join([str(root), str(root.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTENSOR_FLAGS": "floatX=float64"}
    command = [sys.executable, "-W", "ignore", "-c", OPERATIONS, linker, order]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "fine" in done.stdout, done.stdout + done.stderr


def test_neither_is_imported_by_us():
    code = "import sys, theanets; assert not {'jax', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


IMAGES = [
    (6, 5, 2),
    dict(form="conv2", size=3, filter_size=2, activation="tanh"),
    dict(form="pool2", pool_size=2),
    "flat",
    2,
]
NETS = {
    "gru": (theanets.recurrent.Regressor, [3, (4, "gru"), 2], (4, 5, 3)),
    "conv": (theanets.convolution.Regressor, IMAGES, (4, 6, 5, 2)),
    "crf": (theanets.recurrent.Classifier, [3, dict(form="crf", size=3)], (4, 5, 3)),
}


def built(name, rng):
    model, layers, shape = NETS[name]
    net = model(layers, rng=1, dtype="float64")
    return net, net.outputs()["out:out"], rng.normal(size=shape)


@pytest.mark.parametrize("name", ["gru", "conv", "crf"])
def test_plain_functions_for_jax_of_any_batch(name, rng):
    """Values and gradients, where nothing but the type of the input is known."""
    pytest.importorskip("jax")
    net, out, x = built(name, rng)
    assert net.inputs[0].type.shape[0] is None
    gradients = pytensor.grad(pt.sqr(out).mean(), net.params)
    expected = pytensor.function(net.inputs, [out, *gradients], mode="FAST_COMPILE")
    function = pytensor.function(net.inputs, [out, *gradients], mode="JAX")
    for data in (x, x[:3]):
        for a, b in zip(function(data), expected(data), strict=True):
            np.testing.assert_allclose(np.asarray(a), b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "name, mode",
    [
        *((name, mode) for name in ("gru", "conv") for mode in ("JAX", "FAST_COMPILE")),
        ("gru", "NUMBA"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*object mode:UserWarning")
def test_vectorized_graphs(name, mode, rng):
    """One more axis in front of the inputs, as of several data sets at once."""
    if mode == "JAX":
        pytest.importorskip("jax")
    net, out, x = built(name, rng)
    (old,) = net.inputs
    new = pt.tensor(dtype=old.dtype, shape=(None, *old.type.shape))
    function = pytensor.function([new], vectorize_graph(out, {old: new}), mode=mode)
    several = np.stack([x, x[::-1] + 1, 2 * x])
    expected = pytensor.function([old], out, mode="FAST_COMPILE")
    found = np.asarray(function(several))
    np.testing.assert_allclose(found, np.stack([expected(part) for part in several]), rtol=1e-9)
