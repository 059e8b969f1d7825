"""The linkers that tests run on, from the table of them."""

import importlib.util

import pytest

from theanets.linkers import LINKERS, Linker

#: Those whose functions are kept on the disk, so that tests of any kind may be run on each.
COMPILED = [row.mode for row in LINKERS if row.mode and row.keeps_on_disk]


def _param(row: Linker):
    there = not row.package or importlib.util.find_spec(row.package) is not None
    marks = [pytest.mark.skipif(not there, reason=f"needs {row.package}")]
    if row.compiles_by_shape:
        # Sums of float32 in double precision, which JAX does not have here.
        marks.append(pytest.mark.filterwarnings("ignore:Explicitly requested dtype"))
    return pytest.param(row.mode, marks=marks)


#: Those that have forms of our operations; the C linker calls what NumPy does, as without
#: compilation. PyTorch's has a file of tests.
FORMED = [_param(row) for row in LINKERS if row.forms and row.mode != "PYTORCH"]

#: All of them but that which compiles nothing, and PyTorch's, which has a file of tests.
EVERY = [_param(row) for row in LINKERS if row.mode not in ("", "FAST_COMPILE", "PYTORCH")]
