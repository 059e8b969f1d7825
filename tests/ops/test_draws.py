"""Random numbers under Numba: those of NumPy's generator, whatever the linker."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from theanets import backends
from theanets import rng as streams

pytestmark = pytest.mark.linker

METHODS = {"normal": "standard_normal", "uniform": "random"}


def ops(function):
    return {type(node.op).__name__ for node in function.maker.fgraph.toposort()}


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 4), (0, 2)])
def test_draws_are_those_of_numpy(kind, shape):
    x = pt.tensor(dtype="float32", shape=(None,) * len(shape))
    # Without rewrites in place, a generator may not be changed.
    apart = pytensor.compile.mode.get_mode("NUMBA").excluding("inplace")
    for dtype in ("float32", "float64") if shape == (3, 4) else ("float32",):
        for mode in ("NUMBA", apart):
            shared = streams.shared_rng(np.random.default_rng(3), "r")
            following, draws = getattr(streams, kind)(shared, x.shape, dtype)
            function = backends.function([x], draws, {shared: following}, mode=mode)
            assert "Draws" in ops(function)
            kept = shared.get_value(borrow=True)
            twin = np.random.default_rng(3)
            for _ in range(2):
                found = function(np.zeros(shape, "float32"))
                assert found.dtype == dtype
                wanted = getattr(twin, METHODS[kind])(shape).astype(dtype)
                np.testing.assert_array_equal(found, wanted)
            state = shared.get_value(borrow=True).bit_generator.state
            assert state == twin.bit_generator.state
            if mode is apart:
                fresh = np.random.default_rng(3).bit_generator.state
                assert kept.bit_generator.state == fresh


def test_other_distributions_stay():
    generator = pytensor.shared(np.random.default_rng(3))
    both = dict(return_next_rng=True)
    scale = pt.scalar("scale", dtype="float32")
    cases = [
        (pt.random.normal(0, 2, size=(3,), rng=generator, **both)[1], []),
        (pt.random.normal(0, scale, size=(3,), rng=generator, **both)[1], [scale]),
        (pt.random.uniform(-1, 1, size=(3,), rng=generator, **both)[1], []),
    ]
    for draws, inputs in cases:
        compiled = backends.function(inputs, draws, mode="NUMBA", dtype="float64")
        assert "Draws" not in ops(compiled)
