"""The plain recurrent layer."""

from __future__ import annotations

from ...expressions import Expression
from ...ops.recurrent import Layout, Named, Products, Results
from .base import Recurrent


class RNN(Recurrent, names=("rnn",)):
    r"""A plain recurrent layer.

    .. math:: h_t = g(x_t W_{xh} + h_{t-1} W_{hh} + b)

    Parameters ``xh`` (inputs, units), ``hh`` (units, units), ``b`` (units).
    Outputs ``out`` and ``pre``, what g is taken of.
    """

    def setup(self) -> None:
        """Make ``xh``, ``hh`` and ``b``."""
        self.add_weights("xh", nout=self.output_size)
        self.add_weights("hh", self.output_size, self.output_size)
        self.add_bias("b")

    def layout(self) -> Layout:
        return Layout(
            sizes=("n",),
            blocks={"h": "n"},
            states={"h": "n"},
            vectors={"b": "n"},
            dots={"hh": ("n", ("n",))},
        )

    def formulas(self, x: Named, s: Named, v: Named, dot: Products, count: Expression) -> Results:
        (through,) = dot("hh", s.h)
        pre = x.h + through + v.b
        out = self.activation(pre)
        return {"h": out}, {"out": out, "pre": pre}
