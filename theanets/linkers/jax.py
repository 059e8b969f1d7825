"""JAX: a graph as one Python function, which XLA compiles for the shapes of its arguments."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import numpy as np
from pytensor.compile.mode import Mode, optdb
from pytensor.graph.basic import Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import GraphRewriter
from pytensor.link.jax.linker import JAXLinker

from .base import Compiled, Make
from .linking import is_ours


class JAX(Compiled):
    """Compiles for each shape, and has random numbers made for it."""

    mode = "JAX"
    kinds = (JAXLinker,)
    compiles_by_shape = True
    divides = True
    package = "jax"
    dispatch = "pytensor.link.jax.dispatch"
    forms = (
        "ops.attention.by_jax",
        "ops.recurrent.by_jax",
        "ops.sequences.chain_by_jax",
        "ops.sequences.ctc_by_jax",
        "ops.sequences.higher_by_jax",
        "ops.sparse.by_jax",
        "ops.windows.by_jax",
    )

    def rewritten(self, mode: Mode) -> Mode:
        """Have sizes known early. XLA fuses by itself; what PyTensor fuses may hide sizes."""
        from .jax_sizes import SIZES

        return mode.including(SIZES).excluding("fusion")

    def devices(self) -> list[str]:
        from .jax_devices import known

        return list(known())

    def chosen(self) -> list[str]:
        from . import jax_devices

        return [jax_devices.name(jax_devices.current())]

    def on(self, names: Sequence[str]) -> Callable[[], AbstractContextManager[Any]] | None:
        from . import jax_devices

        known = jax_devices.known()
        found = [known[name] for name in self.find_devices(names)]
        return partial(jax_devices.on, found)

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Do not warn of checks that JAX cannot do: data are checked before they get there."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Skipping .* Op \(assertion", UserWarning)
            yield

    def compile(
        self, make: Make, inputs: Sequence[Any], outputs: Any, updates: Mapping[Any, Any]
    ) -> Any:
        """Compile expressions, with something else in the place of generators."""
        from ..ops.draws.by_jax import Chance
        from .jax_function import Drawing, Writing

        chance = Chance(inputs, outputs, updates, make)
        with self.compiling():
            function = make(inputs, outputs, chance.updates, givens=chance.givens)
        return (Writing if Writing.fits(function) else Drawing)(function, chance)

    def own_input(self, variable: Any, value: Any) -> Any:
        """Get a constant for a size: in a whole step, all are known when it is compiled."""
        from .jax_sizes import is_number

        if isinstance(variable, Constant) or not is_number(variable):
            return variable
        kind: Any = variable.type
        return kind.constant_type(kind, kind.filter(np.asarray(value, kind.dtype)[()]))


class _KnowSizes(GraphRewriter):
    """Do for any function that has an Op of ours in it what all of ours need.

    An Op of ours makes arrays by the lengths of others, such as the states of as many series
    as there are. See `jax_sizes`, which is imported when a function is compiled only.
    """

    def apply(self, fgraph: FunctionGraph) -> None:
        if any(is_ours(node.op) for node in fgraph.apply_nodes):
            from .jax_sizes import use_early

            use_early(fgraph)


optdb.register("theanets_jax_plain", _KnowSizes(), "jax", position=1001)
