"""Convolutional models: autoencoder, regressor, classifier of images.

Data are ``(examples, width, height, channels)``, and an input of shape ``(28,
28, 1)`` is an image of one channel. An input that is given as a size, a number
of channels, takes images of any size. Otherwise these are the models of
`theanets.feedforward`, which series for `conv1` can be used with as well.
"""

from __future__ import annotations

from . import feedforward


class Regressor(feedforward.Regressor):
    """A network that maps images to values; see `theanets.Regressor`."""

    INPUT_NDIM = 4


class Autoencoder(feedforward.Autoencoder):
    """A network that reproduces images; see `theanets.Autoencoder`."""

    INPUT_NDIM = 4


class Classifier(feedforward.Classifier):
    """A network that maps images to one of several classes; see `theanets.Classifier`."""

    INPUT_NDIM = 4
