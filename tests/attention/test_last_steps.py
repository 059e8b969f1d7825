"""Layers that attend with last=True: of each series, the output of the last step that exists."""

import io

import numpy as np
import pytest

import theanets

LENGTHS = [7, 4, 1, 9]
LAYERS = {
    "attention": dict(form="attention", heads=2, activation="tanh"),
    "causal": dict(form="attention", heads=2, causal=True, window=3, position="rotary"),
    "transformer": dict(form="transformer", heads=2, hidden=6),
    "two, post": dict(form="transformer", heads=2, causal=True, repeat=2, norm="post"),
    "lstm": dict(form="lstm", size=4),
}


def network(layer, *, lengths=False, model=theanets.recurrent.Regressor, **options):
    options = {"rng": 1, "dtype": "float64", "mode": "FAST_COMPILE", **options}
    holder = [dict(form="lengths", name="n")] if lengths else []
    return model([4, *holder, {**layer, "name": "att"}, 2], **options)


@pytest.fixture
def series(rng):
    return [rng.normal(size=(n, 4)) for n in LENGTHS]


@pytest.mark.parametrize("what", LAYERS)
def test_last_is_the_last_step_of_each_series(what, series):
    every, last = network(LAYERS[what]), network({**LAYERS[what], "last": True})
    for p, q in zip(every.params, last.params, strict=True):
        q.set_value(p.get_value())
    found = last.feed_forward(series, training=True)["att:out"]
    steps = every.feed_forward(series)["att:out"]
    assert found.shape == (4, 4) and last.predict(series).shape == (4, 2)
    for i, n in enumerate(LENGTHS):
        np.testing.assert_allclose(found[i], steps[i, n - 1], rtol=1e-12)
        # Whatever else is in the batch.
        alone = last.feed_forward(series[i][None])["att:out"][0]
        np.testing.assert_allclose(found[i], alone, rtol=1e-9)


@pytest.mark.parametrize("what", ["attention", "transformer", "lstm"])
def test_a_series_without_steps_has_zeros(what, rng):
    net = network({**LAYERS[what], "last": True}, lengths=True)
    x = np.full((2, 5, 4), np.nan)
    x[0, :3] = rng.normal(size=(3, 4))
    outputs = net.feed_forward({"in": x, "n": np.array([3, 0])})
    assert np.abs(outputs["att:out"][0]).min() > 0 and not outputs["att:out"][1].any()


def test_one_target_for_each_series(series, rng):
    """Losses, and what training does, are those of the series alone."""
    labels = rng.integers(0, 2, size=4)
    layer = {**LAYERS["attention"], "last": True}
    net = network(layer, model=theanets.recurrent.Classifier)
    each = [net.evaluate([x[None], y[None]])["loss"] for x, y in zip(series, labels)]
    assert net.evaluate([series, labels])["loss"] == pytest.approx(np.mean(each), rel=1e-10)
    options = dict(algo="sgd", learning_rate=0.1, momentum=0, epochs=1)
    before = [p.get_value() for p in net.params]
    net.train([series, labels], batch_size=4, **options)
    moved = [p.get_value() - a for p, a in zip(net.params, before)]
    total = [np.zeros_like(a) for a in before]
    for x, y in zip(series, labels):
        for p, a in zip(net.params, before):
            p.set_value(a)
        net.train([x[None], y[None]], batch_size=1, **options)
        for t, p, a in zip(total, net.params, before):
            t += (p.get_value() - a) / 4
    for a, b in zip(moved, total):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-12)
    assert all(np.abs(a).max() > 0 for a in moved)


@pytest.mark.parametrize("what", ["causal", "two, post"])
def test_series_that_go_on(what, series):
    net = network({**LAYERS[what], "last": True})
    x = np.stack([series[0], series[3][:7]])
    _, state = net.predict(x[:, :4], return_state=True)
    np.testing.assert_allclose(net.predict(x[:, 4:], state=state), net.predict(x), rtol=1e-9)
    stream = net.stream(1)
    steps = [stream.step(row) for row in series[1]]
    np.testing.assert_allclose(steps[-1], net.predict(series[1][None])[0], rtol=1e-9)


def test_files_and_steps_of_a_second_series(series, rng):
    net = network({**LAYERS["two, post"], "last": True})
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    again = theanets.recurrent.Regressor.load(file)
    np.testing.assert_array_equal(again.predict(series), net.predict(series))
    assert again.graph.shape("att:out") == (4,)
    # Of those that ask, the last; all of the others are attended to.
    other = dict(form="input", shape=(None, 3), name="other")
    cross = dict(form="attention", inputs=["in", "other"], heads=2)
    options = dict(rng=1, dtype="float64", mode="FAST_COMPILE")
    nets = [
        theanets.recurrent.Regressor([4, other, {**cross, "last": last}, 2], **options)
        for last in (False, True)
    ]
    x, y = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 3))
    every, last = (net.predict([x, y]) for net in nets)
    np.testing.assert_allclose(last, every[:, -1], rtol=1e-12)
