"""What tells PyTensor's JAX and PyTorch linkers of our Ops, in functions that are not ours too.

Numba is told by each Op, see `base`. The modules by which the others are told import JAX and
PyTorch. So they are imported as soon as PyTensor's own are, be that before or after ours, and
not otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any

from pytensor.compile.mode import optdb
from pytensor.graph.rewriting.basic import GraphRewriter

#: By PyTensor's module, ours.
FOLLOWING = {
    "pytensor.link.jax.dispatch": (
        "ops.recurrent.by_jax",
        "ops.sequences.chain_by_jax",
        "ops.sequences.ctc_by_jax",
        "ops.sparse.by_jax",
        "ops.windows.by_jax",
    ),
    "pytensor.link.pytorch.dispatch": (
        "linkers.torch_numpy",
        "ops.recurrent.by_torch",
        "ops.windows.by_torch",
    ),
}
_PACKAGE = __package__.partition(".")[0]


def follow(name: str) -> None:
    """Import our modules that belong to one of PyTensor's."""
    for part in FOLLOWING[name]:
        import_module(f"{_PACKAGE}.{part}")


class _Follower(MetaPathFinder):
    """Imports modules of ours right after those of PyTensor that they belong to."""

    def __init__(self) -> None:
        self._sought: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        if fullname not in FOLLOWING or fullname in self._sought:
            return None
        # As the others find it, who are asked next.
        self._sought.add(fullname)
        try:
            spec = find_spec(fullname)
        finally:
            self._sought.discard(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_both(module: Any) -> None:
            execute(module)
            follow(fullname)

        spec.loader.exec_module = execute_both  # type: ignore[method-assign]
        return spec


class _KnowSizes(GraphRewriter):
    """Do for a function for JAX that has an Op of ours in it what all of ours need.

    An Op of ours makes arrays by the lengths of others, such as the states of as many series
    as there are. See `jax_sizes`, which is imported when a function is compiled only.
    """

    def apply(self, fgraph: Any) -> None:
        if any(_is_ours(node.op) for node in fgraph.apply_nodes):
            from .jax_sizes import use_early

            use_early(fgraph)


def _is_ours(op: Any) -> bool:
    return type(getattr(op, "core_op", op)).__module__.startswith(f"{_PACKAGE}.ops.")


for _name in FOLLOWING:
    if _name in sys.modules:
        follow(_name)
sys.meta_path.insert(0, _Follower())
optdb.register("theanets_jax_plain", _KnowSizes(), "jax", position=1001)
