"""Where functions are computed: one device that one says, or several that divide batches."""

import json
import os
import subprocess
import sys

import numpy as np
import pytensor
import pytest

import theanets
from theanets.errors import ConfigurationError

LINKER = pytest.mark.linker
X = np.random.default_rng(0).normal(size=(20, 4))
Y = np.random.default_rng(1).integers(3, size=20)


@pytest.mark.parametrize(
    "mode, device, message",
    [
        ("FAST_COMPILE", "cuda:0", r"device='cuda:0': for mode='FAST_COMPILE' there is cpu"),
        ("FAST_COMPILE", ["cpu", "cpu"], "expected one, for mode='FAST_COMPILE'"),
        ("FAST_COMPILE", 3, "device=3 is neither a name, such as 'cuda:0', nor a list"),
        ("FAST_COMPILE", [], r"device=\[\] is neither a name"),
        pytest.param(
            "JAX", "cuda:7", "device='cuda:7': for mode='JAX' there is", marks=pytest.mark.linker
        ),
        pytest.param(
            "JAX", ["cpu:0", "cpu"], "expected each of them once", marks=pytest.mark.linker
        ),
    ],
)
def test_what_is_not_there_is_refused(mode, device, message):
    if mode == "JAX":
        pytest.importorskip("jax")
    net = theanets.Classifier([4, 3], rng=1)
    with pytest.raises(ConfigurationError, match=message):
        net.train([X, Y], epochs=1, mode=mode, device=device)


def test_a_mode_that_is_an_object_has_no_device():
    from pytensor.compile.mode import Mode

    with pytest.raises(ConfigurationError, match="needs the name of a mode"):
        theanets.Classifier([4, 3]).train([X, Y], mode=Mode(linker="py"), device="cpu")


def test_a_mode_that_names_a_device_has_no_other():
    with pytest.raises(ConfigurationError, match="device='cpu' beside mode='JAX@cpu:1', which has"):
        theanets.Classifier([4, 3]).train([X, Y], mode="JAX@cpu:1", device="cpu")


def test_minimization_takes_a_device():
    a = pytensor.shared(1.0, "a")
    theanets.minimize(a**2, mode="FAST_COMPILE", device="cpu", epochs=1)
    with pytest.raises(ConfigurationError, match="device='cuda': for mode='FAST_COMPILE' there"):
        theanets.minimize(a**2, mode="FAST_COMPILE", device="cuda")


def test_linkers_without_devices_compute_on_the_cpu(capsys):
    assert theanets.devices("FAST_COMPILE") == ["cpu"]
    net = theanets.Classifier([4, 3], rng=1)
    net.train([X, Y], epochs=1, mode="FAST_COMPILE", device="cpu", progress=True)
    assert "computing on cpu\n" in capsys.readouterr().out


SEVERAL = """
import json, sys
import jax, numpy as np, theanets
from theanets.linkers import jax_devices, jax_fused
from theanets.linkers.jax_fused import Fused
from theanets.linkers.jax_loop import Loop

assert theanets.devices("JAX") == ["cpu:0", "cpu:1"]
seen, part = [], Fused._part

def noted(fused, carry, *others):
    seen.append([sorted(d.id for d in array.devices()) for array in (*carry, *fused._data)])
    return part(fused, carry, *others)

Fused._part = noted
one = Loop.one

def single(loop, carry, fixed, stepped, batch):
    arrays = (*carry, *(array for array in batch if hasattr(array, "devices")))
    seen.append([sorted(d.id for d in array.devices()) for array in arrays])
    if len(batch[0]) % 2 == 0 and len(arrays) > len(carry) and jax_devices.mesh():
        assert not any(array.is_fully_replicated for array in arrays[len(carry):])
    return one(loop, carry, fixed, stepped, batch)

Loop.one = single
x = np.random.default_rng(0).normal(size=(70, 5)).astype("float32")
y = np.random.default_rng(1).integers(3, size=70)

def trained(device):
    seen.clear()
    layers = [5, 8, "batch_norm", dict(form="dropout", rate=0.3), 3]
    net = theanets.Classifier(layers, weighted=True, rng=1)
    data = [x, y, np.arange(70) % 3]
    # The last batch, of 7 examples, cannot be divided.
    net.train(data, valid=data, mode="JAX", device=device, epochs=3, batch_size=9, progress=False,
              algo="adam", learning_rate=0.01, average="ema", max_global_norm=0.5)
    values = [v.get_value() for v in (*net.params, *net.state)]
    assert all(type(v) is np.ndarray for v in values)
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in net.history]
    where = [found for call in seen for found in call]
    assert where and all(found == where[0] for found in where)
    # It is not bound to where it was trained.
    np.testing.assert_allclose(
        net.predict_proba(x, mode="FAST_COMPILE"), net.predict_proba(x, mode="JAX"), atol=1e-5
    )
    seen.clear()
    # Data that do not fit there, and are put there by a thread.
    jax_fused.DATA_BYTES = 0
    large = theanets.Regressor([5, 3], rng=1)
    large.train([x, x[:, :3]], mode="JAX", device=device, epochs=1, batch_size=10, prefetch=1,
                algo="adam", learning_rate=0.01, progress=False)
    jax_fused.DATA_BYTES = 2**31
    assert len(seen) == 7 and all(found == where[0] for call in seen for found in call)
    return where[0], values + [v.get_value() for v in large.params], rows

found = {name: trained(json.loads(name)) for name in sys.argv[1:]}
(_, values, rows), *others = found.values()
for _, some, history in others:
    for a, b in zip(values, some, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    for a, b in zip(rows, history, strict=True):
        assert all(np.isclose(a[k], b[k], rtol=1e-4, atol=1e-6) for k in a)
print(json.dumps({name: where for name, (where, *_) in found.items()}))
"""


@pytest.mark.linker
def test_numbers_are_the_same_on_another_device_and_on_two():
    pytest.importorskip("jax")
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags.strip(), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", SEVERAL, '"cpu:1"', '["cpu:0", "cpu:1"]']
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout).values()) == [[1], [0, 1]]


@pytest.mark.linker
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_pytorch_computes_where_one_says():
    pytest.importorskip("torch")
    assert theanets.devices("PYTORCH")[-1] == "cpu"
    nets = [theanets.Classifier([4, 3], rng=1) for _ in range(2)]
    for net, options in zip(nets, ({"mode": "PYTORCH", "device": "cpu"}, {"mode": "FAST_COMPILE"})):
        net.train([X, Y], epochs=2, batch_size=8, algo="sgd", **options)
    for a, b in zip(*(net.params for net in nets), strict=True):
        np.testing.assert_allclose(a.get_value(), b.get_value(), rtol=1e-4, atol=1e-6)
