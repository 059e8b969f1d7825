"""Ending trials of a search, and the history as a table."""

import sys
import types

import numpy as np
import pytest

import theanets
from theanets.callbacks import Prune
from theanets.sklearn import NetRegressor


class Pruned(Exception):
    pass


class Trial:
    """What a callback sees of a trial of Optuna."""

    def __init__(self, after=None):
        self.after, self.reports = after, []

    def report(self, value, step):
        self.reports.append((step, value))

    def should_prune(self):
        return self.after is not None and len(self.reports) >= self.after


@pytest.fixture
def search(monkeypatch):
    """The package of the trials, which has the exception."""
    package = types.ModuleType("a_search")
    package.TrialPruned = Pruned
    monkeypatch.setitem(sys.modules, "a_search", package)
    return type("Suggested", (type("Base", (Trial,), {"__module__": "a_search.trial"}),), {})


def data(rng):
    x = rng.normal(size=(40, 2))
    return [x, x.sum(axis=1)]


FAST = {"mode": "FAST_COMPILE", "patience": None}


def test_a_trial_hears_of_each_epoch_and_may_end_training(search, rng):
    train = data(rng)
    net, trial = theanets.Regressor([2, 1], rng=1), search(after=3)
    with pytest.raises(Pruned, match="pruned at epoch 3"):
        net.train(train, epochs=9, callbacks=Prune(trial), **FAST)
    assert net.history.stop_reason == "pruned" and len(net.history) == 3
    assert trial.reports == list(zip([1, 2, 3], net.history["valid_loss"]))
    # The best parameters are there before.
    best = min(net.history["valid_loss"])
    assert net.evaluate(train, mode="FAST_COMPILE")["loss"] == pytest.approx(best, rel=1e-6)
    # And it is ready for another trial, which nobody ends.
    callback = Prune(search())
    net.train(train, epochs=2, callbacks=callback, **FAST)
    net.train(train, epochs=1, callbacks=callback, **FAST)
    assert [step for step, _ in callback.trial.reports] == [1, 2, 1]


def test_any_monitor_and_only_where_there_is_a_validation(search, rng):
    trials = [search(), search(), search()]
    names = ["r2", "train_loss", "valid_loss"]
    net = theanets.Regressor([2, 1], rng=1)
    net.train(
        data(rng), epochs=4, validate_every=2, metrics="r2",
        callbacks=[Prune(trial, name) for trial, name in zip(trials, names)], **FAST,
    )  # fmt: skip
    history = net.history
    assert trials[0].reports == [(i, history["valid_r2"][i - 1]) for i in (2, 4)]
    assert trials[1].reports == list(zip([1, 2, 3, 4], history["train_loss"]))
    assert [step for step, _ in trials[2].reports] == [2, 4]
    with pytest.raises(theanets.UnknownNameError, match="did you mean 'loss'"):
        net.train(data(rng), callbacks=Prune(search(), "los"), epochs=1, **FAST)


def test_what_is_no_trial(search):
    for wrong in (None, 5, object()):
        with pytest.raises(theanets.ConfigurationError, match="is not a trial"):
            Prune(wrong)
    with pytest.raises(theanets.ConfigurationError, match="exception="):
        Prune(Trial())
    assert Prune(Trial(), exception=Pruned).exception is Pruned
    with pytest.raises(theanets.ConfigurationError, match="monitor=3"):
        Prune(search(), 3)


def test_estimators_are_pruned_too(search, rng):
    x, y = data(rng)
    net = NetRegressor([], callbacks=Prune(search(after=2)), epochs=9, **FAST)
    with pytest.raises(Pruned):
        net.fit(x, y)


def test_the_history_as_a_table(rng):
    pd = pytest.importorskip("pandas")
    net = theanets.Regressor([2, 1], rng=1)
    assert net.history.to_frame().empty
    net.train(data(rng), epochs=3, validate_every=2, **FAST)
    frame = net.history.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == net.history.columns and len(frame) == 3
    assert frame["epoch"].tolist() == [1, 2, 3] and frame["epoch"].dtype.kind == "i"
    expected = [np.nan if value is None else value for value in net.history["valid_loss"]]
    np.testing.assert_array_equal(frame["valid_loss"], expected)
    assert frame["valid_loss"].isna().tolist() == [True, False, False]


def test_without_pandas_there_is_no_table(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(theanets.ConfigurationError, match="pip install pandas"):
        theanets.Regressor([2, 1]).history.to_frame()
