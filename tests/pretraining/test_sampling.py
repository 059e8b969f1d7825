"""Weights that are samples of the data, against the definition."""

import numpy as np
import pytest

import theanets
from theanets import DataError
from theanets import rng as _rng
from theanets.data import Dataset, Field
from theanets.pretraining.samples import choose, draw, set_weights


def unit(rows):
    length = np.sqrt((rows.astype(float) ** 2).sum(axis=-1, keepdims=True))
    return rows / np.maximum(length, 1e-30)


def match(samples, rows):
    """Find the one row of which each sample is the direction."""
    near = np.abs(unit(samples) @ unit(rows).T - 1) < 1e-5
    assert (near.sum(axis=1) == 1).all()
    return near.argmax(axis=1)


def snapshot(net):
    return {p.name: p.get_value() for p in net.params}


@pytest.fixture
def x(rng):
    return rng.normal(size=(50, 6)).astype("float32")


def test_every_layer_has_examples_of_its_own_inputs(x, rng):
    y = rng.normal(size=(50, 3)).astype("float32")
    net = theanets.Regressor([6, (5, "tanh"), (4, "tanh"), (6, "relu"), 3])
    before = snapshot(net)
    net.train([x, y], algo="sample")
    w = snapshot(net)
    hidden = {"hid1": x, "hid2": np.tanh(x @ w["hid1.w"])}
    hidden["hid3"] = np.tanh(hidden["hid2"] @ w["hid2.w"])
    chosen = {}
    for name, rows in hidden.items():
        np.testing.assert_allclose((w[f"{name}.w"] ** 2).sum(axis=0), 1, rtol=1e-5)
        chosen[name] = match(w[f"{name}.w"].T, rows)
        assert len(set(chosen[name])) == len(chosen[name])
    # The output of a unit is the target of the example that its weights are.
    np.testing.assert_allclose(w["out.w"], unit(y[chosen["hid3"]]), rtol=1e-5, atol=1e-6)
    assert all((w[f"{name}.b"] == before[f"{name}.b"]).all() for name in (*hidden, "out"))


def test_labels_and_autoencoders(x, rng):
    labels = rng.integers(3, size=50)
    net = theanets.Classifier([6, 8, 3])
    net.train([x, labels], algo="sample")
    w = snapshot(net)
    np.testing.assert_array_equal(w["out.w"], np.eye(3)[labels[match(w["hid1.w"].T, x)]])
    net = theanets.Autoencoder([6, 8, 6])
    net.train([x], algo="sample")
    w = snapshot(net)
    np.testing.assert_allclose(w["out.w"], w["hid1.w"].T, rtol=1e-5)
    tied = theanets.Autoencoder([6, 8, 4, ("tied", "relu"), "tied"])
    tied.train([x], algo="sample")
    hidden = np.maximum(x @ tied.find("hid1.w").get_value(), 0)
    match(tied.find("hid2.w").get_value().T, hidden)


def test_filters_are_what_they_see(rng):
    x = rng.normal(size=(30, 6, 7, 2)).astype("float32")
    conv = dict(form="conv2", size=4, filter_size=(3, 2), stride=(2, 3), dilation=(1, 2))
    net = theanets.convolution.Classifier(
        [(6, 7, 2), dict(conv, border_mode=1, activation="linear"), "flat", 3]
    )
    net.train([x, rng.integers(3, size=30)], algo="sample")
    w = net.find("hid1.w").get_value()
    np.testing.assert_allclose((w**2).sum(axis=(1, 2, 3)), 1, rtol=1e-5)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = [
        padded[:, i : i + 3, j : j + 3 : 2].reshape(30, -1) for i in (0, 2, 4) for j in (0, 3, 6)
    ]
    filters = w[:, :, ::-1, ::-1].transpose(0, 2, 3, 1).reshape(4, -1)
    found = match(filters, np.concatenate(windows))
    # What a filter gives for its own window is the length of that.
    out = net.feed_forward(x)["hid1:pre"]
    for unit_number, place in enumerate(found):
        position, example = divmod(place, 30)
        length = np.sqrt((windows[position][example] ** 2).sum())
        i, j = divmod(position, 3)
        np.testing.assert_allclose(out[example, i, j, unit_number], length, rtol=1e-4)


def test_series_and_several_inputs(rng):
    x = rng.normal(size=(30, 5, 6)).astype("float32")
    net = theanets.recurrent.Classifier([6, (4, "tanh"), 3])
    labels = rng.integers(3, size=(30, 5))
    net.train([x, labels], algo="sample")
    match(net.find("hid1.w").get_value().T, x.reshape(-1, 6))
    assert set(net.find("out.w").get_value().sum(axis=1)) == {1}
    one = theanets.recurrent.Regressor([(None, 6), dict(form="conv1", size=4, filter_size=2), 3])
    one.train([x, rng.normal(size=(30, 4, 3))], algo="sample")
    windows = np.concatenate([x[:, i : i + 2].reshape(30, 12) for i in range(4)])
    w = one.find("hid1.w").get_value()[:, :, 0, ::-1].transpose(0, 2, 1).reshape(4, 12)
    match(w, windows)
    two = theanets.Network([6, dict(form="input", size=2, name="more")])
    two.add_layer(4, inputs=["in", "more"], name="hid")
    two.add_layer(3, name="out")
    more = rng.normal(size=(30, 2)).astype("float32")
    two.train([x[:, 0], more, x[:, 0, :3]], algo="sample")
    joined = np.concatenate(
        [two.find("hid", "w_1").get_value(), two.find("hid", "w_2").get_value()]
    )
    match(joined.T, np.concatenate([x[:, 0], more], axis=1))


def test_what_does_not_count_is_not_used(x, rng):
    x[10:] = 0
    y = rng.normal(size=(50, 3)).astype("float32")
    weights = np.ones((50, 3))
    weights[:4, 1] = 0
    y[:4, 1] = np.nan
    net = theanets.Regressor([6, 10, 3], weighted=True)
    net.train([x, y, weights], algo="sample")
    w = snapshot(net)
    rows = match(w["hid1.w"].T, x[:10])
    assert sorted(rows) == list(range(10))
    np.testing.assert_allclose(w["out.w"][rows >= 4], unit(y[rows[rows >= 4]]), rtol=1e-5)
    assert (match(w["out.w"], np.where(np.isnan(y), 9, y)) >= 4).all()
    with pytest.raises(DataError, match="inputs of layer 'hid1' are zero for all of 50"):
        net.train([0 * x, y, weights], algo="sample")
    assert all((snapshot(net)[key] == w[key]).all() for key in w)


def test_rows_that_come_again_have_noise(rng):
    rows = rng.normal(size=(4, 3))
    samples, picks = choose(rows, 4000, rng, "rows")
    np.testing.assert_allclose(samples[:4], unit(rows[picks[:4]]))
    assert sorted(picks[:4]) == [0, 1, 2, 3]
    assert len(np.unique(samples.round(9), axis=0)) == 4000
    np.testing.assert_allclose((samples**2).sum(axis=1), 1)
    fixed, picks = choose(np.eye(3)[[0, 0, 1]] * [[2], [0], [3]], 2, rng, "rows", np.array([1, 2]))
    np.testing.assert_array_equal(picks[1], 2)
    np.testing.assert_array_equal(fixed[1], [0, 1, 0])


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_draw_is_fair_and_without_replacement(batch):
    counts = np.zeros(20)
    for seed in range(300):
        data = Dataset(
            [Field("in", "input", "float64", (1,)), Field("target", "target", "int32", ())],
            [np.arange(20.0)[:, None], np.arange(20)],
            batch_size=batch,
            shuffle=False,
            seed_rng=np.random.default_rng(0),
        )
        found = draw(data, 5, np.random.default_rng(seed))
        assert len(set(found["target"])) == 5
        np.testing.assert_array_equal(found["in"][:, 0], found["target"])
        counts[found["target"]] += 1
    # 75 times each; the standard deviation is 7.5.
    assert counts.min() > 75 - 4 * 7.5
    assert counts.max() < 75 + 4 * 7.5


def test_reports_and_seeds(x, rng):
    y = x[:, :2]
    nets = [theanets.Regressor([6, 5, 4, 2], rng=1) for _ in range(4)]
    pairs = [net.train([x[:40], y[:40]], [x[40:], y[40:]], algo="sample") for net in nets[:2]]
    assert pairs[0] == pairs[1]
    assert pairs[0][1] == nets[0].evaluate([x[40:], y[40:]])
    assert pairs[0][0]["loss"] == pytest.approx(nets[0].evaluate([x[:40], y[:40]])["loss"])
    assert len(nets[0].history) == 1
    for key in snapshot(nets[0]):
        assert (snapshot(nets[0])[key] == snapshot(nets[1])[key]).all()
    nets[2].train([x[:40], y[:40]], algo="sample", rng=99)
    assert (nets[2].find("hid1.w").get_value() != nets[0].find("hid1.w").get_value()).any()
    nets[3].train(iter([(x[:25], y[:25]), (x[25:], y[25:])]), algo="sample")
    match(nets[3].find("hid1.w").get_value().T, x)
    before = snapshot(nets[0])
    nets[0].train([x, y], algo="sample", epochs=0)
    assert all((snapshot(nets[0])[key] == before[key]).all() for key in before)


def test_an_error_in_the_middle_undoes_it(x, monkeypatch):
    net = theanets.Regressor([6, 5, 4, 2])
    before = snapshot(net)
    from theanets.pretraining import samples

    assign, done = samples._assign, []

    def fail(layer, weights):
        if done:
            raise KeyboardInterrupt
        assign(layer, weights)
        done.append(layer)

    monkeypatch.setattr(samples, "_assign", fail)
    net.train([x, x[:, :2]], algo="sample")
    assert done
    assert net.history.stop_reason == "interrupted"
    assert all((snapshot(net)[key] == before[key]).all() for key in before)


def test_sparse_inputs(x):
    import scipy.sparse as sp

    net = theanets.Regressor([dict(form="input", size=6, sparse=True), 5, 2])
    net.train([sp.csr_array(x), x[:, :2]], algo="sample")
    match(net.find("hid1.w").get_value().T, x)


def test_one_layer_of_its_own(x):
    net = theanets.Classifier([6, 3])
    pool = {"in": x, "target": np.arange(50) % 3}
    set_weights(net, pool, 5)
    first = net.find("out.w").get_value()
    assert set(first.sum(axis=1)) == {1}
    set_weights(net, pool, int(_rng.generator(5, "other").integers(99)))
    assert (net.find("out.w").get_value() != first).any()
