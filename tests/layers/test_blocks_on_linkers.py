"""Blocks train on each linker as without compilation."""

import numpy as np
import pytest
from linker_cases import EVERY

import theanets

BLOCKS = [
    dict(form="residual", layers=[dict(size=3, activation="geglu"), "rms_norm", 4]),
    dict(form="sequential", layers=[(4, "tanh"), "layer_norm"], repeat=2),
]


def trained(mode, x, y):
    net = theanets.Regressor([3, *BLOCKS, 2], rng=1, mode=mode)
    net.train([x, y], algo="sgd", learning_rate=0.1, epochs=2, batch_size=4)
    return [net.predict(x), *(p.get_value() for p in net.params)]


@pytest.mark.linker
@pytest.mark.parametrize("mode", EVERY)
def test_blocks(mode):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(8, 3)).astype("f"), rng.normal(size=(8, 2)).astype("f")
    for a, b in zip(trained(mode, x, y), trained("FAST_COMPILE", x, y), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
