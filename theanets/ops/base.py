"""The base of our Ops: NumPy and, when it is needed, a Numba kernel."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any, Self

import numpy.typing as npt
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.op import Op

from ..errors import DerivativeError
from ..expressions import Expression
from ..process import building
from ..versions import pushforward, shape_arguments

Array = npt.NDArray[Any]


class KernelOp(Op):
    """An Op with a Numba kernel besides its ``perform``.

    PyTensor's Numba linker takes half a second to import, and 100 MB. So it is told
    of the kernels of classes that Ops were made of as soon as somebody imports it, see
    `theanets.ops.by_numba`, and the module that has a kernel is imported when the linker
    asks for it.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make an Op; also called when one is unpickled."""
        if cls not in _made:
            with building():
                _made.add(cls)
                if NUMBA in sys.modules:
                    tell_numba()
        return super().__new__(cls)

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        raise NotImplementedError

    def output_shapes(self, *shapes: tuple[Expression, ...]) -> list[tuple[Expression, ...]]:
        """Get the shapes of the outputs from those of the inputs, as tuples of expressions."""
        raise NotImplementedError

    def shapes_of(
        self, inputs: Sequence[Expression], shapes: Sequence[tuple[Expression, ...]]
    ) -> list[tuple[Expression, ...]]:
        """Get the shapes of the outputs, where inputs may be lengths themselves."""
        return self.output_shapes(*shapes)

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        """Refuse, unless an Op overrides it: what stands in for PyTensor's Ops has no derivative.

        Raises
        ------
        DerivativeError
            Always.
        """
        raise DerivativeError(
            f"{self} is put in the place of PyTensor's own when a graph is compiled, and has no "
            "derivative: differentiate the expression first, and compile that",
            self,
        )

    def pushforward(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        tangents: Sequence[Expression],
    ) -> list[Expression]:
        """Get the derivative in a direction, by two pullbacks."""
        node = outputs[0].owner
        reads = [any(row) for row in self.connection_pattern(node)]
        moving = [i for i, t in enumerate(tangents) if reads[i] and connected(t) is not None]
        if not moving:
            return [DisconnectedType()() for _ in outputs]
        copies = [copied(x) if i in moving else x for i, x in enumerate(inputs)]
        found: list[Expression] = pushforward(
            self(*copies, return_list=True),
            [copies[i] for i in moving],
            [tangents[i] for i in moving],
            disconnected_outputs="ignore",
            return_disconnected="disconnected",
        )
        return found

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Tell which outputs change smoothly with which inputs; by default all with all."""
        return [[True] * len(node.outputs) for _ in node.inputs]

    def infer_shape(self, *arguments: Any) -> list[tuple[Expression, ...]]:
        """Get the shapes of the outputs, for PyTensor."""
        node, shapes = shape_arguments(arguments)
        return self.shapes_of(node.inputs, shapes)


def connected(x: Expression) -> Expression | None:
    """Get a cotangent or tangent, or None if PyTensor says that there is none."""
    return None if isinstance(x.type, DisconnectedType) else x


def copied(x: Expression) -> Expression:
    """Get a variable of the same value that nothing else depends on.

    A derivative with respect to it is partial, whatever the original is made of. Rewrites
    take the copy away.
    """
    return pt.tensor_copy(x)


#: What of PyTensor has to be told.
NUMBA = "pytensor.link.numba.dispatch.basic"
_made: set[type[KernelOp]] = set()
_told: set[type[KernelOp]] = set()


def tell_numba() -> None:
    """Tell PyTensor's linker for Numba of the kernels of all classes that Ops were made of."""
    with building():
        for kind in _made - _told:
            _register(kind)
            _told.add(kind)


def _register(kind: type[KernelOp]) -> None:
    from pytensor.link.numba.dispatch.basic import register_funcify_and_cache_key

    @register_funcify_and_cache_key(kind)
    def funcify(op: KernelOp, node: Apply, **kwargs: Any) -> tuple[Any, str | None]:
        return op.kernel()


@cache
def source_key(module: str, kernel: str, *others: str) -> str | None:
    """Get a key that changes with the source of the modules that have a kernel.

    Parameters
    ----------
    module : str
        Name of an imported module.
    kernel : str
        Name of the kernel, and of all that it is specialized to.
    *others : str
        Names of the other modules that hold what the kernel calls.

    Returns
    -------
    str or None
        None, for no caching, where there is no source.
    """
    try:
        source = "".join(inspect.getsource(sys.modules[name]) for name in (module, *others))
    except OSError:
        return None
    return f"{module}.{kernel}:{hashlib.sha256(source.encode()).hexdigest()}"


def float_tensor(x: Expression, ndim: int, what: str) -> Expression:
    """Get a symbolic array of floats.

    Raises
    ------
    TypeError
        If it is not one.
    """
    x = pt.as_tensor(x)
    if x.ndim != ndim or x.dtype not in ("float32", "float64"):
        raise TypeError(f"{what} {x.type} is not an array of floats with {ndim} axes")
    return x


def length(n: Any) -> tuple[Any, int | None]:
    """Get a length as a symbolic integer, and as a number where that is known."""
    n = pt.as_tensor(n, dtype="int64")
    return n, int(n.data) if isinstance(n, Constant) else None
