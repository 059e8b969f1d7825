"""The layers that attend: formulas, series of different lengths, and series that go on."""

import io

import numpy as np
import pytest

import theanets
from theanets.errors import ConfigurationError, DataError

SERIES = [7, 4, 1, 9]


def network(*layers, model=theanets.recurrent.Regressor, **options):
    options = {"rng": 1, "dtype": "float64", "mode": "FAST_COMPILE", **options}
    net = model([4, *layers, 2], **options)
    rng = np.random.default_rng(5)
    for p in net.params:
        p.set_value(rng.normal(size=p.get_value().shape) * 0.5)
    return net


@pytest.fixture
def series(rng):
    return [rng.normal(size=(n, 4)) for n in SERIES]


def softmax(x):
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def turned(x):
    """Turn pairs of units (time, heads, units) by the angle of each step."""
    half = x.shape[2] // 2
    pairs = x[..., :half] + 1j * x[..., half:]
    angles = np.arange(len(x))[:, None] * 10_000.0 ** (-np.arange(half) / half)
    pairs = pairs * np.exp(1j * angles)[:, None]
    return np.concatenate([pairs.real, pairs.imag], axis=2)


def twin(layer, x, other=None):
    """Get what a layer makes of one series."""
    p = {name: v.get_value() for name, v in layer._params.items()}
    heads, groups, d = layer.heads, layer.groups, layer.head_size
    own = x @ p["w"] + p.get("b", 0)
    if other is None:
        other, offered = x, own[:, heads * d :]
    else:
        offered = other @ p["wkv"] + p.get("bkv", 0)
    q = own[:, : heads * d].reshape(len(x), heads, d)
    k, v = (a.reshape(len(other), groups, d) for a in np.split(offered, 2, axis=1))
    if layer.position == "rotary":
        q, k = turned(q), turned(k)
    out, weights = np.zeros((len(x), heads, d)), np.zeros((heads, len(x), len(other)))
    distance = np.arange(len(other)) - np.arange(len(x))[:, None]
    for h in range(heads):
        scores = q[:, h] @ k[:, h * groups // heads].T / np.sqrt(d)
        if layer.position == "relative":
            reach = layer.reach
            behind = 0 if layer.causal else reach
            scores += p["distance"][h, np.clip(distance, -reach, behind) + reach]
        far = layer.window or 10**6
        near = (distance > -far) & (distance < (1 if layer.causal else far))
        weights[h] = softmax(np.where(near, scores, -np.inf))
        out[:, h] = weights[h] @ v[:, h * groups // heads]
    return out.reshape(len(x), -1) @ p["wo"] + p.get("bo", 0), weights


OPTIONS = {
    "plain": dict(),
    "size": dict(size=6, heads=3),
    "groups": dict(kv_heads=2),
    "causal": dict(causal=True, kv_heads=1, bias=False),
    "window": dict(window=3),
    "causal window": dict(causal=True, window=2),
    "rotary": dict(heads=2, position="rotary"),
    "rotary, two pairs": dict(size=8, heads=2, position="rotary"),
    "relative": dict(position="relative", reach=2),
    "causal relative": dict(position="relative", reach=3, causal=True),
}


@pytest.mark.parametrize("what", OPTIONS)
def test_formula(what, series):
    net = network(dict(form="attention", **OPTIONS[what]))
    layer = net.layers[1]
    outputs = net.feed_forward(series[0][None])
    out, weights = twin(layer, series[0])
    np.testing.assert_allclose(outputs["hid1:out"][0], out, rtol=1e-10)
    np.testing.assert_allclose(outputs["hid1:weights"][0], weights, rtol=1e-10, atol=1e-15)


def test_formula_of_another_series(rng):
    layers = [
        dict(form="input", shape=(None, 3), name="other"),
        dict(form="attention", size=6, heads=3, inputs=["in", "other"], name="att"),
        dict(form="lengths", of="other", name="n"),
    ]
    net = network(*layers)
    x, other = rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 7, 3))
    lengths = np.array([7, 4])
    found = net.feed_forward({"in": x, "other": other, "n": lengths})
    for i, n in enumerate(lengths):
        out, weights = twin(net.layers[2 if net.layers[2].name == "att" else 3], x[i], other[i, :n])
        np.testing.assert_allclose(found["att:out"][i], out, rtol=1e-10)
        np.testing.assert_allclose(found["att:weights"][i, :, :, :n], weights, rtol=1e-10)
        assert not found["att:weights"][i, :, :, n:].any()


BLOCKS = {
    **{key: [dict(form="attention", **given)] for key, given in OPTIONS.items()},
    "learned positions": [
        dict(form="position", kind="learned", steps=20),
        dict(form="attention"),
    ],
    "transformer": ["position", dict(form="transformer", heads=2, hidden=6)],
    "two, post": [dict(form="transformer", norm="post", repeat=2, causal=True, window=4)],
    "gated": [dict(form="transformer", activation="swiglu", normalization="rms_norm", kv_heads=1)],
}


@pytest.mark.parametrize("what", ["relative", "causal window", "learned positions", "gated"])
def test_padding_changes_nothing(what, series, rng):
    """Outputs, loss and gradients of a batch are those of its series alone."""
    net = network(*BLOCKS[what])
    targets = [rng.normal(size=(len(x), 2)) for x in series]
    padded = net.feed_forward(series, training=True)["out:out"]
    for i, x in enumerate(series):
        np.testing.assert_allclose(padded[i, : len(x)], net.predict(x[None])[0], rtol=1e-9)
        assert not padded[i, len(x) :].any()
    counts = np.array(SERIES)
    whole = net.evaluate([series, targets])["loss"]
    each = [net.evaluate([x[None], t[None]])["loss"] for x, t in zip(series, targets)]
    np.testing.assert_allclose(whole, (np.array(each) * counts).sum() / counts.sum())
    before = [p.get_value() for p in net.params]
    net.train([series, targets], algo="sgd", learning_rate=1e-3, momentum=0, batch_size=4, epochs=1)
    moved = [a - p.get_value() for a, p in zip(before, net.params)]
    # More steps that do not exist, whatever is in them.
    wide = np.full((4, 13, 4), 1e3)
    goals = np.full((4, 13, 2), 1e3)
    weights = np.zeros((4, 13, 2))
    for i, (x, t) in enumerate(zip(series, targets)):
        wide[i, : len(x)], goals[i, : len(x)], weights[i, : len(x)] = x, t, 1
    other = network(*BLOCKS[what], weighted=True)
    other.train(
        [wide, goals, weights], algo="sgd", learning_rate=1e-3, momentum=0, batch_size=4, epochs=1
    )
    for a, p, change in zip(before, other.params, moved):
        np.testing.assert_allclose(a - p.get_value(), change, rtol=1e-7, atol=1e-12)
        assert np.abs(change).max() > 0


@pytest.mark.parametrize("what", ["causal", "causal window", "causal relative", "blocks"])
def test_series_that_go_on_step_by_step(what, series):
    block = dict(form="transformer", heads=2, causal=True, position="rotary")
    layers = ["position", block] if what == "blocks" else BLOCKS[what]
    net = network(*layers)
    whole = net.predict(series)
    stream = net.stream(1)
    steps = np.array([stream.step(row) for row in series[3]])
    np.testing.assert_allclose(steps, whole[3], rtol=1e-9, atol=1e-12)
    # Series of different lengths, continued by parts of different lengths.
    _, state = net.predict([x[:-1] if len(x) > 1 else x for x in series], return_state=True)
    rest = [x[-1:] for x in series]
    found = net.predict(np.stack(rest), state=state)
    for i in (0, 1, 3):
        np.testing.assert_allclose(found[i, -1], whole[i, SERIES[i] - 1], rtol=1e-9, atol=1e-12)
    kept = {len(v[0]) for of in stream.state.values() for k, v in of.items() if k == "keys"}
    assert kept == ({1} if what == "causal window" else {9})


def test_generated_steps_are_those_of_whole_series(rng):
    block = dict(form="transformer", heads=2, causal=True, hidden=8)
    net = theanets.recurrent.Predictor(
        [3, "position", (4, "linear"), block, 3], rng=1, dtype="float64", mode="FAST_COMPILE"
    )
    seeds = [rng.normal(size=(n, 3)) for n in (5, 2)]
    found = net.generate(seeds, 6)
    for seed, made in zip(seeds, found):
        series = seed
        for row in made:
            np.testing.assert_allclose(net.predict(series[None])[0, -1], row, rtol=1e-9, atol=1e-12)
            series = np.vstack([series, row])


def test_series_longer_than_learned_positions_are_refused(rng):
    net = network(dict(form="position", kind="learned", steps=5))
    assert net.predict(rng.normal(size=(2, 5, 4))).shape == (2, 5, 2)
    with pytest.raises(DataError, match="steps=5 is less than the 6 steps"):
        net.predict(rng.normal(size=(2, 6, 4)))
    stream = net.stream(1)
    for _ in range(5):
        stream.step(np.zeros(4))
    with pytest.raises(DataError, match=r"6 steps, but layer 'hid1' .* positions of 5"):
        stream.step(np.zeros(4))


@pytest.mark.parametrize("size", [4, 5])
def test_sinusoidal_positions(size, rng):
    net = theanets.recurrent.Regressor(
        [size, "position", 1], rng=1, dtype="float64", mode="FAST_COMPILE"
    )
    x = rng.normal(size=(1, 6, size))
    added = net.feed_forward(x)["hid1:out"][0] - x[0]
    half = (size + 1) // 2
    for t, i in np.ndindex(6, size):
        angle = t / 10_000 ** (i // 2 / half)
        wave = np.sin(angle) if i % 2 == 0 else np.cos(angle)
        np.testing.assert_allclose(added[t, i], wave, atol=1e-12)


@pytest.mark.parametrize("what", ["causal relative", "learned positions", "gated"])
def test_files(what, series):
    net = network(*BLOCKS[what])
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    again = theanets.recurrent.Regressor.load(file)
    np.testing.assert_array_equal(again.predict(series), net.predict(series))


OTHER = dict(form="input", shape=(None, 3), name="other")
FIXED = dict(form="input", shape=(6, 3), name="other")
WRONG = {
    r"heads=3 do not divide size=4: 4 = 1 \* 3 \+ 1": [dict(form="attention", heads=3)],
    r"kv_heads=3 do not divide heads=4: 4 = 1 \* 3 \+ 1": [dict(form="attention", kv_heads=3)],
    "an odd number": [dict(form="attention", position="rotary")],
    "window=0 is not an integer of at least 1": [dict(form="attention", window=0)],
    "did you mean 'rotary'": [dict(form="attention", position="rotery")],
    "dropout=1 is not": [dict(form="attention", dropout=1)],
    "causal=True needs series of the same steps.*None != 6": [
        *[FIXED, dict(form="attention", causal=True, inputs=["in", "other"])]
    ],
    "is of the steps of one series": [
        *[OTHER, dict(form="attention", position="relative", inputs=["in", "other"])]
    ],
    "steps=None with kind='learned'": [dict(form="position", kind="learned")],
    "size=8, but what is added": [dict(form="transformer", size=8)],
    "has layers of its own": [dict(form="transformer", layers=[3])],
    "needs a series": [dict(form="attention", inputs=["in", "in", "in"])],
}


@pytest.mark.parametrize("message", WRONG)
def test_mistakes(message):
    with pytest.raises(ConfigurationError, match=message):
        network(*WRONG[message])


def test_what_cannot_be_continued():
    with pytest.raises(ConfigurationError, match="later steps, without causal=True: its series"):
        network(dict(form="attention")).stream()
    net = network(OTHER, dict(form="attention", causal=True, inputs=["in", "other"]))
    assert "second series" in net.layers[2].cannot_continue


def test_dropped_weights_and_paths(series):
    layer = dict(form="transformer", heads=2, dropout=0.3, drop_path=0.5)
    net = network(layer)
    x = np.repeat(series[0][None], 40, axis=0)
    one, other = (net.feed_forward(x, training=True) for _ in range(2))
    assert not np.allclose(one["hid1:out"], other["hid1:out"])
    path = one["hid1/attention_path:out"] - 2 * one["hid1/attention_dropout:out"]
    gone = ~one["hid1/attention_path:out"].any(axis=(1, 2))
    assert 8 < gone.sum() < 32 and np.allclose(path[~gone], 0)
    np.testing.assert_array_equal(net.predict(x), net.predict(x))


def test_outputs_tied_to_an_embedding(rng):
    symbols = dict(form="symbols", shape=(None,), classes=7)
    vectors = dict(form="embedding", size=4, name="vectors")
    tied = dict(form="tied", partner="vectors", activation="softmax")
    net = theanets.recurrent.Classifier(
        [symbols, vectors, tied], rng=1, dtype="float64", mode="FAST_COMPILE"
    )
    w, b = (p.get_value() for p in net.params)
    assert w.shape == (7, 4) and b.shape == (7,)
    x = rng.integers(0, 7, size=(3, 5))
    np.testing.assert_allclose(net.predict_proba(x), softmax(w[x] @ w.T + b), rtol=1e-12)
    net.train([x, x], algo="sgd", epochs=1, batch_size=3)
    assert np.abs(net.params[0].get_value() - w).min() > 0
