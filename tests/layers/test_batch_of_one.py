"""Layers that normalize over the examples of a batch, and batches of one example."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import theanets
from theanets.data import Dataset, Field
from theanets.errors import ConfigurationError, DataError

TRAIN = dict(algo="sgd", learning_rate=0.1, progress=False)
FIELDS = [Field("x", "input", "float32", (2,)), Field("s", "input", "float32", (4,), sparse=True)]


def dataset(n, size, batches=None, least=2, shuffle=True, chunk=None):
    x = np.arange(2 * n).reshape(n, 2)
    data = {"x": x, "s": sp.csr_array(np.repeat(x, 2, axis=1).astype("float32"))}
    found = Dataset(
        FIELDS,
        data,
        batch_size=size,
        batches=batches,
        seed_rng=np.random.default_rng(n),
        shuffle=shuffle,
        least=least,
    )
    found._chunk = found._chunk if chunk is None else chunk * size
    return found


def drawn(data):
    """The rows of each batch of an epoch, which both arrays have."""
    found = []
    for (x, values, indices, indptr), count in data.epoch():
        assert len(x) == count == len(indptr) - 1
        dense = sp.csr_array((values, indices, indptr), shape=(count, 4)).toarray()
        np.testing.assert_array_equal(dense, np.repeat(x, 2, axis=1))
        found.append((x[:, 0] / 2).astype(int).tolist())
    return found


@given(
    n=st.integers(2, 40),
    size=st.integers(2, 9),
    batches=st.none() | st.integers(1, 9),
    shuffle=st.booleans(),
    chunk=st.integers(1, 4),
)
def test_no_batch_is_of_one_example(n, size, batches, shuffle, chunk):
    data = dataset(n, size, batches, shuffle=shuffle, chunk=chunk)
    epochs = [drawn(data) for _ in range(3)]
    for epoch in epochs:
        assert len(epoch) == len(data)
        assert {len(rows) for rows in epoch} <= {*range(2, size + 2)}
    if batches is None:
        for epoch in epochs:
            assert sorted(np.concatenate(epoch)) == list(range(n))
            assert {len(rows) for rows in epoch[:-1]} <= {size}
    elif shuffle and batches >= len(dataset(n, size)):
        # Each example comes as often as any other, as orders follow each other.
        times = np.bincount(np.concatenate([r for e in epochs for r in e]), minlength=n)
        assert times.max() - times.min() <= 1


@given(n=st.integers(1, 40), size=st.integers(1, 9), chunk=st.integers(1, 4))
def test_other_networks_get_the_batches_that_they_got(n, size, chunk):
    data = dataset(n, size, least=1, chunk=chunk)
    order = np.random.default_rng(n).permutation(n).tolist()
    assert drawn(data) == [order[i : i + size] for i in range(0, n, size)]


def net(*hidden, **kwargs):
    return theanets.Regressor([4, *hidden, 1], rng=3, **kwargs)


def data(n):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 4)), rng.normal(size=(n, 1))


@pytest.mark.parametrize("algo", ["sgd", "l-bfgs"])
def test_a_last_example_is_trained_on_with_the_batch_before(algo):
    seen = []

    class Variance(theanets.Callback):
        def batch(self, run):
            seen.append(run.params[-1].get_value().min())

        def epoch(self, run):
            seen.append(run.params[-1].get_value().min())

    network = net(dict(form="batch_norm", momentum=0.0), 5)
    rate = {} if algo == "l-bfgs" else dict(learning_rate=0.1)
    options = dict(epochs=3, batch_size=8, progress=False, **rate)
    network.train(data(17), algo=algo, callbacks=Variance(), **options)
    # With a momentum of 0 these are the variances of the last batch.
    assert len(seen) > 2
    assert min(seen) > 0.1


def test_learning_does_not_depend_on_one_example_more():
    x, y = data(65)
    y = x[:, :1] * x[:, 1:2]
    losses = []
    for n in (64, 65):
        network = net((20, "tanh"), "batch_norm")
        network.train(
            [x[:n], y[:n]],
            epochs=40,
            batch_size=16,
            algo="adam",
            learning_rate=0.01,
            progress=False,
        )
        losses.append(network.evaluate([x[:64], y[:64]])["loss"])
    assert losses[1] < 2 * losses[0]


@pytest.mark.parametrize(
    ("given", "options", "error", "message"),
    [
        (data(20), dict(batch_size=1), ConfigurationError, r"batch_size=1: .* at least 2"),
        (data(1), {}, DataError, "train data has 1 example: .*batch_norm.* at least 2"),
        (
            lambda: data(1),
            {},
            DataError,
            "train data, batch 1 has 1 example: .* at least 2; leave it out, or join it",
        ),
        (iter([data(5), data(1)]), {}, DataError, "train data, batch 2 has 1 example"),
    ],
)
def test_batches_of_one_are_refused(given, options, error, message):
    network = net("batch_norm")
    with pytest.raises(error, match=message):
        network.train(given, data(9), epochs=2, train_batches=2, **TRAIN, **options)
    # Where nothing is normalized over examples, they are as good as any.
    given = data(20) if options else given
    other = net((3, "tanh"), "layer_norm")
    other.train(data(1), data(9), epochs=2, batch_size=1, **TRAIN)


@pytest.mark.parametrize("last", [1, 2])
def test_series_with_a_single_step_leave_the_running_means(last):
    network = theanets.recurrent.Regressor([4, "batch_norm", (3, "rnn"), 1], weighted=True)
    rng = np.random.default_rng(0)
    x, y = [rng.normal(size=(last, 4))] * 2, [rng.normal(size=(last, 1))] * 2
    weights = [np.ones((last, 1)), np.zeros((last, 1))]
    before = [s.get_value() for s in network.state]
    # The last step of positive weight is the end of a series: of the second nothing exists.
    network.train([np.stack(x), np.stack(y), np.stack(weights)], epochs=1, batch_size=2, **TRAIN)
    for was, state in zip(before, network.state, strict=True):
        assert np.array_equal(was, state.get_value()) == (last == 1)
        assert np.isfinite(state.get_value()).all()


def test_images_are_many_values_each():
    network = theanets.Classifier([(5, 5, 1), "batch_norm", "flat", 2])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 5, 5, 1)), np.array([0, 1, 0])
    network.train([x, y], epochs=1, batch_size=1, **TRAIN)
    assert network.history["updates"] == [3]
