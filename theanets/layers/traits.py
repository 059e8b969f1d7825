"""What the rest of the package asks a layer, so that it need not know its class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import activations
from .signals import Shape

if TYPE_CHECKING:
    from .base import Layer

Array = npt.NDArray[Any]
LinearMap: TypeAlias = Literal["matrix", "filters", "transposed_filters"] | None


class Part(NamedTuple):
    """A layer that another one unfolds into.

    Attributes
    ----------
    spec
        Its specification.
    keywords : dict
        Keywords that win over it.
    ending : str or None
        Its activation where it does not say one, instead of that of a hidden
        layer.
    """

    spec: Any
    keywords: dict[str, Any]
    ending: str | None


class Traits:
    """What a layer is, what its scores are, and what it does with time; a base of `Layer`.

    A class answers by overriding; the answers here are those of a layer that
    maps inputs to outputs, each step of a series by itself.

    Attributes
    ----------
    stateful : bool
        Whether the states that a batch of training ends with are carried on
        to the next one, in ``carried``.
    carried : dict
        Shared variables with these states, by name.
    variable : expression
        Of an input, where data enter.
    sparse : bool or str
        Whether these data stay sparse matrices.
    of : str or list of str
        Of a layer of lengths, which inputs it is about; `named` lists them.
    """

    name: str | None
    activation: Any
    output_shapes: dict[str, Shape]
    stateful: bool = False
    carried: dict[str, Any]
    variable: Any
    sparse: bool | str = False
    of: Any

    # ---- what it is --------------------------------------------------------------

    #: Whether data enter the network here.
    is_input: ClassVar[bool] = False
    #: Whether these are the numbers of steps of series.
    holds_lengths: ClassVar[bool] = False
    #: Whether what it gives is what it gets, scaled or with noise: an entry stands for the same.
    keeps_entries: ClassVar[bool] = False
    #: What ``out`` is the activation of, but for a bias: each input times its matrix, (inputs,
    #: units); the convolution with filters ``w``, or its transpose; None for anything else.
    linear_map: LinearMap = None
    #: Whether it is not in the network that the user made, but in a view of it.
    unasked: ClassVar[bool] = False
    #: Names of the axes of an example but the channels, where windows go along these.
    axes: ClassVar[tuple[str, ...]] = ()

    @property
    def workers(self) -> Sequence[Layer]:
        """The layers that this one consists of."""
        return ()

    @property
    def passes_on(self) -> bool:
        """Whether ``out`` is its input, as it is; nothing is done to both."""
        return False

    def unfold(self, layers: Mapping[str, Layer], ending: str | None) -> Iterable[Part]:
        """Get the layers that are added before this one, since it consists of them.

        Parameters
        ----------
        layers : mapping
            The layers so far, by name; each that comes from here is among
            them before the next one is asked for.
        ending : str or None
            What the last of them has for an activation, see `Part`.
        """
        return ()

    @property
    def tied_to(self) -> Layer | None:
        """The layer that it turns around, with its weights; None unless it is bound to one."""
        return None

    @property
    def is_series(self) -> bool:
        """Whether it is an input whose examples are series of any length."""
        return False

    def expect_axes(self, ndim: int) -> None:
        """Tell an input how many axes its network's data have, unless the user said it.

        Parameters
        ----------
        ndim : int
            How many, the batch axis among them.
        """

    def named(self) -> list[str]:
        """Get the names of the inputs whose numbers of steps it says that it holds."""
        return []

    def unit_axis(self, param: Any) -> int:
        """Get which axis of a parameter has an entry for each unit."""
        return 1 if param.ndim == 2 else 0

    # ---- scores, and how they become a choice --------------------------------------

    #: The loss of a `Classifier` whose output layer it is, where none is given.
    label_loss: ClassVar[str] = "xe"
    #: Whether the labels of the steps of a series are chosen together, so that it matters
    #: which steps exist.
    chooses_jointly: ClassVar[bool] = False

    @property
    def logits_output(self) -> str | None:
        """The output whose softmax is ``out``, or None."""
        return self._inverse(activations.is_softmax(self.activation))

    @property
    def log_odds_output(self) -> str | None:
        """The output whose logistic function is ``out``, or None."""
        return self._inverse(activations.is_logistic(self.activation))

    def _inverse(self, known: bool) -> str | None:
        return f"{self.name}:pre" if known and "pre" in self.output_shapes else None

    @property
    def scores_output(self) -> str:
        """The output from which a class is chosen, the greater the more probable."""
        return self.logits_output or f"{self.name}:out"

    def choose(self, scores: Array, mask: Any = None) -> Array:
        """Choose a class for each example, or for each of its steps.

        Parameters
        ----------
        scores : ndarray of shape (batch, ..., classes)
            Values of `scores_output`, or probabilities.
        mask : array_like of shape (batch, time), optional
            Which steps exist: not 0. It matters to layers that choose jointly.

        Returns
        -------
        ndarray of int of shape (batch, ...)
        """
        return np.asarray(scores.argmax(axis=-1))

    def probabilities(self, scores: Array, mask: Any) -> Array:
        """Compute the probabilities of the classes where not all steps exist.

        For layers that choose jointly; of others they are the output ``out``.

        Parameters
        ----------
        scores, mask
            See `choose`.

        Returns
        -------
        ndarray of shape (batch, time, classes)
        """
        raise NotImplementedError

    def chain(self, outputs: Mapping[str, Any]) -> tuple[Any, Any, Any, Any] | None:
        """Get the scores of a linear chain of labels, where ``out`` is one.

        Parameters
        ----------
        outputs : mapping
            Expressions of the network's outputs by full name.

        Returns
        -------
        (unary, transition, start, end) or None
            Scores of the labels of each step, (batch, time, K); of each label
            being followed by each, (K, K); of the first and the last, (K).
        """
        return None

    # ---- time -----------------------------------------------------------------------

    #: Whether steps that do not exist are 0 in its outputs by its own doing.
    leaves_out_steps: ClassVar[bool] = False
    #: Whether its outputs are states, which penalties on changes of states are on.
    is_recurrent: ClassVar[bool] = False

    @property
    def cannot_continue(self) -> str | None:
        """Why series cannot be continued through it, part by part; None where they can."""
        return "needs several steps of a series at once" if self.axes == ("time",) else None

    def state_shapes(self) -> dict[str, Shape]:
        """Get the shape of one example of each state that it takes on from part to part.

        A series that comes in parts gives the same as at once, if each part
        starts (``inputs.initial``) from the states that the part before ended
        with (``inputs.final``). An open length, None, is that of the steps of the parts
        before, of which there is a row each.
        """
        return {}

    @property
    def kept_steps(self) -> int | None:
        """Of how many steps before it needs the rows of such a state at most; None for all."""
        return None

    def reset(self) -> None:
        """Start the states of a stateful layer anew, with the next batch of training."""
