"""Attention as an Op, and its derivative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, pullback
from pytensor.graph.basic import Apply

from ...expressions import Expression
from ..base import Array, KernelOp, connected, copied
from . import arrays, expressions

#: Which inputs change smoothly: queries, keys, values and biases.
SMOOTH = (0, 1, 2, 5)
#: How many inputs attention has.
OWN = 8

NUMPY = arrays.Library(
    xp=np,
    axes=lambda x, order: x.transpose(order),
    largest=lambda x: x.max(axis=-1, keepdims=True, initial=arrays.LOWEST),
    number=lambda value, like: like.dtype.type(value),
    integers=lambda n, like: np.arange(n, dtype=np.int64),
)


class Attend(KernelOp):
    r"""Sums of values, weighted by how well their keys fit queries.

    .. math:: y_i = \sum_j \mathrm{softmax}_j(\frac{q_i k_j}{\sqrt{d}} + b_{j - i}) v_j

    for each example and head, where j - i is the distance of a key from the place of the query
    among the keys. Where a query attends to no key, its sum is 0.

    Inputs are ``q`` (batch, queries, heads, d), ``k`` (batch, keys, groups, d) and ``v``
    (batch, keys, groups, e), of one type of floats, where as many heads, one after the other,
    share a key as there are of them for each group; further

    - ``ranges`` (batch, 2) of int64: how many queries and how many keys there are, the first
      ones;
    - ``reach`` (2,) of int64: how many keys before its own place a query attends to, and how
      many behind it;
    - ``bias`` (heads, n): of each distance j - i, counted from the middle column, or from the
      last one where nothing behind a query is attended to; what is further away has the bias
      of the first or the last column. (0, 0) for none;
    - ``noise`` (3,) of int64: two seeds, from 0 to 2**32 - 1, and how many of 2**32 weights are
      set to 0, while the others grow so that the expected value stays the same;
    - ``places`` (batch,) or (1,) of int64: of the first query among the keys. Those that follow
      have the places that follow.

    Outputs are the sums (batch, queries, heads, e), and the log of the sum of the exponentials
    of each query's scores (batch, heads, queries), 0 where there are none.

    References
    ----------
    Vaswani et al. 2017, "Attention is all you need". Ainslie et al. 2023, "GQA", for groups.
    Dao et al. 2022, "FlashAttention", for the derivative from the logs alone.
    """

    __props__ = ()

    def make_node(self, *inputs: Expression) -> Apply:
        variables = _inputs(inputs)
        shapes = self.output_shapes(*(x.type.shape for x in variables))
        return Apply(
            self, variables, [pt.tensor(dtype=variables[0].dtype, shape=shape) for shape in shapes]
        )

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        batch, queries, heads, _ = shapes[0]
        return [(batch, queries, heads, shapes[2][3]), (batch, heads, queries)]

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        check(*inputs[:OWN])
        q, v = inputs[0], inputs[2]
        out = np.zeros((*q.shape[:3], v.shape[3]), q.dtype)
        logs = np.zeros((q.shape[0], q.shape[2], q.shape[1]), q.dtype)
        # Scores of one example at a time.
        for b, parts in _examples(inputs):
            out[b], logs[b] = (x[0] for x in arrays.forward(*parts, start=b, **_options(inputs)))
        storage[0][0], storage[1][0] = out, logs

    def kernel(self) -> tuple[Any, str | None]:
        from . import by_numba

        return by_numba.kernel(by_numba.attend)

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[i in SMOOTH] * 2 for i in range(OWN)]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        g_out, g_logs = map(connected, cotangents)
        parts = []
        if g_out is not None:
            arriving = g_out.astype(inputs[0].dtype)
            parts.append(attend_gradient(*inputs, outputs[1], outputs[0], arriving))
        if g_logs is not None:
            # Nothing of ours asks for it.
            smooth = [inputs[i] for i in SMOOTH]
            options = {"disconnected_inputs": "ignore", "return_disconnected": "zero"}
            logs = expressions.attended(*inputs)[1]
            parts.append(pullback([logs], smooth, [g_logs.astype(logs.dtype)], **options))
        grads = [sum(found[1:], found[0]) for found in zip(*parts, strict=True)]
        return [grads[SMOOTH.index(i)] if i in SMOOTH else DisconnectedType()() for i in range(OWN)]


class AttendGradient(KernelOp):
    """The derivative of `Attend`.

    Inputs are its own, its outputs in the opposite order, and the cotangent of the sums.
    Outputs are the gradients with respect to ``q``, ``k``, ``v`` and ``bias``. Its own
    derivative takes it as a function of the inputs and the cotangent alone, by an expression
    of PyTensor's operations.
    """

    __props__ = ()

    def make_node(self, *inputs: Expression) -> Apply:
        variables = _inputs(inputs)
        return Apply(self, variables, [variables[i].type() for i in SMOOTH])

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        return [shapes[i] for i in SMOOTH]

    def perform(self, node: Apply, inputs: Sequence[Array], storage: list[list[Any]]) -> None:
        check(*inputs[:OWN])
        found = [np.zeros(inputs[i].shape, inputs[0].dtype) for i in SMOOTH]
        options = {**_options(inputs), "add": _add}
        for b, parts in _examples(inputs):
            *grads, d_bias = arrays.backward(*parts, start=b, **options)
            for total, grad in zip(found, grads, strict=False):
                total[b] = grad[0]
            found[3] += d_bias
        for place, value in zip(storage, found, strict=True):
            place[0] = value

    def kernel(self) -> tuple[Any, str | None]:
        from . import by_numba

        return by_numba.kernel(by_numba.attend_gradient)

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        many = len(node.inputs)
        return [[i in SMOOTH or i == many - 1] * len(SMOOTH) for i in range(many)]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        # <g, J' a> = <J g, a>: the gradient of it with respect to all that J and a depend on.
        own = [copied(x) if i in SMOOTH else x for i, x in enumerate(inputs[:OWN])]
        arriving = copied(inputs[-1])
        smooth = [own[i] for i in SMOOTH]
        options = {"disconnected_inputs": "ignore", "return_disconnected": "zero"}
        grads = pullback([expressions.attended(*own)[0]], smooth, [arriving], **options)
        pairs = [
            (x, g.astype(x.dtype))
            for x, g in zip(grads, map(connected, cotangents), strict=True)
            if g is not None
        ]
        targets = [*smooth, arriving]
        found = pullback([x for x, _ in pairs], targets, [g for _, g in pairs], **options)
        results = [DisconnectedType()() for _ in inputs]
        for i, grad in zip((*SMOOTH, len(inputs) - 1), found, strict=True):
            results[i] = grad
        return results


attend = Attend()
attend_gradient = AttendGradient()


def _inputs(inputs: Sequence[Expression]) -> list[Any]:
    found = [pt.as_tensor(x) for x in inputs]
    names = (
        *("q", "k", "v", "ranges", "reach", "bias", "noise", "places"),
        *("logs", "out", "arriving"),
    )
    ndims = (4, 4, 4, 2, 1, 2, 1, 1, 3, 4, 4)
    if len(found) not in (OWN, len(names)):
        raise TypeError(f"attention of {len(found)} inputs")
    dtype = found[0].dtype
    for i, x in enumerate(found):
        whole = i in (3, 4, 6, 7)
        expected = "int64" if whole else dtype
        if x.ndim != ndims[i] or x.dtype != expected or dtype not in ("float32", "float64"):
            raise TypeError(
                f"{names[i]} {x.type} is not of {ndims[i]} axes and of "
                f"{expected if whole else 'one type of floats'}"
            )
    return found


def _examples(inputs: Sequence[Array]) -> Any:
    """Get the inputs example by example, with their numbers."""
    each = [0, 1, 2, 3, *range(OWN, len(inputs))]
    if len(inputs[7]) > 1:
        each.append(7)
    for b in range(len(inputs[0])):
        yield b, [x[b : b + 1] if i in each else x for i, x in enumerate(inputs)]


def _options(inputs: Sequence[Array]) -> dict[str, Any]:
    # Of one example at a time there is one place.
    found = {"biased": bool(inputs[5].size), "dropping": bool(inputs[6][2])}
    return {"lib": NUMPY, "placed": False, **found}


def _add(bias: Array, columns: Array, changes: Array) -> Array:
    every: Any = (slice(None), columns)
    np.add.at(bias, every, changes)
    return bias


def check(
    q: Array,
    k: Array,
    v: Array,
    ranges: Array,
    reach: Array,
    bias: Array,
    noise: Array,
    places: Array,
) -> None:
    """Refuse arrays that do not fit each other.

    Raises
    ------
    ValueError
        Says which.
    """
    batch, queries, heads, size = q.shape
    keys, groups = k.shape[1:3]
    if k.shape != (batch, keys, groups, size) or v.shape[:3] != k.shape[:3]:
        raise ValueError(
            f"attention: queries of shape {q.shape}, keys of {k.shape} and values of {v.shape} "
            "do not fit"
        )
    if groups < 1 or heads % groups:
        raise ValueError(f"attention: {groups} heads of keys do not divide {heads} of queries")
    if ranges.shape != (batch, 2) or reach.shape != (2,) or places.shape not in ((1,), (batch,)):
        raise ValueError(
            f"attention: ranges of shape {ranges.shape}, reach of {reach.shape}, places of "
            f"{places.shape}"
        )
    if ranges.size and (
        ranges.min() < 0 or ranges[:, 0].max() > queries or ranges[:, 1].max() > keys
    ):
        raise ValueError(
            f"attention: ranges from {ranges.min()} to {ranges.max()} with {queries} queries and "
            f"{keys} keys"
        )
    if bias.size and len(bias) != heads:
        raise ValueError(f"attention: biases of {len(bias)} heads, not of {heads}")
