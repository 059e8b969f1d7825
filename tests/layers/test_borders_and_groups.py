"""Convolutions in groups and separable ones, padding, interpolation, pooling of whole series."""

import io

import numpy as np
import pytest
from layer_checks import check_gradient, randomize

import theanets
from theanets import recurrent
from theanets.errors import ConfigurationError


def regressor(*layers, kind=theanets.Regressor, **options):
    net = kind(list(layers), dtype="float64", rng=1, **options)
    randomize(net, np.random.default_rng(3))
    return net


IMAGES, SERIES = (6, 5, 4), (7, 4)
CONV = dict(size=4, filter_size=3, border_mode="same", activation="linear")


def same(net, other, x):
    for mine, his in zip(other.params, net.params, strict=True):
        mine.set_value(his.get_value())
    np.testing.assert_allclose(net.predict(x), other.predict(x))


@pytest.mark.parametrize("groups", [2, 4])
@pytest.mark.parametrize("form", ["conv1", "conv2", "conv1_transposed", "conv2_transposed"])
def test_each_group_is_convolved_by_itself(form, groups, rng):
    shape = SERIES if "1" in form else IMAGES
    net = regressor(shape, dict(form=form, groups=groups, **{**CONV, "stride": 2}))
    w, b = net.find("out.w").get_value(), net.find("out.b").get_value()
    x = rng.normal(size=(2, *shape))
    found, wide = net.predict(x), 4 // groups
    for g in range(groups):
        mine = slice(g * wide, (g + 1) * wide)
        one = regressor((*shape[:-1], wide), dict(form=form, **{**CONV, "size": wide, "stride": 2}))
        one.find("out.w").set_value(w[:, mine] if "transposed" in form else w[mine])
        one.find("out.b").set_value(b[mine])
        np.testing.assert_allclose(found[..., mine], one.predict(x[..., mine]))


def test_as_in_pytorch(rng):
    torch = pytest.importorskip("torch")
    x = rng.normal(size=(2, *IMAGES))
    theirs = torch.tensor(x).permute(0, 3, 1, 2)

    def check(layer, function):
        net = regressor(IMAGES, layer)
        weights = [torch.tensor(p.get_value()) for p in net.params]
        expected = function(*weights).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(net.predict(x), expected, rtol=1e-9, atol=1e-12)

    functional = torch.nn.functional
    for groups in (2, 4):
        check(
            dict(form="conv2", groups=groups, **CONV),
            lambda w, b, g=groups: functional.conv2d(theirs, w.flip(2, 3), b, padding=1, groups=g),
        )
    check(
        dict(form="conv2_transposed", groups=2, **{**CONV, "border_mode": 1, "stride": 2}),
        lambda w, b: functional.conv_transpose2d(
            theirs, w.transpose(0, 1).reshape(2, 2, 2, 3, 3).reshape(4, 2, 3, 3), b, 2, 1, 0, 2
        ),
    )
    check(
        dict(form="conv2_separable", **CONV),
        lambda depthwise, w, b: functional.conv2d(
            functional.conv2d(theirs, depthwise.flip(2, 3), padding=1, groups=4), w, b
        ),
    )
    for mode in ("reflect", "replicate", "zero"):
        check(
            dict(form="pad2", padding=((1, 2), (2, 0)), mode=mode),
            lambda mode=mode: functional.pad(
                theirs, (2, 0, 1, 2), "constant" if mode == "zero" else mode
            ),
        )
    for factor in ((2, 3), (1, 4), (5, 1)):
        check(
            dict(form="upsample2", factor=factor, mode="bilinear"),
            lambda factor=factor: functional.interpolate(
                theirs, scale_factor=factor, mode="bilinear", align_corners=False
            ),
        )


@pytest.mark.parametrize("mode", ["zero", "reflect", "replicate"])
def test_padding_is_that_of_numpy(mode, rng):
    name = {"zero": "constant", "replicate": "edge"}.get(mode, mode)
    for shape in (SERIES, (1, 4), (2, 4)):
        x = rng.normal(size=(2, *shape))
        for pads in ((1, 2), (0, 5)):
            net = regressor(shape, dict(form="pad1", padding=(pads,), mode=mode))
            expected = np.pad(x, ((0, 0), pads, (0, 0)), name)
            np.testing.assert_array_equal(net.predict(x), expected)
    net = regressor((None, None, 4), dict(form="pad2", padding=(0, (3, 1)), mode=mode))
    x = rng.normal(size=(2, *IMAGES))
    expected = np.pad(x, ((0, 0), (0, 0), (3, 1), (0, 0)), name)
    np.testing.assert_array_equal(net.predict(x), expected)


def test_interpolation_of_series(rng):
    net = regressor((None, 2), dict(form="upsample1", factor=4, mode="linear"))
    for steps in (1, 2, 5):
        x = rng.normal(size=(1, steps, 2))
        places = (np.arange(4 * steps) + 0.5) / 4 - 0.5
        expected = [np.interp(places, np.arange(steps), x[0, :, m]) for m in range(2)]
        np.testing.assert_allclose(net.predict(x)[0], np.transpose(expected), atol=1e-12)


def pooled(mode, x, query):
    if mode == "attention":
        scores = x @ query / 2
        weights = np.exp(scores - scores.max())
        return weights / weights.sum() @ x
    return {"mean": x.mean(0), "max": x.max(0), "sum": x.sum(0), "last": x[-1]}[mode]


@pytest.mark.parametrize("mode", ["mean", "max", "sum", "last", "attention"])
def test_pooling_of_whole_series(mode, rng):
    net = regressor((None, 4), dict(form="pool_time", mode=mode))
    query = net.params[0].get_value() if mode == "attention" else None
    x = rng.normal(size=(3, 6, 4))
    expected = [pooled(mode, one, query) for one in x]
    np.testing.assert_allclose(net.predict(x), expected)
    if mode == "attention":
        weights = net.feed_forward(x)["out:weights"]
        np.testing.assert_allclose(weights.sum(1), 1)
        np.testing.assert_allclose(weights[0] @ x[0], expected[0])
        fresh = theanets.Regressor([(None, 4), dict(form="pool_time", mode=mode)])
        np.testing.assert_allclose(fresh.predict(x.astype("f")), x.mean(1), atol=1e-6)


STACKS = {
    "groups": [dict(form="conv1", groups=2, **CONV)],
    "separable": [dict(form="conv1_separable", **CONV)],
    "zero": [dict(form="pad1", padding=((2, 1),))],
    "reflect": [dict(form="pad1", padding=((2, 3),), mode="reflect")],
    "replicate": [dict(form="pad1", padding=((2, 3),), mode="replicate")],
    "between": [dict(form="upsample1", factor=3, mode="linear")],
    "mean": [dict(form="pool_time")],
    "max": [dict(form="pool_time", mode="max")],
    "last": [dict(form="pool_time", mode="last")],
    "attention": [dict(form="pool_time", mode="attention")],
}


@pytest.mark.parametrize("name", STACKS)
def test_series_are_what_they_are_alone(name, rng):
    hidden = [dict(size=4, activation="tanh", inputs="in"), *STACKS[name], 2]
    net = regressor(3, dict(form="lengths", name="n"), *hidden, kind=recurrent.Regressor)
    plain = regressor(3, *hidden, kind=recurrent.Regressor)
    lengths = np.array([6, 1, 5, 2, 0])
    xs = [rng.normal(size=(n, 3)) for n in lengths]
    for more, fill in ((0, 0.0), (3, 7.0)):
        x = np.full((5, 6 + more, 3), fill)
        for row, one in zip(x, xs, strict=True):
            row[: len(one)] = one
        found = net.feed_forward([x, lengths])["hid2:out"]
        for got, one in zip(found[:-1], xs, strict=False):
            alone = plain.feed_forward(one[None])["hid2:out"][0]
            if got.ndim == 2:
                assert not got[len(alone) :].any()
                got = got[: len(alone)]
            np.testing.assert_allclose(got, alone, rtol=1e-12, atol=1e-12)
        # Nothing comes of nothing.
        assert not found[-1].any()
        target = rng.normal(size=net.predict([x, lengths]).shape)
        assert np.isfinite(net.evaluate([x, lengths, target])["loss"])


LAYERS = [
    (SERIES, dict(form="conv1", groups=2, **CONV)),
    (IMAGES, dict(form="conv2", groups=4, **CONV)),
    (SERIES, dict(form="conv1_transposed", groups=4, **CONV)),
    (SERIES, dict(form="conv1_separable", **CONV)),
    (SERIES, dict(form="pad1", padding=2, mode="reflect")),
    (IMAGES, dict(form="pad2", padding=1, mode="replicate")),
    (SERIES, dict(form="upsample1", mode="linear")),
    (IMAGES, dict(form="upsample2", mode="bilinear", factor=(2, 3))),
    (SERIES, dict(form="pool_time", mode="attention")),
    (SERIES, dict(form="pool_time", mode="last")),
]


@pytest.mark.parametrize(("shape", "layer"), LAYERS)
def test_gradient_and_files(shape, layer, rng):
    net = regressor(shape, dict(size=4, activation="tanh"), layer, 1)
    check_gradient(net, rng, rows=2)
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    x = rng.normal(size=(2, *shape))
    np.testing.assert_array_equal(theanets.Regressor.load(file).predict(x), net.predict(x))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            dict(form="conv1", groups=3, **{**CONV, "size": 6}),
            r"groups=3 does not divide the 4 channels of the input: 4 = 1 \* 3 \+ 1; "
            "expected one of 1, 2, 4",
        ),
        (dict(form="conv1", groups=2, **{**CONV, "size": 5}), "5 channels of the output: 5 = 2"),
        (dict(form="conv1", groups=0, **CONV), "groups=0 is not an integer of at least 1"),
        (dict(form="conv1_separable", groups=2, **CONV), "no meaning for a separable"),
        (dict(form="pad1", padding=-1), "padding=-1 is not an integer of at least 0"),
        (dict(form="pad1", mode="reflekt"), "mode='reflekt' is not one of .*reflect"),
        (dict(form="pad2"), r"needs an input of shape \(width, height, channels\)"),
        (dict(form="upsample1", mode="cubic"), "mode='cubic' is not one of"),
        (dict(form="pool_time", mode="first"), "mode='first' is not one of"),
        (dict(form="pool_time", stride=2), "stride=2 has no meaning"),
    ],
)
def test_refused(layer, message):
    with pytest.raises(ConfigurationError, match=message):
        theanets.Regressor([SERIES, layer])


@pytest.mark.linker
def test_linkers_agree(rng):
    layers = [
        (6, "tanh"),
        dict(form="conv2", groups=2, **CONV),
        dict(form="conv2", groups=4, **CONV),
    ]
    layers += [dict(form="pad2", mode="reflect"), dict(form="upsample2", mode="bilinear")]
    layers += [dict(form="conv2_separable", **CONV), "flat", 2]
    x, y = rng.normal(size=(4, *IMAGES)), rng.normal(size=(4, 2))
    found = []
    for mode in ("FAST_COMPILE", "NUMBA"):
        net = regressor(IMAGES, *layers, mode=mode)
        net.train([x, y], epochs=1, algo="sgd", learning_rate=1e-3)
        found.append([*(p.get_value() for p in net.params), net.predict(x)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
