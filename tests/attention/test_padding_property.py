"""A series gives what it gives alone, whatever is beside it and however far it is filled up."""

import functools
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import theanets

BLOCK = dict(form="transformer", heads=2, hidden=6)
OTHER = dict(form="input", size=3, name="other", ndim=3)
NETS = {
    "attention": [dict(form="attention", heads=2, kv_heads=1, position="rotary")],
    "window": [dict(form="attention", heads=2, window=3, position="relative", reach=2)],
    "causal": [dict(form="attention", heads=4, causal=True, window=2), "position"],
    "cross": [OTHER, dict(form="attention", heads=2, inputs=["in", "other"])],
    "cross, last": [OTHER, dict(form="attention", heads=2, inputs=["in", "other"], last=True)],
    "blocks": ["position", {**BLOCK, "repeat": 2, "norm": "post", "normalization": "rms_norm"}],
    "last": [{**BLOCK, "last": True, "position": "relative"}],
    "pooled": [BLOCK, "layer_norm", dict(form="pool_time", mode="attention")],
}


@functools.cache
def network(what):
    """Get a network, as it is when it comes back from a file."""
    layers = [dict(size=4, name="in", form="input", ndim=3), *NETS[what], 2]
    net = theanets.recurrent.Regressor(layers, rng=1, dtype="float64", mode="FAST_COMPILE")
    rng = np.random.default_rng(5)
    for param in net.params:
        param.set_value(rng.normal(size=param.get_value().shape) * 0.5)
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    return theanets.recurrent.Regressor.load(file)


def filled(series, more, value):
    """Make an array of series, with steps that do not exist behind each."""
    longest = max(map(len, series)) + more
    found = np.full((len(series), longest, series[0].shape[1]), value)
    for row, one in zip(found, series):
        row[: len(one)] = one
    return found, np.array([len(one) for one in series], "int32")


LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=4)


@pytest.mark.parametrize("what", NETS)
@given(LENGTHS, st.integers(0, 3), st.sampled_from([0.0, 1e3, -7.0]), st.integers(0, 2**16))
@settings(max_examples=8, deadline=None)
def test_padding_never_changes_an_output(what, lengths, more, value, seed):
    net, rng = network(what), np.random.default_rng(seed)
    inputs = [[rng.normal(size=(n, 4)) for n in lengths]]
    if "cross" in what:
        inputs.append([rng.normal(size=(1 + (n + seed) % 5, 3)) for n in lengths])
    data = {}
    for layer, series in zip(("in", "other"), inputs):
        key = f"{layer}_lengths" if len(inputs) > 1 else "lengths"
        data[layer], data[key] = filled(series, more, value)
    found = net.predict(data)
    for i, n in enumerate(lengths):
        one = [series[i][None] for series in inputs]
        alone = net.predict(one if len(one) > 1 else one[0])[0]
        mine = found[i] if found.ndim == 2 else found[i, :n]
        np.testing.assert_allclose(mine, alone, rtol=1e-9, atol=1e-11)
        assert found.ndim == 2 or not found[i, n:].any()
