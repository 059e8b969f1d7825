"""The same operations on entries of several arrays, as one on what they hold together.

An algorithm does the same with each parameter, in a dozen of operations. A call of PyTorch's
costs more than the arithmetic of a small array, on a GPU too. So the arrays go into one vector,
and what comes of it is taken apart where something else needs it. Where they are parts of a
vector already, as what an earlier step has left, nothing is copied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from pytensor.graph.basic import Apply
from pytensor.graph.fg import FunctionGraph
from pytensor.tensor.elemwise import Elemwise

from . import torch_source

#: How many operations, or parts, may be spared at least.
WORTH = 4


@dataclass(frozen=True, eq=False)
class Number:
    """A number that all have."""

    variable: Any


@dataclass(eq=False)
class Group:
    """Operations that are one, those of each array in the order of the arrays.

    Attributes
    ----------
    nodes : list of Apply
    template : str
        Source, with places for the inputs.
    inputs : list of (Group, list of variables or Number)
        What is taken together: what another group makes, or arrays that come from elsewhere.
    needed : bool
        Whether something else takes the arrays one by one.
    """

    nodes: list[Apply]
    template: str
    inputs: list[Any]
    needed: bool = False

    @property
    def outputs(self) -> list[Any]:
        """Get the arrays that are in what it makes."""
        return [node.outputs[0] for node in self.nodes]

    @property
    def name(self) -> str:
        """Get what the operation is called."""
        return type(self.nodes[0].op.scalar_op).__name__

    def vectors(self) -> list[Any]:
        """Get the inputs that are no numbers."""
        return [i for i in self.inputs if not isinstance(i, Number)]


def key(taken: Group | list[Any]) -> Any:
    """Get what is the same for the same arrays."""
    return tuple(taken) if isinstance(taken, list) else id(taken)


def heights(order: Sequence[Apply]) -> dict[Apply, int]:
    """Get how many operations come after each at most."""
    found: dict[Apply, int] = {}
    for node in reversed(order):
        after = found.setdefault(node, 0) + 1
        for variable in node.inputs:
            if variable.owner is not None:
                found[variable.owner] = max(found.get(variable.owner, 0), after)
    return found


def destinations(graph: FunctionGraph, order: Sequence[Apply]) -> dict[Apply, int]:
    """Get the first output of the graph that each operation goes into."""
    outputs = {variable: i for i, variable in reversed(list(enumerate(graph.outputs)))}
    found: dict[Apply, int] = {}
    for node in reversed(order):
        clients = [client for v in node.outputs for client, _ in graph.clients[v]]
        after = [found[client] for client in clients if client in found]
        after += [outputs[v] for v in node.outputs if v in outputs]
        found[node] = min(after, default=len(outputs))
    return found


def find(graph: FunctionGraph, numbers: Mapping[Any, Any]) -> tuple[list[Apply], list[list[Group]]]:
    """Find operations that can be done together, if that spares some.

    Parameters
    ----------
    graph : FunctionGraph
    numbers : dict of variable to object
        Those that are numbers on the host, and what is the same for the same number.

    Returns
    -------
    order : list of Apply
        All operations that are left, those of a group one after the other.
    families : list of lists of Group
        In that order; those of one take what others of it make.
    """
    order = graph.toposort()
    height, destination = heights(order), destinations(graph, order)
    order = sorted(order, key=lambda node: -height[node])
    made: dict[Any, tuple[Group, int]] = {}
    found: list[Group] = []
    ordered: list[Apply] = []
    for _, level in groupby(order, key=height.__getitem__):
        alike: dict[Any, list[Apply]] = {}
        rest: list[Apply] = []
        # What goes into the same output is of the same parameter.
        for node in sorted(level, key=destination.__getitem__):
            key = _key(node, numbers, made)
            (rest if key is None else alike.setdefault(key, [])).append(node)
        for nodes in alike.values():
            group = _group(nodes, numbers, made)
            if group is not None:
                found.append(group)
                for i, variable in enumerate(group.outputs):
                    made[variable] = group, i
            ordered += nodes if group is None else group.nodes
        ordered += rest
    families = _families(found)
    for family in families:
        inside = {node for group in family for node in group.nodes}
        for group in family:
            clients = [client for v in group.outputs for client, _ in graph.clients[v]]
            group.needed = any(client not in inside for client in clients)
    families = [family for family in families if _spared(family) >= WORTH]
    gone = {node for family in families for group in _shorten(family) for node in group.nodes}
    return [node for node in ordered if node not in gone], families


def _key(node: Apply, numbers: Mapping[Any, Any], made: dict[Any, tuple[Group, int]]) -> Any:
    """Get what is the same of operations that can be done together; None for any other."""
    if not isinstance(node.op, Elemwise) or len(node.outputs) != 1 or not node.outputs[0].ndim:
        return None
    hosted = [variable in numbers for variable in node.inputs]
    if all(hosted) or not torch_source.suits(node, hosted):
        return None
    # Nothing is stretched.
    if len({v.type.broadcastable for v in (*node.inputs, *node.outputs) if v not in numbers}) > 1:
        return None
    kinds = []
    for variable, number in zip(node.inputs, hosted, strict=True):
        if number:
            kinds.append(("number", numbers[variable]))
        elif variable in made:
            kinds.append(("group", id(made[variable][0])))
        else:
            kinds.append(("array", variable.type.dtype))
    return node.op.scalar_op, node.outputs[0].type.dtype, *kinds


def _group(nodes: list[Apply], numbers: Mapping[Any, Any], made: dict[Any, Any]) -> Group | None:
    """Get the operations of one key as a group, if each is of an array of its own."""
    before = [made[v][0] for v in nodes[0].inputs if v in made]
    if before:
        lanes = [{made[v][1] for v in node.inputs if v in made} for node in nodes]
        if {len(g.nodes) for g in before} != {len(nodes)}:
            return None
        # As many as there are only where no operation takes of several.
        by_lane = {min(lane): node for lane, node in zip(lanes, nodes, strict=True)}
        if len(by_lane) < len(nodes):
            return None
        nodes = [by_lane[lane] for lane in sorted(by_lane)]
    elif len(nodes) < 2:
        return None
    inputs: list[Any] = []
    for i, first in enumerate(nodes[0].inputs):
        if first in numbers:
            inputs.append(Number(first))
        else:
            several = [node.inputs[i] for node in nodes]
            inputs.append(made[first][0] if first in made else several)
    places = [f"{{{i}}}" for i, _ in enumerate(inputs)]
    hosted = [isinstance(i, Number) for i in inputs]
    return Group(nodes, torch_source.tensor(nodes[0], places, hosted), inputs)


def _families(groups: Sequence[Group]) -> list[list[Group]]:
    """Get the groups that hang together."""
    family = {id(group): [group] for group in groups}
    for group in groups:
        for other in group.inputs:
            if isinstance(other, Group) and family[id(other)] is not family[id(group)]:
                joined = family[id(other)] + family[id(group)]
                family.update((id(member), joined) for member in joined)
    place = {id(group): i for i, group in enumerate(groups)}
    several = {id(members): members for members in family.values()}.values()
    return [sorted(members, key=lambda group: place[id(group)]) for members in several]


def _shorten(family: list[Group]) -> list[Group]:
    """Let sums do the products that only they take; get the groups that are gone by it."""
    taken = Counter(id(i) for group in family for i in group.inputs)
    alone = {id(group) for group in family if taken[id(group)] == 1 and not group.needed}

    def part(group: Any, name: str) -> bool:
        return id(group) in alone and group.name == name

    def scaled(group: Any) -> tuple[Any, list[Number]]:
        """Get what a group multiplies by numbers, and these."""
        if part(group, "Mul") and len(group.vectors()) == 1:
            return group.vectors()[0], [i for i in group.inputs if isinstance(i, Number)]
        return group, []

    gone: set[int] = set()
    for group in family:
        if group.name not in ("Add", "Sub") or not len(group.vectors()) == 2 == len(group.inputs):
            continue
        first, second = group.inputs
        if group.name == "Add" and not scaled(second)[1]:
            first, second = second, first
        inner, numbers = scaled(second)
        sign = "" if group.name == "Add" else "-"
        ratio = part(second, "TrueDiv") and len(second.vectors()) == 2 == len(second.inputs)
        if ratio:
            above, below = second.inputs
            inner, numbers = scaled(above)
            gone.update(map(id, (second, *([above] if numbers else []))))
            call, inputs = "addcdiv", [first, inner, below]
        elif numbers and part(inner, "Sqr"):
            gone.update(map(id, (second, inner)))
            call, inputs = "addcmul", [first, *inner.inputs * 2]
        elif numbers:
            gone.add(id(second))
            call, inputs = "add", [first, inner]
        else:
            continue
        many = len(inputs)
        places = ", ".join(f"{{{i}}}" for i in range(many))
        value = " * ".join(f"{{{many + i}}}" for i, _ in enumerate(numbers)) or "1"
        keyword = "alpha" if call == "add" else "value"
        group.template = f"torch.{call}({places}, {keyword}={sign}({value}))"
        group.inputs = [*inputs, *numbers]
    lost = [group for group in family if id(group) in gone]
    family[:] = [group for group in family if id(group) not in gone]
    return lost


def _spared(family: Sequence[Group]) -> float:
    """Get how many calls are spared, about."""
    many = len(family[0].nodes)
    taken = {tuple(i) for group in family for i in group.inputs if isinstance(i, list)}
    apart = sum(many for group in family if group.needed)
    return len(family) * (many - 1) - len(taken) - apart / 2


class Vectors:
    """The names of vectors in a program.

    Parameters
    ----------
    graph : FunctionGraph
    lines : list of str
        Of the program.
    tensor : callable
        Gets source of a variable.
    """

    def __init__(
        self, graph: FunctionGraph, lines: list[str], tensor: Callable[[Any], str]
    ) -> None:
        self._graph, self._lines, self._tensor = graph, lines, tensor
        self._names: dict[Any, str] = {}
        self._many = 0

    def add(self, key: Any) -> str:
        """Get a new name for something."""
        self._many += 1
        self._names[key] = f"w{self._many}"
        return self._names[key]

    def model(self, family: Sequence[Group]) -> str:
        """Get the name of arrays that have the shapes of those of a family."""
        if id(family) not in self._names:
            taken = [v for group in family for v in group.vectors() if isinstance(v, list)]
            # Those that are there anyway, if any are.
            kept = [arrays for arrays in taken if all(v in self._graph.inputs for v in arrays)]
            arrays = ", ".join(map(self._tensor, [*kept, *taken][0]))
            self._lines.append(f"{self.add(id(family))} = ({arrays})")
        return self._names[id(family)]

    def vector(self, taken: Group | list[Any], family: Sequence[Group]) -> str:
        """Get the name of the vector that some arrays are in."""
        if key(taken) not in self._names:
            assert isinstance(taken, list)
            arrays = f"({', '.join(map(self._tensor, taken))})"
            self._lines.append(f"if checked: check_shapes({self.model(family)}, {arrays})")
            self._lines.append(f"{self.add(key(taken))} = joined({arrays})")
        return self._names[key(taken)]

    def done(self, group: Group, family: Sequence[Group]) -> list[str]:
        """Get the names that nothing of a family needs after a group, and forget them."""
        later = family[family.index(group) + 1 :]
        needed = {key(taken) for other in later for taken in other.vectors()}
        done = {key(v) for v in (group, *group.vectors())} - needed
        return [self._names.pop(k) for k in done]


# ---- what the programs call --------------------------------------------------------


def joined(arrays: Sequence[torch.Tensor]) -> torch.Tensor:
    """Get arrays as one vector; a copy, unless `parted` has made them of one."""
    whole, others = getattr(arrays[0], "whole", (None, ()))
    if whole is not None and [*map(id, others)] == [*map(id, arrays[1:])]:
        found: torch.Tensor = whole
        return found
    return torch.cat([array.reshape(-1) for array in arrays])


def parted(whole: torch.Tensor, like: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    """Get the arrays that are in a vector, of the shapes of others."""
    arrays: Sequence[torch.Tensor] = torch._C._nn.unflatten_dense_tensors(whole, like)
    # The first one alone, so that nothing refers to itself.
    arrays[0].whole = whole, arrays[1:]
    return arrays


def check_shapes(like: Sequence[torch.Tensor], arrays: Sequence[torch.Tensor]) -> None:
    """Refuse arrays of different shapes, which as vectors might fit.

    Raises
    ------
    ValueError
    """
    found, wanted = ([tuple(array.shape) for array in each] for each in (arrays, like))
    if found != wanted:
        raise ValueError(f"arrays of shapes {found} cannot be broadcast to {wanted}")


CALLED = (joined, parted, check_shapes)
