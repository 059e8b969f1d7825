"""Callbacks: when they run, and what they see."""

import time

import numpy as np
import pytest

import theanets
from theanets.errors import ConfigurationError
from theanets.training.engines import GradientEngine
from theanets.training.pacing import FLUSH, Pacing


@pytest.fixture(scope="module")
def net():
    return theanets.Regressor([2, 3, 1])


def data(n=10):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2)), rng.normal(size=(n, 1))


class Diary(theanets.Callback):
    def __init__(self):
        self.lines = []

    def write(self, what, run):
        self.lines.append((what, run.epoch, run.updates))

    def start(self, run):
        self.write("start", run)
        assert run.valid["loss"] == run.best_loss
        assert run.train == {}

    def batch(self, run):
        self.write("batch", run)

    def epoch(self, run):
        self.write("epoch", run)
        assert len(run.history) == run.epoch
        assert run.history["train_loss"][-1] == run.train["loss"]
        assert run.history["valid_loss"][-1] == run.valid["loss"]
        assert run.seconds >= run.history["seconds"][-1] >= 0
        assert run.learning_rate == 0.01

    def end(self, run):
        self.write("end", run)
        assert run.history.stop_reason == run.stop_reason


TRAIN = dict(algo="sgd", learning_rate=0.01, batch_size=4)


def test_order(net):
    diary = Diary()
    net.train(data(), epochs=2, callbacks=diary, **TRAIN)
    assert diary.lines == [
        ("start", 0, 0),
        ("batch", 0, 1),
        ("batch", 0, 2),
        ("batch", 0, 3),
        ("epoch", 1, 3),
        ("batch", 1, 4),
        ("batch", 1, 5),
        ("batch", 1, 6),
        ("epoch", 2, 6),
        ("end", 2, 6),
    ]


def test_what_a_run_knows(net):
    def look(run):
        assert run.network is net
        assert run.batches == 3
        assert run.limits.epochs == 1
        assert {*run.train} == {"loss", "err", "mse"}

    net.train(data(), epochs=1, callbacks=[look], **TRAIN)


def test_the_last_epoch_is_validated_before_callbacks(net):
    def look(run):
        seen.append(run.history.rows[-1].get("valid_loss"))

    seen = []
    net.train(data(), epochs=3, validate_every=9, callbacks=look, **TRAIN)
    assert seen[:2] == [None, None]
    assert seen[2] == net.history["valid_loss"][2] is not None


@pytest.mark.parametrize(("callback", "watched"), [(print, False), (Diary(), True)])
def test_updates_are_watched_only_if_need_be(net, callback, watched, monkeypatch):
    seen = []
    epoch = GradientEngine.epoch

    def spy(self, *args):
        seen.append(args[-1] is not None)
        return epoch(self, *args)

    monkeypatch.setattr(GradientEngine, "epoch", spy)
    net.train(data(), epochs=2, callbacks=callback, **TRAIN)
    assert seen == [watched] * 2


class Seldom(Diary):
    each_batch = False


@pytest.mark.parametrize("seconds", [1e-5, 9e-3, 1.0])
def test_looks_come_at_intervals(seconds, monkeypatch):
    """They are neither rare where updates are slow nor frequent where these are fast."""
    clock = [0.0]
    monkeypatch.setattr("theanets.training.pacing.time.perf_counter", lambda: clock[0])
    looks = []
    pacing = Pacing(lambda updates: looks.append(updates) or False, always=False)
    updates = 0
    pacing.start(updates)
    while updates < 2000:
        updates += pacing.size
        clock[0] += pacing.size * seconds
        assert not pacing(updates)
    assert looks[:2] == ([1, 2] if seconds == 1 else [1, 3])
    assert pacing.size == {1e-5: FLUSH, 9e-3: 5, 1.0: 1}[seconds]
    # Slower all at once: from the next look on, they come often again.
    updates, clock[0] = updates + pacing.size, clock[0] + pacing.size
    pacing(updates)
    assert pacing.size == 1


def test_some_callbacks_see_all_batches_and_some_need_not(net):
    often, seldom = Diary(), Seldom()
    big = data(400)
    net.train(big, epochs=2, callbacks=[often, seldom], **TRAIN)
    assert often.lines == seldom.lines  # whoever needs each batch makes the loop look
    assert sum(line[0] == "batch" for line in often.lines) == 200
    alone = Seldom()
    net.train(big, epochs=2, callbacks=alone, **TRAIN)
    assert 2 <= sum(line[0] == "batch" for line in alone.lines) < 200
    assert [line for line in alone.lines if line[0] != "batch"] == [
        line for line in often.lines if line[0] != "batch"
    ]


def test_the_time_is_up_in_the_middle_of_an_epoch():
    net = theanets.Regressor([2, 3, 1])
    start = time.perf_counter()
    net.train(data, data(), train_batches=10**7, max_seconds=0.3, epochs=9, **TRAIN)
    assert 0.3 < time.perf_counter() - start < 2
    assert net.history.stop_reason == "time"
    assert len(net.history) == 1


def test_the_rate_of_each_update(net):
    class Rates(theanets.Callback):
        def batch(self, run):
            rates.append((run.learning_rate, float(rate.get_value())))

        def start(self, run):
            nonlocal rate
            rate = run.engine.step.optimizer.hyper["learning_rate"]

    rate, rates = None, []
    options = {**TRAIN, "learning_rate_schedule": lambda update, epoch: 1 / (1 + update)}
    net.train(data(), epochs=2, callbacks=Rates(), **options)
    np.testing.assert_allclose(rates, [[0.01 / (1 + i)] * 2 for i in range(6)], rtol=1e-6)


def test_several_in_their_order(net):
    seen = []

    class First(theanets.Callback):
        def epoch(self, run):
            seen.append("first")

    second = lambda run: seen.append("second")  # noqa: E731
    net.train(data(), epochs=2, callbacks=(First(), second), **TRAIN)
    assert seen == ["first", "second"] * 2


@pytest.mark.parametrize("where", ["start", "batch", "epoch"])
def test_stop(net, where):
    class Stop(Diary):
        def write(self, what, run):
            super().write(what, run)
            if what == where:
                run.stop("enough")
                run.stop("the first reason counts")

    stop = Stop()
    net.train(data(), epochs=5, callbacks=stop, **TRAIN)
    assert net.history.stop_reason == "enough"
    last = {"start": (0, 0), "batch": (1, 1), "epoch": (1, 3)}[where]
    assert stop.lines[-1] == ("end", *last)
    assert [line[0] for line in stop.lines].count("epoch") == (where != "start")


def test_the_end_sees_the_best_parameters(net):
    found = {}

    class Look(theanets.Callback):
        def end(self, run):
            found["end"] = run.network.evaluate(data())["loss"]

    _, valid = net.train(data(), epochs=9, callbacks=Look(), **{**TRAIN, "learning_rate": 0.5})
    assert found["end"] == valid["loss"] == min(net.history["valid_loss"])


def test_start_that_fails(net):
    class Fails(Diary):
        def start(self, run):
            raise ValueError("not ready")

    before, after = Diary(), Diary()
    with pytest.raises(ValueError, match="not ready"):
        net.train(data(), callbacks=[before, Fails(), after], **TRAIN)
    assert [line[0] for line in before.lines] == ["start", "end"]
    assert after.lines == []
    assert net.history.stop_reason == "error"


def test_every_end_runs_in_order_though_one_fails(net):
    class Fails(Diary):
        def end(self, run):
            after.lines.append("before")
            raise ValueError("at the end")

    after = Diary()
    with pytest.raises(ValueError, match="at the end"):
        net.train(data(), epochs=1, callbacks=[Fails(), after], **TRAIN)
    assert after.lines[-2:] == ["before", ("end", 1, 3)]


def test_batch_of_an_instance(net):
    callback, seen = theanets.Callback(), []
    callback.batch = lambda run: seen.append(run.updates)
    net.train(data(), epochs=1, callbacks=callback, **TRAIN)
    assert seen == [1, 2, 3]


def test_results_do_not_depend_on_watching(net):
    found = []
    for callbacks in (None, Diary()):
        twin = theanets.Regressor([2, 3, 1], rng=13)
        twin.train(data(), epochs=3, callbacks=callbacks, hidden_dropout=0.3, **TRAIN)
        found.append([twin.history["train_loss"], [p.get_value().tolist() for p in twin.params]])
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12)
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize("wrong", [3, "epoch", theanets.Callback, [theanets.Callback], [None]])
def test_what_is_no_callback(net, wrong):
    with pytest.raises(ConfigurationError, match="callbacks"):
        net.train(data(), epochs=1, callbacks=wrong, **TRAIN)


# ---- what a run does not take ------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("learning_rate", r"run\.learning_rate=0\.5: .* learning_rate_schedule= of train\(\)"),
        ("lr", r"run\.lr=0\.5: .* learning_rate_schedule= of train\(\)"),
        ("batch_size", r"run\.batch_size=0\.5 would change nothing: batch_size= of train\(\)"),
        ("metrics", r"run\.metrics=0\.5 would change nothing: metrics= of train\(\)"),
        ("patience", r"run\.patience=0\.5 would change nothing: run\.limits\.patience is"),
        ("best_loss", r"run\.best_loss=0\.5: it only tells what the run has found"),
        ("seconds", r"run\.seconds=0\.5: it only tells"),
    ],
)
def test_what_cannot_be_set_is_refused(net, name, message):
    with pytest.raises(ConfigurationError, match=message):
        net.train(data(), epochs=1, callbacks=lambda run: setattr(run, name, 0.5))
    assert net.history.stop_reason == "error"


def test_limits_and_what_is_a_callbacks_own_may_be_set(net):
    class Sooner(theanets.Callback):
        def start(self, run):
            run.limits.epochs, run.mine = 2, "start"

        def end(self, run):
            assert run.mine == "start"

    net.train(data(), epochs=50, patience=None, callbacks=Sooner())
    assert len(net.history) == 2 and net.history.stop_reason == "epochs"
