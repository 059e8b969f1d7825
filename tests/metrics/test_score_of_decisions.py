"""``score`` of networks whose losses are about decisions, yes or no."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

import theanets

BINARY = {"form": "hinge", "kind": "binary"}
SQUARED = {"form": "squared_hinge", "kind": "binary"}


@pytest.mark.parametrize("low", [0, -1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("activation", ["linear", "sigmoid"])
@pytest.mark.parametrize("loss", ["bce", "bce_logits", "binary_focal", BINARY, SQUARED])
def test_it_is_the_share_that_is_right(loss, activation, weighted, low, rng):
    hinge = isinstance(loss, dict)
    if (low == -1 and not hinge) or (loss in ("bce", "binary_focal") and activation == "linear"):
        return
    net = theanets.Regressor(
        [3, (2, activation)], loss=loss, weighted=weighted, mode="FAST_COMPILE", rng=1
    )
    x, y = rng.normal(size=(40, 3)), np.where(rng.random((40, 2)) < 0.4, 1.0, low)
    w = [rng.integers(3, size=(40, 2)).astype(float)] if weighted else []
    z = x @ net.find("out.w").get_value() + net.find("out.b").get_value()
    expected = np.average((z > 0) == (y > 0), weights=w[0] if w else None)
    assert 0.2 < expected < 0.8
    assert net.score(x, y, *w) == pytest.approx(expected, abs=1e-12)
    assert net.evaluate([x, y, *w])["acc"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("loss", "activation"), [("bce", "sigmoid"), ("bce_logits", "linear")])
def test_an_autoencoder_reproduces_values(loss, activation, rng):
    net = theanets.Autoencoder([3, 2, (3, activation)], loss=loss, mode="FAST_COMPILE", rng=1)
    x = rng.random((20, 3))
    p = net.predict(x) if activation == "sigmoid" else expit(net.predict(x))
    found = 1 - ((x - p) ** 2).sum(axis=0) / ((x - x.mean(axis=0)) ** 2).sum(axis=0)
    assert net.score(x) == pytest.approx(found.mean(), rel=1e-5)
