"""A group on a linker that compiles."""

import pytest
from group_cases import FAST, assert_same, cut, data, regressor

from theanets import spmd


@pytest.mark.linker
def test_compiled_processes_train_what_interpreted_ones_do():
    shards, kwargs = cut(data()), {"epochs": 2, "batch_size": 20, "hidden_dropout": 0.2}
    plain, nets = regressor(), [regressor() for _ in range(2)]
    spmd.train(plain, spmd.Alone(), shards, **kwargs, **FAST)

    def work(group):
        own = {i: part for i, part in shards.items() if i % 2 == group.rank}
        net = nets[group.rank]
        return spmd.train(net, group, own, mode="NUMBA", progress=False, **kwargs)

    results = spmd.together(2, work)
    assert results[0] == results[1]
    assert_same(nets[0], nets[1], 0, 0)
    assert_same(nets[0], plain, 1e-9, 1e-11)
    assert plain.history["valid_loss"][-1] < plain.history.initial["loss"]
