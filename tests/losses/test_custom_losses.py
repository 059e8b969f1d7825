"""Losses of the user: classes and callables, with weights and without."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets

RNG = np.random.default_rng(7)
X = RNG.normal(size=(30, 4))
Y = RNG.normal(size=(30, 3))
W = RNG.uniform(size=(30, 3))
LABELS = RNG.integers(0, 3, 30)


class Step(theanets.Loss):
    def __call__(self, outputs):
        return (outputs[self.output_name] > 0).mean()


class WeightedStep(theanets.Loss):
    def __call__(self, outputs):
        step = outputs[self.output_name] > 0
        if self._weights is not None:
            return (self._weights * step).sum() / self._weights.sum()
        return step.mean()


class Quartic(theanets.Loss, names=("l4",)):
    """By a formula for each entry."""

    options = {"scale": 1.0}  # noqa: RUF012

    def errors(self, target, output):
        return self.scale * (target - output) ** 4


class OwnQuartic(theanets.Loss):
    """The same by the whole sum."""

    def __call__(self, outputs):
        errors = (self._target - outputs[self.output_name]) ** 4
        if self._weights is not None:
            return (self._weights * errors).sum() / self._weights.sum()
        return errors.mean()


def quartic(target, output):
    return (target - output) ** 4


def mean_quartic(target, output):
    return ((target - output) ** 4).mean()


def make(loss, **kwargs):
    return theanets.Regressor(
        [4, (5, "tanh"), 3], loss=loss, dtype="float64", **{"rng": 13, **kwargs}
    )


class Watch(theanets.Callback):
    def batch(self, run):
        self.values = [p.get_value() for p in run.params]
        run.stop()


def step(net, data):
    watch = Watch()
    net.train(data, algo="sgd", learning_rate=0.01, batch_size=30, callbacks=watch)
    return watch.values


# ---- the examples of the documentation -------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "weighted"), [("step", False), ("weightedstep", False), ("WeightedStep", True)]
)
def test_a_step_trains_without_a_gradient(loss, weighted):
    net = theanets.Regressor([5, 6, 7], loss=loss, weighted=weighted)
    x, y, w = RNG.normal(size=(30, 5)), np.zeros((30, 7)), RNG.uniform(size=(30, 7))
    data = [x, y, w] if weighted else [x, y]
    before = [p.get_value() for p in net.params]
    with pytest.warns(theanets.ZeroGradientWarning, match=r"hid1\.w, hid1\.b, out\.w, out\.b"):
        train, _ = net.train(data, epochs=2)
    for param, value in zip(net.params, before, strict=True):
        np.testing.assert_array_equal(param.get_value(), value)
    above = net.predict(x) > 0
    expected = (w * above).sum() / w.sum() if weighted else above.mean()
    assert train["loss"] == pytest.approx(expected, rel=1e-6)
    assert list(train) == ["loss", "err", loss.lower()]


def test_a_step_beside_a_loss_that_learns(rng):
    net = theanets.Regressor([5, 6, 7], loss="step")
    net.add_loss("mse")
    x, y = rng.normal(size=(30, 5)), rng.normal(size=(30, 7))
    before = net.evaluate([x, y])
    net.train([x, y], epochs=5)  # No warning.
    assert net.evaluate([x, y])["mse"] < before["mse"]


def test_the_warning_names_only_what_stays():
    net = theanets.Regressor(
        [4, {"size": 2, "name": "b"}, {"size": 3, "inputs": "in", "name": "out"}]
    )
    with pytest.warns(theanets.ZeroGradientWarning, match=r"respect to b\.w, b\.b:"):
        net.train([X, Y], epochs=1)


@pytest.mark.parametrize("flat", [pt.sign, pt.floor, pt.ceil, pt.trunc, pt.round])
def test_flat_functions_have_no_gradient(flat):
    net = make(lambda t, y: flat(y))
    with pytest.warns(theanets.ZeroGradientWarning, match=r"out\.w"):
        net.train([X, Y], epochs=1)


# ---- values and gradients, all forms ---------------------------------------------------------


FORMS = ["quartic", "L4", Quartic, Quartic(), OwnQuartic, "ownquartic", quartic, mean_quartic]


@pytest.mark.parametrize("form", FORMS)
def test_value_and_gradient(form):
    net = make(form)
    expected = ((Y - net.predict(X)) ** 4).mean()
    for size in (7, 30):
        assert net.evaluate([X, Y], batch_size=size)["loss"] == pytest.approx(expected)
    hidden = net.feed_forward(X)["hid1:out"]
    slope = -4 * (Y - net.predict(X)) ** 3 / Y.size
    w = net.find("out.w").get_value()
    np.testing.assert_allclose(step(net, [X, Y])[2], w - 0.01 * hidden.T @ slope, rtol=1e-9)


@pytest.mark.parametrize("form", [f for f in FORMS if f is not mean_quartic])
def test_weighted(form):
    net = make(form, weighted=True)
    if isinstance(form, theanets.Loss):
        net.set_loss(Quartic(weighted=True))
    data = [X, Y, W]
    expected = (W * (Y - net.predict(X)) ** 4).sum() / W.sum()
    for size in (7, 30):
        assert net.evaluate(data, batch_size=size)["loss"] == pytest.approx(expected)
    # Entries of weight 0 do not matter, even if they are NaN.
    w, y = W.copy(), Y.copy()
    w[:5], w[7, 1] = 0, 0
    clean = net.evaluate([X, y, w])["loss"]
    assert clean == pytest.approx((w * (Y - net.predict(X)) ** 4).sum() / w.sum())
    y[w == 0] = np.nan
    assert net.evaluate([X, y, w])["loss"] == pytest.approx(clean)
    start = [p.get_value() for p in net.params]
    one = step(net, [X, y, w])
    assert all(np.isfinite(value).all() for value in one)
    for param, value in zip(net.params, start, strict=True):
        param.set_value(value)
    two = step(net, [X, Y, w])
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    # Weights that are all 0 give loss 0 and gradient 0, and are nothing to train on.
    with pytest.raises(theanets.DataError, match="nothing counts for the loss"):
        net.train([X, Y, 0 * w], epochs=2, batch_size=10)
    assert net.evaluate([X, Y, 0 * w])["loss"] == 0
    function = pytensor.function(net.variables, pytensor.grad(net.loss(), net.params))
    assert all((g == 0).all() for g in function(X, Y, 0 * w))


def test_weights_that_are_all_zero_in_a_formula_that_has_no_value_for_them():
    class Root(theanets.Loss, register=False):
        def __call__(self, outputs):
            errors = pt.sqr(self._target - outputs[self.output_name])
            return pt.sqrt((self._weights * errors).sum() / self._weights.sum())

    net = make(Root, weighted=True)
    expected = np.sqrt((W * (Y - net.predict(X)) ** 2).sum() / W.sum())
    assert net.evaluate([X, Y, W])["loss"] == pytest.approx(expected)
    function = pytensor.function(
        net.variables, [net.loss(), *pytensor.grad(net.loss(), net.params)]
    )
    assert all((result == 0).all() for result in function(X, Y, 0 * W))


def test_options_of_a_class():
    net = make({"form": "quartic", "scale": 3, "weight": 2})
    expected = 3 * ((Y - net.predict(X)) ** 4).mean()
    found = net.evaluate([X, Y])
    assert found["quartic" if "quartic" in found else "l4"] == pytest.approx(expected)
    assert found["loss"] == pytest.approx(2 * expected)
    assert make(Quartic(scale=3)).evaluate([X, Y])["loss"] == pytest.approx(expected)
    net.losses[0].scale = 1
    assert net.evaluate([X, Y])["loss"] == pytest.approx(2 * expected / 3)


def test_labels():
    """A callable gets the labels; a class says that it wants them."""

    def error(target, output):
        return 1 - output[pt.arange(target.shape[0]), target]

    class Miss(theanets.Loss, register=False):
        labels = True

        def errors(self, target, output):
            return error(target, output)

    w = RNG.uniform(size=30)
    for loss in (error, Miss):
        for weighted in (False, True):
            net = theanets.Classifier([4, 3], loss=loss, weighted=weighted, dtype="float64")
            errors = 1 - net.predict_proba(X)[np.arange(30), LABELS]
            data = [X, LABELS, w] if weighted else [X, LABELS]
            expected = (w * errors).sum() / w.sum() if weighted else errors.mean()
            found = net.evaluate(data, batch_size=7)
            assert found["loss"] == pytest.approx(expected)
            assert "acc" in found
    head = theanets.Regressor([4, (3, "softmax")], loss=None, dtype="float64")
    head.add_loss(Miss, target="kind")
    assert head.evaluate({"in": X, "kind": LABELS})["loss"] == pytest.approx(
        (1 - head.predict(X)[np.arange(30), LABELS]).mean()
    )


def test_other_outputs():
    """A loss sees all outputs, and may be about a hidden one."""

    class Sparse(theanets.Loss, register=False):
        def __call__(self, outputs):
            return pt.abs(outputs[self.output_name]).mean() + outputs["out:out"].mean()

    net = make("mse")
    net.add_loss(Sparse, output_name="hid1", weight=0.5)
    outputs = net.feed_forward(X)
    expected = ((Y - outputs["out:out"]) ** 2).mean()
    expected += 0.5 * (np.abs(outputs["hid1:out"]).mean() + outputs["out:out"].mean())
    assert net.evaluate([X, Y])["loss"] == pytest.approx(expected)


def test_constants_do_not_change_the_type():
    """A loss may be written with plain numbers, and float32 stays float32."""
    net = theanets.Regressor([4, 3], loss=lambda t, y: 0.5 * pt.sqr(t - y) + 1e-3 * pt.abs(y))
    assert net.loss().dtype == "float32"
    net.train([X, Y], epochs=1)
    assert {p.get_value().dtype for p in net.params} == {np.dtype("float32")}


def test_a_loss_is_given_as_a_class_of_the_package():
    assert theanets.Loss.build("l4").name == "l4"
    assert theanets.Loss.build("quartic").log() == "1 * l4(out:out, target)"


def test_own_losses_survive_a_file(tmp_path):
    path = tmp_path / "net"
    net = make({"form": "l4", "scale": 3})
    net.save(path)
    other = theanets.Regressor.load(path)
    assert other.evaluate([X, Y]) == pytest.approx(net.evaluate([X, Y]))
    net = make(quartic)
    net.save(path)
    with pytest.raises(theanets.FileError, match="quartic"):
        theanets.Regressor.load(path)
    other = theanets.Regressor.load(path, custom={"quartic": quartic})
    assert other.evaluate([X, Y]) == pytest.approx(net.evaluate([X, Y]))


# ---- series of different lengths ----------------------------------------------------------------


STEPS = (5, 2, 4)
SERIES = [RNG.normal(size=(n, 4)) for n in STEPS]
TARGETS = [RNG.normal(size=(n, 3)) for n in STEPS]


def make_recurrent(loss, **kwargs):
    layers = [4, dict(form="lengths", name="lengths"), (5, "rnn"), 3]
    return theanets.recurrent.Regressor(layers, loss=loss, dtype="float64", **{"rng": 13, **kwargs})


def expected(net, weights=None):
    weights = [np.ones_like(y) for y in TARGETS] if weights is None else weights
    errors = [(net.predict([x[None], [len(x)]])[0] - y) ** 4 for x, y in zip(SERIES, TARGETS)]
    total = sum((w * e).sum() for w, e in zip(weights, errors))
    return total / sum(w.sum() for w in weights)


@pytest.mark.parametrize("loss", [quartic, "l4", "ownquartic"])
@pytest.mark.parametrize("weighted", [False, True])
def test_only_steps_that_exist_count(loss, weighted):
    net = make_recurrent(loss, weighted=weighted)
    weights = [RNG.uniform(size=y.shape) for y in TARGETS] if weighted else None
    padded = [theanets.recurrent.pad(a, 9.0)[0] for a in (SERIES, TARGETS, weights or TARGETS)]
    x, y, w = padded
    data = [x, STEPS, y, w] if weighted else [x, STEPS, y]
    assert net.evaluate(data)["loss"] == pytest.approx(expected(net, weights), rel=1e-12)
    assert net.losses[0]._weights is (net.variables[-1] if weighted else None)
    plain = theanets.recurrent.Regressor([4, (5, "rnn"), 3], loss=loss, rng=13, dtype="float64")
    if not weighted:
        found = plain.evaluate([SERIES, TARGETS])["loss"]
        assert found == pytest.approx(expected(net), rel=1e-12)


def test_a_scalar_over_series_of_different_lengths_is_refused():
    message = r"'mean_quartic' is of series of different lengths, .* of 3 dimensions such as \(tar"
    with pytest.raises(theanets.ConfigurationError, match=message):
        make_recurrent(mean_quartic).evaluate([SERIES, TARGETS])
    net = theanets.recurrent.Regressor([4, (5, "rnn"), 3], loss=mean_quartic, dtype="float64")
    x, y = RNG.normal(size=(6, 5, 4)), RNG.normal(size=(6, 5, 3))
    found = ((net.predict(x) - y) ** 4).mean()
    assert net.evaluate([x, y])["loss"] == pytest.approx(found, rel=1e-12)
    with pytest.raises(theanets.ConfigurationError, match=message):
        net.evaluate([SERIES, TARGETS])


class ByExample(theanets.Loss):
    """Targets are series of another time: as many as there are of them, whatever the outputs."""

    by_step = False

    def __call__(self, outputs):
        assert self._weights is None
        return ((outputs[self.output_name].sum(axis=1) - self._target.sum(axis=1)) ** 2).mean()


def test_targets_of_another_time_are_not_masked():
    net = make_recurrent("byexample")
    y = RNG.normal(size=(3, 9, 3))
    sums = np.array([net.predict([x[None], [len(x)]])[0].sum(axis=0) for x in SERIES])
    found = net.evaluate([SERIES, y])["loss"]
    assert found == pytest.approx(((sums - y.sum(axis=1)) ** 2).mean(), rel=1e-12)
