"""Layers that map vectors to vectors: input, feedforward, classifier, tied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytensor.tensor as pt

from ..activations import Activation, is_softmax
from ..errors import ConfigurationError, unknown
from ..expressions import Expression, Shared, placeholder
from ..ops import sparse
from ..options import Choice, Whole, as_list
from .base import Layer
from .signals import Inputs, Shape
from .traits import LinearMap

#: The axes that an array of NumPy can have in all of its versions.
MOST = 32


class Input(Layer, names=("input",)):
    """A place where data enters a network.

    Parameters
    ----------
    shape : tuple
        Shape of one example; None stands for any length, for instance
        ``(None, 12)`` for series of 12 variables, and ``(12,)`` for vectors.
    size : int
        The last axis of it instead; those before are of any length, as many as
        the network's data have: ``size=12`` is ``shape=(None, 12)`` in a
        recurrent model, and ``shape=(12,)`` in a feedforward one.
    ndim : int, optional
        Number of axes with the batch axis: a shape, or size, shorter than that
        gets axes of unknown length in front.
    sparse : bool, 'csr' or 'csc'
        Whether data stay sparse matrices: then the time that the layers they
        go to take is by the entries that are not zero. These must be
        feedforward layers, and examples vectors. Any format will do, whatever
        this says, and dense data become sparse. (Without it, any input takes
        sparse data too, and makes them dense batch by batch.)

    Attributes
    ----------
    variable : TensorVariable
        The symbolic input, named like the layer.
    """

    options: ClassVar[dict[str, Any]] = {
        "ndim": Whole(None, 1, MOST),
        "sparse": Choice(False, (False, True, "csr", "csc")),
    }
    ndim: int | None
    sparse: bool | str
    default_activation = "linear"
    is_input = True

    def __init__(self, name: str | None = None, *, shape: Any = None, **options: Any) -> None:
        super().__init__(name, shape=shape, **options)
        if self.ndim is None and isinstance(shape, (tuple, list)):
            self.ndim = len(shape) + 1

    def resolve_inputs(self, layers: Any) -> list[str]:
        """Get the inputs that an input has: none."""
        if self.inputs is not None and as_list(self.inputs) != []:
            raise ConfigurationError(
                f"input layer {self.full_name!r} cannot have inputs={self.inputs!r}"
            )
        return []

    @property
    def is_series(self) -> bool:
        """Whether examples are series, of shape (time, variables)."""
        return len(self.output_shape) == 2 and self.output_shape[0] is None

    def expect_axes(self, ndim: int) -> None:
        """Take on the number of axes of the network's data; see `Layer.expect_axes`."""
        if self.ndim is None and self.shape and not self.bound:
            self.ndim = max(ndim, len(self.shape) + 1)

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape that data must have."""
        if self.shape is None:
            raise ConfigurationError(f"input layer {self.full_name!r} needs a size or a shape")
        if self.sparse:
            self._check_sparse()
        missing = 0 if self.ndim is None else self.ndim - 1 - len(self.shape)
        if missing < 0:
            raise ConfigurationError(
                f"input layer {self.full_name!r}: shape {self.shape} has more than "
                f"ndim - 1 = {self.ndim} - 1 axes"
            )
        return {"out": (None,) * missing + self.shape}

    def _check_sparse(self) -> None:
        if len(self.shape or ()) != 1 or self.ndim not in (None, 2) or self.shape == (None,):
            raise ConfigurationError(
                f"input layer {self.full_name!r}: sparse={self.sparse!r} needs examples that are "
                f"vectors of a known size; shape={self.shape}, ndim={self.ndim}"
            )
        if self.activation_spec not in (None, "linear"):
            raise ConfigurationError(
                f"input layer {self.full_name!r}: a sparse input has no "
                f"activation={self.activation_spec!r}"
            )

    def setup(self) -> None:
        """Make the symbolic variable."""
        if self.sparse:
            self.variable = sparse.placeholder(self.name, self.dtype, self.output_size)
            return
        shape = (None, *self.output_shape)
        self.variable = placeholder(self.name, self.dtype, shape)

    def transform(self, inputs: Inputs) -> Expression:
        """Get the variable itself."""
        return self.activation(self.variable)


class Feedforward(Layer, names=("feedforward", "ff")):
    r"""A fully connected layer: ``out = g(x @ w + b)``.

    Several inputs are multiplied by a matrix of their own each and summed;
    the matrices are drawn as parts of one that maps all inputs together.
    Inputs of more than one axis per example, a series for instance, are
    mapped along the last one. Of a sparse input, only the entries that are
    not zero are looked at.

    Parameters ``w`` (inputs, units), or ``w_<input>`` for each of several
    inputs, and ``b`` (units). Outputs ``out`` and ``pre``, the
    pre-activation ``x @ w + b``.
    """

    takes_sparse = True
    linear_map: LinearMap = "matrix"

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shapes of ``out`` and ``pre``."""
        if self.shape is None:
            raise ConfigurationError(f"layer {self.full_name!r} needs a size")
        if len(self.shape) != 1 or self.shape[0] is None:
            raise ConfigurationError(
                f"layer {self.full_name!r}: shape {self.shape} is not a size; a feedforward "
                "layer maps the last axis of its inputs and keeps the others"
            )
        axes, size = self._leading_axes(), self.shape[0]
        return {"out": (*axes, size), "pre": (*axes, size * self.pre_width())}

    def _leading_axes(self) -> Shape:
        """Get all axes of the inputs but the last, which must agree where they are known."""
        if any(not shape for shape in self.input_shapes):
            raise ConfigurationError(
                f"layer {self.full_name!r} needs inputs of at least one axis per example, got "
                f"{self._described_inputs()}"
            )
        known = [
            {length for length in axes if length is not None}
            for axes in zip(*(shape[:-1] for shape in self.input_shapes), strict=False)
        ]
        ranks = {len(shape) for shape in self.input_shapes}
        if len(ranks) > 1 or any(len(lengths) > 1 for lengths in known):
            raise ConfigurationError(
                f"layer {self.full_name!r} has inputs whose shapes differ not only along the last "
                f"axis: {self._described_inputs()}"
            )
        return tuple(next(iter(lengths), None) for lengths in known)

    def _described_inputs(self) -> str:
        pairs = zip(self.input_names, self.input_shapes, strict=True)
        return ", ".join(f"{name} {shape}" for name, shape in pairs)

    def setup(self) -> None:
        """Make ``w`` (or one ``w_<input>`` each) and ``b``."""
        size = self.pre_size
        if len(self.input_names) == 1:
            self.add_weights("w", nout=size)
        else:
            nin = sum(self._known(shape, "input") for shape in self.input_shapes)
            std = (2.0 / (nin + size)) ** 0.5
            for key, shape in zip(self._weight_names(), self.input_shapes, strict=True):
                self.add_weights(key, self._known(shape, "input"), size, std=std)
        self.add_bias("b", size)

    def _weight_names(self) -> list[str]:
        if len(self.input_names) == 1:
            return ["w"]
        keys: list[str] = []
        for name in self.input_names:
            key = f"w_{name}"
            while key in keys:
                key += "'"
            keys.append(key)
        return keys

    def find(self, key: str | int) -> Shared:
        """Find a parameter; of several inputs' weights ``w_1`` is the first, ``w_x`` x's."""
        if isinstance(key, str) and key not in self._params and key.startswith("w_"):
            weights = self._weight_names()
            number = key[2:]
            if number.isdigit() and 1 <= int(number) <= len(weights):
                key = weights[int(number) - 1]
            elif f"{key}:out" in self._params:
                key = f"{key}:out"
        return super().find(key)

    def transform(self, inputs: Inputs) -> dict[str, Expression]:
        """Get ``out`` and ``pre``."""
        terms = [
            sparse.dot(x, self._params[key])
            for x, key in zip(inputs.ordered, self._weight_names(), strict=True)
        ]
        pre = sum(terms[1:], terms[0]) + self._params["b"]
        return {"out": self.activation(pre), "pre": pre}


class Classifier(Feedforward, names=("classifier", "softmax")):
    """A feedforward layer whose output is a softmax over classes.

    Losses over classes work on its ``pre``, the logits.
    """

    default_activation = "softmax"

    def _build_activation(self, spec: Any) -> Activation:
        built = super()._build_activation(spec)
        if not is_softmax(built):
            raise ConfigurationError(
                f"layer {self.full_name!r}: a classifier layer is a softmax; for "
                f"activation={spec!r} use a feedforward layer"
            )
        return built


class Tied(Layer, names=("tied",)):
    r"""A layer that uses another layer's weights, transposed: ``out = g(x @ w.T + b)``.

    Parameters
    ----------
    partner : str or Layer, optional
        The layer whose ``w`` is used: a feedforward layer with one input, or
        any other whose ``w`` is (inputs, outputs), an embedding too. By default the first of
        them, going backwards from this layer, whose output fits this layer's
        input and that no tied layer has as its partner.

    Notes
    -----
    The size is the partner's input size. Parameter ``b``; outputs ``out``
    and ``pre``.
    """

    options: ClassVar[dict[str, Any]] = {"partner": None}
    partner: Any
    max_inputs = 1

    @property
    def tied_to(self) -> Layer:
        """The partner."""
        found: Layer = self.partner
        return found

    def resolve_outputs(self) -> dict[str, Shape]:
        """Find the partner, and get the shapes of ``out`` and ``pre``."""
        partner = self._find_partner()
        size = partner.turned_size
        if size is None:
            raise ConfigurationError(
                f"layer {self.full_name!r} cannot be tied to {partner!r}: the partner must have "
                "one input and a parameter 'w' of shape (inputs, outputs), as a feedforward layer"
            )
        self.partner = partner
        if self.input_size != partner.pre_size:
            raise ConfigurationError(
                f"layer {self.full_name!r} has inputs of size {self.input_size}, but its "
                f"partner {partner.full_name!r} has outputs of size {partner.pre_size}"
            )
        if self.shape is not None and self.shape != (size,):
            raise ConfigurationError(
                f"layer {self.full_name!r} has size {self.shape}, but its partner "
                f"{partner.full_name!r} has inputs of size {size}"
            )
        shape = (*self.input_shape[:-1], size)
        return {"out": shape, "pre": shape}

    def _find_partner(self) -> Layer:
        layers = self.layers
        if isinstance(self.partner, Layer):
            if layers.get(self.partner.full_name) is not self.partner:
                raise unknown(f"partner of layer {self.full_name!r}", self.partner, layers)
            return self.partner
        if self.partner is not None:
            if not isinstance(self.partner, str) or self.partner not in layers:
                raise unknown(f"partner of layer {self.full_name!r}", self.partner, layers)
            return layers[self.partner]
        taken = {id(other.partner) for other in layers.values() if isinstance(other, Tied)}
        for other in reversed(list(layers.values())):
            fits = other.turned_size is not None and other.pre_size == self.input_size
            if fits and id(other) not in taken:
                return other
        raise ConfigurationError(
            f"layer {self.full_name!r} found no untied feedforward layer with one input and "
            f"{self.input_size} outputs to be its partner"
        )

    def bind(self, layers: Mapping[str, Layer], **kwargs: Any) -> None:
        """Take the layer's place in a network; see `Layer.bind`."""
        shared = self.bound
        super().bind(layers, **kwargs)
        if shared and layers.get(self.partner.full_name) is not self.partner:
            raise ConfigurationError(
                f"layer {self.full_name!r} is tied to {self.partner.full_name!r} of another "
                "network, which is not in this one"
            )

    def setup(self) -> None:
        """Make ``b``."""
        self.add_bias("b")

    def transform(self, inputs: Inputs) -> dict[str, Expression]:
        """Get ``out`` and ``pre``."""
        pre = pt.dot(inputs.only, self.partner.find("w").T) + self.find("b")
        return {"out": self.activation(pre), "pre": pre}
