"""Where a run stands: what callbacks and checkpoints see of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from .. import process
from ..earlier import namesakes
from ..errors import ConfigurationError
from ..history import History
from .best import Best
from .criterion import Criterion
from .engines import Engine
from .evaluation import Evaluation
from .keywords import TrainKeywords
from .limits import Limits

#: What a run has by the names of keywords, to begin with.
_OWN = {"criterion", "history"}

Monitors = dict[str, float]


class Standing:
    """What is known of a run of training.

    Attributes
    ----------
    epoch, updates : int
        Epochs and updates that are done.
    seconds : float
        Time since the start, that of an interrupted run before included.
    train, valid : dict
        The last monitors; `train` is empty before the first epoch, `valid`
        before the first validation.
    criterion : Criterion
        Which monitor decides what is best.
    best : Best
        The best validation so far; of it come ``best_value`` (that monitor),
        ``best_loss``, ``best_epoch``, and ``best_values`` (of the parameters).
    learning_rate : float
        The current one.
    stop_reason : str or None
        Why the run ended or is about to end; see `History`.
    history : History
        One row for each epoch.
    network : Any
        The network that trains.
    limits : Limits
        When the run will stop.
    batches : int or None
        Updates in an epoch, if known.
    cut : bool
        Whether the last epoch ended before all its batches.

    Raises
    ------
    ConfigurationError
        If an attribute is set that only tells, or one by the name of a keyword of ``train``,
        which would change nothing.
    """

    def __init__(
        self,
        engine: Engine,
        params: Sequence[Any],
        limits: Limits,
        evaluation: Evaluation,
        network: Any,
        criterion: Criterion,
    ) -> None:
        self.engine = engine
        self.params = list(params)
        self.limits = limits
        self.network = network
        self.criterion = criterion
        self.history = History()
        self.epoch = 0
        self.updates = 0
        self.train: Monitors = {}
        self.valid: Monitors = {}
        names = [str(param.name) for param in self.params]
        self.best = Best(dict(zip(names, self._values(), strict=True)), criterion)
        self.batches: int | None = None
        self.stop_reason: str | None = None
        self.resumed_seconds = 0.0
        self.cut = False
        self._evaluation = evaluation
        self._started = time.perf_counter()

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "learning_rate" or "learning_rate" in namesakes(name):
            raise ConfigurationError(
                f"run.{name}={value!r}: a run's learning rate is not set; what changes it is "
                "learning_rate_schedule= of train(), which may be a function (update, epoch) -> "
                "factor"
            )
        if name in TrainKeywords.__annotations__ and name not in _OWN:
            raise ConfigurationError(
                f"run.{name}={value!r} would change nothing: "
                + (
                    f"run.limits.{name} is what counts from now on"
                    if name in Limits.__dataclass_fields__
                    else f"{name}= of train() says it before the run"
                )
            )
        attribute = getattr(type(self), name, None)
        if isinstance(attribute, property) and attribute.fset is None:
            raise ConfigurationError(
                f"run.{name}={value!r}: it only tells what the run has found, and is not set"
            )
        super().__setattr__(name, value)

    @property
    def seconds(self) -> float:
        """Time since the start of the run."""
        return self.resumed_seconds + time.perf_counter() - self._started

    @property
    def best_value(self) -> float:
        """The criterion in the best validation so far."""
        return self.best.value

    @property
    def best_loss(self) -> float:
        """The loss in the best validation so far."""
        return self.best.loss

    @property
    def best_epoch(self) -> int:
        """When that was."""
        return self.best.epoch

    @property
    def best_values(self) -> list[Any]:
        """Values of the parameters then."""
        return self.best.values

    @property
    def evaluations(self) -> list[Evaluation]:
        """What the run has compiled: its validation, and its step if there is one."""
        return [self._evaluation, *filter(None, [getattr(self.engine, "step", None)])]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that were asked for."""
        return list(self._evaluation.measures.directions)

    @property
    def directions(self) -> dict[str, str | None]:
        """Which is better of each monitor, ``'min'`` or ``'max'``; None where that is not known."""
        return {**self._evaluation.directions, "objective": "min"}

    @property
    def learning_rate(self) -> float:
        """The current learning rate."""
        return self.engine.rate

    def stop(self, reason: str = "callback") -> None:
        """End the run after the current batch or epoch.

        A run that a callback stopped goes on if it is called again with its
        checkpoint.
        """
        self.stop_reason = self.stop_reason or str(reason)

    def _values(self) -> list[Any]:
        with process.hold(self.params):
            return [p.get_value(borrow=False) for p in self.params]
