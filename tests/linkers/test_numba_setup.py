"""What Numba leaves out when it compiles, and that all is as before afterwards."""

import importlib
import threading

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from numba import cfunc
from numba.core import errors, event
from numba.core.compiler_lock import global_compiler_lock
from numba.core.lowering import Lower
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

from theanets import Classifier, backends, versions
from theanets.linkers import numba_setup

pytestmark = pytest.mark.linker

UNTOUCHED = Lower.create_cfunc_wrapper, event.install_timer


def fresh(*arguments):
    """Compile with nothing from the cache on the disk."""
    with pytensor.config.change_flags(numba__cache=False):
        return backends.function(*arguments, mode="NUMBA", dtype="float64")


def test_what_nobody_uses_is_left_out(monkeypatch):
    wrapped, timed = [], []

    create_cfunc_wrapper, install_timer = UNTOUCHED

    def create(self):
        wrapped.append(self.fndesc.qualname)
        create_cfunc_wrapper(self)

    def install(kind, callback):
        timed.append(kind)
        return install_timer(kind, callback)

    monkeypatch.setattr(Lower, "create_cfunc_wrapper", create)
    monkeypatch.setattr(event, "install_timer", install)
    x = pt.matrix("x")
    function = fresh([x], [x.T * 3 + pt.zeros_like(x).T])
    value = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(function(value)[0], value.T * 3)
    assert wrapped == ["numba_funcified_fgraph"]  # many more are compiled, see the timers
    assert set(timed) == {"numba:compiler_lock"}
    assert len(timed) > 3


def test_all_is_as_before_after_what_cannot_be_compiled():
    x = pt.matrix("x")
    function = fresh([x], [x + 1])
    with pytest.raises(errors.TypingError):
        function("no matrix")
    assert (Lower.create_cfunc_wrapper, event.install_timer) == UNTOUCHED
    np.testing.assert_array_equal(function(np.zeros((1, 2)))[0], [[1, 1]])


def test_another_thread_finds_numba_as_it_was():
    x = pt.matrix("x")
    function = fresh([x], [x * 2 + 1])
    results = []
    thread = threading.Thread(target=lambda: results.append(function(np.ones((1, 2)))[0]))
    with global_compiler_lock:  # as while something is compiled
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        double = cfunc("float64(float64)")(lambda value: 2 * value)
    thread.join()
    assert double.ctypes(4.0) == 8  # without its wrapper for C, this would end the process
    np.testing.assert_array_equal(results, [[[3, 3]]])


def test_networks_share_the_pieces_they_are_made_of():
    data = np.ones((6, 4), "float32"), np.arange(6) % 3
    found = []
    for size in (5, 6):
        Classifier([4, size, 3], mode="NUMBA").train(data, data, epochs=1, progress=False)
        found.append(dict(numba_setup._pieces))
    assert found[0] == found[1] != {}


def test_what_tells_operations_apart():
    """All that a function may depend on, and nothing of the network that a node is in."""
    x, y = pt.matrix("x"), pt.matrix("y")
    of_row, single = pt.matrix("x", shape=(1, None)), pt.matrix("x", dtype="float32")
    i = pt.lscalar("i")
    results = [x + y, x + x, x * y, x + of_row, single + single, of_row + of_row]
    results += [x[2:], x[3:], x[i:], pt.sum(x, axis=0), pt.sum(x, axis=1), x.T]
    results += [pt.concatenate([x, y], axis=0), pt.sum(x, axis=0, dtype="float32")]
    described = [numba_setup._described(out.owner) for out in results]
    assert None not in described and len(set(described)) == len(described)
    again = pt.matrix("other name")
    assert numba_setup._described((again + again).owner) == described[1]
    assert numba_setup._described(again[2:].owner) == described[6]


class Alone(Op):
    """Says nothing of what makes two of it equal."""

    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, storage):
        storage[0][0] = inputs[0] + 1


def test_an_operation_that_equals_no_other_is_not_held():
    assert numba_setup._described(Alone()(pt.vector()).owner) is None


def test_operations_are_looked_up_and_bounded(monkeypatch, rng):
    monkeypatch.setattr(numba_setup, "_known", known := {})
    monkeypatch.setattr(numba_setup, "KNOWN", 3)
    x, a = pt.matrix("x"), rng.normal(size=(6, 4))
    for start in range(5):
        function = backends.function([x], x[start:] * 2, mode="NUMBA", dtype="float64")
        np.testing.assert_allclose(function(a), a[start:] * 2)
        assert 0 < len(known) <= 3


@pytest.mark.parametrize(
    "name", ["numba_funcify_ensure_cache", "numba_funcify_and_cache_key", "CACHED_SRC_FUNCTIONS"]
)
def test_numba_compiles_without_what_is_private_in_pytensor(name, monkeypatch):
    parts = versions.numba_parts()
    module = importlib.import_module("pytensor.link.numba.cache")
    with monkeypatch.context() as renamed:
        renamed.delattr(module if name.isupper() else parts.module, name)
        assert versions.numba_parts() is None
    monkeypatch.setattr(numba_setup, "_parts", None)
    monkeypatch.setattr(numba_setup, "_keep", None)
    x = pt.matrix("x")
    function = backends.function([x], [x * 3 - 1], mode="NUMBA", dtype="float64")
    np.testing.assert_array_equal(function(np.ones((2, 2)))[0], np.full((2, 2), 2.0))
