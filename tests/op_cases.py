"""Operations of ours with arguments, for tests of what all of them must do."""

import numpy as np
import pytensor.tensor as pt

from theanets.ops.attention import Attend
from theanets.ops.sequences import chain, ctc
from theanets.ops.sparse import products as sparse
from theanets.ops.windows import convolution, pooling
from theanets.ops.windows.window import Window

RNG = np.random.default_rng(0)
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]], bool)
SCORES = RNG.normal(size=(4, 4, 3))
CHAIN = [SCORES, RNG.normal(size=(4, 4)), MASK]
LABELS = np.array([[1, 2, 2], [1, -1, -1], [-1, -1, 2], [-1, -1, -1]], "int32")
ALIGNED = [RNG.normal(size=(4, 4, 3)), LABELS, MASK]
WINDOW = Window((2, 3), (2, 1), (1, 2), (1, 1), (0, 2))
IMAGES = RNG.normal(size=(2, 5, 6, 2))
FILTERS = RNG.normal(size=(2, 3, 2, 3))
RESULTS = RNG.normal(size=(2, *WINDOW.positions((5, 6)), 3))
POOLED = RNG.normal(size=(2, *WINDOW.positions((5, 6)), 2))
DIRECTIONS = [RNG.normal(size=(4, 4, 3)) for _ in range(3)]
MOVES = [RNG.normal(size=(4, 4, 4)) for _ in range(3)]
ROWS = [
    np.array([1.5, -0.5, 2, 0.3]),
    np.array([0, 3, 1, 1], "int32"),
    np.array([0, 2, 2, 4], "int32"),
]
#: Two heads of queries for each of keys; a series without keys, and dropout.
ATTENDED = [
    RNG.normal(size=(3, 4, 4, 3)),
    RNG.normal(size=(3, 5, 2, 3)),
    RNG.normal(size=(3, 5, 2, 2)),
    np.array([[4, 5], [3, 4], [4, 0]]),
    np.array([2, 1]),
    RNG.normal(size=(4, 5)),
    np.array([123, 456, 2**30]),
    np.array([1, 0, 2]),
]

#: Ops with arguments, and which of their outputs directions are tried on.
SMOOTH = {
    "Attend": (Attend(), ATTENDED, slice(None)),
    "ForwardBackward": (chain.ForwardBackward(), CHAIN, slice(None)),
    "Alignments": (ctc.Alignments(0), ALIGNED, slice(None)),
    "Tangent of a chain": (
        chain.Tangent(),
        [*CHAIN, DIRECTIONS[0], MOVES[0]],
        slice(None),
    ),
    "Tangent of alignments": (ctc.Tangent(0), [*ALIGNED, DIRECTIONS[0]], slice(None)),
    "HigherChain": (
        chain.HigherChain(2),
        [*CHAIN, DIRECTIONS[0], MOVES[0], DIRECTIONS[1], MOVES[1]],
        slice(None),
    ),
    "HigherAlignments": (
        ctc.HigherAlignments(2, 0),
        [*ALIGNED, *DIRECTIONS[:2]],
        slice(None),
    ),
    "Convolution": (convolution.Convolution(WINDOW), [IMAGES, FILTERS], slice(None)),
    "FilterGradient": (convolution.FilterGradient(WINDOW), [IMAGES, RESULTS], slice(None)),
    "ImageGradient": (convolution.ImageGradient(WINDOW), [FILTERS, RESULTS, 5, 6], slice(None)),
    "MaxPool": (pooling.MaxPool(WINDOW), [IMAGES], slice(None)),
    "MaxGather": (pooling.MaxGather(WINDOW), [IMAGES, IMAGES[::-1]], slice(None)),
    "MaxScatter": (pooling.MaxScatter(WINDOW), [IMAGES, POOLED], slice(None)),
    "SumPool": (pooling.SumPool(WINDOW), [IMAGES], slice(None)),
    "SumSpread": (pooling.SumSpread(WINDOW), [POOLED, 5, 6], slice(None)),
    "Dense": (sparse.Dense(), [*ROWS, 4], slice(None)),
    "Product": (sparse.Product(), [*ROWS, RNG.normal(size=(4, 2))], slice(None)),
    "TransposedProduct": (
        sparse.TransposedProduct(),
        [*ROWS, RNG.normal(size=(3, 2)), 4],
        slice(None),
    ),
}
#: Of integers, or of shapes.
DISCRETE = {
    "Viterbi": (chain.Viterbi(), CHAIN),
    "PathCounts": (chain.PathCounts(), [np.maximum(LABELS[:, [0, 1, 2, 0]], 0), *CHAIN[1:]]),
}


def applied(op, arguments):
    """Get symbols for the arguments, the outputs, and which of both are floats."""
    inputs = [pt.as_tensor(a).type() if isinstance(a, np.ndarray) else a for a in arguments]
    symbols = [i for i in inputs if not isinstance(i, int)]
    values = [np.ascontiguousarray(a) for a in arguments if isinstance(a, np.ndarray)]
    return symbols, values, op(*inputs, return_list=True)


def floats(variables):
    return [i for i, v in enumerate(variables) if v.dtype.startswith("float")]


def cost_of(outputs):
    """A cost that no sum over an output's axes leaves unchanged."""
    rng = np.random.default_rng(1)
    return sum(_projected(out, rng) for out in outputs)


def _projected(out, rng):
    factors = [pt.as_tensor(rng.normal(size=7))[pt.arange(n) % 7] for n in out.shape]
    shapes = [["x"] * i + [0] + ["x"] * (out.ndim - i - 1) for i in range(out.ndim)]
    return (pt.sin(out) * sum(f.dimshuffle(s) for f, s in zip(factors, shapes))).sum()
