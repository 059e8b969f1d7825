"""The direction of imports, and what only one module may do, read from the source."""

import ast
import graphlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from package_source import Package, dotted

PACKAGE = Path(__file__).resolve().parents[1] / "theanets"

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
        "interruption",
        "history",
        "versions",
    },
    {"spec", "rng", "init", "activations", "ops", "linkers", "backends", "expressions", "outputs"},
    {"layers", "losses", "regularizers"},
    {"graph", "series_lengths"},
    {"data", "optimizers", "monitors", "objective", "metrics"},
    {"checkpoint", "callbacks"},
    {"structure", "copies", "saving", "drawing"},
    {"profiling", "training", "prediction", "pretraining", "runs"},
    {"network"},
    {"feedforward", "recurrent", "convolution"},
    {"sklearn", "bayes", "plot", "cli", "precompile", "experiment", "util", "compat", "main"}
    | {"trainer", "original"}
    | {"__init__", "__main__"},
]
RANK = {name: rank for rank, names in enumerate(RANKS) for name in names}

# Reading these executes what the file says.
UNPICKLERS = {
    f"{module}.{function}"
    for module in ("pickle", "cPickle", "_pickle", "cloudpickle", "dill")
    for function in ("load", "loads", "Unpickler")
} | {"joblib.load"}


def top(module: str) -> str:
    return module.partition(".")[0]


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


def compilations(package: Package) -> list[str]:
    """Find where ``pytensor.function`` is used outside ``backends``."""
    return [
        f"{module}, line {node.lineno}: {name}"
        for module in package.trees
        if top(module) != "backends"
        for name, node in package.uses(module)
        if name.startswith("pytensor.") and name.endswith(".function")
    ]


def unpickling(package: Package) -> list[str]:
    """Find what reads a pickle, ``numpy.load`` with ``allow_pickle`` included.

    Only ``original.pickles`` may, for which everything in a pickle is a stand-in.
    """
    found = []
    for module, tree in package.trees.items():
        if module == "original.pickles":
            continue
        for name, node in package.uses(module):
            if name in UNPICKLERS:
                found.append(f"{module}, line {node.lineno}: {name}")
        for node in ast.walk(tree):
            for keyword in getattr(node, "keywords", []):
                allowed = isinstance(keyword.value, ast.Constant) and not keyword.value.value
                if keyword.arg == "allow_pickle" and not allowed:
                    found.append(f"{module}, line {node.lineno}: allow_pickle")
    return found


#: What has no underscore in PyTensor, and is documented nowhere.
INTERNAL = ("numba_funcify_ensure_cache", "numba_funcify_and_cache_key", "CACHED_SRC_FUNCTIONS")


def private_names(package: Package) -> list[str]:
    """Find where private names of PyTensor are used outside ``versions``."""
    found = []
    for module in package.trees:
        if module == "versions":
            continue
        named = [(name, 0) for name in package.bindings(module).values()]
        named += [(name, node.lineno) for name, node in package.uses(module)]
        for name, line in named:
            first, *parts = name.split(".")
            hidden = [p for p in parts if p in INTERNAL or (p[0] == "_" and p[:2] != "__")]
            if first == "pytensor" and hidden:
                found.append(f"{module}, line {line}: {name}")
    return found


def run_at_import(statements: list[ast.stmt]) -> Iterator[ast.AST]:
    """Generate the nodes that run when the module is imported: not the bodies of functions."""
    stack: list[ast.AST] = list(statements)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            stack.extend(ast.iter_child_nodes(node))


def settings_at_import(package: Package) -> list[str]:
    """Find where importing a module changes PyTensor's configuration."""
    found = []
    for module, tree in package.trees.items():
        for node in run_at_import(tree.body):
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, ast.AugAssign | ast.AnnAssign):
                targets = [node.target]
            elif isinstance(node, ast.Call) and dotted(node.func) == "setattr":
                # As if it were an assignment to an attribute of the first argument.
                targets = [ast.Attribute(value=node.args[0], attr="?", lineno=node.lineno)]
            else:
                continue
            for target in targets:
                found += [
                    f"{module}, line {node.lineno}: {name}"
                    for name, _ in package.uses(module, target)
                    if name.startswith("pytensor.config.")
                    or name.startswith("pytensor.configdefaults.config.")
                ]
    return found


#: Lines of a module, docstrings and all; a longer one is split by topic.
MOST_LINES = 400


def too_long(package: Package) -> list[str]:
    found = []
    for path in sorted(package.root.rglob("*.py")):
        count = len(path.read_text(encoding="utf-8").splitlines())
        if count > MOST_LINES:
            found.append(f"{path.relative_to(package.root)}: {count} lines")
    return found


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


def test_only_backends_compiles(theanets):
    found = compilations(theanets)
    assert not found, "\n".join(found)


def test_what_is_private_in_pytensor_is_asked_for_in_one_place(theanets):
    found = private_names(theanets)
    assert not found, "\n".join(found)


def test_nothing_is_unpickled(theanets):
    found = unpickling(theanets)
    assert not found, "\n".join(found)


def test_no_module_is_longer_than_one_reads(theanets):
    found = too_long(theanets)
    assert not found, "\n".join(found)


def test_importing_leaves_the_configuration_alone(theanets):
    found = settings_at_import(theanets)
    assert not found, "\n".join(found)


# The checks themselves, on packages that break the rules and on some that do not.


@pytest.fixture
def make(tmp_path):
    def make(**sources: str) -> Package:
        root = tmp_path / "theanets"
        for name, source in {"__init__": "", **sources}.items():
            path = root.joinpath(*name.split("__in__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(source))
        return Package(root)

    return make


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


@pytest.mark.parametrize(
    "source",
    [
        "import pytensor\npytensor.function([], [])",
        "import pytensor as pt\ndef f():\n    return pt.function([], [])",
        "from pytensor import function\nfunction([], [])",
        "from pytensor import function as compiled\ncompiled([], [])",
        "import pytensor\ncompiled = pytensor.compile.function",
        "from pytensor.compile.function import function\nfunction([], [])",
    ],
)
def test_check_compilations(make, source):
    assert len(compilations(make(graph=source))) == 1
    assert not compilations(make(graph="", backends=source))


def test_check_compilations_of_others(make):
    assert not compilations(make(graph="from .names import function\nfunction()\nx.function()"))


@pytest.mark.parametrize(
    "source",
    [
        "from pytensor.tensor import _as_tensor_variable",
        "from pytensor.tensor import _as_tensor_variable as convert",
        "import pytensor.tensor as pt\ndef f(x):\n    return pt._as_tensor_variable(x)",
        "from pytensor.graph import _inner as inner\ninner.thing",
        "from pytensor.link.numba.dispatch import basic\nbasic.numba_funcify_ensure_cache",
        "from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS",
    ],
)
def test_check_private_names(make, source):
    assert private_names(make(graph=source))
    assert not private_names(make(graph="", versions=source))


def test_check_private_names_of_others(make):
    source = "import pytensor, numpy\nfrom ._own import _mine\nnumpy._x\npytensor.__version__"
    assert not private_names(make(graph=source, _own=""))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.load(f)",
        "import pickle as p\ndef f(s):\n    return p.loads(s)",
        "from pickle import loads\nloads(s)",
        "import numpy as np\nnp.load(f, allow_pickle=True)",
        "import numpy as np\nnp.load(f, allow_pickle=allow)",
    ],
)
def test_check_unpickling(make, source):
    assert len(unpickling(make(checkpoint=source))) == 1


def test_check_unpickling_of_others(make):
    source = "import numpy as np, json, pickle\nnp.load(f, allow_pickle=False)\njson.load(f)"
    assert not unpickling(make(checkpoint=source + "\npickle.dumps(x)"))


@pytest.mark.parametrize(
    "source",
    [
        "import pytensor\npytensor.config.floatX = 'float32'",
        "from pytensor import config\nif True:\n    config.floatX = 'float32'",
        "from pytensor.configdefaults import config as c\nclass A:\n    c.mode = 'CVM'",
        "import pytensor\nsetattr(pytensor.config, 'floatX', 'float32')",
    ],
)
def test_check_settings(make, source):
    assert len(settings_at_import(make(backends=source))) == 1


def test_check_settings_of_others(make):
    source = """
        import pytensor
        from . import config
        config.floatX = 'float32'
        floatX = pytensor.config.floatX
        def f():
            with pytensor.config.change_flags(floatX='float32'):
                pass
    """
    assert not settings_at_import(make(backends=source))


def test_check_lengths(make):
    package = make(graph="x = 1\n" * 400, layers__in__base="x = 1\n" * 401)
    assert too_long(package) == ["layers/base.py: 401 lines"]


def test_importing_theanets_imports_nothing_that_is_slow():
    slow = ("scipy.sparse", "scipy.special", "scipy.optimize", "numba", "sklearn", "matplotlib")
    slow += ("pandas", "click", "jax", "torch", "IPython")
    script = f"import sys, theanets; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
