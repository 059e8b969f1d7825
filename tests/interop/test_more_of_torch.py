"""Modules of PyTorch with numbers, between entries, in circles, and that are causal."""

import numpy as np
import pytest
from torch_modules_cases import CLOSE, shaken

import theanets

torch = pytest.importorskip("torch")
nn = torch.nn


def check(module, shape, given=lambda x: (x,), last=False, **options):
    """Compare a module with its network; ``last`` if the axis of channels is the last one."""
    torch.manual_seed(0)
    net = theanets.from_torch(shaken(module), mode="FAST_COMPILE", **options)
    x = np.random.default_rng(1).normal(size=(3, *shape)).astype("f") * 3
    with torch.no_grad():
        y = module(*given(torch.tensor(x)))
    y = (y[0] if isinstance(y, tuple) else y).numpy()
    if not last:
        x, y = np.moveaxis(x, 1, -1), np.moveaxis(y, 1, -1)
    np.testing.assert_allclose(net.predict(x), y, **CLOSE)
    return net


ACTIVATIONS = {
    "leaky:0.01": lambda: nn.LeakyReLU(),
    "leaky:-0.3": lambda: nn.LeakyReLU(-0.3),
    "elu:0.4": lambda: nn.ELU(0.4),
    "celu:0.4": lambda: nn.CELU(0.4),
    "celu": lambda: nn.CELU(1),
    "relu:6.0": lambda: nn.ReLU6(),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_with_numbers(name):
    net = check(nn.Sequential(nn.Linear(5, 30), ACTIVATIONS[name]()), (5,))
    assert net.layers[-1].activation.name == name and len(net.params) == 2


def test_one_slope_for_all_units():
    with pytest.warns(UserWarning, match=r"'1': num_parameters=1 becomes a slope for each unit"):
        net = check(nn.Sequential(nn.Linear(5, 7), nn.PReLU()), (5,))
    assert net.find("1", "leak").get_value().shape == (7,)


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda: nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="circular"), (2, 5, 4)),
        (lambda: nn.Sequential(nn.CircularPad2d((1, 0, 2, 3)), nn.Conv2d(2, 2, 1)), (2, 5, 4)),
        (lambda: nn.Sequential(nn.Conv1d(2, 2, 1), nn.CircularPad1d((3, 2))), (2, 4)),
        (
            lambda: nn.Sequential(nn.Conv2d(2, 2, 1), nn.Upsample(None, (2, 3), "bilinear")),
            (2, 3, 4),
        ),
        (lambda: nn.Sequential(nn.Conv1d(2, 2, 1), nn.Upsample(None, 3, "linear")), (2, 4)),
    ],
)
def test_borders_and_places_between(make, shape):
    check(make(), shape)


def test_layer_norms_have_an_epsilon():
    block = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, layer_norm_eps=0.5)
    net = check(block, (5, 8), last=True)
    assert {layer.epsilon for layer in net.layers if "norm" in layer.name} == {0.5}


def test_causal():
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    block = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
    encoder = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
    net = check(encoder, (5, 8), lambda x: (x, mask), last=True, causal=True)
    assert net.layers[-1].cannot_continue is None
    module = nn.MultiheadAttention(8, 2, batch_first=True)
    check(module, (5, 8), lambda x: (x, x, x, None, True, mask), last=True, causal=True)
    with pytest.raises(theanets.ConfigurationError, match="nothing in the module attends"):
        theanets.from_torch(nn.Linear(2, 2), causal=True)
    with pytest.raises(theanets.ConfigurationError, match="causal='yes'"):
        theanets.from_torch(module, causal="yes")
