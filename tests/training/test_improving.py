"""What an improvement is, for patience, callbacks and schedules alike."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theanets.monitors import improves
from theanets.training.limits import Limits

figures = st.floats(allow_nan=True, allow_infinity=True, width=32)


@pytest.mark.parametrize(
    ("figure", "last", "fraction", "expected"),
    [
        (1.0, 2.0, 0.0, True),
        (2.0, 2.0, 0.0, False),
        (1.5, 2.0, 0.25, False),
        (1.499, 2.0, 0.25, True),
        (-2.4, -2.0, 0.25, False),
        (-2.6, -2.0, 0.25, True),
        (5.0, math.inf, 0.5, True),
        (5.0, math.nan, 0.5, True),
        (math.inf, math.inf, 0.0, False),
        (-math.inf, 1.0, 0.0, False),
        (math.nan, 1.0, 0.0, False),
    ],
)
def test_by_hand(figure, last, fraction, expected):
    assert improves(figure, last, fraction) is expected


@given(figures, figures, st.floats(0, 2), st.floats(0, 2))
def test_what_improves_by_more_improves_by_less(figure, last, more, less):
    more, less = max(more, less), min(more, less)
    assert improves(figure, last, less) or not improves(figure, last, more)
    if math.isfinite(last):
        assert not (improves(figure, last) and improves(last, figure))
    assert math.isfinite(figure) or not improves(figure, last, less)


def test_infinity_is_no_limit():
    for infinite in (math.inf, np.float32("inf")):
        limits = Limits(epochs=infinite, max_updates=infinite, patience=infinite)
        assert limits.epochs is limits.max_updates is limits.patience is None
