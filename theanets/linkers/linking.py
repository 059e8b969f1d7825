"""What tells PyTensor's linkers of our Ops, in functions that are not ours too.

The modules by which they are told import JAX, PyTorch and Numba. So they are imported as soon
as PyTensor's own are, be that before or after ours, and not otherwise. (Numba is told by each
Op that is made later on, see `theanets.ops.base`.)
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any

from pytensor.graph.op import Op

from .base import Linker

_PACKAGE = __package__.partition(".")[0]


def link(linkers: Iterable[Linker]) -> None:
    """See to it that linkers are told, once they have been imported."""
    following = {linker.dispatch: linker.forms for linker in linkers if linker.dispatch}
    for name, forms in following.items():
        if name in sys.modules:
            _follow(forms)
    sys.meta_path.insert(0, _Follower(following))


def _follow(forms: Iterable[str]) -> None:
    for name in forms:
        import_module(f"{_PACKAGE}.{name}")


def is_ours(op: Op) -> bool:
    """Tell whether an Op is of this package."""
    return type(getattr(op, "core_op", op)).__module__.startswith(f"{_PACKAGE}.")


class _Follower(MetaPathFinder):
    """Imports modules of ours right after those of PyTensor that they belong to."""

    def __init__(self, following: dict[str, tuple[str, ...]]) -> None:
        self._following = following
        self._sought: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        if fullname not in self._following or fullname in self._sought:
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
            _follow(self._following[fullname])

        spec.loader.exec_module = execute_both  # type: ignore[method-assign]
        return spec
