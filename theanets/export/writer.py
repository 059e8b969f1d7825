"""The nodes of an ONNX graph, made one by one of PyTensor's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import graph_inputs, toposort
from pytensor.tensor.elemwise import DimShuffle

#: The version of ONNX's operators, which runtimes have had since 2023.
OPSET = 18


class UnsupportedError(Exception):
    """Something has no counterpart in ONNX; the message says what."""


def onnx_type(dtype: str) -> int:
    """Get what ONNX calls a type."""
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


class Writer:
    """The nodes of a graph, and what they are called.

    All integers are of 64 bits here, and are cast where they come in and go
    out, since runtimes have few operators for others. What depends on
    constants and parameters alone is computed, unless it is a parameter with
    its axes in another order.

    Parameters
    ----------
    floats : dict of str to str
        Types of floats that are to be others in the file.
    outer : Writer, optional
        Of the graph around this one, if it is the body of a loop.

    Attributes
    ----------
    names : dict
        What variables are called in the graph.
    values : dict
        The arrays of those that are known.
    types : dict
        Types by name.
    dense : dict
        The dense matrices that stand for sparse ones, by the vectors that these consist of.
    used : set
        The variables that something depends on.
    nodes : list of NodeProto
    constants : dict of str to ndarray
        The parameters and constants that are in the file.
    """

    def __init__(self, floats: Mapping[str, str] | None = None, outer: Writer | None = None):
        self.nodes: list[Any] = []
        self.used: set[Any] = set()
        self.at: Apply | None = None
        self._written: dict[Any, Any] = {}
        if outer is None:
            self.floats = dict(floats or {})
            self.names: dict[Any, str] = {}
            self.values: dict[Any, Any] = {}
            self.types: dict[str, str] = {}
            self.dense: dict[Any, str] = {}
            self.constants: dict[str, Any] = {}
            self._taken: set[str] = set()
            self._same: dict[Any, str] = {}
        else:
            self.floats, self.types, self.constants = outer.floats, outer.types, outer.constants
            self._taken, self._same, self.dense = outer._taken, outer._same, outer.dense
            self.names, self.values = dict(outer.names), dict(outer.values)

    # ---- types and names ---------------------------------------------------------------

    def type_of(self, dtype: str) -> str:
        """Get the type that something of a type of PyTensor's has in the graph."""
        if np.dtype(dtype).kind in "iu":
            return "int64"
        return self.floats.get(dtype, dtype)

    def fresh(self, base: str) -> str:
        """Get a name that nothing has."""
        name, count = base, 0
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name

    def __call__(self, variable: Any) -> str:
        """Get what a variable is called."""
        if variable not in self.names:
            self.names[variable] = self.constant(self.values[variable], variable.name)
        return self.names[variable]

    def constant(self, value: Any, name: str | None = None, dtype: str | None = None) -> str:
        """Get what a constant is called.

        Parameters
        ----------
        value : array_like
            Its value.
        name : str, optional
            What it should be called.
        dtype : str, optional
            Its type; by default that of the value.
        """
        array = np.asarray(value)
        dtype = self.type_of(str(array.dtype)) if dtype is None else dtype
        array = np.ascontiguousarray(array, dtype).reshape(array.shape)
        key = (name, dtype, array.shape, array.tobytes())
        if key not in self._same:
            self._same[key] = self.fresh(name or "constant")
            self._same.setdefault((None, *key[1:]), self._same[key])
            self.constants[self._same[key]] = array
            self.types[self._same[key]] = dtype
        return self._same[key]

    def integers(self, *values: int) -> str:
        """Get what a vector of integers is called."""
        return self.constant(np.array(values, "int64").reshape(len(values)))

    # ---- nodes -------------------------------------------------------------------------

    def node(
        self,
        kind: str,
        *inputs: str,
        dtype: str | Sequence[str] | None = None,
        count: int = 1,
        **attributes: Any,
    ) -> Any:
        """Add a node, unless there is one that does the same.

        Parameters
        ----------
        kind : str
            The operator.
        *inputs : str
            What it takes; an empty name is nothing.
        dtype : str or list of str, optional
            Types of the outputs; by default that of the first input.
        count : int
            How many outputs there are.
        **attributes
            Attributes of the operator.

        Returns
        -------
        str, or list of str if there are several outputs
        """
        graphs = any(isinstance(value, onnx.GraphProto) for value in attributes.values())
        key = object() if graphs else (kind, inputs, count, repr(sorted(attributes.items())))
        if key not in self._written:
            names = [self.fresh(kind.lower()) for _ in range(count)]
            dtype = self.types[inputs[0]] if dtype is None else dtype
            types = [dtype] * count if isinstance(dtype, str) else dtype
            self.types.update(zip(names, types, strict=True))
            self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
            self._written[key] = names if count > 1 else names[0]
        return self._written[key]

    def cast(self, name: str, dtype: str) -> str:
        """Get something as another type of the graph."""
        if self.types[name] == dtype:
            return name
        if name in self.constants:
            return self.constant(self.constants[name], dtype=dtype)
        return str(self.node("Cast", name, dtype=dtype, to=onnx_type(dtype)))

    def shape(self, name: str) -> str:
        """Get a shape, a vector."""
        return str(self.node("Shape", name, dtype="int64"))

    def vector(self, names: Sequence[str], dtype: str = "int64") -> str:
        """Get a vector of scalars."""
        if all(name in self.constants for name in names):
            return self.constant(np.array([self.constants[name] for name in names], dtype))
        rows = [self.unsqueeze(self.cast(name, dtype), 0) for name in names]
        return rows[0] if len(rows) == 1 else self.node("Concat", *rows, axis=0)

    def unsqueeze(self, name: str, *axes: int) -> str:
        """Add axes of length 1."""
        return str(self.node("Unsqueeze", name, self.integers(*axes))) if axes else name

    def squeeze(self, name: str, *axes: int) -> str:
        """Leave axes of length 1 out."""
        return str(self.node("Squeeze", name, self.integers(*axes))) if axes else name

    def transpose(self, name: str, *order: int) -> str:
        """Get axes in another order."""
        same = order == tuple(range(len(order)))
        return name if same else str(self.node("Transpose", name, perm=list(order)))

    # ---- graphs ------------------------------------------------------------------------

    def run(self, outputs: Sequence[Any]) -> list[str]:
        """Write what expressions are, as far as it is not written.

        Parameters
        ----------
        outputs : list of variables
            Expressions of variables that have a name or a value.

        Returns
        -------
        list of str
            What they are called, in the types of the graph that belong to theirs.
        """
        known = self.names.keys() | self.values.keys()
        for variable in graph_inputs(outputs, blockers=known):
            if isinstance(variable, Constant):
                self.values.setdefault(variable, variable.data)
            elif isinstance(variable, SharedVariable) and hasattr(variable.type, "dtype"):
                self.values.setdefault(variable, variable.get_value(borrow=True))
        nodes = list(toposort(outputs, blockers=known))
        self.used.update(outputs, *(node.inputs for node in nodes))
        outermost = self.at is None
        for node in nodes:
            self.at = node if outermost else self.at
            self._apply(node)
        self.at = None if outermost else self.at
        return [self(output) for output in outputs]

    def _apply(self, node: Apply) -> None:
        if all(v in self.values for v in node.inputs):
            cells: list[list[Any]] = [[None] for _ in node.outputs]
            node.op.perform(node, [self.values[v] for v in node.inputs], cells)
            self.values.update(zip(node.outputs, (cell[0] for cell in cells), strict=True))
            if not _turns_parameter(node):
                return
        for variable, name in zip(node.outputs, translate(node.op, node, self), strict=True):
            if name is not None:
                self.names[variable] = self.cast(name, self.type_of(variable.dtype))

    def graph(
        self,
        name: str,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        constants: Iterable[str] = (),
    ) -> Any:
        """Get the graph of the nodes, without those that nothing needs.

        Parameters
        ----------
        name : str
            Its name.
        inputs, outputs : list of ValueInfoProto
            What goes in and what comes out.
        constants : iterable of str
            The constants that are part of it, if they are needed.
        """
        needed, kept = {output.name for output in outputs}, []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(_read(node))
        held = [numpy_helper.from_array(self.constants[c], c) for c in constants if c in needed]
        return helper.make_graph(kept[::-1], name, inputs, outputs, held)

    def bind(self, variable: Any, meaning: Any) -> None:
        """Say what a variable is: something that has a name, or an array."""
        self.names.pop(variable, None)
        self.values.pop(variable, None)
        (self.names if isinstance(meaning, str) else self.values)[variable] = meaning

    def body(
        self, name: str, inputs: Sequence[str], make: Callable[[Writer], Sequence[str]]
    ) -> tuple[Any, list[str]]:
        """Get the graph of a loop's body, which may refer to what is around it.

        Parameters
        ----------
        name : str
            Its name.
        inputs : list of str
            What its own inputs are called.
        make : callable
            Writes it, with a writer of its own, and returns the outputs.

        Returns
        -------
        (GraphProto, list of str)
            The graph, and the types of its outputs.
        """
        inner = Writer(outer=self)
        inner.at = self.at
        # An output has to be a node of the body's own.
        made = [inner._own(output) for output in make(inner)]
        graph = inner.graph(name, list(map(self.info, inputs)), list(map(self.info, made)))
        return graph, [self.types[output] for output in made]

    def _own(self, name: str) -> str:
        own = self.fresh("identity")
        self.types[own] = self.types[name]
        self.nodes.append(helper.make_node("Identity", [name], [own]))
        return own

    def info(self, name: str) -> Any:
        """Describe what goes into a graph or comes out."""
        return helper.make_tensor_value_info(name, onnx_type(self.types[name]), None)


def _turns_parameter(node: Apply) -> bool:
    """Tell whether it is a parameter with its axes turned, which need not be there twice."""
    if not isinstance(node.op, DimShuffle) or not isinstance(node.inputs[0], SharedVariable):
        return False
    kept = [axis for axis in node.op.new_order if axis != "x"]
    return kept != sorted(kept)


def _read(node: Any) -> set[str]:
    """Get the names that a node refers to, those in graphs within it included."""
    found = set(node.input)
    for attribute in node.attribute:
        for inner in attribute.g.node if attribute.HasField("g") else ():
            found |= _read(inner)
    return found


@singledispatch
def translate(op: Any, node: Apply, write: Writer) -> Sequence[str | None]:
    """Write what an operation of PyTensor's does.

    Parameters
    ----------
    op : Op
        The operation; what is registered for its class is called.
    node : Apply
        It and its inputs.
    write : Writer
        Has what the inputs are called.

    Returns
    -------
    list of str or None
        What the outputs are called; None for one that nothing needs.

    Raises
    ------
    UnsupportedError
        If there is no counterpart.
    """
    raise UnsupportedError(f"the operation {op} has no counterpart in ONNX")


@translate.register
def _(op: OpFromGraph, node: Apply, write: Writer) -> Sequence[str | None]:
    replaced = dict(zip(op.inner_inputs, node.inputs, strict=True))
    return write.run(clone_replace(op.inner_outputs, replaced))
