"""Shards of any sizes go through an epoch together, each row once."""

import itertools
import json

import numpy as np
import pytest
from group_cases import data, regressor
from hypothesis import given
from hypothesis import strategies as st

import theanets
from theanets import spmd
from theanets.data import Dataset
from theanets.spmd import sampling
from theanets.spmd.exchange import Exchange


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.integers(1, 40),
    st.integers(1, 50),
)
def test_cuts(sizes, batch_size, block):
    own = list(range(len(sizes)))
    total = sum(sizes)
    before = sampling.BLOCK
    sampling.BLOCK = block
    try:
        found = sampling.cuts(sizes, batch_size, own)
    finally:
        sampling.BLOCK = before
    parts = np.diff(found, axis=0)
    assert (found[0] == 0).all()
    assert (found[-1] == sizes).all()
    assert (parts >= 0).all()
    assert (parts[:-1].sum(axis=1) == batch_size).all()
    # Each shard is always as far as all are, but for an example at most.
    whole = np.minimum(np.arange(len(found)) * batch_size, total) / total
    assert (abs(found - whole[:, None] * sizes) < len(sizes) / 2 + 1).all()
    assert (sampling.cuts(sizes, batch_size, own) == found).all()
    # Who has some of the shards only finds the same.
    assert (sampling.cuts(sizes, batch_size, own[::2]) == found[:, ::2]).all()


def shards(sizes, batch_size=10, prefetch=0, batches=None):
    x, _ = data(n=sum(sizes))
    ends = np.cumsum([0, *sizes])
    net = regressor()
    parts = {
        i: Dataset(
            net.fields[:1],
            [np.arange(start, end)[:, None] + 0 * x[start:end]],
            seed_rng=np.random.default_rng(),
            shuffle=False,
        )
        for i, (start, end) in enumerate(itertools.pairwise(ends))
    }
    return sampling.Shards(
        parts, Exchange(spmd.Alone()), batch_size=batch_size, prefetch=prefetch, batches=batches
    )


def rows(part):
    found = [batch[0][:, 0].astype(int) for _, batch in part.own]
    assert sum(map(len, found)) == part.rows
    return np.concatenate(found).tolist()


@pytest.mark.parametrize("prefetch", [0, 2])
def test_each_row_comes_once_in_an_epoch_and_in_another_order_in_the_next(prefetch):
    found = shards([23, 5, 40], prefetch=prefetch)
    epochs = [[rows(part) for part in found.parts()] for _ in range(2)]
    for epoch in epochs:
        assert [len(batch) for batch in epoch] == [*6 * [10], 8]
        assert sorted(itertools.chain(*epoch)) == list(range(68))
    assert epochs[0] != epochs[1]


def test_fewer_batches_go_on_where_the_last_ended():
    every = [rows(part) for part in shards([23, 5, 40]).parts()]
    found = shards([23, 5, 40], batches=3)
    several = [[rows(part) for part in found.parts()] for _ in range(3)]
    assert [batch for epoch in several for batch in epoch][:7] == every
    assert [len(epoch) for epoch in several] == [3, 3, 3]


def test_a_position_is_continued():
    found = shards([23, 5, 40], batches=3)
    for _ in range(2):
        list(found.parts())
    state = json.loads(json.dumps(found.state()))
    other = shards([23, 5, 40], batches=3)
    other.restore(state)
    for _ in range(3):
        assert [rows(p) for p in other.parts()] == [rows(p) for p in found.parts()]
    for wrong in ({}, {"pass": 0, "batch": 8}, {"pass": "0", "batch": 1}, {"pass": 0, "batch": -1}):
        with pytest.raises(theanets.DataError, match="cannot continue"):
            other.restore(wrong)


def test_shards_of_one_size_have_orders_of_their_own():
    found = shards([30, 30], batch_size=60)
    (part,) = found.parts()
    first, second = (batch[0][:, 0].astype(int) for _, batch in part.own)
    assert (first != second - 30).any()
