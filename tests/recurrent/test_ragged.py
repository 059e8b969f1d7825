"""Lists of series of different lengths as data: padded, in buckets, predicted one by one."""

import numpy as np
import pytest

from theanets import recurrent
from theanets.data import Dataset
from theanets.data.series import similar
from theanets.errors import ConfigurationError, DataError, FileError
from theanets.training.counts import MeanCounts

HOLDER = dict(form="lengths", name="n")


def ragged(rng, lengths=(5, 2, 7, 1), width=3):
    return [rng.normal(size=(n, width)) for n in lengths]


def test_predictions_without_layers_of_lengths_are_those_of_each_series(rng):
    net = recurrent.Regressor([3, (4, "bidirectional"), 2], weighted=True, dtype="float64")
    xs = ragged(rng, (5, 2, 7, 2))
    found, every = net.predict(xs), net.feed_forward(xs)
    assert found.shape == (4, 7, 2) and every["hid1:fw_out"].shape == (4, 7, 2)
    for i, x in enumerate(xs):
        np.testing.assert_allclose(found[i, : len(x)], net.predict(x[None])[0], rtol=1e-12)
        assert not found[i, len(x) :].any()


@pytest.mark.parametrize("equal", [False, True])
def test_lists_of_series_have_weights_of_their_own(equal, rng):
    """Also if they happen to be equally long."""
    xs = ragged(rng, (4, 4, 4) if equal else (4, 2, 3))
    net = recurrent.Autoencoder([3, (4, "rnn"), 3], weighted=True, dtype="float64")
    errors = np.concatenate([(net.predict(x[None])[0] - x) ** 2 for x in xs])
    assert net.evaluate(xs)["loss"] == pytest.approx(errors.mean(), rel=1e-10)
    assert net.evaluate([xs])["loss"] == pytest.approx(errors.mean(), rel=1e-10)


def test_weights_of_one_target_for_each_series_are_ones(rng):
    layers = [3, HOLDER, dict(form="gru", size=4, inputs="in", last=True), 2]
    net = recurrent.Regressor(layers, weighted=True)
    xs, y = ragged(rng), rng.normal(size=(4, 2))
    without = net.evaluate([xs, y])["loss"]
    assert without == pytest.approx(net.evaluate([xs, [5, 2, 7, 1], y, np.ones((4, 2))])["loss"])


def test_series_that_nothing_can_say_the_steps_of_are_refused(rng):
    images = dict(form="input", name="in", shape=(None, 2, 3))
    net = recurrent.Regressor([images, dict(form="reshape", shape=(None, 6)), (4, "rnn"), 2])
    xs = [rng.normal(size=(n, 2, 3)) for n in (5, 2, 7)]
    message = r"'in' have different lengths, \(5, 2, 7\).*form='lengths', .* of='in'"
    with pytest.raises(DataError, match=message):
        net.train([xs, ragged(rng, (5, 2, 7), 2)])


@pytest.mark.parametrize(
    "lengths, message", [([5, 2, 8, 1], "from 1 to 8; expected"), ([5, -2, 7, 1], "from -2 to 7")]
)
def test_lengths_that_are_impossible_are_refused(lengths, message, rng):
    net = recurrent.Regressor([3, HOLDER, dict(form="rnn", size=4, inputs="in"), 2])
    x, _ = recurrent.pad(ragged(rng))
    for call in (net.predict, net.feed_forward):
        with pytest.raises(DataError, match=f"'n' has lengths {message}.*0 to 7"):
            call([x, lengths])
    with pytest.raises(DataError, match="other lengths"):
        net.predict([ragged(rng), lengths])


def test_empty_series_have_no_influence(rng):
    net = recurrent.Regressor(
        [3, HOLDER, dict(form="bidirectional", size=4, inputs="in"), 2], dtype="float64"
    )
    xs, ys = ragged(rng, (3, 0, 2)), ragged(rng, (3, 0, 2), 2)
    assert net.evaluate([xs, ys])["loss"] == pytest.approx(
        net.evaluate([[xs[0], xs[2]], [ys[0], ys[2]]])["loss"], rel=1e-12
    )


def padded(rng, many=103, size=8, **options):
    net = recurrent.Regressor([1, (2, "rnn"), 1], weighted=True)
    lengths = rng.integers(1, 40, size=many)
    xs = [np.full((n, 1), i + 1.0) for i, n in enumerate(lengths)]
    data = net.padded([xs, xs])
    return lengths, Dataset(
        net.fields, data, batch_size=size, seed_rng=np.random.default_rng(1), **options
    )


def test_batches_are_of_similar_length_and_no_longer_than_that(rng):
    lengths, data = padded(rng)
    epochs = []
    for _ in range(2):
        seen, steps, sizes = [], 0, []
        for (x, y, w), count in data.epoch():
            rows = x[:, 0, 0].astype(int) - 1
            seen.extend(rows)
            sizes.append(count)
            assert x.shape[1] == lengths[rows].max() and x.shape == y.shape == w.shape
            np.testing.assert_array_equal(w.sum(axis=(1, 2)), lengths[rows])
            np.testing.assert_array_equal((x != 0).sum(axis=(1, 2)), lengths[rows])
            assert all(array.flags.c_contiguous for array in (x, y, w))
            steps += x.size
        np.testing.assert_array_equal(np.sort(seen), np.arange(103))
        assert sizes == [8] * 12 + [7]
        # Little is padding, and not always the same series are together.
        assert steps < 1.25 * lengths.sum()
        epochs.append(seen)
    together = [{frozenset(seen[i : i + 8]) for i in range(0, 96, 8)} for seen in epochs]
    assert len(together[0] & together[1]) < 3


def test_batches_without_buckets_are_of_any_lengths(rng):
    lengths, data = padded(rng, buckets=False)
    widths = [x.shape[1] for (x, _, _), _ in data.epoch()]
    assert np.mean(widths) > 1.4 * lengths.mean()
    _, ordered = padded(np.random.default_rng(0), shuffle=False)
    rows = [i for (x, _, _), _ in ordered.epoch() for i in x[:, 0, 0].astype(int) - 1]
    assert rows == list(range(103))


def test_order_of_similar_series_goes_on_from_a_checkpoint(rng):
    _, one = padded(np.random.default_rng(0), batches=5)
    _, other = padded(np.random.default_rng(0), batches=5)
    list(one.epoch())
    other.restore(one.state())
    for _ in range(4):
        for (a, _), (b, _) in zip(one.epoch(), other.epoch(), strict=True):
            np.testing.assert_array_equal(a[0], b[0])


@pytest.mark.parametrize("buckets", [True, False])
def test_checkpoints_know_of_buckets(buckets, tmp_path, rng):
    """In the middle of an epoch, too."""
    xs, ys = ragged(rng, range(1, 12)), ragged(rng, range(1, 12), 2)

    def train(epochs, path=None, **changed):
        net = recurrent.Regressor([3, (4, "rnn"), 2], weighted=True, rng=1)
        keywords = {"epochs": epochs, "batch_size": 2, "train_batches": 4, "buckets": buckets}
        net.train([xs, ys], **{**keywords, **changed}, checkpoint=path)
        return [param.get_value() for param in net.params]

    path = tmp_path / "run"
    train(2, path)
    for one, other in zip(train(4, path), train(4), strict=True):
        np.testing.assert_array_equal(one, other)
    message = f"buckets was {buckets}, now is {not buckets}"
    with pytest.raises(FileError, match=message):
        train(6, path, buckets=not buckets)
    x, _ = recurrent.pad(xs)
    y, _ = recurrent.pad(ys)
    with pytest.raises(FileError, match="buckets"):
        recurrent.Regressor([3, (4, "rnn"), 2], weighted=True, rng=1).train(
            [x, y, np.ones(11)], epochs=6, batch_size=2, train_batches=4, checkpoint=path
        )


def test_similar_series_come_in_any_order_of_batches(rng):
    lengths = np.repeat([1, 100], 50)
    many = np.arange(1, 101)
    parts = [{frozenset(p) for p in similar(many, 10, rng).reshape(-1, 10)} for _ in range(2)]
    assert len(parts[0] & parts[1]) < 3
    starts = {lengths[similar(lengths, 10, rng)[0]] for _ in range(20)}
    assert starts == {1, 100}


def test_training_in_buckets_is_training_on_the_same_batches_by_hand(rng, monkeypatch):
    """What is cut off changes nothing."""
    xs, ys = ragged(rng, (4, 9, 2, 6, 9, 3)), ragged(rng, (4, 9, 2, 6, 9, 3), 2)
    spec = [3, (4, "bidirectional"), "batch_norm", 2]
    nets = [recurrent.Regressor(spec, weighted=True, rng=1, dtype="float64") for _ in range(2)]
    keywords = {"algo": "sgd", "learning_rate": 0.1, "epochs": 1, "batch_size": 2, "rng": 5}
    data = nets[0].padded([xs, ys])
    from theanets.training import setup

    run = setup.make_run(nets[1], data, **keywords)
    batches = [arrays for arrays, _ in run.engine.data.epoch()]
    nets[0].train([xs, ys], **keywords)
    wide = [
        [np.pad(a, ((0, 0), (0, 9 - a.shape[1]), (0, 0)), constant_values=0) for a in arrays]
        for arrays in batches
    ]
    assert len({a[0].shape[1] for a in batches}) > 1
    # Of batches that come in, the mean number of steps is not known before the last.
    start = MeanCounts.start
    monkeypatch.setattr(MeanCounts, "start", lambda self, _: start(self, run.engine.data))
    nets[1].train(iter(wide), [xs, ys], train_batches=3, **keywords)
    for one, other in zip(nets[0].params, nets[1].params):
        np.testing.assert_allclose(one.get_value(), other.get_value(), rtol=1e-10, atol=1e-13)


def test_buckets_are_true_or_false(rng):
    net = recurrent.Regressor([3, (4, "rnn"), 2], weighted=True)
    with pytest.raises(ConfigurationError, match="buckets=8"):
        net.train([ragged(rng), ragged(rng, width=2)], buckets=8)


@pytest.mark.parametrize("holder", [True, False])
def test_chains_of_labels_are_no_longer_than_their_series(holder, rng):
    layers = [3, *([HOLDER] if holder else []), (4, "bidirectional"), (3, "crf")]
    net = recurrent.Classifier(layers, weighted=not holder, dtype="float64")
    for param in net.params:
        param.set_value(rng.normal(size=param.get_value().shape))
    xs = ragged(rng, (5, 2, 7, 3))
    found, chances = net.predict(xs), net.predict_proba(xs)
    labels = []
    for i, x in enumerate(xs):
        one = [x[None], [len(x)]] if holder else x[None]
        labels.append(net.predict(one)[0])
        np.testing.assert_array_equal(found[i, : len(x)], labels[-1])
        np.testing.assert_allclose(chances[i, : len(x)], net.predict_proba(one)[0], rtol=1e-10)
        assert not found[i, len(x) :].any() and not chances[i, len(x) :].any()
    assert net.score(xs, labels) == 1
    if holder:
        x, lengths = recurrent.pad(xs, 8)
        np.testing.assert_array_equal(net.predict([x, lengths]), found)
        y = np.where(np.arange(7) < lengths[:, None], found, 1)
        assert net.score([x, lengths], y) == 1


def test_states_of_a_chain_come_with_its_most_probable_labels(rng):
    net = recurrent.Classifier([3, (4, "rnn"), (3, "crf")], dtype="float64")
    for param in net.params:
        param.set_value(rng.normal(size=param.get_value().shape) * 2)
    x = rng.normal(size=(20, 6, 3))
    np.testing.assert_array_equal(net.predict(x, return_state=True)[0], net.predict(x))
