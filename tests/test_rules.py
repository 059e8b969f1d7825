"""What only one module may do, and how long files are, read from the source."""

import ast
import collections
from collections.abc import Iterator
from pathlib import Path

import pytest
from package_source import PACKAGE, Package, dotted, top, written

# Reading these executes what the file says.
UNPICKLERS = {
    f"{module}.{function}"
    for module in ("pickle", "cPickle", "_pickle", "cloudpickle", "dill")
    for function in ("load", "loads", "Unpickler")
} | {"joblib.load"}


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

    Only ``original.pickles`` may, for which everything in a pickle is a stand-in,
    ``dask.models``, of what has come by a pickle of Dask's already, and
    ``linkers.remembering``, of the compile cache, from which Numba unpickles and runs code too.
    """
    found = []
    for module, tree in package.trees.items():
        if module in ("original.pickles", "dask.models", "linkers.remembering"):
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


#: Lines of a module or a file of tests, docstrings and all; a longer one is split by topic.
MOST_LINES = 400
TESTS = Path(__file__).parent


def too_long(root: Path) -> list[str]:
    """Find the files below a folder that are longer than one reads."""
    found = []
    for path in sorted(root.rglob("*.py")):
        count = len(path.read_text(encoding="utf-8").splitlines())
        if count > MOST_LINES:
            found.append(f"{path.relative_to(root)}: {count} lines")
    return found


@pytest.fixture(scope="module")
def theanets() -> Package:
    package = Package(PACKAGE)
    assert package.trees, f"no modules in {PACKAGE}"
    return package


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
    found = too_long(theanets.root)
    assert not found, "\n".join(found)


def test_no_file_of_tests_is_longer_than_one_reads():
    found = too_long(TESTS)
    assert not found, "\n".join(found)


def test_files_of_tests_have_names_of_their_own():
    """The folders are no packages: of two files of a name, pytest would import one."""
    names = collections.Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert not [name for name, count in names.items() if count > 1]


def test_what_tests_share_is_in_no_file_of_tests():
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("test_"):
                # The table of ranks is where CONTRIBUTING leads to.
                assert node.module == "test_imports", f"{path.name} imports {node.module}"


def test_importing_leaves_the_configuration_alone(theanets):
    found = settings_at_import(theanets)
    assert not found, "\n".join(found)


# The checks themselves, on packages that break the rules and on some that do not.
@pytest.fixture
def make(tmp_path):
    return lambda **sources: written(tmp_path / "theanets", sources)


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
    assert too_long(package.root) == ["layers/base.py: 401 lines"]
