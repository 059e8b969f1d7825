"""Layers of convolution, pooling and upsampling against loops over the windows."""

import numpy as np
import pytest
from window_cases import padded, pooled, regressor

import theanets
from theanets.errors import ConfigurationError
from theanets.ops.windows.window import Window


def true_convolution(x, w, b, stride, dilation, mode):
    """Compute a layer by the definition: sum over x[i - a] w[a], of filters that are turned."""
    batch, *lengths, _ = x.shape
    sizes = w.shape[2:]
    fronts, counts = zip(
        *(padded(n, k, s, d, m) for n, k, s, d, m in zip(lengths, sizes, stride, dilation, mode)),
        strict=True,
    )
    y = np.zeros((batch, *counts, len(w))) + b
    for i, j in np.ndindex(*counts):
        for a, c in np.ndindex(*sizes):
            p = i * stride[0] - fronts[0] + (sizes[0] - 1 - a) * dilation[0]
            q = j * stride[1] - fronts[1] + (sizes[1] - 1 - c) * dilation[1]
            if 0 <= p < lengths[0] and 0 <= q < lengths[1]:
                y[:, i, j] += x[:, p, q] @ w[:, :, a, c].T
    return y


BORDERS = {
    "valid": lambda e: (0, 0),
    "full": lambda e: (e - 1, e - 1),
    "half": lambda e: (e // 2, e // 2),
    "same": lambda e: "same",
    2: lambda e: (2, 2),
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("stride, dilation", [(1, 1), ((2, 3), 1), (2, (1, 2))])
@pytest.mark.parametrize("border", [*BORDERS, (1, (2, 0))])
def test_conv2(border, stride, dilation, known, rng):
    x = rng.normal(size=(2, 9, 10, 3))
    shape = x.shape[1:] if known else (None, None, 3)
    net = regressor(
        dict(shape=shape),
        dict(
            form="conv2",
            size=4,
            filter_size=(3, 2),
            stride=stride,
            dilation=dilation,
            border_mode=border,
            mean_b=0.5,
        ),
    )
    layer = net.layers[1]
    w, b = (p.get_value() for p in layer.params)
    assert w.shape == (4, 3, 3, 2) and b.shape == (4,)
    strides, dilations = (np.broadcast_to(v, 2).tolist() for v in (stride, dilation))
    extents = [(k - 1) * d + 1 for k, d in zip((3, 2), dilations)]
    if isinstance(border, tuple):
        modes = [(1, 1), (2, 0)]
    else:
        modes = [BORDERS[border](e) for e in extents]
    expected = true_convolution(x, w, b, strides, dilations, modes)
    np.testing.assert_allclose(net.predict(x), expected, atol=1e-12)
    assert layer.output_shape == (expected.shape[1:] if known else (None, None, 4))


def test_conv2_is_scipys_convolution(rng):
    from scipy.signal import convolve2d

    x = rng.normal(size=(2, 6, 7, 2))
    for mode in ("valid", "full"):
        net = regressor((6, 7, 2), dict(form="conv2", size=3, filter_size=(2, 3), border_mode=mode))
        w = net.find("out.w").get_value()
        expected = np.stack(
            [[sum(convolve2d(im[..., m], f[m], mode) for m in range(2)) for f in w] for im in x]
        ).transpose(0, 2, 3, 1)
        np.testing.assert_allclose(net.predict(x), expected, atol=1e-12)


@pytest.mark.parametrize(
    "border, mode",
    [("valid", (0, 0)), ("same", "same"), (1, (1, 1)), ((2, 0), (2, 0)), (((2, 0),), (2, 0))],
)
@pytest.mark.parametrize("known", [True, False])
def test_conv1(border, mode, known, rng):
    x = rng.normal(size=(3, 8, 2))
    net = regressor(
        dict(shape=(8 if known else None, 2)),
        dict(form="conv1", size=4, filter_size=3, stride=2, border_mode=border),
    )
    w, b = (p.get_value() for p in net.layers[1].params)
    assert w.shape == (4, 2, 1, 3)
    expected = true_convolution(x[:, None], w, b, (1, 2), (1, 1), ((0, 0), mode))[:, 0]
    np.testing.assert_allclose(net.predict(x), expected, atol=1e-12)
    assert net.layers[1].output_shape == ((expected.shape[1] if known else None), 4)


def test_weights_are_drawn_for_what_filters_see(rng):
    net = regressor((20, 20, 8), dict(form="conv2", size=300, filter_size=5))
    w = net.find("out.w").get_value()
    assert w.std() == pytest.approx((2 / (308 * 25)) ** 0.5, rel=0.02)
    net = regressor((9, 9, 1), dict(form="conv2", size=3, filter_size=2, std=0, mean=0.25))
    assert (net.find("out.w").get_value() == 0.25).all()


def test_transposed_turns_a_convolution_around(rng):
    """<conv(x), y> = <x, transposed(y)> for the same filters, turned around."""
    for border, stride, dilation in (("valid", 2, 1), ("same", (2, 3), 1), (1, 2, (2, 1))):
        common = dict(filter_size=(3, 2), stride=stride, dilation=dilation, border_mode=border)
        shape = (8, 9, 3) if border == "same" else (9, 9, 3)
        forward = regressor(shape, dict(form="conv2", size=4, **common))
        middle = forward.layers[1].output_shape
        back = regressor(middle, dict(form="conv2_transposed", size=3, **common))
        w = forward.find("out.w").get_value()
        back.find("out.w").set_value(w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))
        y = rng.normal(size=(2, *middle))
        spread = back.predict(y)
        # Of several lengths that a strided convolution shortens to the same, the least.
        smaller = tuple(slice(n) for n in spread.shape[1:3])
        x = np.zeros((2, *shape))
        x[:, *smaller] = rng.normal(size=x[:, *smaller].shape)
        assert back.layers[1].output_shape == spread.shape[1:]
        np.testing.assert_allclose(
            (forward.predict(x) * y).sum(), (x[:, *smaller] * spread).sum(), rtol=1e-9
        )


@pytest.mark.parametrize("known", [True, False])
def test_transposed_of_stride_1_is_a_full_convolution(known, rng):
    x = rng.normal(size=(2, 6, 3))
    shape = dict(shape=(6 if known else None, 3))
    full = regressor(shape, dict(form="conv1", size=4, filter_size=3, border_mode="full"))
    spread = regressor(shape, dict(form="conv1_transposed", size=4, filter_size=3))
    spread.find("out.w").set_value(full.find("out.w").get_value())
    np.testing.assert_allclose(spread.predict(x), full.predict(x), atol=1e-12)
    assert spread.layers[1].output_shape == (8 if known else None, 4)


@pytest.mark.parametrize("mode", ["max", "mean", "sum"])
@pytest.mark.parametrize(
    "size, stride, padding, window",
    [
        (2, None, 0, Window((2, 2), (2, 2))),
        ((3, 2), (2, 1), (1, (1, 0)), Window((3, 2), (2, 1), (1, 1), (1, 1), (1, 0))),
        (3, 2, "same", Window((3, 3), (2, 2), (1, 1), (-1, -1), (-1, -1))),
        ("global", None, 0, Window((0, 0))),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_pool2(mode, size, stride, padding, window, known, rng):
    x = rng.normal(size=(2, 7, 6, 3))
    net = regressor(
        dict(shape=x.shape[1:] if known else (None, None, 3)),
        dict(form="pool2", pool_size=size, stride=stride, padding=padding, mode=mode),
    )
    expected = pooled(x, x, window, mode)
    if mode == "mean":
        expected /= pooled(x, np.ones_like(x), window, "sum")
    if size == "global":
        expected = expected[:, 0, 0]
    np.testing.assert_allclose(net.predict(x), expected)
    length = net.layers[1].output_shape
    unknown = (3,) if size == "global" else (None, None, 3)
    assert length == (expected.shape[1:] if known else unknown)


@pytest.mark.parametrize("mode", ["max", "mean"])
def test_pool1(mode, rng):
    x = rng.normal(size=(2, 8, 3))
    net = regressor((8, 3), dict(form="pool1", pool_size=3, stride=2, mode=mode))
    expected = [getattr(np, mode)(x[:, i : i + 3], axis=1) for i in (0, 2, 4)]
    np.testing.assert_allclose(net.predict(x), np.stack(expected, axis=1))
    net = regressor((8, 3), dict(form="pool1", pool_size="global", mode=mode))
    np.testing.assert_allclose(net.predict(x), getattr(np, mode)(x, axis=1))


@pytest.mark.parametrize("known", [True, False])
def test_upsampling(known, rng):
    x = rng.normal(size=(2, 3, 4, 2))
    net = regressor(
        dict(shape=(3, 4, 2) if known else (None, None, 2)), dict(form="upsample2", factor=(2, 3))
    )
    np.testing.assert_array_equal(net.predict(x), x.repeat(2, axis=1).repeat(3, axis=2))
    assert net.layers[1].output_shape == ((6, 12, 2) if known else (None, None, 2))
    net = regressor((4, 2), "upsample1")
    np.testing.assert_array_equal(net.predict(x[:, 0]), x[:, 0].repeat(2, axis=1))


@pytest.mark.parametrize(
    "shape, layer, message",
    [
        ((8, 8, 1), dict(form="conv2", size=4), "needs a filter_size"),
        ((8, 8, 1), dict(form="conv2", filter_size=3), "needs a size"),
        ((8, 1), dict(form="conv2", size=4, filter_size=3), r"\(width, height, channels\)"),
        ((8, 8, 1), dict(form="conv1", size=4, filter_size=3), r"\(time, channels\)"),
        (
            (8, 3, 1),
            dict(form="conv2", size=4, filter_size=3, dilation=2),
            r"'out': \(3 \+ 0 \+ 0 - 5\) // 1 \+ 1 = -1 positions of a filter of 5 = "
            r"\(3 - 1\) \* 2 \+ 1 entries along the height of 'in:out'",
        ),
        ((8, 8, 1), dict(form="conv2", size=4, filter_size=0), "filter_size=0 is not an integer"),
        ((8, 8, 1), dict(form="conv2", size=4, filter_size=(3, 3, 3)), "tuple of 2"),
        ((8, 8, 1), dict(form="conv2", size=4, filter_size=2.5), "filter_size=2.5"),
        ((8, 8, 1), dict(form="conv2", size=4, filter_size=3, stride=0), "stride=0"),
        (
            (8, 8, 1),
            dict(form="conv2", size=4, filter_size=3, border_mode="sane"),
            "border_mode='sane' is not one of 'valid', .*did you mean 'same'",
        ),
        ((8, 8, 1), dict(form="conv2", size=4, filter_size=3, border_mode=-1), "border_mode=-1"),
        ((8, 8, 1), dict(form="conv2", size=4, filter_size=3, border_mode=(1, 1, 1)), "for each"),
        ((8, 8, 1), dict(form="conv2", shape=(5, 6, 4), filter_size=3), r"makes \(6, 6, 4\)"),
        ((8, 8, None), dict(form="conv2", size=4, filter_size=3), "last axis of its input"),
        (
            (2, 2, 1),
            dict(form="conv2_transposed", size=4, filter_size=3, border_mode=3),
            r"nothing is left of the width of 'in:out': \(2 - 1\) \* 1 \+ 3 - 3 - 3 = -2",
        ),
        ((8, 8, 1), dict(form="pool2", pool_size=0), "pool_size=0"),
        (
            (8, 8, 1),
            dict(form="pool2", pool_size=9),
            r"\(8 \+ 0 \+ 0 - 9\) // 9 \+ 1 = 0 positions of a window of 9 .* the width",
        ),
        ((8, 8, 1), dict(form="pool2", mode="mex"), "mode='mex' .*did you mean 'max'"),
        ((8, 8, 1), dict(form="pool2", padding=2), "padding=2 is not .* less than pool_size=2"),
        ((8, 8, 1), dict(form="pool2", pool_size="globl"), "did you mean 'global'"),
        ((8, 8, 1), dict(form="pool2", pool_size="global", stride=2), "neither a stride"),
        ((8, 8), "pool2", r"\(width, height, channels\)"),
        ((8, 8, 1), dict(form="upsample2", factor=0), "factor=0"),
        # The whole arithmetic, with the stride and both sides of the padding.
        (
            (28, 28, 1),
            dict(form="conv2", size=4, filter_size=40, stride=3, border_mode=((1, 2), 9)),
            r"^layer 'out': \(28 \+ 1 \+ 2 - 40\) // 3 \+ 1 = -2 positions of a filter .* "
            r"the shape is \(28, 28, 1\)$",
        ),
        # What only looks like an integer.
        ((8, 8, 1), dict(form="conv2", size=4, filter_size=True), "filter_size=True is not an"),
        ((8, 8, 1), dict(form="conv2", size=4, filter_size=3, stride=True), "stride=True is not"),
        ((8, 8, 1), dict(form="conv2", size=4, filter_size=3, stride=1.0), r"stride=1\.0 is not"),
        ((8, 8, 1), dict(form="conv2", size=4, filter_size=3, dilation="2"), "dilation='2' is not"),
        ((8, 8, 1), dict(form="conv2", size=4, filter_size=3, border_mode=True), "mode=True is"),
        ((8, 8, 1), dict(form="conv2", size=4.0, filter_size=3), r"4\.0 is neither a size"),
        ((8, 8, 1), dict(form="conv2", size=0, filter_size=3), "size 0 is not positive"),
        ((8, 8, 1), dict(form="pool2", pool_size=2.0), r"pool_size=2\.0 is not an integer"),
        ((8, 8, 1), dict(form="pool2", stride=-1), "stride=-1 is not an integer of at least 1"),
        ((8, 8, 1), dict(form="pool2", padding=False), "padding=False is not 'same'"),
        ((8, 8, 3), dict(form="pool2", size=5), r"given the shape \(5,\), but .* \(4, 4, 3\)"),
        ((8, 8, 1), dict(form="upsample2", factor=True), "factor=True is not an integer"),
        ((8, 8, 1), dict(form="upsample2", shape=(15, 16, 1)), r"it makes \(16, 16, 1\)"),
    ],
)
def test_layers_refuse(shape, layer, message):
    with pytest.raises(ConfigurationError, match=message):
        regressor(shape, layer)


def test_data_of_other_channels_are_refused():
    net = regressor((8, 8, 3), dict(form="conv2", size=4, filter_size=3))
    with pytest.raises(theanets.DataError, match=r"\(2, 8, 8, 1\) .* expected 'in' \(n, 8, 8, 3\)"):
        net.predict(np.zeros((2, 8, 8, 1)))


@pytest.mark.parametrize("length", [7, 8, 9])
def test_what_strides_leave_over_is_not_seen(length, rng):
    """As the shapes say; the last entries change nothing."""
    x = rng.normal(size=(2, length, 6, 1))
    for layer, seen in (
        (dict(form="conv2", size=2, filter_size=2, stride=3), (length - 2) // 3 * 3 + 2),
        (dict(form="pool2", pool_size=3), length // 3 * 3),
        (dict(form="pool2", pool_size=3, padding="valid"), length // 3 * 3),
    ):
        net = regressor(x.shape[1:], layer)
        changed = x.copy()
        changed[:, seen:] += 1
        before, after = net.predict(x), net.predict(changed)
        assert before.shape[1:] == net.layers[1].output_shape
        np.testing.assert_array_equal(before, after)
        changed[:, seen - 1] += 10
        assert (net.predict(changed)[:, -1] != before[:, -1]).any()


def test_lists_are_as_good_as_tuples(rng):
    x = rng.normal(size=(2, 8, 7, 1))
    one = dict(form="conv2", size=2, filter_size=(3, 2), stride=(2, 1), border_mode=((1, 0), 1))
    other = {**one, "filter_size": [3, 2], "stride": [2, 1], "border_mode": [[1, 0], 1]}
    np.testing.assert_array_equal(
        regressor((8, 7, 1), one).predict(x), regressor((8, 7, 1), other).predict(x)
    )


def test_a_longer_transpose(rng):
    """Of less padding behind the image: one entry more, and the others are the same."""
    x = rng.normal(size=(2, 4, 4, 1))
    short, long = (
        dict(form="conv2_transposed", size=2, filter_size=3, stride=2, border_mode=mode)
        for mode in (1, ((1, 0), (1, 0)))
    )
    short, long = (regressor((4, 4, 1), layer).predict(x) for layer in (short, long))
    assert short.shape == (2, 7, 7, 2)
    assert long.shape == (2, 8, 8, 2)
    np.testing.assert_array_equal(short, long[:, :7, :7])


def test_filter_shape_is_deprecated():
    with pytest.warns(DeprecationWarning, match="now filter_size"):
        net = regressor((8, 8, 1), dict(form="conv2", size=4, filter_shape=(3, 3)))
    assert net.layers[1].output_shape == (6, 6, 4)
