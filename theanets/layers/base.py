"""The layer: parameters, inputs, and the expressions of its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytensor

from .. import activations, init, names
from ..errors import ConfigurationError, check_keywords, unknown
from ..registry import Registry, subclass_names
from ..rng import as_seed, stream

Shape = tuple[int | None, ...]


class Inputs(dict[str, Any]):
    """The expressions a layer gets, by full output name, in the order of its inputs.

    Attributes
    ----------
    training : bool
        Whether the graph is the one that trains, or the clean one.
    updates : dict
        What a layer must add its updates of shared variables to.
    """

    def __init__(self, values: Mapping[str, Any], training: bool = False) -> None:
        super().__init__(values)
        self.training = training
        self.updates: dict[Any, Any] = {}

    @property
    def only(self) -> Any:
        """The expression of a layer's single input."""
        if len(self) != 1:
            raise ConfigurationError(f"expected one input, got {', '.join(self)}")
        return next(iter(self.values()))


class Layer:
    """Base class of layers.

    A subclass is registered under its lower-case class name, so that
    ``(100, 'myname')`` makes one; ``class L(Layer, names=('x',))`` adds
    aliases, ``register=False`` keeps it private.

    A subclass overrides some of

    - `setup`, which makes parameters with `add_weights`, `add_bias` or
      `add_param`;
    - `transform`, which maps inputs to outputs;
    - `resolve_outputs`, which gives the shapes of its outputs where they are
      not ``(size,)`` for ``out``;
    - ``options``, a dict of further keywords and their defaults, which become
      attributes and are saved with a network.

    Parameters
    ----------
    name : str, optional
        Name of the layer; by default the network gives one.
    size : int, optional
        Number of units, the last axis of the output.
    shape : tuple, optional
        Shape of one example's output, instead of a size.
    inputs : str, Layer, or list of these, optional
        Names of the outputs that feed this layer (``'hid1'`` means
        ``'hid1:out'``). By default the layer before.
    activation : str, Activation or callable, optional
        See `theanets.activations`.
    rng : int, Generator, RandomState or None, optional
        Own source of randomness; by default a child of the network's.
    mean, std, sparsity, diagonal, radius : float, optional
        How weights are drawn, see `theanets.init.random_matrix`. With a
        suffix they are for one parameter: ``std_w``, ``mean_b``.
    **options
        The options of the subclass.

    Attributes
    ----------
    output_shapes : dict
        Shape of one example of each output; None for an unknown length.
    """

    registry: ClassVar[Registry[type[Layer]]] = Registry("layer")
    options: ClassVar[dict[str, Any]] = {}
    #: How many inputs the layer can have: None for any number.
    max_inputs: ClassVar[int | None] = None
    #: What a hidden layer of this class does to its pre-activation.
    default_activation: ClassVar[str] = "relu"

    def __init_subclass__(
        cls,
        names: Iterable[str] = (),
        register: str | bool | None = None,
        abstract: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        found = subclass_names(cls, names, register, abstract)
        if found:
            Layer.registry.register(cls, *found)

    def __init__(
        self,
        name: str | None = None,
        *,
        size: int | None = None,
        shape: Shape | int | None = None,
        inputs: Any = None,
        activation: Any = None,
        rng: Any = None,
        **options: Any,
    ) -> None:
        if size is not None and shape is not None:
            raise ConfigurationError(f"layer {name!r} has both size={size} and shape={shape}")
        if size is not None:
            shape = (size,)
        if isinstance(shape, (int, np.integer)):
            shape = (int(shape),)
        for length in shape or ():
            if length is not None and length < 1:
                raise ConfigurationError(f"layer {name!r}: size {length} is not positive")
        if name is not None and (not isinstance(name, str) or not name or set(name) & set(":. ,")):
            raise ConfigurationError(
                f"layer name {name!r} is not a word without spaces, commas, ':' and '.'"
            )
        self.name = name
        self.shape: Shape | None = None if shape is None else tuple(shape)
        self.inputs = inputs
        self.activation_spec = activation
        self.seed = None if rng is None else as_seed(rng)
        self.draws = self._take_draws(options)
        valid = self.valid_options()
        check_keywords(f"layer {type(self).__name__}", set(options) - set(valid), self._keywords())
        for key, default in valid.items():
            setattr(self, key, options.get(key, default))
        self.activation: activations.Activation = activations.build("linear")
        self.input_names: list[str] = []
        self.input_shapes: list[Shape] = []
        self.output_shapes: dict[str, Shape] = {}
        self.dtype = "float32"
        self.bound = False
        self._params: dict[str, Any] = {}

    @classmethod
    def build(cls, form: str, *args: Any, **kwargs: Any) -> Layer:
        """Build a layer by the registered name of its class."""
        return cls.registry[form](*args, **kwargs)

    @classmethod
    def valid_options(cls) -> dict[str, Any]:
        """Get the options of the class and its bases, with their defaults."""
        merged: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            merged.update(vars(base).get("options", {}))
        return merged

    @classmethod
    def _keywords(cls) -> list[str]:
        common = ["name", "size", "shape", "inputs", "activation", "rng", *_DRAWS]
        return [*common, *cls.valid_options()]

    @staticmethod
    def _take_draws(options: dict[str, Any]) -> dict[str, float]:
        taken = [key for key in options if key.partition("_")[0] in _DRAWS]
        return {key: options.pop(key) for key in taken}

    # ---- what a subclass overrides -------------------------------------------

    def setup(self) -> None:
        """Make the parameters; called once, when inputs and shapes are known."""

    def transform(self, inputs: Inputs) -> Any:
        """Map inputs to outputs.

        Parameters
        ----------
        inputs : Inputs
            Expressions by full output name, batch first.

        Returns
        -------
        expression, dict, or (dict, updates)
            A bare expression is the output ``out``; a dict has several
            outputs by name; updates are of shared variables, as pairs.
        """
        raise TypeError(
            f"layer class {type(self).__name__} does not define transform(self, inputs)"
        )

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of one example of each output; called before `setup`."""
        if self.shape is not None and len(self.shape) > 1:
            return {"out": self.shape}
        shape = self.input_shapes[0] if self.input_shapes else ()
        last = self.shape[-1:] if self.shape else shape[-1:]
        return {"out": shape[:-1] + last}

    # ---- names, shapes, parameters -------------------------------------------

    @property
    def full_name(self) -> str:
        """Name of the layer, for messages."""
        return self.name or f"<{type(self).__name__.lower()}>"

    @property
    def params(self) -> list[Any]:
        """The trained parameters: shared variables named ``'layer.param'``."""
        return list(self._params.values())

    @property
    def num_params(self) -> int:
        """How many numbers the parameters hold."""
        return sum(p.get_value(borrow=True).size for p in self.params)

    @property
    def input_name(self) -> str:
        """Full name of the single input."""
        self._check_single()
        return self.input_names[0]

    @property
    def input_shape(self) -> Shape:
        """Shape of one example of the single input."""
        self._check_single()
        return self.input_shapes[0]

    @property
    def input_size(self) -> int:
        """Length of the last axis of the single input."""
        return self._known(self.input_shape, "input")

    @property
    def output_name(self) -> str:
        """Full name of the output ``out``."""
        return f"{self.name}:out"

    @property
    def output_shape(self) -> Shape:
        """Shape of one example of the output ``out``."""
        return self.output_shapes["out"]

    @property
    def output_size(self) -> int:
        """Length of the last axis of the output ``out``."""
        return self._known(self.output_shape, "output")

    size = output_size

    def _known(self, shape: Shape, which: str) -> int:
        if not shape or shape[-1] is None:
            raise ConfigurationError(
                f"layer {self.full_name!r} needs to know the last axis of its {which}; "
                f"the shape is {shape}"
            )
        return shape[-1]

    def _check_single(self) -> None:
        if len(self.input_names) != 1:
            raise ConfigurationError(
                f"layer {self.full_name!r} has {len(self.input_names)} inputs "
                f"({', '.join(self.input_names)}), not one"
            )

    def find(self, key: str | int) -> Any:
        """Find a parameter by name (``'w'``) or position.

        Raises
        ------
        UnknownNameError
            If the layer has no such parameter.
        """
        found = list(self._params)
        if isinstance(key, int) and not -len(found) <= key < len(found):
            raise unknown(f"parameter of layer {self.full_name!r}", key, found)
        if isinstance(key, str) and key not in self._params:
            raise unknown(f"parameter of layer {self.full_name!r}", key, found)
        return self._params[key] if isinstance(key, str) else self._params[found[key]]

    def add_param(self, name: str, value: Any) -> Any:
        """Make a parameter from its initial value.

        Parameters
        ----------
        name : str
            Short name; the variable is called ``'layer.name'``.
        value : array-like
            Initial value; cast to the network's dtype.

        Returns
        -------
        shared variable
        """
        value = np.asarray(value, dtype=self.dtype)
        param = pytensor.shared(value, name=f"{self.name}.{name}", shape=value.shape)
        self._params[name] = param
        return param

    def add_weights(
        self, name: str, nin: int | None = None, nout: int | None = None, **draws: float
    ) -> Any:
        """Make a matrix of weights.

        Parameters
        ----------
        name : str
            Short name.
        nin, nout : int, optional
            Shape; by default the sizes of the single input and the output.
        **draws
            Defaults for ``mean``, ``std``, ``sparsity``, ``diagonal`` and
            ``radius``, which keywords of the layer override.
        """
        nin = self.input_size if nin is None else nin
        nout = self.output_size if nout is None else nout
        found = self._draws(name, _DRAWS, draws)
        return self.add_param(name, init.random_matrix(nin, nout, rng=self.rng, **found))

    def add_bias(self, name: str, size: int | None = None, **draws: float) -> Any:
        """Make a vector of biases, of zeros unless ``mean`` or ``std`` is given.

        Keywords of the layer with the parameter's suffix, ``mean_b`` and
        ``std_b`` for ``b``, override ``draws``; those without a suffix are
        for weights only.
        """
        size = self.output_size if size is None else size
        found = self._draws(name, (), draws)
        return self.add_param(name, init.random_vector(size, rng=self.rng, **found))

    def _draws(
        self, name: str, common: Iterable[str], defaults: dict[str, float]
    ) -> dict[str, Any]:
        found = dict(defaults)
        found.update({key: self.draws[key] for key in common if key in self.draws})
        suffix = f"_{name}"
        found.update({k[: -len(suffix)]: v for k, v in self.draws.items() if k.endswith(suffix)})
        return found

    # ---- life in a network ----------------------------------------------------

    def bind(self, layers: Mapping[str, Layer], *, dtype: str = "float32", seed: int = 0) -> None:
        """Take the layer's place in a network: resolve inputs, make parameters.

        A layer that is bound already keeps its parameters, so that two
        networks can share it; its inputs must then have the same shapes.

        Parameters
        ----------
        layers : dict
            The layers before this one, by name, in order.
        dtype : str
            Type of the parameters.
        seed : int
            The network's seed.

        Raises
        ------
        ConfigurationError
            If an input does not exist, or shapes do not fit.
        """
        input_names = self._resolve_inputs(layers)
        input_shapes = [self._shape_of(layers, name) for name in input_names]
        if self.bound:
            if input_shapes != self.input_shapes:
                raise ConfigurationError(
                    f"layer {self.full_name!r} is bound to inputs of shape {self.input_shapes} "
                    f"and cannot be used with {input_shapes}"
                )
            self.input_names = input_names
            return
        self.input_names, self.input_shapes, self.dtype = input_names, input_shapes, dtype
        self.layers = layers
        if self.seed is None:
            self.rng = stream(seed, "layer", str(self.name))
        else:
            self.rng = np.random.default_rng(self.seed)
        self.output_shapes = self.resolve_outputs()
        self.setup()
        self.activation = self._build_activation()
        self.activation.setup(self)
        unused = {k for k in self.draws if "_" in k and k.partition("_")[2] not in self._params}
        check_keywords(f"layer {self.full_name!r}", unused, [f"std_{p}" for p in self._params])
        self.bound = True

    def _build_activation(self) -> activations.Activation:
        spec = self.activation_spec
        return activations.build(self.default_activation if spec is None else spec)

    def _resolve_inputs(self, layers: Mapping[str, Layer]) -> list[str]:
        inputs = self.inputs
        if inputs is None:
            if not layers:
                raise ConfigurationError(
                    f"layer {self.full_name!r} has no inputs: no layer comes before it"
                )
            inputs = next(reversed(list(layers.values()))).output_name
        if isinstance(inputs, (str, Layer)):
            inputs = [inputs]
        resolved = [i.output_name if isinstance(i, Layer) else names.output_name(i) for i in inputs]
        if self.max_inputs is not None and len(resolved) != self.max_inputs:
            raise ConfigurationError(
                f"layer {self.full_name!r} takes {self.max_inputs} input(s), got {resolved}"
            )
        return resolved

    def _shape_of(self, layers: Mapping[str, Layer], name: str) -> Shape:
        layer, output = names.split_output(name)
        valid = [f"{key}:{o}" for key, other in layers.items() for o in other.output_shapes]
        if layer not in layers or output not in layers[layer].output_shapes:
            raise unknown(f"input of layer {self.full_name!r}", name, valid)
        return layers[layer].output_shapes[output]

    def connect(self, inputs: Inputs) -> dict[str, Any]:
        """Get the layer's outputs by full name; updates go to ``inputs.updates``."""
        result = self.transform(inputs)
        if isinstance(result, tuple):
            result, updates = result
            inputs.updates.update(dict(updates))
        if not isinstance(result, Mapping):
            result = {"out": result}
        named = {f"{self.name}:{key}": value for key, value in result.items()}
        for key, value in named.items():
            if not value.name:
                value.name = key
        return named

    @property
    def logits_output(self) -> str | None:
        """The output whose softmax is ``out``, or None."""
        is_softmax = self.activation.name == "softmax" and "pre" in self.output_shapes
        return f"{self.name}:pre" if is_softmax else None

    def to_spec(self) -> dict[str, Any]:
        """Get the keywords that build the layer again, with its form."""
        form = Layer.registry.name_of(type(self)) or type(self)
        spec: dict[str, Any] = {"form": form, "name": self.name}
        if self.shape is not None:
            spec["shape"] = self.shape
        if self.input_names:
            spec["inputs"] = list(self.input_names)
        spec["activation"] = (
            self.activation_spec if callable(self.activation_spec) else self.activation.name
        )
        for key in self.valid_options():
            value = getattr(self, key)
            spec[key] = value.name if isinstance(value, Layer) else value
        if self.seed is not None:
            spec["rng"] = self.seed
        return {**spec, **self.draws}

    def __repr__(self) -> str:
        shape = self.output_shapes.get("out", self.shape)
        return f"<{type(self).__name__} {self.full_name!r} {shape}>"


_DRAWS = ("mean", "std", "sparsity", "diagonal", "radius")
