"""What all tests share: the linker they run on, hypothesis profiles, random numbers."""

import gc
import os
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("KERAS_BACKEND", "torch" if find_spec("torch") else "jax")
# Several run at once: threads of products of matrices would wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
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
# Programs that tests start compile all of the package anew where no bytecode is kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import settings
from pytensor.compile.mode import Mode, predefined_modes
from pytensor.graph.basic import Constant
from pytensor.graph.utils import Scratchpad
from pytensor.link.c.op import ExternalCOp
from pytensor.tensor import basic

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


def _build_graphs_faster() -> None:
    """Leave out of PyTensor what is done in vain, a tenth of the time in which graphs are built.

    PyTensor 3.0 reads and parses a file in C for each change of axes, and all versions get the
    attributes of tags by a method that does what Python does without it. Where they look for
    lengths that are constants, they rewrite a graph, and look again for each array that is made
    by that, and so on: half a minute for a vectorized graph of a padded convolution.
    """
    if "__getattribute__" in vars(Scratchpad):
        del Scratchpad.__getattribute__
    load, loaded = ExternalCOp.load_c_code, dict[Any, Any]()

    def load_once(op: Any, files: Any) -> None:
        key = (type(op), *files)
        if key not in loaded:
            load(op, files)
            loaded[key] = op.func_codes, op.code_sections
        op.func_codes, op.code_sections = loaded[key]

    ExternalCOp.load_c_code = load_once
    search, searching = basic.infer_static_shape, threading.local()

    def search_once(shape: Any) -> Any:
        if not getattr(searching, "now", False):
            searching.now = True
            try:
                return search(shape)
            finally:
                searching.now = False
        lengths = [pt.as_tensor_variable(length, ndim=0) for length in shape]
        return lengths, tuple(n.data.item() if isinstance(n, Constant) else None for n in lengths)

    basic.infer_static_shape = search_once


_build_graphs_faster()

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
#: Folders that have every kind of piece that graphs are made of, whose tests are too with the
#: option ``--rewritten``. Elsewhere the same pieces are put together, trained and kept.
PIECES = REWRITTEN | {
    "activations",
    "attention",
    "bayes",
    "layers",
    "losses",
    "optimizers",
    "recurrent",
    "regularizers",
}

#: Where the fresh seeds of the networks of each test start.
SEED = 13


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewritten",
        nargs="?",
        const="pieces",
        choices=("pieces", "all"),
        help="let FAST_COMPILE rewrite graphs, as for users, in tests of the pieces of graphs, or "
        "in all tests; these take twice as long",
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
    asked = item.config.getoption("rewritten")
    folders = PIECES if asked == "pieces" else REWRITTEN
    rewritten = (
        item.path.parent.name in folders
        or item.get_closest_marker("rewritten") is not None
        or asked == "all"
    )
    modes = {} if rewritten else AS_BUILT
    # Nor is it noted for each node where in the program it was made. Without a C compiler, graphs
    # within graphs are not compiled either, which PyTensor 3.3 does otherwise.
    flags = {"mode": "FAST_COMPILE", "traceback__limit": 0, "cxx": ""}
    with pytensor.config.change_flags(**flags), patch.dict(predefined_modes, modes):
        return (yield)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
