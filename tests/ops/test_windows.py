"""The operations of convolution and pooling against loops over the windows."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from window_cases import pooled, result_shape, window_places

from theanets import convolution
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


def correlate(x, filters, window):
    y = np.zeros((*result_shape(x, window), filters.shape[3]))
    for i, j, places in window_places(x.shape[1:3], window):
        for a, c, p, q in places:
            y[:, i, j] += x[:, p, q] @ filters[a, c]
    return y


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
