"""Recurrent layers with gates: lstm, gru, mut1."""

from __future__ import annotations

from typing import Any, ClassVar

import pytensor.tensor as pt

from ...activations import norm_z
from ...expressions import Expression
from ...ops.recurrent import Layout, Named, Products, Results
from ...options import Flag
from .base import Recurrent


class LSTM(Recurrent, names=("lstm",)):
    r"""Long short-term memory.

    .. math::

        i &= \sigma(x_t W_{xi} + h_{t-1} W_{hi} + b_i + c_{t-1} * c_i) \\
        f &= \sigma(x_t W_{xf} + h_{t-1} W_{hf} + b_f + c_{t-1} * c_f) \\
        c_t &= f * c_{t-1} + i * \tanh(x_t W_{xc} + h_{t-1} W_{hc} + b_c) \\
        o &= \sigma(x_t W_{xo} + h_{t-1} W_{ho} + b_o + c_t * c_o) \\
        h_t &= o * \tanh(c_t)

    Parameters ``xh`` (inputs, 4 units), ``hh`` (units, 4 units) and ``b`` (4
    units), each with the parts i, f, c, o in this order; peepholes ``ci``,
    ``cf`` and ``co`` (units). The part f of ``b`` starts at 1, the rest at 0.
    Outputs ``out`` and ``cell``.

    Parameters
    ----------
    peepholes : bool
        Whether gates see the cell. Without, there are no ``ci``, ``cf`` and
        ``co``.
    normalized : bool
        Whether what the input and the state contribute to each gate, and the
        cell in the last line, are normalized over the units to mean 0 and
        variance 1, then multiplied by ``gx``, ``gh`` (4 units) and ``gc``
        (units), which start at 1; ``bc`` (units) is added to the cell.
    c_0 : str, optional
        Name of an output that is the initial state of the cell.

    References
    ----------
    Hochreiter & Schmidhuber 1997, "Long short-term memory". Gers et al. 2002,
    "Learning precise timing with LSTM recurrent networks". The initial bias is
    that of Jozefowicz et al. 2015. Ba et al. 2016, "Layer normalization".
    """

    options: ClassVar[dict[str, Any]] = {
        "peepholes": Flag(True),
        "normalized": Flag(False),
        "c_0": None,
    }
    peepholes: bool
    normalized: bool
    c_0: Any
    fixed_activation = "tanh"
    initial: ClassVar[dict[str, str]] = {"h": "h_0", "c": "c_0"}
    shown: ClassVar[dict[str, str]] = {"out": "n", "cell": "n"}

    def setup(self) -> None:
        """Make the parameters."""
        n = self.output_size
        self.add_weights("xh", blocks=[n] * 4)
        self.add_weights("hh", n, blocks=[n] * 4)
        bias = self.add_bias("b", 4 * n)
        if "mean_b" not in self.draws:
            value = bias.get_value()
            value[n : 2 * n] += 1
            bias.set_value(value)
        if self.peepholes:
            for name in ("ci", "cf", "co"):
                self.add_bias(name, n)
        if self.normalized:
            self.add_bias("gx", 4 * n, mean=1.0)
            self.add_bias("gh", 4 * n, mean=1.0)
            self.add_bias("gc", n, mean=1.0)
            self.add_bias("bc", n)

    def layout(self) -> Layout:
        vectors: dict[str, Any] = {"b": ("n",) * 4}
        if self.peepholes:
            vectors.update(ci="n", cf="n", co="n")
        if self.normalized:
            vectors.update(gx=("n",) * 4, gh=("n",) * 4, gc="n", bc="n")
        return Layout(
            sizes=("n",),
            blocks=dict.fromkeys("ifco", "n"),
            states={"h": "n", "c": "n"},
            vectors=vectors,
            dots={"hh": ("n", ("n",) * 4)},
        )

    def formulas(self, x: Named, s: Named, v: Named, dot: Products, count: Expression) -> Results:
        through, series = dot("hh", s.h), [x.i, x.f, x.c, x.o]
        if self.normalized:
            through = [norm_z(part) * gain for part, gain in zip(through, v.gh, strict=True)]
            series = [norm_z(part) * gain for part, gain in zip(series, v.gx, strict=True)]
        i, f, c, o = (a + b + bias for a, b, bias in zip(series, through, v.b, strict=True))
        if self.peepholes:
            i, f = i + s.c * v.ci, f + s.c * v.cf
        cell = pt.sigmoid(f) * s.c + pt.sigmoid(i) * pt.tanh(c)
        if self.peepholes:
            o = o + cell * v.co
        shown = norm_z(cell) * v.gc + v.bc if self.normalized else cell
        out = pt.sigmoid(o) * pt.tanh(shown)
        return {"h": out, "c": cell}, {"out": out, "cell": cell}


class GRU(Recurrent, names=("gru",)):
    r"""Gated recurrent units.

    .. math::

        r &= \sigma(x_t W_r + h_{t-1} W_{hr} + b_r) \\
        z &= \sigma(x_t W_z + h_{t-1} W_{hz} + b_z) \\
        \hat h &= g(x_t W_h + (r * h_{t-1}) W_{hh} + b_h) \\
        h_t &= (1 - z) * h_{t-1} + z * \hat h

    Parameters ``w`` (inputs, 3 units) and ``b`` (3 units), each with the parts
    hidden, reset, rate in this order; ``hh``, ``hr``, ``hz`` (units, units).
    Outputs ``out``, ``pre`` (what g is taken of), ``hid`` and ``rate`` (z).

    Parameters
    ----------
    reset_after : bool
        Whether r is applied after the product, to
        :math:`h_{t-1} W_{hh} + b_{hh}`, with one more parameter ``bh``
        (units), as other libraries compute it.

    References
    ----------
    Cho et al. 2014, "Learning phrase representations using RNN
    encoder-decoder for statistical machine translation".
    """

    options: ClassVar[dict[str, Any]] = {"reset_after": Flag(False)}
    reset_after: bool
    default_activation = "tanh"
    shown: ClassVar[dict[str, str]] = dict.fromkeys(("out", "pre", "hid", "rate"), "n")

    def setup(self) -> None:
        """Make the parameters."""
        n = self.output_size
        self.add_weights("w", blocks=[n] * 3)
        for name in ("hh", "hr", "hz"):
            self.add_weights(name, n, n)
        self.add_bias("b", 3 * n)
        if self.reset_after:
            self.add_bias("bh", n)

    def input_weights(self) -> Expression:
        return self.matrix("w")

    def layout(self) -> Layout:
        vectors: dict[str, Any] = {"b": ("n",) * 3}
        dots: dict[str, Any] = {"hr+hz": ("n", ("n",) * 2), "hh": ("n", ("n",))}
        if self.reset_after:
            vectors["bh"], dots = "n", {"hh+hr+hz": ("n", ("n",) * 3)}
        return Layout(
            sizes=("n",),
            blocks=dict.fromkeys(("hid", "reset", "rate"), "n"),
            states={"h": "n"},
            vectors=vectors,
            dots=dots,
        )

    def formulas(self, x: Named, s: Named, v: Named, dot: Products, count: Expression) -> Results:
        hid_bias, reset_bias, rate_bias = v.b
        if self.reset_after:
            through, hr, hz = dot("hh+hr+hz", s.h)
        else:
            hr, hz = dot("hr+hz", s.h)
        reset = pt.sigmoid(x.reset + hr + reset_bias)
        rate = pt.sigmoid(x.rate + hz + rate_bias)
        if self.reset_after:
            through = reset * (through + v.bh)
        else:
            (through,) = dot("hh", reset * s.h)
        pre = x.hid + through + hid_bias
        hid = self.activation(pre)
        out = s.h + rate * (hid - s.h)
        return {"h": out}, {"out": out, "pre": pre, "hid": hid, "rate": rate}


class MUT1(Recurrent, names=("mut1",)):
    r"""A variant of gated units, the first one found by a search.

    .. math::

        r &= \sigma(x_t W_{xr} + h_{t-1} W_{hr} + b_r) \\
        z &= \sigma(x_t W_{xz} + b_z) \\
        \hat h &= \tanh(\tanh(x_t W_{xh}) + (r * h_{t-1}) W_{hh} + b_h) \\
        h_t &= (1 - z) * h_{t-1} + z * \hat h

    Parameters ``xh``, ``xr``, ``xz`` (inputs, units), ``hh``, ``hr`` (units,
    units), ``bh``, ``br``, ``bz`` (units). Outputs ``out``, ``pre``, ``hid``
    and ``rate`` (z).

    Parameters
    ----------
    inner_bias : bool
        Whether :math:`b_h` is added inside of the inner tanh,
        :math:`\tanh(x_t W_{xh} + b_h)`, as in theanets up to 0.8.

    References
    ----------
    Jozefowicz et al. 2015, "An empirical exploration of recurrent network
    architectures".
    """

    options: ClassVar[dict[str, Any]] = {"inner_bias": Flag(False)}
    inner_bias: bool
    fixed_activation = "tanh"
    shown: ClassVar[dict[str, str]] = dict.fromkeys(("out", "pre", "hid", "rate"), "n")

    def setup(self) -> None:
        """Make the parameters."""
        n = self.output_size
        for name in ("xh", "xr", "xz"):
            self.add_weights(name, nout=n)
        for name in ("hh", "hr"):
            self.add_weights(name, n, n)
        for name in ("bh", "br", "bz"):
            self.add_bias(name, n)

    def input_weights(self) -> Expression:
        return self.matrix("xh+xr+xz")

    def layout(self) -> Layout:
        return Layout(
            sizes=("n",),
            blocks=dict.fromkeys("hrz", "n"),
            states={"h": "n"},
            vectors=dict.fromkeys(("bh", "br", "bz"), "n"),
            dots={"hr": ("n", ("n",)), "hh": ("n", ("n",))},
        )

    def formulas(self, x: Named, s: Named, v: Named, dot: Products, count: Expression) -> Results:
        (hr,) = dot("hr", s.h)
        reset = pt.sigmoid(x.r + hr + v.br)
        rate = pt.sigmoid(x.z + v.bz)
        (through,) = dot("hh", reset * s.h)
        if self.inner_bias:
            pre = pt.tanh(x.h + v.bh) + through
        else:
            pre = pt.tanh(x.h) + through + v.bh
        hid = pt.tanh(pre)
        out = s.h + rate * (hid - s.h)
        return {"h": out}, {"out": out, "pre": pre, "hid": hid, "rate": rate}


__all__ = ["GRU", "LSTM", "MUT1"]
