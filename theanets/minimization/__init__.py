"""Minimization: any scalar expression, trained by the loop that trains networks.

`functions` has what users call, `problem` the cost in the place of a network, and `formula`
its expressions in the place of layers.
"""

from __future__ import annotations

from .functions import Minimum, iterminimize, minimize

__all__ = ["Minimum", "iterminimize", "minimize"]
