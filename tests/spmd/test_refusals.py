"""What has no meaning in a group is refused by name."""

import numpy as np
import pytest
from group_cases import FAST, cut, data, regressor

import theanets
from theanets import spmd
from theanets.metrics import Metric


def refused(net, match, parts=None, kind=theanets.ConfigurationError, **kwargs):
    with pytest.raises(kind, match=match):
        spmd.train(net, spmd.Alone(), parts or cut(data()), **{**FAST, "epochs": 1, **kwargs})


def test_keywords_and_algorithms():
    net = regressor()
    refused(net, r"algo='esgd' needs more", algo="esgd")
    refused(net, "valid_batches=3", valid_batches=3)
    refused(net, "algo='layerwise'", algo="layerwise")
    refused(net, "nesterof.*nesterov", nesterof=True)

    class Trainer:
        def itertrain(self, train, valid, **kwargs):
            yield {}, {}

    refused(net, "Trainer", algo=Trainer())
    before = [p.get_value() for p in net.params]
    refused(net, "batch_size=0", batch_size=0)
    for a, b in zip(before, net.params, strict=True):
        np.testing.assert_array_equal(a, b.get_value())


def test_data():
    x, y = data()
    net = regressor()
    refused(net, "gives batches", {0: lambda: [x, y]})
    refused(net, "expected a dict", {"a": [x, y]})
    refused(net, "shard has the number 4", {0: [x, y], 4: [x, y]}, theanets.DataError)
    refused(net, "shard 1.*empty", {0: [x, y], 1: [x[:0], y[:0]]}, theanets.DataError)


def test_layers_whose_batches_are_not_sums():
    net = theanets.Regressor([4, 5, {"form": "batch_norm"}, 2], dtype="float64")
    for algo in ("adam", "l-bfgs"):
        refused(net, "batch changes .*mean, .*variance", algo=algo)
    net = theanets.recurrent.Regressor([2, {"form": "gru", "size": 3, "stateful": True}, 1])
    refused(net, "batch changes hid1", {0: [np.ones((4, 5, 2)), np.ones((4, 5, 1))]})


def test_losses_and_penalties_that_take_examples_together():
    class Together(theanets.Loss):
        def __call__(self, outputs):
            return ((outputs[self.output_name] - self._target) ** 2).mean() ** 0.5

    for kwargs in ({}, {"hidden_dropout": 0.2}, {"algo": "l-bfgs"}):
        refused(regressor(loss="together"), "'together' over a batch is not", **kwargs)
    refused(regressor(), "'hidden_l2' over", hidden_l2={"weight": 1, "root": True, "norm": "sum"})


def test_metrics_that_cannot_be_added_up():
    class Largest(Metric, names=("largest",)):
        def start(self, kind, size):
            self.found = 0.0

        def add(self, part):
            self.found = max(self.found, float(abs(part.output - part.target).max()))

        def value(self):
            return self.found

    refused(regressor(), "metric 'largest' cannot", metrics=["largest"])


def test_networks_and_keywords_of_the_processes_have_to_be_alike():
    x, y = data()
    parts = cut((x, y))

    def train(group, net, **kwargs):
        return spmd.train(net, group, {group.rank: parts[group.rank]}, **FAST, **kwargs)

    def shapes(group):
        return train(group, theanets.Regressor([4, 5 + group.rank, 2]))

    def rates(group):
        return train(group, regressor(), learning_rate=0.1 + group.rank)

    def limits(group):
        return train(group, regressor(), epochs=1 + group.rank)

    for work, match in ((shapes, "hid1"), (rates, "learning_rate"), (limits, "epochs")):
        with pytest.raises(ExceptionGroup) as caught:
            spmd.together(2, work)
        first, second = caught.value.exceptions
        assert isinstance(first, theanets.GroupError)
        assert isinstance(second, theanets.ConfigurationError)
        assert match in str(second)
        assert str(second) in str(first)


def test_series_need_lengths_in_all_processes():
    rng = np.random.default_rng(0)
    ragged = [rng.normal(size=(t, 2)) for t in (3, 4, 5)]
    same = [rng.normal(size=(4, 2)) for _ in range(3)]

    def work(group):
        net = theanets.recurrent.Regressor([2, ("rnn", 3), 1], rng=1)
        x = (ragged, same)[group.rank]
        return spmd.train(net, group, {group.rank: [x, [a[:, :1] for a in x]]}, epochs=1, **FAST)

    with pytest.raises(ExceptionGroup, match="threads") as caught:
        spmd.together(2, work)
    for error in caught.value.exceptions:
        assert isinstance(error, theanets.DataError)
        assert "a dict of 'in', 'lengths', 'target'" in str(error)
