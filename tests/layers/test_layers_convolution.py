"""Convolution, pooling and upsampling against loops in NumPy; gradients; shapes; linkers."""

import io
import itertools

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets
from theanets import convolution
from theanets.errors import ConfigurationError
from theanets.ops.windows import pooling
from theanets.ops.windows.convolution import Convolution, FilterGradient, ImageGradient
from theanets.ops.windows.window import Window

WINDOWS = [
    Window((2, 3)),
    Window((3, 2), (2, 1), (1, 2), (1, 0), (2, 1)),
    Window((3, 3), (2, 3), (1, 1), (-1, -1), (-1, -1)),
    Window((1, 4), (1, 2), (1, 2), (0, -1), (0, -1)),
]


def images(x_shape=(None,) * 4, name=None):
    return pt.tensor(name=name, dtype="float64", shape=x_shape)


def padded(n, size, stride, dilation, mode):
    """Get the padding in front and the number of positions of an axis, by counting."""
    extent = (size - 1) * dilation + 1
    if mode == "same":
        count = -(-n // stride)
        front = max((count - 1) * stride + extent - n, 0) // 2
        return front, count
    front, behind = mode
    starts = range(-front, n + behind - extent + 1, stride)
    return front, len(starts)


def window_places(shape, window):
    """Generate position i, j and the places of its entries: (a, c, row, column)."""
    sides = []
    for n, k, s, d, low, high in zip(shape, *window, strict=True):
        if k == 0:
            sides.append([[(a, a) for a in range(n)]])
            continue
        front, count = padded(n, k, s, d, "same" if low < 0 else (low, high))
        sides.append([[(a, i * s + a * d - front) for a in range(k)] for i in range(count)])
    for (i, rows), (j, columns) in itertools.product(enumerate(sides[0]), enumerate(sides[1])):
        places = [
            (a, c, p, q)
            for (a, p), (c, q) in itertools.product(rows, columns)
            if 0 <= p < shape[0] and 0 <= q < shape[1]
        ]
        yield i, j, places


def result_shape(x, window):
    last = list(window_places(x.shape[1:3], window))[-1]
    return len(x), last[0] + 1, last[1] + 1


def correlate(x, filters, window):
    y = np.zeros((*result_shape(x, window), filters.shape[3]))
    for i, j, places in window_places(x.shape[1:3], window):
        for a, c, p, q in places:
            y[:, i, j] += x[:, p, q] @ filters[a, c]
    return y


def pooled(x, values, window, kind):
    """Pool the values; for 'max' those at the first largest entries of x."""
    y = np.zeros((*result_shape(x, window), x.shape[3]))
    for i, j, places in window_places(x.shape[1:3], window):
        for b, m in itertools.product(range(len(x)), range(x.shape[3])):
            here = [(x[b, p, q, m], values[b, p, q, m]) for _, _, p, q in places]
            if kind == "max":
                numbers = [v for v, _ in here]
                nans = [n for n, v in enumerate(numbers) if np.isnan(v)]
                y[b, i, j, m] = here[nans[0] if nans else numbers.index(max(numbers))][1]
            else:
                y[b, i, j, m] = sum(v for _, v in here)
    return y


# ---- the Ops ---------------------------------------------------------------------


def check_convolution(window, channels, rng, mode=None, second_order=True):
    """Check an Op and its derivatives of first, and second, order on a linker."""
    x = rng.normal(size=(3, 7, 9, channels))
    f = rng.normal(size=(*window.size, channels, 2))
    expected = correlate(x, f, window)
    g = rng.normal(size=expected.shape)
    sx, sf = images(), images((*window.size, None, None))
    y = Convolution(window)(sx, sf)
    first = pytensor.grad((y * g).sum(), [sx, sf])
    y, dx, df = pytensor.function([sx, sf], [y, *first], mode=mode)(x, f)
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9)
    # Linear in each, so that the gradient along a direction is the difference.
    for gradient, of in (
        (dx, lambda d: correlate(d, f, window)),
        (df, lambda d: correlate(x, d, window)),
    ):
        d = rng.normal(size=gradient.shape)
        np.testing.assert_allclose((gradient * d).sum(), (of(d) * g).sum(), rtol=1e-9)
    if not second_order:
        return
    y = Convolution(window)(sx, sf)
    cubed = pytensor.grad((y**3).sum(), [sx, sf])
    bent = sum(pt.sqr(v).sum() for v in cubed)
    second = pytensor.grad(bent, [sx, sf])
    shapes = [v.shape for v in (y, *first)]
    compiled = pytensor.function([sx, sf], [*second, bent, *shapes], mode=mode)
    hx, hf, _, *shapes = compiled(x, f)
    assert [tuple(s) for s in shapes] == [expected.shape, x.shape, f.shape]
    e = 1e-6
    for i, (value, gradient) in enumerate(((x, hx), (f, hf))):
        d = rng.normal(size=value.shape)
        ahead, back = ([v + s * e * d if v is value else v for v in (x, f)] for s in (1, -1))
        slope = (compiled(*ahead)[2] - compiled(*back)[2]) / (2 * e)
        np.testing.assert_allclose((gradient * d).sum(), slope, rtol=1e-6, err_msg=str(i))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("window", WINDOWS)
def test_convolution_op(window, channels, rng):
    check_convolution(window, channels, rng)


@pytest.mark.linker
@pytest.mark.parametrize("mode, channels", [("NUMBA", 1), ("NUMBA", 2), ("CVM", 2)])
def test_convolution_op_on_linkers(mode, channels, rng):
    check_convolution(WINDOWS[1], channels, rng, mode, second_order=False)


def test_many_blocks(monkeypatch, rng):
    monkeypatch.setattr("theanets.ops.windows.window.BLOCK", 100)
    monkeypatch.setattr("theanets.ops.windows.window.ROWS", 1)
    check_convolution(WINDOWS[1], 3, rng)


def check_pooling(window, rng, mode=None):
    x = rng.integers(0, 3, size=(3, 7, 8, 3)).astype(float)
    x[0, 0, 0, 0] = np.nan
    x[1, 2:4] = -np.inf
    v = rng.normal(size=x.shape)
    sx, sv = images(), images()
    largest, total = pooling.MaxPool(window)(sx), pooling.SumPool(window)(sv)
    picked = pooling.MaxGather(window)(sx, sv)
    g = rng.normal(size=(*result_shape(x, window), 3))
    grads = [
        pytensor.grad((largest * g).sum(), sx),
        pytensor.grad((total * g).sum(), sv),
        pytensor.grad((picked * g).sum(), sv),
    ]
    # The gradient of a gradient: of the sum of squares of what is spread.
    sg = images()
    for op, args in (
        (pooling.MaxScatter(window), (sx, sg)),
        (pooling.SumSpread(window), (sg, sx.shape[1], sx.shape[2])),
    ):
        spread = op(*args)
        grads += [spread, pytensor.grad((spread * sv).sum(), sg)]
    compiled = pytensor.function([sx, sv, sg], [largest, total, picked, *grads], mode=mode)
    largest, total, picked, dx, dv, dp, scattered, gathered, spread, summed = compiled(x, v, g)
    np.testing.assert_array_equal(largest, pooled(x, x, window, "max"))
    np.testing.assert_allclose(total, pooled(v, v, window, "sum"))
    np.testing.assert_array_equal(picked, pooled(x, v, window, "max"))
    np.testing.assert_array_equal(gathered, picked)
    np.testing.assert_allclose(summed, total)
    d = rng.normal(size=x.shape)
    by_max, by_sum = ((pooled(x, d, window, k) * g).sum() for k in ("max", "sum"))
    for gradient in (dx, dp, scattered):
        np.testing.assert_allclose((gradient * d).sum(), by_max)
    for gradient in (dv, spread):
        np.testing.assert_allclose((gradient * d).sum(), by_sum)


POOLS = [Window((2, 2), (2, 2)), *WINDOWS[1:3], Window((0, 0))]


@pytest.mark.parametrize("window", POOLS)
def test_pooling_ops(window, rng):
    check_pooling(window, rng)


@pytest.mark.linker
def test_pooling_ops_on_numba(rng):
    check_pooling(WINDOWS[1], rng, "NUMBA")


@pytest.mark.parametrize(
    "op, shapes, message",
    [
        (Convolution(Window((3, 3))), [(1, 2, 5, 1), (3, 3, 1, 1)], "does not fit"),
        (Convolution(Window((3, 3))), [(1, 5, 5, 2), (3, 3, 1, 1)], "2 channels"),
        (FilterGradient(Window((3, 3))), [(1, 5, 5, 2), (1, 2, 3, 1)], "do not have the shape"),
        (pooling.MaxPool(Window((3, 3))), [(1, 2, 5, 1)], "does not fit"),
        (pooling.MaxScatter(Window((2, 2))), [(1, 5, 5, 2), (1, 3, 3, 2)], "does not have"),
    ],
)
def test_ops_refuse_at_run_time(op, shapes, message):
    inputs = [images() for _ in shapes]
    compiled = pytensor.function(inputs, op(*inputs))
    with pytest.raises(ValueError, match=message):
        compiled(*(np.zeros(shape) for shape in shapes))


def test_ops_refuse_types():
    with pytest.raises(TypeError, match="4 axes"):
        Convolution(Window((3, 3)))(pt.matrix(), images())
    with pytest.raises(TypeError, match="3 channels; the filters need 2"):
        Convolution(Window((3, 3)))(images((None, 8, 8, 3)), images((3, 3, 2, 1)))
    with pytest.raises(TypeError, match="do not have the size"):
        ImageGradient(Window((3, 3)))(images((3, 2, 2, 1)), images(), 8, 8)


# ---- layers ----------------------------------------------------------------------


def regressor(*layers, **kwargs):
    return theanets.Regressor(list(layers), dtype="float64", **{"rng": 13, **kwargs})


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


NETWORKS = {
    "conv2": ((7, 6, 2), dict(form="conv2", size=3, filter_size=(3, 2), stride=(2, 1))),
    "conv2 same": ((7, 6, 1), dict(form="conv2", size=3, filter_size=3, border_mode="same")),
    "conv1": ((9, 2), dict(form="conv1", size=3, filter_size=3, dilation=2)),
    "conv2_transposed": ((3, 4, 2), dict(form="conv2_transposed", size=3, filter_size=3, stride=2)),
    "conv1_transposed": ((5, 2), dict(form="deconv1", size=3, filter_size=3)),
    "pool2": ((6, 6, 2), dict(form="pool2", pool_size=3, stride=2)),
    "pool2 mean": ((6, 6, 2), dict(form="pool2", mode="mean", padding="same", pool_size=4)),
    "pool1": ((6, 2), "pool1"),
    "global": ((6, 6, 2), dict(form="pool2", pool_size="global")),
    "upsample2": ((3, 2, 2), dict(form="upsample2", factor=(1, 3))),
    "upsample1": ((3, 2), "upsample1"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_files_and_training(name, rng):
    """The gradient through a layer is that of finite differences; it is saved and trained on."""
    shape, layer = NETWORKS[name]
    # In front, so that the gradient flows through the layer.
    net = regressor(
        shape, (shape[-1], "ff", "tanh"), layer, *([] if name == "global" else ["flat"]), 2
    )
    x, y = rng.normal(size=(4, *shape)), rng.normal(size=(4, 2))
    loss = net.loss()
    value = pytensor.function(net.variables, [loss, *pytensor.grad(loss, net.params)])
    _, *gradients = value(x, y)
    for param, gradient in zip(net.params, gradients):
        before = param.get_value()
        d = rng.normal(size=before.shape)
        param.set_value(before + 1e-6 * d)
        ahead = value(x, y)[0]
        param.set_value(before - 1e-6 * d)
        slope = (ahead - value(x, y)[0]) / 2e-6
        param.set_value(before)
        np.testing.assert_allclose((gradient * d).sum(), slope, rtol=1e-6, atol=1e-8)
    before = net.evaluate([x, y])["loss"]
    net.train([x, y], epochs=2, learning_rate=0.01)
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    again = theanets.Regressor.load(file)
    np.testing.assert_array_equal(again.predict(x), net.predict(x))
    again.train([x, y], epochs=2, learning_rate=0.01)
    assert again.evaluate([x, y])["loss"] < net.evaluate([x, y])["loss"] < before


# ---- models ----------------------------------------------------------------------


def test_models(rng):
    net = convolution.Regressor([1, dict(form="conv2", size=2, filter_size=3)])
    assert net.layers[0].output_shape == (None, None, 1)
    assert [v.ndim for v in net.variables] == [4, 4]
    for width in (5, 8):
        x = rng.normal(size=(3, width, 6, 1))
        assert net.predict(x).shape == (3, width - 2, 4, 2)
    net.train([x, rng.normal(size=(3, 6, 4, 2))], epochs=1)

    small = dict(form="conv2", size=2, filter_size=3, name="code")
    large = dict(form="conv2_transposed", size=1, filter_size=3, name="out")
    net = convolution.Autoencoder([(6, 6, 1), small, large])
    x = rng.normal(size=(4, 6, 6, 1))
    net.train([x], epochs=1)
    assert net.encode(x, "code").shape == (4, 4, 4, 2)
    np.testing.assert_allclose(net.decode(net.encode(x, "code"), "code"), net.predict(x), rtol=1e-5)

    # A class for each pixel.
    net = convolution.Classifier([(6, 6, 1), dict(form="conv2", size=3, filter_size=3)])
    y = rng.integers(0, 3, size=(4, 4, 4))
    net.train([x, y], epochs=1)
    assert net.predict(x).shape == y.shape
    np.testing.assert_allclose(net.predict_proba(x).sum(axis=-1), 1, rtol=1e-5)
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    again = convolution.Classifier.load(file)
    assert type(again) is convolution.Classifier
    np.testing.assert_array_equal(again.predict(x), net.predict(x))


def test_learns_digits():
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))[:600]
    x, y = (digits.images[order] / 16)[..., None], digits.target[order]
    net = convolution.Classifier(
        [(8, 8, 1), dict(form="conv2", size=16, filter_size=3), "pool2", "flat", 10]
    )
    net.train([x[:400], y[:400]], epochs=8, learning_rate=0.01)
    assert net.score(x[400:], y[400:]) > 0.85


@pytest.mark.linker
def test_linkers_agree(rng):
    layers = [
        (9, 8, 1),
        dict(form="conv2", size=3, filter_size=3, border_mode="same"),
        "pool2",
        dict(form="conv2", size=4, filter_size=2, stride=2),
        dict(form="pool2", mode="mean", pool_size="global"),
        2,
    ]
    x, y = rng.normal(size=(6, 9, 8, 1)), rng.integers(0, 2, 6).astype("int32")
    net = convolution.Classifier(layers, dtype="float64")
    loss = net.loss()
    results = [loss, *pytensor.grad(loss, net.params)]
    # One function: compiling takes its time.
    found = [
        pytensor.function(net.variables, results, mode=mode)(x, y)
        for mode in ("FAST_COMPILE", "NUMBA")
    ]
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.linker
@pytest.mark.filterwarnings("ignore:Skipping `*Assert:UserWarning")
def test_jax(rng):
    pytest.importorskip("jax")
    layers = [
        (9, 8, 1),
        dict(form="conv2", size=3, filter_size=3, border_mode="same"),
        "pool2",
        dict(form="conv2_transposed", size=4, filter_size=2, stride=2),
        dict(form="pool2", mode="mean", pool_size=3, padding="same", stride=1),
        dict(form="upsample2", factor=2),
        dict(form="pool2", mode="sum", pool_size="global"),
        2,
    ]
    x, y = rng.normal(size=(6, 9, 8, 1)), rng.integers(0, 2, 6)
    found = []
    for mode in ("FAST_COMPILE", "JAX"):
        net = convolution.Classifier(layers, rng=13, dtype="float64", mode=mode)
        net.train([x, y], epochs=2, algo="sgd", learning_rate=0.01)
        found.append(net.predict_proba(x))
    np.testing.assert_allclose(*found, rtol=1e-9)
    x = rng.integers(0, 3, size=(3, 7, 8, 3)).astype(float)
    x[1, 2:4] = -np.inf
    v = rng.normal(size=x.shape)
    sx, sv = images(x.shape), images(x.shape)
    picked = pooling.MaxGather(WINDOWS[2])(sx, sv)
    np.testing.assert_array_equal(
        pytensor.function([sx, sv], picked, mode="JAX")(x, v), pooled(x, v, WINDOWS[2], "max")
    )
