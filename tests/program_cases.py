"""Graphs that are programs, and what Numba holds."""

import gc

import numpy as np
import pytensor.tensor as pt
from numba.core.runtime import _nrt_python, rtsys

from theanets import backends
from theanets.linkers.numba_program import Program

X = np.linspace(-1, 1, 12).reshape(3, 4)


def compiled(inputs, outputs, **options):
    options = {"mode": "NUMBA", "dtype": "float64", **options}
    return backends.function(inputs, outputs, **options)


def program_of(function):
    program = function.vm.jit_fn
    assert isinstance(program, Program)
    return program


def alive():
    """Count the memory that Numba holds for arrays."""
    _nrt_python.memsys_enable_stats()
    gc.collect()
    stats = rtsys.get_allocation_stats()
    return stats.mi_alloc - stats.mi_free


def several(x):
    """Get expressions with views, constants, numbers, several outputs, and other types."""
    values, indices = pt.max_and_argmax(pt.tanh(x) * np.arange(4.0), axis=1)
    rows = pt.concatenate([x[1:], x[:1] ** 2], axis=0)
    flat = (rows.T.reshape((-1,)) + 0.5).cumsum()
    return [
        pt.exp(x).sum(axis=0),
        values,
        indices,
        rows,
        flat[::2],
        x.shape[0] * 2,
        (x > 0).any(),
        pt.switch(x > 0, x, 7).astype("float32"),
        x.astype("complex128") * 1j,
        pt.dot(x, x.T),
        x[:, None, :].sum(axis=2),
    ]
