"""Networks that were trained, for the tests of files."""

import numpy as np

import theanets


def data(n=20):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4)).astype("float32")
    return [x, np.tanh(x[:, :2]).astype("float32")]


def regressor(**kwargs):
    return theanets.Regressor([4, (5, "tanh"), 2], **kwargs)


def values(net):
    return {p.name: p.get_value() for p in net.params}


def same(net, other):
    assert type(net) is type(other)
    a, b = values(net), values(other)
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
