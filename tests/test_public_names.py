"""What the package hands on, some of it imported only when it is asked for."""

import importlib
import inspect
import pydoc
import subprocess
import sys

import pytest

import theanets

#: What nothing of is imported with the package, and what a user asks for.
LATER = {
    "callbacks.Callback": "theanets.Callback",
    "minimization.iterminimize": "theanets.iterminimize",
    "minimization.minimize": "theanets.minimize",
    "original.load_original": "theanets.load_original",
    **{f"{name}": f"theanets.{name}" for name in ("callbacks", "optimizers", "plot", "training")},
}


def run(code):
    """Run a program in a process of its own, where nothing is imported yet."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("place", LATER)
def test_what_is_imported_later_is_what_its_module_has(place):
    module, _, name = place.partition(".")
    found = importlib.import_module(f"theanets.{module}")
    assert eval(LATER[place]) is (getattr(found, name) if name else found)


def test_all_names_are_offered_before_they_are_imported():
    run(
        """
import sys, theanets
assert "theanets.training" not in sys.modules
offered = dir(theanets)
assert {*theanets.__all__, "training", "pretraining", "original"} <= set(offered)
assert offered == sorted(set(offered))
for name in theanets.__all__:
    getattr(theanets, name)
found = {}
exec("from theanets import *", found)
assert set(theanets.__all__) <= found.keys()
assert issubclass(found["callbacks"].SaveBest, theanets.Callback)
# A module below one that was not imported, as a user would write it.
assert theanets.training.averaging.EMA
"""
    )


def test_a_name_that_there_is_not_is_refused_with_what_is_like_it():
    with pytest.raises(AttributeError, match="'theanets' has no attribute 'minimise'") as caught:
        theanets.minimise  # noqa: B018
    # Of which Python makes "Did you mean: 'minimize'?".
    assert caught.value.name == "minimise"
    assert caught.value.obj is theanets
    assert not hasattr(theanets, "__wrapped__")
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        exec("from theanets import Nothing")
    with pytest.raises(AttributeError, match="optimizers' has no attribute 'Nothing'"):
        theanets.optimizers.Nothing  # noqa: B018


def test_methods_whose_modules_come_later_have_their_signatures_and_texts():
    net = theanets.Regressor([2, 1])
    for name, words in {
        "train": "patience, min_improvement",
        "itertrain": "epoch by epoch",
        "evaluate": "Figures of agreement",
        "profile": "By default|repeats",
        "export": "onnx",
    }.items():
        method = getattr(net, name)
        assert len(inspect.signature(method).parameters) >= 2
        assert any(word in pydoc.render_doc(method) for word in words.split("|"))
    assert list(inspect.signature(net.train).parameters) == ["train", "valid", "algo", "kwargs"]
    assert "minimize" in pydoc.render_doc(theanets)


def test_the_first_training_imports_while_another_thread_builds():
    """What is imported later neither builds nor waits for who builds."""
    run(
        """
import threading, theanets
from theanets import process
held, done = threading.Event(), threading.Event()

def build():
    with process.building():
        held.set()
        assert done.wait(60)

thread = threading.Thread(target=build, daemon=True)
thread.start()
held.wait()
variable = __import__("pytensor").shared(0.0)
with process.hold([variable]):
    for name in theanets._LATER:
        worker = threading.Thread(target=getattr, args=(theanets, name), daemon=True)
        worker.start()
        worker.join(30)
        assert not worker.is_alive(), name
done.set()
thread.join()
"""
    )


def test_threads_that_train_first_at_once_all_train():
    run(
        """
import sys, threading
import numpy as np, theanets
sys.setswitchinterval(1e-6)
data = [np.ones((4, 2), "f"), np.ones((4, 1), "f")]
nets = [theanets.Regressor([2, 1], rng=1, mode="FAST_COMPILE") for _ in range(3)]
go, results = threading.Barrier(3), []

def train(net, first):
    go.wait()
    first()
    results.append(net.train(data, algo="sgd", epochs=1))

firsts = [lambda: theanets.plot, lambda: theanets.callbacks, lambda: None]
threads = [threading.Thread(target=train, args=pair) for pair in zip(nets, firsts)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(results) == 3 and results[0] == results[1] == results[2]
"""
    )
