"""Where the time of a training step goes: by layer, and by kind of operation."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any

from pytensor.compile.mode import Mode, get_mode
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.traversal import ancestors

from . import backends, process
from .errors import ConfigurationError
from .options import whole_number
from .structure import Structure
from .training.engines import GradientEngine
from .training.setup import make_run


@dataclass(frozen=True)
class Part:
    """One operation of a step.

    Attributes
    ----------
    phase : str
        ``'forward'``: from the data to the losses; ``'backward'``: to the
        gradients; ``'update'``: what the optimizer makes of them.
    layer : str
        Name of the layer; empty for what is of none, such as the losses.
    kind : str
        Name of the operation.
    seconds : float
        Its time.
    """

    phase: str
    layer: str
    kind: str
    seconds: float


class Profile:
    """Times of a step's operations; prints as tables.

    Attributes
    ----------
    parts : list of Part
        The operations, the slowest first. Each was compiled and timed by
        itself, less what the cheapest of these calls takes. For small
        networks they add up to more than a step, in which an operation hands
        its arrays to the next one without a call; for large ones to less, as
        the arrays of an operation that is repeated stay in the processor's
        caches.
    step : float
        Seconds of a whole step.
    """

    def __init__(self, parts: Iterable[Part], step: float) -> None:
        self.parts = sorted(parts, key=lambda part: -part.seconds)
        self.step = step

    @property
    def total(self) -> float:
        """Sum of the times of the parts."""
        return sum(part.seconds for part in self.parts)

    def by(self, *keys: str) -> dict[tuple[str, ...], float]:
        """Add up the times of parts that are alike.

        Parameters
        ----------
        *keys : str
            In what: ``'phase'``, ``'layer'``, ``'kind'``.

        Returns
        -------
        dict
            Seconds, the longest first.
        """
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        for part in self.parts:
            sums[tuple(getattr(part, key) for key in keys)] += part.seconds
        return dict(sorted(sums.items(), key=lambda item: -item[1]))

    def __str__(self) -> str:
        lines = [f"a step takes {_pretty(self.step)}, its parts {_pretty(self.total)}"]
        for keys in (("phase",), ("layer", "phase"), ("kind",)):
            lines += ["", f"{' and '.join(keys):<40} {'time':>10} {'share':>6}"]
            for names, seconds in self.by(*keys).items():
                share = 100 * seconds / (self.total or 1)
                title = " ".join(name or "(no layer)" for name in names)
                lines.append(f"{title[:40]:<40} {_pretty(seconds):>10} {share:5.1f}%")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Profile of {len(self.parts)} operations, {_pretty(self.step)} a step>"


def _pretty(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def profile(net: Structure, data: Any, algo: Any = "adam", **options: Any) -> Profile:
    """Time the operations of a training step; see `theanets.Network.profile`."""
    repeats = whole_number("repeats", options.pop("repeats", 20))
    variables = [*net.params, *net.state]
    with process.hold(variables):
        before = {variable: variable.get_value() for variable in variables}
    mode = options.pop("mode", None)
    mode = net.mode if mode is None else mode
    found, apart = _modes(mode, backends.mode_key(mode))
    try:
        run = make_run(net, data, None, algo, mode=apart, progress=False, **options)
        engine = run.engine
        if not isinstance(engine, GradientEngine):
            raise ConfigurationError(f"algo={algo!r} has no steps; expected one of gradients")
        step: Any = engine.step.function
        with closing(engine.data.epoch(1)) as batches:
            batch, _ = next(batches)
        whole = _seconds(lambda: step(*batch), repeats)
        optimizer = engine.step.optimizer
        settings = {*optimizer.state.values(), *optimizer.hyper.values()}
        place = _Places(net, step.maker.fgraph, settings)
        with step.lending():
            parts = _parts(place, step, batch, found, repeats)
        return Profile(parts, whole)
    finally:
        with process.hold(before):
            for variable, value in before.items():
                variable.set_value(value)


@cache
def _modes(mode: str | Mode | None, key: Hashable) -> tuple[Mode, Mode]:
    """Get a mode, and the same one without what works in place.

    That would change the arrays which the next repetition needs. It is made
    once, since compiled functions are kept by their mode.
    """
    found = get_mode(backends.resolve_mode(mode))
    return found, found.excluding("inplace")


def _parts(place: _Places, step: Any, batch: Sequence[Any], mode: Mode, repeats: int) -> list[Part]:
    """Run the operations of a compiled step one by one, and time each."""
    graph = step.maker.fgraph
    for storage, array in zip(step.input_storage, batch, strict=False):
        storage.storage[0] = array
    values = {
        variable: container.storage[0]
        for variable, container in zip(graph.inputs, step.input_storage, strict=True)
    }
    plain = Mode(linker=mode.linker.clone(), optimizer=None)
    linker = backends.linker(mode)
    timed = []
    for node in graph.toposort():
        variables = [linker.own_input(v, values.get(v)) for v in node.inputs]
        inputs = [v.type() for v in variables if not isinstance(v, Constant)]
        fresh = iter(inputs)
        arguments = [v if isinstance(v, Constant) else next(fresh) for v in variables]
        outputs = node.clone_with_new_inputs(arguments).outputs
        function = backends.function(inputs, outputs, mode=plain)
        given = [values[v] for v in variables if not isinstance(v, Constant)]
        values.update(zip(node.outputs, function(*given), strict=True))
        seconds = _seconds(lambda f=function, g=given: f(*g), repeats)  # type: ignore[misc]
        timed.append((*place(node), type(node.op).__name__, seconds))
    call = min((seconds for *_, seconds in timed), default=0.0)
    return [Part(phase, layer, kind, s - call) for phase, layer, kind, s in timed]


def _seconds(function: Callable[[], Any], repeats: int) -> float:
    """Get the least time of a call."""
    function()
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


class _Places:
    """Finds out to which phase and layer an operation belongs.

    What the losses need is forward, and belongs to the last layer whose
    parameters it needs. Of the rest, what needs the state or the settings of
    the optimizer is the update. What remains is backward, and belongs to the
    last layer whose parameters' updates need it.
    """

    def __init__(self, net: Structure, graph: Any, settings: Iterable[Any]) -> None:
        self.names = [*(str(layer.name) for layer in net.layers), ""]
        order = {name: i for i, name in enumerate(self.names[:-1])}
        # Parameters and inputs have the name of their layer; the state of an
        # optimizer also, but that is not what an operation of a layer needs.
        of_net = {v.name for v in [*net.params, *net.state, *net.inputs]}
        self.owner = {v: order[v.name.split(".")[0]] for v in graph.inputs if v.name in of_net}
        known = {v.name for v in settings}
        self.settings = {v for v in graph.inputs if v.name in known}
        updates = graph.update_mapping or {}
        returned = [v for i, v in enumerate(graph.outputs) if i not in updates]
        self.forward = set(ancestors(returned))
        #: The last of the layers whose new parameters need a variable.
        self.needed: dict[Any, int] = {}
        for output, source in updates.items():
            last = self.owner.get(graph.inputs[source])
            if last is not None:
                for variable in ancestors([graph.outputs[output]]):
                    self.needed[variable] = max(last, self.needed.get(variable, -1))

    def __call__(self, node: Apply) -> tuple[str, str]:
        """Get the phase and the name of the layer of a node."""
        needs = set(ancestors(node.outputs))
        if self.forward.intersection(node.outputs):
            owners = [self.owner[v] for v in needs if v in self.owner]
            return "forward", self.names[max(owners, default=-1)]
        phase = "update" if self.settings & needs else "backward"
        return phase, self.names[max((self.needed.get(v, -1) for v in node.outputs), default=-1)]
