"""What tests of training together share: data in parts, and threads that train on them."""

import itertools

import numpy as np

import theanets
from theanets import spmd

N = 103
SIZES = [51, 40, 12]
FAST = {"mode": "FAST_COMPILE", "progress": False}


def cut(arrays, sizes=SIZES):
    ends = np.cumsum([0, *sizes])
    return {
        i: [a[start:end] for a in arrays] for i, (start, end) in enumerate(itertools.pairwise(ends))
    }


def data(seed=0, n=N):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    y = np.tanh(x @ rng.normal(size=(4, 2))) + 0.1 * rng.normal(size=(n, 2))
    return x, y


def regressor(dtype="float64", **kwargs):
    net = theanets.Regressor([4, (6, "tanh"), 2], rng=3, dtype=dtype, **kwargs)
    return net


def trained(make, shards, size, valid=None, **kwargs):
    """Train by so many threads; get the network of the first, once all are found to be alike."""
    nets = [make() for _ in range(size)]

    def work(group):
        mine = {i: part for i, part in shards.items() if i % size == group.rank}
        own = valid and {i: part for i, part in valid.items() if i % size == group.rank}
        return spmd.train(nets[group.rank], group, mine, own, **FAST, **kwargs)

    results = spmd.together(size, work)
    for net, result in zip(nets, results, strict=True):
        assert result == results[0]
        for a, b in zip(net.params, nets[0].params, strict=True):
            np.testing.assert_array_equal(a.get_value(), b.get_value())
        assert columns(net) == columns(nets[0])
    nets[0].result = results[0]
    return nets[0]


def columns(net):
    rows = net.history.rows
    return {key: [row.get(key) for row in rows] for key in rows[0] if key != "seconds"}


def assert_same(net, other, rtol=1e-10, atol=1e-12):
    for a, b in zip(net.params, other.params, strict=True):
        np.testing.assert_allclose(a.get_value(), b.get_value(), rtol, atol, err_msg=a.name)
