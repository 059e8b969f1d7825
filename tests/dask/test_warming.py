"""What a cluster compiles ahead, and what is made up for that."""

import numpy as np
import pytest

pytest.importorskip("distributed")

import theanets
import theanets.dask
from theanets.dask.warming import made_up

NETWORKS = {
    "classifier": lambda: theanets.Classifier([4, 3], weighted=True),
    "regressor": lambda: theanets.Regressor([4, 3, 2], loss="poisson"),
    "autoencoder": lambda: theanets.Autoencoder([4, 2, 4]),
    "bernoulli": lambda: theanets.Regressor([4, (2, "sigmoid")], loss="bce"),
    "series": lambda: theanets.recurrent.Classifier([4, (3, "gru"), 3]),
    "sparse": lambda: theanets.Classifier([{"size": 4, "sparse": True}, 3]),
    "ctc": lambda: theanets.recurrent.Classifier([4, (3, "rnn"), 3], loss="ctc"),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_data_that_are_made_up_are_taken(kind):
    net = NETWORKS[kind]()
    data = {field.name: made_up(field) for field in net.fields}
    net.evaluate(data)


def test_all_workers_are_warmed_and_nothing_changes(client):
    net = theanets.Classifier([4, 5, 3], rng=1)
    before = net.params[0].get_value()
    seconds = theanets.dask.warmup(client, net, algo="sgd", hidden_dropout=0.1)
    assert set(seconds) == set(client.scheduler_info()["workers"])
    assert all(value > 0 for value in seconds.values())
    np.testing.assert_array_equal(net.params[0].get_value(), before)
    with pytest.raises(theanets.ConfigurationError, match="learning_rate"):
        theanets.dask.warmup(client, net, learning_rat=1)
