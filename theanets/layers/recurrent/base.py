"""The base of recurrent layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytensor.tensor as pt

from ...errors import ConfigurationError, unknown
from ...expressions import Expression, filled
from ...ops.recurrent import (
    Layout,
    Named,
    NotElementwiseError,
    Products,
    Recurrence,
    Results,
    StepFunction,
    recur,
    scan,
    trace,
)
from ...options import Choice, Flag, Whole
from ..base import Layer
from ..lengths import Lengths
from ..signals import Inputs, Shape
from ..time import exists, turned
from .states import COUNT, continued, counted, given_states, initial_states
from .weights import StateWeights
from .zoneout import zoned, zones

#: What ``direction`` may be.
DIRECTIONS = ("forward", "backward", "reversed")


class Recurrent(StateWeights, abstract=True):
    r"""Base class of recurrent layers.

    A subclass is read from top to bottom: `shown` names its outputs, `setup`
    makes the parameters, `layout` says which of them a step works on, and
    `formulas` is the step. Its input is a series, (batch, time, variables); so
    are all outputs.

    Parameters
    ----------
    direction : {'forward', 'backward', 'reversed'} or None
        ``'backward'`` runs from the last step of each series to the first;
        outputs are in the order of the input all the same. ``'reversed'``
        runs likewise, with outputs in the order of the run, the last step's
        first, as in theanets up to 0.8. None is ``'forward'``.
    last : bool
        Whether ``out`` is only what the recurrence ends with, the last step
        of each series that exists (the first for ``'backward'``), of shape
        (batch, units).
    lengths : str, optional
        Name of a layer of the form ``'lengths'``, with the number of steps of
        each series. By default the steps are those of the layer's input: the
        network's layer of lengths says it, or the weights of the loss do, for
        steps after the last one of positive weight do not exist. Else all
        series have all steps.
    h_0 : str, optional
        Name of an output, of shape (batch, units), that is the initial state;
        zeros by default. Layers of further states have further such options.
    bptt_limit : int, optional
        How many steps gradients go back at most: they are cut off at each
        multiple of it. By default they go back to the first step.
    stateful : bool
        Whether each batch of training starts from the states that the batch
        before ended with, row by row, without a gradient through them: for
        batches that continue each other, such as those of
        `Text.contiguous_batches`. Each epoch starts from the beginning,
        unless data are an iterator, which goes on; validation and prediction
        do not carry states on.
    zoneout : float or dict
        Probability, in [0, 1), that a unit keeps its state in a step of
        training (Krueger et al. 2017, "Zoneout: regularizing RNNs by randomly
        preserving hidden activations"). Else units keep that share of their
        state, which is the expected value. A dict has probabilities by state:
        ``{'h': 0.05, 'c': 0.5}`` for an lstm.

    Notes
    -----
    Weights that states are multiplied by start as orthogonal matrices, unless
    a keyword says how they are drawn: then the states do not grow by
    themselves, whatever the seed. ``mean``, ``std`` and ``sparsity`` are for
    all weights, ``diagonal`` and ``radius`` for the square ones of states; with
    a suffix (``diagonal_hh``, ``sparsity_xh``) each is for one parameter. Where
    a parameter has several gates side by side, each is drawn by itself.

    A step that does not exist has outputs of zero, and changes no state. It
    does not matter what the input holds there, NaN included.
    """

    options: ClassVar[dict[str, Any]] = {
        "direction": Choice(None, DIRECTIONS),
        "last": Flag(False),
        "lengths": None,
        "h_0": None,
        "bptt_limit": Whole(None),
        "stateful": Flag(False),
        "zoneout": 0.0,
    }
    direction: str | None
    last: bool
    lengths: Any
    h_0: Any
    bptt_limit: int | None
    stateful: bool
    zoneout: Any
    max_inputs = 1
    leaves_out_steps = True
    is_recurrent = True
    #: Which of so many parts of a named initial state is the layer's own.
    part: tuple[int, int] = (0, 1)
    #: Whether a step depends on how many came before.
    counts: bool = False
    #: Options that name initial states, by state.
    initial: ClassVar[dict[str, str]] = {"h": "h_0"}
    #: The outputs, and the name of the size of each; see `sizes`.
    shown: ClassVar[dict[str, str]] = {"out": "n", "pre": "n"}

    # ---- what a subclass overrides -------------------------------------------

    def layout(self) -> Layout:
        """Get what a step works on.

        Returns
        -------
        Layout
            The vectors and the dots have the names of parameters; a dot has
            several, ``'hr+hz'``, where these stand side by side in the product.
        """
        raise NotImplementedError

    def formulas(self, x: Named, s: Named, v: Named, dot: Products, count: Expression) -> Results:
        """Do one step.

        Parameters
        ----------
        x, s, v : objects
            Blocks of the input, states and vectors as attributes.
        dot : callable
            ``dot(name, expression)`` is a list of expressions, the parts of
            the product with the weights of that name. Products are made in
            the order of the layout.
        count : expression
            How many steps came before.

        Returns
        -------
        (states, outputs) : dicts of expressions by name
        """
        raise NotImplementedError

    def sizes(self) -> dict[str, int]:
        """Get the sizes that `shown` and the layout have names for."""
        return {"n": self._units()}

    def input_weights(self) -> Expression:
        """Get the matrix (inputs, width) whose products are the blocks of the input."""
        return self.matrix("xh")

    def matrix(self, name: str) -> Expression:
        """Get what a dot of the layout multiplies by: parameters, side by side."""
        parts = [name] if self.has(name) else name.split("+")
        return joined([self.find(part) for part in parts])

    def vector(self, name: str) -> Expression:
        """Get a vector of the layout: a parameter, unless a subclass has others."""
        return self.find(name)

    def vectors(self) -> list[Expression]:
        """Get the vectors, in the order of the layout."""
        return [self.vector(name) for name in self.layout().vectors]

    def weights(self) -> list[Expression]:
        """Get the matrices of the products in a step, in the order of the layout."""
        return [self.matrix(name) for name in self.layout().dots]

    def outputs(self) -> dict[str, int]:
        """Get the sizes of the outputs."""
        sizes = self.sizes()
        return {name: sizes[size] for name, size in self.shown.items()}

    def finish(self, outputs: dict[str, Any], mask: Any) -> dict[str, Expression]:
        """Complete the outputs by what can be computed after all steps.

        Parameters
        ----------
        outputs : dict
            What the steps gave, (batch, time, size) each.
        mask : expression of shape (batch, time, 1), or None
            Which steps exist; None for all.
        """
        return outputs

    def last_output(self, final: Mapping[str, Any]) -> Expression:
        """Get the output that belongs to the states after the last step."""
        return final["h"]

    # ---- shapes ----------------------------------------------------------------

    def _units(self) -> int:
        if self.shape is None or len(self.shape) != 1 or self.shape[0] is None:
            raise ConfigurationError(f"layer {self.full_name!r} needs a size; shape={self.shape!r}")
        return self.shape[0]

    def __init__(self, name: str | None = None, **options: Any) -> None:
        super().__init__(name, **options)
        self.carried = {}

    def resolve_inputs(self, layers: Mapping[str, Layer]) -> list[str]:
        """Get the names of the input, then those of initial states and lengths."""
        self.check_options()
        found = super().resolve_inputs(layers)
        given = [getattr(self, option) for option in self.initial.values()]
        found += [self._input_name(name, layers) for name in given if name is not None]
        holder = self._lengths_layer(layers)
        return found if holder is None else [*found, holder.output_name]

    def _lengths_layer(self, layers: Mapping[str, Layer]) -> Lengths | None:
        every = {name: layer for name, layer in layers.items() if isinstance(layer, Lengths)}
        known = {name: layer for name, layer in every.items() if not layer.unasked}
        if self.lengths is None:
            return next(reversed(known.values()), None)
        name = self.lengths.name if isinstance(self.lengths, Layer) else self.lengths
        if not isinstance(name, str) or name not in known:
            raise unknown(f"lengths of layer {self.full_name!r}", name, known)
        return known[name]

    def check_options(self) -> None:
        """Refuse options that have no meaning."""
        if self.stateful and self.backward:
            raise ConfigurationError(
                f"layer {self.full_name!r} runs backward: it cannot be stateful, for it would have "
                "to know the next batch"
            )
        zones(self)

    @property
    def input_name(self) -> str:
        """Full name of the series."""
        return self.input_names[0]

    @property
    def input_shape(self) -> Shape:
        """Shape of one series."""
        return self.input_shapes[0]

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shapes of all outputs."""
        shape = self.input_shapes[0]
        if len(shape) != 2:
            raise ConfigurationError(
                f"layer {self.full_name!r} needs series, (time, variables) each; its input "
                f"{self.input_names[0]!r} has shape {shape}"
            )
        found: dict[str, Shape] = {key: (shape[0], n) for key, n in self.outputs().items()}
        if self.last:
            found["out"] = found["out"][1:]
        expected = [
            tuple(n and n * self.part[1] for n in self.initial_shape(state))
            for state, _ in given_states(self)
        ]
        given = zip(self.input_names[1:], self.input_shapes[1:], expected, strict=False)
        for name, got, want in given:
            if got != want:
                raise ConfigurationError(
                    f"layer {self.full_name!r}: the initial state {name!r} has shape {got}, "
                    f"expected {want}"
                )
        return found

    def initial_shape(self, state: str) -> Shape:
        """Get the shape of one example's initial state."""
        return (self.sizes()[self.layout().states[state]],)

    def to_spec(self) -> dict[str, Any]:
        """Get the keywords that build the layer again, with its form."""
        spec = super().to_spec()
        if self.input_names:
            spec["inputs"] = self.input_names[:1]
        return spec

    # ---- expressions -------------------------------------------------------------

    @property
    def backward(self) -> bool:
        """Whether the recurrence runs from the last step to the first."""
        return str(self.direction).lower() in ("backward", "reversed")

    @property
    def cannot_continue(self) -> str | None:
        """Why series cannot be continued."""
        return "runs backward" if self.backward else None

    def state_shapes(self) -> dict[str, Shape]:
        """Get the shape of one example of each state."""
        sizes = self.sizes()
        return {state: (sizes[size],) for state, size in continued(self).states.items()}

    def project(self, series: Expression) -> Expression:
        """Get what the input contributes to all steps, (batch, time, width)."""
        batch, time, _ = series.shape
        matrix = self.input_weights()
        flat = series.reshape((batch * time, self.input_size))
        return pt.dot(flat, matrix).reshape((batch, time, matrix.shape[1]))

    def transform(self, inputs: Inputs) -> dict[str, Expression]:
        """Run the recurrence over the input."""
        name = self.input_names[0]
        series, mask = inputs[name], None
        lengths = self._lengths(inputs.lengths)
        if lengths is None:
            lengths = filled(series.shape[1], (series.shape[0],), "int64")
        else:
            mask = exists(lengths, series)
            if lengths is not inputs.lengths.get(name):
                # Zero times NaN would be NaN in the gradient of the weights.
                series = pt.switch(mask, series, 0)
            lengths = lengths.astype("int64")
        carried = bool(inputs.initial) or (self.stateful and inputs.carries)
        layout = continued(self) if carried else self.layout()
        states = initial_states(self, inputs, series, layout)
        result = self.run(inputs, layout, self.project(series), lengths, states)
        final = dict(zip(layout.states, result.final, strict=True))
        inputs.final.update(final)
        if self.stateful and inputs.carries:
            inputs.updates.update({self.carried[s]: value for s, value in final.items()})
        outputs = self.finish(dict(result.outputs), mask)
        if str(self.direction).lower() == "reversed":
            outputs = {key: turned(value, lengths) for key, value in outputs.items()}
        if self.last:
            outputs["out"] = self.last_output(final)
        return outputs

    def _lengths(self, known: Mapping[str, Any]) -> Any:
        name = self.input_names[0]
        if self.lengths is None and name in known:
            return known[name]
        holder = self._lengths_layer(self.layers)
        return None if holder is None else holder.variable

    def steps_after(self, output: str, lengths: Mapping[str, Any]) -> Expression | None:
        """Get the number of steps of each series, where the output is one."""
        return self._lengths(lengths) if len(self.output_shapes[output]) == 2 else None

    def steps_before(self, output: str, lengths: Expression) -> dict[str, Expression]:
        """Get the number of steps of the input, not of what initial states are made of."""
        given = self.lengths is not None or len(self.output_shapes[output]) < 2
        return {} if given else {self.input_names[0]: lengths}

    def reset(self) -> None:
        """Start the states of a stateful layer anew, with the next batch of training."""
        for variable in self.carried.values():
            variable.set_value(variable.get_value(borrow=True)[:0])

    def run(
        self, inputs: Inputs, layout: Layout, z: Expression, lengths: Any, states: Sequence[Any]
    ) -> Recurrence:
        """Run all steps, by the fast core if the step is done entry by entry or reduces rows."""
        vectors, weights = self.vectors(), self.weights()
        step: StepFunction = counted(self) if COUNT in layout.states else self.formulas
        if zones(self):
            layout, z, vectors, step = zoned(self, inputs, layout, z, vectors, step)
        keywords: dict[str, Any] = {"reverse": self.backward, "limit": self.bptt_limit or 0}
        try:
            cell, extra = trace(layout, step, self.dtype)
        except NotElementwiseError:
            parts = (states, vectors, weights)
            return scan(layout, step, self.sizes(), z, lengths, *parts, **keywords)
        return recur(cell, z, lengths, states, [*vectors, *extra], weights, **keywords)


def joined(parts: Sequence[Any]) -> Any:
    """Put matrices side by side."""
    return parts[0] if len(parts) == 1 else pt.concatenate(parts, axis=1)
