"""Modules of PyTorch that are given by name, and the way back into the module that they are of."""

import numpy as np
import pytest

import theanets
from theanets.errors import ConfigurationError

torch = pytest.importorskip("torch")
nn = torch.nn


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.lstm = nn.Embedding(9, 3), nn.LSTM(3, 4, 2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Linear(3, 2))

    def forward(self, symbols):
        return self.head(self.lstm(self.words(symbols))[1][0][-1])


def parts_of(module):
    return {"words": module.words, "lstm": module.lstm, "last": "last", "head": module.head}


def test_state_has_the_names_of_the_module(rng):
    module = Tagger().eval()
    symbols = rng.integers(9, size=(5, 6))
    net = theanets.from_torch(
        parts_of(module), model=theanets.recurrent.Classifier, mode="FAST_COMPILE"
    )
    expected = module(torch.tensor(symbols)).detach().numpy()
    np.testing.assert_allclose(net.predict_logit(symbols), expected, atol=1e-6)
    with torch.no_grad():
        net.find("head/2", "b").set_value(np.array([2.0, -1.0], "f"))
        state = net.to_torch_state(module.state_dict())
        fresh = Tagger().eval()
        fresh.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=True)
        assert fresh.head[2].bias.tolist() == [2, -1]
        found = fresh(torch.tensor(symbols)).numpy()
    np.testing.assert_allclose(net.predict_logit(symbols), found, atol=1e-6)


def test_trained_biases_that_a_module_has_not_are_explained():
    module = Tagger()
    net = theanets.from_torch(parts_of(module), model=theanets.recurrent.Classifier)
    net.find("head/0", "b").set_value(np.ones(3, "f"))
    with pytest.raises(ConfigurationError, match=r"'head.0.bias' is not in it; biases .*freeze="):
        net.to_torch_state(module.state_dict())
    with pytest.raises(ConfigurationError) as error:
        net.to_torch_state([key for key in net.to_torch_state() if key != "words.weight"])
    assert "freeze" not in str(error.value)


def test_names_that_are_none():
    with pytest.raises(ConfigurationError, match="is empty"):
        theanets.from_torch({})
    with pytest.raises(ConfigurationError, match="'my part': a layer cannot be called so"):
        theanets.from_torch({"my part": nn.Linear(2, 1)})
    with pytest.raises(ConfigurationError, match=r"'one': 3 is not .* a dict of these"):
        theanets.from_torch({"one": 3})
    with pytest.raises(
        ConfigurationError, match=r"these modules have no counterpart.*list or dict"
    ):
        theanets.from_torch(Tagger())
