"""Inputs of steps that do not exist, as weights say, may hold anything."""

import numpy as np
import pytest

import theanets
from theanets import recurrent

STEPS = np.array([5, 2, 3])
EXISTS = np.arange(5) < STEPS[:, None]


def series(rng, size, fill):
    return np.where(EXISTS[:, :, None], rng.normal(size=(3, 5, size)), fill).astype("float32")


def made(*layers, **options):
    return recurrent.Regressor([3, *layers, 2], weighted=True, rng=1, **options)


@pytest.mark.parametrize(
    "layer",
    [
        (4, "gru"),
        (4, "bidirectional"),
        "batch_norm",
        {"form": "attention", "heads": 1},
        {"form": "conv1", "size": 4, "filter_size": 3, "border_mode": "same"},
    ],
    ids=str,
)
@pytest.mark.parametrize("axes", [2, 3])
def test_nan_after_the_last_weight_is_padding(rng, layer, axes):
    x, y = series(rng, 3, np.nan), series(rng, 2, np.nan)
    weights = EXISTS.astype("float32")
    weights = weights if axes == 2 else np.repeat(weights[:, :, None], 2, axis=2)
    net, same = made(layer), made(layer)
    lists = [[part[:n] for part, n in zip(each, STEPS)] for each in (x, y)]
    assert net.evaluate([x, y, weights])["loss"] == same.evaluate(lists)["loss"]
    net.train([x, y, weights], epochs=2, batch_size=2)
    same.train([*(np.nan_to_num(each) for each in (x, y)), weights], epochs=2, batch_size=2)
    for mine, other in zip(net.params, same.params):
        np.testing.assert_array_equal(mine.get_value(), other.get_value())
    assert np.isnan(x[1, 2:]).all()


@pytest.mark.parametrize("at", [(1, 0), (0, 4)])
def test_nan_in_a_step_that_exists_is_refused(rng, at):
    x, y = series(rng, 3, np.nan), series(rng, 2, np.nan)
    x[at] = np.inf
    with pytest.raises(theanets.errors.DataError, match=r"3 entries .*after the last weight"):
        made((4, "gru")).train([x, y, EXISTS], epochs=1)


def test_a_step_without_weight_before_others_exists(rng):
    x, y = series(rng, 3, 0), series(rng, 2, 0)
    weights = EXISTS.astype("float32")
    x[0, 1], weights[0, 1] = np.nan, 0
    with pytest.raises(theanets.errors.DataError, match=r"the first is nan at \[0, 1, 0\]"):
        made((4, "gru")).train([x, y, weights], epochs=1)


def test_a_weight_for_each_series_says_nothing_of_its_end(rng):
    x, y = series(rng, 3, 0), series(rng, 2, 0)
    x[0, 4] = np.nan
    with pytest.raises(theanets.errors.DataError, match="3 entries"):
        made((4, "gru")).train([x, y, np.ones((3, 1))], epochs=1)


def test_another_loss_may_look_at_later_steps(rng):
    x, y = series(rng, 3, np.nan), series(rng, 2, 0)
    net = made((4, "gru"))
    net.add_loss("mse", target="all", weighted=False)
    with pytest.raises(theanets.errors.DataError, match="NaN"):
        net.train({"in": x, "target": y, "weights": EXISTS, "all": y}, epochs=1)


def test_a_convolution_that_shortens_series_has_a_last_step_of_its_own(rng):
    x, y = series(rng, 3, np.nan), series(rng, 2, 0)[:, :3]
    net = made({"form": "conv1", "size": 4, "filter_size": 3})
    weights = np.ones((3, 3), "float32")
    with pytest.raises(theanets.errors.DataError, match="NaN"):
        net.train([x, y, weights], epochs=1)


def test_symbols_after_the_last_weight_may_be_minus_one(rng):
    symbols = {"form": "symbols", "shape": (None,), "classes": 6}
    layers = [symbols, {"form": "embedding", "size": 4}, (4, "gru"), 3]
    x = np.where(EXISTS, rng.integers(6, size=(3, 5)), -1)
    y = rng.integers(3, size=(3, 5))
    found = [
        recurrent.Classifier(layers, weighted=True, rng=1).evaluate([given, y, EXISTS])["loss"]
        for given in (x, np.maximum(x, 0))
    ]
    assert found[0] == found[1]
    x[0, 0] = -1
    with pytest.raises(theanets.errors.DataError, match="smallest is -1"):
        recurrent.Classifier(layers, weighted=True).evaluate([x, y, EXISTS])
