"""What the losses of a batch are divided by in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt
import pytensor
from pytensor.compile.mode import Mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.tensor.shape import Shape, Shape_i

from .. import backends
from ..data import Dataset
from ..expressions import Expression
from ..losses.formulas import nonzero

Array = npt.NDArray[Any]

#: Counts are sums of what comes in: nothing that would be worth compiling.
MODE = Mode(linker="py", optimizer="merge")

#: Examples that are counted at once.
SIZE = 512


class MeanCounts:
    r"""The mean count of an example, by which losses are divided in training.

    A loss is a sum over a count: that of the weights, or of the entries that
    exist. Over all data it is :math:`\sum_n s_n / \sum_n c_n`, with the sum and
    the count of each example. In a batch of B examples training takes

    .. math:: \frac{1}{B \bar c} \sum_{n \in \text{batch}} s_n

    with the mean count :math:`\bar c` of all training data, so that each
    example has the influence that it has on the loss over all data, whatever
    others are in its batch. Divided by the batch's own count it would have more
    in batches of small counts: the gradients of batches would not be those of
    the loss on average. A batch of all data gives the loss exactly.

    Of data that come in batches, the mean is that of the batches so far.

    Counts that do not depend on the data, such as the number of entries of
    arrays, are left as they are, and so are those that depend on parameters.

    Attributes
    ----------
    updates : dict
        Updates of the means, for the compiled step.
    state : dict of str to shared variable
        What a run on batches that come in needs to be continued.
    """

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self._counts: list[Any] = []
        self._means: list[tuple[Any, Any]] = []
        self._function: Any = None
        self.updates: dict[Any, Any] = {}
        self.state: dict[str, Any] = {}

    def divisor(self, name: str, count: Expression, examples: Expression) -> Expression:
        """Get what the sum of a loss is divided by.

        Parameters
        ----------
        name : str
            Name of the loss.
        count, examples : scalar expressions
            Its count, and the number of examples.
        """
        if not of_data(count):
            return nonzero(count)
        count = count.astype(self._dtype)
        mean, seen = (
            pytensor.shared(np.zeros((), self._dtype), name=f"{what} {name}")
            for what in ("mean count", "examples")
        )
        # Of all data the mean is known; there, so to say, an infinite number was seen.
        new = mean + (count / examples - mean) * (examples / (seen + examples))
        self.updates.update({mean: new, seen: seen + examples})
        self.state.update({mean.name: mean, seen.name: seen})
        self._counts.append(count)
        self._means.append((mean, seen))
        return nonzero(new * examples)

    def compile(self, variables: Sequence[Any]) -> None:
        """Compile what counts, once the expressions are known.

        Parameters
        ----------
        variables : list of variables
            What a batch is of.
        """
        if self._counts:
            self._function = backends.function(
                variables, self._counts, mode=MODE, dtype=self._dtype, name="counts"
            )

    def moved(self, to: Callable[[Any], Any]) -> MeanCounts:
        """Get the same on other variables, once all is compiled: without expressions."""
        found = MeanCounts(self._dtype)
        found._means = [(to(mean), to(seen)) for mean, seen in self._means]
        found.state = {name: to(variable) for name, variable in self.state.items()}
        if self._function is not None:
            found._function = backends.moved(self._function, to)
        return found

    def start(self, data: Dataset) -> None:
        """Find the means of some data, or begin with none if they come in batches.

        Parameters
        ----------
        data : Dataset
            What is trained on.
        """
        if not self._means:
            return
        known = data.examples is not None
        means = self._over(data) if known else np.zeros(len(self._means))
        for (mean, seen), value in zip(self._means, means, strict=True):
            mean.set_value(np.asarray(value, self._dtype))
            seen.set_value(np.asarray(np.inf if known else 0, self._dtype))

    def _over(self, data: Dataset) -> Array:
        totals = np.zeros(len(self._means))
        with closing(data.ordered(SIZE).epoch()) as batches:
            for batch, _ in batches:
                totals += [float(count) for count in self._function(*batch)]
        return totals / (data.examples or 1)


def of_data(expression: Expression) -> bool:
    """Tell whether an expression depends on the values of data, and on no parameter."""
    data, shared = sources(expression)
    return data and not shared


def sources(expression: Expression) -> tuple[bool, bool]:
    """Tell whether an expression depends on the values of data, and of shared variables."""
    stack, seen, data, shared = [expression], set(), False, False
    while stack:
        variable = stack.pop()
        if variable in seen:
            continue
        seen.add(variable)
        if isinstance(variable, SharedVariable):
            shared = True
        elif variable.owner is None:
            data |= not hasattr(variable, "data")
        elif not isinstance(variable.owner.op, (Shape, Shape_i)):
            stack.extend(variable.owner.inputs)
    return data, shared
