"""Measures: the metrics of a network's outputs, and what a compiled function returns for them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import metrics as _metrics
from .. import names as _names
from ..errors import ConfigurationError, unknown
from ..losses import Loss
from ..losses.reduction import Compared
from ..outputs import Outputs
from . import KINDS, Metric


class Measures:
    """Metrics, each of one output, that are added up over batches.

    Parameters
    ----------
    spec
        What the user asks for, see `theanets.Network.evaluate`.
    losses : list of Loss
        They say which outputs are compared with which targets.
    outputs : Outputs
        Expressions by full name.
    taken : iterable of str
        Names that other monitors have.

    Raises
    ------
    ConfigurationError
        If a metric does not exist, or has no output that it is about.
    """

    def __init__(
        self,
        spec: Any = None,
        losses: Sequence[Loss] = (),
        outputs: Outputs | None = None,
        taken: Iterable[str] = (),
    ) -> None:
        self._sources: list[Compared] = []
        self._metrics: dict[str, tuple[Metric, int, int]] = {}
        asked = _asked(spec)
        if not asked:
            return
        found = _sources(losses, Outputs.of(outputs or {}))
        names = set(taken)
        used: list[Source] = []
        for output, wanted in asked:
            metric = _metrics.build(wanted)
            if output is not None and output not in {s.loss.output_name for s in found}:
                known = [s.loss.output_name for s in found]
                raise unknown("output of metrics", output, known)
            own = [s for s in found if output in (None, s.loss.output_name)]
            fitting = [s for s in own if s.compared.kind in metric.kinds]
            if not fitting:
                raise _without_meaning(metric, own)
            for source in fitting:
                name = _name(metric, source, names)
                names.add(name)
                if source not in used:
                    used.append(source)
                one = copy.copy(metric)
                one.start(source.compared.kind, source.size)
                self._metrics[name] = (one, used.index(source), source.size)
        self._sources = [source.compared for source in used]

    def __bool__(self) -> bool:
        return bool(self._metrics)

    @property
    def expressions(self) -> list[Any]:
        """What the compiled function has to return, and `add` takes."""
        return [x for s in self._sources for x in (s.target, s.output, s.weights) if x is not None]

    @property
    def directions(self) -> dict[str, str | None]:
        """Whether less (``'min'``) or more (``'max'``) is better, by name."""
        return {name: metric.better for name, (metric, _, _) in self._metrics.items()}

    def settled(self) -> Measures:
        """Get the same without the expressions, once these are compiled."""
        found = copy.copy(self)
        found._sources = [
            s._replace(target=None, output=None, weights=None if s.weights is None else True)
            for s in self._sources
        ]
        return found

    def anew(self) -> Measures:
        """Get the same that have nothing yet; what is added to them is not added here."""
        found = copy.copy(self)
        found._metrics = {k: (copy.copy(m), i, size) for k, (m, i, size) in self._metrics.items()}
        found.start()
        return found

    def start(self) -> None:
        """Begin with nothing."""
        for metric, i, size in self._metrics.values():
            metric.start(self._sources[i].kind, size)

    def add(self, arrays: Sequence[Any]) -> None:
        """Add the values of the expressions for a batch."""
        values, sizes = iter(arrays), {i: size for _, i, size in self._metrics.values()}
        parts = []
        for i, source in enumerate(self._sources):
            target, output = next(values), next(values)
            weights = None if source.weights is None else next(values)
            part = _metrics.part(
                source.kind, sizes[i], target, output, weights, source.logits, source.orders
            )
            parts.append(part)
        for metric, i, _ in self._metrics.values():
            metric.add(parts[i])

    @property
    def metrics(self) -> list[Metric]:
        """The metrics, each with what was added to it."""
        return [metric for metric, _, _ in self._metrics.values()]

    def state(self) -> dict[str, Any]:
        """Get what was added to all of them, as arrays by name."""
        return {
            f"{i}/{key}": array
            for i, metric in enumerate(self.metrics)
            for key, array in metric.state().items()
        }

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the `state` of another one."""
        for i, metric in enumerate(self.metrics):
            start = f"{i}/"
            metric.merge(
                {k.removeprefix(start): a for k, a in state.items() if k.startswith(start)}
            )

    def values(self) -> dict[str, float]:
        """Get the figures of all that was added, by name."""
        return {name: metric.value() for name, (metric, _, _) in self._metrics.items()}


class Source:
    """An output that a loss compares with a target."""

    def __init__(self, loss: Loss, compared: Compared, outputs: Outputs) -> None:
        self.loss = loss
        self.compared = compared
        size = outputs[loss.output_name].type.shape[-1]
        if compared.kind in ("values", "quantiles"):
            # The output may have several numbers for each variable.
            size = compared.target.type.shape[-1] or size
        self.size = int(size)


def _sources(losses: Sequence[Loss], outputs: Outputs) -> list[Source]:
    """Get what is compared; of losses that compare the same, by the weights of the first."""
    found: dict[Any, Source] = {}
    for loss in losses:
        if outputs[loss.output_name].type.shape[-1] is None:
            continue
        for compared in loss.comparisons(outputs):
            key = (loss.output_name, id(loss._target), compared.kind, compared.orders)
            found.setdefault(key, Source(loss, compared, outputs))
    return list(found.values())


def _asked(spec: Any) -> list[tuple[str | None, Any]]:
    """Get pairs of an output, None for all, and the specification of a metric."""
    if spec is None:
        return []
    if isinstance(spec, Mapping) and "form" not in spec:
        return [
            (_names.output_name(output), one)
            for output, several in spec.items()
            for _, one in _asked(several)
        ]
    if isinstance(spec, (list, tuple, set)):
        return [(None, one) for one in spec]
    return [(None, spec)]


def _name(metric: Metric, source: Source, taken: set[str]) -> str:
    loss = source.loss
    base = metric.name if loss.main else f"{metric.name}:{loss.output_name.removesuffix(':out')}"
    if base in taken and source.loss.target_name:
        base = f"{base}:{source.loss.target_name}"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}:{number}", number + 1
    return name


def _without_meaning(metric: Metric, sources: Sequence[Source]) -> ConfigurationError:
    what = " or ".join(KINDS[kind] for kind in metric.kinds)
    have = "; ".join(f"{s.loss.output_name}: {KINDS[s.compared.kind]}" for s in sources)
    return ConfigurationError(
        f"metric {metric.name!r} compares {what}, but there is no such output "
        f"({have or 'no loss compares an output with targets of its own shape'})"
    )
