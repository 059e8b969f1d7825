"""Threads: who waits for whom."""

import sys
import threading

import numpy as np
import pytensor
import pytest
from thread_cases import Builders

import theanets
from theanets import process


@pytest.fixture(autouse=True)
def _often_interrupted():
    """Let another thread go on after each microsecond."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(autouse=True)
def _in_order(monkeypatch):
    """Refuse whatever takes locks against their order, be there another thread or not."""
    monkeypatch.setattr(process, "_builders", Builders())


def finished(*jobs, seconds=30):
    """Run functions in a thread each; get whether all of them end."""
    errors = []

    def work(job):
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    assert not errors, errors
    return not any(thread.is_alive() for thread in threads)


def test_an_import_under_a_lock_of_variables_does_not_wait_for_who_builds(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    variable = pytensor.shared(0.0)
    held, building = threading.Event(), threading.Event()

    def compute():
        with process.hold([variable]):
            held.set()
            assert building.wait(10)
            process.lazily("colorsys")

    def build():
        assert held.wait(10)
        with process.building():
            building.set()
            with process.hold([variable]):
                pass

    assert finished(compute, build)
    assert "colorsys" in sys.modules


class Compiled:
    """What stands for a function that compiles when it is called first."""

    def __init__(self, function):
        self.function, self.calls, self.fresh = function, 0, True

    def __call__(self, *arguments):
        if self.fresh:
            # Whoever compiles is the only one that builds.
            assert process._builders._is_owned()
        self.fresh = False
        self.calls += 1
        return self.function(*arguments)

    def repeated(self):
        return self

    def __getattr__(self, name):
        return getattr(self.__dict__["function"], name)


def as_first_call(function):
    """Let a function be as one that has not been compiled."""
    function._function, function._fresh = Compiled(function._function), True
    return function


def nobody_builds():
    """Get whether another thread could build now."""
    return finished(process.float_x)


def test_only_the_first_call_of_a_prediction_or_an_evaluation_builds(rng, monkeypatch):
    net = theanets.Regressor([2, 3, 1], mode="FAST_COMPILE")
    x, y = rng.normal(size=(9, 2)).astype("f"), rng.normal(size=(9, 1)).astype("f")
    expected = net.predict(x), net.evaluate([x, y], batch_size=2)
    found = [getattr(one, "compiled", one) for one in net._cache.values()]
    functions = list(dict.fromkeys(one.function for one in found))
    seen = []
    monkeypatch.setattr(
        theanets.prediction,
        "gather",
        lambda *a: seen.append(nobody_builds()) or theanets.data.gather(*a),
    )
    for function in map(as_first_call, functions):
        assert function._fresh
    np.testing.assert_array_equal(net.predict(x, batch_size=2), expected[0])
    assert seen == [True] * 5

    # With a thread that prepares batches, which imports what it needs.
    ahead = []
    original = theanets.data.Dataset.epoch

    def epoch(self, *args):
        for batch in original(self, *args):
            ahead.append(nobody_builds())
            yield batch

    monkeypatch.setattr(theanets.data.Dataset, "epoch", epoch)
    assert net.evaluate([x, y], batch_size=2, prefetch=1) == expected[1]
    assert ahead == [True] * 5
    assert [function._fresh for function in functions] == [False, False]
    assert [function._function.calls for function in functions] == [5, 5]


def test_what_is_repeated_is_compiled_once():
    class Jax(Compiled):
        def repeated(self):
            return self

    variable = pytensor.shared(1.0)
    function = process.Function(Jax(lambda x: x + 1), process.share([variable]), compiles=True)
    again = function.repeated()
    assert function._fresh
    assert again(1) == 2
    assert not function._fresh
    with function.held(nobody_builds) as free:
        assert free
    function._fresh = True  # and one that was got before knows
    assert (again(1), function._fresh) == (2, False)


def test_batches_are_evaluated_under_no_lock(rng):
    net = theanets.Regressor([2, 3, 1], mode="FAST_COMPILE")
    x, y = rng.normal(size=(4, 2)), rng.normal(size=(4, 1))
    alone = [net.evaluate([x, y], weight_l2=w, metrics="r2") for w in (0.5, 2)]
    net.evaluate([x, y])
    trained, found = threading.Event(), {}

    def batches(w):
        yield [x[:2], y[:2]]
        # Another thread trains, validates and evaluates meanwhile, with other strengths.
        assert trained.wait(15)
        yield [x[2:], y[2:]]

    def evaluate(w):
        def job():
            options = {} if w is None else {"weight_l2": w, "metrics": "r2"}
            found[w] = net.evaluate(batches(w), batches=2, **options)

        return job

    def train():
        quick = {"algo": "sgd", "learning_rate": 1e-300, "epochs": 1, "progress": False}
        net.train([x, y], [x, y], **quick)
        assert net.evaluate([x, y], weight_l2=7, metrics="r2")["loss"] > alone[1]["loss"]
        trained.set()

    assert finished(evaluate(None), evaluate(0.5), evaluate(2), train)
    assert found[None]["loss"] == pytest.approx(net.evaluate([x, y])["loss"], rel=1e-5)
    for w, expected in zip((0.5, 2), alone, strict=True):
        assert found[w] == pytest.approx(expected, rel=1e-5)
