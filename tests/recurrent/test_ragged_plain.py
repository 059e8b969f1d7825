"""Series of different lengths for networks that were built without a thought of lengths."""

import copy

import numpy as np
import pytest

import theanets
from theanets import recurrent
from theanets.errors import ConfigurationError, DataError

LENGTHS = (5, 2, 7, 1, 4, 6)
HOLDER = dict(form="lengths", name="lengths")
KEYWORDS = {"algo": "sgd", "learning_rate": 0.3, "epochs": 2, "batch_size": 3, "rng": 4}
LAST = dict(form="bidirectional", worker="gru", size=4, last=True, name="hid1")
STEPS = [(4, "bidirectional"), "batch_norm", (3, "tanh")]


def ragged(rng, width=3, lengths=LENGTHS):
    return [rng.normal(size=(n, width)) for n in lengths]


def nets(kind, layers, out, loss=None, **options):
    """The same network, without a layer of lengths and with one."""
    loss = {} if loss is None else {"loss": loss}
    options = {"rng": 13, "dtype": "float64", **loss, **options}
    plain = kind([3, *layers, out], **options)
    explicit = kind([3, HOLDER, *layers, out], **options)
    same(values(plain), values(explicit), rtol=0)
    return plain, explicit


def values(net):
    return {p.name: p.get_value() for p in [*net.params, *net.state]}


def same(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], err_msg=name, **tolerance)


def named(layers):
    """Names that do not depend on what else there is."""
    found = []
    for i, layer in enumerate(layers):
        spec = dict(layer) if isinstance(layer, dict) else None
        if spec is None:
            parts = layer if isinstance(layer, tuple) else (layer,)
            sizes = [part for part in parts if isinstance(part, int)]
            words = [part for part in parts if isinstance(part, str)]
            spec = {"size": sizes[0]} if sizes else {}
            spec.update({"activation": "tanh"} if words == ["tanh"] else {"form": words[0]})
        found.append({"name": f"layer{i}", **spec})
    return found


CASES = {
    "steps": (recurrent.Regressor, STEPS, 2, None, lambda rng: ragged(rng, 2)),
    "last": (recurrent.Classifier, [LAST], 4, None, lambda rng: rng.integers(4, size=6)),
    "labels": (
        *(recurrent.Classifier, [(4, "lstm"), (4, "gru")], 4, None),
        lambda rng: [rng.integers(4, size=n) for n in LENGTHS],
    ),
    "chain": (
        *(recurrent.Classifier, [(4, "bidirectional")], (3, "crf"), None),
        lambda rng: [rng.integers(3, size=n) for n in LENGTHS],
    ),
    "alignment": (
        *(recurrent.Classifier, [(4, "rnn")], 3, "ctc"),
        lambda rng: rng.integers(1, 3, size=(6, 1)),
    ),
    "convolution": (
        recurrent.Regressor,
        [dict(form="conv1", size=4, filter_size=3, border_mode="same"), dict(LAST, worker="rnn")],
        *(2, None, lambda rng: rng.normal(size=(6, 2))),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_training_is_that_with_a_layer_of_lengths(case, rng):
    kind, layers, out, loss, make = CASES[case]
    plain, explicit = nets(kind, named(layers), out, loss)
    xs = ragged(rng)
    y = make(rng)
    more = {"hidden_l1": 0.1, "recurrent_state": 0.2} if case == "steps" else {}
    for valid in (None, [xs[:3], y[:3]]):
        one = plain.train([xs, y], valid, **KEYWORDS, **more)
        other = explicit.train([xs, y], valid, **KEYWORDS, **more)
        assert one == other
        same(values(plain), values(explicit), rtol=0)
    assert plain.evaluate([xs, y], hidden_l1=1.0) == explicit.evaluate([xs, y], hidden_l1=1.0)
    np.testing.assert_allclose(plain.predict(xs), explicit.predict(xs), rtol=1e-10)
    assert plain.score(xs, y) == pytest.approx(explicit.score(xs, y)) if loss is None else True


def test_loss_is_the_mean_over_what_each_series_gives_alone(rng):
    net = recurrent.Regressor([3, (4, "bidirectional"), 2], dtype="float64")
    xs, ys = ragged(rng), ragged(rng, 2)
    alone = np.concatenate([(net.predict(x[None])[0] - y) ** 2 for x, y in zip(xs, ys)])
    assert net.evaluate([xs, ys])["loss"] == pytest.approx(alone.mean(), rel=1e-12)
    many = recurrent.Classifier([3, LAST, 4], dtype="float64")
    labels = rng.integers(4, size=6)
    p = np.array([many.predict_proba(x[None])[0, k] for x, k in zip(xs, labels)])
    found = many.evaluate([xs, labels], metrics="f1")
    assert found["loss"] == pytest.approx(-np.log(p).mean(), rel=1e-12)
    right = np.array([many.predict(x[None])[0] for x in xs]) == labels
    assert found["acc"] == pytest.approx(right.mean())


def test_weights_of_a_target_for_each_series_stay_what_they_are(rng):
    net = recurrent.Regressor([3, LAST, 2], weighted=True, dtype="float64")
    xs, y, w = ragged(rng), rng.normal(size=(6, 2)), rng.random((6, 1))
    errors = np.array([(net.predict(x[None])[0] - t) ** 2 for x, t in zip(xs, y)])
    loss = (w * errors).sum() / w.sum() / 2
    assert net.evaluate([xs, y, w])["loss"] == pytest.approx(loss, rel=1e-12)
    assert net.evaluate([xs, y])["loss"] == pytest.approx(errors.mean(), rel=1e-12)


def test_data_are_lists_of_lists_arrays_of_objects_or_by_name(rng):
    net = recurrent.Autoencoder([3, (4, "rnn"), 3], rng=13, dtype="float64")
    xs = ragged(rng)
    expected = net.evaluate([xs])["loss"]
    objects = np.empty(len(xs), dtype=object)
    objects[:] = xs
    x, lengths = recurrent.pad(xs, value=9)
    for data in (
        *(xs, objects, [objects], {"in": objects}, [[one.tolist() for one in xs]]),
        *({"in": x, "lengths": lengths}, net.padded(xs)),
    ):
        assert net.evaluate(data)["loss"] == pytest.approx(expected, rel=1e-12)
    # Products of matrices that lie elsewhere in memory round differently on some processors.
    close = dict(rtol=0, atol=1e-14)
    np.testing.assert_allclose(net.predict({"in": x, "lengths": lengths}), net.predict(xs), **close)
    assert net.score({"in": x, "lengths": lengths}) == pytest.approx(net.score(xs))
    layers = [3, HOLDER, dict(form="rnn", size=4, name="hid1"), 3]
    explicit = recurrent.Autoencoder(layers, rng=13, dtype="float64")
    assert explicit.score([x, lengths]) == pytest.approx(net.score(xs))
    with pytest.raises(DataError, match=r"'lengths' has lengths from 1 to 9.*0 to 7"):
        net.evaluate({"in": x, "lengths": lengths + 2 * (lengths == 7)})
    with pytest.raises(DataError, match="unknown array 'length'; expected"):
        net.evaluate({"in": x, "length": lengths})


def test_plain_and_ragged_data_come_in_turn(rng):
    """The form of neither changes, and nothing is compiled again."""
    plain, explicit = nets(recurrent.Regressor, named(STEPS), 2)
    xs, ys = ragged(rng), ragged(rng, 2)
    x, y = rng.normal(size=(6, 5, 3)), rng.normal(size=(6, 5, 2))
    full = np.full(6, 5)
    before = [v.name for v in plain.variables]
    counts = []
    for _ in range(3):
        one = [plain.train(data, **KEYWORDS) for data in ([xs, ys], [x, y])]
        other = [explicit.train(data, **KEYWORDS) for data in ([xs, ys], [x, full, y])]
        for a, b in zip(one, other):
            assert a[0] == pytest.approx(b[0], rel=1e-10)
        counts.append(len(plain._cache))
    same(values(plain), values(explicit), rtol=1e-9)
    assert counts[0] == counts[-1]
    assert [v.name for v in plain.variables] == before == ["in", "target"]
    assert len(plain.layers) == 5


@pytest.mark.parametrize("first", [True, False])
def test_training_and_validation_may_be_of_either_kind(first, rng):
    net = recurrent.Regressor([3, (4, "gru"), 2], dtype="float64")
    xs, ys = ragged(rng), ragged(rng, 2)
    x, y = rng.normal(size=(6, 5, 3)), rng.normal(size=(6, 5, 2))
    train, valid = ([xs, ys], [x, y]) if first else ([x, y], [xs, ys])
    _, found = net.train(train, valid, **KEYWORDS)
    assert found["loss"] == pytest.approx(net.evaluate(valid)["loss"], rel=1e-10)


def test_batches_that_come_one_by_one(rng):
    net = recurrent.Regressor([3, (4, "rnn"), 2], dtype="float64")
    xs, ys = ragged(rng), ragged(rng, 2)
    for data in (lambda: [xs, ys], iter([[xs, ys]]), Batches([[xs, ys]])):
        with pytest.raises(DataError, match=r"'in' of a batch .* dict\(form='lengths', name='leng"):
            net.train(data, train_batches=1, epochs=1)
    twin = copy.deepcopy(net)
    # The validation says it before.
    net.train(Batches([[xs, ys]]), [xs, ys], **KEYWORDS)
    twin.train([xs, ys], **{**KEYWORDS, "batch_size": 6, "epochs": 2})
    same(values(net), values(twin), rtol=1e-9)


class Batches:
    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def test_inputs_of_different_time_have_lengths_of_their_own(rng):
    layers = [
        dict(form="input", name="source", shape=(None, 2)),
        dict(form="input", name="in", shape=(None, 3)),
        dict(form="gru", name="code", size=4, inputs="source", last=True),
        dict(form="gru", name="decoder", size=4, inputs="in", h_0="code"),
        2,
    ]
    net = recurrent.Regressor(layers, dtype="float64")
    sources, xs, ys = ragged(rng, 2, LENGTHS[::-1]), ragged(rng), ragged(rng, 2)
    alone = np.concatenate(
        [(net.predict([s[None], x[None]])[0] - y) ** 2 for s, x, y in zip(sources, xs, ys)]
    )
    assert net.evaluate([sources, xs, ys])["loss"] == pytest.approx(alone.mean(), rel=1e-12)
    # Only one of them is a list; the other has all its steps.
    padded, lengths = recurrent.pad(sources)
    alone = np.concatenate(
        [(net.predict([s[None], x[None]])[0] - y) ** 2 for s, x, y in zip(padded, xs, ys)]
    )
    assert net.evaluate([padded, xs, ys])["loss"] == pytest.approx(alone.mean(), rel=1e-12)
    x, _ = recurrent.pad(xs)
    y, _ = recurrent.pad(ys)
    data = {"source": padded, "source_lengths": lengths, "in": x, "in_lengths": LENGTHS}
    assert net.evaluate({**data, "target": y}) == pytest.approx(net.evaluate([sources, xs, ys]))


def test_names_that_are_taken_are_left_alone(rng):
    net = recurrent.Regressor([3, dict(form="rnn", size=4, name="lengths"), 2], dtype="float64")
    xs, ys = ragged(rng), ragged(rng, 2)
    alone = np.concatenate([(net.predict(x[None])[0] - y) ** 2 for x, y in zip(xs, ys)])
    assert net.evaluate([xs, ys])["loss"] == pytest.approx(alone.mean(), rel=1e-12)
    assert set(net.padded([xs, ys])) == {"in", "lengths'", "target"}


def test_files_and_copies_know_nothing_of_lengths(tmp_path, rng):
    net = recurrent.Classifier([3, LAST, 4])
    xs, y = ragged(rng), rng.integers(4, size=6)
    seen = []
    path = tmp_path / "net"
    keywords = {"save_progress": path, "callbacks": lambda run: seen.append(run.network)}
    net.train([xs, y], **KEYWORDS, **keywords)
    assert all(one is net for one in seen) and seen
    loaded = theanets.Network.load(path)
    assert [layer.name for layer in loaded.layers] == ["in", "hid1", "out"]
    for other in (loaded, copy.deepcopy(net)):
        other._runs = net._runs
        np.testing.assert_array_equal(other.predict(xs), net.predict(xs))
    before = copy.deepcopy(net)
    net.train([xs, y], **KEYWORDS)
    before.train([xs, y], **KEYWORDS)
    same(values(net), values(before), rtol=0)
    assert net.history.rows and net._runs == 2


def test_checkpoints_know_whether_series_had_lengths(tmp_path, rng):
    xs, ys = ragged(rng), ragged(rng, 2)
    spec = [3, dict(form="lstm", size=4, zoneout=0.2), 2]
    keywords = {**KEYWORDS, "algo": "adam", "learning_rate": 0.01, "hidden_dropout": 0.2}
    whole = recurrent.Regressor(spec, rng=13)
    whole.train([xs, ys], **{**keywords, "epochs": 4})
    path = tmp_path / "run"
    recurrent.Regressor(spec, rng=13).train([xs, ys], **keywords, checkpoint=path)
    other = recurrent.Regressor(spec, rng=13)
    other.train([xs, ys], **{**keywords, "epochs": 4}, checkpoint=path)
    same(values(other), values(whole), rtol=0)
    x, y = rng.normal(size=(6, 5, 3)), rng.normal(size=(6, 5, 2))
    with pytest.raises(theanets.FileError, match="lengths"):
        other.train([x, y], **{**keywords, "epochs": 6}, checkpoint=path)


def test_pretraining_and_profiles_take_lists_of_series(rng):
    xs, y = ragged(rng), [rng.integers(4, size=n) for n in LENGTHS]
    plain, explicit = nets(recurrent.Classifier, named([(4, "rnn"), (4, "gru")]), 4)
    for net in (plain, explicit):
        net.train([xs, y], algo="layerwise", subalgo="sgd", epochs=1, batch_size=3, rng=4)
    same(values(plain), values(explicit), rtol=1e-12)
    assert plain.profile([xs, y], repeats=1).parts


def test_predictions_continue_series_of_different_lengths(rng):
    net = recurrent.Predictor([2, (4, "lstm"), 2], dtype="float64")
    xs = ragged(rng, 2)
    found, state = net.predict(xs, return_state=True)
    more = net.generate(xs, 3)
    for i, x in enumerate(xs):
        one, after = net.predict(x[None], return_state=True)
        np.testing.assert_allclose(found[i, : len(x)], one[0], rtol=1e-12)
        for key in ("h", "c"):
            np.testing.assert_allclose(state["hid1"][key][i], after["hid1"][key][0], rtol=1e-12)
        np.testing.assert_allclose(more[i], net.generate(x[None], 3)[0], rtol=1e-10)
    assert net.train([[x for x in xs if len(x) > 1]], **KEYWORDS)[0]["loss"] > 0


def test_series_whose_steps_get_lost_are_refused(rng):
    layers = [3, dict(form="reshape", shape=(None, 3, 1)), dict(form="reshape", shape=(None, 3)), 2]
    net = recurrent.Regressor(layers)
    with pytest.raises(ConfigurationError, match=r"'hid1:out', of shape .* does not follow"):
        net.evaluate([ragged(rng), ragged(rng, 2)])


@pytest.mark.parametrize("last", [True, False])
def test_series_of_symbols(last, rng):
    words = dict(form="symbols", classes=9, shape=(None,))
    gru = dict(form="gru", size=4, last=last)
    net = theanets.recurrent.Classifier([words, (3, "embedding"), gru, 2], rng=1)
    texts = [rng.integers(9, size=n) for n in (3, 1, 5, 2, 5)]
    labels = [int(text[-1] < 4) if last else text % 2 for text in texts]
    net.train([texts, labels], epochs=1, batch_size=2)
    found = net.predict_proba(texts)
    for text, rows in zip(texts, found):
        alone = net.predict_proba(text[None])[0]
        np.testing.assert_allclose(rows if last else rows[: len(text)], alone, rtol=1e-5)
    one, all_ = (net.evaluate([texts, labels], batch_size=n) for n in (2, 5))
    assert one == pytest.approx(all_, rel=1e-5)
    with pytest.raises(theanets.DataError, match="how many symbols there are"):
        net.predict([[1, 9], [2]])
