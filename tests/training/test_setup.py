"""From the arguments of ``train`` to a run: each keyword reaches all that it is about."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import theanets
from theanets import backends, recurrent
from theanets.data import Dataset
from theanets.errors import ConfigurationError
from theanets.training import options

MODE = "FAST_COMPILE"


@pytest.fixture
def rounds(monkeypatch):
    """Whether each data set of a call rounds the lengths of series, as for a given mode only."""
    found: list[bool] = []
    make = Dataset.__init__

    def spy(self, *args, **kwargs):
        make(self, *args, **kwargs)
        found.append(self.rounded)

    monkeypatch.setattr(Dataset, "__init__", spy)
    monkeypatch.setattr(backends, "compiles_by_shape", lambda mode: mode == MODE)
    return found


def series(rng, outputs=1):
    inputs = [rng.normal(size=(n, 2)).astype("float32") for n in (3, 5, 2, 6)]
    return [inputs, [x[:, :outputs] for x in inputs]]


@pytest.mark.parametrize("own", [None, "CVM"])
@pytest.mark.parametrize("keywords", [{"algo": "sgd"}, {"algo": "layerwise"}, {"algo": "l-bfgs"}])
def test_lengths_are_rounded_for_the_mode_of_the_call(rounds, rng, keywords, own):
    net = recurrent.Regressor([2, (3, "rnn"), 1], mode=own)
    data = series(rng)
    net.train(data, data, mode=MODE, epochs=1, **keywords)
    assert len(rounds) >= 2
    assert all(rounds)
    del rounds[:]
    net.evaluate(data, mode=MODE)
    assert rounds == [True]


def test_lengths_are_rounded_for_the_mode_of_samples(rounds, rng):
    net = theanets.Regressor([2, 3, 1])
    x = rng.normal(size=(5, 2))
    net.train([x, x[:, :1]], algo="sample", mode=MODE)
    assert rounds == [True]


def test_lengths_are_not_rounded_for_the_mode_of_the_network_if_another_is_given(rounds, rng):
    net = recurrent.Regressor([2, (3, "rnn"), 1], mode=MODE)
    # The same mode, which is not the one that compiles by shape here.
    net.train(series(rng), mode=MODE.lower(), epochs=1)
    assert rounds == [False]


@pytest.mark.parametrize("name", ["batch_size", "batches", "axis", "prefetch", "mode", "metrics"])
def test_none_is_as_if_it_were_not_given(rng, name):
    net = theanets.Regressor([2, 3, 1], mode=MODE)
    x = rng.normal(size=(5, 2))
    data = [x, x[:, :1]]
    assert net.evaluate(data, **{name: None}) == net.evaluate(data)


@pytest.mark.parametrize("algo", ["sgd", "l-bfgs", "layerwise", "sample", ["sample", "sgd"]])
def test_a_checkpoint_that_is_no_path_is_not_opened(rng, algo):
    """A number would be that of an open file."""
    net = theanets.Regressor([2, 3, 1], mode=MODE)
    with pytest.raises(ConfigurationError, match="checkpoint=0 is not a path"):
        net.train([np.zeros((4, 2)), np.zeros((4, 1))], algo=algo, checkpoint=0)


def test_options_are_parsed_once_into_parts():
    every = options.keywords("adam")
    parsed = options.TrainOptions.parse(
        {
            "epochs": 3,
            "batch_size": 4,
            "iteration_size": 5,
            "metrics": "f1",
            "mode": "given",
            "beta1": 0.5,
            "weight_l2": 0.1,
            "hidden_noise": 0.2,
        },
        every,
        "own",
    )
    assert parsed.limits.epochs == 3
    assert (parsed.data.batch_size, parsed.data.batches) == (4, 5)
    assert parsed.loop.metrics == "f1"
    assert parsed.mode == "given"
    assert parsed.hypers == {"beta1": 0.5}
    assert list(parsed.regularizers) == ["weight_l2", "hidden_noise"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        parsed.mode = "other"
    with pytest.raises(ConfigurationError, match=r"'epoch' .*'epochs'"):
        options.TrainOptions.parse({"epoch": 3}, every)
