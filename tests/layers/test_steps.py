"""Steps that do not exist: a padded batch is what its series are one by one."""

import numpy as np
import pytest

from theanets import recurrent
from theanets.errors import ConfigurationError, UnknownNameError
from theanets.regularizers import from_kwargs

LENGTHS = np.array([6, 2, 7, 1, 4])
NIN = 3

CONV = {"form": "conv1", "size": 3, "filter_size": 3}
STACKS = {
    "same": [
        (4, "rnn"),
        (5, "tanh"),
        "batch_norm",
        {**CONV, "border_mode": "same"},
        (4, "bidirectional"),
    ],
    "valid": [(4, "bidirectional"), {**CONV, "filter_size": 1}, (4, "bidirectional")],
    "full": [{**CONV, "border_mode": "full"}, (4, "bidirectional")],
    "causal": [(4, "lstm"), {**CONV, "border_mode": ((4, 0),), "dilation": 2}, (4, "gru")],
    "strided": [(4, "tanh"), {**CONV, "stride": 2, "border_mode": "same"}, (4, "bidirectional")],
    "strided even": [{**CONV, "filter_size": 4, "stride": 3, "border_mode": "same"}, (4, "rnn")],
    "transposed": [
        {**CONV, "form": "conv1_transposed", "stride": 2},
        {**CONV, "border_mode": "half"},
        (4, "bidirectional"),
    ],
    "pool": [(4, "tanh"), dict(form="pool1", pool_size=3, padding="same"), (4, "bidirectional")],
    "pool mean": [
        (4, "tanh"),
        dict(form="pool1", pool_size=3, stride=1, padding=1, mode="mean"),
        (4, "bidirectional"),
    ],
    "upsample": ["upsample1", "layer_norm", (4, "bidirectional")],
    "many to one": [(4, "tanh"), dict(form="pool1", pool_size="global", mode="mean")],
    "most": [(4, "linear"), dict(form="pool1", pool_size="global"), (3, "tanh")],
}


def shaken(net, seed=3):
    rng = np.random.default_rng(seed)
    for param in net.params:
        param.set_value(rng.normal(size=param.get_value().shape) * 0.7)
    for state in net.state:
        state.set_value(rng.uniform(0.5, 1.5, size=state.get_value().shape))
    return net


def make(hidden, kind=recurrent.Regressor, holder=True, nout=2, **options):
    layers = [NIN]
    if holder:
        layers.append({"form": "lengths", "name": "n"})
    specs = [h if isinstance(h, dict) else {"form": h} if isinstance(h, str) else h for h in hidden]
    for i, one in enumerate([*specs, nout]):
        layers.append(one)
        if holder and i == 0:
            if not isinstance(one, dict):
                key = "activation" if one[1] in ("tanh", "linear") else "form"
                one = {"size": one[0], key: one[1]}
            layers[-1] = {**one, "inputs": "in"}
    return shaken(kind(layers, rng=13, dtype="float64", **options))


@pytest.fixture
def xs(rng):
    return [rng.normal(size=(n, NIN)) for n in LENGTHS]


@pytest.mark.parametrize("name", STACKS)
def test_outputs_are_those_of_each_series_alone(name, xs):
    net = make(STACKS[name])
    x, _ = recurrent.pad(xs, 9)
    together = net.feed_forward([x, LENGTHS])
    plain = make(STACKS[name], holder=False)
    for i, one in enumerate(xs):
        alone = plain.feed_forward(one[None])
        for key, value in alone.items():
            found = together[key][i]
            if value.ndim == 3:
                steps = value.shape[1]
                # What is behind the end is 0.
                assert not found[steps:].any(), key
                found = found[:steps]
            np.testing.assert_allclose(found, value[0], rtol=1e-12, atol=1e-12, err_msg=key)


def gradient(net, data, **regularizers):
    from theanets.training import compiled

    losses = net.bound_losses()
    found, scale = from_kwargs(net.layers, **regularizers)
    evaluation, _ = compiled.compile_gradient(net.graph, net.variables, losses, found)
    evaluation.assign(losses, found, scale)
    by_name = dict(data)
    arrays = [np.ascontiguousarray(by_name[v.name], dtype=v.dtype) for v in net.variables]
    sums, *grads = evaluation.function(*arrays)
    return sums, grads


@pytest.mark.parametrize("holder", [True, False])
def test_loss_penalties_gradient_and_statistics_are_those_of_the_steps_that_exist(holder, rng):
    """With the same series twice, padded by different things and by different amounts."""
    hidden = STACKS["same"]
    xs = [rng.normal(size=(n, NIN)) for n in LENGTHS]
    ys = [rng.normal(size=(n, 2)) for n in LENGTHS]
    results = []
    for more, fill in ((0, 0.0), (3, 7.5)):
        net = make(hidden, holder=holder, weighted=not holder)
        x, _ = recurrent.pad([*xs, np.zeros((7 + more, NIN))], fill)
        y, _ = recurrent.pad([*ys, np.zeros((7 + more, 2))], fill)
        data = {"in": x[:-1], "target": y[:-1]}
        if holder:
            data["n"] = LENGTHS
        else:
            exists = np.arange(7 + more) < LENGTHS[:, None]
            data["weights"] = np.repeat(exists[:, :, None], 2, axis=2)
        keywords = {"hidden_l1": 0.3, "recurrent_state": 0.2, "recurrent_norm": 0.1}
        sums, grads = gradient(net, data, **keywords)
        net.train(data, algo="sgd", epochs=1, batch_size=8, **keywords)
        state = [s.get_value() for s in net.state]
        results.append([sums, *grads, *state, *(p.get_value() for p in net.params)])
    for one, other in zip(*results):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    # And the loss is the mean over the steps that exist.
    net = make(hidden, holder=holder, weighted=not holder)
    errors = []
    plain = make(hidden, holder=False)
    for a, b in zip(xs, ys):
        errors.append((plain.predict(a[None])[0] - b) ** 2)
    loss = net.evaluate([xs, ys])["loss"]
    assert loss == pytest.approx(np.concatenate(errors).mean(), rel=1e-10)


def test_statistics_of_a_batch_do_not_count_what_does_not_exist(xs):
    net = make(["batch_norm"])
    x, _ = recurrent.pad(xs, 50.0)
    y = np.zeros((*x.shape[:2], 2))
    net.find("hid1", "scale").set_value(np.ones(NIN))
    before = net.graph.layer("hid1").find("mean").get_value()
    net.train({"in": x, "n": LENGTHS, "target": y}, algo="sgd", epochs=1, learning_rate=1e-30)
    every = np.concatenate(xs)
    mean, variance = (net.graph.layer("hid1").find(k) for k in ("mean", "variance"))
    expected = 0.9 * before + 0.1 * every.mean(axis=0)
    np.testing.assert_allclose(mean.get_value(), expected, rtol=1e-12)
    assert variance.get_value() == pytest.approx(
        0.9 * shaken(make(["batch_norm"])).state[1].get_value() + 0.1 * every.var(axis=0, ddof=1)
    )


def test_hidden_penalties_are_means_over_the_steps_that_exist(xs):
    net = make([(4, "tanh"), (5, "lstm")])
    x, _ = recurrent.pad(xs, 5.0)
    data = {"in": x, "n": LENGTHS, "target": np.zeros((*x.shape[:2], 2))}
    outputs = net.feed_forward({"in": x, "n": LENGTHS})
    flat = [
        np.concatenate([outputs[f"{key}:out"][i, :n] for i, n in enumerate(LENGTHS)])
        for key in ("hid1", "hid2")
    ]
    found = net.evaluate(data, hidden_l1=1.0, hidden_l2=1.0)
    assert found["hidden_l1"] == pytest.approx(np.mean([np.abs(h).mean() for h in flat]))
    assert found["hidden_l2"] == pytest.approx(np.mean([(h**2).mean() for h in flat]))
    summed = net.evaluate(data, hidden_l1={"weight": 1.0, "norm": "sum"})["hidden_l1"]
    assert summed == pytest.approx(sum(np.abs(h).sum() for h in flat) / len(LENGTHS))


@pytest.mark.parametrize("border, stride", [("valid", 1), ("full", 1), ("same", 1), (1, 1)])
def test_weights_of_what_is_behind_a_convolution_say_the_steps_before_it(border, stride, rng):
    """A backward layer in front of a convolution must not see what weights leave out."""
    layers = [
        NIN,
        (4, "bidirectional"),
        {**CONV, "border_mode": border, "stride": stride},
        2,
    ]
    net = shaken(recurrent.Regressor(layers, weighted=True, dtype="float64"))
    alone = []
    xs = [rng.normal(size=(n, NIN)) for n in (5, 8, 3)]
    for x in xs:
        alone.append(net.predict(x[None])[0])
    x, _ = recurrent.pad(xs, 3.0)
    y, lengths = recurrent.pad([a + 1 for a in alone])
    w = np.repeat((np.arange(y.shape[1]) < lengths[:, None])[:, :, None], 2, axis=2)
    assert net.evaluate([x, y, w])["loss"] == pytest.approx(1, rel=1e-10)


def test_two_inputs_with_lengths_of_their_own(rng):
    layers = [
        dict(form="input", name="one", shape=(None, NIN)),
        dict(form="input", name="two", shape=(None, NIN)),
        dict(form="lengths", name="m", of="two"),
        dict(form="lengths", name="n", of="one"),
        dict(form="bidirectional", name="code", size=4, inputs="two", last=True),
        dict(form="rnn", name="start", size=4, inputs="one", h_0="code"),
        dict(form="feedforward", name="out", size=2, inputs="start"),
    ]
    net = shaken(recurrent.Regressor(layers, dtype="float64"))
    a, b = rng.normal(size=(2, 5, NIN)), rng.normal(size=(2, 7, NIN))
    short = [3, 6], [5, 2]
    found = net.predict({"one": a, "two": b, "m": short[0], "n": short[1]})
    for i, (m, n) in enumerate(zip(*short)):
        one = {"one": a[i : i + 1, :n], "two": b[i : i + 1, :m], "m": [m], "n": [n]}
        np.testing.assert_allclose(found[i, :n], net.predict(one)[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("of, error", [("x", UnknownNameError), ("in", ConfigurationError)])
def test_lengths_of_what_is_no_input_are_refused(of, error):
    layers = [
        NIN,
        dict(form="lengths", name="n", of="in"),
        dict(form="lengths", name="m", of=of),
        dict(form="rnn", size=2, inputs="in"),
        1,
    ]
    with pytest.raises(error, match="layer 'm'"):
        recurrent.Regressor(layers).predict([np.zeros((1, 2, NIN)), [2], [2]])


def test_symbols_of_different_lengths(rng):
    layers = [
        dict(form="symbols", name="in", shape=(None,), classes=5),
        dict(form="lengths", name="n"),
        dict(form="embedding", size=3, inputs="in"),
        {**CONV, "border_mode": "same"},
        (4, "bidirectional"),
        2,
    ]
    net = shaken(recurrent.Regressor(layers, dtype="float64"))
    x = rng.integers(0, 5, size=(2, 6))
    found = net.predict([x, [4, 6]])
    np.testing.assert_allclose(found[0, :4], net.predict([x[:1, :4], [4]])[0], rtol=1e-10)


def test_lengths_of_frames_are_known_to_ctc(rng):
    layers = [NIN, dict(form="lengths", name="n"), dict(form="rnn", size=4, inputs="in"), 5]
    net = shaken(recurrent.Classifier(layers, loss="ctc", dtype="float64"))
    x, y = rng.normal(size=(2, 8, NIN)), np.array([[1, 2], [3, -1]])
    together = net.evaluate([x, [5, 8], y])["loss"]
    alone = [
        net.evaluate([x[i : i + 1, :n], [n], y[i : i + 1]])["loss"] for i, n in ((0, 5), (1, 8))
    ]
    assert together == pytest.approx(np.mean(alone), rel=1e-10)


def test_accuracy_counts_steps_that_exist(xs):
    net = make([(4, "rnn")], recurrent.Classifier, nout=3)
    x, _ = recurrent.pad(xs, 1.0)
    y = net.predict([x, LENGTHS])
    for i, n in enumerate(LENGTHS):
        y[i, n:] = 2
    y[0, 0] = (y[0, 0] + 1) % 3
    found = net.evaluate([x, LENGTHS, y])["acc"]
    assert found == pytest.approx(1 - 1 / LENGTHS.sum())


def test_noise_leaves_what_does_not_exist_alone(xs):
    net = make([{**CONV, "border_mode": "same"}])
    x, _ = recurrent.pad(xs, 1.0)
    found = net.feed_forward([x, LENGTHS], input_noise=1.0, hidden_noise=1.0, rng=0)
    for key in ("in:out", "hid1:out"):
        for i, n in enumerate(LENGTHS):
            assert not found[key][i, n:].any() and found[key][i, :n].all()
