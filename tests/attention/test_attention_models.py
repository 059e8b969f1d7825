"""What stands on layers that attend: labels of steps, chains, paths, and answers for series."""

import numpy as np
import pytest

import theanets

LENGTHS = [7, 4, 5, 9]
BLOCK = dict(form="transformer", heads=2, hidden=6)

#: What is on top, and what each series has for a target, of its length.
TOPS = {
    "softmax": ([3], "auto", lambda rng, n: rng.integers(0, 3, n)),
    "crf": ([(3, "crf")], "auto", lambda rng, n: rng.integers(0, 3, n)),
    "ctc": ([3], "ctc", lambda rng, n: rng.integers(1, 3, 2)),
    "pooled": ([dict(form="pool_time", mode="attention"), 3], "auto", lambda rng, n: n % 3),
    "last": ([dict(form="pool_time", mode="last"), 3], "auto", lambda rng, n: n % 3),
}


def network(top, loss, **options):
    options = {"dtype": "float64", "mode": "FAST_COMPILE", "rng": 1, **options}
    return theanets.recurrent.Classifier([4, BLOCK, "layer_norm", *top], loss=loss, **options)


def data(make, rng):
    xs = [rng.normal(size=(n, 4)) for n in LENGTHS]
    ys = [make(rng, n) for n in LENGTHS]
    return xs, ys if np.ndim(ys[0]) else np.array(ys)


@pytest.mark.parametrize("top", TOPS)
def test_series_of_different_lengths_are_what_they_are_alone(top, rng):
    layers, loss, make = TOPS[top]
    net = network(layers, loss)
    xs, ys = data(make, rng)
    before = net.evaluate([xs, ys])["loss"]
    # Of labels of steps, each counts alike; of series that are scored whole, each of these.
    counts = LENGTHS if top in ("softmax", "crf") else np.ones(len(LENGTHS))
    alone = [net.evaluate([x[None], np.asarray(y)[None]])["loss"] for x, y in zip(xs, ys)]
    assert before == pytest.approx(np.average(alone, weights=counts), rel=1e-9)
    together = net.predict(xs)
    for x, label in zip(xs, together):
        one = net.predict(x[None])[0]
        np.testing.assert_array_equal(label[: np.size(one)] if np.ndim(one) else label, one)
    net.train([xs, ys], algo="adam", epochs=15, batch_size=4, learning_rate=0.02)
    assert net.evaluate([xs, ys])["loss"] < 0.8 * before


def test_steps_without_weight_do_not_count(rng):
    layers, loss, _ = TOPS["softmax"]
    net = network(layers, loss, weighted=True)
    x, y = rng.normal(size=(3, 6, 4)), rng.integers(0, 3, (3, 6))
    weights = (np.arange(6) < np.array([6, 2, 4])[:, None]).astype(float)
    other = np.where(weights[..., None] > 0, x, 1e3)
    expected = net.evaluate([x, y, weights])["loss"]
    assert net.evaluate([other, (y + 1 - weights.astype(int)) % 3, weights])["loss"] == expected
