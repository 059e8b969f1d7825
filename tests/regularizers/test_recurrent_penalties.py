"""Penalties on changes from step to step, against NumPy, with steps that do not exist."""

import numpy as np
import pytest

from theanets import recurrent
from theanets.errors import ConfigurationError


def changes(h, lengths, squared_norm):
    found = []
    for series, n in zip(h, lengths):
        values = (series**2).sum(axis=1, keepdims=True) if squared_norm else series
        found.append(np.diff(values[:n], axis=0) ** 2)
    return np.concatenate(found)


@pytest.mark.parametrize("name, squared_norm", [("recurrent_state", 0), ("recurrent_norm", 1)])
@pytest.mark.parametrize("lengths", [(6, 6, 6), (6, 1, 3)])
def test_penalties_are_means_over_pairs_of_steps_that_exist(name, squared_norm, lengths, rng):
    layers = [3, (4, "lstm"), (7, "tanh"), dict(form="rrnn", size=5), 2]
    net = recurrent.Regressor(layers, weighted=True, dtype="float64")
    x, y = rng.normal(size=(3, 6, 3)), rng.normal(size=(3, 6, 2))
    w = np.repeat((np.arange(6) < np.array(lengths)[:, None])[:, :, None], 2, 2).astype(float)
    found = net.evaluate([x, y, w], **{name: 0.5})
    outputs = net.feed_forward(x)
    means = [changes(outputs[f"{k}:out"], lengths, squared_norm).mean() for k in ("hid1", "hid3")]
    assert found[name] == pytest.approx(0.5 * np.mean(means), rel=1e-10)
    assert found["loss"] == pytest.approx(found["err"] + found[name])
    one = net.evaluate([x, y, w], **{name: {"weight": 2.0, "pattern": "hid3:rate", "norm": "sum"}})
    total = changes(outputs["hid3:rate"], lengths, squared_norm).sum()
    assert one[name] == pytest.approx(2 * total / len(x), rel=1e-10)


def test_a_single_step_has_no_changes(rng):
    net = recurrent.Regressor([3, (4, "rnn"), 2])
    data = [rng.normal(size=(2, 1, 3)), rng.normal(size=(2, 1, 2))]
    assert net.evaluate(data, recurrent_state=1.0)["recurrent_state"] == 0


def test_only_series_of_recurrent_layers_are_penalized(rng):
    data = [rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 2))]
    net = recurrent.Regressor([3, dict(form="rnn", size=4, last=True), 2])
    with pytest.raises(ConfigurationError, match="no recurrent layer"):
        net.evaluate(data, recurrent_norm=1.0)
