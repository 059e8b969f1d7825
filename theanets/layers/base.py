"""The layer: parameters, inputs, and the expressions of its outputs."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

from .. import activations, names
from ..errors import ConfigurationError, check_keywords, deprecated, formerly
from ..expressions import Expression
from ..options import Configured
from ..registry import Registered, Registry
from ..rng import Seed, as_seed, generator
from ..spec import as_shape
from .binding import Binding
from .legacy import Draws, Keywords, Legacy, Params, looks_at_keywords
from .params import DRAWS
from .signals import Inputs, Shape, named_outputs
from .time import Time
from .traits import Traits


class Layer(Binding, Traits, Time, Legacy, Configured, Registered, abstract=True):
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
      attributes and are saved with a network. ::

        class Scaled(theanets.Layer):
            options = {'factor': 1.0}

            def setup(self):
                self.add_weights('w')

            def transform(self, inputs):
                pre = pt.dot(inputs.only, self.find('w'))
                return self.activation(self.factor * pre)

        net = theanets.Regressor([10, dict(form='scaled', size=20, factor=2), 3])

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
    rng : int, Generator, RandomState, SeedSequence or None, optional
        Own seed; by default the network's. Layers of different names have
        different weights even if their seeds are the same.
    mean, std, sparsity, diagonal, radius : float, optional
        How weights are drawn, see `theanets.init.random_matrix`: by default
        normally with mean 0 and standard deviation ``sqrt(2 / (inputs +
        outputs))``, none of them zero; those of the states of recurrent
        layers are orthogonal. With a suffix they are for one parameter:
        ``std_w``, ``mean_b``. Biases, which only those with a suffix are for,
        start at 0.
    **options
        The options of the subclass.

    Attributes
    ----------
    output_shapes : dict
        Shape of one example of each output; None for an unknown length.
    """

    registry: ClassVar[Registry[type[Layer]]] = Registry("layer")
    #: Each has one of its own once it is bound.
    _activation: activations.Activation = activations.build("linear")
    #: Whether `transform` multiplies sparse inputs by `theanets.ops.sparse.dot`, or takes them
    #: as the dense expressions that they are to anything else.
    takes_sparse: ClassVar[bool] = False
    #: Whether a layer that does not say what it takes may take this one's output.
    feeds: ClassVar[bool] = True
    #: Attributes that do not shape its expressions; other layers have theirs by themselves.
    _shapeless: ClassVar[frozenset[str]] = frozenset(
        {"layers", "kwargs", "rng", "_given", "_asked"}
    )

    def __init__(
        self,
        name: str | None = None,
        *,
        size: int | None = None,
        shape: Shape | int | None = None,
        inputs: Any = None,
        activation: Any = None,
        rng: Seed = None,
        **options: Any,
    ) -> None:
        if size is not None and shape is not None:
            raise ConfigurationError(f"layer {name!r} has both size={size} and shape={shape}")
        shape = size if shape is None else shape
        if name is not None and (not isinstance(name, str) or not names.is_word(name)):
            raise ConfigurationError(
                f"layer name {name!r} is not a word: it may have no spaces, and none of :.,*?[]"
            )
        self.name = name
        self.shape: Shape | None = None if shape is None else as_shape(shape, name)
        self.inputs = inputs
        self.activation_spec = activation
        if "nrng" in options:
            deprecated("nrng= is now rng=")
            rng = options.pop("nrng")
        self.seed = None if rng is None else as_seed(rng)
        given = {"size": size, "shape": shape, "inputs": inputs, "activation": activation}
        self.kwargs = Keywords({k: v for k, v in given.items() if v is not None}, **options)
        declared = self._declared()
        self.draws = self.take_draws(options, declared)
        extra = set(options) - set(declared)
        if extra and not looks_at_keywords(type(self)):  # type: ignore[arg-type]
            check_keywords(f"layer {type(self).__name__}", extra, self._keywords())
        known = {key: value for key, value in options.items() if key in declared}
        self.set_options(known, f"layer {self.full_name!r}")
        self.input_names: list[str] = []
        self.input_shapes: list[Shape] = []
        self.output_shapes: dict[str, Shape] = {}
        self.dtype = "float32"
        self.bound = False
        self._params, self._state = Params(self), {}
        self._asked = set()
        self._activation_params: list[str] = []

    @classmethod
    def build(cls, form: str, *args: Any, **kwargs: Any) -> Layer:
        """Build a layer by the registered name of its class."""
        return cls.registry[form](*args, **kwargs)

    @classmethod
    def _keywords(cls) -> list[str]:
        common = ["name", "size", "shape", "inputs", "activation", "rng", *DRAWS]
        return [*common, *cls.valid_options()]

    # ---- what a subclass overrides -------------------------------------------

    def setup(self) -> None:
        """Make the parameters; called once, when inputs and shapes are known."""

    def transform(self, inputs: Inputs) -> Expression | dict[str, Expression]:
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
        """Get the shape of one example of each output; called before `setup`.

        Where a class defines `transform` but not this, what its base says is
        no more than the shape of outputs that `transform` returns; it may
        return others.
        """
        if self.shape is not None and len(self.shape) > 1:
            return {"out": self.shape}
        shape = self.input_shapes[0] if self.input_shapes else ()
        last = self.shape[-1:] if self.shape else shape[-1:]
        self.output_shapes["out"] = shape[:-1] + last
        return {"out": shape[:-1] + last}

    def shapes_for(self, found: Mapping[str, Shape]) -> dict[str, Shape]:
        """Get the shapes of the outputs where the inputs have sizes that were open before.

        Parameters
        ----------
        found : dict
            Shape of one example of each output before, by full name.

        Raises
        ------
        ConfigurationError
            If the layer cannot have such inputs.
        """
        made = copy.copy(self)
        made.input_shapes = [found[name] for name in self.input_names]
        made.output_shapes = dict(self.output_shapes)
        known = {**self.output_shapes, **made.resolve_outputs()}
        return {key: known[key] for key in self.output_shapes}

    @property
    def most_steps(self) -> int | None:
        """How many steps a series that is continued may come to; None if any number."""
        return None

    @property
    def least_examples(self) -> int:
        """How many examples a batch must have in training: 1, or more if they are compared."""
        return 1

    def pre_width(self) -> int:
        """Get how many entries of the pre-activation make one of the output."""
        built = self._activation if self.bound else self._build_activation(self.activation_spec)
        return built.width

    # ---- life in a network ----------------------------------------------------

    def bind(self, layers: Mapping[str, Layer], *, dtype: str = "float32", seed: int = 0) -> None:
        """Take the layer's place in a network: resolve inputs, make parameters.

        A layer that is bound already keeps its parameters, so that two
        networks can share it; its inputs must then have the same names and
        shapes in both.

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
        if not isinstance(layers, Mapping):
            raise ConfigurationError(
                f"layer {self.full_name!r} cannot be bound to {layers!r}; net.add_layer(layer) "
                "does that"
            )
        input_names = self.resolve_inputs(layers)
        input_shapes = [self._shape_of(layers, name) for name in input_names]
        for name in input_names:
            source = layers[names.split_output(name)[0]]
            if source.sparse and not self.takes_sparse:
                raise ConfigurationError(
                    f"layer {self.full_name!r} ({type(self).__name__.lower()}) cannot take the "
                    f"sparse input {name!r}, a feedforward layer can; with sparse=False data are "
                    "made dense batch by batch"
                )
        if self.bound:
            self._check_rebind(input_names, input_shapes, dtype)
            return
        self.input_names, self.input_shapes, self.dtype = input_names, input_shapes, dtype
        self.layers = layers
        drawn = generator(seed if self.seed is None else self.seed, "layer", str(self.name))
        self.rng = Draws(drawn.bit_generator)
        # Of an earlier attempt that failed.
        self._params, self._state, self._activation_params = Params(self), {}, []
        self._asked = set()
        self.output_shapes = {}
        declared: dict[str, Shape] | None = self.resolve_outputs()
        # In earlier versions it returned nothing.
        self.output_shapes = self.output_shapes if declared is None else declared
        activation = self._build_activation(self.activation_spec)
        self.setup()
        self._set_activation(activation)
        if declared is None or self.transforms_otherwise():
            self.output_shapes = self.found_outputs()
        if self._asked or type(self).setup is Layer.setup:
            self.check_draws()
        self.bound = True

    def _check_rebind(self, inputs: list[str], shapes: list[Shape], dtype: str) -> None:
        for what, mine, other in (
            ("inputs", self.input_names, inputs),
            ("inputs of shape", self.input_shapes, shapes),
            ("dtype", self.dtype, dtype),
        ):
            if mine != other:
                raise ConfigurationError(
                    f"layer {self.full_name!r} belongs to another network, where it has {what} "
                    f"{mine}; it cannot have {what} {other} here"
                )

    def connect(self, inputs: Inputs) -> dict[str, Any]:
        """Get the layer's outputs by full name; updates go to ``inputs.updates``."""
        found = named_outputs(
            self.transform(inputs),
            str(self.name),
            self.output_shapes,
            self.dtype,
            inputs.updates,
        )
        self.check_seen(dict.fromkeys([*self._keywords(), *self.draws]))
        return found

    def to_spec(self) -> dict[str, Any]:
        """Get the keywords that build the layer again, with its form."""
        form = Layer.registry.name_of(type(self)) or type(self)
        spec: dict[str, Any] = {"form": form, "name": self.name}
        if self.shape is not None:
            spec["shape"] = self.shape
        if self.input_names:
            # Within a block, names may be those in the block.
            within = names.is_within_block(str(self.name))
            spec["inputs"] = [f"/{name}" if within else name for name in self.input_names]
        if isinstance(self.activation_spec, str):
            spec["activation"] = self.activation_spec
        elif self.activation_spec is not None:
            spec["activation"] = activations.to_spec(activations.build(self.activation_spec))
        elif self.bound:
            spec["activation"] = self.activation.name
        for key in self.valid_options():
            value = getattr(self, key)
            spec[key] = value.name if isinstance(value, Layer) else value
        spec.update(self.own_arguments({*self._keywords(), *self.draws, "nrng"}))
        if self.seed is not None:
            spec["rng"] = self.seed
        return {**spec, **self.draws}

    def cache_key(self) -> Hashable:
        """Get what shapes the layer's expressions: its attributes, as far as they do."""
        without = self._shapeless
        # A class of the user's may look at its keywords at any time.
        looked_at = looks_at_keywords(type(self))  # type: ignore[arg-type]
        kwargs = dict(self.kwargs) if looked_at else None
        return (type(self), kwargs, {k: v for k, v in vars(self).items() if k not in without})

    structure = formerly("structure()", "cache_key")

    def log(self) -> str:
        """Describe the layer in one line."""
        inputs = ", ".join(self.input_names) or "-"
        return (
            f"{self.full_name}: {type(self).__name__.lower()}({inputs}) -> {self.output_shapes}, "
            f"{self.activation.name}, {self.num_params:,} parameters"
        )

    def __repr__(self) -> str:
        shape = self.output_shapes.get("out", self.shape)
        return f"<{type(self).__name__} {self.full_name!r} {shape}>"


def is_form(value: object) -> bool:
    """Tell whether something is a class of layers, or names one."""
    if isinstance(value, type):
        return issubclass(value, Layer)
    return value in Layer.registry
