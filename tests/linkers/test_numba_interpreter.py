"""Programs under Numba: memory that operations share, and that they let go of in time."""

import subprocess
import sys
import threading

import numba
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from program_cases import X, alive, compiled, program_of, several
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_and_cache_key
from pytensor.raise_op import Assert

from theanets import Classifier
from theanets.linkers import numba_interpreter, numba_program
from theanets.linkers.numba_program import Program, Typed

pytestmark = pytest.mark.linker


@pytest.fixture(autouse=True)
def all_graphs_are_programs(monkeypatch):
    monkeypatch.setattr(numba_program, "LEAST", 1)


def test_an_error_of_an_operation_is_raised_and_the_next_call_is_fine():
    x, y = pt.matrices("x", "y")
    checked = Assert("none may be above 2")(pt.exp(y) * 2, (y <= 2).all())
    outputs = [pt.exp(x).sum(), pt.tanh(x) + 1, pt.tanh(checked.T) * 2, pt.dot(x, y.T)]
    program = program_of(compiled([x, y], outputs))
    for wrong, message in ((X * 3, "none may be above 2"), (X[:, :3], "sizes that do not fit")):
        for function in (program.whole, program):
            with pytest.raises((AssertionError, ValueError), match=message):
                function(X, wrong)
        found = program(X, X)
        np.testing.assert_allclose(found[1], np.tanh(X) + 1, rtol=1e-6)
        np.testing.assert_allclose(found[3], X @ X.T)


def test_what_an_error_leaves_behind_does_not_grow_with_what_was_there():
    """Numba leaves what the function that raises refers to, and no more is left."""
    left = []
    for count in (1, 7):
        x, y = pt.matrices("x", "y")
        there = [pt.cumsum(x + i, axis=1) for i in range(count)]
        fine = pt.and_((y <= 2).all(), sum(one.sum() for one in there) < 1e9)
        program = program_of(compiled([x, y], [*there, Assert("above 2")(pt.exp(y), fine) * 2]))
        program(X, X)
        before = alive()
        with pytest.raises(AssertionError, match="above 2") as error:
            program(X, X * 3)
        del error
        left.append(alive() - before)
    assert left[0] == left[1]


def test_memory_is_let_go_of():
    x = pt.matrix("x")
    program = program_of(compiled([x], several(x)))
    program(X.copy())
    before = alive()
    kept = [program(X.copy()) for _ in range(50)]
    assert alive() > before  # the outputs'
    expected = [array.copy() for array in kept[0]]
    for given in kept[1:]:
        for one, other in zip(given, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    del kept, given, one
    assert alive() == before


def test_outputs_may_be_inputs_or_each_other():
    x = pt.matrix("x")
    y = pt.exp(x)
    program = program_of(compiled([x], [y, y, x, x.T, y[0]]))
    before = alive()
    given = X.copy()
    found = program(given)
    np.testing.assert_array_equal(given, X)
    np.testing.assert_array_equal(found[2], X)
    for one, other in zip(found, [np.exp(X), np.exp(X), X, X.T, np.exp(X)[0]], strict=True):
        np.testing.assert_allclose(one, other)
    del found, one, given
    assert alive() == before


def test_shared_variables_are_written_where_they_are():
    value = np.zeros((3, 4))
    state, x = pytensor.shared(value, borrow=True), pt.matrix("x")
    function = compiled([x], [state.sum()], updates={state: state * 0.5 + x})
    assert isinstance(function.vm.jit_fn, Program)
    for step in range(3):
        function(X)
        assert state.get_value(borrow=True) is value
        np.testing.assert_allclose(value, X * (2 - 0.5**step))


def released(program):
    """Go through a program as it is written, and check what is read when; get how much is left."""
    written = list(program._written)
    inputs, operations, outputs, arrays, _ = written[: numba_interpreter.HEAD]
    counted = set(written[len(written) - arrays :])
    at, most = numba_interpreter.HEAD, 0
    there = set(written[at : at + inputs])
    gone, at = set(), at + inputs
    for _ in range(operations):
        _, _, places, over = written[at : at + 4]
        used, done = written[at + 4 : at + 4 + places], written[at + 4 + places :][:over]
        assert not gone & set(used)
        there |= set(used) & counted
        most = max(most, len(there))
        assert there >= set(done) and not gone & set(done) and len(set(done)) == over
        gone, there = gone | set(done), there - set(done)
        at += 4 + places + over
    given = {written[at + 3 * i] for i in range(outputs)}
    assert there == given
    assert counted == there | gone
    assert at + 3 * outputs + arrays == len(written)
    return most


def test_arrays_are_there_for_as_long_as_they_are_read():
    net = Classifier([4, (5, "tanh"), "batch_norm", (6, "relu"), 3], mode="NUMBA", rng=1)
    labels = np.arange(6) % 3
    programs = []
    make = Typed.__init__

    def watched(self, *arguments):
        make(self, *arguments)
        programs.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Typed, "__init__", watched)
        net.train([np.ones((6, 4), "float32"), labels], epochs=1, progress=False)
    assert len(programs) >= 2
    assert all(released(program) for program in programs)
    x = pt.matrix("x")
    unread = program_of(compiled([x], [pt.linalg.eigh(x @ x.T)[1]]))
    unread(X)
    (typed,) = unread._typed.values()
    assert released(typed)
    x = pt.vector("x")
    y = x
    for i in range(20):
        y = pt.cumsum(y) if i % 2 else pt.sort(y)
    chain = program_of(compiled([x], [y]))
    chain(np.ones(3))
    (typed,) = chain._typed.values()
    assert released(typed) <= 4


PEAK = """
import re
from pathlib import Path
import numpy as np, pytensor.tensor as pt
from theanets import backends
from theanets.linkers.numba_program import Program

x = pt.vector("x")
y = x
for _ in range(40):
    y = pt.cumsum(y)
function = backends.function([x], [y[:1]], mode="NUMBA", dtype="float64")
STATUS = Path("/proc/self/status")
assert isinstance(function.vm.jit_fn, Program)
function(np.zeros(1))
def peak():  # of this process: what `resource` says is that of its parent at times
    return int(re.search("VmHWM:\\s*(\\d+) kB", STATUS.read_text())[1]) / 1024

before = peak()
function(np.zeros(2**20))  # each of the arrays has 8 MB
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no peak to ask for")
def test_memory_is_not_held_until_the_end():
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 100


class Calling(Op):
    """Calls something, and gives what it takes."""

    __props__ = ()
    called = staticmethod(lambda: None)

    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = inputs[0].copy()


def call():
    Calling.called()


@pytest.mark.filterwarnings("ignore:.*lifted code")
def test_a_program_may_be_called_while_it_runs():
    @register_funcify_and_cache_key(Calling)
    def funcify(op, node, **kwargs):
        @numba_njit
        def calling(x):
            with numba.objmode():
                call()
            return x.copy()

        return calling, "calling"

    x = pt.matrix("x")
    program = program_of(compiled([x], [pt.tanh(Calling()(pt.exp(x)) - pt.exp(x) * 2)]))
    found = []

    def again():
        Calling.called = staticmethod(lambda: None)
        found.extend(program(X * 2))

    for _ in range(3):
        Calling.called = staticmethod(again)
        found.extend(program(X))
    for i, array in enumerate(found):
        np.testing.assert_allclose(array, np.tanh(-np.exp(X if i % 2 else X * 2)), rtol=1e-6)
    assert len(found) == 6


def test_threads_may_call_one_program():
    x = pt.matrix("x")
    program = program_of(compiled([x], [pt.tanh(x) @ x.T, x.sum()]))
    failures = []

    def call(i):
        given = X * i
        for _ in range(200):
            found = program(given)
            if not np.allclose(found[0], np.tanh(given) @ given.T) or not np.isclose(
                found[1], given.sum()
            ):
                failures.append(i)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
