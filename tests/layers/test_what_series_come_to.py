"""Attention of a learned query over the steps of a series, and the last step of repeated blocks."""

import numpy as np
import pytest

from theanets import recurrent

LENGTHS = (6, 1, 4)
OPTIONS = {"dtype": "float64", "mode": "FAST_COMPILE", "rng": 1}


def test_a_learned_query_against_numpy(rng):
    """Scores are divided by the root of the number of channels; others count by exp of them."""
    pool = dict(form="pool_time", mode="attention", name="pool")
    net = recurrent.Regressor([3, pool, 2], **OPTIONS)
    query = net.find("pool", "query")
    assert not query.get_value().any()
    series = [rng.normal(size=(n, 3)) for n in LENGTHS]
    means = net.feed_forward(series)["pool:out"]
    np.testing.assert_allclose(means, [x.mean(axis=0) for x in series])
    query.set_value(3 * rng.normal(size=3))
    found = net.feed_forward(series)
    for x, out, weights in zip(series, found["pool:out"], found["pool:weights"], strict=True):
        powers = np.exp(x @ query.get_value() / np.sqrt(3))
        shares = powers / powers.sum()
        np.testing.assert_allclose(weights[: len(x)], shares, rtol=1e-12)
        assert not weights[len(x) :].any()
        np.testing.assert_allclose(out, shares @ x, rtol=1e-12)


@pytest.mark.parametrize("repeat", [1, 3])
def test_the_last_step_of_repeated_blocks(repeat, rng):
    """Only the last block gives one step; those before give all, which it attends to."""
    block = dict(form="transformer", heads=2, hidden=6, repeat=repeat, name="block", norm="post")
    one = recurrent.Regressor([4, {**block, "last": True}, 2], **OPTIONS)
    all_steps = recurrent.Regressor([4, block, 2], **OPTIONS)
    assert sum(layer.name.endswith("/last") for layer in one.layers) == 1
    for a, b in zip(one.params, all_steps.params, strict=True):
        a.set_value(b.get_value())
    series = [rng.normal(size=(n, 4)) for n in LENGTHS]
    found, every = one.predict(series), all_steps.predict(series)
    assert found.shape == (3, 2)
    expected = [every[i, n - 1] for i, n in enumerate(LENGTHS)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    # What comes before matters to the last step.
    assert np.abs(one.predict([x[1:] if len(x) > 1 else x for x in series]) - found)[0].max() > 1e-3
