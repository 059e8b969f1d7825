"""Blocks of attention and a feedforward network, each added to what goes into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ... import activations
from ...errors import ConfigurationError
from ...options import Choice, Number, Whole
from ..base import Layer
from ..blocks import Sequential
from .attention import Attention


class Transformer(Sequential, names=("transformer",)):
    r"""Attention, and then a feedforward network for each step; both are added to their inputs.

    .. math::

        h &= x + \mathrm{attention}(\mathrm{norm}(x)) \\
        y &= h + g(\mathrm{norm}(h) w_1 + b_1) w_2 + b_2

    The layers that it unfolds into are ``block/norm1``, ``block/attention``,
    ``block/sum1``, ``block/norm2``, ``block/hidden``, ``block/feedforward`` and
    ``block/sum2``, besides those that drop; those who want other blocks can put these together.

    Parameters
    ----------
    hidden : int, optional
        Units of the hidden layer of the feedforward network; by default four
        times those of the input.
    activation : str
        That of the hidden layer, ``'gelu'`` by default; of ``'geglu'`` and
        ``'swiglu'``, which are gated, the layer has twice the weights.
    norm : str
        ``'pre'``: what goes into attention and the feedforward network is
        normalized, as above; ``'post'``: the sums are.
    normalization : str
        ``'layer_norm'`` or ``'rms_norm'``.
    epsilon : float
        That of the normalizations.
    dropout : float
        The share that is 0 in training, in [0, 1): of weights of attention, of
        hidden units, and of what is added.
    drop_path : float
        With what probability nothing is added for a whole example, in training
        (stochastic depth).
    last : bool
        Whether the output is what the last block gives for the last step that
        exists, (size), and 0 of a series without steps; by a layer ``block/last``.
    heads, kv_heads, causal, window, position, reach, bias
        See `Attention`.
    repeat : int
        How many blocks follow upon each other.

    Notes
    -----
    The output has the shape of the input. Behind the last block with
    ``norm='pre'`` a layer ``'layer_norm'`` is usual.

    References
    ----------
    Vaswani et al. 2017, "Attention is all you need". Xiong et al. 2020, "On layer
    normalization in the transformer architecture". Shazeer 2020, "GLU variants improve
    transformer". Huang et al. 2016, "Deep networks with stochastic depth".
    """

    options: ClassVar[dict[str, Any]] = {
        **Attention.options,
        "hidden": Whole(None),
        "norm": Choice("pre", ("pre", "post")),
        "normalization": Choice("layer_norm", ("layer_norm", "rms_norm")),
        "epsilon": Number(1e-5, "positive"),
        "drop_path": Number(0.0, "fraction"),
    }
    hidden: int | None
    norm: str
    normalization: str
    epsilon: float
    last: bool
    dropout: float
    drop_path: float

    def _build_activation(self, spec: Any) -> activations.Activation:
        # It is that of the hidden layer.
        activations.build(spec)
        return activations.build("linear")

    def to_spec(self) -> dict[str, Any]:
        """Get the keywords that build the layer again, after the layers that it unfolded into."""
        spec = {**super().to_spec(), "layers": None}
        if self.activation_spec is None:
            del spec["activation"]
        return spec

    def specs(self, layers: Mapping[str, Layer], source: str) -> list[Any]:
        """Get what the layers of one block are made of."""
        if self.parts is not None:
            raise ConfigurationError(
                f"layer {self.full_name!r}: layers={self.parts!r}; a transformer has layers of "
                "its own, and a layer 'sequential' or 'residual' has those that are given"
            )
        shape = self._shape_of(layers, source)
        if len(shape) != 2 or shape[1] is None:
            raise ConfigurationError(
                f"layer {self.full_name!r} needs series, (time, variables) each; {source!r} "
                f"has the shape {shape}"
            )
        if self.shape not in (None, shape[1:], shape):
            raise ConfigurationError(
                f"layer {self.full_name!r}: size={self.shape[-1] if self.shape else None}, but "
                f"what is added to the input {source!r} has its size, {shape[1]}"
            )
        return self._specs(f"/{source}", shape[1])

    def options_of(self, repetition: int) -> dict[str, Any]:
        """Get the options of one of several blocks; ``last`` is for that which is."""
        return {
            **super().options_of(repetition),
            "last": self.last and repetition == self.repeat,
        }

    def _specs(self, source: str, size: int) -> list[dict[str, Any]]:
        """Get the layers of a block."""
        attention = {key: getattr(self, key) for key in Attention.options if key != "last"}
        norm = {"epsilon": self.epsilon}
        act = "gelu" if self.activation_spec is None else self.activation_spec
        hidden = {"size": self.hidden or 4 * size, "activation": act}
        made: list[dict[str, Any]] = []

        def add(name: str, form: str, inputs: Any, **options: Any) -> str:
            made.append({"form": form, "name": name, "inputs": inputs, **options})
            return name

        def dropped(name: str, inputs: str) -> str:
            if self.dropout:
                inputs = add(f"{name}_dropout", "dropout", inputs, rate=self.dropout)
            if self.drop_path:
                options = {"rate": self.drop_path, "per_example": True}
                inputs = add(f"{name}_path", "dropout", inputs, **options)
            return inputs

        given = source
        for number in (1, 2):
            found = given
            if self.norm == "pre":
                found = add(f"norm{number}", self.normalization, found, **norm)
            if number == 1:
                found = dropped("attention", add("attention", "attention", found, **attention))
            else:
                found = add("hidden", "feedforward", found, **hidden)
                if self.dropout:
                    found = add("hidden_dropout", "dropout", found, rate=self.dropout)
                linear = {"size": size, "activation": "linear"}
                found = dropped("feedforward", add("feedforward", "feedforward", found, **linear))
            given = add(f"sum{number}", "add", [given, found], activation="linear")
            if self.norm == "post":
                given = add(f"norm{number}", self.normalization, given, **norm)
        if self.last:
            add("last", "pool_time", given, mode="last")
        return made
