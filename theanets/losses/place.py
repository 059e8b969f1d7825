"""What a loss is about: an output of a network, a target, and the target's weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytensor.tensor as pt
from pytensor.graph.basic import Variable

from .. import names as _names
from ..errors import ConfigurationError, is_integer, unknown
from ..expressions import Expression
from ..options import Whole, flag
from .reduction import Reduced

#: The output that a loss is about as long as nobody says which, and it is in no network.
DEFAULT_OUTPUT = "out:out"

Shape = tuple[int | None, ...]


class Placed(Reduced):
    """The place of a loss in a network; see `theanets.Loss`."""

    #: Whether the data have a target for it; without, `_target` is the network's first input.
    uses_target: ClassVar[bool] = True
    #: Whether targets are class labels, with one axis less than the output.
    labels: bool = False

    # ---- the output ------------------------------------------------------------

    def _place(self, weighted: bool | None, output_name: str | None) -> None:
        """Be about what the user says, and leave the rest to the network."""
        self.weighted = False if weighted is None else weighted
        self._asks_weighted = weighted is None
        self.output_name = DEFAULT_OUTPUT if output_name is None else output_name
        self._follows = output_name is None
        self._main = self.output_name == DEFAULT_OUTPUT

    @property
    def output_name(self) -> str:
        """Full name of the output that is compared with the target."""
        return self._output_name

    @output_name.setter
    def output_name(self, value: str) -> None:
        self._output_name = _names.output_name(value)
        self._follows = False

    @property
    def weighted(self) -> bool:
        """Whether the data hold an array of weights for the target."""
        return self._weighted

    @weighted.setter
    def weighted(self, value: bool) -> None:
        self._weighted = flag("weighted", value, f"loss {self.name!r}")
        if self._weighted and not self.uses_target:
            raise ConfigurationError(f"loss {self.name!r} uses no target, which could be weighted")
        self._asks_weighted = False

    @property
    def follows(self) -> bool:
        """Whether nobody said which output it is about, so that it is the network's."""
        return self._follows

    @property
    def main(self) -> bool:
        """Whether it is about the output of the network that it is in."""
        return self._main

    def follow(self, output: str, weighted: bool) -> None:
        """Tell the loss what the output of its network is, and whether that is weighted."""
        if self._follows and self._output_name != output:
            self._output_name = output  # the same one stays: what knows it need not look again
        if self._asks_weighted:
            self._weighted = weighted and self.uses_target
        self._main = self.output_name == output

    def output(self, outputs: Mapping[str, Any]) -> Expression:
        """Get the output that the loss is about."""
        return self.find(outputs, self.output_name)

    def find(self, outputs: Mapping[str, Any], name: str) -> Expression:
        """Get an output by its full name."""
        if name not in outputs:
            raise unknown(f"output of loss {self.name!r}", name, outputs)
        return outputs[name]

    @property
    def output_names(self) -> list[str]:
        """Full names of the outputs that the loss is about; `output_name` is one of them."""
        return [self.output_name]

    # ---- the target ------------------------------------------------------------

    def _take_target(self, target: Any) -> None:
        if target is not None and not self.uses_target:
            raise ConfigurationError(f"loss {self.name!r} uses no target, but target={target!r}")
        self.target_name = target if isinstance(target, str) else None
        self.target_variable: Any = None
        self._target: Any = None
        self._weights: Any = None
        if is_integer(target):
            ndim = Whole(None, 1, 32).check("target", target, f"loss {self.name!r}")
            self.bind(*self._free_variables(ndim))
        elif target is not None and not isinstance(target, str):
            if not isinstance(target, Variable):
                raise ConfigurationError(
                    f"loss {self.name!r}: target={target!r} is not a name, a number of "
                    "dimensions or a symbolic variable"
                )
            self.target_variable = target
            self.bind(target, _weights_like(target) if self.weighted else None)

    @property
    def variables(self) -> list[Expression]:
        """The symbolic inputs of the loss: its target, and its weights if it has any."""
        return [v for v in (self._target, self._weights) if v is not None]

    def target_shape(self, shape: Callable[[str], Shape], labels: bool) -> Shape:
        """Get the shape of one example's target; None for an axis of any length.

        Parameters
        ----------
        shape : callable
            Gets the shape of one example of an output by its full name.
        labels : bool
            Whether the target is class labels.
        """
        found = shape(self.output_name)
        return found[:-1] if labels else found

    def blank_label(self, classes: int | None) -> int | None:
        """Get the label, of so many, that targets must not have; None if there is none."""
        return None

    def bind(self, target: Expression, weights: Expression | None = None) -> None:
        """Set the symbolic target and weights.

        Raises
        ------
        ConfigurationError
            If the target is labels, and the loss is for values only.
        """
        if target.dtype.startswith("int") and not self.accepts_labels:
            raise ConfigurationError(
                f"loss {self.name!r} compares values, but its target {target.name!r} is class "
                "labels, as a classifier's targets are; for numbers, or distributions over "
                f"classes, write theanets.Regressor(layers, loss={self.name!r}), whose last layer "
                "is (3, 'softmax') where these are of 3 classes; or give the loss a target of its "
                "own: target='name'"
            )
        self._target = target
        self._weights = weights

    def _free_variables(self, ndim: int) -> tuple[Expression, Expression | None]:
        dtype = "int32" if self.labels else "floatX"
        target = pt.tensor(name="target", dtype=dtype, shape=(None,) * ndim)
        return target, _weights_like(target) if self.weighted else None


def _weights_like(target: Expression) -> Expression:
    dtype = target.dtype if target.dtype.startswith("float") else "floatX"
    return pt.tensor(name="weights", dtype=dtype, shape=target.type.shape)
