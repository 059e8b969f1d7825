"""The recurrent core: a series through a cell, step by step, as one operation."""

from .operation import Recurrence, RecurrentBackward, RecurrentForward, recur
from .scan import scan
from .trace import Layout, NotElementwiseError, StepFunction, trace

__all__ = [
    "Layout",
    "NotElementwiseError",
    "Recurrence",
    "RecurrentBackward",
    "RecurrentForward",
    "StepFunction",
    "recur",
    "scan",
    "trace",
]
