"""The table of linkers: who serves which of PyTensor's, and that nobody else asks."""

import ast
import importlib.util
from pathlib import Path

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode, get_mode, predefined_linkers
from pytensor.link.numba.linker import NumbaLinker
from pytensor.link.vm import VMLinker

import theanets
from theanets import backends, linkers
from theanets.linkers import base, c, jax, numba, pytorch

ROOT = Path(theanets.__file__).parent
#: What tells PyTensor's linkers apart.
TELLING = ("NumbaLinker", "JAXLinker", "PytorchLinker", "MLXLinker", "VMLinker", "CLinker")
TELLING += ("JITLinker", "PerformLinker", "c_thunks")


@pytest.mark.parametrize(
    "name, kind",
    [
        ("numba", numba.Numba), ("jax", jax.JAX), ("pytorch", pytorch.PyTorch),
        ("mlx", base.Compiled), ("py", base.Linker), ("c", c.C), ("c|py", c.C),
    ],
)  # fmt: skip
def test_who_serves(name, kind):
    found = linkers.find(predefined_linkers[name])
    assert type(found) is kind
    assert any(found is row for row in linkers.LINKERS)


@pytest.mark.parametrize("loop", [False, True])
def test_who_serves_a_machine_that_may_have_c(loop):
    assert type(linkers.find(VMLinker(use_cloop=loop, c_thunks=True))) is c.C
    assert type(linkers.find(VMLinker(use_cloop=False, c_thunks=False))) is base.Linker


def test_modes_find_themselves():
    modes = [row.mode for row in linkers.LINKERS if row.mode]
    assert modes == ["NUMBA", "CVM", "JAX", "PYTORCH", "FAST_COMPILE"]
    for row in linkers.LINKERS:
        if row.mode and (row.mode != "CVM" or pytensor.config.cxx):
            assert backends.linker(row.mode) is row


def test_a_derived_linker_is_served():
    class Derived(NumbaLinker):
        pass

    assert type(linkers.find(Derived())) is numba.Numba


def test_modes_by_what_their_linkers_do():
    assert linkers.modes("keeps_on_disk") == "'NUMBA' or 'CVM'"
    assert linkers.modes("takes_sparse") == "'NUMBA', 'CVM' or 'FAST_COMPILE'"
    assert linkers.modes("compiles_by_shape") == "'JAX'"
    assert [backends.compiles_by_shape(mode) for mode in ("JAX", "NUMBA")] == [True, False]


@pytest.mark.parametrize("place", ["theanets", "benchmarks", "docs"])
def test_nobody_else_asks(place):
    found = []
    for path in sorted((ROOT.parent / place).rglob("*.py")):
        if ROOT / "linkers" in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            # Names, attributes, what is imported, and strings that are compared.
            words = [getattr(node, part, None) for part in ("id", "attr", "name", "value")]
            found += [f"{path}: {word}" for word in words if word in TELLING]
    assert not found, "\n".join(found)


def test_all_forms_are_named():
    """A form that no linker names would be known to no function of others."""
    for row in linkers.LINKERS:
        if row.dispatch:
            # What Numba is told of, each class of Ops says itself.
            words = {"jax": "jax", "pytorch": "torch", "numba": "numba"}
            part = words[row.dispatch.split(".")[2]]
            there = {
                ".".join(path.relative_to(ROOT).with_suffix("").parts)
                for path in (ROOT / "ops").rglob("*.py")
                if f"{part}_funcify.register" in path.read_text(encoding="utf-8")
            }
            # What draws are in a function of ours, only those know.
            assert there - set(row.forms) <= {"ops.draws.by_jax"}
            for name in row.forms:
                assert importlib.util.find_spec(f"theanets.{name}"), name


class Counting(VMLinker):
    """A linker of somebody else's."""


def test_a_linker_is_a_class_and_a_row(monkeypatch, rng):
    class Wrapped:
        def __init__(self, function):
            self.function = function

        def __call__(self, *arguments):
            done.append("called")
            return self.function(*arguments)

        def __getattr__(self, name):
            return getattr(self.__dict__["function"], name)

    class Counted(linkers.Linker):
        mode = "COUNTING"
        kinds = (Counting,)
        takes_sparse = False

        def rewritten(self, mode):
            done.append("rewritten")
            return mode.excluding("fusion")

        def compile(self, make, inputs, outputs, updates):
            return Wrapped(super().compile(make, inputs, outputs, updates))

    done = []
    monkeypatch.setattr(linkers, "LINKERS", (Counted(), *linkers.LINKERS))
    mode = Mode(linker=Counting(use_cloop=False, c_thunks=False), optimizer="fast_compile")
    net = theanets.Regressor([3, 2], mode=mode, rng=1)
    x = rng.normal(size=(4, 3))
    twin = theanets.Regressor([3, 2], mode="FAST_COMPILE", rng=1)
    np.testing.assert_allclose(net.predict(x), twin.predict(x), rtol=1e-6)
    net.train([x, x[:, :2]], epochs=1, progress=False)
    assert done[:2] == ["rewritten", "called"] and done.count("called") > 2
    sparse = theanets.Regressor([dict(size=3, sparse=True), 2], mode=mode)
    with pytest.raises(theanets.ConfigurationError, match="Counting cannot compile"):
        import scipy.sparse

        sparse.predict(scipy.sparse.csr_array(x))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(linkers.Compiled, "package", "no_such_package")
    x = pt.vector("x")
    with pytest.raises(ImportError, match=r"needs no_such_package.*pip install no_such_package"):
        backends.function([x], x + 1, mode=get_mode("MLX"))


def test_a_damaged_file_of_the_c_linker_is_named():
    damaged = f"{pytensor.config.compiledir}/tmp1/m2.so: file too short"
    with (
        pytest.raises(theanets.FileError, match=r"m2\.so: file too short.*delete the directory"),
        c.C().compiling(),
    ):
        raise ImportError(damaged + "\n\nHINT")
    with pytest.raises(ImportError, match="no_such"), c.C().compiling():
        import no_such_module  # noqa: F401
