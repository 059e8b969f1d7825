"""Batches that a thread prepares ahead, while others are computed with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any


def prefetched(
    batches: Generator[Any, None, None],
    count: int,
    most: float,
    ahead: Callable[[Any], Any] | None = None,
) -> Generator[Any, None, None]:
    """Get the same batches in the same order, prepared by another thread.

    Parameters
    ----------
    batches : generator
        Runs in the thread.
    count : int
        How many batches to have ready, at least 1.
    most : int or inf
        How many to get in all: no more are drawn.
    ahead : callable, optional
        What to do with the arrays of each: a batch is a pair of these and a number.

    Yields
    ------
    Any
        What ``batches`` yields. An exception in the thread is raised here,
        with its traceback, after the batches before it. Closing the generator
        ends the thread, once a batch that it is at is done.
    """
    ready: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
    free = threading.Semaphore(count)
    closed = threading.Event()

    def work() -> None:
        drawn = 0
        error: BaseException | None = None
        try:
            while drawn < most:
                free.acquire()
                if closed.is_set():
                    return
                batch = next(batches)
                ready.put((True, batch if ahead is None else (ahead(batch[0]), batch[1])))
                drawn += 1
        except StopIteration:
            pass
        except BaseException as caught:
            error = caught
        ready.put((False, error))

    # Settings such as those of numpy.errstate go along.
    thread = threading.Thread(
        target=copy_context().run, args=(work,), name="theanets-prefetch", daemon=True
    )
    item: Any = None
    thread.start()
    try:
        while True:
            more, item = ready.get()
            if not more:
                break
            free.release()
            yield item
        if item is not None:
            raise item
    finally:
        closed.set()
        free.release()
        thread.join()
        batches.close()
        # An exception refers to this frame.
        del item
