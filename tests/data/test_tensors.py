"""Tensors of PyTorch, floats of few bits and sparse series as data, and as weights."""

import ml_dtypes
import numpy as np
import pytest
import scipy.sparse as sp

import theanets
from theanets import recurrent
from theanets.data.tensors import of_bfloat16
from theanets.errors import DataError, FileError
from theanets.models.weights import Weights

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:Sparse CS. tensor support")
X = np.round(np.random.default_rng(1).normal(size=(6, 3)), 1).astype("float32")
X[X < -0.5] = 0


def tensor(dtype=torch.float32):
    return torch.tensor(X).to(dtype)


#: What holds X but for rounding, by name.
FORMS = {
    "float16": lambda: tensor(torch.float16),
    "bfloat16": lambda: tensor(torch.bfloat16),
    "float8": lambda: tensor(torch.float8_e5m2),
    "numpy_bfloat16": lambda: X.astype(ml_dtypes.bfloat16),
    "numpy_float8": lambda: X.astype(ml_dtypes.float8_e5m2),
    "negative": lambda: torch.complex(tensor(), -tensor()).conj().imag,
    "parameter": lambda: torch.nn.Parameter(tensor(), requires_grad=False),
    "sparse": lambda: tensor().to_sparse(),
    "csr": lambda: tensor().to_sparse_csr(),
    "csc": lambda: tensor(torch.bfloat16).to_sparse_csc(),
    "scipy": lambda: sp.csr_matrix(X),
}


def rounded(name):
    """Get X as it is after its form."""
    kinds = {"float16": np.float16, "float8": ml_dtypes.float8_e5m2, "csc": ml_dtypes.bfloat16}
    kinds["bfloat16"] = ml_dtypes.bfloat16
    return X.astype(kinds.get(name.removeprefix("numpy_"), "float32")).astype("float32")


@pytest.mark.parametrize("name", FORMS)
def test_data_of_any_form_are_their_numbers(name, rng):
    net = theanets.Regressor([3, 4, 2], rng=1)
    y, wanted = rng.normal(size=(6, 2)), rounded(name)
    np.testing.assert_array_equal(net.predict(FORMS[name]()), net.predict(wanted))
    assert net.evaluate([FORMS[name](), y]) == net.evaluate([wanted, y])
    assert net.score(FORMS[name](), y) == net.score(wanted, y)
    if name not in ("csr", "csc", "scipy"):
        rows = list(FORMS[name]())
        np.testing.assert_array_equal(net.predict(rows), net.predict(wanted))


@pytest.mark.parametrize("lengths", [(4, 2), (3, 3)])
@pytest.mark.parametrize("name", FORMS)
def test_series_of_a_list_may_have_any_form(name, lengths, rng, monkeypatch):
    net = recurrent.Regressor([3, (4, "gru"), 2], rng=1)
    whole, given, wanted = X, [], []
    for n in lengths:
        monkeypatch.setitem(globals(), "X", whole[:n])
        given.append(FORMS[name]())
        wanted.append(rounded(name))
    y = [rng.normal(size=(n, 2)) for n in lengths]
    np.testing.assert_array_equal(net.predict(given), net.predict(wanted))
    assert net.evaluate([given, y]) == net.evaluate([wanted, y])
    assert net.score(given, y) == net.score(wanted, y)


def test_sparse_tensors_stay_sparse_where_networks_take_sparse_matrices(rng):
    layers = [dict(form="input", size=3, sparse="csr"), 4, 2]
    net, y = theanets.Regressor(layers, rng=1), rng.normal(size=(6, 2))
    for given in (tensor().to_sparse(), tensor(torch.bfloat16).to_sparse_csr()):
        wanted = sp.csr_matrix(given.to_dense().float().numpy())
        np.testing.assert_array_equal(net.predict(given), net.predict(wanted))
        assert net.evaluate([given, y]) == net.evaluate([wanted, y])
    double = sparse([[1, 1], [2, 2]], [1.0, 2.0])
    np.testing.assert_allclose(net.predict(double), net.predict(double.to_dense().numpy()))


def sparse(places, values):
    """Make a sparse tensor of shape (2, 3), of which PyTorch checks nothing."""
    with torch.sparse.check_sparse_tensor_invariants(False):
        return torch.sparse_coo_tensor(places, values, (2, 3), check_invariants=False)


def compressed(layout, places):
    with torch.sparse.check_sparse_tensor_invariants(False):
        values, shape = torch.ones(2), (2, 3) if layout == torch.sparse_csr else (3, 2)
        starts = [0, 1, 2]
        return torch.sparse_compressed_tensor(
            starts, places, values, shape, layout=layout, check_invariants=False
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda: sparse([[10**8], [10**8]], [1.0]),
        lambda: compressed(torch.sparse_csr, [10**8, 1]),
        lambda: compressed(torch.sparse_csc, [10**8, 1]).t(),
    ],
)
def test_indices_out_of_range_do_not_end_the_process(make):
    net, series = theanets.Regressor([3, 2]), recurrent.Regressor([3, (2, "gru"), 2])
    with pytest.raises(DataError, match=r"'in'\) is a Tensor of torch.float32 .* expected 'in'"):
        net.predict(make())
    with pytest.raises(DataError, match=r"series 1 of 2 of 'in'.* is a Tensor of torch.float32"):
        series.predict([X[:3], make()])


def test_labels_may_be_sparse_tensors_and_no_floats():
    net = theanets.Classifier([3, 4, 2], rng=1)
    labels = torch.tensor([0, 1, 1, 0, 1, 1])
    assert net.evaluate([X, labels.to_sparse()]) == net.evaluate([X, labels.numpy()])
    with pytest.raises(DataError, match=r"dtype float32; expected 'target' \(n,\) int32"):
        net.evaluate([X, labels.bfloat16()])


def test_tensors_without_rows_give_none():
    net = theanets.Regressor([3, 4, 2], rng=1)
    for dtype in (torch.float32, torch.bfloat16):
        assert net.predict(torch.zeros((0, 3), dtype=dtype)).shape == (0, 2)


REFUSED = {
    "requires grad": lambda: tensor().requires_grad_(),
    "no data": lambda: tensor().to("meta"),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_has_no_values_is_refused_with_its_type_and_what_was_expected(said, rng):
    net, y = theanets.Regressor([3, 4, 2], rng=1), rng.normal(size=(6, 2))
    start = r"array 1 of 2 \('in'\) is a Tensor of torch.float32.*"
    with pytest.raises(DataError, match=rf"{start}{said}.*; expected 'in' \(n, 3\) float32"):
        net.train([REFUSED[said](), y], epochs=1)
    series = recurrent.Regressor([3, (4, "gru"), 2], rng=1)
    with pytest.raises(DataError, match=rf"series 1 of 2 of 'in'.*of torch.float32.*{said}"):
        series.predict([X[:2], REFUSED[said]()])


def test_complex_numbers_are_refused_by_their_type():
    net = theanets.Regressor([3, 4, 2], rng=1)
    with pytest.raises(DataError, match="dtype complex64; expected 'in'"):
        net.predict(tensor(torch.complex64).conj())


# ---- weights -----------------------------------------------------------------------------


def test_half_of_the_bits_of_a_float_are_the_upper_ones(rng):
    values = rng.normal(size=300) * 10.0 ** rng.integers(-30, 30, 300)
    values = np.r_[values, 0, -0.0, np.inf, 1e-45]
    small = values.astype(ml_dtypes.bfloat16).reshape(4, 76)
    found = of_bfloat16(small.tobytes(), small.shape)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, small.astype("float32"))


@pytest.mark.parametrize("file", [False, True])
def test_weights_may_be_of_few_bits(file, tmp_path):
    save = pytest.importorskip("safetensors.torch").save_file
    given = {
        "a": tensor(torch.bfloat16),
        "b": tensor(torch.float16),
        "c": tensor(torch.float64),
        "d": torch.nn.Parameter(tensor(torch.bfloat16)),
    }
    path = tmp_path / "w.safetensors"
    save({key: value.detach() for key, value in given.items()}, path)
    found = Weights(path if file else given)
    for key, value in given.items():
        wanted = value.detach().double().numpy()
        np.testing.assert_array_equal(found.take(key, (6, 3)), wanted)
        assert found.take(key).dtype == ("float64" if key == "c" else "float32")


def test_weights_that_numpy_does_not_have_are_named(tmp_path):
    save = pytest.importorskip("safetensors.torch").save_file
    path = tmp_path / "w.safetensors"
    save({"a": tensor(), "fc.weight": tensor(torch.float8_e5m2)}, path)
    with pytest.raises(FileError, match=r"w.safetensors: 'fc.weight' has the type F8_E5M2"):
        Weights(path)
    with pytest.raises(FileError, match=r"'fc.weight' is a Tensor of torch.float32.*no data"):
        Weights({"fc.weight": tensor().to("meta")})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_modules_of_few_bits_become_networks_of_float32(dtype):
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    module = module.to(dtype)
    net = theanets.from_torch(module)
    assert net.dtype == "float32"
    wanted = module.float()(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(net.predict(X), wanted, rtol=1e-5, atol=1e-6)
