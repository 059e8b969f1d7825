"""Runs of several processes: rank 0 decides, and all do the same."""

import itertools
import os
import signal

import numpy as np
import pytest
from group_cases import FAST, assert_same, columns, cut, data, regressor, trained

import theanets
from theanets import spmd


def failures(make, size=3, **kwargs):
    """Train, and get the exceptions of all processes, and their networks."""
    nets = [make() for _ in range(size)]
    shards = cut(data())

    def work(group):
        given = kwargs | (kwargs["only"](group) if "only" in kwargs else {})
        given.pop("only", None)
        return spmd.train(
            nets[group.rank], group, {group.rank: shards[group.rank]}, **FAST, **given
        )

    with pytest.raises(BaseExceptionGroup) as caught:
        spmd.together(size, work, timeout=30)
    return caught.value.exceptions, nets


def test_callbacks_are_called_by_rank_0_and_stop_all():
    seen = []

    def stop(run):
        seen.append(run.epoch)
        if run.epoch == 2:
            run.stop("enough")

    net = trained(regressor, cut(data()), 3, epochs=9, callbacks=stop)
    assert seen == [1, 2]
    assert net.history.stop_reason == "enough"
    assert len(net.history) == 2


def test_a_callback_stops_all_after_an_update():
    class Stop(theanets.Callback):
        def batch(self, run):
            if run.updates == 7:
                run.stop()

    net = trained(regressor, cut(data()), 3, batch_size=10, callbacks=Stop(), epochs=9)
    assert net.history["updates"] == [7]
    other = trained(regressor, cut(data()), 3, batch_size=10, max_updates=7)
    assert_same(net, other, 0, 0)
    assert columns(net) == columns(other)


def test_the_clock_is_that_of_rank_0(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(
        spmd.run.GroupRun,
        "seconds",
        property(lambda run: next(ticks) if run.exchange.first else 1e9),
    )
    net = trained(regressor, cut(data()), 2, batch_size=10, max_seconds=30)
    assert net.history.stop_reason == "time"
    assert net.history["updates"][-1] > 0


@pytest.mark.parametrize("where", ["prepare", "start", "batch", "epoch", "end"])
def test_an_exception_of_a_callback_ends_all(where):
    def fail(self, run):
        raise LookupError("in a callback")

    callback = type("Failing", (theanets.Callback,), {where: fail})
    before = regressor()
    (first, *others), nets = failures(regressor, epochs=2, callbacks=callback())
    assert isinstance(first, LookupError)
    for error in others:
        assert isinstance(error, theanets.GroupError)
        assert "rank 0 failed: LookupError: in a callback" in str(error)
    for net in nets[1:]:
        assert_same(net, nets[0], 0, 0)
    if where in ("prepare", "start"):
        assert_same(nets[0], before, 0, 0)


def test_an_exception_in_a_batch_ends_all(monkeypatch):
    take = theanets.data.Dataset.take

    def broken(self, positions):
        if "shard 1" in self.where and next(calls) == 5:
            raise OSError("the disk is gone")
        return take(self, positions)

    calls = itertools.count()
    monkeypatch.setattr(theanets.data.Dataset, "take", broken)
    (first, second, third), nets = failures(regressor, batch_size=10)
    assert isinstance(second, OSError)
    for error in (first, third):
        assert "rank 1 failed: OSError: the disk is gone" in str(error)
    for net in nets:
        assert net.history.stop_reason == "error"
        assert_same(net, nets[0], 0, 0)


def test_nobody_validates_once_the_group_has_failed():
    class Failing:
        def __init__(self, group):
            self.rank, self.size, self.sums = group.rank, group.size, 0
            self._group = group

        def sum(self, array):
            self.sums += 1
            if self.sums > 20:
                raise ConnectionError("a peer has gone")
            return self._group.sum(array)

        def broadcast(self, data):
            return self._group.broadcast(data)

    groups = []
    nets = [regressor() for _ in range(2)]
    shards = cut(data(), [60, 43])

    def work(group):
        groups.append(Failing(group))
        return spmd.train(
            nets[group.rank], groups[-1], {group.rank: shards[group.rank]}, batch_size=5, **FAST
        )

    with pytest.raises(BaseExceptionGroup) as caught:
        spmd.together(2, work, timeout=30)
    for error, group in zip(caught.value.exceptions, groups, strict=True):
        assert isinstance(error, theanets.GroupError)
        assert isinstance(error.__cause__, ConnectionError)
        assert group.sums == 21
    assert_same(nets[0], regressor(), 0, 0)  # the best that was validated, before the first update


def test_ctrl_c_is_told_by_rank_0():
    class Interrupt(theanets.Callback):
        def batch(self, run):
            if run.updates == 3:
                raise KeyboardInterrupt

    net = trained(regressor, cut(data()), 3, batch_size=10, callbacks=Interrupt())
    assert net.history.stop_reason == "interrupted"
    assert net.history["updates"] == [3]
    assert net.history["valid_loss"][0] == pytest.approx(net.result[1]["loss"])


def test_a_signal_is_noted_and_the_run_ends_in_order():
    class Interrupt(theanets.Callback):
        def batch(self, run):
            if run.updates == 3:
                os.kill(os.getpid(), signal.SIGINT)

    net = regressor()
    handler = signal.getsignal(signal.SIGINT)
    spmd.train(net, spmd.Alone(), cut(data()), batch_size=10, callbacks=Interrupt(), **FAST)
    assert net.history.stop_reason == "interrupted"
    assert net.history["updates"] == [3]
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_run_is_continued_by_any_number_of_processes(tmp_path, size):
    shards = cut(data())
    kwargs = {"batch_size": 10, "hidden_dropout": 0.2, "average": "ema", "train_batches": 4}
    path = tmp_path / "run.ckpt"
    whole = trained(regressor, shards, 3, epochs=6, **kwargs)
    trained(regressor, shards, 3, epochs=3, checkpoint=path, **kwargs)
    assert [p.name for p in tmp_path.iterdir()] == ["run.ckpt"]
    net = trained(
        lambda: theanets.Regressor([4, (6, "tanh"), 2], dtype="float64"),  # of other seeds
        shards,
        size,
        epochs=6,
        checkpoint=path,
        **kwargs,
    )
    assert net.seed == 3
    assert_same(net, whole, 0, 0 if size == 3 else 1e-13)
    np.testing.assert_allclose(net.history["valid_loss"], whole.history["valid_loss"], 1e-12)


def test_checkpoints_of_other_shards_and_broken_ones_are_refused(tmp_path):
    path = tmp_path / "run.ckpt"
    shards = cut(data())
    trained(regressor, shards, 2, epochs=1, checkpoint=path)
    with pytest.raises(theanets.FileError, match=r"shards\[0\] was 51, now is 50"):
        spmd.train(regressor(), spmd.Alone(), cut(data(), [50, 41, 12]), checkpoint=path, **FAST)
    with pytest.raises(theanets.FileError, match="other values"):
        spmd.train(regressor(), spmd.Alone(), cut(data(9)), checkpoint=path, **FAST)
    path.write_bytes(path.read_bytes()[:-50])
    (first, *others), _ = failures(regressor, checkpoint=path)
    assert isinstance(first, theanets.FileError)
    for error in others:
        assert "rank 0 failed: FileError" in str(error)


def test_a_checkpoint_that_cannot_be_written_ends_all(tmp_path, monkeypatch):
    def full(*arguments):
        raise theanets.FileError("the disk is full")

    monkeypatch.setattr(theanets.training.resume, "save", full)
    (first, *others), _ = failures(regressor, checkpoint=tmp_path / "run.ckpt", epochs=2)
    assert isinstance(first, theanets.FileError)
    assert all("the disk is full" in str(error) for error in others)


def test_parameters_and_seeds_are_those_of_rank_0():
    nets = [theanets.Regressor([4, 5, 2]) for _ in range(2)]
    shards = cut(data(), [60, 43])

    def work(group):
        kwargs = {"hidden_dropout": 0.5, "epochs": 2, **FAST}
        return spmd.train(nets[group.rank], group, {group.rank: shards[group.rank]}, **kwargs)

    for _ in range(2):
        first, second = spmd.together(2, work)
        assert first == second
        assert_same(*nets, 0, 0)
        assert nets[0].seed == nets[1].seed


def test_algorithms_one_after_the_other(tmp_path):
    net = trained(
        regressor,
        cut(data()),
        2,
        algo=["adam", "l-bfgs"],
        epochs=2,
    )
    alone = trained(regressor, cut(data()), 1, algo=["adam", "l-bfgs"], epochs=2)
    assert_same(net, alone)


@pytest.mark.parametrize("size", [2, 3])
def test_callbacks_must_not_change_parameters(size):
    def change(run):
        param = run.params[0]
        param.set_value(param.get_value() + 1e-9)

    found, _ = failures(regressor, size, epochs=3, callbacks=change)
    for error in found:
        assert isinstance(error, theanets.GroupError)
        assert "do not have the same parameters any more" in str(error)
