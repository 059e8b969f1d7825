"""Pretraining: networks that are trained layer by layer, or get samples of the data as weights.

``algo='layerwise'`` trains a network of one hidden layer, then that with a
second one, and so on; ``algo='pretrain'`` does so with an autoencoder that
has the network's hidden layers; ``algo='sample'`` is in `theanets.pretraining.sampling`.

Each stage is a run of training of its own; see `theanets.pretraining.stages` for what is
trained in it.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .. import names as _names
from .. import optimizers
from ..data import comes_in_batches
from ..data.mapped import mapped
from ..errors import ConfigurationError, deprecated, unknown
from ..regularizers import from_kwargs
from ..regularizers import keywords as regularizer_keywords
from ..structure import Structure
from ..training import options, setup
from . import sampling
from .stages import Stage, layerwise, unsupervised

log = logging.getLogger("theanets")

#: Names of the methods, with their aliases.
METHODS = {
    "layerwise": "layerwise",
    "supervised": "layerwise",
    "pretrain": "pretrain",
    "unsupervised": "pretrain",
    "sample": "sample",
}
#: What earlier versions took for them: names that begin so.
BEGINNINGS = {"layer": "layerwise", "sup": "layerwise", "pre": "pretrain", "unsup": "pretrain"}


def method(algo: Any) -> str | None:
    """Get the canonical name of a method of pretraining, or None for anything else."""
    if not isinstance(algo, str):
        return None
    found = METHODS.get(algo.lower())
    begins = [m for start, m in BEGINNINGS.items() if algo.lower().startswith(start)]
    if found is None and begins:
        (found,) = begins
        deprecated(f"algo={algo!r} is now algo={found!r}")
    return found


def keywords(algo: str, subalgo: Any = None) -> set[str]:
    """Get all keywords that ``train`` accepts with a method of pretraining."""
    found = method(algo)
    if found == "sample":
        return set(sampling.KEYWORDS)
    valid = {"subalgo", *options.keywords(_subalgo(algo, subalgo))}
    # What is measured of an autoencoder is not what is measured of the network.
    return valid - {"criterion"} if found == "pretrain" else valid


def _subalgo(algo: str, subalgo: Any) -> Any:
    """Check what trains the stages; adam by default."""
    if subalgo is None:
        return "adam"
    form = isinstance(subalgo, type) and issubclass(subalgo, optimizers.Optimizer)
    if isinstance(subalgo, optimizers.Optimizer) or form:
        return subalgo
    if not isinstance(subalgo, str):
        raise ConfigurationError(
            f"subalgo={subalgo!r} is neither the name of an optimizer, nor an Optimizer"
        )
    if method(subalgo) is not None:
        raise ConfigurationError(
            f"subalgo={subalgo!r} is a method of pretraining itself; expected the optimizer that "
            f"trains the stages of algo={algo!r}, for instance 'adam'"
        )
    if subalgo not in optimizers.Optimizer.registry:
        raise unknown("algorithm", subalgo, optimizers.names())
    return subalgo


def makers(
    net: Any, algo: str, train: Any, valid: Any, kwargs: Mapping[str, Any], network: Any = None
) -> Iterator[Callable[[int], Any]]:
    """Generate functions that make the runs of a method, one for each stage.

    Parameters
    ----------
    net : Structure
        The network to train.
    algo, train, valid, kwargs
        The arguments of ``train``, for one of `METHODS`.
    network : Structure, optional
        The network of the user's, see `theanets.training.setup.make_run`.

    Yields
    ------
    callable
        Makes a run from the number of runs that there were before.

    Raises
    ------
    ConfigurationError
        If an argument has a value without meaning, or a layer cannot be
        pretrained.
    """
    found = method(algo)
    if found == "sample":
        yield lambda number: sampling.make_run(
            net, train, valid, run_number=number, network=network, **kwargs
        )
        return
    subalgo = _subalgo(algo, kwargs.get("subalgo"))
    own = {key: value for key, value in kwargs.items() if key != "subalgo"}
    # All before the first is trained, so that what cannot be done is known at once.
    stages = layerwise(net) if found == "layerwise" else unsupervised(net)
    if found == "pretrain" and len(stages[0].net.fields) != len(net.fields):
        train, valid = _inputs_only(net, train), _inputs_only(net, valid)
    adapted = [own if stage.net is net else adapt(own, net, stage.net) for stage in stages]
    for i, (stage, keys) in enumerate(zip(stages, adapted, strict=True), start=1):
        if len(stages) > 1:
            keys = options.numbered(keys, i)
        log.info("%s: stage %d of %d, with %s", found, i, len(stages), ", ".join(stage.new))
        user = net if network is None else network
        yield _maker(user, stage, train, valid, subalgo, keys)


def _maker(
    net: Any, stage: Stage, train: Any, valid: Any, subalgo: Any, keys: Mapping[str, Any]
) -> Callable[[int], Any]:
    return lambda number: setup.make_run(
        stage.net, train, valid, subalgo, run_number=number, network=net, **keys
    )


def _inputs_only(net: Structure, data: Any) -> Any:
    """Leave out of the data what only the losses need, if it is there."""
    fields = net.fields
    inputs = [field.name for field in fields if field.role == "input"]

    def select(batch: Any) -> Any:
        if isinstance(batch, Mapping):
            extra = {field.name for field in fields} - set(inputs)
            return {key: value for key, value in batch.items() if key not in extra}
        if isinstance(batch, (list, tuple)) and len(batch) == len(fields):
            return list(batch[: len(inputs)])
        return batch

    return mapped(data, select) if comes_in_batches(data) else select(data)


# ---- keywords ------------------------------------------------------------------------


def adapt(kwargs: Mapping[str, Any], net: Structure, stage: Structure) -> dict[str, Any]:
    """Get the keywords of ``train`` for a stage, without the patterns that match nothing there.

    Parameters
    ----------
    kwargs : dict
        Those for the network.
    net, stage : Structure
        The network and the stage. A pattern that matches nothing in the
        network is kept, and refused later.
    """
    names = set(regularizer_keywords())
    given = {k: v for k, v in kwargs.items() if k in names and v is not None}
    found, scale = from_kwargs(net.layers, **given)
    kept = []
    for regularizer in found:
        if regularizer.pattern is not None:
            patterns = _present(regularizer.pattern, net, stage)
            if not patterns:
                continue
            regularizer = copy.copy(regularizer)
            regularizer.pattern = patterns
        kept.append(regularizer)
    own = {k: v for k, v in kwargs.items() if k not in names}
    if given:
        own.update(regularizers=kept, penalty_scale=scale)
    if own.get("freeze"):
        own["freeze"] = _present(_names.param_patterns(own["freeze"]), net, stage)
    watched = own.get("monitors")
    if isinstance(watched, Mapping):
        watched = list(watched.items())
    if isinstance(watched, Sequence) and not isinstance(watched, str):
        pairs = []
        for pair in watched:
            if isinstance(pair, (tuple, list)) and len(pair) == 2:
                patterns = _present(pair[0], net, stage)
                pairs += [(patterns, pair[1])] if patterns else []
            else:
                pairs.append(pair)
        own["monitors"] = pairs
    return own


def _present(pattern: Any, net: Structure, stage: Structure) -> list[str]:
    """Get those patterns that match something in the stage, or nothing in the network either."""

    def matches(part: str, structure: Structure) -> bool:
        params = [variable.name for variable in [*structure.params, *structure.state]]
        outputs = structure.graph.output_names
        every = [*outputs, *(f"{name}-{kind}" for name in outputs for kind in _CLEAN)]
        return bool(_names.match([part], params) or _names.match([_names.output_name(part)], every))

    parts = _names.split_patterns(pattern)
    return [p for p in parts if matches(p, stage) or not matches(p, net)]


_CLEAN = ("prenoise", "predrop")
