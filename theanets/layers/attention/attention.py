"""Attention of the steps of series to each other, or to those of other series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt

from ... import rng as _rng
from ...errors import ConfigurationError, warn
from ...expressions import Expression
from ...ops.attention import ENDLESS, attend, attention_weights, keep
from ...options import Choice, Flag, Number, Whole
from ..base import Layer
from ..checks import described_inputs
from ..signals import Inputs, Shape
from ..time import last_step
from .cache import COUNT, KEPT, PLACES, Steps, counted
from .position import rotated

#: Random integers are below it: as many as float32 has between 0 and 1.
SEEDS = 2**24
#: The place of a first step, for all series.
START = np.zeros(1, "int64")


class Attention(Layer, names=("attention",)):
    r"""Each step of a series gets a weighted sum of what all its steps offer.

    .. math:: y_i = \sum_j \mathrm{softmax}_j(\frac{q_i k_j}{\sqrt{d}}) v_j

    for each head, where queries, keys and values are linear maps of the steps, of d =
    size / heads units; what the heads give, side by side, is mapped once more. Steps
    that do not exist are not attended to, and attend to nothing.

    Parameters
    ----------
    size : int, optional
        Units of the output; by default those of the input.
    inputs : str, or list of two
        The series that asks; and, if it is another one, the series that is attended to.
    heads : int
        How many heads; they divide the size.
    kv_heads : int, optional
        How many heads of keys and values, each shared by neighbouring heads of
        queries, whose number they divide; by default as many.
    causal : bool
        Whether a step attends to itself and to those before it only. Series
        can then be continued step by step: keys and values are kept.
    window : int, optional
        How many steps are attended to at most in a direction, the step itself
        among them. Continued series then keep window - 1 steps.
    dropout : float
        The share of weights that are 0 in training, in [0, 1).
    position : str, optional
        How it matters where steps are. ``'rotary'``: queries and keys are
        turned by angles that grow with the number of the step. ``'relative'``:
        a bias for each head and distance is added to the scores.
    reach : int
        The largest distance that has a relative bias of its own; what is
        further away has the same.
    bias : bool
        Whether the linear maps have biases.
    last : bool
        Whether ``out`` is what the last step that exists gets, (size), as for
        recurrent layers; 0 of a series without steps.

    Notes
    -----
    Parameters ``w`` (inputs, size + 2 d kv_heads), queries, keys and values side by
    side, ``b``, as ``w``; ``wo`` (size, size) and ``bo`` (size); where there are two
    inputs, ``w`` and ``b`` are of the queries, ``wkv`` and ``bkv`` of keys and values.
    With relative biases ``distance`` (heads, 2 reach + 1), of -reach, ..., reach, or (heads,
    reach + 1), of -reach, ..., 0, where it is causal. Outputs ``out`` and ``weights``
    (heads, time, time), before dropout.

    References
    ----------
    Vaswani et al. 2017, "Attention is all you need". Ainslie et al. 2023, "GQA", for
    kv_heads. Su et al. 2021, "RoFormer", for rotary positions. Shaw et al. 2018,
    "Self-attention with relative position representations".
    """

    default_activation = "linear"
    options: ClassVar[dict[str, Any]] = {
        "heads": Whole(4),
        "kv_heads": Whole(None),
        "causal": Flag(False),
        "window": Whole(None),
        "dropout": Number(0.0, "fraction"),
        "position": Choice(None, (None, "rotary", "relative")),
        "reach": Whole(32),
        "bias": Flag(True),
        "last": Flag(False),
    }
    heads: int
    kv_heads: int | None
    causal: bool
    window: int | None
    dropout: float
    position: str | None
    reach: int
    bias: bool
    last: bool

    # ---- shapes ----------------------------------------------------------------------

    @property
    def groups(self) -> int:
        """How many heads of keys and values there are."""
        return self.heads if self.kv_heads is None else self.kv_heads

    @property
    def head_size(self) -> int:
        """How many units a head has."""
        return self.output_size // self.heads

    @property
    def crosses(self) -> bool:
        """Whether it is another series that is attended to."""
        return len(self.input_names) > 1

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shapes of ``out`` and ``weights``."""
        self._check_inputs()
        if self.position != "relative" and self.reach != self.options["reach"].default:
            warn(
                f"layer {self.full_name!r}: reach={self.reach} is of the biases that "
                f"position='relative' has; with position={self.position!r} it changes nothing "
                "(window= limits how far steps attend)"
            )
        asking, offering = self.input_shapes[0], self.input_shapes[-1]
        shape = asking[1:] if self.shape is None else self.shape
        size = shape[0] if len(shape) == 1 else None
        if size is None:
            raise ConfigurationError(f"layer {self.full_name!r} needs a size; shape={self.shape!r}")
        self._check_heads(size)
        return {
            "out": (size,) if self.last else (asking[0], size),
            "weights": (self.heads, asking[0], offering[0]),
        }

    def _check_inputs(self) -> None:
        if len(self.input_names) > 2 or any(len(shape) != 2 for shape in self.input_shapes):
            raise ConfigurationError(
                f"layer {self.full_name!r} needs a series, (time, variables), or two: one that "
                f"asks and one that is attended to; got {described_inputs(self)}"
            )
        if not self.crosses:
            return
        times = [shape[0] for shape in self.input_shapes]
        if self.position is not None:
            raise ConfigurationError(
                f"layer {self.full_name!r}: position={self.position!r} is of the steps of one "
                f"series; {described_inputs(self)} are two"
            )
        if (self.causal or self.window is not None) and times[0] != times[1]:
            what = "causal=True" if self.causal else f"window={self.window}"
            raise ConfigurationError(
                f"layer {self.full_name!r}: {what} needs series of the same steps; of "
                f"{described_inputs(self)} there are {times[0]} != {times[1]}"
            )

    def _check_heads(self, size: int) -> None:
        heads, groups = self.heads, self.groups
        if size % heads:
            raise ConfigurationError(
                f"layer {self.full_name!r}: heads={heads} do not divide size={size}: "
                f"{size} = {size // heads} * {heads} + {size % heads}"
            )
        if heads % groups:
            raise ConfigurationError(
                f"layer {self.full_name!r}: kv_heads={groups} do not divide heads={heads}: "
                f"{heads} = {heads // groups} * {groups} + {heads % groups}"
            )
        if self.position == "rotary" and size // heads % 2:
            raise ConfigurationError(
                f"layer {self.full_name!r}: position='rotary' turns pairs of units, but a head "
                f"has {size // heads} = {size} / {heads}, an odd number"
            )

    def setup(self) -> None:
        """Make the parameters."""
        size, d = self.output_size, self.head_size
        offered = [d * self.groups] * 2
        own = [size] if self.crosses else [size, *offered]
        self.add_weights("w", self._known(self.input_shapes[0], "input"), blocks=own)
        if self.crosses:
            self.add_weights("wkv", self._known(self.input_shapes[1], "input"), blocks=offered)
        self.add_weights("wo", size, size)
        if self.bias:
            self.add_bias("b", sum(own))
            if self.crosses:
                self.add_bias("bkv", sum(offered))
            self.add_bias("bo", size)
        if self.position == "relative":
            reach = self.reach if self.window is None else min(self.reach, self.window - 1)
            columns = reach + 1 if self.causal else 2 * reach + 1
            self.add_param("distance", 0.0, (self.heads, columns))

    # ---- time ------------------------------------------------------------------------

    def steps_after(self, output: str, lengths: Mapping[str, Any]) -> Expression | None:
        """Get the number of steps of each series: those of the one that asks."""
        return lengths.get(self.input_names[0]) if self._has_steps(output) else None

    def steps_before(self, output: str, lengths: Expression) -> dict[str, Expression]:
        """Get the number of steps of the series that asks."""
        return {self.input_names[0]: lengths} if self._has_steps(output) else {}

    def _has_steps(self, output: str) -> bool:
        return output == "out" and not self.last

    @property
    def cannot_continue(self) -> str | None:
        """Why series cannot be continued."""
        if self.crosses:
            return "attends to a second series, all of which it needs"
        return None if self.causal else "attends to later steps, without causal=True"

    def state_shapes(self) -> dict[str, Shape]:
        """Get the shapes of keys and values, and of the number of steps before."""
        if self.cannot_continue:
            return {}
        width = self.groups * self.head_size
        return {**dict.fromkeys(KEPT, (None, width)), COUNT: (1,)}

    @property
    def kept_steps(self) -> int | None:
        """How many steps before are attended to."""
        return None if self.window is None else self.window - 1

    # ---- expressions -----------------------------------------------------------------

    def _mapped(self, x: Expression, w: str, b: str, heads: int) -> Expression:
        """Get linear maps of the steps, (batch, time, heads, units of a head)."""
        found = pt.dot(x, self.find(w))
        if self.bias:
            found = found + self.find(b)
        return found.reshape((x.shape[0], x.shape[1], heads, self.head_size))

    def transform(self, inputs: Inputs) -> dict[str, Expression]:
        """Get ``out`` and ``weights``."""
        x, heads, groups = inputs.ordered[0], self.heads, self.groups
        steps = Steps(inputs, self.input_names[0], x)
        if self.crosses:
            other = inputs.ordered[1]
            q = self._mapped(x, "w", "b", heads)
            both = self._mapped(other, "wkv", "bkv", 2 * groups)
            k, v = pt.split(both, [groups] * 2, axis=2)
            offered = Steps(inputs, self.input_names[1], other)
            ranges, places = [steps.lengths, offered.lengths], pt.constant(START)
            if self.causal or self.window is not None:
                k = pt.specify_shape(k, (None, x.shape[1], None, None))
        else:
            every = self._mapped(x, "w", "b", heads + 2 * groups)
            if self.position == "rotary":
                qk, v = pt.split(every, [heads + groups, groups], axis=2)
                q, k = pt.split(rotated(qk, steps.places, self.head_size), [heads, groups], axis=2)
            else:
                q, k, v = pt.split(every, [heads, groups, groups], axis=2)
            k, v, count, places = self._with_past(inputs, steps, k, v)
            ranges = [steps.lengths, count]
        given = (pt.stack(ranges, axis=1), self._reach(), self._biases())
        out, _ = attend(q, k, v, *given, self._noise(inputs), places)
        flat = out.reshape((x.shape[0], x.shape[1], self.output_size))
        found = pt.dot(flat, self.find("wo"))
        if self.bias:
            found = found + self.find("bo")
        found = self.activation(found)
        if self.last:
            found = last_step(found, None if steps.known else steps.lengths)
        return {"out": found, "weights": attention_weights(q, k, *given, places)}

    def _with_past(
        self, inputs: Inputs, steps: Steps, k: Expression, v: Expression
    ) -> tuple[Expression, Expression, Expression, Expression]:
        """Get keys and values with those of steps before, how many, and where the new ones are."""
        if not inputs.initial:
            return k, v, steps.lengths, pt.constant(START)
        places = inputs.initial[PLACES]
        found = []
        for name, new in zip(KEPT, (k, v), strict=True):
            old = inputs.initial[name]
            inputs.final[name] = every = keep(old, new.flatten(3), steps.lengths, places)
            found.append(every.reshape((old.shape[0], old.shape[1], self.groups, self.head_size)))
        inputs.final[COUNT] = counted(inputs.initial[COUNT], steps.lengths)
        return found[0], found[1], places + steps.lengths, places

    def _reach(self) -> Expression:
        """Get how far a step looks back and ahead."""
        far = ENDLESS if self.window is None else self.window - 1
        return pt.constant(np.array([far, 0 if self.causal else far], "int64"))

    def _biases(self) -> Expression:
        if self.position == "relative":
            return self.find("distance")
        return pt.constant(np.zeros((0, 0), self.dtype))

    def _noise(self, inputs: Inputs) -> Expression:
        """Get what decides which weights are dropped."""
        if not (inputs.training and self.dropout):
            return pt.constant(np.zeros(3, "int64"))
        generator = inputs.generator("weights")
        inputs.updates[generator], draws = _rng.uniform(generator, (2,), self.dtype)
        seeds = (draws * np.asarray(SEEDS, self.dtype)).astype("int64")
        dropped = pt.constant(np.array([round(self.dropout * 2**32)], "int64"))
        return pt.concatenate([seeds, dropped])
