"""Recurrent models: autoencoder, regressor, classifier and predictor of series.

Data are ``(examples, time, variables)``. Series may have any length, and with
``weighted=True`` different ones in a batch: steps after the last one of positive
weight do not exist for recurrent layers.
"""

from __future__ import annotations

from . import feedforward


class Regressor(feedforward.Regressor):
    """A network that maps series to values, at each step or once.

    Takes what `theanets.Regressor` takes.
    """

    INPUT_NDIM = 3
    OUTPUT_NDIM = 3


class Autoencoder(feedforward.Autoencoder):
    """A network that reproduces series; see `theanets.Autoencoder`."""

    INPUT_NDIM = 3
    OUTPUT_NDIM = 3


class Classifier(feedforward.Classifier):
    """A network that maps series to classes, of each step or of the series.

    Takes what `theanets.Classifier` takes.
    """

    INPUT_NDIM = 3
    OUTPUT_NDIM = 2
