"""Data that are larger than the memory of workers: blocks on their disks."""

import pickle

import numpy as np
import pytest

pytest.importorskip("distributed")

from dask_cases import arrays, blocks, losses, network, values

import theanets
import theanets.dask
from theanets.dask.disk import MIXED, Mixed, OnDisk

EPOCH = {"sync": "epoch", "epochs": 3, "learning_rate": 0.05, "replicas": 2}


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("names", [None, ["in", "target"]])
def test_each_row_comes_once_an_epoch(seed, names):
    x = np.arange(1000, dtype="float32").reshape(500, 2)
    held = [OnDisk([x[a:b], x[a:b, 0]]) for a, b in [(0, 130), (130, 131), (131, 131), (131, 500)]]
    batches = Mixed(held, names, 7, seed, piece=7 * 12)
    assert len(batches) == 72
    found = list(batches)
    found = [list(b.values()) for b in found] if names else found
    assert [len(b[0]) for b in found] == [7] * 71 + [3]
    rows, targets = (np.concatenate(column) for column in zip(*found))
    np.testing.assert_array_equal(rows[:, 0], targets)
    np.testing.assert_array_equal(np.sort(targets), x[:, 0])
    assert (seed is None) == bool((targets == x[:, 0]).all())
    again = [b["target"] if names else b[1] for b in batches]
    np.testing.assert_array_equal(np.concatenate(again), targets)
    if seed is not None:
        # Rows of pieces from all over come together: a mix has more than a tenth of the range.
        first = targets[: 7 * MIXED]
        assert np.ptp(first) > 400


def test_blocks_in_which_something_is_missing_are_not_cut_to_integers():
    held = [OnDisk([np.arange(4)]), OnDisk([np.array([0.5, np.nan, 2.5])])]
    for seed in (None, 1, 2):
        found = np.concatenate([batch[0] for batch in Mixed(held, None, 3, seed)])
        np.testing.assert_array_equal(np.sort(found), [0, 0.5, 1, 2, 2.5, 3, np.nan])


def test_files_end_with_the_block_and_copies_have_their_own():
    block = OnDisk([np.arange(6)])
    (path,) = block._paths
    twin = pickle.loads(pickle.dumps(block))
    assert path.exists() and twin._paths != block._paths
    del block
    assert not path.parent.exists()
    np.testing.assert_array_equal(twin.read(2, 4)[0], [2, 3])


def test_one_batch_of_each_replica_is_one_of_all_data(client):
    x, y = arrays()
    net, whole = network(), network()
    options = {**EPOCH, "algo": "sgd", "batch_size": 200}
    theanets.dask.train(
        client, net, dict(zip(["in", "target"], blocks(x, y))), memory=False, **options
    )
    whole.train([x, y], algo="sgd", epochs=3, learning_rate=0.05, batch_size=200)
    np.testing.assert_allclose(values(net), values(whole), rtol=1e-4, atol=1e-6)
    assert losses(net) == pytest.approx(losses(whole), rel=1e-5)
    with pytest.raises(theanets.ConfigurationError, match="memory=False"):
        theanets.dask.train(client, net, blocks(x, y), memory=False)
