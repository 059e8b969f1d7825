"""Modules that do not say by themselves what an example is, as the first ones."""

import re

import numpy as np
import pytest

import theanets
from theanets.errors import ConfigurationError

torch = pytest.importorskip("torch")
nn = torch.nn

FIRST = {
    "group_norm": (lambda: nn.GroupNorm(2, 4), [(4,), (4, 6), (4, 6, 5)]),
    "batch_norm_1": (lambda: nn.BatchNorm1d(4), [(4,), (4, 6)]),
    "batch_norm_2": (lambda: nn.BatchNorm2d(4), [(4, 6, 5)]),
    "instance_norm_1": (lambda: nn.InstanceNorm1d(4, affine=True), [(4, 6)]),
    "instance_norm_2": (lambda: nn.InstanceNorm2d(4, affine=True), [(4, 6, 5)]),
    "prelu": (lambda: nn.PReLU(4), [(4,)]),
}


@pytest.mark.parametrize("name, shape", [(k, s) for k, v in FIRST.items() for s in v[1]])
def test_channels_come_first_for_modules_of_channels(name, shape, rng):
    module = FIRST[name][0]().eval()
    with torch.no_grad():
        for value in module.parameters():
            value.uniform_(0.5, 2)
    net = theanets.from_torch(module, shape=shape)
    x = rng.normal(size=(3, *shape)).astype("f")
    wanted = module(torch.tensor(x)).detach().numpy()
    found = net.predict(np.moveaxis(x, 1, -1))
    np.testing.assert_allclose(np.moveaxis(found, -1, 1), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "modules, shape",
    [
        ([nn.BatchNorm1d(4), nn.Conv1d(4, 2, 3)], (None, 4)),
        ([nn.GroupNorm(2, 4), nn.Conv2d(4, 2, 3)], (None, None, 4)),
        ([nn.BatchNorm1d(4), nn.Linear(4, 2)], (4,)),
        ([nn.GroupNorm(2, 4), nn.Linear(4, 2)], (4,)),
    ],
)
def test_modules_behind_them_say_the_shape(modules, shape):
    assert theanets.from_torch(modules).layers[0].output_shape == shape


@pytest.mark.parametrize(
    "make, shape, said",
    [
        (lambda: nn.GroupNorm(2, 4), None, "shape=None: the first modules do not say"),
        (lambda: nn.GroupNorm(2, 4), (6, 4), "num_channels=4, but 6 of (batch, 6, 4) come"),
        (lambda: nn.BatchNorm1d(4), (6, 4), "num_features=4, but 6 of (batch, 6, 4) come"),
        (lambda: nn.BatchNorm2d(4), (6, None, 4), "num_features=4, but 6 of (batch, 6, any, 4)"),
        (lambda: nn.BatchNorm2d(4), (None, 6, 4), "num_features=4, but any number of (batch, any"),
        (lambda: nn.InstanceNorm1d(4), (6, 4), "num_features=4, but 6 of (batch, 6, 4) come"),
        (lambda: nn.InstanceNorm1d(4), (4, 6, 6), "counterpart for 2 axes per example"),
        (lambda: nn.InstanceNorm2d(4), (4, 6), "counterpart for 3 axes per example"),
        (lambda: nn.GRU(3, 4), (4,), "what comes here is (batch, 4); it has a counterpart for 2"),
        (lambda: nn.PReLU(6), (6, 6), "num_parameters=6 are slopes of axis 1 of (batch, 6, 6)"),
        (
            lambda: nn.Sequential(nn.GroupNorm(2, 4), nn.Linear(6, 2)),
            (4, 6),
            "(batch, 4, 6), with channels first; it has a counterpart for channels that come last",
        ),
    ],
)
def test_what_does_not_fit_is_said(make, shape, said):
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        theanets.from_torch(make(), shape=shape)
