"""Rewritten graphs on the disk: when they are taken, when not, and that nothing else changes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode, get_mode
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import GraphRewriter, SequentialGraphRewriter
from pytensor.link.vm import VMLinker

import theanets
from theanets import errors
from theanets.linkers import fingerprints, remembering
from theanets.linkers.numba import Numba

ROOT = Path(__file__).parents[2]


class Counting(SequentialGraphRewriter):
    """Rewrites, and counts how often."""

    times = 0

    def apply(self, fgraph):
        self.times += 1
        return super().apply(fgraph)


Counting.__module__ = "theanets.counting"  # else it is of a package that is not known


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(remembering, "_folder", lambda: tmp_path)
    return tmp_path


def counting():
    return Counting(get_mode("FAST_RUN").excluding("fusion").optimizer)


def interpreted(rewriter):
    return Mode(VMLinker(use_cloop=False, c_thunks=False), rewriter)


def mode_of(rewriter):
    return interpreted(remembering.Remembering(rewriter))


def parts(scale=2.0, dtype="float64", columns=3):
    """Get inputs, outputs and updates; much of it is computed in place."""
    x = pt.tensor("x", shape=(None, columns), dtype=dtype)
    w = pytensor.shared(np.ones((columns, 2), dtype), "w")
    y = pt.tanh(x @ w) * np.asarray(scale, dtype)
    cost = pt.sqr(y).sum()
    return [x], [cost, x, y[1:], y.T], {w: w - pytensor.grad(cost, w)}, w


def compiled(rewriter, *arguments, **keywords):
    inputs, outputs, updates, w = parts(*arguments, **keywords)
    return pytensor.function(inputs, outputs, updates=updates, mode=mode_of(rewriter)), w


def results(found, times=3):
    function, w = found
    value = np.linspace(-1, 1, 12).reshape(4, 3)
    several = [out for _ in range(times) for out in function(value.copy())]
    return [np.asarray(out).copy() for out in several] + [w.get_value()]


def test_a_graph_is_rewritten_once_and_computes_the_same(folder):
    inputs, outputs, updates, w = parts()
    inner = counting()
    plain = pytensor.function(inputs, outputs, updates=updates, mode=interpreted(inner))
    wanted, inner.times = results((plain, w)), 0
    for _ in range(3):
        found = results(compiled(inner))
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)
    assert inner.times == 1
    assert len(list(folder.iterdir())) == 1


def test_operations_in_place_are_in_order():
    """What is changed in place is read before by all that read it, in a graph from the disk too."""
    inner, orders = counting(), []
    for _ in range(2):
        x = pt.vector("x", dtype="float64")
        y = pt.exp(x)
        z = [y + 1, y * 2, pt.cumsum(y), y]
        function = pytensor.function([x], z, mode=mode_of(inner))
        orders.append([str(node.op) for node in function.maker.fgraph.toposort()])
        value = np.array([0.5, -1.0, 2.0])
        e = np.exp(value)
        for found, wanted in zip(function(value), [e + 1, e * 2, e.cumsum(), e], strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-14)
    assert inner.times == 1 and orders[0] == orders[1]


class Alone(Op):
    """Is of no package that is known."""

    __props__ = ()

    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, storage):
        storage[0][0] = inputs[0] + 1


def test_what_another_package_may_change_is_not_kept(folder):
    x = pt.vector("x", dtype="float64")
    inner = counting()
    for _ in range(2):
        np.testing.assert_array_equal(
            pytensor.function([x], Alone()(x) * 2, mode=mode_of(inner))(np.ones(2)), [4, 4]
        )
    assert inner.times == 2

    class Foreign(GraphRewriter):
        def apply(self, fgraph):
            pass

    foreign = counting()
    foreign.data.append(Foreign())
    for _ in range(2):
        results(compiled(foreign))
    assert foreign.times == 2
    assert list(folder.iterdir()) == []


def fingerprint(inputs, outputs, mutable=False, **keywords):
    with pytensor.config.change_flags(mode=Mode("py", None)):
        arguments = [pytensor.In(x, mutable=mutable) for x in inputs]
        function = pytensor.function(arguments, outputs, on_unused_input="ignore", **keywords)
    return fingerprints.of(function.maker.fgraph)


def test_what_tells_graphs_apart():
    x, y = pt.matrix("x", dtype="float64"), pt.matrix("y", dtype="float64")
    single, row = pt.matrix("x", dtype="float32"), pt.matrix("x", shape=(1, None), dtype="float64")
    tagged = x * 2
    tagged.tag.theanets_settles = True
    w = pytensor.shared(np.ones((2, 2)), "w")
    graphs = [
        ([x, y], [x + y]),
        ([x, y], [y + x]),
        ([y, x], [x - y]),
        ([x, y], [x - y]),
        ([x], [x + x]),
        ([single], [single + single]),
        ([row], [row + row]),
        ([x], [x * 2]),
        ([x], [x * 3]),
        ([x], [tagged + 1]),
        ([x], [x * 2 + 1]),
        ([x], [x[1:]]),
        ([x], [x[2:]]),
        ([x], [x.sum(axis=0)]),
        ([x], [x.sum(axis=1)]),
        ([x], [x.sum(axis=0), x.sum(axis=1)]),
        ([x], [x.sum(axis=0, dtype="float32")]),
        ([x], [pt.eq(x, 1).astype("int8")]),
        ([x], [pt.eq(x, 1).astype("int16")]),
        ([x], [x * np.array([1.0, 2.0])]),
        ([x], [x * np.array([1.0, 2.5])]),
        ([x], [x * w]),
    ]
    found = [fingerprint(*graph) for graph in graphs]
    found.append(fingerprint([x], [x * w], updates={w: w + 1}))
    found.append(fingerprint([x], [x * 2], mutable=True))
    assert len(set(found)) == len(found)
    a, b = pt.matrix("a", dtype="float64"), pt.matrix("b", dtype="float64")
    assert fingerprint([a, b], [a + b]) == found[0]  # whatever names there are


@pytest.mark.parametrize("what", ["packages", "flags"])
def test_other_files_of_packages_and_other_flags_are_others(what, monkeypatch):
    inner = counting()
    results(compiled(inner))
    if what == "packages":
        monkeypatch.setattr(remembering, "_files", lambda package: "of another version")
        remembering._rewriters.clear()
        results(compiled(inner))
    else:
        with pytensor.config.change_flags(cast_policy="numpy+floatX"):
            results(compiled(inner))
    assert inner.times == 2


def test_packages_are_told_by_all_of_their_files(tmp_path, monkeypatch):
    class Package:
        __file__ = str(tmp_path / "__init__.py")

    (tmp_path / "inner").mkdir()
    for name in ("__init__.py", "inner/module.py"):
        (tmp_path / name).write_text("a = 1\n")
    monkeypatch.setitem(sys.modules, "package", Package())
    found = [remembering._files.__wrapped__("package")]
    (tmp_path / "inner/module.py").write_text("a = 22\n")
    found.append(remembering._files.__wrapped__("package"))
    (tmp_path / "inner/another.py").write_text("")
    found.append(remembering._files.__wrapped__("package"))
    assert len(set(found)) == 3


class Another(Counting):
    """As of a package that is not known."""


Another.__module__ = "another.package"


@pytest.mark.parametrize("known", [False, True])
def test_what_packages_rewrite_is_kept_if_their_files_are_known(known, folder, monkeypatch):
    if known:
        monkeypatch.setattr(remembering, "REWRITERS", {*remembering.REWRITERS, "another"})
        monkeypatch.setattr(remembering, "_files", lambda package: package)
    inner = Another(get_mode("FAST_RUN").excluding("fusion").optimizer)
    for _ in range(2):
        results(compiled(inner))
    assert inner.times == (1 if known else 2)
    assert len(list(folder.iterdir())) == known


@pytest.mark.parametrize(
    "damaged",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
        lambda data: data + b"more",
    ],
)
def test_a_damaged_file_is_as_none_and_is_replaced(folder, damaged):
    inner = counting()
    wanted = results(compiled(inner))
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damaged(whole))
    for _ in range(2):
        for one, other in zip(results(compiled(inner)), wanted, strict=True):
            np.testing.assert_array_equal(one, other)
    assert inner.times == 2
    assert file.read_bytes() == whole


def test_where_nothing_can_be_written_graphs_are_rewritten(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setattr(remembering, "_folder", lambda: tmp_path / "file")
    inner = counting()
    for _ in range(2):
        results(compiled(inner))
    assert inner.times == 2


def test_a_full_disk_is_no_error(monkeypatch):
    def full(path, data):
        raise errors.FileError("no space left")

    monkeypatch.setattr(remembering.atomic, "write", full)
    results(compiled(counting()))


SCRIPT = """
import os, sys
from pathlib import Path
from typing import NamedTuple
sys.path.insert(0, {tests!r})
from theanets.linkers import remembering
remembering._folder = lambda: Path({folder!r})
{before}
import test_remembering as test
inner = test.counting()
print(sum(float(x.sum()) for x in test.results(test.compiled(inner))), inner.times)
"""


def process(folder, before="", **environment):
    script = SCRIPT.format(tests=str(Path(__file__).parent), folder=str(folder), before=before)
    path = os.pathsep.join([str(ROOT), *sys.path])
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_processes_find_what_others_made(folder):
    found = [process(folder, PYTHONHASHSEED=str(seed)) for seed in range(3)]
    assert [one.returncode for one in found] == [0] * 3, found[0].stderr
    sums, times = zip(*(one.stdout.split() for one in found), strict=True)
    assert len({*sums}) == 1 and times == ("1", "0", "0")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_who_is_killed_while_writing_leaves_nothing_damaged(folder, call):
    killed = process(folder, f"os.{call} = lambda *args: os.kill(os.getpid(), {signal.SIGKILL:d})")
    assert killed.returncode == -signal.SIGKILL
    assert list(folder.glob("theanets-graph-*")) == []
    found = [process(folder).stdout.split()[1] for _ in range(2)]
    assert found == ["1", "0"]
    assert len(list(folder.iterdir())) == 1  # what the one that was killed left is gone


@pytest.mark.linker
def test_networks_are_trained_to_the_same_bits(folder, rng, monkeypatch):
    x = rng.normal(size=(12, 5)).astype("float32")
    y = rng.integers(0, 3, 12)
    found = []
    for kept in (True, True, False):
        if not kept:
            monkeypatch.setattr(Numba, "remembered", lambda self, mode: mode)
        theanets.structure.builds.clear()
        net = theanets.Classifier([5, (4, "tanh"), 3], rng=3, mode="NUMBA")
        net.train([x, y], [x, y], epochs=2, batch_size=4, hidden_dropout=0.2)
        found.append([param.get_value() for param in net.params])
        files = sorted(folder.glob("theanets-graph-*"))
        assert len(files) == 2  # a step, and a validation
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
