"""Every ending of training, and what the network is after it."""

import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import theanets
from theanets.errors import ConfigurationError, DataError

ONE = [np.zeros((1, 1), "float32"), np.zeros((1, 1), "float32")]


def regression(n=64, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype("float32")
    return x, np.sin(x.sum(axis=1, keepdims=True)).astype("float32")


def values(net):
    return {p.name: p.get_value() for p in [*net.params, *net.state]}


@pytest.fixture(scope="module")
def used():
    # The running means of batch_norm belong to the best parameters.
    net = theanets.Regressor([4, (6, "tanh"), "batch_norm", 1])
    return net, values(net)


@pytest.fixture
def net(used):
    net, start = used
    for param in [*net.params, *net.state]:
        param.set_value(start[param.name])
    net._runs = 0
    return net


DATA = regression()
VALID = regression(50, seed=1)


class Ending(theanets.Callback):
    """Ends a run in some way in update 10, the second of the third epoch of four updates."""

    def __init__(self, end):
        self.do_end, self.ended = end, 0

    def batch(self, run):
        if run.updates == 10:
            self.do_end(run)

    def end(self, run):
        self.ended += 1
        self.reason = run.history.stop_reason
        self.values = values(run.network)


def interrupt(run):
    raise KeyboardInterrupt


def interrupt_compiled(run):
    # What Ctrl-C becomes in Numba's code.
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        raise SystemError("returned a result with an exception set") from error


def spoil(run):
    run.network.find("hid1.w").set_value(np.full((4, 6), np.nan, "float32"))


def check(net, column=None):
    """Check that the network holds the best parameters of all validations."""
    column = [v for v in column or net.history["valid_loss"] if v is not None]
    finite = [v for v in column if np.isfinite(v)]
    assert net.evaluate(VALID)["loss"] == min(finite)
    assert net.history["valid_loss"][net.history.best_epoch - 1] == min(finite)


CAREFUL = dict(algo="sgd", learning_rate=0.1, batch_size=16, validate_every=7)


@pytest.mark.parametrize(
    ("end", "reason", "updates"),
    [
        (lambda run: run.stop(), "callback", 10),
        (lambda run: run.stop("enough"), "enough", 10),
        (interrupt, "interrupted", 10),
        (interrupt_compiled, "interrupted", 10),
        (spoil, "diverged", 11),
    ],
)
def test_endings_that_return(net, end, reason, updates):
    start = net.evaluate(VALID)["loss"]
    ending = Ending(end)
    train, valid = net.train(DATA, VALID, callbacks=ending, **CAREFUL)
    history = net.history
    assert history.stop_reason == ending.reason == reason
    assert (train, valid) == (net.evaluate(DATA), net.evaluate(VALID))
    # The last epoch, of which there was only a part, counts.
    assert history["updates"] == [4, 8, updates]
    assert history["train_loss"][2] is not None
    if reason == "diverged":
        assert history.best_epoch == 0
        assert valid["loss"] == start
    else:
        assert history["valid_loss"][:2] == [None, None]
        assert history.best_epoch == 3
        check(net)
    assert ending.ended == 1
    for name, value in values(net).items():
        np.testing.assert_array_equal(ending.values[name], value)


def test_monitors_of_a_part_of_an_epoch():
    # Two of four batches: those monitors, not the mean over all.
    net = theanets.Regressor([4, (6, "tanh"), 1])
    seen = []

    def draw():
        seen.append(regression(16, seed=len(seen)))
        return seen[-1]

    class Interrupt(theanets.Callback):
        def batch(self, run):
            if run.updates == 2:
                raise KeyboardInterrupt

    kwargs = dict(algo="sgd", learning_rate=1e-30, train_batches=4)
    net.train(draw, VALID, callbacks=Interrupt(), **kwargs)
    both = [np.concatenate(parts) for parts in zip(*seen, strict=True)]
    assert len(seen) == 2
    np.testing.assert_allclose(net.history["train_loss"], [net.evaluate(both)["loss"]], rtol=1e-5)


@pytest.mark.parametrize("error", [RuntimeError, SystemError])
def test_exception_in_a_callback(net, error):
    def fail(run):
        raise error("no more")

    ending = Ending(fail)
    with pytest.raises(error, match="no more"):
        net.train(DATA, VALID, callbacks=ending, **CAREFUL)
    assert net.history.stop_reason == ending.reason == "error"
    assert net.history["updates"] == [4, 8, 10]
    assert net.history.best_epoch == 3
    check(net)


@pytest.mark.parametrize("where", ["train", "valid"])
def test_exception_in_the_data(net, where):
    def data():
        for i in range(6):
            yield regression(16, seed=i)
        raise OSError("disk")

    class Valid:
        count = 0

        def __iter__(self):
            Valid.count += 1
            if Valid.count > 2:
                raise OSError("disk")
            yield VALID

    Valid.count = 0
    with pytest.raises(OSError, match="disk"):
        if where == "train":
            net.train(data(), VALID, train_batches=4, algo="sgd", learning_rate=0.1)
        else:
            net.train(DATA, Valid(), algo="sgd", learning_rate=0.1)
    history = net.history
    assert history.stop_reason == "error"
    if where == "train":
        assert history["updates"] == [4, 6]
        check(net)
    else:
        assert history["valid_loss"] == [history["valid_loss"][0], None]
        assert net.evaluate(VALID)["loss"] == history["valid_loss"][0]


def test_bad_batch_in_the_middle(net):
    batches = [regression(16), regression(16), (np.zeros((3, 5)), np.zeros((3, 1)))]
    with pytest.raises(DataError, match="batch 3"):
        net.train(iter(batches), VALID, algo="sgd", learning_rate=0.1)
    assert net.history["updates"] == [2]
    check(net)


def test_break(net):
    for i, (_, _valid) in enumerate(net.itertrain(DATA, VALID, **CAREFUL)):
        if i == 2:
            break
    assert net.history.stop_reason == "closed"
    assert [v is None for v in net.history["valid_loss"]] == [True, True, False]
    check(net)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_exception_in_the_body_of_the_loop(net, error):
    with pytest.raises(error):
        for _ in net.itertrain(DATA, VALID, **CAREFUL):
            raise error
    assert net.history.stop_reason == "closed"
    check(net)


def test_worse_parameters_are_not_kept(net):
    # A rate at which the loss grows: the initial parameters are the best.
    start = values(net)
    for _ in net.itertrain(DATA, VALID, algo="sgd", learning_rate=300.0, patience=0):
        pass
    assert net.history.stop_reason in ("patience", "diverged")
    assert net.history.best_epoch == 0
    for name, value in values(net).items():
        np.testing.assert_array_equal(start[name], value)


def test_stopped_by_an_epoch_callback_between_validations(net):
    def enough(run):
        if run.epoch == 3:
            run.stop("enough")

    _, valid = net.train(DATA, VALID, callbacks=enough, **CAREFUL)
    assert net.history.stop_reason == "enough"
    assert (net.history.best_epoch, len(net.history)) == (3, 3)
    check(net)
    assert valid == net.evaluate(VALID)


def test_divergence_in_the_middle_of_an_epoch_is_noticed(net, caplog):
    count = 0

    def draw():
        nonlocal count
        count += 1
        if count == 300:
            net.find("out.b").set_value(np.array([np.nan], "float32"))
        return regression(16)

    before = net.evaluate(VALID)["loss"]
    with caplog.at_level("INFO", logger="theanets"):
        net.train(draw, VALID, train_batches=5000, algo="sgd", learning_rate=1e-3)
    assert net.history.stop_reason == "diverged"
    assert count < 600
    assert net.evaluate(VALID)["loss"] == before
    assert [r.levelname for r in caplog.records] == ["INFO", "WARNING"]
    assert "diverged" in caplog.text


def test_a_network_that_is_nan_from_the_start(net):
    spoil(type("Run", (), {"network": net}))
    _, valid = net.train(DATA, VALID, algo="sgd", learning_rate=0.1)
    assert net.history.stop_reason == "diverged"
    assert np.isnan(valid["loss"])


def test_max_seconds(net, monkeypatch):
    clock = [0.0]

    def tick():
        clock[0] += 0.25
        return clock[0]

    monkeypatch.setattr("theanets.training.loop.time.perf_counter", tick)
    net.train(DATA, VALID, max_seconds=5.1, **CAREFUL)
    assert net.history.stop_reason == "time"
    assert 5 < net.history["seconds"][-1] < 8
    check(net)
    net.train(DATA, VALID, max_seconds=0, **CAREFUL)
    assert (net.history.stop_reason, len(net.history)) == ("time", 0)


def test_the_end_is_logged(net, caplog):
    with caplog.at_level("INFO", logger="theanets"):
        net.train(DATA, epochs=2, algo="sgd")
    assert "epochs, after 2 epochs and 4 updates" in caplog.text


def test_real_interruption():
    """Ctrl-C in another process, at some moment of its training."""
    script = """
        import signal
        import numpy as np, pytensor, theanets
        # What runs in the background may have been told to ignore it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        pytensor.config.mode = "FAST_COMPILE"
        rng = np.random.default_rng(0)
        data = rng.normal(size=(999, 4)), rng.normal(size=(999, 1))
        net = theanets.Regressor([4, 6, 1])

        def begin(run):
            if run.epoch == 1:
                print("go", flush=True)

        for size in (1, 32, 500, 1):
            kwargs = dict(algo="sgd", learning_rate=1e-4, patience=None, callbacks=begin)
            returned = net.train(data, batch_size=size, **kwargs)
            assert returned == (net.evaluate(data), net.evaluate(data))
            assert returned[1]["loss"] <= min(net.history["valid_loss"])
            print(net.history.stop_reason, flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    with process:
        for wait in (0.02, 0.0, 0.01, 0.05):
            assert process.stdout.readline() == "go\n"
            time.sleep(wait)
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "interrupted\n"
    assert process.returncode == 0


def test_a_run_that_is_left_when_python_ends_says_nothing():
    script = """
        import numpy as np, theanets
        net = theanets.Regressor([2, 1], mode="FAST_COMPILE")
        run = net.itertrain([np.zeros((8, 2)), np.zeros((8, 1))], validate_every=9, patience=0)
        next(run)
        def more(): next(run)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")


class During(theanets.Callback):
    """Trains the network in one of the methods of a callback."""

    def __init__(self, net, method):
        self.net, self.done = net, False
        setattr(self, method, self.train)

    def train(self, run):
        if not self.done:
            self.done = True
            self.net.train(ONE, algo="sgd", epochs=1)


@pytest.mark.parametrize("method", ["prepare", "start", "batch", "epoch", "end"])
def test_a_callback_cannot_train_its_network(method):
    net = theanets.Regressor([1, 1], rng=1)
    before = net.find("out.w").get_value()
    with pytest.raises(ConfigurationError, match=r"cannot train it too.*run.stop\(\)"):
        net.train([ONE[0] + 1, ONE[1]], algo="sgd", epochs=2, callbacks=During(net, method))
    # What the run found best is there, and the next one may begin.
    assert net.history.stop_reason == ("epochs" if method == "end" else "error")
    assert np.array_equal(net.find("out.w").get_value(), before) == (method in ("prepare", "start"))
    net.train(ONE, algo="sgd", epochs=1)
    assert net.history.stop_reason == "epochs"


def test_a_callback_may_train_another_network_and_a_loop_the_same():
    net, other = theanets.Regressor([1, 1]), theanets.Regressor([1, 1])
    net.train(ONE, algo="sgd", epochs=1, callbacks=During(other, "epoch"))
    assert len(other.history) == 1
    for _ in net.itertrain(ONE, algo="sgd", epochs=3):
        net.train(ONE, algo="sgd", epochs=2)
        assert len(net.history) == 2


@pytest.mark.parametrize(("raised", "warns"), [({"epochs": 3}, True), ({}, False)])
def test_several_algorithms_of_which_an_earlier_one_goes_on(tmp_path, caplog, raised, warns):
    def train(**limits):
        net = theanets.Regressor([1, 1], rng=1)
        path = tmp_path / "run.ckpt"
        net.train(ONE, algo=["sgd", "adam"], checkpoint=path, **{"epochs": 2, **limits})

    train()
    caplog.clear()
    train(**raised)
    assert any("algorithm before has gone on" in message for message in caplog.messages) == warns
