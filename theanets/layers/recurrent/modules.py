"""Recurrent layers of modules that change at different speeds: clockwork, bcrnn."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytensor.tensor as pt

from ...errors import ConfigurationError, is_integer
from ...expressions import Expression
from ...ops.recurrent import Layout, Named, Products, Results
from ...options import Flag, as_list, whole_number
from .plain import RNN

Array = npt.NDArray[Any]


class _Modules(RNN, abstract=True):
    """Base class of layers of modules, each of which receives from itself and later ones."""

    #: What the number that each module has is called, as a vector of the layout.
    number: ClassVar[str]

    def _numbers(self) -> Any:
        """Get a number for each module."""
        raise NotImplementedError

    def _count(self) -> int:
        """Get the number of modules, which may still be any."""
        return len(self._numbers())

    def check_options(self) -> None:
        """Refuse sizes that modules do not divide; called before parameters are made."""
        super().check_options()
        modules, size = self._count(), self._units()
        if size % modules:
            raise ConfigurationError(
                f"layer {self.full_name!r}: size={size} is not a multiple of its {modules} "
                f"modules; {size // modules * modules or modules} or "
                f"{(size // modules + 1) * modules} would be"
            )

    def _mask(self) -> Any:
        """Get 1 where a module may receive: from itself and later ones. Rows are sources."""
        modules = len(self._numbers())
        number = np.repeat(np.arange(modules), self.output_size // modules)
        return (number[:, None] >= number[None, :]).astype(self.dtype)

    def _by_unit(self, numbers: Array) -> Array:
        repeated = np.repeat(numbers, self.output_size // len(numbers))
        return pt.as_tensor(repeated.astype(self.dtype))

    def matrix(self, name: str) -> Expression:
        found = super().matrix(name)
        return found * pt.as_tensor(self._mask()) if name == "hh" else found

    def vector(self, name: str) -> Expression:
        return self._by_unit(self._numbers()) if name == self.number else super().vector(name)

    def layout(self) -> Layout:
        return Layout(
            sizes=("n",),
            blocks={"h": "n"},
            states={"h": "n", "pre": "n"},
            vectors={"b": "n", self.number: "n"},
            dots={"hh": ("n", ("n",))},
            constant=(self.number,),
        )


class Clockwork(_Modules, names=("clockwork",)):
    r"""A recurrent layer whose modules are updated at different periods.

    Module m, of period :math:`T_m`, is updated at steps t (from 0) with
    :math:`t \bmod T_m = 0`, and keeps its pre-activation at others. It
    receives from itself and from modules of longer periods only.

    Parameters ``xh``, ``hh``, ``b``; outputs ``out``, ``pre``.

    Parameters
    ----------
    periods : list of int
        A period for each module of ``size / len(periods)`` units; they are
        sorted.
    descending : bool
        Whether the first units are the slowest, as in theanets up to 0.7; by
        default they are the fastest.

    References
    ----------
    Koutník et al. 2014, "A clockwork RNN".
    """

    options: ClassVar[dict[str, Any]] = {"periods": None, "descending": Flag(False)}
    periods: Any
    descending: bool
    number = "period"
    counts = True

    def _numbers(self) -> Array:
        periods = as_list(self.periods) or []
        if not periods or not all(is_integer(p, 1) and p < 2**31 for p in periods):
            raise ConfigurationError(
                f"layer {self.full_name!r}: periods={self.periods!r} is not a list of positive "
                "integers, such as (1, 2, 4)"
            )
        return np.array(sorted(periods, reverse=self.descending))

    def _mask(self) -> Any:
        return super()._mask().T if self.descending else super()._mask()

    def formulas(self, x: Named, s: Named, v: Named, dot: Products, count: Expression) -> Results:
        (through,) = dot("hh", s.h)
        turn = pt.eq(pt.mod(count, v.period), 0)
        pre = pt.switch(turn, x.h + through + v.b, s.pre)
        out = self.activation(pre)
        return {"h": out, "pre": pre}, {"out": out, "pre": pre}


class BCRNN(_Modules, names=("bcrnn",)):
    r"""A recurrent layer whose modules change at different rates.

    .. math:: p_t = r * p_{t-1} + (1 - r) * (x_t W_{xh} + h_{t-1} W_{hh} + b),
              \quad h_t = g(p_t)

    The rates r are fixed: by default ``i / modules`` for module i, from 0 for
    the first, which changes at once, to nearly 1 for the last. A module
    receives from itself and from slower ones only.

    Parameters ``xh``, ``hh``, ``b``; outputs ``out``, ``pre``.

    Parameters
    ----------
    num_modules : int
        Number of modules of ``size / num_modules`` units.
    rates : list of float, optional
        The rate of each module, in [0, 1], from the fastest to the slowest.

    References
    ----------
    Neverova et al. 2016, "Learning human identity from motion patterns".
    """

    options: ClassVar[dict[str, Any]] = {"num_modules": None, "rates": None}
    num_modules: int | None
    rates: Any
    number = "rate"

    def _count(self) -> int:
        where = f"layer {self.full_name!r}"
        modules = whole_number("num_modules", self.num_modules, where=where)
        return modules if self.rates is None else len(self._numbers())

    def _numbers(self) -> Array:
        where = f"layer {self.full_name!r}"
        modules = whole_number("num_modules", self.num_modules, where=where)
        if self.rates is None:
            return np.arange(modules) / modules
        try:
            rates = np.array([float(rate) for rate in self.rates])
        except (TypeError, ValueError):
            rates = np.array([])
        rising = (np.diff(rates) >= 0).all() and ((rates >= 0) & (rates <= 1)).all()
        if len(rates) != modules or not rising:
            raise ConfigurationError(
                f"{where}: rates={self.rates!r} is not a list of {modules} numbers in [0, 1] that "
                "do not fall, one for each module"
            )
        return rates

    def formulas(self, x: Named, s: Named, v: Named, dot: Products, count: Expression) -> Results:
        (through,) = dot("hh", s.h)
        pre = v.rate * s.pre + (1 - v.rate) * (x.h + through + v.b)
        out = self.activation(pre)
        return {"h": out, "pre": pre}, {"out": out, "pre": pre}
