"""When training ends: patience and least improvement, as documented."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import theanets
from theanets.training.limits import Limits

ONE = [np.zeros((1, 1), "float32"), np.zeros((1, 1), "float32")]


class Scripted(theanets.Callback):
    """After each update, makes the validation loss what the script says."""

    def __init__(self, net, losses):
        self.bias, self.losses = net.find("out.b"), losses

    def set(self, loss):
        self.bias.set_value(np.array([loss], "float32"))

    def batch(self, run):
        self.set(self.losses[run.updates - 1])


@pytest.fixture(scope="module")
def line():
    """A network whose loss is its output bias."""
    return theanets.Regressor([1, 1], loss=lambda target, output: output + 0 * target)


def scripted(net, start, losses, **kwargs):
    script = Scripted(net, losses)
    script.set(start)
    kwargs = {"algo": "sgd", "learning_rate": 1e-30, "epochs": len(losses), **kwargs}
    result = net.train(ONE, callbacks=[script, *kwargs.pop("callbacks", ())], **kwargs)
    return result, float(script.bias.get_value()[0])


def documented(start, losses, patience=10, min_improvement=0.0, validate_every=1):
    """Get (reason, epochs, best loss, best epoch) by the documentation."""
    best, best_epoch, success, failures = start, 0, start, 0
    for epoch, loss in enumerate(losses, start=1):
        last = epoch == len(losses)
        if epoch % validate_every == 0 or last:
            if loss < best:
                best, best_epoch = loss, epoch
            if success - loss > abs(success) * min_improvement:
                success, failures = loss, 0
            else:
                failures += 1
        if last:
            return "epochs", epoch, best, best_epoch
        if failures > patience:
            return "patience", epoch, best, best_epoch
    return "epochs", 0, best, best_epoch


# Multiples of 1/64 are exact in float32, so that comparisons are too.
losses = st.integers(-256, 256).map(lambda n: n / 64)


@settings(max_examples=60)
@given(
    losses,
    st.lists(losses, max_size=12),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.125, 0.5]),
    st.integers(1, 4),
)
def test_stops_as_documented(line, start, sequence, patience, min_improvement, every):
    limits = dict(patience=patience, min_improvement=min_improvement, validate_every=every)
    reason, epochs, best, best_epoch = documented(start, sequence, **limits)
    (_, valid), bias = scripted(line, start, sequence, **limits)
    history = line.history
    assert (history.stop_reason, len(history)) == (reason, epochs)
    assert history.best_epoch == best_epoch
    assert bias == best == valid["loss"]
    validated = [i + 1 for i, row in enumerate(history) if "valid_loss" in row]
    due = [i for i in range(1, epochs + 1) if i % every == 0 or i == len(sequence)]
    assert validated == due


def test_patience_counts_failures_in_a_row(line):
    scripted(line, 4.0, [5.0, 5.0, 3.0, 3.0, 3.5, 3.0, 1.0], patience=2)
    assert len(line.history) == 6
    assert line.history.stop_reason == "patience"
    scripted(line, 4.0, [5.0, 5.0], patience=0)
    assert len(line.history) == 1
    scripted(line, 4.0, [5.0] * 30, patience=None)
    assert len(line.history) == 30


def test_small_improvements_add_up(line):
    falling = [1 - i / 64 for i in range(1, 9)]
    scripted(line, 1.0, falling, patience=1, min_improvement=0.02)
    assert len(line.history) == 8
    scripted(line, 1.0, falling, patience=1, min_improvement=0.04)
    assert len(line.history) == 2
    assert line.history.best_epoch == 2


def test_negative_losses(line):
    # Worse by less than the fraction is not better.
    scripted(line, -1.0, [-0.75, -0.75, -4.0], patience=1, min_improvement=0.5)
    assert (len(line.history), line.history.best_epoch) == (2, 0)
    _, bias = scripted(line, -1.0, [-2.0, -4.0, -3.0], min_improvement=0.5)
    assert bias == -4.0


def test_each_run_has_its_own_patience(line):
    for _ in range(2):
        scripted(line, 1.0, [2.0] * 9, patience=3)
        assert len(line.history) == 4


@pytest.mark.parametrize(
    ("limits", "done", "reason"),
    [
        ({}, (100, 100, 10, 1e9), None),
        ({}, (0, 0, 11, 0.0), "patience"),
        ({"epochs": 3}, (2, 9, 0, 0.0), None),
        ({"epochs": 3}, (3, 9, 99, 0.0), "epochs"),
        ({"epochs": 3, "max_updates": 9}, (3, 9, 99, 9.0), "updates"),
        ({"epochs": 3, "max_updates": 10}, (3, 9, 99, 9.0), "epochs"),
        ({"epochs": 0}, (0, 0, 0, 0.0), "epochs"),
        ({"patience": None}, (9, 9, 99, 0.0), None),
        ({"max_seconds": 2.0}, (9, 9, 10, 2.0), "time"),
        ({"max_seconds": 2.0}, (9, 9, 11, 2.0), "patience"),
    ],
)
def test_the_limit_that_is_reached(limits, done, reason):
    assert Limits(**limits).reached(*done) == reason


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        # Three updates in an epoch: cut in the last epoch, at its end, not at all.
        ({"epochs": 2, "max_updates": 5}, "updates"),
        ({"epochs": 2, "max_updates": 6}, "updates"),
        ({"epochs": 2, "max_updates": 7}, "epochs"),
    ],
)
def test_the_reason_is_the_limit_that_cut_the_last_epoch(line, limits, reason):
    x = np.zeros((3, 1))
    line.train([x, x], algo="sgd", batch_size=1, learning_rate=1e-30, **limits)
    assert (line.history.stop_reason, len(line.history)) == (reason, 2)
    assert line.history["updates"][-1] == min(limits["max_updates"], 6)
