"""The recurrent core: one operator, where ONNX has it, or PyTensor's scan, which `loops` knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.tensor.elemwise import Elemwise

from ..ops.recurrent import RecurrentForward
from ..ops.recurrent.arrays import Library, Step
from ..ops.recurrent.scalars import OPERATIONS
from .gates import native
from .writer import Writer, translate


@translate.register
def _(op: RecurrentForward, node: Apply, write: Writer) -> Sequence[str | None]:
    used = [output in write.used for output in node.outputs]
    single = native(op, node.inputs, used, write)
    if single is not None:
        return single
    found = iter(write.run(scanned(op, node.inputs, used)))
    return [next(found) if yes else None for yes in used]


def _operations() -> dict[str, Any]:
    """Get what does the operations of cells, by their names."""
    known = {type(f.scalar_op).__name__: f for f in vars(pt).values() if isinstance(f, Elemwise)}
    found = {row.name: known[row.scalar_op] for row in OPERATIONS.values() if row.scalar_op}
    found["rowsum"] = lambda x: x.sum(axis=-1, keepdims=True)
    found["rowmax"] = lambda x: x.max(axis=-1, keepdims=True)
    return found


def _array(value: Any, like: Any) -> Any:
    return pt.as_tensor(value).astype(like.dtype)


def scanned(op: RecurrentForward, inputs: Sequence[Any], used: Sequence[bool]) -> list[Any]:
    """Get the outputs of a recurrence that are used, as expressions."""
    z, lengths = inputs[:2]
    states, vectors, weights, _ = op.split(inputs)
    cell, kept = op.cell, [i for i, yes in enumerate(op.kept) if yes]
    known, found = (
        cell.sizes(
            [f(x) for x in states], [f(x) for x in vectors], [f(x) for x in weights], f(z)[2]
        )
        for f in (lambda x: x.type.shape, lambda x: x.shape)
    )
    sizes = [there if n is None else n for n, there in zip(known, found, strict=True)]
    library = Library(pt, _operations(), _array, pytensor.scan)
    shown = [i for i, yes in zip(kept, used, strict=False) if yes]
    steps, series = pt.arange(z.shape[1]), z.dimshuffle(1, 0, 2)
    if op.reverse:
        steps, series = steps[::-1], series[::-1]

    def step(t: Any, row: Any, *others: Any) -> list[Any]:
        old, (lengths, *params) = others[: len(states)], others[len(states) :]
        mask = (t < lengths)[:, None]
        count = lengths - 1 - t if op.reverse else t + pt.zeros_like(lengths)
        count = count[:, None].astype(op.dtype)
        parts = (list(old), params[: len(vectors)], params[len(vectors) :])
        values = Step(library, cell, sizes, parts, row, count)
        new = [values.full(v, d) for v, d in zip(cell.next, cell.states, strict=True)]
        following = [pt.switch(mask, n, o) for n, o in zip(new, old, strict=True)]
        return following + [pt.switch(mask, values.output(i), 0).astype(op.dtype) for i in shown]

    found = pytensor.scan(
        step,
        sequences=[steps, series],
        outputs_info=[*states, *(None for _ in shown)],
        non_sequences=[lengths, *vectors, *weights],
        return_list=True,
        return_updates=False,
        strict=True,
    )
    traces, rest = found[: len(states)], found[len(states) :]
    results = [(x[::-1] if op.reverse else x).dimshuffle(1, 0, 2) for x in rest]
    for start, trace, yes in zip(states, traces, used[len(kept) :], strict=True):
        if yes:
            results.append(pt.concatenate([start[None], trace])[-1])
    return results
