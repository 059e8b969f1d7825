"""Memory: what networks that are gone leave behind under Numba."""

import gc
import weakref

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

import theanets
from theanets.linkers import numba_setup

pytestmark = pytest.mark.linker


class Kept(theanets.Callback):
    """Finds the variables of a run: parameters, and the state of the optimizer."""

    def __init__(self):
        self.variables, self.arrays = [], []

    def start(self, run):
        found = [*run.params, *run.engine.arrays().values()]
        self.variables = [weakref.ref(variable) for variable in found]
        self.arrays = [weakref.ref(variable.get_value(borrow=True)) for variable in found]


def use(net, shape, labels, rng):
    x, kept = rng.normal(size=shape).astype("f"), Kept()
    net.train([x, labels], epochs=1, callbacks=kept, progress=False, hidden_dropout=0.1)
    net.predict(x)
    return kept


def test_variables_go_with_their_network(rng):
    net = theanets.Classifier([4, (5, "relu"), "batch_norm", 3], mode="NUMBA")
    kept = use(net, (12, 4), rng.integers(0, 3, 12), rng)
    later = [weakref.ref(v) for v in [*net.params, *net.state]]
    later += [weakref.ref(v.get_value(borrow=True)) for v in [*net.params, *net.state]]
    assert len(kept.variables) > len(net.params) + len(net.state)
    del net
    gc.collect()
    left = [ref() for ref in [*kept.variables, *kept.arrays, *later] if ref() is not None]
    assert not left


def dispatchers():
    gc.collect()
    return sum(issubclass(type(thing), Dispatcher) for thing in gc.get_objects())


def test_equal_networks_leave_nothing_behind(rng):
    """Neither code nor what PyTensor made it of, of which Numba holds all that it ever saw."""
    labels, left = rng.integers(0, 3, 12), []
    for _ in range(4):
        net = theanets.Classifier([4, (5, "relu"), "batch_norm", 3], mode="NUMBA")
        use(net, (12, 4), labels, rng)
        del net
        left.append((dispatchers(), len(numba_setup._known), len(numba_setup._pieces)))
    assert left[1] == left[2] == left[3] != (0, 0, 0)


def test_networks_of_a_kind_share_what_is_compiled(rng):
    x = rng.normal(size=(7, 4)).astype("f")
    small = theanets.Regressor([4, 5, 2], mode="NUMBA", rng=1)
    large = theanets.Regressor([4, 50, 3], mode="NUMBA", rng=2)
    deeper = theanets.Regressor([4, 5, 5, 2], mode="NUMBA", rng=3)
    functions = []
    for net in (small, large, deeper):
        twin = theanets.Regressor(
            [layer.output_size for layer in net.layers], mode="FAST_COMPILE", rng=net.seed
        )
        np.testing.assert_allclose(net.predict(x), twin.predict(x), rtol=1e-4, atol=1e-5)
        known = next(iter(net._cache.values()))
        functions.append(known.compiled.function.vm.jit_fn)
    assert functions[0] is functions[1]
    assert functions[0] is not functions[2]
    # They share the code and nothing else.
    small.find("out.b").set_value(np.full(2, 100, "f"))
    assert (small.predict(x) > 50).all()
    assert (abs(large.predict(x)) < 50).all()
