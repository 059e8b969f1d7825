"""Layers: what a network is made of.

=============  ==========================================================
form           what it does
=============  ==========================================================
`input`        data enters here
`feedforward`  ``g(x @ w + b)``, alias ``ff``
`classifier`   ``softmax(x @ w + b)``, alias ``softmax``
`tied`         ``g(x @ w.T + b)`` with another layer's ``w``
=============  ==========================================================
"""

from __future__ import annotations

from .base import Inputs, Layer
from .feedforward import Classifier, Feedforward, Input, Tied

__all__ = ["Classifier", "Feedforward", "Input", "Inputs", "Layer", "Tied"]
