"""Sizes: what a network makes of the sizes of arrays, before compiled code gets them.

Lengths that are open when a network is built, of series or images, are known
once there are arrays. What layers make of them may not fit, or not be what
the targets have; compiled code would say so in its own words, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..data import Field
from ..errors import ConfigurationError, DataError
from ..graph import Graph
from ..layers import Layer
from ..losses import Loss
from .targets import is_entrywise

Shape = tuple[int | None, ...]


class SizeError(DataError):
    """Arrays have sizes of which some layer can make nothing."""


#: How many combinations of sizes are kept in mind.
KEPT = 256


def checker(
    graph: Graph, losses: Sequence[Loss], fields: Sequence[Field]
) -> Callable[[Sequence[Shape], str], None] | None:
    """Get what checks the shapes of arrays, those of ``fields``; None if all are known already.

    It takes the shape of one example of each, and what the data are called in
    messages.

    Raises
    ------
    DataError
        If layers or losses cannot have such sizes together.
    """
    if not any(None in field.shape for field in fields):
        return None
    names = [field.name for field in fields]
    inputs = {field.name for field in fields if field.role == "input"}
    passed: set[tuple[Shape, ...]] = set()

    def check(shapes: Sequence[Shape], where: str) -> None:
        key = tuple(shapes)
        if key in passed:
            return
        given = dict(zip(names, key, strict=True))
        found = _outputs(graph.by_name, {name: given[name] for name in inputs}, where)
        for loss in filter(is_entrywise, losses):
            _compare(loss, given, found, inputs, where)
        if len(passed) == KEPT:
            passed.clear()
        passed.add(key)

    return check


def _outputs(
    layers: Mapping[str, Layer], given: Mapping[str, Shape], where: str
) -> dict[str, Shape]:
    found: dict[str, Shape] = {}
    for name, layer in layers.items():
        try:
            shapes = {"out": given[name]} if name in given else layer.shapes_for(found)
        except ConfigurationError as error:
            sizes = ", ".join(f"{key!r} of shape {_batch(shape)}" for key, shape in given.items())
            raise SizeError(f"{where}: with {sizes}: {error}") from error
        found.update({f"{name}:{output}": shape for output, shape in shapes.items()})
    return found


def _compare(
    loss: Loss,
    given: Mapping[str, Shape],
    found: Mapping[str, Shape],
    inputs: set[str],
    where: str,
) -> None:
    target = loss._target
    got = given.get(target.name)
    if got is None:
        return
    expected = loss.target_shape(found.__getitem__, target.dtype.startswith("int"))
    fits = len(got) == len(expected) and all(
        None in pair or pair[0] == pair[1] for pair in zip(got, expected, strict=True)
    )
    if not fits:
        sizes = ", ".join(f"{name!r} of shape {_batch(given[name])}" for name in sorted(inputs))
        raise DataError(
            f"{where}: {target.name!r} has shape {_batch(got)}, but is compared with "
            f"{loss.output_name!r}, which has shape {_batch(found[loss.output_name])} for {sizes}; "
            f"expected {_batch(expected)}"
        )


def _batch(shape: Shape) -> str:
    lengths = ["n", *("any" if length is None else str(length) for length in shape)]
    return f"({', '.join(lengths)}{',' * (len(lengths) == 1)})"
