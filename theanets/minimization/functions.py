"""What users call to minimize an expression."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import optimizers, pretraining, runs
from ..errors import ConfigurationError, check_keywords
from ..history import History
from ..regularizers import keywords as regularizer_keywords
from ..rng import as_seed
from ..training.options import DATA, LIMITS, LOOP
from .problem import Problem

Monitors = dict[str, float]

#: Keywords of ``train`` that are about networks.
OF_NETWORKS = {"save_progress", "save_every", "metrics", "freeze", "buckets"}
#: Updates in an epoch of a cost without inputs.
UPDATES = 100


class Minimum(tuple[Monitors, Monitors]):
    """What `minimize` returns: the pair ``(train, valid)`` of monitors, as ``net.train`` does.

    Attributes
    ----------
    train, valid : dict
        Monitors of the parameters that there are now.
    history : History
        A row for each epoch; also why it stopped.
    """

    history: History

    def __new__(cls, monitors: tuple[Monitors, Monitors], history: History) -> Minimum:
        made = super().__new__(cls, monitors)
        made.history = history
        return made

    @property
    def train(self) -> Monitors:
        """Monitors on the data to train on."""
        return self[0]

    @property
    def valid(self) -> Monitors:
        """Monitors on the data to validate on."""
        return self[1]


def minimize(
    cost: Any,
    params: Any = None,
    inputs: Any = (),
    train: Any = None,
    valid: Any = None,
    algo: Any = None,
    *,
    monitors: Any = (),
    updates: Any = (),
    **kwargs: Any,
) -> Minimum:
    r"""Minimize a scalar expression of inputs and shared variables.

    All that `Network.train <theanets.Network.train>` does for a network it does
    for the cost: validation, patience, schedules, checkpoints, callbacks,
    progress, limits; and the parameters are the best in the end.

    Parameters
    ----------
    cost : scalar expression
        What is minimized, in float32 or float64. Where it has inputs, it should
        be a mean over their rows (see Notes).
    params : list of shared variables, optional
        What is changed. By default all shared variables of floating point
        that the cost has a gradient for. (So data should not be shared variables
        but constants, ``pt.as_tensor(x)``.) What networks keep beside their
        parameters is left out, running means for instance, and so is what
        ``updates`` change.
    inputs : list of variables
        The symbolic arrays that data are given for, their first axis being
        that of the examples.
    train : list, tuple, dict, array, callable or iterable
        Arrays in the order of ``inputs``, or by their names; or what gives
        batches of such. See `theanets.data.Dataset`. Nothing without inputs.
    valid : optional
        Data to validate on, likewise. By default arrays to train on are
        validated on too.
    algo : str, Optimizer, or list of these
        As for `Network.train <theanets.Network.train>`: ``'adam'`` by default,
        ``'l-bfgs'``, ...
    monitors : dict or list of pairs
        Expressions to measure, by name. A scalar is averaged over batches as
        the cost is, anything else over all its entries. A monitor can be the
        ``criterion``: ``('error', 'min')``. Names of parameters may have
        numbers and functions, see `theanets.monitors.custom`.
    updates : dict or list of pairs
        What else each step changes, and to which expression. Random variables
        need nothing here that have their updates (`RandomStream`).
    **kwargs
        As for `Network.train <theanets.Network.train>`, but for what is about
        networks: limits (``epochs``, ``max_updates``, ``max_seconds``, ``patience``,
        ``min_improvement``, ``validate_every``), data (``batch_size``,
        ``train_batches``, ``valid_batches``, ``validation_split``, ``axis``,
        ``prefetch``), the loop (``callbacks``, ``criterion``, ``progress``,
        ``checkpoint``, ``checkpoint_every``, ``monitor_gradients``, ``rng``,
        ``mode``, ``device``) and hyper-parameters of the algorithm (``learning_rate``, ...).

    Returns
    -------
    Minimum
        The pair ``(train, valid)`` of monitors, with its ``history``. ``'loss'``
        in them is the cost.

    Raises
    ------
    ConfigurationError
        If the cost is no scalar of floating point, has inputs that are not
        given or is given some that it does not use, or if a parameter is none
        that it has a gradient for; before anything is compiled.
    DataError
        If the data are not what the inputs need.

    Notes
    -----
    Of several batches, the cost is the mean of their costs, each weighted by its
    number of rows. If the cost is itself a mean over rows, this is the cost
    of all rows together, whatever the size of batches; so it is for
    ``'l-bfgs'``, which works on all data. A sum over rows makes steps grow with
    the size of batches. Where rows belong together, as in the likelihood of a
    Gaussian process, let them be constants in the cost, or give
    ``batch_size=len(x)``.

    Without inputs an epoch is 100 updates, unless ``train_batches`` says
    otherwise, and with ``'l-bfgs'`` one iteration.

    Random variables draw anew in each step, and the same numbers in each
    validation, so that these can be compared; with ``'l-bfgs'`` they draw
    the same numbers throughout. Their generators go on from where they are,
    unless ``rng`` gives a seed.

    Examples
    --------
    A line through points::

        x, y = pt.vector('x'), pt.vector('y')
        a, b = pytensor.shared(0.0, 'a'), pytensor.shared(0.0, 'b')
        theanets.minimize(pt.sqr(a * x + b - y).mean(), inputs=[x, y], train=[xs, ys])
    """
    problem, arguments, kwargs = _problem(
        cost, params, inputs, train, valid, algo, monitors, updates, kwargs
    )
    several = runs.begin(problem, *arguments, kwargs)
    with problem.explaining():
        return Minimum(runs.alone(problem, runs.finish, several), problem.history)


def iterminimize(
    cost: Any,
    params: Any = None,
    inputs: Any = (),
    train: Any = None,
    valid: Any = None,
    algo: Any = None,
    *,
    monitors: Any = (),
    updates: Any = (),
    **kwargs: Any,
) -> Iterator[tuple[Monitors, Monitors]]:
    """Minimize a scalar expression, epoch by epoch; takes what `minimize` takes.

    However the iteration ends, the parameters are then the best that were
    validated.

    Yields
    ------
    (train, valid) : dicts
        Monitors of the epoch's batches, and of the last validation.
    """
    problem, arguments, kwargs = _problem(
        cost, params, inputs, train, valid, algo, monitors, updates, kwargs
    )
    return _iterate(problem, runs.begin(problem, *arguments, kwargs))


def _iterate(problem: Problem, several: Iterator[Any]) -> Iterator[tuple[Monitors, Monitors]]:
    with problem.explaining():
        while (run := runs.alone(problem, next, several, None)) is not None:
            yield from run.iterate()
            if run.stop_reason == "interrupted":
                break


def _problem(
    cost: Any,
    params: Any,
    inputs: Any,
    train: Any,
    valid: Any,
    algo: Any,
    monitors: Any,
    updates: Any,
    kwargs: Mapping[str, Any],
) -> tuple[Problem, tuple[Any, Any, Any], dict[str, Any]]:
    """Check what is asked for; get the problem, and the arguments that a run takes."""
    algorithms = algo if isinstance(algo, (list, tuple)) else [algo]
    _check_algorithms([one for one in algorithms if one is not None], kwargs)
    given = dict(kwargs)
    if given.get("rng") is not None:
        given["rng"] = as_seed(given["rng"])
    problem = Problem(cost, params, inputs, updates, monitors, given.get("rng"))
    given["monitors"] = problem.watched
    if not problem.needs_data and given.get("train_batches") is None:
        given["train_batches"] = UPDATES
    return problem, (train, valid, algo), given


def _check_algorithms(algorithms: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Refuse algorithms and keywords that are for networks."""
    known = {*LIMITS, *DATA, *LOOP, "mode", "device"} - OF_NETWORKS
    for algo in algorithms or ["adam"]:
        if hasattr(algo, "itertrain"):
            return
        if isinstance(algo, str) and algo.lower() in pretraining.METHODS:
            raise ConfigurationError(f"algo={algo!r} is for networks, not for an expression")
        known |= optimizers.keywords(algo)
    penalties = {*regularizer_keywords()}
    for key in kwargs:
        if key in penalties:
            raise ConfigurationError(
                f"minimize takes no {key}=, which is for networks: penalties and noise are parts "
                "of the cost, as in cost + 0.1 * pt.sqr(w).mean()"
            )
        if key in OF_NETWORKS:
            raise ConfigurationError(f"minimize takes no {key}=, which is for networks")
    check_keywords("minimize", set(kwargs) - known, known)
