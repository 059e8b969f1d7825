"""Saving: networks in files, pickles and copies."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from . import checkpoint, copies, process
from . import rng as _rng
from .errors import FileError, checked, renamed
from .history import History
from .layers import Input
from .layers.held import Held
from .structure import Structure


class _Load:
    """``load`` of a class makes a network; ``load`` of a network sets its parameters."""

    def __get__(self, instance: Saved | None, owner: type[Saved]) -> Any:
        return owner._load if instance is None else instance.load_params


class Saved(Structure):
    """A structure with what is kept beside it, which can be saved, loaded and copied.

    It takes what `theanets.Network` takes.

    Attributes
    ----------
    history : History
        The history of the last call of ``train``.
    metadata : dict
        Anything of the user's that JSON can hold; saved with the network.
    """

    load: ClassVar[Any] = _Load()
    _models: ClassVar[dict[str, type[Saved]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Saved._models[cls._model_name()] = cls

    @checked
    def __init__(
        self,
        layers: Iterable[Any] = (),
        loss: Any = "mse",
        weighted: bool = False,
        rng: _rng.Seed = None,
        dtype: str = "float32",
        mode: Any = None,
    ) -> None:
        before = {*vars(self)}
        self.history = History()
        self.metadata: dict[str, Any] = {}
        self._runs = 0
        self._own: set[str] = set()
        super().__init__(layers, loss, weighted, rng, dtype, mode)
        # All else is the user's, or a subclass's.
        self._own = {*vars(self)} - before | {"_current"}

    @classmethod
    def _model_name(cls) -> str:
        return f"{cls.__module__}.{cls.__qualname__}"

    def to_spec(self) -> dict[str, Any]:
        """Get what builds the network again, without the values of its parameters."""
        if any(not isinstance(layer, Input) for layer in self.layers):
            self._settle(self.losses)
        return {
            "model": self._model_name(),
            "layers": [layer.to_spec() for layer in self.layers],
            "losses": [loss.to_spec() for loss in self.losses],
            "output": self._last,
            "weighted": self.weighted,
            "seed": self.seed,
            "dtype": self.dtype,
            "mode": self.mode if isinstance(self.mode, str) else None,
        }

    @classmethod
    def from_spec(cls, described: Mapping[str, Any], held: Held | None = None) -> Self:
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
        Saved.__init__(net, [], loss=None, rng=described["seed"], **keywords)
        net.graph.held = held
        for layer in described["layers"]:
            net.add_layer(layer)
        net._last = described.get("output")
        for loss in described["losses"]:
            net.add_loss(loss)
        net.graph.held = None
        return net

    @renamed(filename_or_handle="target", filename="target")
    def save(self, target: checkpoint.PathOrFile) -> None:
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
            "spec": checkpoint.encode(self.to_spec(), "network"),
            "metadata": checkpoint.encode(self.metadata, "metadata"),
        }
        checkpoint.write(target, self._arrays(), header)

    def _arrays(self) -> dict[str, Any]:
        variables = [*self.params, *self.state]
        with process.hold(variables):  # of one moment, also while another thread trains
            return {v.name: v.get_value() for v in variables}

    @classmethod
    @renamed(filename_or_handle="source", filename="source")
    def _load(cls, source: checkpoint.PathOrFile, custom: Mapping[str, Any] | None = None) -> Self:
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
            net = cls._build(file, custom or {})
            net._set_arrays(file.arrays(), file.where)
            return net

    @classmethod
    def _build(cls, file: checkpoint.File, custom: Mapping[str, Any]) -> Self:
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
            if model not in Saved._models:
                raise FileError(
                    f"{where}: holds a {model}, which is not defined here; import it before loading"
                )
            found = Saved._models[model]
            # Of a class that was defined again, any definition will do.
            bases = {base._model_name() for base in found.__mro__ if issubclass(base, Saved)}
            if cls._model_name() not in bases:
                raise FileError(f"{where}: holds a {found.__name__}, not a {cls.__name__}")
            net: Any = found.from_spec(described, held=Held(file.shapes, where))
            net.metadata.update(checkpoint.decode(header.get("metadata", {}), custom, where))
        net._check_shapes(file.shapes, where)
        return net

    @renamed(filename_or_handle="source", filename="source")
    def load_params(self, source: checkpoint.PathOrFile) -> Self:
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
            self._check_shapes(_after(start, file.shapes), file.where)
            self._set_arrays(_after(start, file.arrays()), file.where)
        return self

    def _check_shapes(self, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
        held, extra = Held(shapes, where), set(shapes)
        for variable in [*self.params, *self.state]:
            held.check(variable.name, variable.get_value(borrow=True).shape)
            extra.discard(variable.name)
        if extra:
            raise FileError(f"{where}: the network has no parameter {', '.join(sorted(extra))}")

    def _set_arrays(self, arrays: Mapping[str, Any], where: str) -> None:
        variables = [*self.params, *self.state]
        values = [_cast(variable, arrays[variable.name], where) for variable in variables]
        with process.hold(variables):
            for variable, value in zip(variables, values, strict=True):
                variable.set_value(value, borrow=True)

    def __getstate__(self) -> dict[str, Any]:
        return self._everything(copies.named(self.to_spec()))

    def _everything(self, described: Mapping[str, Any]) -> dict[str, Any]:
        attributes = {k: v for k, v in vars(self).items() if k not in self._own}
        return {
            "spec": {**described, "mode": self.mode},
            "arrays": self._arrays(),
            "history": self.history,
            "metadata": self.metadata,
            "runs": self._runs,
            "seed_chosen": self._seed_chosen,
            "layers": copies.data_of(self.layers),
            "losses": copies.data_of(self.losses),
            "attributes": copies.detached(attributes, self),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        shapes = {name: value.shape for name, value in state["arrays"].items()}
        made = type(self).from_spec(state["spec"], held=Held(shapes, "pickle"))
        made._check_shapes(shapes, "pickle")
        made._set_arrays(state["arrays"], "pickle")
        made.history, made._runs = state["history"], state["runs"]
        made.metadata = state["metadata"]
        made._seed_chosen = state.get("seed_chosen", True)
        self.__dict__.update(made.__dict__)
        # Those of earlier versions have no attributes.
        if "attributes" in state:
            copies.put_data(self.layers, state["layers"])
            copies.put_data(self.losses, state["losses"])
            self.__dict__.update(copies.attached(state["attributes"], self))

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Of a class that was defined again, pickle finds the last definition only.
        cls = Saved._models.get(self._model_name(), type(self))
        return _new, (cls,), self.__getstate__()

    def __copy__(self) -> Self:
        made = _new(type(self))
        made.__setstate__(self._everything(copies.exact(self)))
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self)] = made = _new(type(self))
        made.__setstate__(copy.deepcopy(self._everything(copies.exact(self)), memo))
        return made


def _new(cls: type[Saved]) -> Any:
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
    with np.errstate(over="ignore"):
        made = np.array(value, param.dtype, order="C")
    if made.itemsize < value.itemsize and (np.isinf(made) & ~np.isinf(value)).any():
        raise FileError(
            f"{where}: parameter {param.name!r} has the value {np.nanmax(np.abs(value)):g}, beyond "
            f"those of {param.dtype}"
        )
    return made


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
