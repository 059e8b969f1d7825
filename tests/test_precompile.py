"""Compilation ahead of time."""

import os
import subprocess
import sys

import pytensor
import pytest

import theanets


def test_bad_arguments():
    with pytest.raises(theanets.UnknownNameError, match=r"recurent.*recurrent"):
        theanets.warmup("recurent", mode="NUMBA")
    with pytest.raises(theanets.ConfigurationError, match=r"mode='FAST_COMPILE'.*'NUMBA' or 'CVM'"):
        theanets.warmup("feedforward", mode="FAST_COMPILE")
    with pytest.raises(theanets.ConfigurationError, match="PyTensor's configuration 'FAST_COMP"):
        theanets.warmup("feedforward")
    with (
        pytensor.config.change_flags(numba__cache=False),
        pytest.raises(theanets.ConfigurationError, match=r"numba__cache is False.*mode='CVM'"),
    ):
        theanets.warmup("feedforward", mode="NUMBA")


def test_all_networks_can_be_used(monkeypatch, capsys):
    monkeypatch.setattr(theanets.linkers.Linker, "keeps_on_disk", True)
    found = theanets.warmup(mode="FAST_COMPILE", dtype="float64")
    assert len(found) == 16 and min(found.values()) > 0
    assert len(capsys.readouterr().out.splitlines()) == 16
    theanets.warmup("feedforward", mode="FAST_COMPILE", progress=False)
    assert not capsys.readouterr().out


SCRIPT = """
import numpy as np, theanets, numba.core.event as event, sys
if sys.argv[1] == "warm":
    # Only one of the networks: the others would take minutes.
    from theanets import feedforward, precompile
    x, labels = np.zeros((8, 4)), np.arange(8) % 3
    case = "classifier", feedforward.Classifier, [4, 5, 3], x, labels
    precompile.KINDS = {"feedforward": lambda: iter([case])}
    theanets.warmup("feedforward", progress=False)
    raise SystemExit
with event.install_recorder("numba:compile") as recorder:
    net = theanets.Classifier([20, 30, 7])  # other sizes, another number of classes
    x, y = np.ones((50, 20)), np.arange(50) % 7
    net.train([x, y], [x, y], epochs=2, progress=False)
    net.predict(x)
    # Data that are read-only or in another order are of the same type to Numba.
    frozen = x.astype("float32")
    frozen.flags.writeable = False
    np.save(sys.argv[2], frozen)
    for given in frozen, np.load(sys.argv[2], mmap_mode="r"), np.asfortranarray(frozen):
        net.train([given, y], [given, y], epochs=2, progress=False)
        net.train(iter([(given, y)] * 4), [given, y], epochs=1, progress=False)
        net.evaluate([given, y])
        net.predict(given)
print(len(recorder.buffer))
"""


@pytest.mark.slow
@pytest.mark.linker
def test_nothing_is_left_to_compile(tmp_path):
    flags = f"base_compiledir={tmp_path},mode=NUMBA"
    environment = {**os.environ, "PYTENSOR_FLAGS": flags}
    for what in ("warm", "use"):
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, what, str(tmp_path / "x.npy")],
            env=environment, capture_output=True, text=True, check=True, timeout=500,
        )  # fmt: skip
    assert run.stdout.strip() == "0"
