"""Processes that are called with different keywords: all end by an error that says which."""

import numpy as np
import pytest

import theanets
from theanets import spmd
from theanets.errors import ConfigurationError, DataError, GroupError

X = np.random.default_rng(0).normal(size=(20, 4))
Y = np.tanh(X[:, :2])


def trained(first, second, weights=None):
    nets = [
        theanets.Regressor([4, 3, 2], mode="FAST_COMPILE", rng=1, weighted=weights is not None)
        for _ in range(2)
    ]

    def work(group):
        data = [X, Y] if weights is None else [X, Y, np.full_like(Y, weights[group.rank])]
        return spmd.train(
            nets[group.rank], group, {group.rank: data}, epochs=1, **(first, second)[group.rank]
        )

    return spmd.together(2, work, timeout=30)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("keywords", "named"),
    [
        ({"weight_l2": 0.1}, "regularizers"),
        ({"metrics": "r2"}, "metrics"),
        ({"monitors": {"hid1:out": [0.1]}}, "monitors"),
        ({"monitor_gradients": True}, "monitor_gradients"),
        ({"algo": "l-bfgs"}, "algorithm"),
        ({"algo": ["adam", "sgd"]}, "algorithms"),
        ({"checkpoint": "run.ckpt"}, "checkpoint"),
        ({"validation_split": 0.2}, "validation_split"),
    ],
)
def test_keywords_of_one_process_alone_are_named(keywords, named, swapped, tmp_path, monkeypatch):
    """What is exchanged would have other sizes in one process, which ends MPI by a crash."""
    monkeypatch.chdir(tmp_path)
    both = ({}, keywords) if not swapped else (keywords, {})
    with pytest.raises(ExceptionGroup) as caught:
        trained(*both)
    told, own = caught.value.exceptions
    assert isinstance(told, GroupError)
    assert isinstance(own, ConfigurationError)
    assert f"rank 1 trains differently from rank 0: {named}" in str(own)


def test_weights_that_are_0_in_all_processes_are_refused():
    with pytest.raises(ExceptionGroup) as caught:
        trained({}, {}, weights=(0, 0))
    assert all(isinstance(e, DataError) for e in caught.value.exceptions)
    assert "nothing counts" in str(caught.value.exceptions[0])
    trained({}, {}, weights=(0, 1))
