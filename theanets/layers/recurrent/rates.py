"""Recurrent layers with rates and factors: rrnn, mrnn, scrn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt

from ... import activations
from ...errors import ConfigurationError
from ...expressions import Expression
from ...ops.recurrent import Layout, Named, Products, Results
from ...options import Choice, Numbers, Whole
from .base import Recurrent


def fixed_rates(layer: Recurrent, kind: str, size: int) -> Expression:
    """Draw rates in (0, 1) that are not trained.

    Parameters
    ----------
    layer : Recurrent
        Whose stream is drawn from.
    kind : {'uniform', 'log'}
        Rates uniform, or uniform in their logarithm between 1e-3 and 1.
    size : int
        How many.
    """
    if kind == "uniform":
        return layer.rng.uniform(size=size).astype(layer.dtype)
    return (10.0 ** layer.rng.uniform(-3, 0, size=size)).astype(layer.dtype)


class _Rated(Recurrent, abstract=True):
    """Base class of layers with rates that may be fixed."""

    options: ClassVar[dict[str, Any]] = {"rate": None, "rates": Numbers(None, "any")}
    rate: str | None
    rates: Any

    def _set_rates(self, kind: str, size: int) -> None:
        if self.rates is None:
            # Random, so that they have to be saved with the layer.
            self.rates = [float(r) for r in fixed_rates(self, kind, size)]
        if not isinstance(self.rates, list):
            self.rates = [self.rates]
        if len(self.rates) != size:
            raise ConfigurationError(
                f"layer {self.full_name!r}: {len(self.rates)} rates for {size} units"
            )

    def vector(self, name: str) -> Expression:
        """Get a vector of the layout; ``r`` stands for the rates of the units."""
        if name != "r":
            return super().vector(name)
        if self.rates is not None:
            return pt.as_tensor(np.array(self.rates, dtype=self.dtype))
        return pt.sigmoid(self.find("r"))


class RRNN(_Rated, names=("rrnn",)):
    r"""A recurrent layer that mixes its state with a new one.

    .. math::

        \hat h &= g(x_t W_{xh} + h_{t-1} W_{hh} + b) \\
        h_t &= (1 - r) * h_{t-1} + r * \hat h

    Parameters ``xh``, ``hh``, ``b``, and those of the rate. Outputs ``out``,
    ``pre``, ``hid`` and ``rate`` (r).

    Parameters
    ----------
    rate : {'matrix', 'vector', 'uniform', 'log'} or None
        What r is. ``'matrix'``, and None: :math:`\sigma(x_t W_{xr} + r)` with
        parameters ``xr`` (inputs, units) and ``r`` (units). ``'vector'``:
        :math:`\sigma(r)`. ``'uniform'`` and ``'log'``: random numbers in (0,
        1) that are not trained, of which uniform are the values, or the
        logarithms from 0.001 to 1: many near 0.
    rates : list of float, optional
        The rates, instead of random ones.

    References
    ----------
    Bengio et al. 2012, "Advances in optimizing recurrent networks"; Jaeger et
    al. 2007, "Optimization and applications of echo state networks with
    leaky-integrator neurons".
    """

    options: ClassVar[dict[str, Any]] = {
        "rate": Choice(None, ("matrix", "vector", "uniform", "log"))
    }
    shown: ClassVar[dict[str, str]] = dict.fromkeys(("out", "pre", "hid", "rate"), "n")

    def check_options(self) -> None:
        """Refuse options that have no meaning."""
        super().check_options()
        if self.rates is not None and self.rate not in ("uniform", "log"):
            raise ConfigurationError(
                f"layer {self.full_name!r}: rates= are for rate='uniform' or 'log', not "
                f"{self.rate!r}"
            )

    @property
    def _by_input(self) -> bool:
        return self.rate in (None, "matrix")

    def setup(self) -> None:
        """Make the parameters."""
        n = self.output_size
        self.add_weights("xh", nout=n)
        self.add_weights("hh", n, n)
        self.add_bias("b", n)
        if self.rate in ("uniform", "log"):
            self._set_rates(self.rate, n)
        else:
            self.add_bias("r", n)
        if self._by_input:
            self.add_weights("xr", nout=n)

    def input_weights(self) -> Expression:
        return self.matrix("xh+xr" if self._by_input else "xh")

    def vector(self, name: str) -> Expression:
        # With the input's part, it is a bias.
        return self.find(name) if self._by_input else super().vector(name)

    def layout(self) -> Layout:
        return Layout(
            sizes=("n",),
            blocks={"h": "n", "r": "n"} if self._by_input else {"h": "n"},
            states={"h": "n"},
            vectors={"b": "n", "r": "n"},
            dots={"hh": ("n", ("n",))},
            constant=() if self.rates is None else ("r",),
        )

    def formulas(self, x: Named, s: Named, v: Named, dot: Products, count: Expression) -> Results:
        (through,) = dot("hh", s.h)
        pre = x.h + through + v.b
        hid = self.activation(pre)
        rate = pt.sigmoid(x.r + v.r) if self._by_input else v.r
        out = s.h + rate * (hid - s.h)
        # A vector is the rate of each step.
        shown = rate if self._by_input else rate + pt.zeros_like(out)
        return {"h": out}, {"out": out, "pre": pre, "hid": hid, "rate": shown}


class MRNN(Recurrent, names=("mrnn",)):
    r"""A recurrent layer whose recurrent weights depend on the input.

    .. math::

        p_t = ((x_t W_{xf}) * (h_{t-1} W_{hf})) W_{fh} + x_t W_{xh} + b,
        \quad h_t = g(p_t)

    Parameters ``xh`` (inputs, units), ``xf`` (inputs, factors), ``hf``
    (units, factors), ``fh`` (factors, units), ``b`` (units). Outputs ``out``,
    ``pre`` and ``factors``, :math:`x_t W_{xf}`.

    Parameters
    ----------
    factors : int, optional
        Number of factors; by default the square root of the units, rounded up.

    References
    ----------
    Sutskever et al. 2011, "Generating text with recurrent neural networks".
    """

    options: ClassVar[dict[str, Any]] = {"factors": Whole(None)}
    factors: int | None
    shown: ClassVar[dict[str, str]] = {"out": "n", "pre": "n", "factors": "f"}

    def _factors(self) -> int:
        return math.ceil(math.sqrt(self._units())) if self.factors is None else int(self.factors)

    def sizes(self) -> dict[str, int]:
        return {"n": self._units(), "f": self._factors()}

    def setup(self) -> None:
        """Make the parameters."""
        n, factors = self.output_size, self._factors()
        self.add_weights("xh", nout=n)
        self.add_weights("xf", nout=factors)
        self.add_weights("hf", n, factors)
        self.add_weights("fh", factors, n)
        self.add_bias("b", n)

    def input_weights(self) -> Expression:
        return self.matrix("xh+xf")

    def layout(self) -> Layout:
        return Layout(
            sizes=("n", "f"),
            blocks={"h": "n", "f": "f"},
            states={"h": "n"},
            vectors={"b": "n"},
            dots={"hf": ("n", ("f",)), "fh": ("f", ("n",))},
        )

    def formulas(self, x: Named, s: Named, v: Named, dot: Products, count: Expression) -> Results:
        (factors,) = dot("hf", s.h)
        (through,) = dot("fh", x.f * factors)
        pre = x.h + through + v.b
        out = self.activation(pre)
        return {"h": out}, {"out": out, "pre": pre, "factors": x.f}


class SCRN(_Rated, names=("scrn",)):
    r"""A structurally constrained recurrent layer: a slow context beside the state.

    .. math::

        s_t &= (1 - r) * s_{t-1} + r * (x_t W_s) \\
        \hat h_t &= \sigma(x_t W_h + \hat h_{t-1} W_{hh} + s_t W_{sh}) \\
        h_t &= g(\hat h_t W_{ho} + s_t W_{so} + b)

    Parameters ``w`` (inputs, units + m), with the parts hidden, state; ``hh``,
    ``ho`` (units, units), ``sh``, ``so`` (m, units), ``b`` (units), and ``r``
    (m), through a sigmoid, where it is trained. Outputs ``out``, ``pre``,
    ``hid``, ``state`` (m) and ``rate`` (m).

    Parameters
    ----------
    context_size : int, optional
        m; by default 1 + the square root of the units, rounded down.
    hidden : str
        The activation that makes the hidden state, instead of the sigmoid:
        one without parameters.
    rate : {'vector', 'uniform', 'log'} or None
        As for `RRNN`; None is ``'vector'``.
    rates : list of float, optional
        The rates, instead of random ones.
    h_0, s_0 : str, optional
        Names of outputs that are the initial :math:`\hat h` and s.

    References
    ----------
    Mikolov et al. 2015, "Learning longer memory in recurrent neural networks".
    """

    options: ClassVar[dict[str, Any]] = {
        "rate": Choice(None, ("vector", "uniform", "log")),
        "context_size": Whole(None),
        "hidden": "sigmoid",
        "s_0": None,
    }
    context_size: int | None
    hidden: str
    s_0: Any
    initial: ClassVar[dict[str, str]] = {"h": "h_0", "s": "s_0"}
    shown: ClassVar[dict[str, str]] = {
        "out": "n",
        "pre": "n",
        "hid": "n",
        "state": "m",
        "rate": "m",
    }

    def check_options(self) -> None:
        """Refuse options that have no meaning."""
        super().check_options()
        if not isinstance(self.hidden, str):
            raise ConfigurationError(
                f"layer {self.full_name!r}: hidden={self.hidden!r} is not the name of an activation"
            )
        built = activations.build(self.hidden)
        if type(built).setup is not activations.Activation.setup or built.width != 1:
            raise ConfigurationError(
                f"layer {self.full_name!r}: hidden={self.hidden!r} has parameters, or two arguments"
            )

    def _context(self) -> int:
        if self.context_size is not None:
            return int(self.context_size)
        return int(1 + math.sqrt(self._units()))

    def sizes(self) -> dict[str, int]:
        return {"n": self._units(), "m": self._context()}

    def setup(self) -> None:
        """Make the parameters."""
        n, m = self.output_size, self._context()
        self.add_weights("w", blocks=[n, m])
        self.add_weights("hh", n, n)
        self.add_weights("sh", m, n)
        self.add_weights("ho", n, n)
        self.add_weights("so", m, n)
        self.add_bias("b", n)
        if self.rate in ("uniform", "log"):
            self._set_rates(self.rate, m)
        else:
            self.add_bias("r", m)

    def input_weights(self) -> Expression:
        return self.matrix("w")

    def layout(self) -> Layout:
        return Layout(
            sizes=("n", "m"),
            blocks={"h": "n", "s": "m"},
            states={"h": "n", "s": "m"},
            vectors={"r": "m"},
            dots={"hh": ("n", ("n",)), "sh": ("m", ("n",))},
            constant=() if self.rates is None else ("r",),
        )

    def formulas(self, x: Named, s: Named, v: Named, dot: Products, count: Expression) -> Results:
        state = s.s + v.r * (x.s - s.s)
        (own,) = dot("hh", s.h)
        (context,) = dot("sh", state)
        hid = activations.build(self.hidden)(x.h + own + context)
        shown = v.r + pt.zeros_like(state)
        return {"h": hid, "s": state}, {"hid": hid, "state": state, "rate": shown}

    def last_output(self, final: Mapping[str, Any]) -> Expression:
        return self.activation(self._read_out(final["h"], final["s"]))

    def _read_out(self, hid: Expression, state: Expression) -> Expression:
        return pt.dot(hid, self.find("ho")) + pt.dot(state, self.find("so")) + self.find("b")

    def finish(self, outputs: dict[str, Any], mask: Any) -> dict[str, Expression]:
        """Add the output, which the recurrence does not need."""
        batch, time, n = outputs["hid"].shape
        hid = outputs["hid"].reshape((batch * time, self.output_size))
        state = outputs["state"].reshape((batch * time, self._context()))
        pre = self._read_out(hid, state).reshape((batch, time, n))
        out = self.activation(pre)
        if mask is not None:
            out, pre = pt.switch(mask, out, 0), pt.switch(mask, pre, 0)
        return {"out": out, "pre": pre, **outputs}
