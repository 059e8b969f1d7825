"""The compiled functions of a network, kept to be used again, and what they depend on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from .. import process, spec
from ..layers import Layer
from ..losses import Loss

#: Compiled functions that a network keeps; the least recently used goes first.
SIZE = 16


class Functions(OrderedDict[Hashable, Any]):
    """Compiled functions by what they depend on, for any number of threads."""

    def get_or_make(self, key: Hashable, make: Callable[[], Any], dtype: str) -> Any:
        """Get the function of a key, made unless it is there.

        Parameters
        ----------
        key : hashable
            All that the function depends on.
        make : callable
            Makes it, in one thread at a time.
        dtype : str
            PyTensor's ``floatX`` meanwhile.
        """
        found = self._known(key)
        if found is not None:
            return found
        with process.building(dtype):
            found = self._known(key)  # another thread may have made it meanwhile
            if found is None:
                found = make()
                with process.table:
                    self[key] = found
                    while len(self) > SIZE:
                        self.popitem(last=False)
        return found

    def _known(self, key: Hashable) -> Any:
        with process.table:
            if key in self:
                self.move_to_end(key)
            return self.get(key)


def structure_key(layers: Iterable[Layer], losses: Iterable[Loss]) -> tuple[Hashable, ...]:
    """Get what functions depend on of layers and losses, which have their targets."""
    parts: list[Hashable] = [spec.frozen(layer.cache_key()) for layer in layers]
    for loss in losses:
        # All attributes: those of a class of the user may shape the graph too.
        described = {k: v for k, v in vars(loss).items() if k[0] != "_"}
        about = (loss.output_name, loss.main, loss.weighted)
        parts.append((type(loss), *loss.variables, about, spec.frozen(described)))
    return tuple(parts)
