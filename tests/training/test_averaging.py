"""Averages of parameters: what they are, what is validated, what remains, and resuming."""

import itertools

import numpy as np
import pytest

import theanets
from theanets.errors import ConfigurationError, FileError, UnknownNameError
from theanets.training.averaging import EMA, SWA, build

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4)).astype("float32")
Y = np.sin(X[:, :2])
PACKAGES = {"JAX": "jax", "PYTORCH": "torch"}
OPTIONS = dict(algo="sgd", learning_rate=0.3, batch_size=10, patience=None)


def make(layers=(4, (5, "tanh"), "batch_norm", 2), mode="FAST_COMPILE"):
    return theanets.Regressor(list(layers), rng=1, mode=mode)


def values(net):
    return [v.get_value() for v in [*net.params, *net.state]]


class Path(theanets.Callback):
    """Keeps the parameters after each update, and after each epoch, and all validations."""

    def __init__(self):
        self.updates, self.epochs, self.valid = [], [], []

    def start(self, run):
        self.updates.append(values(run.network))

    def batch(self, run):
        self.updates.append(values(run.network))

    def epoch(self, run):
        self.epochs.append(values(run.network))
        self.valid.append(dict(run.valid))


def plain(epochs, **options):
    path = Path()
    make().train([X, Y], epochs=epochs, callbacks=path, **OPTIONS, **options)
    return path


def same(one, other, rtol=1e-4):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6)


def ema(path, momentum):
    found = [np.array(v, "float64") for v in path.updates[0]]
    for now in path.updates[1:]:
        found = [momentum * a + (1 - momentum) * v for a, v in zip(found, now, strict=True)]
    return found


def swa(path, start):
    return [np.mean(v, axis=0) for v in zip(*path.epochs[start - 1 :], strict=True)]


def loss_of(found):
    net = make()
    for variable, value in zip([*net.params, *net.state], found, strict=True):
        variable.set_value(value.astype("float32"))
    return net.evaluate([X, Y])["loss"]


def averaged(average, epochs, net=None, **options):
    """Train without any choice among validations; get all that was, and the last average."""
    net, path, shown = net or make(), Path(), []

    def last(run):
        with run.averages.shown():
            shown.append(values(net))

    options = {**OPTIONS, **options}
    net.train([X, Y], epochs=epochs, average=average, callbacks=[path, last], **options)
    return net, path, shown[-1]


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_exponential_means_are_those_of_numpy(momentum):
    path = plain(4)
    assert len(path.updates) == 1 + 4 * 4
    net, own, found = averaged({"form": "ema", "momentum": momentum}, 4)
    # The parameters themselves go their way as without.
    for one, other in zip(path.updates, own.updates, strict=True):
        same(one, other, rtol=0)
    same(found, ema(path, momentum))
    assert own.valid[-1]["loss"] == pytest.approx(loss_of(found), rel=1e-4)
    # At the end there are those averages that were best.
    best = min(row["loss"] for row in own.valid)
    initial = net.history.initial["loss"]
    assert net.evaluate([X, Y])["loss"] == pytest.approx(min(best, initial), rel=1e-5)


@pytest.mark.parametrize("start", [1, 3, 6])
def test_stochastic_weight_averages_are_those_of_numpy(start):
    path = plain(6)
    net, own, found = averaged({"form": "swa", "start": start}, 6)
    for one, other in zip(path.epochs, own.epochs, strict=True):
        same(one, other, rtol=0)
    same(found, swa(path, start))
    before, after = own.valid[: start - 1], own.valid[start - 1 :]
    for row, one in zip(before, path.valid, strict=False):
        assert row == one
    assert after[-1]["loss"] == pytest.approx(loss_of(found), rel=1e-4)
    # The best is one of the averages, whatever was validated before.
    best = min(row["loss"] for row in after)
    assert net.evaluate([X, Y])["loss"] == pytest.approx(best, rel=1e-5)
    assert net.history.best_epoch >= start


def test_averages_count_though_parameters_were_better_before():
    # A rate that grows: the parameters become worse, and so do their averages.
    def grows(update, epoch):
        return 8.0 if epoch > 3 else 1.0

    options = dict(learning_rate_schedule=grows, learning_rate=0.1)
    net, path, _ = averaged({"form": "swa", "start": 5}, 7, **options)
    losses = [row["loss"] for row in path.valid]
    assert min(losses[:4]) < min(losses[4:])
    assert net.evaluate([X, Y])["loss"] == pytest.approx(min(losses[4:]), rel=1e-5)


def test_patience_waits_for_averages():
    options = dict(patience=0, learning_rate=10.0, epochs=9, algo="sgd", batch_size=10)
    net = make((4, 2))
    net.train([X, Y], average={"form": "swa", "start": 6}, max_gradient_norm=1, **options)
    assert net.history["epoch"][-1] >= 7
    net = make((4, 2))
    net.train([X, Y], max_gradient_norm=1, **options)
    assert net.history["epoch"][-1] < 6


def test_the_last_quarter_by_default():
    assert SWA().for_run(8).start == 7
    assert SWA().for_run(1).start == 1
    assert SWA(start=2).for_run(8).start == 2
    net = make()
    same(averaged("swa", 8)[2], swa(plain(8), 7))
    with pytest.raises(ConfigurationError, match=r"give epochs=<number>, or average=\{'form'"):
        net.train([X, Y], average="swa", **OPTIONS)
    assert net.train([X, Y], average="swa", max_updates=3, **OPTIONS)


def test_options_and_names():
    assert (build("EMA").momentum, build(EMA).momentum, build(None)) == (0.99, 0.99, None)
    assert build({"form": "ema", "momentum": 0.5}).described() == {"form": "ema", "momentum": 0.5}
    train = make().train
    for wrong, match in [
        ("emaa", "'ema'"),
        ({"form": "ema", "decay": 0.9}, "momentum"),
        ({"form": "ema", "momentum": 1.0}, r"momentum=1.0"),
        ({"form": "swa", "start": 0}, "start=0"),
        ({"start": 3}, "average="),
        (True, "average=True"),
    ]:
        with pytest.raises(ConfigurationError, match=match):
            train([X, Y], epochs=1, average=wrong)
    with pytest.raises(UnknownNameError):
        train([X, Y], epochs=1, average="mean")
    with pytest.raises(ConfigurationError, match=r"use_ema.*average"):
        train([X, Y], epochs=1, use_ema=True)


@pytest.mark.parametrize(
    "average",
    [{"form": "ema", "momentum": 0.7}, {"form": "swa", "start": 2}, {"form": "swa", "start": 4}],
    ids=["ema", "swa", "later"],
)
@pytest.mark.parametrize("every", [1, 3])
def test_a_run_continues_to_the_same_bits(average, every, tmp_path):
    options = dict(OPTIONS, average=average, validate_every=every)
    whole = make()
    whole.train([X, Y], epochs=6, **options)
    path = tmp_path / "run"
    make().train([X, Y], epochs=3, checkpoint=path, **options)
    net = make()
    net.train([X, Y], epochs=6, checkpoint=path, **options)
    for one, other in zip(values(net), values(whole), strict=True):
        np.testing.assert_array_equal(one, other)
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in n.history]
        for n in (net, whole)
    ]
    assert rows[0] == rows[1]
    for other in (None, {"form": "ema", "momentum": 0.6}):
        with pytest.raises(FileError, match="average"):
            make().train([X, Y], epochs=6, checkpoint=path, **{**options, "average": other})


def test_a_start_by_default_is_said_where_limits_are_raised(tmp_path):
    options = dict(OPTIONS, average="swa", checkpoint=tmp_path / "run")
    make().train([X, Y], epochs=4, **options)
    with pytest.raises(FileError, match=r"average.start was 4, now is 7, a quarter .* 'start'"):
        make().train([X, Y], epochs=8, **options)


def test_between_epochs_the_network_has_its_parameters_and_at_the_end_averages(tmp_path):
    path, net = plain(5), make()
    average = {"form": "ema", "momentum": 0.9}
    saved = tmp_path / "saved"
    options = dict(OPTIONS, average=average, save_progress=saved, save_every=1)
    shown = []
    for number, _ in enumerate(net.itertrain([X, Y], epochs=9, **options)):
        same(values(net), path.epochs[number], rtol=0)
        shown.append(values(theanets.Network.load(saved)))
        if number == 4:
            break
    # A file has what was validated.
    same(shown[-1], ema(path, 0.9))
    best = net.history.best_epoch
    same(values(net), shown[best - 1])
    assert net.history.stop_reason == "closed"


def test_best_ones_are_saved(tmp_path):
    net = make()
    save = theanets.callbacks.SaveBest(tmp_path / "best")
    seen = []

    def look(run):
        if run.best_epoch == run.epoch:
            found = theanets.Network.load(tmp_path / "best").evaluate([X, Y])["loss"]
            seen.append((found, run.best_loss))

    net.train([X, Y], epochs=4, average="ema", callbacks=[save, look], **OPTIONS)
    assert seen
    for found, best in seen:
        assert found == pytest.approx(best, rel=1e-5)


def test_frozen_parameters_and_constraints():
    average = {"form": "ema", "momentum": 0.8}
    net = make()
    before = dict(
        zip([p.name for p in net.params], [p.get_value() for p in net.params], strict=True)
    )
    options = dict(OPTIONS, freeze="hid1", max_norm={"out.w": 0.2})
    net.train([X, Y], epochs=3, average=average, **options)
    np.testing.assert_allclose(net.find("hid1", "w").get_value(), before["hid1.w"], rtol=1e-6)
    # A mean of vectors of a norm of at most 0.2.
    assert np.linalg.norm(net.find("out", "w").get_value(), axis=0).max() <= 0.2001


def test_batches_without_data_to_validate_on():
    def batches():
        return itertools.cycle([[X[:20], Y[:20]], [X[20:], Y[20:]]])

    net = make()
    train, _ = net.train(
        batches(),
        epochs=3,
        train_batches=2,
        average={"form": "swa", "start": 2},
        **{**OPTIONS, "batch_size": None},
    )
    assert np.isfinite(train["loss"])
    assert net.history.best_epoch >= 2


def test_algorithms_without_updates():
    net = make((4, 2))
    with pytest.raises(ConfigurationError, match="average='ema' is of single updates"):
        net.train([X, Y], algo="l-bfgs", epochs=3, average="ema")
    net.train([X, Y], algo="l-bfgs", epochs=3, average="swa")
    assert len(net.history) == 3


def test_what_diverges_leaves_what_was_best():
    net = make((4, 2))
    net.train([X, Y], algo="sgd", learning_rate=1e15, epochs=5, average={"form": "swa", "start": 2})
    assert net.history.stop_reason == "diverged"
    assert all(np.isfinite(v).all() for v in values(net))


def test_a_run_that_ends_before_averages_says_so(caplog):
    make((4, 2)).train([X, Y], epochs=2, average={"form": "swa", "start": 5}, **OPTIONS)
    assert "before averaging began" in caplog.text


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.linker
@pytest.mark.parametrize("mode", ["NUMBA", "JAX", "PYTORCH"])
def test_linkers_average_alike(mode):
    if mode in PACKAGES:
        pytest.importorskip(PACKAGES[mode])
    average = {"form": "ema", "momentum": 0.7}
    found = [averaged(average, 2, net=make(mode=m))[2] for m in ("FAST_COMPILE", mode)]
    same(*found, rtol=1e-3)
