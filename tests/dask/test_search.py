"""A search by Optuna over the workers of a cluster, as the guide has it."""

import pytest

pytest.importorskip("distributed")
pytest.importorskip("optuna")

import optuna
from dask_cases import arrays, network


def loss_of(data, rate):
    net = network()
    return net.train(list(data), epochs=2, learning_rate=rate, validation_split=0.2)[1]["loss"]


@pytest.mark.rewritten  # to the last bit only what is compiled alike
def test_trials_in_workers_are_those_of_this_process(client):
    data = client.scatter(arrays(), broadcast=True)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    trials = [study.ask() for _ in range(3)]
    rates = [trial.suggest_float("rate", 1e-3, 0.1, log=True) for trial in trials]
    futures = [client.submit(loss_of, data, rate, pure=False) for rate in rates]
    for trial, loss in zip(trials, client.gather(futures)):
        study.tell(trial, loss)
    assert len({trial.value for trial in study.trials}) == 3
    assert loss_of(arrays(), **study.best_params) == study.best_value
