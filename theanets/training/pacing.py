"""Pacing: how often one looks up from the updates, for callbacks and for the time."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Results of so many updates are kept before they are added up and checked.
FLUSH = 256

#: As many updates are made in one call, where they can be.
MANY = 1024

#: Seconds between two looks; less if so many updates take less, more if one takes more.
INTERVAL = 0.05


class Pacing:
    """What looks up from the updates of an epoch.

    Parameters
    ----------
    look : callable
        Is told how many updates there were; tells whether to end the epoch.
    always : bool
        Whether to look after each update, and not only once in a while.

    Attributes
    ----------
    size : int
        How many updates there are up to the next look.
    most : int
        How many there may be.
    """

    def __init__(self, look: Callable[[int], bool], always: bool) -> None:
        self.look = look
        self.always = always
        self.size, self.most = 1, FLUSH
        self._updates, self._since = 0, 0.0

    def start(self, updates: int) -> None:
        """Begin an epoch, after so many updates."""
        self._updates, self._since = updates, time.perf_counter()

    def __call__(self, updates: int) -> bool:
        """Look, and find out when the next time is."""
        if not self.always:
            now = time.perf_counter()
            each = (now - self._since) / (updates - self._updates)
            fitting = int(INTERVAL / each) if each else self.most
            # At most twice as many, as what comes may take longer than what was.
            self.size = max(1, min(fitting, 2 * self.size, self.most))
            self._updates, self._since = updates, now
        return self.look(updates)
