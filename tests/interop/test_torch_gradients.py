"""Modules of PyTorch and what is made of them: the same gradients, and the same dropout."""

import numpy as np
import pytest
from torch_modules_cases import shaken

import theanets

torch = pytest.importorskip("torch")
nn = torch.nn
F64 = dict(batch_first=True, dtype=torch.float64)

MODULES = {
    "attention": lambda: nn.MultiheadAttention(8, 2, **F64),
    "block": lambda: nn.TransformerEncoderLayer(
        8, 4, 12, dropout=0, activation="gelu", layer_norm_eps=0.05, **F64
    ),
    "pre-norm": lambda: nn.TransformerEncoderLayer(8, 2, 12, dropout=0, norm_first=True, **F64),
    "norms": lambda: nn.Sequential(
        nn.Linear(8, 8, dtype=torch.float64),
        nn.LayerNorm(8, eps=0.03, dtype=torch.float64),
        nn.RMSNorm(8, eps=0.02, dtype=torch.float64),
    ),
    "gru": lambda: nn.Sequential(nn.GRU(8, 5, **F64)),
    "lstm": lambda: nn.Sequential(nn.LSTM(8, 5, **F64)),
    "rnn": lambda: nn.Sequential(nn.RNN(8, 5, nonlinearity="relu", **F64)),
}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 6, 8))


def output(module, x):
    if isinstance(module, nn.MultiheadAttention):
        return module(x, x, x, need_weights=False)[0]
    found = module(x)
    return found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize("what", MODULES)
def test_gradients_of_parameters(what):
    """A step of plain gradient descent in both changes the same numbers by the same amounts."""
    torch.manual_seed(1)
    module = shaken(MODULES[what]())
    net = theanets.from_torch(module, shape=(None, 8), mode="FAST_COMPILE")
    x = torch.tensor(X)
    target = RNG.normal(size=tuple(output(module, x).shape))
    before = net.to_torch_state()
    rate = 1e-2
    net.train(
        [X, target], algo="sgd", learning_rate=rate, momentum=0, epochs=1, batch_size=3, patience=0
    )
    after = net.to_torch_state()
    ((output(module, x) - torch.tensor(target)) ** 2).mean().backward()
    expected = {key: p.grad.numpy() for key, p in module.named_parameters()}
    assert set(after) == set(expected)
    for key, grad in expected.items():
        found = (before[key] - after[key]) / rate
        if "bias_hh" in key and (what != "gru" or key.startswith("0")):
            # Two biases that are added are one here; but of the new state of a GRU.
            rows = slice(10, None) if what == "gru" else slice(0, 0)
            found, grad = found[rows], grad[rows]
        np.testing.assert_allclose(found, grad, rtol=1e-6, atol=1e-9, err_msg=key)
        assert what == "attention" or not grad.size or np.abs(grad).max() > 1e-6


@pytest.mark.parametrize("share", [0.25, 0.6])
def test_dropout_of_weights_means_the_same(share):
    """As many are dropped, and those that stay grow alike: by the moments of the outputs."""
    module = shaken(nn.MultiheadAttention(8, 2, dropout=share, **F64))
    net = theanets.from_torch(module, mode="FAST_COMPILE", rng=1)
    x = np.repeat(X[:1], 3000, axis=0)
    found = net.feed_forward(x, training=True)[net.output_name]
    torch.manual_seed(0)
    with torch.no_grad():
        expected = output(module.train(), torch.tensor(x)).numpy()
        clean = output(module.eval(), torch.tensor(X[:1])).numpy()
    np.testing.assert_allclose(net.predict(X[:1]), clean, rtol=1e-9)
    spread = expected.std(axis=0)
    np.testing.assert_allclose(found.mean(axis=0), clean[0], atol=0.1 * spread.max())
    np.testing.assert_allclose(found.std(axis=0), spread, rtol=0.12)


def test_dropout_of_blocks_means_the_same():
    block = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.3, norm_first=True, **F64)
    module = shaken(block)
    net = theanets.from_torch(module, mode="FAST_COMPILE", rng=1)
    x = np.repeat(X[:1], 4000, axis=0)
    found = net.feed_forward(x, training=True)[net.output_name]
    torch.manual_seed(0)
    with torch.no_grad():
        expected = output(module.train(), torch.tensor(x)).numpy()
    np.testing.assert_allclose(found.std(axis=0), expected.std(axis=0), rtol=0.12)
    scale = expected.std(axis=0).max()
    np.testing.assert_allclose(found.mean(axis=0), expected.mean(axis=0), atol=0.1 * scale)
