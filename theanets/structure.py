"""The structure of a network: its layers, its list of losses, and their expressions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import pytensor
import pytensor.tensor as pt

from . import activations, spec
from . import rng as _rng
from .backends import resolve_mode
from .data import Field
from .errors import ConfigurationError, unknown
from .graph import Graph, Outputs
from .layers import Input, Layer
from .losses import Loss
from .objective import build as build_objective
from .regularizers import from_kwargs
from .summary import summarize

#: Compiled functions that a network keeps; the least recently used goes first.
CACHE_SIZE = 16


class Structure:
    """Layers with a list of weighted losses; what `Network` is built on.

    Parameters
    ----------
    layers : sequence
        Specifications of the layers, from input to output: an int (a size), a
        tuple such as ``(100, 'tanh')``, the name of a form such as
        ``'flat'``, a dict, a `Layer` instance or a `Layer` class.
    loss : str, dict, Loss, callable or None
        The first loss; see `Loss.build`. None for no loss yet.
    weighted : bool
        Whether the data hold an array of weights for the target, see `Loss`.
    rng : int, Generator, RandomState or None
        The seed that governs everything random in this network; None for a
        fresh one.
    dtype : {'float32', 'float64', 'floatX'}
        Type of parameters and computations; ``'floatX'`` is PyTensor's.
    mode : str or Mode, optional
        How functions are compiled: ``'NUMBA'``, ``'CVM'``, ``'JAX'``,
        ``'PYTORCH'``, ``'FAST_COMPILE'``. By default PyTensor's
        configuration, ``pytensor.config.mode``.

    Attributes
    ----------
    losses : list of Loss
        What training minimizes the weighted sum of. Weights may be changed at
        any time: ``net.losses[1].weight = 2``.

    Raises
    ------
    ConfigurationError
        If a specification has no meaning, or layers do not fit each other.
    """

    DEFAULT_OUTPUT_ACTIVATION: ClassVar[str] = "linear"
    INPUT_NDIM: ClassVar[int] = 2
    OUTPUT_NDIM: ClassVar[int] = 2
    #: What targets are by default: 'labels', 'values', or None for what the loss prefers.
    TARGET: ClassVar[str | None] = None

    def __init__(
        self,
        layers: Iterable[Any] = (),
        loss: Any = "mse",
        weighted: bool = False,
        rng: _rng.Seed = 13,
        dtype: str = "float32",
        mode: Any = None,
    ) -> None:
        if dtype == "floatX":
            dtype = pytensor.config.floatX
        if dtype not in ("float32", "float64"):
            raise ConfigurationError(f"dtype={dtype!r} is not 'float32', 'float64' or 'floatX'")
        resolve_mode(mode)
        self.mode = mode
        self.weighted = bool(weighted)
        self.seed = _rng.as_seed(rng)
        self.graph = Graph(dtype, self.seed)
        self.losses: list[Loss] = []
        self._targets: dict[str, Any] = {}
        self._weights: dict[str, Any] = {}
        self._cache: OrderedDict[Hashable, Any] = OrderedDict()
        specs = self._as_specs(layers)
        for i, layer in enumerate(specs):
            self.add_layer(layer, _output=0 < i == len(specs) - 1)
        if loss is not None:
            self.set_loss(loss)

    @staticmethod
    def _as_specs(layers: Any) -> list[Any]:
        if isinstance(layers, (str, bytes, Mapping)) or not isinstance(layers, Iterable):
            raise ConfigurationError(
                f"layers={layers!r} is not a list of layers such as [10, 20, 3]"
            )
        return list(layers)

    # ---- layers ------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return self.graph.layers

    @property
    def dtype(self) -> str:
        """Type of parameters and computations."""
        return self.graph.dtype

    @property
    def params(self) -> list[Any]:
        """The trained parameters, as shared variables named ``'layer.param'``."""
        return self.graph.params

    @property
    def num_params(self) -> int:
        """How many numbers the parameters hold."""
        return sum(layer.num_params for layer in self.layers)

    @property
    def inputs(self) -> list[Any]:
        """The symbolic inputs, in the order of the input layers."""
        return self.graph.inputs

    def add_layer(self, layer: Any = None, *, _output: bool = False, **keywords: Any) -> Layer:
        """Append a layer.

        Parameters
        ----------
        layer : int, str, tuple, dict, Layer or Layer class
            Its specification; see `theanets.Network`.
        **keywords
            Keywords of the layer, which win over the specification: ``form``,
            ``size``, ``name``, ``activation``, ``inputs``, ...

        Returns
        -------
        Layer
            Also in `layers`. Without a name it is called ``in`` if it is the
            first, else ``hid1``, ``hid2``, ...; one called ``out`` gets the
            model's default activation.

        Raises
        ------
        ConfigurationError
            If the specification has no meaning, the name is taken, or the
            layer does not fit its inputs.
        """
        first = not self.layers
        if isinstance(layer, Layer):
            if keywords:
                raise ConfigurationError(
                    f"layer {layer!r} is an instance already; give "
                    f"{', '.join(keywords)} when it is made"
                )
            made = layer
            if made.name is None:
                made.name = self._free_name(first, _output, isinstance(made, Input))
        else:
            made = self._make_layer(layer, first, _output, keywords)
        if first and not isinstance(made, Input):
            raise ConfigurationError(
                f"the first layer is {made!r}; it must be an input: a size, a shape or "
                "dict(form='input', ...)"
            )
        if isinstance(made, Input) and made.ndim is None and made.shape and not made.bound:
            made.ndim = max(self.INPUT_NDIM, len(made.shape) + 1)
        self.graph.add(made)
        return made

    def _make_layer(
        self, layer: Any, first: bool, output: bool, keywords: Mapping[str, Any]
    ) -> Layer:
        valid = [*Layer.registry.names(), *activations.Activation.registry.names()]
        parsed = spec.parse_layer(
            dict(keywords) if layer is None else layer,
            Layer.registry.__contains__,
            activations.is_name,
            lambda: valid,
        )
        options = dict(parsed.options)
        form, shape = parsed.form, parsed.shape
        if layer is not None and keywords:
            extra = spec.parse_layer(dict(keywords), Layer.registry.__contains__, bool, list)
            options.update(extra.options)
            form, shape = extra.form or form, extra.shape or shape
        if form is None:
            form = "input" if first else "feedforward"
        kind = Layer.registry[form] if isinstance(form, str) else form
        if not (isinstance(kind, type) and issubclass(kind, Layer)):
            raise ConfigurationError(f"layer {layer!r}: {kind!r} is not a Layer class")
        name = options.pop("name", None) or self._free_name(first, output, issubclass(kind, Input))
        if name == "out" and kind.default_activation == "relu":
            options.setdefault("activation", self.DEFAULT_OUTPUT_ACTIVATION)
        return kind(name, shape=shape, **options)

    def _free_name(self, first: bool, output: bool, form_is_input: bool) -> str:
        if first:
            return "in"
        if form_is_input:
            return f"in{1 + len(self.inputs)}"
        if output:
            return "out"
        taken = {layer.name for layer in self.layers}
        number = sum(not isinstance(layer, Input) for layer in self.layers) + 1
        while f"hid{number}" in taken:
            number += 1
        return f"hid{number}"

    def find(self, which: str | int | Layer, param: str | int | None = None) -> Any:
        """Find a layer's parameter.

        Parameters
        ----------
        which : str, int or Layer
            Name or position of the layer, or ``'layer.param'`` at once.
        param : str or int
            Name or position of the parameter.

        Returns
        -------
        shared variable

        Raises
        ------
        UnknownNameError
            If there is no such layer or parameter; also a KeyError.
        """
        if param is None:
            every = {p.name: p for p in self.params}
            if which not in every:
                raise unknown("parameter", which, every)
            return every[which]
        return self.graph.layer(which).find(param)

    # ---- losses ------------------------------------------------------------------

    def add_loss(self, loss: Any = None, **keywords: Any) -> Loss:
        """Append a loss to `losses`.

        Parameters
        ----------
        loss : str, dict, Loss or callable
            See `Loss.build`.
        **keywords
            ``weight``, ``weighted``, ``output_name``, ``target``, options of
            the loss, and ``form`` instead of the first argument.

        Returns
        -------
        Loss

        Raises
        ------
        ConfigurationError
            If there is no such loss, output, or keyword.
        """
        form = keywords.pop("form", None) if loss is None else loss
        if form is None:
            raise ConfigurationError("add_loss() needs a loss: a name, dict, Loss or callable")
        given = isinstance(form, Loss) or (isinstance(form, Mapping) and "weighted" in form)
        if not given:
            keywords.setdefault("weighted", self.weighted)
        built = Loss.build(form, **keywords)
        if self.layers:
            self._bind(built)
        self.losses.append(built)
        return built

    def set_loss(self, loss: Any = None, **keywords: Any) -> Loss:
        """Replace all losses by one; see `add_loss`."""
        before, targets, weights = self.losses, dict(self._targets), dict(self._weights)
        self.losses, self._targets, self._weights = [], {}, {}
        try:
            return self.add_loss(loss, **keywords)
        except Exception:
            self.losses, self._targets, self._weights = before, targets, weights
            raise

    def _bind(self, loss: Loss) -> None:
        """Give a loss its target: one variable for all losses on the same target."""
        target = loss.target_variable
        if target is None:
            key = loss.target_name or "target"
            if key not in self._targets:
                self._targets[key] = self._make_target(loss, key)
            target = self._targets[key]
        elif not target.name:
            raise ConfigurationError(f"the target variable of loss {loss.name!r} has no name")
        key = loss.target_name or ("target" if target in self.inputs else target.name)
        loss.bind(target, self._weight_variable(key, target) if loss.weighted else None)

    def _make_target(self, loss: Loss, key: str) -> Any:
        shape = self.graph.shape(loss.output_name)
        labels = loss.labels
        if loss.target_name is None and self.TARGET is not None:
            labels = self.TARGET == "labels"
        with pytensor.config.change_flags(floatX=self.dtype):
            if labels:
                return pt.tensor(name=key, dtype="int32", shape=(None, *shape[:-1]))
            return pt.tensor(name=key, dtype=self.dtype, shape=(None, *shape))

    def _weight_variable(self, key: str, target: Any) -> Any:
        if key not in self._weights:
            name = "weights" if key == "target" else f"{key}_weights"
            self._weights[key] = pt.tensor(name=name, dtype=self.dtype, shape=target.type.shape)
        return self._weights[key]

    @property
    def variables(self) -> list[Any]:
        """The symbolic arrays that training needs, in the order of the data.

        First all inputs, then each target, followed by its weights if it has any.
        """
        found = list(self.inputs)
        for loss in self.bound_losses():
            found.extend(v for v in loss.variables if not any(v is f for f in found))
        return found

    def bound_losses(self) -> list[Loss]:
        # Anew each time: an instance may be in the lists of two networks.
        for loss in self.losses:
            self._bind(loss)
        return self.losses

    @property
    def fields(self) -> list[Field]:
        """What data must look like, in the order of `variables`."""
        losses = self.bound_losses()
        weights = {id(loss._target): loss._weights for loss in losses if loss._weights is not None}
        found = []
        for variable in self.variables:
            shape = variable.type.shape[1:]
            common: dict[str, Any] = {"dtype": variable.dtype, "shape": shape}
            by = weights.get(id(variable))
            if by is not None:
                common["weighted_by"] = by.name
            if any(variable is i for i in self.inputs):
                field = Field(variable.name, "input", impute=by is not None, **common)
            elif any(variable is loss._weights for loss in losses):
                target = next(loss._target for loss in losses if loss._weights is variable)
                field = Field(variable.name, "weights", weighs=target.name, **common)
            else:
                field = Field(variable.name, "target", classes=self._classes(variable), **common)
            found.append(field)
        taken = [field.name for field in found]
        for name in taken:
            if taken.count(name) > 1:
                raise ConfigurationError(
                    f"two arrays of the data are called {name!r}: an input layer and a target "
                    "must have different names"
                )
        return found

    def _classes(self, target: Any) -> int | None:
        if not target.dtype.startswith("int"):
            return None
        widths = {
            loss.output_name: self.graph.shape(loss.output_name)[-1]
            for loss in self.losses
            if loss._target is target
        }
        if len(set(widths.values())) > 1:
            raise ConfigurationError(
                f"the labels {target.name!r} are compared with outputs of different sizes: "
                + ", ".join(f"{name} has {width}" for name, width in widths.items())
            )
        return next(iter(widths.values()))

    # ---- expressions ---------------------------------------------------------------

    def outputs(self, training: bool = False, **regularizers: Any) -> Outputs:
        """Get the symbolic expressions of all outputs by full name.

        Parameters
        ----------
        training : bool
            Whether layers that differ in training show their training form.
        **regularizers
            Noise to put in the graph; see `theanets.regularizers.from_kwargs`.

        Returns
        -------
        Outputs
            A dict; its ``updates`` must be given to a function that is to
            draw new noise at each call.
        """
        found, _ = from_kwargs(self.layers, **regularizers)
        return self.graph.outputs(training=training, regularizers=found, seed=self.seed)

    def build_graph(self, regularizers: Sequence[Any] = ()) -> tuple[Outputs, list[Any]]:
        """Get the outputs, and the updates that go with them, as pairs."""
        outputs = self.graph.outputs(regularizers=regularizers, seed=self.seed)
        return outputs, list(outputs.updates.items())

    def loss(self, training: bool = False, **regularizers: Any) -> Any:
        """Get the symbolic scalar that training minimizes.

        Parameters
        ----------
        training : bool
            Whether layers that differ in training show their training form.
        **regularizers
            Penalties and noise; see `theanets.regularizers.from_kwargs`.

        Returns
        -------
        scalar expression
            Of `variables`; weights of losses and penalties are shared
            variables with their present values.
        """
        found, scale = from_kwargs(self.layers, **regularizers)
        losses = self.bound_losses()
        objective = build_objective(self.graph, losses, found, training=training, seed=self.seed)
        objective.strengths.assign(losses, found, scale)
        return objective.total

    def summary(self) -> str:
        """Describe layers, shapes, parameters and losses in a table."""
        return summarize(self.graph, self.bound_losses())

    # ---- compiled functions ----------------------------------------------------------

    def _structure(self) -> Hashable:
        """Get what the compiled functions depend on, besides the call's arguments."""
        parts = [spec.frozen(layer.to_spec()) for layer in self.layers]
        for loss in self.bound_losses():
            # All attributes: those of a class of the user may shape the graph too.
            described = {k: v for k, v in vars(loss).items() if k != "weight"}
            parts.append((type(loss), spec.frozen(described)))
        return tuple(parts)

    def cached(self, key: Hashable, make: Any) -> Any:
        """Get a compiled function, made unless it was made before for the same structure."""
        key = (key, self._structure())
        if key in self._cache:
            self._cache.move_to_end(key)
        else:
            self._cache[key] = make()
            while len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        return self._cache[key]
