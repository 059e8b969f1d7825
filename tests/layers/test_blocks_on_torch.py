"""Blocks train with PyTorch as without compilation: with attention, skips, and what drops."""

import numpy as np
import pytest

import theanets

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.linker,
    # Of PyTorch, about itself and about constants of PyTensor.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The given NumPy array is not writable"),
]

RNG = np.random.default_rng(0)
SERIES = [RNG.normal(size=(n, 4)).astype("f") for n in (5, 3, 1, 4)]
TARGETS = [RNG.normal(size=(n, 2)).astype("f") for n in (5, 3, 1, 4)]
BLOCKS = {
    "transformer": [
        dict(form="transformer", heads=2, hidden=6, repeat=2, position="rotary", drop_path=0.5)
    ],
    "post-norm": [
        dict(form="transformer", heads=2, kv_heads=1, norm="post", position="relative", reach=2),
        dict(form="transformer", heads=2, causal=True, window=2, activation="swiglu", dropout=0.2),
    ],
    "residual": [
        dict(form="residual", layers=[(3, "tanh"), "rms_norm", 4], repeat=2),
        dict(form="residual", layers=[(5, "geglu")]),
        dict(form="sequential", layers=[(4, "relu"), "layer_norm"], repeat=2),
    ],
}


def trained(mode, what):
    net = theanets.recurrent.Regressor([4, *BLOCKS[what], 2], rng=1, mode=mode)
    net.train([SERIES, TARGETS], algo="sgd", learning_rate=0.1, epochs=2, batch_size=4)
    return [net.predict(SERIES), *(p.get_value() for p in net.params)]


@pytest.mark.parametrize("what", BLOCKS)
def test_blocks(what):
    for a, b in zip(trained("PYTORCH", what), trained("FAST_COMPILE", what), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
