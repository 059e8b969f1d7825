"""The direction of imports, read from the source."""

import graphlib
import subprocess
import sys

import pytest
from package_source import PACKAGE, Package, top, written

# A module may import from lower ranks, and from its own rank where that makes no
# cycle. A package counts as a whole, by its name.
RANKS = [
    {
        "earlier",
        "errors",
        "options",
        "registry",
        "names",
        "markup",
        "locks",
        "atomic",
        "process",
        "memory",
        "interruption",
        "history",
        "versions",
    },
    {"spec", "rng", "init", "activations", "ops", "linkers", "backends", "expressions", "outputs"}
    | {"derivatives", "rows"},
    {"layers", "losses", "regularizers"},
    {"graph", "series_lengths"},
    {"data", "optimizers", "monitors", "objective", "costs", "metrics"},
    {"checkpoint", "callbacks"},
    {"structure", "copies", "saving", "drawing"},
    {"profiling", "training", "prediction", "predictor", "pretraining", "runs", "spmd", "export"},
    {"network", "minimization"},
    {"feedforward", "recurrent", "convolution"},
    {
        "sklearn",
        "dask",
        "bayes",
        "calibration",
        "plot",
        "cli",
        "precompile",
        "experiment",
        "util",
        "compat",
        "main",
    }
    | {"trainer", "original", "interop", "models", "mpi"}
    | {"__init__", "__main__"},
]
RANK = {name: rank for rank, names in enumerate(RANKS) for name in names}


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """Find a cycle: ``['a', 'b', 'a']``, or an empty list."""
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))
    return []


def unplaced(package: Package) -> list[str]:
    return sorted({top(module) for module in package.trees} - RANK.keys())


def upward_imports(package: Package) -> list[str]:
    found = []
    for module in package.trees:
        for target, line in package.imports(module):
            mine, other = RANK.get(top(module)), RANK.get(top(target))
            if mine is not None and other is not None and other > mine:
                found.append(
                    f"{module} (rank {mine}), line {line}, imports {target} (rank {other})"
                )
    return found


def import_cycles(package: Package) -> list[str]:
    """Find a cycle among the modules and one among the packages, each as ``'a -> b -> a'``."""
    modules = {m: {target for target, _ in package.imports(m)} for m in package.trees}
    wholes: dict[str, set[str]] = {}
    for module, targets in modules.items():
        wholes.setdefault(top(module), set()).update({top(t) for t in targets} - {top(module)})
    return [" -> ".join(found) for found in (cycle(modules), cycle(wholes)) if found]


@pytest.fixture(scope="module")
def theanets() -> Package:
    package = Package(PACKAGE)
    assert package.trees, f"no modules in {PACKAGE}"
    return package


def test_every_module_has_a_rank(theanets):
    names = unplaced(theanets)
    assert not names, f"place {names} in RANKS of {__file__}: what may it import, who imports it?"


def test_imports_point_downwards(theanets):
    found = upward_imports(theanets)
    assert not found, "\n".join(found)


def test_no_import_cycles(theanets):
    found = import_cycles(theanets)
    assert not found, "\n".join(found)


# The checks themselves, on packages that break the rules and on some that do not.
@pytest.fixture
def make(tmp_path):
    return lambda **sources: written(tmp_path / "theanets", sources)


def test_check_ranks(make):
    assert unplaced(make(graph="", novelty="")) == ["novelty"]


@pytest.mark.parametrize(
    "source",
    [
        "from .network import Network",
        "from . import network",
        "from theanets import network",
        "import theanets.network",
        "import theanets.network as n",
        "from theanets.network import Network",
        "from . import Network",
        "import theanets",
        "def f():\n    from .network import Network",
        "def f():\n    process.lazily('theanets.network').f()",
        "network = Later('theanets.network')",
        "if TYPE_CHECKING:\n    pass\nelse:\n    from .network import Network",
    ],
)
def test_check_upward(make, source):
    (found,) = upward_imports(make(graph=source, network=""))
    assert found.startswith("graph (rank 3), line ")


@pytest.mark.parametrize("source", ["from ..graph import g", "from .. import graph"])
@pytest.mark.parametrize("module", ["layers__in__base", "layers__in____init__"])
def test_check_upward_from_a_package(make, module, source):
    package = make(graph="", **{"layers__in____init__": "", module: source})
    (found,) = upward_imports(package)
    assert "imports graph (rank 3)" in found


def test_check_downward(make):
    package = make(
        graph="""
            from . import errors
            from .layers import Layer
            import numpy, pytensor.graph
            if TYPE_CHECKING:
                from .network import Network
            """,
        network="from .graph import Graph",
        errors="",
        layers__in____init__="from .base import Layer\nfrom ..errors import Error",
        layers__in__base="from ..spec import Spec",
        spec="",
        __init__="from .graph import Graph",
    )
    assert not upward_imports(package)
    assert not import_cycles(package)
    assert set(package.imports("layers")) == {("layers.base", 1), ("errors", 2)}


@pytest.mark.parametrize(
    "modules",
    [
        {"data": "from .monitors import m", "monitors": "def f():\n    from .data import d"},
        {
            "layers__in____init__": "from .base import Layer",
            "layers__in__base": "from . import Layer",
        },
        {"layers__in__a": "from .b import x", "layers__in__b": "from .a import x"},
        # No cycle of modules, but one of packages.
        {
            "layers__in__a": "from ..losses.a import x",
            "losses__in__a": "",
            "losses__in__b": "from ..layers.b import x",
            "layers__in__b": "",
        },
    ],
)
def test_check_cycles(make, modules):
    (found, *_) = import_cycles(make(**modules))
    first, *_, last = found.split(" -> ")
    assert first == last


def test_importing_theanets_imports_nothing_that_is_slow():
    slow = ("scipy.sparse", "scipy.special", "scipy.optimize", "numba", "sklearn", "matplotlib")
    slow += ("pandas", "click", "jax", "torch", "IPython", "dask", "distributed")
    script = f"import sys, theanets; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
