"""PyTensor's scan as ONNX's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply
from pytensor.scan.op import Scan
from pytensor.tensor.basic import AllocEmpty
from pytensor.tensor.subtensor import IncSubtensor

from .writer import UnsupportedError, Writer, translate


@translate.register
def _(op: Scan, node: Apply, write: Writer) -> Sequence[str | None]:
    return _Loop(op, node, write).run()


class _Loop:
    """A scan, whose arrays go into ONNX's in another way.

    PyTensor keeps the rows of a state one behind the other, from those before
    the first step on; a step sees some rows before its own. ONNX has the last
    row as a state, and the one before it as another. What is the same in all
    steps is not handed in, since a body sees what is around it.
    """

    def __init__(self, op: Scan, node: Apply, write: Writer) -> None:
        info, inputs, inner = op.info, node.inputs, op.inner_inputs
        self.op, self.write = op, write
        self.steps = write.unsqueeze(write(inputs[0]), 0)
        #: How far back the rows lie that a step sees, for each array of rows.
        self.lags = [[-t for t in taps] for taps in info.mit_sot_in_slices + info.sit_sot_in_slices]
        self.rows = [*op.outer_mitsot(inputs), *op.outer_sitsot(inputs)]
        self.seen = [*op.inner_mitsot_grouped(inner), *([x] for x in op.inner_sitsot(inner))]
        self.alone = op.outer_untraced_sit_sot(inputs)
        if info.as_while:
            raise UnsupportedError("a scan that ends by a condition has no counterpart in ONNX")
        if info.n_mit_mot or any(min(lag) < 1 for lag in self.lags):
            raise UnsupportedError("a scan that looks ahead has no counterpart in ONNX")
        if not all(hasattr(x.type, "dtype") for x in self.alone):
            raise UnsupportedError("a scan that draws random numbers has no counterpart in ONNX")
        self.series = [self._cut(write(x)) for x in op.outer_seqs(inputs)]
        if not self.series:
            zero, one = (write.constant(np.int64(i)) for i in (0, 1))
            self.series = [write.node("Range", zero, write.squeeze(self.steps, 0), one)]
        #: The bodies of all scans are of the same variables, so what these mean is found first.
        around = zip(op.inner_non_seqs(inner), op.outer_non_seqs(inputs), strict=True)
        self.around = {x: write.values[y] if y in write.values else write(y) for x, y in around}

    def _cut(self, series: str) -> str:
        """Get the steps that are run of a series."""
        zero = self.write.integers(0)
        return str(self.write.node("Slice", series, zero, self.steps, zero))

    def _before(self, rows: Any, many: int) -> str:
        """Get the rows before the first step."""
        node = rows.owner
        if node is not None and isinstance(node.op, IncSubtensor):
            empty = node.inputs[0].owner
            if empty is not None and isinstance(empty.op, AllocEmpty):
                rows = node.inputs[1]
        write = self.write
        return str(write.node("Slice", write(rows), write.integers(0), write.integers(many)))

    def run(self) -> list[str]:
        write, op = self.write, self.op
        depths = [max(lag) for lag in self.lags]
        before = [self._before(x, many) for x, many in zip(self.rows, depths, strict=True)]
        states = [
            str(write.node("Gather", rows, write.constant(np.int64(many - back)), axis=0))
            for rows, many in zip(before, depths, strict=True)
            for back in range(1, many + 1)
        ]
        states += [write(x) for x in self.alone]
        outputs = op.inner_outputs
        rows = [*op.inner_mitsot_outs(outputs), *op.inner_sitsot_outs(outputs)]
        kept = op.inner_nitsot_outs(outputs)
        after = op.inner_untraced_sit_sot_outs(outputs)
        own = [write.fresh("within") for _ in (*states, *self.series)]
        write.types.update(
            zip(own, (write.types[name] for name in (*states, *self.series)), strict=True)
        )

        def make(body: Writer) -> list[str]:
            for variable, meaning in self.around.items():
                body.bind(variable, meaning)
            left = list(own)
            moved: list[tuple[int, list[str]]] = []
            for i, (variables, lag, many) in enumerate(
                zip(self.seen, self.lags, depths, strict=True)
            ):
                mine, left = left[:many], left[many:]
                moved.append((i, mine[:-1]))
                for variable, back in zip(variables, lag, strict=True):
                    body.bind(variable, mine[back - 1])
            for variable in (
                *op.inner_untraced_sit_sot(op.inner_inputs),
                *op.inner_seqs(op.inner_inputs),
            ):
                body.bind(variable, left.pop(0))
            names = body.run([*rows, *after, *kept])
            new = [name for i, old in moved for name in (names[i], *old)]
            ends = names[len(rows) : len(rows) + len(after)]
            return [*new, *ends, *names[: len(rows)], *names[len(rows) + len(after) :]]

        body, types = write.body("step", own, make)
        found = write.node(
            "Scan",
            *states,
            *self.series,
            count=len(types),
            dtype=types,
            body=body,
            num_scan_inputs=len(self.series),
        )
        found = [found] if len(types) == 1 else found
        final, traces = found[: len(states)], found[len(states) :]
        whole = [
            str(write.node("Concat", first, trace, axis=0))
            for first, trace in zip(before, traces[: len(rows)], strict=True)
        ]
        return [*whole, *traces[len(rows) :], *final[len(states) - len(self.alone) :]]
