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
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.op import Op

from ..errors import DerivativeError
from ..expressions import Expression
from ..process import building
from ..versions import shape_arguments

Array = npt.NDArray[Any]


class KernelOp(Op):
    """An Op with a Numba kernel besides its ``perform``.

    PyTensor's Numba linker takes half a second to import. So it is told of
    the kernel when the first Op of a class is made, and the module that has
    the kernel is imported when the linker asks for it.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make an Op; also called when one is unpickled."""
        if cls not in _registered:
            with building():
                if cls not in _registered:
                    _register(cls)
                    _registered.add(cls)
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

    def infer_shape(self, *arguments: Any) -> list[tuple[Expression, ...]]:
        """Get the shapes of the outputs, for PyTensor."""
        node, shapes = shape_arguments(arguments)
        return self.shapes_of(node.inputs, shapes)


class FirstOrder(Op):
    """An Op that is the derivative of another, and has none itself."""

    #: The other one.
    derives: type[Op]

    def pullback(
        self,
        inputs: Sequence[Expression],
        outputs: Sequence[Expression],
        cotangents: Sequence[Expression],
    ) -> list[Expression]:
        """Refuse."""
        raise DerivativeError(
            f"{self} is a derivative that has none itself, so what needs derivatives of a higher "
            "order ('esgd', the contractive penalty, a gradient of a gradient) cannot be used "
            "with it",
            self,
        )


_registered: set[type[KernelOp]] = set()


def _register(kind: type[KernelOp]) -> None:
    from pytensor.link.numba.dispatch.basic import register_funcify_and_cache_key

    @register_funcify_and_cache_key(kind)
    def funcify(op: KernelOp, node: Apply, **kwargs: Any) -> tuple[Any, str | None]:
        return op.kernel()


@cache
def source_key(module: str, kernel: str) -> str | None:
    """Get a key that changes with the source of the module that has a kernel.

    Parameters
    ----------
    module : str
        Name of an imported module, which holds all that the kernel calls.
    kernel : str
        Name of the kernel, and of all that it is specialized to.

    Returns
    -------
    str or None
        None, for no caching, where there is no source.
    """
    try:
        source = inspect.getsource(sys.modules[module])
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
