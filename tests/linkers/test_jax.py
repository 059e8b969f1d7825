"""JAX computes the same as NumPy: our operations one by one, and networks of them."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from recurrent_cases import CELLS, Case, close

import theanets
from theanets.ops.sequences import ctc
from theanets.ops.sequences.chain import ForwardBackward, PathCounts, Tangent, Viterbi
from theanets.ops.sequences.ctc import Alignments

pytest.importorskip("jax")

from theanets.linkers import jax_function  # noqa: F401

pytestmark = pytest.mark.linker


@pytest.fixture(autouse=True)
def _no_c_compiler():
    """Let nothing compile C, as PyTensor's scan does where nothing else is compiled."""
    with pytensor.config.change_flags(cxx=""):
        yield


# Activations are operations of a step, each of which is tried by itself (tests/ops/test_formulas).
@pytest.mark.parametrize("cell", [c for c in CELLS if c not in ("relu", "minmax", "elu+sigmoid")])
def test_recurrences(cell):
    case = Case(cell)
    reverse = cell in ("lstm", "clock", "mrnn")
    for options in (dict(reverse=reverse), dict(reverse=not reverse, limit=2)):
        expected = case.run(*case.fast(**options), mode="FAST_COMPILE")
        found = case.run(*case.fast(**options), mode="JAX")
        close([np.asarray(a) for a in found], expected, 1e-11)


@pytest.mark.parametrize("steps, lengths", [(1, (1, 0)), (0, (0, 0)), (3, ())])
def test_short_recurrences(steps, lengths):
    case = Case("lstm", steps=steps, lengths=lengths)
    if len(lengths) == 0:
        case.arguments[1] = case.arguments[1].astype("int64")
    expected = case.run(*case.fast(), mode="FAST_COMPILE")
    close([np.asarray(a) for a in case.run(*case.fast(), mode="JAX")], expected, 1e-11)


def test_a_recurrence_of_which_only_the_output_has_a_gradient():
    case = Case("lstm")
    expected = case.run(*case.fast(), names=["out"], ends=False, mode="FAST_COMPILE")
    found = case.run(*case.fast(), names=["out"], ends=False, mode="JAX")
    close([np.asarray(a) for a in found], expected, 1e-11)


def compare(op, arguments, tolerance=1e-9):
    """Compare the function for JAX with ``perform``, also compiled."""
    inputs = [pt.as_tensor(a).type() for a in arguments]
    outputs = op(*inputs, return_list=True)
    expected = pytensor.function(inputs, outputs, mode="FAST_COMPILE")(*arguments)
    found = pytensor.function(inputs, outputs, mode="JAX")(*arguments)
    close([np.asarray(a) for a in found], expected, tolerance)
    return expected


MASKS = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]], bool)


@pytest.mark.parametrize("forbidden", [False, True])
def test_chains(forbidden, rng):
    unary, transition = rng.normal(size=(5, 4, 3)), rng.normal(size=(4, 4))
    if forbidden:
        unary[0, 1, 2] = transition[1, 0] = transition[3, 1] = -np.inf
        unary[1, 0] = -np.inf
    compare(ForwardBackward(), [unary, transition, MASKS])
    directions = [rng.normal(size=(5, 4, 3)), rng.normal(size=(5, 4, 4))]
    compare(Tangent(), [unary, transition, MASKS, *directions])
    compare(Viterbi(), [unary, transition, MASKS])
    labels = rng.integers(3, size=(5, 4)).astype("int32")
    compare(PathCounts(), [labels, transition, MASKS])


def test_chains_of_equal_scores(rng):
    compare(Viterbi(), [np.zeros((5, 4, 3)), np.zeros((4, 4)), MASKS])
    scores = rng.integers(2, size=(5, 4, 3)).astype(float)
    compare(Viterbi(), [scores, np.zeros((4, 4)), MASKS])


@pytest.mark.parametrize(
    "blank, labels", [(3, [[1, 1], [0, 2], [-1, 2], [2, 1], [-1, -1]]), (4, [[]] * 5)]
)
def test_alignments(blank, labels, rng):
    scores = rng.normal(size=(5, 4, 5))
    scores[0, 2, 1] = -np.inf
    labels = np.array(labels, "int32").reshape(5, -1)
    total, _ = compare(Alignments(blank), [scores, labels, MASKS])
    assert labels.size == 0 or np.isinf(total).any()
    compare(Alignments(blank), [1e30 * scores[1:], labels[1:], MASKS[1:]])
    direction = rng.normal(size=scores.shape)
    for factor in (1, 1e30):
        compare(ctc.Tangent(blank), [factor * scores, labels, MASKS, direction])


def same(make, data):
    """Train with JAX and without compilation, and compare parameters and predictions."""
    nets = []
    for mode in ("JAX", "FAST_COMPILE"):
        net = make(mode)
        # The last batch is smaller.
        net.train(data, algo="rmsprop", learning_rate=0.01, epochs=2, batch_size=4)
        nets.append(net)
    for ours, theirs in zip(*(net.params for net in nets)):
        np.testing.assert_allclose(ours.get_value(), theirs.get_value(), rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(*(net.predict(data[0]) for net in nets), atol=1e-4)
    losses = [net.evaluate(data)["loss"] for net in nets]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


X = np.random.default_rng(0).normal(size=(7, 5, 3)).astype("float32")
LABELS = np.random.default_rng(1).integers(4, size=(7, 5))
WEIGHTS = (np.arange(5) < np.array([5, 3, 1, 4, 5, 2, 2])[:, None]).astype("float32")

NETS = {
    "both": [3, dict(form="bidirectional", size=4, worker="gru"), 4],
    "rows": [3, dict(form="rnn", size=4, activation="norm:z"), (4, "rnn", "softmax"), 4],
    "scan": [3, dict(form="rnn", size=4, activation=lambda x: pt.tanh(x[:, ::-1])), 4],
    "crf": [3, (4, "rnn"), dict(form="crf", size=4)],
}


@pytest.mark.parametrize("name", ["both", "crf"])
def test_networks(name):
    def make(mode):
        return theanets.recurrent.Classifier(NETS[name], weighted=True, rng=3, mode=mode)

    same(make, [X, LABELS, WEIGHTS])


def test_a_network_of_which_only_the_last_step_is_used():
    layers = [3, dict(form="lengths", name="lengths"), dict(form="gru", size=4, last=True), 4]
    lengths = np.array([5, 3, 1, 4, 5, 2, 2])
    nets = [theanets.recurrent.Classifier(layers, rng=3, mode=m) for m in ("JAX", "FAST_COMPILE")]
    np.testing.assert_allclose(*(net.predict_proba([X, lengths]) for net in nets), atol=1e-5)


def test_a_network_whose_steps_reduce_rows():
    same(lambda m: theanets.recurrent.Classifier(NETS["rows"], rng=3, mode=m), [X, LABELS])


def test_a_network_whose_steps_are_run_by_scan():
    same(lambda m: theanets.recurrent.Classifier(NETS["scan"], rng=3, mode=m), [X, LABELS])


def test_a_network_with_ctc():
    def make(mode):
        layers = [3, (4, "rnn"), 4]
        return theanets.recurrent.Classifier(layers, loss="ctc", rng=3, mode=mode)

    labels = np.array([[1, 2], [3, -1], [1, -1], [2, 2], [-1, -1], [2, -1], [1, 3]])
    same(make, [X, labels])


RAGGED = {
    "penalties": (
        theanets.recurrent.Classifier,
        [3, (4, "gru"), "batch_norm", 2],
        dict(hidden_l1=0.1, recurrent_norm=0.1),
    ),
    "last": (
        theanets.recurrent.Regressor,
        [3, dict(form="lengths", name="n"), dict(form="lstm", size=4, inputs="in", last=True), 2],
        {},
    ),
}


@pytest.mark.parametrize("name", RAGGED)
def test_series_of_different_lengths_need_few_compilations(name, rng):
    model, layers, options = RAGGED[name]
    lengths = rng.integers(3, 60, 200)
    lengths[:2] = 1, 60
    xs = [rng.normal(size=(n, 3)) for n in lengths]
    last = model is theanets.recurrent.Regressor
    ys = rng.normal(size=(200, 2)) if last else [rng.integers(2, size=n) for n in lengths]
    compiled = []

    class Watch(theanets.callbacks.Callback):
        def end(self, run):
            step = run.engine.step.function
            loops = step.template.function._loops.values()
            compiled.append(sum(loop.run._cache_size() for loop in loops))

    nets = []
    for mode in ("JAX", "FAST_COMPILE"):
        net = model(layers, rng=3, mode=mode)
        callbacks = [Watch()] if mode == "JAX" else []
        net.train([xs, ys], algo="sgd", epochs=1, batch_size=8, callbacks=callbacks, **options)
        nets.append(net)
    # 16, 32 and 60 steps; it would be about 20.
    assert 1 <= compiled[0] <= 3
    for ours, theirs in zip(*(net.params for net in nets)):
        np.testing.assert_allclose(ours.get_value(), theirs.get_value(), rtol=2e-4, atol=2e-5)
    losses = [net.evaluate([xs, ys], **options)["loss"] for net in nets]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    # All that was monitored too, the penalties among it.
    rows = [net.history.rows[-1] for net in nets]
    for key in rows[1]:
        if key != "seconds":
            assert rows[0][key] == pytest.approx(rows[1][key], rel=1e-3, abs=1e-6), key


DEVICES = """
import jax, numpy as np, theanets
from theanets.linkers.jax_function import Drawing
from theanets.linkers.jax_fused import Fused

first, second = jax.devices()
calls, plain = [], Drawing.__call__

def call(function, *arguments):
    calls.append((function.name, [c.storage[0] for c in function._shared]))
    return plain(function, *arguments)

Drawing.__call__ = call
several, part = [], Fused._part

def noted(fused, carry, *others):
    several.append((carry, [array.devices() for array in (*carry, *fused._data)]))
    return part(fused, carry, *others)

Fused._part = noted

def check(name, batches):
    # All but the first call of a loop get what is on the device, and what does not change once.
    found = [arrays for kind, arrays in calls if kind == name]
    assert found and len(found) % batches == 0, (name, len(found))
    for loop in zip(*(found[i::batches] for i in range(batches))):
        for arrays in loop[1:]:
            assert all(isinstance(a, jax.Array) and a.devices() == {second} for a in arrays)
        assert all(a is b for a, b in zip(*loop[1:3])), name

with jax.default_device(second):
    layers = [3, dict(form="dropout", rate=0.1), (4, "gru"), 2]
    net = theanets.recurrent.Classifier(layers, rng=1, mode="JAX")
    data = [np.zeros((11, 5, 3)), np.zeros((11, 5), int)]
    net.train(data, valid=data, epochs=2, batch_size=4, progress=False, weight_l2=1e-3,
              learning_rate_schedule=dict(form="step", every=1))
    assert not any(kind == "step" for kind, _ in calls)
    # All that is updated is there once, and the data are.
    for carry, devices in several:
        assert carry and all(a.is_deleted() for a in carry)
        assert all(found == {second} for found in devices)
    net.predict(data[0], batch_size=4)
    check("predict", 3)
    calls.clear(), several.clear()
    net.evaluate(data, batch_size=4)
    assert not any(kind == "evaluate" for kind, _ in calls) and several
    for _, devices in several:
        assert all(found == {second} for found in devices)
    assert all(type(p.container.storage[0]) is np.ndarray for p in net.params)
"""


def test_parameters_stay_on_the_device_between_steps():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags.strip(), "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", DEVICES], env=environment, check=True)


def test_what_is_set_is_what_comes_next():
    x = np.eye(4)[:3]
    net = theanets.Regressor([4, 2], rng=1, mode="JAX")
    weights = net.find("out", "w")
    ones = np.ones((4, 2), weights.dtype)
    for value in (1, 2, 3):
        weights.set_value(value * ones)
        np.testing.assert_array_equal(net.predict(x), np.full((3, 2), value))
    # The same array, which has changed.
    for value in (4, 5):
        ones[:] = value
        weights.set_value(ones, borrow=True)
        np.testing.assert_array_equal(net.predict(x), np.full((3, 2), value))
    assert type(weights.get_value()) is np.ndarray and weights.get_value().flags.writeable


def test_linkers_take_turns():
    # Numba's functions update arrays in place.
    other = "NUMBA"
    data = [X[:, 0], LABELS[:, 0]]
    net = theanets.Classifier([3, 4, 4], rng=1, mode="JAX")
    seen = []

    class Both(theanets.callbacks.Callback):
        def batch(self, run):
            by_jax, by_other = net.predict_proba(data[0]), net.predict_proba(data[0], mode=other)
            np.testing.assert_allclose(by_jax, by_other, atol=1e-5)
            seen.append(by_jax)

    for mode in (other, "JAX", other):
        if mode == other:
            net.train(data, epochs=2, batch_size=4, callbacks=Both(), mode=mode, progress=False)
        else:
            net.train(data, epochs=2, batch_size=4, mode=mode, progress=False)
        np.testing.assert_allclose(
            net.predict_proba(data[0]), net.predict_proba(data[0], mode=other), atol=1e-5
        )
    assert all((a != b).any() for a, b in itertools.pairwise(seen))
