"""To a network and back: the state of a module has exactly the names that it had."""

import copy

import numpy as np
import pytest
from torch_modules_cases import shaken

import theanets

torch = pytest.importorskip("torch")
nn = torch.nn

ALONE = {
    "linear": lambda: nn.Linear(4, 3),
    "lstm": lambda: nn.LSTM(4, 3, num_layers=2, batch_first=True),
    "gru": lambda: nn.GRU(4, 3, bidirectional=True, batch_first=True),
    "attention": lambda: nn.MultiheadAttention(4, 2, batch_first=True),
    "block": lambda: nn.TransformerEncoderLayer(4, 2, 6, batch_first=True),
    "norm": lambda: nn.LayerNorm(4),
    "embedding": lambda: nn.Embedding(5, 4),
    "convolution": lambda: nn.Conv1d(4, 3, 3),
}


def returned(net, module, **options):
    """Load the state of a network into a module like the first."""
    state = {k: torch.tensor(v) for k, v in net.to_torch_state(**options).items()}
    module.load_state_dict(state, strict=True)
    return state


@pytest.mark.parametrize("what", ALONE)
def test_modules_by_themselves(what, tmp_path):
    module = shaken(ALONE[what]())
    net = theanets.from_torch(module)
    net.save(tmp_path / "net")
    for made in (net, type(net).load(tmp_path / "net"), copy.deepcopy(net)):
        other = ALONE[what]()
        returned(made, other)
        for key, value in module.state_dict().items():
            if what not in ("lstm", "gru"):  # of two biases there is only the sum
                torch.testing.assert_close(other.state_dict()[key], value)


def test_others_keep_their_paths():
    net = theanets.from_torch(nn.Sequential(nn.Linear(4, 3)))
    assert set(net.to_torch_state()) == {"0.weight", "0.bias"}
    assert set(theanets.from_torch([nn.Linear(4, 3)]).to_torch_state()) == {"0.weight", "0.bias"}
    named = theanets.Regressor([4, dict(size=3, name="linear")])
    assert set(named.to_torch_state()) == {"linear.weight", "linear.bias"}


PLAIN = {
    "batch": lambda affine: (nn.Conv1d(4, 3, 2), nn.BatchNorm1d(3, affine=affine)),
    "layer": lambda affine: (nn.Linear(4, 3), nn.LayerNorm(3, elementwise_affine=affine)),
    "layer, no bias": lambda affine: (nn.Linear(4, 3), nn.LayerNorm(3, bias=affine)),
    "rms": lambda affine: (nn.Linear(4, 3), nn.RMSNorm(3, eps=1e-6, elementwise_affine=affine)),
    "group": lambda affine: (nn.Conv1d(4, 6, 2), nn.GroupNorm(2, 6, affine=affine)),
    "instance": lambda affine: (nn.Conv1d(4, 3, 2), nn.InstanceNorm1d(3, affine=affine)),
}


@pytest.mark.parametrize("what", PLAIN)
def test_norms_without_scales(what):
    module = shaken(nn.Sequential(*PLAIN[what](False)))
    net = theanets.from_torch(module)
    wanted = module.state_dict()
    state = returned(net, module, like=wanted)
    assert list(state) == list(wanted)
    assert set(net.to_torch_state()) == set(nn.Sequential(*PLAIN[what](True)).state_dict())
    # What was trained cannot be left out.
    for param in net.params:
        param.set_value(param.get_value() + np.float32(0.5))
    with pytest.raises(theanets.ConfigurationError, match=r"'1.(weight|bias)' is not in it"):
        net.to_torch_state(wanted)
