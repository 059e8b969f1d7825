"""Models of Keras: which layer follows which, with their paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..data.tables import plain
from ..errors import ConfigurationError
from ..export.torch_arrays import Array
from .plan import Plan, refused


class Node(NamedTuple):
    """A layer in its place.

    Attributes
    ----------
    layer
        Of Keras.
    path : str
        Its name, after those of the models that it is in: ``'body.dense'``.
    sources : list of str
        Paths of the layers that feed it.
    keywords : dict
        What it is called with besides.
    """

    layer: Any
    path: str
    sources: list[str]
    keywords: Mapping[str, Any]


#: How layers are read, by the name of their class in keras.layers.
READERS: dict[str, Callable[[Place], None]] = {}
#: Classes of models, which have layers.
MODELS = ("Sequential", "Functional")
#: Classes that attend, and what they call their inputs, in their order.
ATTENDING = ("MultiHeadAttention",)
SERIES = ("query", "value", "key")
#: Operations that are what layers of their names are: ``a + b`` and ``a * b``.
OPERATIONS = ("Add", "Multiply")


def reads(*kinds: str) -> Callable[[Callable[[Place], None]], Callable[[Place], None]]:
    """Register a function that reads layers of some classes."""

    def register(read: Callable[[Place], None]) -> Callable[[Place], None]:
        READERS.update(dict.fromkeys(kinds, read))
        return read

    return register


def kind_of(layer: Any) -> str:
    """Get the name of the class of Keras that a layer computes as; '' if it is none.

    A class of the user's computes as its base if it does not override ``call``.
    """
    for cls in type(layer).__mro__:
        if cls.__module__.partition(".")[0] == "keras":
            same = getattr(type(layer), "call", None) is getattr(cls, "call", None)
            return cls.__name__ if same else ""
    return ""


def array(variable: Any) -> Array:
    """Get a variable of any backend as an array."""
    value = getattr(variable, "value", variable)
    # A tensor of PyTorch that has a gradient is no array.
    found = plain(value.detach() if hasattr(value, "detach") else value)
    return found if found.dtype in (np.float32, np.float64) else found.astype(np.float32)


@dataclass
class Place:
    """A layer that is being read.

    Attributes
    ----------
    plan : Plan
        Gets the layers.
    layer
        Of Keras.
    path : str
        Its path.
    sources : list of str
        Names of our layers that feed it.
    alone : bool
        Whether nothing else takes what feeds it, so that it may be changed.
    keywords : dict
        What it is called with besides, which a reader takes out.
    result : str
        Name of our layer that gives what this one does.
    """

    plan: Plan
    layer: Any
    path: str
    sources: list[str]
    alone: bool
    keywords: dict[str, Any] = field(default_factory=dict)
    result: str = ""

    def refuse_unless(self, holds: Any, why: str) -> None:
        """Refuse the layer."""
        if not holds:
            raise refused(self.path, type(self.layer).__name__, why)

    def expect(self, **options: Any) -> None:
        """Refuse a layer some of whose options have no counterpart.

        Parameters
        ----------
        **options
            What an option has to be; a tuple of several.
        """
        for name, values in options.items():
            valid = values if isinstance(values, tuple) else (values,)
            found = getattr(self.layer, name, valid[0])
            known = " or ".join(map(repr, valid))
            self.refuse_unless(found in valid, f"{name}={found!r} has no counterpart, {known} has")

    def arrays(self, *names: str) -> dict[str, Array]:
        """Get variables of the layer that it has."""
        found = {name: getattr(self.layer, name, None) for name in names}
        return {name: array(value) for name, value in found.items() if value is not None}

    def add(
        self,
        form: str,
        params: Mapping[str, Array] | None = None,
        suffix: str = "",
        **options: Any,
    ) -> None:
        """Add a layer behind what feeds this one, or behind what was added for it before."""
        name = self.plan.name(self.path) + suffix
        sources = [self.result] if self.result else self.sources
        if sources != [self.plan.last["name"]]:
            # Names in a block may be those within the block.
            options["inputs"] = [f"/{s}" if "/" in name else s for s in sources]
        self.plan.add(form, name, params, **options)
        self.result = name

    def activate(self, activation: str) -> None:
        """Apply an activation to what feeds the layer."""
        last = self.plan.last
        if self.alone and self.sources == [last["name"]]:
            self.plan.activate(activation, self.plan.name(self.path))
            self.result = self.plan.last["name"]
        else:
            self.add("add", activation=activation)


# ---- the layers of a model, one after the other --------------------------------------------


def nodes(model: Any, path: str, sources: Sequence[str]) -> Iterator[Node]:
    """Get the layers of a model, those of models in it one by one, each after what feeds it.

    Parameters
    ----------
    model
        Of Keras.
    path : str
        The path of the model, and a dot; '' for the outermost.
    sources : list of str
        Paths of what feeds the model; of the outermost, whose inputs are layers, nothing.

    Returns
    -------
    iterator
        It is not through before it has told what gives the output: that is the last one.
    """
    made: dict[str, str] = {}
    for layer, feeds, keywords in _order(model):
        feeding = [made[name] for name in feeds] if feeds is not None else list(sources)
        if _is_input(layer) and sources:
            # That of a model within another.
            made[layer.name] = sources[_input_names(model).index(layer.name)]
        elif kind_of(layer) in MODELS:
            made[layer.name] = ""
            for node in nodes(layer, f"{path}{layer.name}.", feeding):
                made[layer.name] = node.path
                yield node
        else:
            made[layer.name] = f"{path}{layer.name}"
            yield Node(layer, made[layer.name], feeding, keywords)


def _order(model: Any) -> Iterator[tuple[Any, list[str] | None, dict[str, Any]]]:
    """Get the layers of one model, with the names of those that feed them, and keywords.

    None instead of the names stands for what feeds the model.
    """
    if kind_of(model) == "Sequential":
        before: str | None = None
        first = model.layers[0] if model.layers else None
        if first is not None and kind_of(first) != "InputLayer" and model.inputs:
            # The input is not among the layers.
            start = model.inputs[0]
            yield _Input(start), [], {}
            before = _Input.name
        for layer in model.layers:
            yield layer, None if before is None else [before], {}
            before = layer.name
        return
    by_name = {layer.name: layer for layer in model.layers}
    operations = {each.name: each for each in model.operations}
    config = model.get_config()
    outputs = config["output_layers"]
    if len(_listed(outputs)) != 1:
        raise ConfigurationError(
            f"model {model.name!r} has {len(_listed(outputs))} outputs; a network of one is made: "
            "keras.Model(model.inputs, model.outputs[0]) has one"
        )
    for described in config["layers"]:
        name = described["name"]
        calls = described["inbound_nodes"]
        if name not in by_name:
            _check_operation(name, described["class_name"], calls)
        if len(calls) > 1:
            raise refused(
                name,
                described["class_name"],
                f"it is used {len(calls)} times, with one set of weights",
            )
        keywords = dict(calls[0]["kwargs"]) if calls else {}
        feeds = list(_tensors(calls[0]["args"])) if calls else []
        # What attends gets its series by keyword as well.
        for key in SERIES:
            if described["class_name"] in ATTENDING and key in keywords:
                feeds += _tensors(keywords.pop(key))
        if any(True for _ in _tensors(keywords)):
            raise refused(name, described["class_name"], "it has inputs by keyword")
        yield operations[name], feeds, keywords


def _check_operation(name: str, kind: str, calls: Sequence[Mapping[str, Any]]) -> None:
    """Refuse an operation that no layer computes."""
    if kind not in OPERATIONS:
        raise refused(name, kind, "an operation has no counterpart, a layer may have")
    described = [dict(each) if isinstance(each, Mapping) else {} for each in calls[0]["args"]]
    outputs = all(each.get("class_name") == "__keras_tensor__" for each in described)
    if not outputs or len({tuple(each["config"]["shape"]) for each in described}) != 1:
        raise refused(
            name,
            kind,
            "an operation of two outputs of one shape has a counterpart, and none of other things",
        )


def _input_names(model: Any) -> list[str]:
    """Get the names of the inputs of a model in their order."""
    if kind_of(model) == "Sequential":
        return [_Input.name]
    return [name for name, *_ in _listed(model.get_config()["input_layers"])]


class _Input:
    """The input of a Sequential, which has no layer for it."""

    name = "in"

    def __init__(self, tensor: Any) -> None:
        self.batch_shape = tuple(tensor.shape)


def _listed(outputs: Any) -> list[Any]:
    """Get the outputs of a model, of which a single one may be without a list."""
    return [outputs] if outputs and isinstance(outputs[0], str) else list(outputs)


def _tensors(found: Any) -> Iterator[str]:
    """Get the names of the layers whose outputs are in the description of a call."""
    if isinstance(found, Mapping):
        if found.get("class_name") == "__keras_tensor__":
            yield found["config"]["keras_history"][0]
        else:
            yield from _tensors(list(found.values()))
    elif isinstance(found, (list, tuple)):
        for each in found:
            yield from _tensors(each)


def walk(plan: Plan, model: Any) -> None:
    """Add the layers of a model to a plan.

    Raises
    ------
    ConfigurationError
        If the model is not built, or some layer has no counterpart.
    """
    if not model.built or not model.inputs:
        raise ConfigurationError(
            f"model {model.name!r} does not know its input yet: begin it with keras.Input, or "
            "give it some data first"
        )
    # Data are given in the order of the model's inputs, whatever is described first.
    order = {name: place for place, name in enumerate(_input_names(model))}
    found = sorted(
        nodes(model, "", []),
        key=lambda node: order.get(node.path, 0) if _is_input(node.layer) else len(order),
    )
    unknown = [
        f"{node.path!r} ({type(node.layer).__name__})"
        for node in found
        if not _is_input(node.layer) and kind_of(node.layer) not in READERS
    ]
    if unknown:
        raise ConfigurationError(f"these layers have no counterpart here: {', '.join(unknown)}")
    feeding = [source for node in found for source in node.sources]
    symbols = {
        source for node in found if kind_of(node.layer) == "Embedding" for source in node.sources
    }
    passing = {node.path for node in found if kind_of(node.layer) == "Identity"}
    given: dict[str, str] = {}
    for node in found:
        if _is_input(node.layer):
            given[node.path] = _input(plan, node, node.path in symbols)
            continue
        sources = [given[source] for source in node.sources]
        # What an Identity gives is something else's output too.
        alone = all(feeding.count(s) == 1 and s not in passing for s in node.sources)
        place = Place(plan, node.layer, node.path, sources, alone, dict(node.keywords))
        READERS[kind_of(node.layer)](place)
        said = {k: v for k, v in place.keywords.items() if v not in (None, False)}
        place.refuse_unless(
            not said,
            f"it is called with {', '.join(f'{k}={v!r}' for k, v in said.items())}, which has no "
            "counterpart",
        )
        given[node.path] = place.result
    last = given[found[-1].path]
    if last != plan.last["name"]:
        raise ConfigurationError(
            f"model {model.name!r} has as its output {last!r}, after which more layers come"
        )


def _is_input(layer: Any) -> bool:
    return isinstance(layer, _Input) or kind_of(layer) == "InputLayer"


def _input(plan: Plan, node: Node, symbols: bool) -> str:
    """Add an input; get its name."""
    shape = tuple(None if n is None else int(n) for n in node.layer.batch_shape[1:])
    name = plan.name(node.path)
    plan.add("symbols" if symbols else "input", name, shape=shape)
    return name
