"""Blocks: several layers under one name, which may be repeated or have a skip.

A block is written as one entry of a network's list, and unfolds into layers of
the network when it is added: those of its own list, called ``block/1``,
``block/2`` and so on, and then itself, which takes what the last of them gives.
All that is known of layers is so of those in a block.

References
----------
He, Zhang, Ren & Sun 2016, "Deep residual learning for image recognition".
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from .. import activations
from ..errors import ConfigurationError
from ..expressions import Expression
from ..names import split_output
from ..options import Whole, as_list
from .base import Layer
from .checks import check_declared
from .merge import Add
from .signals import Inputs, Shape
from .traits import Part

#: Layers one by one, and then what takes their output, or outputs.
Parts: TypeAlias = Generator[Part, None, Any]
#: A length that stands for open ones, to see what layers make of them.
SOME = 4096


class Block(Layer, abstract=True):
    """Base class of layers that unfold into several.

    Parameters
    ----------
    layers : list
        Specifications, as in the list of a network. Layers without a name have
        their number; one called ``a`` is ``block/a`` in the network. Their
        ``inputs=`` may leave out the name of the block.
    repeat : int
        How often the whole follows upon itself, each time with parameters of
        its own: ``block/1/1``, ``block/1/2``, ..., ``block/2/1``, ...
    """

    options: ClassVar[dict[str, Any]] = {"layers": None, "repeat": Whole(1)}
    repeat: int
    default_activation = "linear"
    _shapeless = Layer._shapeless | {"parts"}

    def __init__(self, name: str | None = None, **options: Any) -> None:
        super().__init__(name, **options)
        #: What ``layers`` are; a layer that is bound has those before it by that name.
        self.parts: Any = options.get("layers")

    @property
    def passes_on(self) -> bool:
        """Whether it stands behind the last of its repetitions, or has nothing to do."""
        return self.repeat > 1

    def _build_activation(self, spec: Any) -> activations.Activation:
        built = super()._build_activation(spec)
        # That of several repetitions is theirs, parameters included.
        return activations.build("linear") if self.repeat > 1 else built

    def to_spec(self) -> dict[str, Any]:
        """Get the keywords that build the layer again, after the layers that it unfolded into."""
        return {**super().to_spec(), "layers": self.parts}

    def unfold(self, layers: Mapping[str, Layer], ending: str | None) -> Iterator[Part]:
        """Get the layers of the block, one by one."""
        sources = self.resolve_inputs(layers)
        # An activation of its own is the last one.
        ending = ending if self.activation_spec is None else None
        if any(source.startswith(f"{self.name}/") for source in sources):
            # They are there already: so networks come from files.
            return
        if len(sources) > 1:
            raise ConfigurationError(
                f"layer {self.full_name!r}: a block takes one input, got {sources}; "
                "a layer 'concatenate' or 'add' before it makes one of several"
            )
        specs = self.specs(layers, sources[0])
        self.inputs = yield from (
            self._once(layers, sources[0], specs, ending)
            if self.repeat == 1
            else self._repeated(sources[0], ending)
        )

    def specs(self, layers: Mapping[str, Layer], source: str) -> list[Any]:
        """Get what the layers of one repetition are made of.

        Parameters
        ----------
        layers : mapping
            The layers so far, by name.
        source : str
            Full name of the block's input.

        Raises
        ------
        ConfigurationError
            If there is no such list.
        """
        specs = None if isinstance(self.parts, type) else as_list(self.parts)
        if not specs:
            raise ConfigurationError(
                f"layer {self.full_name!r}: layers={self.parts!r} is not a list of layers such as "
                "[20, 'batch_norm']"
            )
        return specs

    def options_of(self, repetition: int) -> dict[str, Any]:
        """Get the options of one of several repetitions, from 1 on."""
        return {key: getattr(self, key) for key in self.valid_options()}

    def _once(
        self, layers: Mapping[str, Layer], source: str, specs: list[Any], ending: str | None
    ) -> Parts:
        """Get the layers of one repetition; returns what the layer itself takes."""
        last = yield from self._chain(source, specs, ending)
        if layers[split_output(last)[0]].chooses_jointly:
            raise ConfigurationError(
                f"layer {self.full_name!r}: a layer that chooses the labels of all steps together "
                "has to be the network's last; place it behind the block"
            )
        return last

    def _chain(self, source: str, specs: list[Any], ending: str | None) -> Parts:
        for i, spec in enumerate(specs, 1):
            if isinstance(spec, Layer):
                raise ConfigurationError(
                    f"layer {self.full_name!r}: {spec!r} is an instance; the layers of a block "
                    "are made with it, and so are given as dict(form=..., ...) and the like"
                )
            named = spec.get("name") if isinstance(spec, Mapping) else None
            name = f"{self.name}/{i if named is None else named}"
            keywords: dict[str, Any] = {"name": name}
            if not (isinstance(spec, Mapping) and spec.get("inputs") is not None):
                keywords["inputs"] = f"/{source}"
            yield self._part(spec, keywords, ending if i == len(specs) else None)
            source = f"{name}:out"
        return source

    def _part(self, spec: Any, keywords: dict[str, Any], ending: str | None) -> Part:
        if self.seed is not None and not (isinstance(spec, Mapping) and "rng" in spec):
            keywords["rng"] = self.seed
        return Part(spec, keywords, ending)

    def _repeated(self, source: str, ending: str | None) -> Parts:
        own = {"form": type(self), "layers": self.parts, "repeat": 1}
        for i in range(1, self.repeat + 1):
            spec = {**self.options_of(i), **own}
            name = f"{self.name}/{i}"
            given = {"name": name, "inputs": f"/{source}", "activation": self.activation_spec}
            yield self._part(spec, given, ending if i == self.repeat else None)
            source = f"{name}:out"
        return source


class Sequential(Block, names=("sequential",)):
    """Layers one after the other, under one name; see `Block`.

    The output ``out`` is that of the last layer, or the ``activation`` of it.
    """

    max_inputs = 1
    keeps_entries = True

    @property
    def passes_on(self) -> bool:
        """Whether there is no activation."""
        return self.activation.name == "linear"

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shape of ``out``."""
        return {"out": check_declared(self, self.input_shape)}

    def transform(self, inputs: Inputs) -> Expression:
        """Get what the last layer gives."""
        return self.activation(inputs.only)

    @property
    def logits_output(self) -> str | None:
        """That of the last layer."""
        return self._of_last("logits_output")

    @property
    def log_odds_output(self) -> str | None:
        """That of the last layer."""
        return self._of_last("log_odds_output")

    def _of_last(self, what: str) -> str | None:
        layer, output = split_output(self.input_names[0])
        found: str | None = getattr(self.layers[layer], what)
        return found if self.passes_on and output == "out" else None


class Residual(Block, Add, names=("residual",)):
    """Layers whose output is added to what goes in: ``g(x + f(x))``; see `Block`.

    Where shapes differ, ``x`` is projected by a layer ``block/skip``: a linear
    map of its last axis, or, where the layers have a stride, a convolution of
    filters of one entry with that stride. The last layer in the block is
    linear, unless it says otherwise, and so is the sum: ``activation`` is that
    of the sum. As a network's last layer, the sum has the model's output
    activation by default.

    Parameters
    ----------
    layers, repeat
        See `Block`; each repetition has a skip of its own.
    skip : list, optional
        Layers that ``x`` goes through instead: ``block/skip/1``, ...
    """

    options: ClassVar[dict[str, Any]] = {**Block.options, "skip": None}
    skip: Any

    def _once(
        self, layers: Mapping[str, Layer], source: str, specs: list[Any], ending: str | None
    ) -> Parts:
        before = set(layers)
        last = yield from super()._once(layers, source, specs, "linear")
        if ending not in (None, "linear") and self.activation_spec is None:
            # What ends is the sum, and not what is added.
            self.activation_spec = ending
        inner = [layer for name, layer in layers.items() if name not in before]
        name = f"{self.name}/skip"
        if self.skip is not None:
            spec: Any = {"form": "sequential", "layers": self.skip}
        else:
            spec = self._projection(layers, source, last, inner)
        if spec is None:
            return [last, source]
        yield self._part(spec, {"name": name, "inputs": f"/{source}"}, "linear")
        return [last, f"{name}:out"]

    def _projection(
        self, layers: Mapping[str, Layer], source: str, last: str, inner: Sequence[Layer]
    ) -> dict[str, Any] | None:
        """Get the layer that makes the input as long and wide as the output of the others."""
        given, made = (_shape(layers, name) for name in (source, last))
        if len(given) != len(made) or not 1 <= len(given) <= 3 or made[-1] is None:
            if given == made:
                return None
            raise ConfigurationError(
                f"layer {self.full_name!r}: {source!r} of shape {given} is added to {last!r} of "
                f"shape {made}, which no projection makes of it; give the layers that do it: "
                "skip=[...]"
            )
        axes = range(len(given) - 1)
        strides = [self._stride(layers, source, last, inner, axis) for axis in axes]
        moved = any(stride > 1 for stride in strides)
        if given[-1] == made[-1] and not moved:
            return None
        common = {"size": made[-1], "activation": "linear"}
        if len(given) < 3 and not moved:
            return {"form": "feedforward", **common}
        form = f"conv{len(given) - 1}"
        return {"form": form, "filter_size": 1, "stride": tuple(strides), **common}

    def _stride(
        self,
        layers: Mapping[str, Layer],
        source: str,
        last: str,
        inner: Sequence[Layer],
        axis: int,
    ) -> int:
        """Get the stride with which a filter of one entry makes the lengths that layers make."""
        shape = _shape(layers, source)
        open_length = shape[axis] is None
        n, m = SOME if open_length else shape[axis], _shape(layers, last)[axis]
        stride = None
        while True:
            if open_length:
                made = _made(layers, source, (*shape[:axis], n, *shape[axis + 1 :]), inner)
                m = made[last][axis]
            if n is None or m is None:
                return 1
            stride = stride or -(-n // m)
            if (n - 1) // stride + 1 != m:
                raise ConfigurationError(
                    f"layer {self.full_name!r}: along axis {axis} of an example the layers make "
                    f"{m} of {n} entries. A skip with a stride s has ({n} - 1) // s + 1: "
                    f"{(n - 1) // stride + 1} for s = {stride}. Pad by border_mode='same' or "
                    "padding='same', or give the layers that fit: skip=[...]"
                )
            # It is so for all lengths if it is for each remainder.
            if not open_length or n + 1 == SOME + stride:
                return stride
            n += 1


def _shape(layers: Mapping[str, Layer], name: str) -> Shape:
    layer, output = split_output(name)
    return layers[layer].output_shapes[output]


def _made(
    layers: Mapping[str, Layer], source: str, shape: Shape, inner: Sequence[Layer]
) -> dict[str, Shape]:
    """Get the shapes of all outputs where one is of another shape, as far as layers follow it."""
    found = {
        f"{n}:{key}": s for n, layer in layers.items() for key, s in layer.output_shapes.items()
    }
    found[source] = shape
    for layer in inner:
        shapes = layer.shapes_for(found)
        found.update({f"{layer.name}:{key}": s for key, s in shapes.items()})
    return found
