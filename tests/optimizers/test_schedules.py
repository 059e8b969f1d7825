"""Learning-rate schedules at points that were computed by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import theanets
from theanets.errors import ConfigurationError, UnknownNameError
from theanets.optimizers import schedules
from theanets.optimizers.schedules import Schedule, build

NEEDED = {
    "step": {"every": 2},
    "exponential": {"decay": 0.5},
    "cosine": {"total": 4},
    "warmup": {"updates": 4},
    "one-cycle": {"total": 10},
}


def at_epoch(schedule, *epochs):
    return [schedule.factor(10**6, epoch) for epoch in epochs]


def at_update(schedule, *updates):
    return [schedule.factor(update, 10**6) for update in updates]


def test_constant():
    assert at_epoch(build(None), 0, 7) == [1, 1]
    assert at_update(build("constant"), 0, 7) == [1, 1]


def test_step():
    schedule = build({"form": "step", "every": 3, "factor": 0.5})
    assert at_epoch(schedule, 0, 2, 3, 5, 6, 9) == [1, 1, 0.5, 0.5, 0.25, 0.125]
    schedule = build({"form": "step", "every": 2, "unit": "update"})
    assert at_update(schedule, 1, 2, 4) == pytest.approx([1, 0.1, 0.01])


def test_exponential():
    assert at_epoch(build({"form": "exponential", "decay": 0.5}), 0, 1, 3) == [1, 0.5, 0.125]
    schedule = build({"form": "exponential", "halflife": 10, "unit": "update"})
    assert at_update(schedule, 0, 10, 20, 5) == pytest.approx([1, 0.5, 0.25, math.sqrt(0.5)])


def test_cosine():
    schedule = build({"form": "cosine", "total": 6})
    expected = [1, (2 + math.sqrt(3)) / 4, 0.75, 0.5, 0.25, 0, 0]
    assert at_epoch(schedule, 0, 1, 2, 3, 4, 6, 60) == pytest.approx(expected)
    schedule = build({"form": "cosine", "total": 6, "minimum": 0.2, "unit": "update"})
    assert at_update(schedule, 0, 3, 6, 7) == pytest.approx([1, 0.6, 0.2, 0.2])


def test_warmup():
    assert at_update(build({"form": "warmup", "updates": 4}), 0, 1, 3, 4, 99) == [
        0.25,
        0.5,
        1,
        1,
        1,
    ]
    schedule = build({"form": "warmup", "updates": 2, "unit": "epoch"})
    assert at_epoch(schedule, 0, 1, 2) == [0.5, 1, 1]


def test_warmup_then_another():
    after = {"form": "exponential", "decay": 0.5}
    schedule = build({"form": "warmup", "updates": 4, "after": after})
    points = [(0, 0), (1, 0), (3, 1), (4, 1), (100, 3)]
    assert [schedule.factor(*point) for point in points] == [0.25, 0.5, 0.5, 0.5, 0.125]


def test_one_cycle():
    schedule = build({"form": "one-cycle", "total": 20, "maximum": 5, "warm": 0.2, "minimum": 0.1})
    # Up within 4 updates, down within 16.
    expected = [1, 3, 5, 2.55, 0.1, 0.1]
    assert at_update(schedule, 0, 2, 4, 12, 20, 21) == pytest.approx(expected)
    assert at_update(schedule, 1)[0] == pytest.approx(3 - 2 * math.cos(math.pi / 4))
    assert at_update(build({"form": "onecycle", "total": 4, "warm": 0}), 0) == [10]


def test_plateau():
    schedule = build({"form": "plateau", "factor": 0.5, "patience": 1, "minimum": 0.2})
    seen = []
    for loss in (3, 2, 2, 2, 1, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5):
        schedule.observe(loss)
        seen.append(schedule.factor(0, 0))
    assert seen == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]
    schedule.reset()
    assert schedule.factor(0, 0) == 1
    assert schedule.state() == {"scale": 1.0, "failures": 0, "best": None}


def test_plateau_improvement_is_relative_to_the_size_of_the_best():
    for losses, improved in [((-10, -10.5), False), ((-10, -11.5), True), ((10, 9.5), False)]:
        schedule = build({"form": "plateau", "patience": 0, "min_improvement": 0.1})
        for loss in losses:
            schedule.observe(loss)
        assert (schedule.factor(0, 0) == 1) is improved


def test_plateau_counts_nan_as_failure():
    schedule = build({"form": "plateau", "factor": 0.5, "patience": 0})
    schedule.observe(float("nan"))
    assert schedule.factor(0, 0) == 0.5
    schedule.observe(4.0)
    assert schedule.factor(0, 0) == 0.5
    assert schedule.state()["best"] == 4


@pytest.mark.parametrize("wrapped", [False, True])
def test_state_round_trip(wrapped):
    spec = {"form": "plateau", "patience": 1}
    if wrapped:
        spec = {"form": "warmup", "updates": 1, "after": spec}
    one, two = build(spec), build(spec)
    for loss in (1.0, 2.0, 2.0, 0.5, 3.0):
        one.observe(loss)
    two.restore(json.loads(json.dumps(one.state())))
    for loss in (3.0, 3.0, 3.0):
        one.observe(loss)
        two.observe(loss)
        assert one.factor(5, 5) == two.factor(5, 5)
    assert one.factor(5, 5) == pytest.approx(0.001)
    assert one.state() == two.state()
    one.reset()
    assert one.factor(5, 5) == 1


@pytest.mark.parametrize("name", schedules.Schedule.registry.names())
def test_all_names(name):
    canonical = schedules.Schedule.registry.canonical(name)
    schedule = build({"form": name.upper(), **NEEDED.get(canonical, {})})
    for time in (0, 1, 5, 100):
        assert math.isfinite(schedule.factor(time, time))
    state = json.loads(json.dumps(schedule.state()))
    schedule.restore(state)
    schedule.observe(1.0)
    schedule.reset()
    assert schedule.state() == state
    assert build(schedule) is schedule


def test_callable():
    schedule = build(lambda update, epoch: 1 / (1 + update + epoch))
    assert schedule.factor(1, 2) == 0.25
    for wrong in (float("nan"), -1, None, "x"):
        with pytest.raises(ConfigurationError, match="factor="):
            build(lambda update, epoch, wrong=wrong: wrong).factor(0, 0)


def test_schedule_of_ones_own():
    class Linear(Schedule):
        def __init__(self, total, unit="epoch"):
            super().__init__(unit)
            self.total = total

        def at(self, time):
            return max(0.0, 1 - time / self.total)

    assert build({"form": "linear", "total": 4}).factor(0, 1) == 0.75
    with pytest.raises(ConfigurationError, match="'total'"):
        build(Linear)


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ({"form": "step", "every": 0}, "every=0"),
        ({"form": "step", "every": 1.5}, "every=1.5"),
        ({"form": "step", "every": True}, "every=True"),
        ({"form": "step", "every": 1, "factor": 0}, "factor=0"),
        ({"form": "step", "every": 1, "unit": "batch"}, "unit='batch'"),
        ({"form": "step"}, "missing a required argument: 'every'; it takes every, factor, unit"),
        ({"form": "exponential"}, "exactly one"),
        ({"form": "exponential", "decay": 0.5, "halflife": 2}, "exactly one"),
        ({"form": "exponential", "decay": 1.5}, "decay=1.5"),
        ({"form": "exponential", "halflife": -1}, "halflife=-1"),
        ({"form": "cosine", "total": -1}, "total=-1"),
        ({"form": "cosine", "total": 3, "minimum": 2}, "minimum=2"),
        ({"form": "warmup", "updates": 0}, "updates=0"),
        ({"form": "warmup", "updates": 1, "after": "plateu"}, "plateau"),
        ({"form": "one-cycle", "total": 5, "maximum": 0.5}, "maximum=0.5"),
        ({"form": "one-cycle", "total": 5, "warm": 1}, "warm=1"),
        ({"form": "one-cycle", "total": 5, "minimum": -1}, "minimum=-1"),
        ({"form": "plateau", "factor": 2}, "factor=2"),
        ({"form": "plateau", "patience": -1}, "patience=-1"),
        ({"form": "plateau", "minimum": -1}, "minimum=-1"),
        ({"form": "plateau", "min_improvement": -1}, "min_improvement=-1"),
        ({"form": "cosine", "totl": 3}, "did you mean 'total'"),
        ({"every": 3}, "lacks 'form'"),
        (3, "is not a schedule"),
    ],
)
def test_invalid(spec, match):
    with pytest.raises(ConfigurationError, match=match):
        build(spec)


def test_unknown_name():
    with pytest.raises(UnknownNameError, match="did you mean 'plateau'"):
        build("platau")


def test_the_length_of_the_run_by_default():
    cosine = build("cosine")
    assert at_epoch(cosine.for_run(6, None), 0, 3, 6) == pytest.approx([1, 0.5, 0])
    # An instance may serve many runs.
    assert cosine.total is None
    assert build({"form": "cosine", "total": 4}).for_run(6, 60).total == 4
    assert build("one-cycle").for_run(6, 60).total == 60
    assert build({"form": "one-cycle", "unit": "epoch"}).for_run(6, 60).total == 6
    warm = build({"form": "warmup", "updates": 3, "after": "cosine"}).for_run(8, 80)
    assert warm.after.total == 8
    plateau = build("plateau")
    assert plateau.for_run(3, 4) is plateau
    for spec in ("cosine", {"form": "warmup", "updates": 3, "after": "cosine"}):
        with pytest.raises(ConfigurationError, match="give epochs=<number> to train"):
            build(spec).for_run(None, 10)
        with pytest.raises(ConfigurationError, match="total=None"):
            build(spec).factor(0, 0)


def test_the_length_of_a_run_on_data_that_come_in_is_asked_for():
    def batches():
        while True:
            yield [np.zeros((4, 2)), np.zeros((4, 1))]

    net = theanets.Regressor([2, 1])
    cosine = {"form": "cosine", "unit": "update"}
    hint = "give max_updates=<number>, or epochs= and train_batches=, to train"
    with pytest.raises(ConfigurationError, match=hint):
        net.train(batches(), epochs=2, learning_rate_schedule=cosine)
    for limits in ({"max_updates": 4}, {"epochs": 2, "train_batches": 2}):
        net.train(batches(), algo="sgd", learning_rate_schedule=cosine, **limits)
        assert net.history["updates"][-1] == 4


@pytest.mark.parametrize("name", ["cosine", "one-cycle", "constant", "plateau"])
def test_plain_names_in_training(name):
    net = theanets.Regressor([2, 1], rng=0)
    data = [np.zeros((64, 2)), np.ones((64, 1))]
    # Two updates in each epoch.
    net.train(data, learning_rate=0.1, learning_rate_schedule=name, epochs=4, patience=None)
    rates = net.history["learning_rate"]
    expected = {
        "cosine": [0.1 * (1 + math.cos(math.pi * t / 4)) / 2 for t in range(4)],
        "constant": [0.1] * 4,
    }
    if name in expected:
        assert rates == pytest.approx(expected[name])
    if name == "one-cycle":
        schedule = build({"form": "one-cycle", "total": 8})
        assert rates == pytest.approx([0.1 * schedule.factor(u, 0) for u in (1, 3, 5, 7)])


def test_limits_of_updates_count_too():
    net = theanets.Regressor([2, 1], rng=0)
    data = [np.zeros((64, 2)), np.ones((64, 1))]
    net.train(data, learning_rate_schedule="cosine", learning_rate=0.1, max_updates=5)
    assert net.history["learning_rate"] == pytest.approx([0.1, 0.075, 0.025])
    with pytest.raises(ConfigurationError, match="the run has no limit"):
        net.train(data, learning_rate_schedule="cosine")
    for name, needed in [("step", "'every'"), ("warmup", "'updates'"), ("exponential", "decay")]:
        with pytest.raises(ConfigurationError, match=needed):
            net.train(data, learning_rate_schedule=name, epochs=1)


def test_a_checkpoint_of_another_length_is_refused(tmp_path):
    data = [np.zeros((64, 2)), np.ones((64, 1))]
    for epochs in (2, 2):
        net = theanets.Regressor([2, 1], rng=0)
        net.train(data, learning_rate_schedule="cosine", epochs=epochs, checkpoint=tmp_path / "c")
    with pytest.raises(theanets.errors.FileError, match="total was 2, now is 3"):
        net = theanets.Regressor([2, 1], rng=0)
        net.train(data, learning_rate_schedule="cosine", epochs=3, checkpoint=tmp_path / "c")
