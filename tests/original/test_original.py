"""Files of theanets 0.6 to 0.8 are loaded, and predict what they predicted.

The expected values are computed here, from the equations that those versions had.
"""

import contextlib
import gzip
import io
import pickle
import warnings

import numpy as np
import original_files as files
import pytest
from original_cases import (
    ARRAYS,
    CLOCK7_KNOWN,
    CLOCK8_KNOWN,
    CLOSE,
    IN,
    PLAIN,
    N,
    T,
    arrays_of,
    clockwork,
    ends,
    load,
    relu,
    rnn,
    scanned,
    small,
    values,
)

import theanets
from theanets import ConfigurationError, FileError, load_original


@pytest.mark.parametrize("name", ["old.pkl", "old.pkl.gz"])
@pytest.mark.parametrize("python", [2, 3])
def test_files_of_both_pythons_compressed_or_not(name, python, tmp_path, rng):
    made, _, x, expected = small(rng)
    np.testing.assert_allclose(load(made, tmp_path, python, name).predict(x), expected, **CLOSE)


def test_file_objects(rng):
    made, _, x, expected = small(rng)
    net = load_original(io.BytesIO(files.dump(made) + b"what follows"), trust=True)
    np.testing.assert_allclose(net.predict(x, mode="FAST_COMPILE"), expected, **CLOSE)


@pytest.mark.parametrize(
    "path",
    [
        "theano.sandbox.cuda.type.CudaNdarray_unpickler",
        "theano.gpuarray.type.GpuArray_unpickler",
    ],
)
def test_parameters_of_a_gpu(path, tmp_path, rng):
    made, _, x, expected = small(rng)
    layers = made.__reduce_ex__(2)[2][0]
    for layer in layers:
        layer._params[:] = [
            files.shared(v.name, v.container.storage[0], gpu=path) for v in layer._params
        ]
    np.testing.assert_allclose(load(made, tmp_path).predict(x), expected, **CLOSE)


def test_double_precision(tmp_path, rng):
    p = {k: rng.normal(size=s) for k, s in PLAIN.items()}
    hidden = files.layer("rnn", "hid1", "0.7", p, "tanh", ["in:out"], N)
    made, last = ends("0.7", [hidden], rng)
    net = load(made, tmp_path)
    assert net.dtype == "float64"
    x = rng.normal(size=(4, T, IN))
    np.testing.assert_allclose(
        net.predict(x), last(rnn(p, np.tanh)(x)), rtol=1e-10, atol=1e-10
    )  # fmt: skip


def test_a_loaded_network_trains_and_is_saved(tmp_path, rng):
    made, _, x, expected = small(rng)
    net = load(made, tmp_path)
    net.save(tmp_path / "new.st")
    again = theanets.Network.load(tmp_path / "new.st")
    np.testing.assert_allclose(again.predict(x, mode="FAST_COMPILE"), expected, **CLOSE)
    before = net.evaluate([x, expected + 1])["loss"]
    net.train([x, expected + 1], epochs=3)
    assert net.evaluate([x, expected + 1])["loss"] < before


def test_losses(tmp_path, rng):
    losses = [
        files.loss("MeanAbsoluteError", weight=0.5),
        files.loss("Mine"),
        files.loss("MeanSquaredError"),
    ]
    made, *_ = small(rng, losses=losses)
    with pytest.warns(UserWarning, match="losses Mine are not defined here, and left out"):
        net = load(made, tmp_path)
    assert [(x["form"], x["weight"]) for x in net.to_spec()["losses"]] == [("mae", 0.5), ("mse", 1)]


def test_a_pickle_needs_trust(tmp_path, rng):
    made, *_ = small(rng)
    path = tmp_path / "old.pkl"
    path.write_bytes(files.dump(made))
    with pytest.raises(ConfigurationError, match=r"old.pkl: .*trust=True"):
        load_original(path)


@pytest.mark.parametrize("name", ["old.pkl", "old.pkl.gz"])
@pytest.mark.parametrize("python", [2, 3])
def test_load_says_what_an_old_pickle_is(name, python, tmp_path, rng):
    made, *_ = small(rng)
    path = tmp_path / name
    data = files.dump(made, python)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    net = theanets.Regressor([2, 3])
    for load_it in (theanets.Network.load, net.load, theanets.Experiment):
        with pytest.raises(FileError, match=r"a pickle, .*load_original\(.*, trust=True\)"):
            load_it(path)


class Touch:
    """What a pickle runs when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_that_a_pickle_names_runs(tmp_path):
    """Not even where a file is trusted."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps([Touch(tmp_path / "made")], protocol)
        (tmp_path / "evil.pkl").write_bytes(data)
        with pytest.raises(FileError, match="holds no network"):
            load_original(tmp_path / "evil.pkl", trust=True)
        assert not (tmp_path / "made").exists()


def test_damaged_pickles_end_in_our_errors(tmp_path, rng):
    """Bytes changed or cut off at random places: an error of ours, or a network."""
    data = files.dump(small(rng)[0])
    numbers = np.random.default_rng(0)
    loaded = 0
    for _ in range(400):
        bad = bytearray(data)
        for place in numbers.integers(len(data), size=numbers.integers(1, 4)):
            bad[place] = numbers.integers(256)
        if numbers.random() < 0.3:
            del bad[numbers.integers(len(bad)) :]
        with contextlib.suppress(FileError, ConfigurationError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = load_original(io.BytesIO(bytes(bad)), trust=True)
            assert isinstance(net, theanets.Network)
            loaded += 1
    assert 5 < loaded < 395


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_with_a_network_of_the_same_layers(case, tmp_path, rng):
    """No trust is needed, and default activations are those of then."""
    form, shapes, options, twin, g, known = ARRAYS[case]
    p = values(shapes, rng)
    arrays, last = arrays_of(p, rng)
    np.savez(tmp_path / "old.npz", **arrays)
    net = theanets.recurrent.Regressor([IN, dict(form=form, size=N, **options), 2])
    before = [q.get_value() for q in net.params]
    found = load_original(tmp_path / "old.npz", network=net)
    x = rng.normal(size=(4, T, IN)).astype("f")
    expected = last(twin(p, g, **known)(x))
    np.testing.assert_allclose(found.predict(x, mode="FAST_COMPILE"), expected, **CLOSE)
    for old, param in zip(before, net.params, strict=True):
        np.testing.assert_array_equal(param.get_value(), old)


def test_arrays_of_a_bidirectional_layer(tmp_path, rng):
    halves = [values(PLAIN, rng) for _ in range(2)]
    q = values({"w": (2 * N, 2), "b": (2,)}, rng)
    arrays = {f"out.{k}": v for k, v in q.items()}
    for half, p in zip(("fw", "bw"), halves, strict=True):
        arrays.update({f"hid1_{half}.{k}": v for k, v in p.items()})
    np.savez(tmp_path / "old.npz", **arrays)
    net = theanets.recurrent.Regressor([IN, (2 * N, "bidirectional"), 2])
    found = load_original(tmp_path / "old.npz", network=net)
    x = rng.normal(size=(4, T, IN)).astype("f")
    both = [rnn(p, relu, back=bool(i))(x) for i, p in enumerate(halves)]
    expected = np.concatenate(both, axis=2) @ q["w"] + q["b"]
    np.testing.assert_allclose(found.predict(x, mode="FAST_COMPILE"), expected, **CLOSE)


@pytest.mark.parametrize("version", ["0.7.3", "0.8.0pre"])
@pytest.mark.parametrize("inside", [True, False])
def test_the_version_of_arrays(version, inside, tmp_path, rng):
    """Where it matters, the file says it, or the caller."""
    p = values(PLAIN, rng)
    arrays, last = arrays_of(p, rng, version if inside else None)
    np.savez(tmp_path / "old.npz", **arrays)
    layer = dict(form="clockwork", size=N, periods=(1, 2, 4))
    net = theanets.recurrent.Regressor([IN, layer, 2])
    given = {} if inside else {"version": version}
    if not inside:
        with pytest.raises(ConfigurationError, match=r"layer 'hid1' was not the same.*version="):
            load_original(tmp_path / "old.npz", network=net)
    found = load_original(tmp_path / "old.npz", network=net, **given)
    known = CLOCK7_KNOWN if version == "0.7.3" else CLOCK8_KNOWN
    x = rng.normal(size=(4, T, IN)).astype("f")
    expected = last(clockwork(p, relu, **known)(x))
    np.testing.assert_allclose(found.predict(x, mode="FAST_COMPILE"), expected, **CLOSE)


def test_arrays_that_do_not_fit(tmp_path, rng):
    arrays, _ = arrays_of(values(PLAIN, rng), rng)
    path = tmp_path / "old.npz"
    np.savez(path, **arrays)
    with pytest.raises(ConfigurationError, match="network=None has to be a network"):
        load_original(path)
    make = theanets.recurrent.Regressor
    with pytest.raises(FileError, match=r"'hid1.xh' has shape \(3, 6\)"):
        load_original(path, network=make([IN, (N + 1, "rnn"), 2]))
    with pytest.raises(FileError, match=r"has no parameter out.b, out.w"):
        load_original(path, network=make([IN, (N, "rnn"), dict(size=2, name="last")], loss=None))
    np.savez(path, **arrays, object=np.array([{}], dtype=object))
    with pytest.raises(FileError, match="cannot be read"):
        load_original(path, network=make([IN, (N, "rnn"), 2]))
    with pytest.raises(ConfigurationError, match=r"version='1.0' is not"):
        load_original(path, version="1.0")


@pytest.mark.parametrize(
    "case", ["missing", "untrusted", "no network", "cut", "compressed", "layer", "npz", "arrays"]
)
def test_errors_name_the_file_once(case, tmp_path, rng):
    path = tmp_path / "old.pkl"
    made, *_ = small(rng)
    data, options = files.dump(made), {"trust": True}
    if case == "untrusted":
        options = {}
    elif case == "no network":
        data = pickle.dumps([1, 2])
    elif case == "cut":
        data = data[:-40]
    elif case == "compressed":
        data = gzip.compress(data)[:-40]
    elif case == "layer":
        p = values(PLAIN, rng)
        odd = files.layer("rnn", "hid1", "0.7", p, "no such one", ["in:out"], N)
        data = files.dump(ends("0.7", [odd], rng)[0])
    elif case in ("npz", "arrays"):
        stored = io.BytesIO()
        np.savez(stored, **arrays_of(values(PLAIN, rng), rng)[0])
        data = stored.getvalue()[: -40 if case == "npz" else None]
        options = {"network": theanets.recurrent.Regressor([IN, (N + 1, "rnn"), 2])}
    if case != "missing":
        path.write_bytes(data)
    with pytest.raises((FileError, ConfigurationError)) as error:
        load_original(path, **options)
    assert str(error.value).count("old.pkl") == 1


def test_initial_states_of_both_halves(tmp_path, rng):
    """They were of the same output, which had half of the units."""
    p = [values(PLAIN, rng) for _ in range(2)]
    first = files.layer("input", "first", "0.8", kwargs={"ndim": 2, "shape": (N,)})
    series = files.layer("input", "in", "0.8", kwargs={"ndim": 3, "shape": (None, IN)})
    fw, bw = (
        files.layer(
            "rnn", f"out_{half}", "0.8", p[i], "tanh", ["in:out"], N,
            h_0="first:out", kwargs={"direction": direction, "bptt_limit": 3},
        )
        for i, (half, direction) in enumerate((("fw", "forward"), ("bw", "backward")))
    )  # fmt: skip
    both = files.layer(
        "bidirectional", "out", "0.8", {}, "tanh", ["in:out"], 2 * N, forward=fw, backward=bw
    )
    net = load(files.network("graph.Network", [first, series, both], "0.8"), tmp_path)
    assert net.layers[2].bptt_limit == 3
    h, x = rng.normal(size=(2, N)).astype("f"), rng.normal(size=(2, T, IN)).astype("f")
    expected = [
        scanned(x, lambda u, s, p=p: [np.tanh(u @ p["xh"] + p["b"] + s @ p["hh"])], h, back=back)
        for p, back in zip(p, (False, True), strict=True)
    ]
    np.testing.assert_allclose(net.predict([h, x]), np.concatenate(expected, axis=2), **CLOSE)
