"""What compiled functions are given: arrays of one kind only, of batches that come in too."""

import numpy as np
import pytest
import scipy.sparse as sp

import theanets
from theanets.data import Dataset, Field, gather, prepare, sparse
from theanets.data.intake import Intake
from theanets.errors import DataError

X = Field("in", "input", "float32", (4,))


def numbered(n):
    return np.arange(n, dtype="float32")[:, None].repeat(4, axis=1)


# Compiled functions are not compiled anew: to Numba, a read-only array is of another type.


def read_only(array, _):
    array = array.copy()
    array.flags.writeable = False
    return array


def mapped_read_only(array, path):
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def unaligned(array, _):
    found = np.empty(array.nbytes + 1, "uint8")[1:].view(array.dtype).reshape(array.shape)
    found[:] = array
    return found


def sparse_read_only(array, _):
    found = sp.csr_array(array)
    for part in (found.data, found.indices, found.indptr):
        part.flags.writeable = False
    return found


DENSE = [read_only, mapped_read_only, unaligned, lambda array, _: np.asfortranarray(array)]


@pytest.mark.parametrize("prefetch", [0, 1])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", [False, True])
@pytest.mark.parametrize("make", [*DENSE, sparse_read_only])
def test_arrays_are_behaved(make, kind, shuffle, prefetch, tmp_path):
    x = Field("in", "input", "float32", (4,), sparse=kind)
    y = Field("target", "target", "float32", (2,), weighted_by="weights")
    labels = Field("labels", "target", "int32", (), classes=20)
    weights = Field("weights", "weights", "float32", (2,), weighs="target")
    dense = make if make in DENSE else read_only
    data = [
        make(numbered(20), tmp_path / "x.npy"),
        dense(np.ones((20, 2), "float32"), tmp_path / "y.npy"),
        dense(np.arange(20, dtype="int32"), tmp_path / "labels.npy"),
        dense(np.ones((20, 2), "float32"), tmp_path / "weights.npy"),
    ]
    fields = [x, y, labels, weights]
    for given in (data, iter([data]), iter([[*data[:3], dense(np.ones(20), tmp_path / "w.npy")]])):
        rng = np.random.default_rng(0)
        options = dict(batch_size=8, shuffle=shuffle, prefetch=prefetch)
        for arrays, _ in Dataset(fields, given, seed_rng=rng, **options).epoch():
            assert all(type(array) is np.ndarray and array.flags.carray for array in arrays)
    for field, array in zip(fields, prepare(fields, data[:1], "x"), strict=False):
        rows = gather(field, array, slice(0, 8), "x")
        assert all(part.flags.carray for part in sparse.flat([field], [rows]))


def test_parameters_are_contiguous():
    param = (
        theanets.Regressor([4, 3, 2]).layers[1].add_param("v", np.asfortranarray(np.ones((4, 3))))
    )
    assert param.get_value(borrow=True).flags.carray


# What comes in.


def both(fields, batch, own=False):
    """Take in a batch as it is done quickly, and as it is done for any."""
    found = []
    for quick in (True, False):
        intake = Intake(fields, own=own)
        if not quick:
            intake._quick = []
        try:
            arrays, count = intake(batch, "data", 1)
        except DataError as error:
            found.append(str(error))
            continue
        assert all(a.flags.carray and type(a) is np.ndarray for a in arrays)
        found.append([count, *((a.dtype.str, a.tolist()) for a in arrays)])
    return found


FLOATS = [
    numbered(3),
    numbered(3).astype("float64"),
    numbered(3).astype(">f4"),
    numbered(3).astype("float16"),
    numbered(3).astype("uint8"),
    numbered(3) > 1,
    numbered(3).astype("complex64"),
    np.asfortranarray(numbered(3)),
    numbered(6)[::2],
    read_only(numbered(3), None),
    np.full((3, 4), 1e30, "float32"),
    np.full((3, 4), 1e300),
    np.full((3, 4), np.nan, "float32"),
    np.array([[1, 2, 3, -np.inf]] * 3, "float32"),
    np.zeros((3, 5), "float32"),
    np.zeros((0, 4), "float32"),
    np.zeros((4, 4), "float32"),
    np.zeros(4, "float32"),
    np.zeros((3, 4, 1), "float32"),
    np.zeros((3, 2, 4), "float32"),
    np.array(1.0, "float32"),
    np.ma.masked_array(numbered(3)),
    numbered(3).view(np.matrix),
    sp.csr_array(numbered(3)),
    numbered(3).tolist(),
    None,
]
INTEGERS = [
    *(
        np.array([0, 2, 4], dtype)
        for dtype in ("int8", "uint16", "int32", ">i4", "int64", "uint64")
    ),
    *(np.array(row) for row in ([0, 5, 1], [0, -1, 1], [2**32, 0, 1], [-(2**63), 0, 2**63 - 1])),
    np.array([2**64 - 1, 0, 0], "uint64"),
    np.array([True, False, True]),
    np.array([0.0, 1.0, 2.0]),
    np.array([[0], [1], [2]]),
    np.arange(6)[::2],
]
WEIGHTS = [np.ones(s, "float32") for s in [(3,), (3, 1), (3, 2), (3, 2, 1), (1, 2), (3, 3), (2,)]]
WEIGHTS += [np.array([1, 0, 1]), np.array([1, np.nan, 1]), np.ones((3, 2)) > 0]


@pytest.mark.parametrize("own", [False, True])
def test_quick_checks_are_the_same(own):
    series = Field("in", "input", "float32", (None, 4))
    labels = Field("target", "target", "int32", (), classes=5)
    ignoring = Field("target", "target", "int32", (), classes=5, ignore=-1)
    integers = Field("target", "target", "int32", ())
    y = Field("target", "target", "float32", (2,), weighted_by="weights")
    weights = Field("weights", "weights", "float32", (2,), weighs="target")
    masked = np.array([[1, 2], [np.nan, 3], [4, 5]])
    cases = [([X], value) for value in FLOATS]
    cases += [(fields, [value]) for fields in ([X], [series]) for value in FLOATS]
    for field in (labels, ignoring, integers):
        cases += [([X, field], {"target": value, "in": FLOATS[0]}) for value in INTEGERS]
        cases += [([X, field], (FLOATS[0], value)) for value in INTEGERS]
    for target in (np.ones((3, 2)), masked):
        cases += [([X, y, weights], (FLOATS[0], target, value)) for value in WEIGHTS]
    cases += [([X], []), ([X], {"x": FLOATS[0]})]
    cases += [([X, labels], [FLOATS[0]]), ([X, labels], FLOATS[0])]
    for fields, batch in cases:
        quick, slow = both(fields, batch, own)
        assert str(quick) == str(slow), (fields, batch)  # NaN is not equal to itself


def test_common_batches_are_quick():
    labels = Field("target", "target", "int32", (), classes=5)
    for batch in ((numbered(3), np.arange(3)), {"in": numbered(3) * 1.5, "target": np.arange(3)}):
        assert Intake([X, labels])._plain(batch) is not None
