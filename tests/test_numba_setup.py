"""What Numba leaves out when it compiles, and that all is as before afterwards."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from numba.core import errors, event
from numba.core.lowering import Lower

from theanets import backends
from theanets.ops import numba_setup

pytestmark = pytest.mark.linker

UNTOUCHED = Lower.create_cfunc_wrapper, event.install_timer


def fresh(*arguments):
    """Compile with nothing from the cache on the disk."""
    with pytensor.config.change_flags(numba__cache=False):
        return backends.function(*arguments, mode="NUMBA", dtype="float64")


def test_what_nobody_uses_is_left_out(monkeypatch):
    wrapped, timed = [], []

    def create(self):
        wrapped.append(self.fndesc.qualname)
        UNTOUCHED[0](self)

    def install(kind, callback):
        timed.append(kind)
        return UNTOUCHED[1](kind, callback)

    monkeypatch.setattr(numba_setup, "_create_cfunc_wrapper", create)
    monkeypatch.setattr(numba_setup, "_install_timer", install)
    x = pt.matrix("x")
    function = fresh([x], [x.T * 3 + pt.zeros_like(x).T])
    value = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(function(value)[0], value.T * 3)
    assert wrapped == ["numba_funcified_fgraph"]  # many more are compiled, see the timers
    assert set(timed) == {"numba:compiler_lock"}
    assert len(timed) > 5


def test_all_is_as_before_after_what_cannot_be_compiled():
    x = pt.matrix("x")
    function = fresh([x], [x + 1])
    with pytest.raises(errors.TypingError):
        function("no matrix")
    assert (Lower.create_cfunc_wrapper, event.install_timer) == UNTOUCHED
    np.testing.assert_array_equal(function(np.zeros((1, 2)))[0], [[1, 1]])
