"""Saving: networks in files, pickles and copies.

Most of these functions are methods of `theanets.Network`, for which they stand here.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from . import checkpoint, copies, process
from .errors import ConfigurationError, FileError, renamed
from .layers.held import Held
from .structure import Structure
from .structure.making import as_dtype

N = TypeVar("N", bound=Structure)

#: The classes of networks by name; of those that were defined again, the last.
MODELS: dict[str, type[Any]] = {}


def model_name(cls: type) -> str:
    """Get what a class of networks is called in files."""
    return f"{cls.__module__}.{cls.__qualname__}"


def register(cls: type[N]) -> type[N]:
    """Let networks of a class be loaded."""
    MODELS[model_name(cls)] = cls
    return cls


# ---- specifications --------------------------------------------------------------


def to_spec(net: Structure) -> dict[str, Any]:
    """Get what builds the network again, without the values of its parameters."""
    if any(not layer.is_input for layer in net.layers):
        net._settle(net.losses)
    return {
        "model": model_name(type(net)),
        "layers": [layer.to_spec() for layer in net.layers],
        "losses": [loss.to_spec() for loss in net.losses],
        "output": net._last,
        "weighted": net.weighted,
        "seed": net.seed,
        "dtype": net.dtype,
        "mode": net.mode if isinstance(net.mode, str) else None,
    }


def from_spec(cls: type[N], described: Mapping[str, Any], held: Held | None = None) -> N:
    """Build a network from what `to_spec` gave.

    Parameters
    ----------
    described : dict
        What `to_spec` gave.
    held : Held, optional
        What there is of the parameters, whose values have to be set then.
        By default they have new initial values.
    """
    keys = ("weighted", "dtype", "mode")
    keywords = {key: described[key] for key in keys if key in described}
    # A subclass may have another signature.
    net = cls.__new__(cls)
    Structure.__init__(net, [], loss=None, rng=described["seed"], **keywords)
    net.graph.held = held
    for layer in described["layers"]:
        net.add_layer(layer)
    net._last = described.get("output")
    for loss in described["losses"]:
        net.add_loss(loss)
    net.graph.held = None
    return net


# ---- files -----------------------------------------------------------------------


@renamed(filename_or_handle="target", filename="target")
def save(net: Any, target: checkpoint.PathOrFile) -> None:
    """Save the network: its specification and its parameters.

    Parameters
    ----------
    target : path or binary file
        A path is written atomically; one that ends in ``.gz`` is
        compressed.

    Raises
    ------
    ConfigurationError
        If a layer or loss cannot be written.
    FileError
        If the file cannot be written; what was there then stays.
    """
    header = {
        "kind": "network",
        "spec": checkpoint.encode(net.to_spec(), "network"),
        "metadata": checkpoint.encode(net.metadata, "metadata"),
    }
    checkpoint.write(target, arrays(net), header)


def arrays(net: Structure) -> dict[str, Any]:
    """Get the values of parameters and state by name, all of one moment."""
    variables = [*net.params, *net.state]
    with process.hold(variables):  # also while another thread trains
        return {v.name: v.get_value() for v in variables}


class Load:
    """``load`` of a class makes a network; ``load`` of a network sets its parameters."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        return owner._load if instance is None else instance.load_params


@renamed(filename_or_handle="source", filename="source")
def load(cls: type[N], source: checkpoint.PathOrFile, custom: Mapping[str, Any] | None = None) -> N:
    """Load a network that was saved.

    Parameters
    ----------
    source : path or binary file
        The file. Nothing in it is executed.
    custom : dict of str to callable, optional
        Functions that the network uses as losses or activations, by their
        names. Classes of one's own are found if they were defined.

    Returns
    -------
    Network
        Of the class that was saved, which must be this one or a subclass.

    Raises
    ------
    FileError
        If there is no such file, or it is damaged, of another kind or
        class, or needs something that is not defined.
    """
    with checkpoint.reading(source) as file:
        # Nothing is drawn or allocated before it is known to be what the file holds.
        net = _build(cls, file, custom or {})
        set_arrays(net, file.arrays(), file.where)
        return net


def _build(cls: type[N], file: checkpoint.File, custom: Mapping[str, Any]) -> N:
    """Build the network that a file describes, with stand-ins for its parameters."""
    where, header = file.where, file.header
    if header.get("kind") != "network":
        raise FileError(f"{where}: this is a {header.get('kind')} file, not a network")
    with _described(where):
        described = checkpoint.decode(header.get("spec"), custom, where)
        missing = {"model", "layers", "losses", "seed"} - set(described or ())
        if missing:
            raise FileError(f"{where}: the description of the network lacks {min(missing)!r}")
        model = described["model"]
        if model not in MODELS:
            raise FileError(
                f"{where}: holds a {model}, which is not defined here; import it before loading"
            )
        found = MODELS[model]
        # Of a class that was defined again, any definition will do.
        bases = {model_name(base) for base in found.__mro__ if issubclass(base, Structure)}
        if model_name(cls) not in bases:
            raise FileError(f"{where}: holds a {found.__name__}, not a {cls.__name__}")
        net: N = found.from_spec(described, held=Held(file.shapes, where))
        net.metadata.update(checkpoint.decode(header.get("metadata", {}), custom, where))
    check_shapes(net, file.shapes, where)
    return net


@renamed(filename_or_handle="source", filename="source")
def load_params(net: N, source: checkpoint.PathOrFile) -> N:
    """Set the parameters to those of a saved network of the same layers.

    Parameters
    ----------
    source : path or binary file
        A network, or a checkpoint of ``train``: of that, the best
        parameters so far.

    Raises
    ------
    FileError
        If there is no such file, or it is damaged, or its parameters
        differ in name or shape.
    """
    with checkpoint.reading(source) as file:
        kind, start = file.header.get("kind"), ""
        if kind == "checkpoint":
            start = "best/"
        elif kind != "network":
            raise FileError(f"{file.where}: this is a {kind} file, not a network")
        check_shapes(net, _after(start, file.shapes), file.where)
        set_arrays(net, _after(start, file.arrays()), file.where)
    return net


def check_shapes(net: Structure, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Refuse parameters that are not those of the network, by their names and shapes."""
    held, extra = Held(shapes, where), set(shapes)
    for variable in [*net.params, *net.state]:
        held.check(variable.name, variable.get_value(borrow=True).shape)
        extra.discard(variable.name)
    if extra:
        raise FileError(f"{where}: the network has no parameter {', '.join(sorted(extra))}")


def set_arrays(net: Structure, values: Mapping[str, Any], where: str) -> None:
    """Set parameters and state, all at one moment."""
    variables = [*net.params, *net.state]
    found = [_cast(variable, values[variable.name], where) for variable in variables]
    with process.hold(variables):
        for variable, value in zip(variables, found, strict=True):
            variable.set_value(value, borrow=True)


# ---- pickles and copies ----------------------------------------------------------


def state(net: Any, described: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Get what a pickle holds; the specification has the names of classes, or is given."""
    described = copies.named(net.to_spec()) if described is None else described
    return _state(net, described, copies.detached(_attributes(net), net))


def _state(net: Structure, described: Mapping[str, Any], attributes: Any) -> dict[str, Any]:
    return {
        "spec": {**described, "mode": net.mode},
        "arrays": arrays(net),
        "history": net.history,
        "metadata": net.metadata,
        "runs": net._runs,
        "seed_chosen": net._seed_chosen,
        "layers": copies.data_of(net.layers),
        "losses": copies.data_of(net.losses),
        "attributes": attributes,
    }


def _attributes(net: Structure) -> dict[str, Any]:
    return {key: value for key, value in vars(net).items() if key not in net._own}


def set_state(net: Any, found: Mapping[str, Any]) -> None:
    """Make a network of what a pickle holds."""
    shapes = {name: value.shape for name, value in found["arrays"].items()}
    made = type(net).from_spec(found["spec"], held=Held(shapes, "pickle"))
    check_shapes(made, shapes, "pickle")
    set_arrays(made, found["arrays"], "pickle")
    made.history, made._runs = found["history"], found["runs"]
    # Those of earlier versions have neither metadata nor attributes.
    made.metadata = found.get("metadata", {})
    made._seed_chosen = found.get("seed_chosen", True)
    vars(net).update(vars(made))
    if "attributes" in found:
        copies.put_data(net.layers, found["layers"])
        copies.put_data(net.losses, found["losses"])
        attached = copies.attached(found["attributes"], net)
        vars(net).update({k: v for k, v in attached.items() if k not in net._own})


def reduced(net: Any, protocol: Any) -> Any:
    """Get what makes a network of a pickle."""
    return _new, (_findable(net),), net.__getstate__()


def reduced_exactly(net: Any) -> Any:
    """Get what makes a network of a pickle where its classes may not be known by their names."""
    return _new, (_findable(net),), state(net, copies.exact(net))


def _findable(net: Any) -> Any:
    """Get a network's class, of one that was defined again the last: pickle finds no other."""
    return MODELS.get(model_name(type(net)), type(net))


def copied(net: Any) -> Any:
    """Get a copy with parameters of its own; attributes of the user's are the same objects.

    Only those that refer to the network or its parts are copied, see `theanets.copies`.
    """
    return _copy_of(net, _state(net, copies.exact(net), {}))


def _copy_of(net: N, state: Mapping[str, Any]) -> N:
    made = _new(type(net))
    set_state(made, state)
    vars(made).update(copies.moved(_attributes(net), net, made))
    return made


def astype(net: N, dtype: Any) -> N:
    """Get a network of the same structure and parameters that computes in another type.

    It is as a copy by ``copy.copy`` besides. Losses, layers and figures of before
    stay as they are; float64 adds no digits to parameters of float32.

    Parameters
    ----------
    dtype : {'float32', 'float64', 'floatX'}
        The type, as for `theanets.Network`.

    Returns
    -------
    Network
        A new one, of the same class, also where the type is the same.

    Raises
    ------
    ConfigurationError
        If it is no such type, or a parameter is beyond its numbers.
    """
    dtype = as_dtype(dtype)
    state = _state(net, {**copies.exact(net), "dtype": dtype}, {})
    # Layers know the type that they were bound with.
    state["layers"] = [{**found, "dtype": dtype} for found in state["layers"]]
    for name, value in state["arrays"].items():
        if _converted(value, dtype) is None:
            raise ConfigurationError(f"astype({dtype!r}): {_beyond(name, value, dtype)}")
    return _copy_of(net, state)


def deep_copied(net: Any, memo: dict[int, Any]) -> Any:
    """Get a copy of all that the network has, of which nothing is shared."""
    memo[id(net)] = made = _new(type(net))
    set_state(made, copy.deepcopy(_state(net, copies.exact(net), {}), memo))
    # What else refers to a layer or a parameter then refers to the copy's.
    memo.update(copies.counterparts(net, made))
    vars(made).update(copy.deepcopy(_attributes(net), memo))
    return made


def _new(cls: type[N]) -> N:
    """Begin a network; pickles name this function."""
    return cls.__new__(cls)


def _after(start: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {key[len(start) :]: v for key, v in values.items() if key.startswith(start)}


def _cast(param: Any, value: Any, where: str) -> Any:
    """Get what a file holds of a parameter, in the parameter's type."""
    if value.dtype.kind != "f":
        raise FileError(
            f"{where}: parameter {param.name!r} has the type {value.dtype}; expected are "
            "floating-point numbers"
        )
    made = _converted(value, param.dtype)
    if made is None:
        raise FileError(f"{where}: {_beyond(param.name, value, param.dtype)}")
    return made


def _converted(value: Any, dtype: str) -> Any:
    """Get an array in another type, or None if it has numbers that are infinite there."""
    with np.errstate(over="ignore"):
        made = np.array(value, dtype, order="C")
    lost = made.itemsize < value.itemsize and (np.isinf(made) & ~np.isinf(value)).any()
    return None if lost else made


def _beyond(name: str, value: Any, dtype: str) -> str:
    most = np.nanmax(np.abs(value[np.isfinite(value)]))
    return f"parameter {name!r} has the value {most:g}, beyond those of {dtype}"


@contextlib.contextmanager
def _described(where: str) -> Iterator[None]:
    """Say of any error that the description of a network leads to whose it is."""
    try:
        yield
    except FileError:
        raise
    except Exception as error:
        said = str(error) or type(error).__name__
        raise FileError(f"{where}: the network that it describes cannot be made: {said}") from error
