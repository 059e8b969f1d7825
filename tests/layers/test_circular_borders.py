"""Padding in a circle, also of series of different lengths."""

import numpy as np

import theanets

OPTIONS = dict(rng=1, dtype="float64", mode="FAST_COMPILE")


def test_images_are_padded_from_their_other_ends(rng):
    layer = dict(form="pad2", padding=((1, 2), (0, 7)), mode="circular", name="pad")
    net = theanets.convolution.Regressor([(4, 3, 2), layer, "flat", 1], **OPTIONS)
    x = rng.normal(size=(2, 4, 3, 2))
    expected = np.pad(x, ((0, 0), (1, 2), (0, 7), (0, 0)), "wrap")
    np.testing.assert_array_equal(net.feed_forward(x)["pad:out"], expected)


def test_each_series_is_a_circle_of_its_own(rng):
    layer = dict(form="pad1", padding=((2, 3),), mode="circular", name="pad")
    net = theanets.recurrent.Regressor([2, layer, 1], **OPTIONS)
    series = [rng.normal(size=(n, 2)) for n in (5, 3, 1)]
    found = net.feed_forward(series, training=True)["pad:out"]
    for x, padded in zip(series, found, strict=True):
        np.testing.assert_array_equal(padded[: len(x) + 5], np.pad(x, ((2, 3), (0, 0)), "wrap"))
        assert not padded[len(x) + 5 :].any()
