"""Attention and blocks of transformers of PyTorch: the same outputs, and the parameters back."""

import re

import numpy as np
import pytest
from torch_modules_cases import CLOSE, shaken

import theanets

torch = pytest.importorskip("torch")
nn = torch.nn


def check(module, given=lambda x: (x,)):
    torch.manual_seed(0)
    net = theanets.from_torch(shaken(module))
    x = np.random.default_rng(1).normal(size=(3, 5, 8)).astype("f")
    with torch.no_grad():
        y = module(*given(torch.tensor(x)))
    y = (y[0] if isinstance(y, tuple) else y).numpy()
    np.testing.assert_allclose(net.predict(x), y, **CLOSE)
    state, theirs = net.to_torch_state(), module.state_dict()
    assert set(state) == set(theirs)
    for key, value in theirs.items():
        np.testing.assert_array_equal(state[key], value)
    return net


def test_attention():
    module = nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)
    net = check(module, lambda x: (x, x, x))
    assert net.layers[-1].dropout == 0.1


@pytest.mark.parametrize("first", [True, False])
def test_blocks(first):
    options = dict(dim_feedforward=12, batch_first=True, norm_first=first)
    check(nn.TransformerEncoderLayer(8, 2, activation="gelu" if first else "relu", **options))


@pytest.mark.parametrize("make", [lambda: nn.GELU("tanh"), nn.GELU, nn.ReLU])
def test_either_way_to_compute_a_gelu(make):
    module = nn.TransformerEncoderLayer(8, 2, 12, activation=make(), batch_first=True)
    with torch.no_grad():
        module.linear1.weight.mul_(4)
    x = np.random.default_rng(1).normal(size=(3, 5, 8)).astype("f")
    # Without gradients, PyTorch's kernel of whole blocks takes either for the exact one.
    y = module.eval()(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(theanets.from_torch(module).predict(x), y, rtol=0, atol=3e-6)


@pytest.mark.parametrize("name", ["dropout", "dropout1", "dropout2", "self_attn"])
def test_all_that_drops_in_a_block_has_one_rate(name):
    module = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.2, batch_first=True)
    net = theanets.from_torch(module)
    block = net.layers[-1]
    assert block.dropout == 0.2
    rates = [each.rate for each in net.layers if type(each).__name__ == "Dropout"]
    assert rates == [0.2] * 3 and net.layers[1].dropout == 0.2
    part = getattr(module, name)
    setattr(part, "dropout" if name == "self_attn" else "p", 0.3)
    said = "self_attn.dropout" if name == "self_attn" else f"{name}.p"
    with pytest.raises(theanets.ConfigurationError, match=rf"{re.escape(said)}=0.3.* one rate"):
        theanets.from_torch(module)


def test_several_blocks():
    block = nn.TransformerEncoderLayer(8, 4, 12, batch_first=True, norm_first=True)
    encoder = nn.TransformerEncoder(block, 2, norm=nn.LayerNorm(8), enable_nested_tensor=False)
    net = check(encoder)
    assert net.layers[-1].name == "norm"


def test_axes_of_time_and_examples_are_not_mixed_up():
    """Where the time comes first, as by default, what goes on with examples first is refused."""
    for module in (nn.MultiheadAttention(8, 2), nn.TransformerEncoderLayer(8, 2, 12)):
        several = nn.Sequential(module, nn.Flatten())
        with pytest.raises(theanets.ConfigurationError, match="the time comes first"):
            theanets.from_torch(several, shape=(5, 8))


def test_what_is_refused():
    for module, message in (
        (nn.MultiheadAttention(8, 2, kdim=4), "kdim=, vdim="),
        (nn.TransformerEncoderLayer(8, 2, activation=torch.tanh), "activation=tanh has no"),
        (nn.TransformerEncoderLayer(8, 2, layer_norm_eps=0.0), "norm1.eps=0.0, norm2.eps=0.0 has"),
        (nn.Sequential(nn.Linear(4, 4), nn.MultiheadAttention(8, 2)), "'1' .Multihead"),
    ):
        with pytest.raises(theanets.ConfigurationError, match=message):
            theanets.from_torch(
                module, shape=(None, 4) if isinstance(module, nn.Sequential) else None
            )
