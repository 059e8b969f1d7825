"""What losses of a batch are divided by: on average, gradients are those of all data's loss."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets
from theanets.structure import builds
from theanets.training.counts import of_data

RNG = np.random.default_rng(8)
N, T = 24, 5
X, Y = RNG.normal(size=(N, 4)), RNG.normal(size=(N, 3))
LABELS = RNG.integers(0, 3, N)
W = np.where(RNG.uniform(size=(N, 3)) < 0.2, 20.0, RNG.uniform(size=(N, 3)))
W[:8] = 0  # some batches have no weight at all
LENGTHS = np.array([1] * 12 + [5] * 9 + [3] * 3)
SERIES, ANSWERS = RNG.normal(size=(N, T, 4)), RNG.normal(size=(N, T, 3))
MASK = (np.arange(T) < LENGTHS[:, None]).astype(float)


class Own(theanets.Loss, register=False):
    """A weighted mean of its own."""

    def __call__(self, outputs):
        squares = (outputs[self.output_name] - self._target) ** 2
        return (self._weights * squares).sum() / self._weights.sum()


def regressor(**kwargs):
    return theanets.Regressor([4, (3, "tanh"), 3], dtype="float64", rng=2, **kwargs)


def classifier(loss, **kwargs):
    return theanets.Classifier([4, 3], dtype="float64", rng=2, loss=loss, **kwargs)


def recurrent(*layers, **kwargs):
    layers = [4, *layers, dict(size=3, form="rnn", inputs="in"), 3]
    return theanets.recurrent.Regressor(layers, dtype="float64", rng=2, **kwargs)


def several():
    net = regressor(weighted=True)
    net.add_loss("mae", weight=0.5, target="other")
    net.add_loss("mse", weight=0.1, output_name="hid1", target="third", weighted=True)
    return net


CASES = {
    "weights": lambda: (regressor(weighted=True), [X, Y, W]),
    "examples": lambda: (regressor(weighted=True), [X, Y, W[:, 1]]),
    "batch": lambda: (
        regressor(weighted=True, loss=dict(form="mse", reduction="batch")),
        [X, Y, W],
    ),
    "labels": lambda: (classifier("xe", weighted=True), [X, LABELS, W[:, 0]]),
    "factors": lambda: (classifier(dict(form="xe", class_weight=[1, 20, 3])), [X, LABELS]),
    "ignored": lambda: (
        classifier(dict(form="xe", ignore_index=-1)),
        [X, np.where(np.arange(N) < 10, -1, LABELS)],
    ),
    "own": lambda: (regressor(loss=Own, weighted=True), [X, Y, W]),
    "several": lambda: (several(), [X, Y, W, 2 * Y, W[::-1], Y**2, W[:, 2]]),
    "mask": lambda: (recurrent(weighted=True), [SERIES, ANSWERS, MASK]),
    "lengths": lambda: (
        recurrent(dict(form="lengths", name="n", of="in")),
        dict(zip(["in", "n", "target"], [SERIES, LENGTHS, ANSWERS], strict=True)),
    ),
    "plain": lambda: (regressor(), [X, Y]),
}


def gradient(net, data):
    arrays = data if isinstance(data, dict) else dict(zip([v.name for v in net.variables], data))
    loss = net.loss()
    full = []
    for variable in net.variables:
        value = np.asarray(arrays[variable.name], variable.dtype)
        full.append(value.reshape(value.shape + (1,) * (variable.ndim - value.ndim)))
        if variable.name.endswith("weights"):
            target = arrays[variable.name.removesuffix("_weights").replace("weights", "target")]
            full[-1] = np.ascontiguousarray(np.broadcast_to(full[-1], np.shape(target)))
    return pytensor.function(net.variables, pytensor.grad(loss, net.params))(*full)


def moved(net, data, **options):
    """The steps of an epoch, over the rate."""
    rate = 1e-7
    before = [p.get_value() for p in net.params]
    for _ in net.itertrain(
        data, algo="sgd", learning_rate=rate, epochs=1, progress=False, momentum=0, **options
    ):
        after = [p.get_value() for p in net.params]
    return [(a - b) / rate for a, b in zip(before, after, strict=True)]


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_batches_are_on_average_that_of_all_data(case):
    net, data = CASES[case]()
    expected = gradient(net, data)
    for size in (1, 4, 12, N):
        if case == "own" and size < N:
            continue  # A batch without weights, and another one, are not the same to it.
        found = moved(net, data, batch_size=size)
        assert max(abs(g).max() for g in expected) > 1e-3
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one * size / N, other, rtol=1e-3, atol=1e-5)
    if case in ("plain", "batch"):
        return
    # And not if each batch is divided by its own count.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("theanets.training.counts.of_data", lambda count: False)
        builds.clear()  # else what was compiled for the network before is used again
        net, data = CASES[case]()
        found = moved(net, data, batch_size=4)
    off = [abs(a * 4 / N - b).max() for a, b in zip(found, expected, strict=True)]
    assert case == "own" or max(off) > 1e-3


def test_a_loss_of_ones_own_gets_the_weight_of_its_batch():
    net, data = CASES["own"]()
    ours, _ = CASES["weights"]()
    for one, other in zip(moved(net, data, batch_size=4), moved(ours, data, batch_size=4)):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", ["weights", "mask", "several", "factors"])
def test_batches_that_come_in_are_divided_by_the_mean_so_far(case):
    net, data = CASES[case]()
    batches = [[a[i : i + 8] for a in data] for i in range(0, N, 8)]
    weigh = dict(weights=W.sum(axis=1), mask=3 * MASK.sum(axis=1))
    found = moved(net, iter(batches), train_batches=3)
    total = [0.0 for _ in found]
    if case not in weigh:
        # The first batch of the second pass sees the mean of all.
        assert all(np.isfinite(f).all() for f in found)
        return
    counts = weigh[case]
    for i, batch in enumerate(batches):
        here, so_far = counts[8 * i : 8 * i + 8].sum(), counts[: 8 * i + 8].mean()
        if not here:
            continue
        for j, g in enumerate(gradient(net, batch)):
            total[j] = total[j] + g * here / (8 * so_far)
    for one, other in zip(found, total, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_a_run_on_a_stream_continues_with_the_means_it_had(tmp_path):
    class Stream:
        def __iter__(self):
            order = np.arange(N).reshape(3, 8)
            return iter([(X[i], Y[i], W[i]) for i in order])

    def train(net, **options):
        net.train(Stream(), [X, Y, W], algo="adam", progress=False, patience=None, **options)
        return [p.get_value() for p in net.params]

    once = train(regressor(weighted=True), epochs=4)
    train(regressor(weighted=True), epochs=2, checkpoint=tmp_path / "run.st")
    again = train(regressor(weighted=True), epochs=4, checkpoint=tmp_path / "run.st")
    for one, other in zip(once, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_any_weight_so_far_nothing_is_learnt():
    net = regressor(weighted=True)
    stream = iter([(X, Y, np.zeros(N))])
    for found in moved(net, stream, valid=[X, Y, W], train_batches=1):
        assert not found.any()


def test_lbfgs_and_a_step_on_all_data_have_one_objective():
    net, data = CASES["weights"]()
    net.train(data, algo="l-bfgs", progress=False, epochs=300, tolerance=0, gradient_tolerance=1e-9)
    for found in moved(net, data, batch_size=N):
        assert abs(found).max() < 1e-5


@pytest.mark.linker
@pytest.mark.parametrize("size", [1, 32])
def test_the_rate_of_a_rare_class_is_that_of_its_weights(size):
    # Dividing by a batch's own weights gave .05 and .45.
    labels = (np.arange(640) % 20 == 0).astype(int)
    data = [np.zeros((640, 1)), labels, np.where(labels, 20.0, 1.0)]
    right = 20 / (20 + 19)
    net = theanets.Classifier([1, 2], weighted=True, rng=1)
    rate = dict(learning_rate=0.002 * size**0.7, epochs=25 if size == 1 else 60)
    net.train(data, algo="adam", batch_size=size, patience=None, progress=False, **rate)
    assert net.predict_proba(data[0][:1])[0, 1] == pytest.approx(right, abs=0.02)
    assert net.history.best_epoch > 0


def test_what_counts_depend_on():
    x, w = pt.matrix("x"), pt.matrix("w")
    p = pytensor.shared(np.ones(3), name="p")
    assert of_data(w.sum())
    assert of_data(pt.neq(w, 0).sum() * x.shape[0])
    assert not of_data((x @ w).size.astype("float64"))
    assert not of_data(x.shape[0] * pt.as_tensor(3))
    assert not of_data((w * p).sum())


@pytest.mark.parametrize("name", ["mse", "mae", "xe", "bce", "kl", "hinge"])
def test_losses_without_weights_are_divided_as_ever(name):
    loss = theanets.Loss.build(name)
    net = (theanets.Classifier if loss.labels else theanets.Regressor)([4, 3], loss=name)
    outputs = net.outputs()
    for bound in net.losses:
        assert not of_data(bound.terms(outputs)[1])
