"""Sparse inputs: the same networks as with dense ones."""

import io

import numpy as np
import pytensor.tensor as pt
import pytest
import scipy.sparse as sp
from linker_cases import COMPILED
from numpy.testing import assert_allclose
from sparse_cases import SIZE, entries, pair, refuse_broken, shuffled

import theanets
from theanets.data import Dataset
from theanets.errors import ConfigurationError, DataError
from theanets.ops.sparse import products as ops
from theanets.training import setup


def assert_same(dense, other, tolerance=1e-12):
    for ours, theirs in zip(other.params, dense.params, strict=True):
        assert_allclose(ours.get_value(), theirs.get_value(), atol=tolerance, rtol=0)


# Networks.
@pytest.mark.parametrize("algo", ["sgd", "adam", "l-bfgs"])
def test_same_training_as_with_dense_data(algo, rng):
    x, y, w = entries(rng), rng.integers(3, size=23), rng.random(23)
    dense, net = pair(weighted=True)
    matrix = shuffled(x, rng)
    options = dict(algo=algo, epochs=4, batch_size=5, weight_l2=0.01)
    if algo != "l-bfgs":
        options["monitor_gradients"] = True
    runs = [
        list(n.itertrain([d, y, w], [d[:9], y[:9], w[:9]], **options))
        for n, d in ((dense, x), (net, matrix))
    ]
    for ours, theirs in zip(runs[1], runs[0], strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a == pytest.approx(b, rel=1e-11)
    assert_same(dense, net, 1e-12 if algo == "sgd" else 1e-9)
    assert_allclose(net.predict_proba(matrix), dense.predict_proba(x), atol=1e-9)
    assert net.score(matrix, y) == dense.score(x, y)
    assert net.evaluate([matrix, y, w]) == pytest.approx(dense.evaluate([x, y, w]), rel=1e-9)


def chunked(x, y):
    while True:
        for start in range(0, len(y), 6):
            yield x[start : start + 6], y[start : start + 6]


FORMS = {
    "csc_matrix": lambda x, y: [sp.csc_matrix(x), y],
    "coo dict": lambda x, y: {"target": y, "in": sp.coo_array(x)},
    "lil": lambda x, y: [sp.lil_array(x), y],
    "dense": lambda x, y: [x, y],
    "list": lambda x, y: [x.tolist(), y.tolist()],
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_arrays(form, rng):
    x, y = entries(rng), rng.integers(3, size=23)
    dense, net = pair()
    dense.train([x, y], epochs=2, batch_size=6)
    net.train(FORMS[form](x, y), epochs=2, batch_size=6)
    assert_same(dense, net)


@pytest.mark.parametrize("dtype", ["int64", "bool", "float32", "uint8"])
def test_other_types(dtype, rng):
    x, y = np.abs(2 * entries(rng)).astype(dtype), rng.integers(3, size=23)
    dense, net = pair()
    dense.train([x, y], epochs=1)
    net.train([sp.csr_array(x), y], epochs=1)
    assert_same(dense, net)
    assert net.predict(sp.csr_array(x)).tolist() == dense.predict(x).tolist()


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csc_matrix, np.asarray])
def test_forms_of_batches(kind, rng):
    x, y = entries(rng), rng.integers(3, size=23)
    dense, *nets = *pair(), pair()[1], pair()[1]
    options = dict(train_batches=4, epochs=2)
    dense.train(chunked(x, y), [x, y], **options)
    matrix = sp.csr_array(x)
    stream = ((kind(part.toarray()), labels) for part, labels in chunked(matrix, y))
    nets[0].train(stream, [matrix, y], **options)
    again = ((kind(part), labels) for part, labels in chunked(x, y))
    nets[1].train(lambda: next(again), [matrix, y], **options)

    class Batches:
        def __len__(self):
            return 4

        def __iter__(self):
            return ((kind(x[s : s + 6]), y[s : s + 6]) for s in range(0, 23, 6))

    nets[2].train(Batches(), [matrix, y], epochs=2)
    for net in nets:
        assert_same(dense, net)


def test_memory_maps(tmp_path, rng):
    x, y = entries(rng), rng.integers(3, size=23)
    mapped = np.memmap(tmp_path / "x", dtype="float32", mode="w+", shape=x.shape)
    mapped[:] = x
    dense, net = pair()
    for n in (dense, net):
        n.train([mapped, y], epochs=2, batch_size=6)
    assert_same(dense, net)
    mapped[20, 3] = np.nan
    with pytest.raises(DataError, match=r"the first is nan at \[20, 3\]"):
        net.train([mapped, y], epochs=1)


def test_batches_hold_the_entries_only(rng):
    x = shuffled(entries(rng), rng)
    y = np.arange(46.0).reshape(23, 2)
    net = theanets.Regressor([dict(size=SIZE, sparse="csr"), 2])
    data = Dataset(net.fields, [x, y], batch_size=5, seed_rng=rng)
    total = 0
    for (values, indices, indptr, target), rows in data.epoch():
        assert (values.dtype, indices.dtype, indptr.dtype) == ("float32", "int32", "int32")
        assert len(target) == rows == len(indptr) - 1
        part = sp.csr_array((values, indices, indptr), shape=(rows, SIZE)).toarray()
        wanted = x.toarray()[(target[:, 0] / 2).astype(int)]
        assert_allclose(part, wanted, rtol=1e-6, atol=1e-6)
        total += len(values)
    assert total <= np.count_nonzero(x.toarray()) + 2


@pytest.mark.rewritten
def test_nothing_becomes_dense(rng):
    x, y = sp.csr_array(entries(rng)), rng.integers(3, size=23)
    net = pair()[1]
    run = setup.make_run(
        net, [x, y], algo="adam", weight_l2=0.1, input_dropout=0.1, hidden_l1=0.1, progress=False
    )
    functions = [run.engine.step.function, run._evaluation.function]
    for function in functions:
        kinds = [type(node.op) for node in function.maker.fgraph.toposort()]
        assert ops.Dense not in kinds
        assert ops.Product in kinds


def test_weights_from_samples(rng):
    x, y = entries(rng), rng.integers(3, size=23)
    dense, net = pair()
    dense.train([x, y], algo=["sample", "sgd"], epochs=1)
    net.train([sp.csr_array(x), y], algo=["sample", "sgd"], epochs=1)
    assert_same(dense, net)


def test_several_inputs(rng):
    x, z, v, y = (entries(rng, 23, n) for n in (SIZE, 4, 6, 2))
    nets = []
    for kind in (False, "csc"):
        layers = [dict(size=SIZE, sparse=kind, name="words"), dict(form="input", size=4)]
        layers.append(dict(form="input", size=6, sparse=kind, name="tags"))
        layers += [dict(size=5, inputs=["words", "in2", "tags", "words"], activation="tanh"), 2]
        nets.append(theanets.Regressor(layers, rng=1, dtype="float64"))
    assert [v.name for v in nets[1].inputs] == ["words", "in2", "tags"]
    nets[0].train([x, z, v, y], epochs=2)
    nets[1].train([sp.csr_array(x), z, sp.coo_array(v), y], epochs=2)
    assert_same(*nets)
    found = nets[1].predict({"in2": z, "words": sp.csr_array(x), "tags": v})
    assert_allclose(found, nets[0].predict([x, z, v]), atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_autoencoder(weighted, rng):
    x, w = entries(rng), (rng.random((23, SIZE)) < 0.6).astype(float)
    if weighted:
        x[(w == 0) & (rng.random(x.shape) < 0.3)] = np.nan
    dense, net = pair(theanets.Autoencoder, [(4, "tanh"), "tied"], weighted=weighted)
    dense.train([x, w][: 1 + weighted], epochs=3)
    net.train([sp.csr_array(x), sp.csr_array(w)][: 1 + weighted], epochs=3)
    assert_same(dense, net)
    x = np.nan_to_num(x)
    assert_allclose(net.encode(sp.csr_array(x)), dense.encode(x), atol=1e-12)
    assert_allclose(net.decode(net.encode(x)), dense.predict(x), atol=1e-12)
    assert net.score(sp.csr_array(x)) == pytest.approx(dense.score(x))


def test_outputs_and_empty_prediction(rng):
    x = entries(rng)
    dense, net = pair()
    found = net.feed_forward(shuffled(x, rng))
    for name, array in dense.feed_forward(x).items():
        assert_allclose(found[name], array, atol=1e-12)
    assert net.predict_proba(sp.csr_array((0, SIZE))).shape == (0, 3)
    assert net.predict_proba(sp.csr_array(x), batch_size=5).shape == (23, 3)


def test_saved(rng):
    x = sp.csr_array(entries(rng))
    net = pair(layers=[3])[1]
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    again = theanets.Classifier.load(file)
    assert again.layers[0].sparse is True
    assert_allclose(again.predict_proba(x), net.predict_proba(x), rtol=1e-15)


def test_dropout_drops_stored_entries(rng):
    x = entries(rng, 2000)
    net = pair()[1]
    # An entry that is stored as two is dropped as one.
    found = net.feed_forward(shuffled(x, rng), input_dropout=0.2)["in:out"]
    kept = found != 0
    assert not found[x == 0].any()
    assert_allclose(found[kept], x[kept] / 0.8, atol=1e-12)
    assert np.abs(kept[x != 0].mean() - 0.8) < 0.02
    net.train([sp.csr_array(x), rng.integers(3, size=2000)], epochs=1, input_dropout=0.2)


def test_noise_is_refused(rng):
    x, y = entries(rng), rng.integers(3, size=23)
    with pytest.raises(ConfigurationError, match="'noise': output 'in:out' is a sparse input"):
        pair()[1].train([x, y], input_noise=0.1, epochs=1)
    pair()[1].train([x, y], hidden_noise=0.1, epochs=1)


class Plain(theanets.Layer, register=False):
    def setup(self):
        self.add_weights("w")

    def transform(self, inputs):
        return pt.dot(inputs.only, self.find("w"))


class Knowing(Plain, register=False):
    takes_sparse = True


@pytest.mark.parametrize(
    "spec",
    ["flatten", "batch_norm", dict(form="concat", inputs=["in", "in"]), dict(form=Plain, size=3)],
    ids=str,
)
def test_layers_that_cannot_take_it(spec):
    with pytest.raises(
        ConfigurationError, match=r"'hid1' .* cannot take the sparse input 'in:out'"
    ):
        theanets.Regressor([dict(size=SIZE, sparse=True), spec, 2])


def test_layers_of_the_user(rng):
    x = entries(rng)
    dense, net = pair(theanets.Regressor, [dict(form=Knowing, size=3), 2])
    assert_allclose(net.predict(sp.csr_array(x)), dense.predict(x), atol=1e-12)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (dict(shape=(3, 4)), r"vectors of a known size; shape=\(3, 4\)"),
        (dict(shape=(None,)), r"shape=\(None,\)"),
        (dict(size=4, ndim=3), "ndim=3"),
        (dict(size=4, activation="tanh"), "activation='tanh'"),
    ],
    ids=str,
)
def test_inputs_that_cannot_be_sparse(options, part):
    with pytest.raises(ConfigurationError, match=part):
        theanets.Network([dict(form="input", sparse="csr", **options)], loss=None)


# Linkers.
@pytest.mark.linker
@pytest.mark.parametrize("mode", COMPILED)
def test_linkers(mode, rng):
    x, y = entries(rng), rng.integers(3, size=23)
    dense, net = pair(mode="FAST_COMPILE")[0], pair(mode=mode)[1]
    matrix = shuffled(x, rng)
    if mode == "NUMBA":  # The C linker calls what is called without compilation.
        for one, data in ((dense, x), (net, matrix)):
            one.train([data, y], algo="sgd", epochs=3, batch_size=6, learning_rate=0.01)
        assert_same(dense, net, 1e-9)
        refuse_broken(mode)
    assert_allclose(net.predict_proba(matrix), dense.predict_proba(x), atol=1e-9)


@pytest.mark.linker
def test_linkers_that_cannot():
    pytest.importorskip("torch")
    with pytest.raises(ConfigurationError, match="'in' is sparse, which PytorchLinker cannot"):
        pair(mode="PYTORCH")[1].predict(np.zeros((1, SIZE)))
