"""Images of the filters of groups, and of separable convolutions."""

import numpy as np
import pytest

import theanets

pytest.importorskip("matplotlib").use("Agg")
from theanets.plot.images import _images  # noqa: E402

FORMS = {
    "grouped": ("w", dict(form="conv2", size=6, filter_size=(3, 2), groups=2), (6, 2, 3, 2)),
    "depthwise": ("w", dict(form="conv2", size=4, filter_size=3, groups=4), (4, 3, 3)),
    "separable": ("depthwise", dict(form="conv2_separable", size=5, filter_size=3), (4, 3, 3)),
}


@pytest.mark.parametrize("what", FORMS)
def test_filters_are_drawn_as_they_lie_on_images(what):
    key, layer, shape = FORMS[what]
    net = theanets.convolution.Regressor([(6, 6, 4), layer, "flat", 2])
    name = f"hid1.{key}"
    images, _ = _images(net, name, None, False)
    values = net.find(name).get_value()
    assert images.shape == shape
    np.testing.assert_allclose(images.reshape(values.shape), values[:, :, ::-1, ::-1])
    # An entry that is seen at the top left is by what the top left of an image is multiplied.
    w = np.zeros_like(values)
    w[:, :, -1, -1] = 1
    net.find(name).set_value(w)
    assert _images(net, name, None, False)[0].reshape(values.shape)[..., 0, 0].all()
    x = np.zeros((1, 6, 6, 4), "float32")
    x[0, 0, 0] = 1
    made = net.feed_forward(x)["hid1:pre" if what != "separable" else "hid1:out"]
    assert made[0, 0, 0].any() and not made[0, 1:, 1:].any()
    ax = theanets.plot.weights(net, name)
    assert ax.images[0].get_array().shape[0] > 3
