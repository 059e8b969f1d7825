"""Recurrent models: autoencoder, regressor, classifier and predictor of series.

Data are ``(examples, time, variables)``. Series may have any length. Where data
are a list of arrays of different lengths, they are padded, and the lengths and
weights that say which steps exist are added. With ``weighted=True``, steps after
the last one of positive weight do not exist for recurrent layers.

The classes are in `models`; `ragged` pads series, `views` gives a network that
was built without a thought of lengths a place for them, `streams` continues
series from call to call, with `rooms` for what is kept of each step, and
`reading` reads labels without their places in a series.
"""

from __future__ import annotations

from ..data.series import batches, buckets, pad
from ..data.texts import Text
from ..network import Network as Network
from .models import Autoencoder, Classifier, Predictor, Regressor

__all__ = [
    "Autoencoder",
    "Classifier",
    "Predictor",
    "Regressor",
    "Text",
    "batches",
    "buckets",
    "pad",
]
