"""Convolution in groups: each group is a convolution by itself."""

import itertools

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from window_cases import result_shape, window_places

from theanets import backends
from theanets.ops.windows import (
    EACH,
    SAME,
    Convolution,
    FilterGradient,
    ImageGradient,
    Window,
)

WINDOWS = [
    Window((3, 2)),
    Window((3, 2), stride=(2, 1), low=(1, 0), high=(2, 1)),
    Window((2, 3), dilation=(2, 3), stride=(1, 2), low=(SAME, SAME), high=(SAME, SAME)),
]
#: Groups, channels of images, channels of results.
GROUPS = [(2, 4, 6), (3, 3, 6), (EACH, 4, 4)]


def images(shape=(None,) * 4):
    return pt.tensor(dtype="float64", shape=shape)


def correlate(x, filters, window, groups):
    """Sum over windows and over the channels of a group, one by one."""
    count = groups or x.shape[3]
    seen, wide = x.shape[3] // count, filters.shape[3] // count
    y = np.zeros((*result_shape(x, window), filters.shape[3]))
    for i, j, places in window_places(x.shape[1:3], window):
        for (a, c, p, q), n, m in itertools.product(places, range(y.shape[3]), range(seen)):
            y[:, i, j, n] += x[:, p, q, n // wide * seen + m] * filters[a, c, m, n]
    return y


def check(window, groups, channels, wide, rng, mode=None):
    x = rng.normal(size=(2, 6, 7, channels))
    f = rng.normal(size=(*window.size, channels // (groups or channels), wide))
    expected = correlate(x, f, window, groups)
    g = rng.normal(size=expected.shape)
    sx, sf = images(), images()
    y = Convolution(window, groups)(sx, sf)
    first = pytensor.grad((y * g).sum(), [sx, sf])
    shapes = [v.shape for v in (y, *first)]
    y, dx, df, *shapes = pytensor.function([sx, sf], [y, *first, *shapes], mode=mode)(x, f)
    assert [tuple(s) for s in shapes] == [expected.shape, x.shape, f.shape]
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-12)
    # Linear in each, so that the gradient along a direction is the difference.
    for gradient, of in (
        (dx, lambda d: correlate(d, f, window, groups)),
        (df, lambda d: correlate(x, d, window, groups)),
    ):
        d = rng.normal(size=gradient.shape)
        np.testing.assert_allclose((gradient * d).sum(), (of(d) * g).sum(), rtol=1e-9)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("groups", "channels", "wide"), GROUPS)
def test_values_and_gradients(window, groups, channels, wide, rng):
    check(window, groups, channels, wide, rng)


@pytest.mark.parametrize(("groups", "channels", "wide"), GROUPS)
def test_second_derivatives(groups, channels, wide, rng):
    window = WINDOWS[1]
    x = rng.normal(size=(1, 4, 5, channels))
    f = rng.normal(size=(*window.size, channels // (groups or channels), wide))
    sx, sf = images(), images()
    bent = [(Convolution(window, groups)(sx, sf) ** 3).sum()]
    bent += [pt.sqr(v).sum() for v in pytensor.grad(bent[0], [sx, sf])]
    total = sum(bent)
    compiled = pytensor.function([sx, sf], [total, *pytensor.grad(total, [sx, sf])])
    _, *gradients = compiled(x, f)
    for value, gradient in ((x, gradients[0]), (f, gradients[1])):
        d = rng.normal(size=value.shape)
        ahead, back = ([v + s * d if v is value else v for v in (x, f)] for s in (1e-6, -1e-6))
        slope = (compiled(*ahead)[0] - compiled(*back)[0]) / 2e-6
        np.testing.assert_allclose((gradient * d).sum(), slope, rtol=1e-6)


@pytest.mark.linker
@pytest.mark.parametrize(
    ("mode", "case"),
    [
        *(("NUMBA", case) for case in ((0, 2), (2, 1))),
        *(("JAX", case) for case in ((1, 2), (2, 1))),
    ],
)
def test_linkers(mode, case, rng):
    """Some channels in a group, and one in each; with each window."""
    pytest.importorskip(mode.lower())
    (groups, channels, wide), window = GROUPS[case[0]], WINDOWS[case[1]]
    x = rng.normal(size=(2, 6, 7, channels))
    f = rng.normal(size=(*window.size, channels // (groups or channels), wide))
    sx, sf = images((2, 6, 7, channels)), images(f.shape)
    y = Convolution(window, groups)(sx, sf)
    results = [y, *pytensor.grad((y**2).sum(), [sx, sf])]
    found = [backends.function([sx, sf], results, mode=one)(x, f) for one in ("FAST_COMPILE", mode)]
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("mode", ["FAST_COMPILE", pytest.param("NUMBA", marks=pytest.mark.linker)])
def test_channels_that_do_not_fit(mode):
    window = Window((1, 1))
    for op, shapes in (
        (Convolution(window, 2), [(1, 2, 2, 5), (1, 1, 2, 4)]),
        (Convolution(window, EACH), [(1, 2, 2, 5), (1, 1, 1, 4)]),
        (FilterGradient(window, EACH), [(1, 2, 2, 5), (1, 2, 2, 4)]),
        (ImageGradient(window, 2), [(1, 1, 2, 4), (1, 2, 2, 6)]),
    ):
        inputs = [images() for _ in shapes]
        more = [2, 2] if isinstance(op, ImageGradient) else []
        function = backends.function(inputs, op(*inputs, *more), mode=mode)
        with pytest.raises(ValueError, match=r"channels|shape that the images"):
            function(*(np.ones(shape) for shape in shapes))
    with pytest.raises(TypeError, match="5 channels; the filters need 4"):
        Convolution(window, 2)(images((1, 2, 2, 5)), images((1, 1, 2, 4)))
