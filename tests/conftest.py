"""What all tests share: the linker they run on, hypothesis profiles, random numbers."""

import gc
import os
import sys
from collections.abc import Iterator
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("KERAS_BACKEND", "torch" if find_spec("torch") else "jax")
# What Numba compiles is tried for what it computes, not for its speed: most of LLVM's
# optimizations are left out, which take four tenths of the time.
os.environ.setdefault("NUMBA_OPT", "1")
# And of what JAX compiles, which is the same compiler's work.
os.environ["XLA_FLAGS"] = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    + os.environ.get("XLA_FLAGS", "")
).strip()
# And so is what the C compiler makes: optimizations and what debuggers need take more than half of
# its time. Flags are in the keys of PyTensor's cache, so that no program gets what tests compiled.
os.environ["PYTENSOR_FLAGS"] = "gcc__cxxflags=-O0 -g0," + os.environ.get("PYTENSOR_FLAGS", "")

import numpy as np
import pytensor
import pytest
from hypothesis import settings
from pytensor.compile.mode import Mode, predefined_modes

import theanets
from theanets.structure import builds


class _Modules(FileFinder):
    """Finds modules in the folder of tests, but no folders as packages.

    Else a folder of tests of ``dask`` would be Dask to xarray where Dask is not installed.
    """

    def find_spec(self, fullname: str, target: Any = None) -> ModuleSpec | None:
        found = super().find_spec(fullname, target)
        return found if found is not None and found.loader is not None else None


_TESTS = os.path.dirname(os.path.abspath(__file__))
sys.path_importer_cache[_TESTS] = _Modules(_TESTS, (SourceFileLoader, SOURCE_SUFFIXES))

# No deadline: the first example of a property may compile. In CI the examples
# do not change from run to run.
settings.register_profile("theanets", deadline=None)
settings.register_profile("theanets-ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("theanets-ci" if os.environ.get("CI") else "theanets")


#: What tests take for FAST_COMPILE: graphs are computed as they are built, with nothing rewritten,
#: which takes four tenths of the time. Those marked `rewritten` do not, nor does any with the
#: option ``--rewritten``.
AS_BUILT = {"FAST_COMPILE": Mode(linker="py", optimizer="merge")}
#: Folders whose tests are all of what is rewritten.
REWRITTEN = {"linkers", "ops"}

#: Where the fresh seeds of the networks of each test start.
SEED = 13


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewritten",
        action="store_true",
        help="let FAST_COMPILE rewrite graphs in all tests, as for users; takes twice as long",
    )


def pytest_collection_finish() -> None:
    """Let fewer collections of garbage look through fewer objects: most of these stay."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run a test with the same seeds each time, and on a linker that compiles nothing.

    But those marked ``linker``. A hook and not a fixture, so that it holds for
    fixtures of a wider scope too. No test has what another one compiled.
    """
    theanets.set_seed(SEED)
    builds.clear()
    if item.get_closest_marker("linker"):
        return (yield)
    rewritten = (
        item.path.parent.name in REWRITTEN
        or item.get_closest_marker("rewritten") is not None
        or item.config.getoption("rewritten")
    )
    modes = {} if rewritten else AS_BUILT
    # Nor is it noted for each node where in the program it was made.
    flags = {"mode": "FAST_COMPILE", "traceback__limit": 0}
    with pytensor.config.change_flags(**flags), patch.dict(predefined_modes, modes):
        return (yield)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
