"""Compiled functions that are used again, by estimators whose networks have the same structure.

Compiling takes a second or so, which is more than many a fit of a grid search.
So the network that an estimator keeps is not the one that does its work: this
is a twin from a pool, which gets its parameters, and the functions of which are
compiled already if a network of the same structure was at work before.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..backends import mode_key
from ..history import History
from ..losses.factors import Factors
from ..network import Network
from ..registry import is_ours
from ..spec import frozen
from ..structure.snapshot import Key

#: Idle networks that are kept; the least recently used goes first.
POOL_SIZE = 16
#: Networks with more parameters than this do their work themselves, as the
#: memory for a twin would cost more than the compilation.
LARGEST = 1_000_000

_idle: OrderedDict[Hashable, Network] = OrderedDict()
# PyTensor's configuration, which graphs are built under, is that of the
# process, and a compiled function has one set of buffers.
_lock = threading.RLock()


def _after_fork() -> None:
    """Forget a lock that a thread holds which is not there in this process."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def working(net: Network, share: bool = True, keep: bool = True) -> Iterator[Network]:
    """Get the network to work with in place of another: its twin, or itself.

    Parameters
    ----------
    net : Network
        The network whose parameters and seed are used.
    share : bool
        Whether a twin may be used; it is if the network is made of what this
        package defines alone. (What a class or function of the user's does may
        depend on more than can be seen.)
    keep : bool
        Whether the network gets the parameters and the history that the twin
        has at the end.

    Yields
    ------
    Network
        One thread at a time has one.
    """
    with _lock:
        key = cache_key(net) if share else None
        if key is None:
            yield net
            return
        twin = _idle.pop(key, None) or type(net).from_spec({**net.to_spec(), "mode": net.mode})
        twin.go_on_from(net)
        # After an exception the twin is not used again.
        yield twin
        if keep:
            net.go_on_from(twin)
        twin.history = History()
        _idle[key] = twin
        while len(_idle) > POOL_SIZE:
            _idle.popitem(last=False)


def cache_key(net: Network) -> Hashable:
    """Get what tells networks apart that cannot share functions; None for one that shares none."""
    known = net.snapshot().known
    if "reuse" not in known:
        known["reuse"] = _structure_key(net)
    found = known["reuse"]
    return found and (found, mode_key(net.mode))


def _structure_key(net: Network) -> Hashable:
    workers = [worker for layer in net.layers for worker in (layer, *layer.workers)]
    parts = [net, *workers, *(layer.activation for layer in workers), *net.losses]
    if not all(is_ours(type(part)) for part in parts):
        return None
    if any(isinstance(loss, Factors) and loss.waits for loss in net.losses):
        return None  # Training makes it another network.
    described = {**net.to_spec(), "seed": None}
    if net.num_params > LARGEST or not _is_plain(described):
        return None
    return Key((tuple(map(type, parts)), frozen(described)))


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, np.generic, np.ndarray))
