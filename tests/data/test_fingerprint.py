"""Whether a checkpoint is continued with the data it was begun with."""

import numpy as np
import pytest
import scipy.sparse as sp

import theanets
from theanets import checkpoint
from theanets.data import Dataset
from theanets.data import fingerprint as module
from theanets.errors import FileError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4))
Y = X[:, :2] ** 2
KWARGS = dict(algo="sgd", epochs=2, batch_size=16)


def network(**kwargs):
    return theanets.Regressor([4, 2], rng=1, **kwargs)


def prints(data, net=None):
    net = net or network()
    made = Dataset(net.fields, data, seed_rng=np.random.default_rng(0))
    found = made.fingerprint()
    # Whatever the batches are.
    assert found == made.ordered(7).fingerprint()
    return found


def changed(array, index=(3, 1)):
    array = array.copy()
    array[index] += 1
    return array


# ---- of arrays ---------------------------------------------------------------------------


def test_the_same_values_in_other_forms(tmp_path):
    path = tmp_path / "x"
    np.save(path.with_suffix(".npy"), X)
    expected = prints([X, Y])
    for x in (
        X.astype("float32"),
        np.asfortranarray(X),
        X[::-1][::-1],
        X.tolist(),
        np.load(path.with_suffix(".npy"), mmap_mode="r"),
        sp.csr_array(X),
    ):
        assert prints([x, Y]) == expected
    assert prints({"target": Y, "in": X}) == expected


def test_other_values():
    expected = prints([X, Y])
    for index in ((0, 0), (39, 3)):
        found = prints([changed(X, index), Y])
        assert found["in"] != expected["in"]
        assert found["target"] == expected["target"]
    assert prints([X, changed(Y)])["target"] != expected["target"]
    assert prints([X[RNG.permutation(40)], Y])["in"] != expected["in"]
    # The same bytes in another shape.
    net = theanets.Regressor([8, 4], rng=1)
    assert prints([X.reshape(20, 8), Y.reshape(20, 4)], net)["in"] != expected["in"]


def test_sparse_inputs_and_labels():
    net = theanets.Classifier([dict(size=4, name="in", form="input", sparse=True), 3])
    x, labels = sp.random_array((40, 4), density=0.3, rng=RNG), RNG.integers(0, 3, 40)
    expected = prints([x, labels], net)
    assert prints([x.toarray(), labels.astype("int8")], net) == expected
    assert prints([x * 2, labels], net)["in"] != expected["in"]
    assert prints([x, (labels + 1) % 3], net)["target"] != expected["target"]


def test_batches_that_come_in_have_none():
    assert Dataset(network().fields, lambda: [X, Y], seed_rng=RNG).fingerprint() is None


def test_of_large_arrays_a_sample_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WHOLE_BYTES", 2**16)
    monkeypatch.setattr(module, "SAMPLE_BYTES", 2**14)
    taken, take = [], module.take

    def counting(field, array, rows, where):
        if field.name == "in":
            taken.append(rows)
        return take(field, array, rows, where)

    monkeypatch.setattr(module, "take", counting)
    n = 2**14
    x = np.memmap(tmp_path / "x", "float32", "w+", shape=(n, 4))
    x[:] = np.arange(4 * n).reshape(n, 4)
    y = np.ones((n, 2), "float32")
    expected = prints([x, y])
    # Twice, of 16 bytes each.
    assert sum(rows.stop - rows.start for rows in taken) == 2 * 2**14 / 16
    assert taken[0].start == 0
    assert taken[-1].stop == n
    # The first and the last row count, and what is spread over all.
    for rows in (0, n - 1, slice(None, None, 40)):
        other = np.array(x)
        other[rows] += 1
        assert prints([other, y])["in"] != expected["in"]
    assert prints([np.array(x), y]) == expected
    # Rows that are large.
    monkeypatch.setattr(module, "SAMPLE_BYTES", 1)
    assert prints([x, y])["in"] != prints([changed(np.array(x), 0), y])["in"]


# ---- of a run ----------------------------------------------------------------------------


VALID = [X[:10] + 1, Y[:10]]


@pytest.mark.parametrize(
    ("train", "valid", "where"),
    [
        ([changed(X), Y], VALID, "train.in"),
        ([X, changed(Y)], VALID, "train.target"),
        ([X[::-1], Y[::-1]], VALID, "train.in"),
        ([X, Y], [VALID[0], changed(VALID[1])], "valid.target"),
    ],
)
def test_other_data_of_the_same_shape_are_refused(tmp_path, train, valid, where):
    path, net = tmp_path / "run", network()
    net.train([X, Y], VALID, checkpoint=path, **KWARGS)
    written = path.read_bytes()
    with pytest.raises(FileError, match=rf"{path}.*other values, in the array '{where}'; delete"):
        network().train(train, valid, checkpoint=path, **{**KWARGS, "epochs": 4})
    assert path.read_bytes() == written
    # The same values are the same data.
    again = network()
    again.train([X.copy(), Y.tolist()], VALID, checkpoint=path, **{**KWARGS, "epochs": 4})
    assert len(again.history) == 4


def test_the_way_out(tmp_path):
    path, net = tmp_path / "run", network()
    net.train([X, Y], VALID, checkpoint=path, **KWARGS)
    other = network().load_params(path)
    np.testing.assert_array_equal(other.predict(X), net.predict(X))
    with pytest.raises(FileError, match="missing"):
        theanets.Regressor([4, 3, 2]).load_params(path)
    path.unlink()
    other.train([X + 1, Y], VALID, checkpoint=path, **KWARGS)


def test_series_of_different_lengths(tmp_path):
    net = theanets.recurrent.Regressor([4, (3, "rnn"), 2], rng=1)
    series = [X[:n] for n in (7, 3, 12, 5)], [Y[:n] for n in (7, 3, 12, 5)]
    kwargs = dict(algo="sgd", epochs=1, checkpoint=tmp_path / "run")
    net.train(list(series), **kwargs)
    net.train(list(series), **kwargs)
    with pytest.raises(FileError, match="other values"):
        net.train([[changed(one, (0, 0)) for one in series[0]], series[1]], **kwargs)


def test_checkpoints_of_earlier_versions_continue(tmp_path):
    path, net = tmp_path / "run", network()
    net.train([X, Y], VALID, checkpoint=path, **KWARGS)
    arrays, header = checkpoint.read(path)
    del header["identity"]["values"]
    checkpoint.write(path, arrays, header)
    again = network()
    again.train([X + 1, Y], VALID, checkpoint=path, **{**KWARGS, "epochs": 3})
    assert len(again.history) == 3
    # Now it is known.
    with pytest.raises(FileError, match="other values"):
        again.train([X, Y], VALID, checkpoint=path, **{**KWARGS, "epochs": 3})
