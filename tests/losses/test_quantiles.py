"""Networks of quantiles: their score, metrics of values and of quantiles, and estimators."""

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, r2_score

import theanets
from theanets.sklearn import NetRegressor

ORDERS = [0.9, 0.5, 0.1]
FAST = {"mode": "FAST_COMPILE"}


def network(variables, orders=ORDERS, weighted=False, series=False):
    kind = theanets.recurrent.Regressor if series else theanets.Regressor
    size = variables * np.size(orders)
    hidden = [(4, "rnn")] if series else [4]
    loss = {"form": "quantile", "quantile": orders}
    return kind([3, *hidden, size], loss=loss, weighted=weighted, rng=2)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(23, 1), (23, 2), (5, 4, 2)])
def test_metrics_are_those_of_scikit_learn(shape, weighted, rng):
    """Of several variables and steps, in batches of unequal size, with weights of 0."""
    net = network(shape[-1], weighted=weighted, series=len(shape) > 2)
    x, y = rng.normal(size=(*shape[:-1], 3)), rng.normal(size=shape) / 3
    w = (rng.uniform(size=shape) * (rng.uniform(size=shape) > 0.3)) if weighted else None
    data = [x, np.where(w == 0, np.nan, y), w] if weighted else [x, y]
    names = ["pinball", "coverage", "mae", "rmse", "r2"]
    found = net.evaluate(data, metrics=names, batch_size=4, **FAST)
    q = net.predict(x, **FAST).astype(float).reshape(-1, shape[-1], 3)
    t = y.reshape(-1, shape[-1])
    v = np.ones_like(t) if w is None else w.reshape(t.shape)
    columns = range(shape[-1])
    pinball = [
        np.mean(
            [
                mean_pinball_loss(t[:, i], q[:, i, k], sample_weight=v[:, i], alpha=order)
                for k, order in enumerate(ORDERS)
            ]
        )
        for i in columns
    ]
    within = (q[..., 2] <= t) & (t <= q[..., 0])
    assert 0.02 < within.mean() < 0.98
    coverage = (v * within).sum(axis=0) / v.sum(axis=0)
    mae = [mean_absolute_error(t[:, i], q[:, i, 1], sample_weight=v[:, i]) for i in columns]
    r2 = np.mean([r2_score(t[:, i], q[:, i, 1], sample_weight=v[:, i]) for i in columns])
    assert found["pinball"] == pytest.approx(np.mean(pinball), rel=1e-5)
    assert found["coverage"] == pytest.approx(np.mean(coverage), rel=1e-6)
    assert found["mae"] == pytest.approx(np.mean(mae), rel=1e-5)
    assert found["r2"] == pytest.approx(r2, rel=1e-5)
    assert net.score(x, y, w, **FAST) == pytest.approx(r2, rel=1e-5)
    if not weighted:
        assert found["pinball"] == pytest.approx(found["loss"], rel=1e-5)


def test_a_single_quantile_is_a_value_too(rng):
    net = network(2, orders=0.8)
    x, y = rng.normal(size=(23, 3)), rng.normal(size=(23, 2)) / 3
    found = net.evaluate([x, y], metrics=["pinball", "coverage", "mae"], batch_size=5, **FAST)
    q = net.predict(x, **FAST)
    assert found["coverage"] == pytest.approx((y <= q).mean())
    assert found["pinball"] == pytest.approx(mean_pinball_loss(y, q, alpha=0.8), rel=1e-5)
    assert found["mae"] == pytest.approx(mean_absolute_error(y, q), rel=1e-5)
    assert net.score(x, y, **FAST) == pytest.approx(r2_score(y, q), rel=1e-5)


def test_without_a_median_there_is_no_score(rng):
    net = network(1, orders=[0.1, 0.9])
    data = [rng.normal(size=(9, 3)), rng.normal(size=9)]
    with pytest.raises(theanets.ConfigurationError, match=r"no median, 0\.5.*'pinball'"):
        net.score(*data, **FAST)
    with pytest.raises(theanets.ConfigurationError, match=r"'mae' compares values.*with quantiles"):
        net.evaluate(data, metrics="mae", **FAST)
    assert 0 <= net.evaluate(data, metrics="coverage", **FAST)["coverage"] <= 1
    with pytest.raises(theanets.ConfigurationError, match="'coverage' compares values with quant"):
        theanets.Regressor([3, 1]).evaluate(data, metrics="coverage", **FAST)


def test_metrics_of_quantiles_while_training(rng):
    net = network(1)
    data = [rng.normal(size=(40, 3)), rng.normal(size=40)]
    net.train(data, epochs=2, metrics=["pinball", "coverage"], criterion="pinball", **FAST)
    assert {"valid_pinball", "valid_coverage", "train_pinball"} <= set(net.history.columns)
    with pytest.raises(theanets.ConfigurationError, match="coverage"):
        net.train(data, epochs=1, metrics=["coverage"], criterion="coverage", **FAST)


@pytest.mark.parametrize("outputs", [None, 2])
def test_estimators_predict_several_quantiles(outputs, rng):
    """Of data whose quantiles are known: uniform noise around a line."""
    x = rng.uniform(-1, 1, size=(400, 1))
    noise = rng.uniform(-1, 1, size=(400, outputs or 1))
    y = 2 * x + noise
    y = y[:, 0] if outputs is None else y
    net = NetRegressor(
        [], loss={"form": "quantile", "quantile": ORDERS}, epochs=100, patience=None,
        learning_rate=0.05, random_state=0, **FAST,
    ).fit(x, y)  # fmt: skip
    assert net.n_outputs_ == (outputs or 1)
    found = net.predict(x)
    assert found.shape == ((400, 3) if outputs is None else (400, 2, 3))
    expected = 2 * x[..., None] + np.array([0.8, 0, -0.8]) * np.ones((1, outputs or 1, 1))
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=0.3)
    median = found[..., 1]
    assert net.score(x, y) == pytest.approx(r2_score(y, median), rel=1e-9)
    weights = rng.uniform(size=400)
    assert net.score(x, y, weights) == pytest.approx(r2_score(y, median, sample_weight=weights))
    net.set_params(warm_start=True, epochs=1).fit(x, y).partial_fit(x, y)
    assert net.predict(x[:1]).shape == found[:1].shape


def test_estimators_of_one_quantile_are_as_before(rng):
    x, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    net = NetRegressor([], loss={"form": "quantile", "quantile": 0.9}, epochs=1, **FAST)
    net.set_params(patience=None).fit(x, y)
    assert net.predict(x).shape == (20,)
    assert net.score(x, y) == r2_score(y, net.predict(x))
