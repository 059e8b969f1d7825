"""The source of a program of PyTorch: a line for each operation of a graph, see `torch_program`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op
from pytensor.link.pytorch.dispatch import pytorch_funcify
from pytensor.raise_op import CheckAndRaise
from pytensor.scalar.basic import ScalarOp, Switch
from pytensor.tensor.basic import (
    Alloc,
    AllocEmpty,
    ARange,
    MakeVector,
    ScalarFromTensor,
    Split,
    TensorFromScalar,
)
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Dot, Prod
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.shape import Reshape, Shape, Shape_i, SpecifyShape
from pytensor.tensor.subtensor import IncSubtensor, Subtensor, indices_from_subtensor
from pytensor.tensor.type import TensorType

from . import torch_bundles, torch_folds, torch_source
from .torch_bundles import Group, Number, Vectors
from .torch_values import check_axes, check_bias, is_number, is_shape, tensor

#: Where a value is: a tensor, or whatever else PyTorch's functions take; on the host a number,
#: which stands for an array of one entry too, or a tuple of integers.
TENSOR, NUMBER, TUPLE = "tensor", "number", "tuple"

#: Operations that hand on what is on the host as it is.
_SAME = {
    NUMBER: (CheckAndRaise, DimShuffle, ScalarFromTensor, SpecifyShape, TensorFromScalar),
    TUPLE: (CheckAndRaise, SpecifyShape),
}

#: Those whose functions take integers from the host, and from which input on.
_TAKING = {
    AllocEmpty: 0,
    ARange: 0,
    IncSubtensor: 2,
    RandomVariable: 1,
    SpecifyShape: 1,
    Split: 1,
    Subtensor: 1,
}


class Writer:
    """Writes the source of a graph, and what it refers to.

    Parameters
    ----------
    graph : FunctionGraph
    device : torch.device
    """

    def __init__(self, graph: FunctionGraph, device: torch.device) -> None:
        self._graph, self._device = graph, device
        self._clear()

    def _clear(self) -> None:
        self.scope: dict[str, Any] = {"torch": torch, "np": np, "DEVICE": self._device}
        self.scope.update((f.__name__, f) for f in torch_bundles.CALLED)
        self._lines: list[str] = []
        self._names: dict[Any, str] = {}
        self._kinds: dict[Any, str] = {}
        self._python: dict[Any, str] = {}
        self._constants: dict[Any, str] = {}
        #: Products that the sum with a bias does.
        self._within: dict[Any, Apply] = {}
        #: What is 0 where something is at most a number, by what chooses.
        self._thresholds: dict[Apply, tuple[Any, float, Any]] = {}
        self._vectors = Vectors(self._graph, self._lines, self._tensor)

    def function(self) -> Callable[..., tuple[Any, ...]]:
        """Get the function that the source says."""
        self._write_all(self._graph.toposort(), [])
        # What is a number is known only now.
        order, families = torch_bundles.find(self._graph, self._numbers())
        if families:
            self._clear()
            self._write_all(order, families)
        returned = [self._host(v) for v in self._graph.outputs]
        arguments = ", ".join(["checked", *(self._names[v] for v in self._graph.inputs)])
        body = [*self._lines, f"return ({''.join(name + ', ' for name in returned)})"]
        source = f"def program({arguments}):\n" + "".join(f"    {line}\n" for line in body)
        exec(compile(source, "<program of PyTorch>", "exec"), self.scope)
        found: Callable[..., tuple[Any, ...]] = self.scope["program"]
        return found

    def _numbers(self) -> dict[Any, Any]:
        """Get all numbers, and what is the same where they are."""
        return {
            variable: (variable.type.dtype, float(self.scope[self._names[variable]]))
            if isinstance(variable, Constant)
            else self._names[variable]
            for variable, kind in self._kinds.items()
            if kind == NUMBER
        }

    def _write_all(self, order: Sequence[Apply], families: Sequence[Sequence[Group]]) -> None:
        graph = self._graph
        for variable in graph.inputs:
            self._name(variable, NUMBER if is_number(variable) else TENSOR)
        inside = {node: (g, family) for family in families for g in family for node in g.nodes}
        taken = {node: [*node.inputs] for node in order}
        for node in order:
            product = torch_folds.product_of(graph, node)
            if product is not None:
                (bias,) = (v for v in node.inputs if v.owner is not product)
                taken[node] += [*taken[product], *bias.owner.inputs]
                taken[product] = []
                self._within[product.outputs[0]] = product
            threshold = None if node in inside else torch_folds.threshold_of(node)
            if threshold is not None:
                self._thresholds[node], taken[node] = threshold, [threshold[0], threshold[2]]
        for group, _ in inside.values():
            arrays = (several for several in group.vectors() if isinstance(several, list))
            taken[group.nodes[-1]] += [v for several in arrays for v in several]
        last: dict[Any, Apply] = {v: node for node in order for v in taken[node]}
        kept = {*graph.inputs, *graph.outputs}
        for node in order:
            if node not in inside:
                self._write(node)
            elif node is inside[node][0].nodes[0]:
                self._write_group(*inside[node])
            # Arrays are let go as soon as nobody needs them any more.
            done = [v for v in {*taken[node], *node.outputs} - kept if last.get(v, node) is node]
            names = [self._names[v] for v in done if v in self._names and self._kinds[v] == TENSOR]
            names = [name for name in names if name not in self.scope]
            self._let_go(names)

    def _let_go(self, names: Sequence[str]) -> None:
        if names:
            self._lines.append(f"del {', '.join(sorted(names))}")

    # ---- names and values ------------------------------------------------------------

    def _name(self, variable: Any, kind: str) -> str:
        self._kinds[variable] = kind
        self._names[variable] = f"v{len(self._names)}"
        return self._names[variable]

    def _same(self, variable: Any, other: Any) -> None:
        """Let a variable be what another one is."""
        self._kinds[variable], self._names[variable] = self._kind(other), self._host(other)
        if other in self._python:
            self._python[variable] = self._python[other]

    def _known(self, prefix: str, value: Any) -> str:
        """Put a value into the scope."""
        name = f"{prefix}{len(self.scope)}"
        self.scope[name] = value
        return name

    def _kind(self, variable: Any) -> str:
        if isinstance(variable, Constant) and variable not in self._kinds:
            if is_number(variable):
                self._kinds[variable] = NUMBER
                self._names[variable] = self._known("n", np.asarray(variable.data).reshape(-1)[0])
            elif is_shape(variable):
                self._kinds[variable] = TUPLE
                self._names[variable] = self._known("n", tuple(map(int, variable.data)))
            else:
                self._kinds[variable] = TENSOR
                self._names[variable] = self._known("c", self._constant(variable))
        return self._kinds[variable]

    def _constant(self, variable: Any) -> Any:
        data = variable.data
        return tensor(data.copy(), self._device) if isinstance(data, np.ndarray) else data

    def _host(self, variable: Any) -> str:
        """Get source for a value as it is."""
        self._kind(variable)
        return self._names[variable]

    def _number(self, variable: Any) -> str:
        """Get source for a number as PyTorch's calls take it."""
        name = self._host(variable)
        if not variable.type.dtype.startswith("float"):
            return name
        if variable not in self._python:
            if isinstance(variable, Constant):
                self._python[variable] = self._known("n", float(self.scope[name]))
            else:
                # Others may have the same number.
                if f"{name}_" not in self._python.values():
                    self._lines.append(f"{name}_ = float({name})")
                self._python[variable] = f"{name}_"
        return self._python[variable]

    def _tensor(self, variable: Any) -> str:
        """Get source for a value as a tensor."""
        kind = self._kind(variable)
        if kind == TENSOR:
            return self._names[variable]
        if isinstance(variable, Constant):
            if variable not in self._constants:
                data = np.array(variable.data, variable.type.dtype)
                self._constants[variable] = self._known("c", tensor(data, self._device))
            return self._constants[variable]
        dtype = f"dtype=torch.{variable.type.dtype}, device=DEVICE"
        if kind == TUPLE:
            return f"torch.tensor({self._names[variable]}, {dtype})"
        # Of a number itself, PyTorch would make a copy for a GPU and wait for it.
        shape = (1,) * getattr(variable.type, "ndim", 0)
        return f"torch.full({shape}, {self._number(variable)}, {dtype})"

    def _set(self, variable: Any, source: str, kind: str = TENSOR) -> None:
        self._lines.append(f"{self._name(variable, kind)} = {source}")

    # ---- operations ------------------------------------------------------------------

    def _write(self, node: Apply) -> None:
        within = node.outputs[0] in self._within
        if within or torch_folds.is_compared_for(node, self._graph, self._thresholds):
            self._kinds[node.outputs[0]] = TENSOR
            return
        if not (self._write_on_host(node) or self._write_known(node)):
            self._write_dispatched(node)

    def _write_on_host(self, node: Apply) -> bool:
        """Write a line that computes numbers or lengths of axes, if that is all there is to do."""
        op, out, inputs = node.op, node.outputs[0], node.inputs
        kinds = [self._kind(variable) for variable in inputs]
        if isinstance(op, Shape_i) and kinds[0] == TENSOR:
            self._set(out, f"{self._host(inputs[0])}.shape[{op.i}]", NUMBER)
        elif isinstance(op, Shape) and kinds[0] == TENSOR and out.type.shape != (1,):
            self._set(out, f"tuple({self._host(inputs[0])}.shape)", TUPLE)
        elif isinstance(op, _SAME.get(kinds[0], ()) if kinds else ()):
            self._same(out, inputs[0])
        elif isinstance(op, MakeVector) and is_shape(out) and {*kinds} <= {NUMBER}:
            if len(inputs) == 1:
                self._same(out, inputs[0])
            else:
                parts = "".join(f"int({self._host(v)}), " for v in inputs)
                self._set(out, f"({parts})", TUPLE)
        elif isinstance(op, Subtensor) and kinds[0] == TUPLE and is_number(out):
            (index,) = indices_from_subtensor([self._host(v) for v in inputs[1:]], op.idx_list)
            self._set(out, f"{self._host(inputs[0])}[int({index})]", NUMBER)
        elif isinstance(op, Prod) and kinds == [TUPLE]:
            self.scope["prod"] = np.prod
            self._set(out, f"int(prod({self._host(inputs[0])}))", NUMBER)
        elif isinstance(op, Elemwise | ScalarOp) and kinds and {*kinds} == {NUMBER}:
            if len(node.outputs) > 1:
                return False
            scalar = op.scalar_op if isinstance(op, Elemwise) else op
            floating = all(v.type.dtype.startswith("float") for v in inputs)
            arguments = list(map(self._host, inputs))
            source = torch_source.number(scalar, arguments, floating, self._known)
            self._set(out, torch_source.typed(source, out.type.dtype), NUMBER)
        else:
            return False
        return True

    def _write_known(self, node: Apply) -> bool:
        """Write a line that calls PyTorch as shortly as it can be."""
        op, out, inputs = node.op, node.outputs[0], node.inputs
        if isinstance(op, Elemwise) and len(node.outputs) == 1:
            return self._write_elemwise(node)
        if isinstance(op, DimShuffle) and not op.drop:
            source = self._tensor(inputs[0])
            order = [i for i in op.new_order if i != "x"]
            if order != sorted(order):
                source += ".mT" if order == [1, 0] else f".permute({tuple(order)})"
            source += "".join(f".unsqueeze({i})" for i in op.augment)
            self._set(out, source)
        elif isinstance(op, Dot):
            first, second = inputs
            if {first.type.dtype, second.type.dtype} != {out.type.dtype}:
                return False
            kind = "mm" if first.type.ndim == second.type.ndim == 2 else "matmul"
            self._set(out, f"torch.{kind}({self._tensor(first)}, {self._tensor(second)})")
        elif isinstance(op, MakeVector) and inputs:
            parts = [self._tensor(v) for v in inputs]
            for i, variable in enumerate(inputs):
                if variable.type.dtype != op.dtype:
                    parts[i] += f".to(torch.{op.dtype})"
            self._set(out, f"torch.stack(({''.join(part + ', ' for part in parts)}))")
        elif isinstance(op, Alloc) and all(self._kind(v) == NUMBER for v in inputs[1:]):
            shape = "".join(f"int({self._host(v)}), " for v in inputs[1:])
            if self._kind(inputs[0]) == NUMBER:
                dtype = f"dtype=torch.{out.type.dtype}, device=DEVICE"
                self._set(out, f"torch.full(({shape}), {self._number(inputs[0])}, {dtype})")
            else:
                copied = "clone(memory_format=torch.contiguous_format)"
                self._set(out, f"{self._tensor(inputs[0])}.expand(({shape})).{copied}")
        elif isinstance(op, CheckAndRaise):
            # Data are checked before they get there.
            self._set(out, self._tensor(inputs[0]))
        elif isinstance(op, Reshape) and self._kind(inputs[1]) in (NUMBER, TUPLE):
            shape = self._host(inputs[1])
            if self._kind(inputs[1]) == NUMBER:
                shape = f"(int({shape}),)"
            self._set(out, f"torch.reshape({self._tensor(inputs[0])}, {shape})")
        else:
            return False
        return True

    def _write_affine(self, node: Apply, product: Apply) -> None:
        first, second = product.inputs
        shuffled = next(v for v in node.inputs if v is not product.outputs[0])
        bias, weights = self._tensor(shuffled.owner.inputs[0]), self._tensor(second)
        check = self._known("f", check_bias)
        self._lines.append(f"if checked: {check}({bias}, {weights})")
        self._set(node.outputs[0], f"torch.addmm({bias}, {self._tensor(first)}, {weights})")

    def _write_threshold(self, node: Apply, x: Any, limit: float, y: Any) -> None:
        checked, given = (
            partial(check_axes, [v.type.broadcastable for v in (x, y)]),
            self._tensor(x),
        )
        self._lines.append(f"if checked: {self._known('f', checked)}(({given}, {self._tensor(y)}))")
        kernel = "torch.ops.aten.threshold_backward"
        self._set(node.outputs[0], f"{kernel}({self._tensor(y)}, {given}, {limit!r})")

    def _write_elemwise(self, node: Apply) -> bool:
        if node in self._thresholds:
            self._write_threshold(node, *self._thresholds[node])
            return True
        for variable in node.inputs:
            if variable in self._within:
                self._write_affine(node, self._within[variable])
                return True
        out, tensors, arguments, numbers = node.outputs[0], [], [], []
        for variable in node.inputs:
            on_host = self._kind(variable) == NUMBER
            numbers.append(on_host)
            if not on_host:
                tensors.append(variable)
        known = torch_source.suits(node, numbers)
        if not known:
            return False
        for variable, on_host in zip(node.inputs, numbers, strict=True):
            # A call that chooses makes a tensor of a number.
            kept = isinstance(node.op.scalar_op, Switch) and isinstance(variable, Constant)
            as_it_is = on_host and not kept
            arguments.append(self._number(variable) if as_it_is else self._tensor(variable))
        if len(tensors) > 1:
            check = partial(check_axes, [variable.type.broadcastable for variable in tensors])
            inner = ", ".join(map(self._tensor, tensors))
            self._lines.append(f"if checked: {self._known('f', check)}(({inner}))")
        self._set(out, torch_source.tensor(node, arguments, numbers))
        return True

    def _write_group(self, group: Group, family: Sequence[Group]) -> None:
        """Write a line for what is done with several arrays together."""
        arguments = [
            self._number(taken.variable)
            if isinstance(taken, Number)
            else self._vectors.vector(taken, family)
            for taken in group.inputs
        ]
        name = self._vectors.add(torch_bundles.key(group))
        self._lines.append(f"{name} = {group.template.format(*arguments)}")
        if group.needed:
            like = self._vectors.model(family)
            names = [self._name(variable, TENSOR) for variable in group.outputs]
            self._lines.append(f"{', '.join(names)} = parted({name}, {like})")
        self._let_go(self._vectors.done(group, family))

    def _write_dispatched(self, node: Apply) -> None:
        """Write a call of the function that PyTensor has."""
        op: Op = node.op
        name = self._known("f", pytorch_funcify(op, node=node))
        taking = [first for kind, first in _TAKING.items() if isinstance(op, kind)]
        arguments = []
        for i, variable in enumerate(node.inputs):
            kind, ndim = self._kind(variable), getattr(variable.type, "ndim", 0)
            taken = bool(taking) and i >= taking[0]
            if taken and (kind == TUPLE or ndim == 0):
                arguments.append(self._host(variable))
            elif taken and kind == NUMBER and is_shape(variable):
                arguments.append(f"(int({self._host(variable)}),)")
            else:
                arguments.append(self._tensor(variable))
        names = [self._name(out, TENSOR) for out in node.outputs]
        self._lines.append(f"{', '.join(names)} = {name}({', '.join(arguments)})")
        for out, result in zip(node.outputs, names, strict=True):
            if isinstance(out.type, TensorType):
                dtype = f"torch.{out.type.dtype}"
                self._lines.append(
                    f"if {result}.dtype is not {dtype}: {result} = {result}.to({dtype})"
                )
