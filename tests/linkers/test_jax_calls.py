"""Calls of JAX: few of them, memory that is handed on, and what is left when one ends early."""

import signal

import numpy as np
import pytest

import theanets
from theanets import prediction
from theanets.training import standing, strides

pytest.importorskip("jax")

import jax

from theanets.linkers import jax_fused, jax_loop

pytestmark = pytest.mark.linker

rng = np.random.default_rng(0)
X = rng.normal(size=(70, 5)).astype("float32")
LABELS = rng.integers(3, size=70)
DATA = [X, LABELS, rng.integers(3, size=70).astype("float32")]


def network(mode="JAX"):
    layers = [5, 8, "batch_norm", dict(form="dropout", rate=0.3), 3]
    return theanets.Classifier(layers, weighted=True, rng=1, mode=mode)


class Stream:
    """Batches that come in."""

    def __init__(self, look=lambda: None):
        self.look = look

    def __iter__(self):
        for first in range(0, 70, 14):
            self.look()
            yield tuple(array[first : first + 14] for array in DATA)


@pytest.fixture
def calls(monkeypatch):
    """Note of each call of a loop how many batches it has room for, and of single steps."""
    seen, run, one = [], jax_fused.Fused._part, jax_loop.Loop.one

    def part(self, carry, fixed, kind, rows, values):
        carry, made = run(self, carry, fixed, kind, rows, values)
        seen.append(len(made))
        return carry, made

    def single(self, *arguments):
        seen.append("one")
        return one(self, *arguments)

    monkeypatch.setattr(jax_fused.Fused, "_part", part)
    monkeypatch.setattr(jax_loop.Loop, "one", single)
    return seen


def test_evaluations_and_predictions_are_few_calls(calls, monkeypatch):
    net, other = network(), network("FAST_COMPILE")
    # Of 16 rows, and a smaller batch.
    options = {"batch_size": 16, "metrics": ["f1"], "weight_l2": 0.1}
    found, expected = (one.evaluate(DATA, **options) for one in (net, other))
    assert calls == [4, 1] and found == pytest.approx(expected, rel=1e-5)
    (found, expected) = (one.predict_proba(X, batch_size=16) for one in (net, other))
    assert calls == [4, 1, 4, 1] and type(found) is np.ndarray
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # The numbers of one seed are those of other linkers, however many are in a call.
    noise = {"hidden_noise": 0.5, "rng": 3}
    monkeypatch.setattr(jax_fused, "MOST", 2)
    found, expected = (one.predict_proba(X, batch_size=16, **noise) for one in (net, other))
    assert calls[4:] == [2, 2, 1]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    # What has changed in place since is seen.
    for one in (net, other):
        one.params[-1].get_value(borrow=True)[...] = [1, 2, 3]
    found, expected = (one.predict_proba(X, batch_size=16) for one in (net, other))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # Large parts are computed one by one, and so is what is not all there.
    seen = len(calls)
    monkeypatch.setattr(prediction, "SMALL_PART", 4)
    np.testing.assert_allclose(net.predict_proba(X, batch_size=16), found, rtol=1e-5)
    net.evaluate(Stream())
    assert len(calls) == seen


def test_results_of_a_call_are_limited_in_memory(calls, monkeypatch):
    net = network()
    # A batch has 16 rows, numbers of 8 bytes, and 3 results of 4 bytes for each.
    monkeypatch.setattr(jax_fused, "TABLE_BYTES", 2 * 16 * (8 + 3 * 4))
    net.predict_proba(X[:64], batch_size=16)
    assert calls == [2, 2]


def test_batches_that_come_in_hand_on_the_memory_of_parameters(calls):
    """Parameters are on the device once, and NumPy's for whoever is asked between."""
    nets, held = [network(), network("FAST_COMPILE")], []

    class Look(theanets.Callback):
        def batch(self, run):
            weights = run.network.params[0].get_value(borrow=True)
            assert type(weights) is np.ndarray and weights.flags.writeable

    def look():
        held.append(nets[0].params[0].get_value(borrow=True))

    options = {"epochs": 2, "algo": "adam", "learning_rate": 0.01, "valid": DATA}
    nets[0].train(Stream(look), **options)
    assert calls == ["one"] * 10
    on_device = [array for array in held if isinstance(array, jax.Array)]
    assert on_device and all(array.is_deleted() for array in on_device)
    nets[1].train(Stream(), **options)
    for a, b in zip(*(net.params for net in nets), strict=True):
        np.testing.assert_allclose(a.get_value(), b.get_value(), rtol=1e-4, atol=1e-6)
    assert nets[0].history["train_loss"] == pytest.approx(nets[1].history["train_loss"], rel=1e-4)
    # What callbacks see is NumPy's, and by another linker it predicts as it is.
    nets[0].train(Stream(), callbacks=Look(), **options)
    np.testing.assert_allclose(
        nets[0].predict_proba(X, mode="NUMBA"), nets[0].predict_proba(X), rtol=1e-4
    )


def test_what_a_failed_step_has_used_up_is_what_it_was(monkeypatch):
    net = network()
    net.train(Stream(), epochs=1, valid=DATA, algo="adam")
    before = [v.get_value() for v in (*net.params, *net.state)]
    one, made = jax_loop.Loop.one, []

    def failing(self, *arguments):
        made.append(one(self, *arguments))
        if len(made) == 3:
            raise RuntimeError("out of memory")
        return made[-1]

    monkeypatch.setattr(jax_loop.Loop, "one", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        net.train(Stream(), epochs=1, valid=DATA, algo="adam")
    for variable, value in zip((*net.params, *net.state), before, strict=True):
        found = variable.get_value(borrow=True)
        assert type(found) is np.ndarray and np.isfinite(found).all()
        assert found.shape == value.shape


def test_ctrl_c_and_time_limits_end_a_call_after_whole_updates(calls, monkeypatch):
    options = {"algo": "sgd", "batch_size": 7, "epochs": 3, "patience": None}
    monkeypatch.setattr(strides, "MANY", 4)
    monkeypatch.setattr(jax_fused, "MOST", 4)
    plain = jax_fused.Fused._part

    def interrupted(self, *arguments):
        found = plain(self, *arguments)
        if sum(calls) >= 12:
            signal.raise_signal(signal.SIGINT)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax_fused.Fused, "_part", interrupted)
        net = network()
        net.train(DATA, **options)
    assert net.history.stop_reason == "interrupted"
    (updates,) = {net.history["updates"][-1]}
    assert 0 < updates < 30
    limited = network()
    limited.train(DATA, max_updates=updates, **options)
    assert limited.history["train_loss"] == net.history["train_loss"]
    for a, b in zip(net.params, limited.params, strict=True):
        np.testing.assert_array_equal(a.get_value(), b.get_value())
    calls.clear()
    passed = property(lambda run: 60.0 if sum(calls) >= 12 else 0.0)
    monkeypatch.setattr(standing.Standing, "seconds", passed)
    net = network()
    net.train(DATA, max_seconds=30, **options)
    assert net.history.stop_reason == "time" and 12 <= net.history["updates"][-1] < 20


def test_where_it_is_computed_is_shown(capsys):
    assert network("JAX").summary().endswith("\ncomputed on cpu:0")
    assert network("JAX@cpu:0").summary().endswith("\ncomputed on cpu:0")
    assert "computed on" not in network("FAST_COMPILE").summary()
    network().train(DATA, epochs=1, progress=True)
    assert "computing on cpu:0\n" in capsys.readouterr().out
