"""A cost as training sees it: in the place of a network."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.subtensor import AdvancedSubtensor
from pytensor.tensor.variable import TensorVariable

from .. import names as _names
from .. import rng as _rng
from ..costs import called, checked, free, shared_variables, trainable
from ..data import Field, comes_in_batches
from ..data.coerce import load
from ..errors import ConfigurationError, DataError, Error, warn
from ..expressions import Expression, placeholder
from ..losses import Loss
from ..optimizers.transforms import fit
from ..structure import Structure
from ..training.setup import BATCH_SIZE
from .formula import COST, Cost, Formula
from .misfits import WRONG, misfit


class Problem(Structure):
    """A cost with all that is minimized and measured with it.

    To training it is a network: it has parameters, arrays that it needs, and a loss.

    Parameters
    ----------
    cost, params, inputs, updates, monitors
        See `theanets.minimize`.
    rng : int, Generator or None
        Seed of the random generators of the cost; without, they go on from where they are.

    Attributes
    ----------
    watched : list
        The monitors as training takes them.
    """

    _current: weakref.ref[Any] | None = None

    def __init__(
        self,
        cost: Any,
        params: Any,
        inputs: Any,
        updates: Any,
        monitors: Any,
        rng: _rng.Seed = None,
    ) -> None:
        cost = checked(cost)
        given = _inputs(inputs)
        expressions, self.watched = _monitors(monitors)
        changing = _updates(updates, [cost, *expressions.values()])
        self._every = every = [cost, *expressions.values(), *changing.values()]
        _check_free(every, given)
        trained = trainable(cost, params, changing)
        # Compiled code would read beyond the end of an array, or end the process.
        self._lengths = _indexed(every)
        super().__init__((), loss=None, dtype=str(cost.dtype))
        seed = None if rng is None else _rng.as_seed(rng)
        # A batch of what needs no data is the number 0.
        arrays = given or [placeholder("nothing", self.dtype, (None,))]
        self.data_names = _data_names(arrays)
        self.graph = formula = Formula(cost, arrays, trained, changing, expressions, seed)
        self.losses = [Cost(formula.outputs()[COST])]
        self.needs_data = bool(given)
        self._data: tuple[Any, ...] = ()

    def _ready(self, *data: Any) -> tuple[Any, ...]:
        """Get the problem, and its data: where it needs none, an example of nothing."""
        train, valid = data
        if self.needs_data:
            if train is None:
                raise DataError(
                    f"train=None, but the cost has inputs: {', '.join(self.data_names)}; give an "
                    "array for each"
                )
            self._data = data
            return (self, *data)
        for key, value in (("train", train), ("valid", valid)):
            if value is not None and not (isinstance(value, (list, tuple, dict)) and not value):
                raise DataError(f"{key} has data, but the cost has no inputs: say inputs=[...]")
        return self, [np.zeros(1, self.dtype)], None

    @property
    def variables(self) -> list[Expression]:
        """The arrays of a batch."""
        return self.graph.inputs

    @property
    def fields(self) -> list[Field]:
        """What these must look like."""
        return [
            Field(
                name,
                "array",
                str(variable.dtype),
                variable.type.shape[1:],
                classes=self._lengths.get(variable),
            )
            for name, variable in zip(self.data_names, self.variables, strict=True)
        ]

    def sizes(self, fields: Sequence[Field]) -> Callable[[Sequence[Any], str], None] | None:
        """Get nothing: who makes an expression knows what sizes it takes."""
        return None

    def bound_losses(self) -> list[Loss]:
        """Get the cost."""
        return self.losses

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Say of an error of compiled code which arrays do not fit each other.

        Raises
        ------
        DataError
            If that is what the error is about; any other remains what it is.
        """
        try:
            yield
        except WRONG as error:
            found = None if isinstance(error, Error) else self._misfit()
            if found is None:
                raise
            raise DataError(found) from error

    def _misfit(self) -> str | None:
        """Find what does not fit, in the first rows of arrays; of batches there may be no more."""
        if not self.needs_data:
            return misfit(self._every, {})
        for where, data in zip(("train data", "valid data"), self._data, strict=True):
            if data is None or comes_in_batches(data):
                continue
            rows = [array[:BATCH_SIZE] for array in load(self.fields, data, where, lazy=False)]
            found = misfit(self._every, dict(zip(self.variables, rows, strict=True)))
            if found is not None:
                return f"{where}: {found}"
        return None

    def save(self, target: Any) -> None:
        """Refuse to be saved as a network is."""
        raise ConfigurationError(
            "there is no network to save where a cost is minimized: give checkpoint=<path>, or "
            "save the values of the parameters"
        )

    def __repr__(self) -> str:
        listed = ", ".join(str(p.name) for p in self.params)
        return f"<cost of {', '.join(self.data_names)}; parameters {listed}>"


# ---- what the user gave ------------------------------------------------------------------


def _inputs(given: Any) -> list[Any]:
    """Get the inputs, arrays whose first axis has the examples of a batch."""
    found = [given] if isinstance(given, Variable) else list(given or ())
    for i, variable in enumerate(found):
        where = f"inputs[{i}]"
        free = isinstance(variable, TensorVariable) and variable.owner is None
        if not free or isinstance(variable, (SharedVariable, Constant)):
            raise ConfigurationError(
                f"{where}={variable!r} is not a symbolic array that data are given for, such as "
                "pt.matrix('x')"
            )
        where = f"{where}, {called(variable)},"
        if not variable.ndim:
            raise ConfigurationError(
                f"{where} is a scalar, which has no axis of examples; make it a shared variable, "
                "whose value can be set"
            )
        if variable.type.shape[0] is not None:
            raise ConfigurationError(
                f"{where} has always {variable.type.shape[0]} rows, but batches may have any "
                f"number: declare it with shape={(None, *variable.type.shape[1:])}"
            )
        if np.dtype(variable.dtype).kind not in "biuf":
            raise ConfigurationError(f"{where} is of type {variable.dtype}; expected real numbers")
    return found


def _data_names(inputs: Sequence[Any]) -> list[str]:
    """Get the names by which data can be given; those of the unnamed are their places."""
    found = [str(v.name or f"inputs[{i}]") for i, v in enumerate(inputs)]
    for i, name in enumerate(found):
        if name in found[:i]:
            raise ConfigurationError(f"two inputs are called {name!r}; give each its own name")
    return found


def _check_free(expressions: Sequence[Any], inputs: Sequence[Any]) -> None:
    """Refuse inputs that nobody uses, and what is used but no input."""
    used = list(free(expressions))
    lacking = [called(v) for v in used if v not in inputs]
    if lacking:
        raise ConfigurationError(
            f"the cost, or what is measured or updated with it, depends on {', '.join(lacking)}: "
            "data have to be given for it, so say it in inputs=[...]"
        )
    unused = [called(v) for v in inputs if v not in used]
    if unused:
        raise ConfigurationError(
            f"inputs has {', '.join(unused)}, but neither the cost nor a monitor depends on it"
        )


def _monitors(given: Any) -> tuple[dict[str, Any], list[Any]]:
    """Get the expressions among the monitors by name, and all as training takes them."""
    pairs = given.items() if isinstance(given, Mapping) else given
    if not isinstance(pairs, Iterable) or isinstance(pairs, (str, Variable)):
        raise ConfigurationError(
            f"monitors={given!r} is neither a dict from names to expressions, nor a list of pairs"
        )
    found: dict[str, Any] = {}
    watched: list[Any] = []
    for pair in pairs:
        if isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[1], Variable):
            name, value = pair
            if not isinstance(name, str) or not _names.is_word(name):
                raise ConfigurationError(
                    f"monitors: {name!r} is no name for an expression: it may have no spaces, and "
                    "none of :.,*?[]"
                )
            if not isinstance(value, TensorVariable):
                raise ConfigurationError(f"monitors: {name!r} is {value!r}; expected an array")
            if name in found:
                raise ConfigurationError(f"monitors: two are called {name!r}")
            found[name] = value
            pair = (name, None)
        watched.append(pair)
    return found, watched


def _updates(given: Any, expressions: Sequence[Any]) -> dict[Any, Any]:
    """Get what the user says that changes, and what its variables say themselves."""
    found: dict[Any, Any] = {}
    for key, value in given.items() if isinstance(given, Mapping) else given or ():
        if not isinstance(key, SharedVariable):
            raise ConfigurationError(f"updates: {key!r} is no shared variable")
        found[key] = value if isinstance(key.type, RandomType) else fit(pt.as_tensor(value), key)
    fresh: list[Any] = [*expressions, *found.values()]
    while fresh:
        own = {v: getattr(v, "default_update", None) for v in shared_variables(fresh)}
        new = {v: x for v, x in own.items() if x is not None and v not in found}
        found.update(new)
        fresh = list(new.values())
    still = [v for v in shared_variables([*expressions, *found.values()]) if v not in found]
    for generator in still:
        if isinstance(generator.type, RandomType):
            warn(
                f"each step draws the same numbers from {called(generator)}, which has no update: "
                "say updates={rng: next_rng}, or {rng: rng} if it is meant"
            )
    return found


def _indexed(expressions: Sequence[Any]) -> dict[Any, int]:
    """Get the least length of the axes that a variable is the index of, as far as it is known."""
    found: dict[Any, int] = {}
    for variable in ancestors(expressions):
        node = variable.owner
        if node is None or not isinstance(node.op, AdvancedSubtensor):
            continue
        array, *indices = node.inputs
        lengths = array.type.shape
        if isinstance(array, SharedVariable):
            lengths = array.get_value(borrow=True).shape
        for entry, length in zip(node.op.idx_list, lengths, strict=False):
            if isinstance(entry, int) and length is not None and indices[entry].dtype != "bool":
                index = indices[entry]
                found[index] = min(length, found.get(index, length))
    return found
