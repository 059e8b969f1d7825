"""The compiled functions of a network, kept to be used again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from .. import process

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
            found = self.get(key)
            if found is not None:
                self.move_to_end(key)
            return found
