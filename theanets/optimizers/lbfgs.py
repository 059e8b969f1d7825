"""L-BFGS, by SciPy: a full-batch, second-order method that is not a chain of transforms."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from .. import process
from ..options import number, whole_number
from .base import Optimizer
from .hyper import Hyper

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]

# SciPy's own defaults.
HISTORY, TOLERANCE, GRADIENT_TOLERANCE = 10, 1e7 * float(np.finfo(float).eps), 1e-5

# SciPy limits the evaluations too; ours are limited by the iterations alone.
UNLIMITED = 2**31 - 1


class LBFGS(Optimizer, names=("l-bfgs", "lbfgs", "bfgs")):
    """Limited-memory BFGS, on the whole data at once.

    Parameters
    ----------
    history : int
        Number of curvature pairs that are kept.
    tolerance : float
        Stop when the loss falls by less than this, relative to
        ``max(abs(loss), 1)``.
    gradient_tolerance : float
        Stop when no element of the gradient exceeds this.

    References
    ----------
    Byrd, Lu, Nocedal, Zhu, "A limited memory algorithm for bound constrained
    optimization", SIAM Journal on Scientific Computing, 1995.
    """

    first_order = False
    hypers = (
        Hyper("history", HISTORY),
        Hyper("tolerance", TOLERANCE, "nonnegative"),
        Hyper("gradient_tolerance", GRADIENT_TOLERANCE, "nonnegative"),
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kwargs.get("history") is not None:
            whole_number("history", kwargs["history"], where=self.name())

    def iterate(
        self, value_and_grad: Objective, x0: Any, maxiter: int | None = None
    ) -> Generator[tuple[np.ndarray, float], None, str]:
        """Call `iterate` with this optimizer's options."""
        return iterate(
            value_and_grad,
            x0,
            maxiter,
            history=int(self.values["history"]),
            tolerance=self.values["tolerance"],
            gradient_tolerance=self.values["gradient_tolerance"],
        )


class _Closed(BaseException):
    """Unwinds SciPy when nobody wants more iterations."""


def _wait(results: queue.SimpleQueue[tuple[str, Any]]) -> tuple[str, Any]:
    """Get the next result, and stay open to Ctrl-C, which not every platform lets through."""
    while True:
        try:
            return results.get(timeout=0.2)
        except queue.Empty:
            continue


def iterate(
    value_and_grad: Objective,
    x0: Any,
    maxiter: int | None = None,
    *,
    history: int = HISTORY,
    tolerance: float = TOLERANCE,
    gradient_tolerance: float = GRADIENT_TOLERANCE,
) -> Generator[tuple[np.ndarray, float], None, str]:
    """Minimize a function, and give control back after each iteration.

    SciPy runs in a thread of its own, but never at the same time as the
    consumer, so that its curvature memory survives from one iteration to the
    next. Closing the generator, or an exception in the consumer's thread, ends
    that thread.

    Parameters
    ----------
    value_and_grad : callable
        Maps a float64 vector to the value there and the gradient.
    x0 : array
        Where to start.
    maxiter : int, optional
        Number of iterations; by default until convergence.
    history, tolerance, gradient_tolerance
        As in `LBFGS`.

    Yields
    ------
    (x, value)
        After each iteration; the array is the consumer's own.

    Returns
    -------
    str
        SciPy's message on why it stopped.
    """
    where = "lbfgs.iterate"
    options = {
        "maxcor": whole_number("history", history, where=where),
        "ftol": number("tolerance", tolerance, "nonnegative", where),
        "gtol": number("gradient_tolerance", gradient_tolerance, "nonnegative", where),
        "maxiter": UNLIMITED if maxiter is None else whole_number("maxiter", maxiter, where=where),
        "maxfun": UNLIMITED,
    }
    start = np.array(x0, dtype=np.float64).ravel()
    results: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    resume = threading.Semaphore(0)
    closed = threading.Event()

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        if closed.is_set():
            raise _Closed
        value, gradient = value_and_grad(x)
        return float(value), np.asarray(gradient, dtype=np.float64).ravel()

    def callback(intermediate_result: Any) -> None:
        results.put(("iteration", (intermediate_result.x.copy(), float(intermediate_result.fun))))
        resume.acquire()
        if closed.is_set():
            raise _Closed

    def work() -> None:
        resume.acquire()
        try:
            optimize = process.lazily("scipy.optimize")  # slow to import
            found = optimize.minimize(
                objective, start, jac=True, method="L-BFGS-B", callback=callback, options=options
            )
            results.put(("message", str(found.message)))
        except BaseException as error:  # whatever it is, it belongs to the consumer
            results.put(("error", error))

    # The context carries, for one, what NumPy does about floating-point errors.
    context = contextvars.copy_context()
    worker = threading.Thread(target=context.run, args=(work,), name="l-bfgs", daemon=True)
    try:
        worker.start()
        while True:
            resume.release()
            kind, item = _wait(results)
            if kind == "message":
                return str(item)
            if kind == "error":
                raise item
            yield item
    finally:
        closed.set()
        resume.release()
        # Interrupted in its very start, the worker cannot be joined, but does nothing either.
        if worker.is_alive():
            worker.join()
