"""Random numbers: an Op that draws those of PyTensor's, faster under Numba."""

from __future__ import annotations

from typing import Any

from pytensor.graph.basic import Apply
from pytensor.tensor import get_vector_length, tensor
from pytensor.tensor.basic import get_underlying_scalar_constant_value
from pytensor.tensor.exceptions import NotScalarConstantError
from pytensor.tensor.random.basic import NormalRV, UniformRV
from pytensor.tensor.random.utils import custom_rng_deepcopy
from pytensor.tensor.type_other import NoneTypeT

from ..base import KernelOp

#: The methods of a generator that draw what PyTensor's Ops draw, and with which parameters.
DRAWN = {NormalRV: ("standard_normal", (0, 1)), UniformRV: ("random", (0, 1))}


class Draws(KernelOp):
    """Standard normal numbers, or numbers uniform in [0, 1).

    The same as of PyTensor's Op, which combines any parameters in a general
    loop, slower and long to compile.

    Parameters
    ----------
    method : str
        The method of a NumPy generator: ``'standard_normal'`` or ``'random'``.
    ndim : int
        Number of axes of the draws.
    dtype : str
        ``'float32'`` or ``'float64'``. Numbers are drawn as float64 in any case.
    inplace : bool
        Whether the generator that is given is advanced, instead of a copy.
    """

    __props__ = ("method", "ndim", "dtype", "inplace")

    def __init__(self, method: str, ndim: int, dtype: str, inplace: bool = False) -> None:
        self.method = method
        self.ndim = ndim
        self.dtype = dtype
        self.inplace = inplace
        if inplace:
            self.destroy_map = {0: [0]}

    def make_node(self, generator: Any, size: Any) -> Apply:
        """Take a generator and the shape of the draws, give the next generator and the draws."""
        drawn = tensor(dtype=self.dtype, shape=(None,) * self.ndim)
        return Apply(self, [generator, size], [generator.type(), drawn])

    def perform(self, node: Any, inputs: Any, outputs: Any) -> None:
        """Draw with NumPy."""
        generator, size = inputs
        generator = generator if self.inplace else custom_rng_deepcopy(generator)
        outputs[0][0] = generator
        outputs[1][0] = getattr(generator, self.method)(tuple(size)).astype(self.dtype)

    def shapes_of(self, inputs: Any, shapes: Any) -> list[Any]:
        """Get the shapes of the outputs: a generator has none."""
        return [None, tuple(inputs[1][i] for i in range(self.ndim))]

    def kernel(self) -> tuple[Any, str | None]:
        """Get the compiled function, and its key for the cache on the disk."""
        from . import by_numba

        return by_numba.draws(self.method, self.ndim, self.dtype, self.inplace)


def of(node: Any) -> Any:
    """Draw what a node of PyTensor's draws, or get None if it has other parameters.

    Parameters
    ----------
    node : Apply
        Of one of the Ops in `DRAWN`.

    Returns
    -------
    list of variables or None
        The next generator, and the draws.
    """
    method, expected = DRAWN[type(node.op)]
    generator, size, *params = node.inputs
    old = node.outputs[1]
    if isinstance(size.type, NoneTypeT) or not old.dtype.startswith("float"):
        return None
    try:
        found = tuple(float(get_underlying_scalar_constant_value(p)) for p in params)
    except NotScalarConstantError:
        return None
    if found != expected or get_vector_length(size) != old.ndim:
        return None
    following, new = Draws(method, old.ndim, old.dtype, node.op.inplace)(generator, size)
    return [following, old.type.filter_variable(new)]
