"""Other layers of theanets 0.7, and what layers have for its files."""

import numpy as np
import original_files as files
import pytest
from original_cases import (
    ACTIVATIONS,
    ARRAYS,
    CLOSE,
    IN,
    N,
    T,
    arrays_of,
    check,
    ends,
    gru,
    load,
    relu,
    sigmoid,
    small,
    values,
)

import theanets
from theanets import ConfigurationError, FileError, load_original


@pytest.mark.parametrize("version", ["0.6", "0.7", "0.8"])
def test_feedforward_tied_and_classifier(version, tmp_path, rng):
    p, q, r = (
        values(s, rng) for s in ({"w": (IN, N), "b": (N,)}, {"b": (IN,)}, {"w": (IN, 4), "b": (4,)})
    )
    first = files.layer("input", "in", version, size=IN, kwargs={"ndim": 2, "shape": (IN,)})
    one = files.layer("feedforward", "hid1", version, p, "logistic", ["in:out"], N)
    # Before 0.8 the input of a tied layer was only a size.
    given = ["out"] if version != "0.8" else ["hid1:out"]
    two = files.layer("tied", "tied-hid1", version, q, "tanh", given, IN, partner=one)
    last = files.layer("classifier", "out", version, r, "softmax", ["tied-hid1:out"], 4)
    layers = [first, one, two, last]
    if version == "0.6":
        made = files.network("feedforward.Classifier", layers, version)
    else:
        losses = [files.loss("CrossEntropy", weighted=True)]
        made = files.network("feedforward.Classifier", layers, version, losses)
    net = load(made, tmp_path, python=2)
    assert type(net) is theanets.Classifier and net.weighted == (version != "0.6")
    x = rng.normal(size=(5, IN)).astype("f")
    z = np.tanh(sigmoid(x @ p["w"] + p["b"]) @ p["w"].T + q["b"]) @ r["w"] + r["b"]
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(net.predict_proba(x), expected, **CLOSE)
    labels = expected.argmax(axis=1)
    weights = [np.ones(5)] if version != "0.6" else []
    net.train([x, labels, *weights], epochs=1)
    (spec,) = net.to_spec()["losses"]
    assert spec["form"] in ("xe", "crossentropy")


@pytest.mark.parametrize("version", ["0.7", "0.8"])
def test_merged_layers(version, tmp_path, rng):
    """Before 0.8, concatenated outputs were in the order of their names."""
    p = [values({"w": (IN, N), "b": (N,)}, rng) for _ in range(2)]
    q = values({"w_cat:out": (2 * N, 2), "w_prod:out": (N, 2), "b": (2,)}, rng)
    first = files.layer("input", "in", version, size=IN, kwargs={"ndim": 2, "shape": (IN,)})
    z, a = (
        files.layer("feedforward", name, version, p[i], "tanh", ["in:out"], N)
        for i, name in enumerate("za")
    )
    cat = files.layer("concatenate", "cat", version, (), "relu", ["z:out", "a:out"], 2 * N)
    prod = files.layer("product", "prod", version, (), "relu", ["z:out", "a:out"], N)
    last = files.layer("feedforward", "out", version, q, "linear", ["cat:out", "prod:out"], 2)
    made = files.network("feedforward.Regressor", [first, z, a, cat, prod, last], version)
    net = load(made, tmp_path)
    x = rng.normal(size=(5, IN)).astype("f")
    z, a = (np.tanh(x @ w["w"] + w["b"]) for w in p)
    joined = np.hstack([a, z] if version == "0.7" else [z, a])
    expected = joined @ q["w_cat:out"] + (z * a) @ q["w_prod:out"] + q["b"]
    check(net, x, None, expected)


def convolved(x, w, b, stride=(1, 1), full=False):
    """The true convolution of (batch, width, height, channels) with (n, channels, k1, k2)."""
    k1, k2 = w.shape[2:]
    if full:
        x = np.pad(x, ((0, 0), (k1 - 1,) * 2, (k2 - 1,) * 2, (0, 0)))
    rows = range(0, x.shape[1] - k1 + 1, stride[0])
    cols = range(0, x.shape[2] - k2 + 1, stride[1])
    turned = w[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
    return np.stack(
        [
            np.stack(
                [np.einsum("bxyc,xycn->bn", x[:, i : i + k1, j : j + k2], turned) for j in cols], 1
            )
            for i in rows
        ],
        1,
    ) + b  # fmt: skip


@pytest.mark.parametrize("mode", ["valid", "full"])
@pytest.mark.parametrize("version", ["0.6", "0.7", "0.8"])
def test_conv1(version, mode, tmp_path, rng):
    p = values({"w": (N, IN, 1, 3), "b": (N,)}, rng)
    size = {"filter_size" if version == "0.8" else "filter_shape": (1, 3)}
    given = {**size, "stride": (1, 2), "border_mode": mode}
    hidden = files.layer("conv1", "hid1", version, p, "relu", ["in:out"], N, **given)
    made, last = ends(version, [hidden], rng)
    x = rng.normal(size=(4, 9, IN)).astype("f")
    found = convolved(x[:, None], p["w"], p["b"], (1, 2), False)
    if mode == "full":
        padded = np.pad(x, ((0, 0), (2, 2), (0, 0)))
        found = convolved(padded[:, None], p["w"], p["b"], (1, 2))
    expected = relu(found[:, 0])
    check(load(made, tmp_path), x, expected, last(expected))


@pytest.mark.parametrize("mode", ["valid", "full"])
def test_conv2_flatten_and_reshape(mode, tmp_path, rng):
    p = values({"w": (2, 1, 3, 2), "b": (2,)}, rng)
    first = files.layer("input", "in", "0.8", kwargs={"ndim": 4, "shape": (8, 6, 1)})
    given = {"filter_size": (3, 2), "stride": (2, 1), "border_mode": mode}
    conv = files.layer("conv2", "hid1", "0.8", p, "relu", ["in:out"], 2, **given)
    flat = files.layer("flatten", "flat", "0.8", (), "relu", ["hid1:out"])
    x = rng.normal(size=(4, 8, 6, 1)).astype("f")
    hidden = relu(convolved(x, p["w"], p["b"], (2, 1), mode == "full"))
    count = hidden[0].size
    q = values({"w": (count, 3), "b": (3,)}, rng, 0.2)
    last = files.layer("feedforward", "out", "0.8", q, "linear", ["flat:out"], 3)
    made = files.network("convolution.Regressor", [first, conv, flat, last], "0.8")
    net = load(made, tmp_path)
    assert type(net) is theanets.convolution.Regressor
    expected = hidden.reshape(4, -1) @ q["w"] + q["b"]
    check(net, x, hidden, expected)


def test_reshape(tmp_path, rng):
    first = files.layer("input", "in", "0.7", size=6, kwargs={"ndim": 2})
    square = files.layer("reshape", "hid1", "0.7", (), "relu", ["in:out"], 3, shape=[2, 3])
    q = values({"w": (3, 2), "b": (2,)}, rng)
    last = files.layer("feedforward", "out", "0.7", q, "linear", ["hid1:out"], 2)
    net = load(files.network("feedforward.Regressor", [first, square, last], "0.7"), tmp_path)
    x = rng.normal(size=(4, 6)).astype("f")
    hidden = x.reshape(4, 2, 3)
    np.testing.assert_allclose(net.predict(x), hidden @ q["w"] + q["b"], **CLOSE)


def test_pooling_could_not_be_run(tmp_path):
    first = files.layer("input", "in", "0.8", kwargs={"ndim": 4, "shape": (8, 6, 1)})
    pool = files.layer("pool2", "hid1", "0.8", (), "relu", ["in:out"], 1)
    with pytest.raises(
        FileError, match=r"layer 'hid1' \(pool2\): this form could not be"
    ) as caught:
        load(files.network("convolution.Regressor", [first, pool], "0.8"), tmp_path)
    assert str(caught.value).count("old.pkl") == 1


SLOPES = {
    "prelu": ({"leak": (N,)}, lambda z, p, f: np.where(z > 0, z, f(p["leak"]) * z)),
    "lgrelu": (
        {"leak": (N,), "gain": (N,)},
        lambda z, p, f: np.where(z > 0, f(p["gain"]) * z, f(p["leak"]) * z),
    ),
    "elu": ({"gain": (N,)}, lambda z, p, f: np.where(z > 0, z, f(p["gain"]) * np.expm1(z))),
    "maxout:3": (
        {"slope": (N, 3), "intercept": (N, 3)},
        lambda z, p, f: (z[..., None] * p["slope"] + p["intercept"]).max(axis=-1),
    ),
    "rect:min": ({}, lambda z, p, f: np.minimum(z, 1)),
    "norm:z": (
        {},
        lambda z, p, f: (z - z.mean(-1, keepdims=True)) / (z.std(-1, keepdims=True) + 1e-8),
    ),
    "tanh+logistic": ({}, lambda z, p, f: sigmoid(np.tanh(z))),
}


@pytest.mark.parametrize("version", ["0.7", "0.8"])
@pytest.mark.parametrize("activation", SLOPES)
def test_activations(activation, version, tmp_path, rng):
    """Slopes of 0.8 were exponentials of their parameters."""
    shapes, g = SLOPES[activation]
    if activation == "elu" and version == "0.7":
        pytest.skip("new in 0.8")
    p = values({"w": (IN, N), "b": (N,), **shapes}, rng)
    hidden = files.layer("feedforward", "hid1", version, p, activation, ["in:out"], N)
    made, last = ends(version, [hidden], rng, axes=2, model="feedforward.Regressor")
    x = rng.normal(size=(5, IN)).astype("f")
    expected = g(x @ p["w"] + p["b"], p, np.exp if version == "0.8" else lambda v: v)
    check(load(made, tmp_path), x, expected, last(expected))


# ---- what layers have for it ------------------------------------------------------------------


def test_outputs_in_the_order_of_the_run(rng):
    """Of series of different lengths, the steps that exist are turned round."""
    lengths = np.array([3, 7, 1, 0])
    x = rng.normal(size=(4, T, IN)).astype("f")
    found = {}
    for direction in ("backward", "reversed"):
        layers = [
            dict(form="input", name="in", shape=(None, IN)),
            dict(form="lengths", name="n"),
            dict(form="rnn", size=N, name="h", inputs="in", direction=direction),
            dict(form="ff", size=2, inputs="h"),
        ]
        net = theanets.recurrent.Regressor(layers, rng=1, mode="FAST_COMPILE")
        found[direction] = net.feed_forward([x, lengths])["h:out"]
    expected = np.zeros_like(found["backward"])
    for i, length in enumerate(lengths):
        expected[i, :length] = found["backward"][i, :length][::-1]
    np.testing.assert_array_equal(found["reversed"], expected)


@pytest.mark.parametrize(
    "spec, message",
    [
        (dict(form="rnn", direction="turned"), "'forward', 'backward', 'reversed' or None"),
        (dict(form="scrn", hidden="prelu"), "hidden='prelu' has parameters"),
        (dict(form="scrn", hidden=None), "hidden=None is not the name"),
        (dict(form="bcrnn", num_modules=2, rates=[0.5]), r"rates=\[0.5\] is not a list of 2"),
        (dict(form="bcrnn", num_modules=2, rates=[0.5, 0.2]), "do not fall"),
        (dict(form="bcrnn", num_modules=2, rates="x"), "rates='x' is not a list of 2"),
        (dict(form="bidirectional", aligned=2), "aligned=2 is not True or False"),
        (dict(form="mut1", inner_bias=2), "inner_bias=2 is not True or False"),
        (dict(form="clockwork", periods=(1, 2), descending=2), "descending=2 is not True"),
    ],
)
def test_options_of_wrong_values(spec, message):
    with pytest.raises(ConfigurationError, match=message):
        theanets.recurrent.Regressor([IN, dict(size=N, **spec), 2])


@pytest.mark.parametrize("version, g", [("0.6.2", sigmoid), ("0.7.3", relu), ("0.8.0", relu)])
@pytest.mark.parametrize("last", [False, True])
def test_default_activations_of_arrays(version, g, last, tmp_path, rng):
    """Those of a layer that the script gave none: of a hidden one, and of the last."""
    gate = ARRAYS["gru of 0.8" if version == "0.8.0" else "gru"][1]
    p = values(gate, rng)
    arrays, then = arrays_of(p, rng, version)
    if last:
        arrays = {k.replace("hid1", "out"): v for k, v in arrays.items() if "out" not in k}
        g, then = ACTIVATIONS["linear"], lambda h: h
    np.savez(tmp_path / "old.npz", **arrays)
    layers = [IN, (N, "gru")] if last else [IN, (N, "gru"), 2]
    net = theanets.recurrent.Regressor(layers)
    found = load_original(tmp_path / "old.npz", network=net)
    x = 0.3 * rng.normal(size=(4, T, IN)).astype("f")
    expected = then(gru(p, g)(x))
    np.testing.assert_allclose(found.predict(x, mode="FAST_COMPILE"), expected, **CLOSE)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("fortran", [False, True])
def test_arrays_of_any_order(order, fortran, tmp_path, rng):
    made, _, x, expected = small(rng)
    layers = made.__reduce_ex__(2)[2][0]
    for variable in layers[1]._params:
        value = variable.container.storage[0].astype(f"{order}f4")
        variable.container.storage[0] = np.asfortranarray(value) if fortran else value
    np.testing.assert_allclose(load(made, tmp_path).predict(x), expected, **CLOSE)
