"""Attention as an expression of PyTensor's own operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.graph.basic import Constant

from ...expressions import Expression
from . import arrays


def _number(value: Any, like: Any) -> Any:
    if hasattr(value, "type"):
        return value.astype(like.dtype)
    return pt.constant(np.asarray(value, like.dtype))


LIBRARY = arrays.Library(
    xp=pt,
    axes=lambda x, order: x.transpose(*order),
    largest=lambda x: x.max(axis=-1, keepdims=True),
    number=_number,
    constant=disconnected_grad,
    shift=lambda x, by: x // 2**by,
    integers=lambda n, like: pt.arange(n, dtype="int64"),
)


def is_biased(bias: Expression) -> bool:
    """Tell whether there are biases, by the type: (0, 0) for none."""
    return tuple(bias.type.shape) != (0, 0)


def is_dropping(noise: Expression) -> bool:
    """Tell whether weights may be dropped, as far as that is known without data."""
    return not (isinstance(noise, Constant) and noise.data[2] == 0)


def is_placed(places: Expression) -> bool:
    """Tell whether each example has a place of its own, as far as that is known without data."""
    return bool(places.type.shape[0] != 1)


def options_of(inputs: Sequence[Expression]) -> dict[str, bool]:
    """Get what is known of the inputs of `operation.Attend` without data."""
    return {
        "biased": is_biased(inputs[5]),
        "dropping": is_dropping(inputs[6]),
        "placed": is_placed(inputs[7]),
    }


def attended(*inputs: Expression) -> tuple[Expression, Expression]:
    """Get what `operation.Attend` gives; of the same inputs."""
    return arrays.forward(*inputs, lib=LIBRARY, **options_of(inputs))


def attention_weights(
    q: Expression,
    k: Expression,
    ranges: Expression,
    reach: Expression,
    bias: Expression,
    places: Expression,
) -> Expression:
    """Get the weights (batch, heads, queries, keys); arguments are those of `operation.Attend`."""
    options = {"biased": is_biased(bias), "placed": is_placed(places)}
    return arrays.weights(q, k, ranges, reach, bias, places, LIBRARY, **options)[0]
