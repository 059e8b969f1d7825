"""Exponential functions for Numba that vectorize.

In float32, by polynomials whose coefficients are least-maximum fits of the
relative error: `exp` on half of ``log(2)`` around 0 after scaling by a power of
two, `tanh` below 0.625, both of an error of less than 0.1 units in the last
place before rounding. Measured over all of their range, `tanh` is off by at
most 1.3 units in the last place and `sigmoid` by 2.2, above -85. Infinities and NaN pass.
In float64 the functions of the C library.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import compiler, types
from numba.extending import intrinsic
from pytensor.link.numba.dispatch.basic import numba_njit

F = np.float32


class NoAlias(compiler.Compiler):
    """Compiles functions whose array arguments do not overlap, so that loops vectorize."""

    def define_pipelines(self) -> Any:
        """Set the flag, which `numba.njit` has no keyword for."""
        self.state.flags.noalias = True
        return super().define_pipelines()


def device(function: Any) -> Any:
    """Compile a function of numbers. Sums may be fused with products, no more."""
    return numba_njit(function, fastmath={"contract"}, error_model="numpy")


def loop(function: Any) -> Any:
    """Compile a loop over arrays that do not overlap."""
    return numba_njit(function, fastmath={"contract"}, error_model="numpy", pipeline_class=NoAlias)


@intrinsic
def _power_of_two(typingctx: Any, k: Any) -> Any:
    """2.0 ** k as float32 for an int32 from -126 to 127, by writing the exponent's bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = ir.IntType(32)
        biased = builder.add(arguments[0], ir.Constant(integer, 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(integer, 23)), ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def _plus(typingctx: Any, total: Any, x: Any) -> Any:
    """Sum whose order a compiler may change, so that sums of rows vectorize."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = context.cast(builder, arguments[1], x, total)
        return builder.fadd(arguments[0], number, flags=("reassoc",))

    return total(total, x), generate


# log(2) in two parts, the first of few bits, so that k times it is exact.
_LN2_HIGH, _LN2_LOW = F(0.693359375), F(-2.12194440e-4)
_LOG2_E = F(1.4426950408889634)
# Adding and subtracting 1.5 * 2 ** 23 rounds to an integer.
_ROUND = F(12582912.0)
_E0, _E1, _E2, _E3, _E4 = (
    F(0.4999999343741233),
    F(0.16666520477668254),
    F(0.04166838986098053),
    F(0.008368735569550428),
    F(0.0013814559767841373),
)
_T0, _T1, _T2, _T3, _T4 = (
    F(-0.3333328393138891),
    F(0.13331491090090633),
    F(-0.05374347106191092),
    F(0.020650486204700162),
    F(-0.005716927364375786),
)


@device
def _exp32(x: Any) -> Any:
    # The comparisons are such that NaN passes.
    x = F(88.0) if x > F(88.0) else x
    x = F(-87.0) if x < F(-87.0) else x
    k = (x * _LOG2_E + _ROUND) - _ROUND
    r = x - k * _LN2_HIGH
    r = r - k * _LN2_LOW
    p = (((_E4 * r + _E3) * r + _E2) * r + _E1) * r + _E0
    return (F(1) + (r + r * r * p)) * _power_of_two(np.int32(k))


@device
def _sigmoid32(x: Any) -> Any:
    return F(1) / (F(1) + _exp32(-x))


@device
def _tanh32(x: Any) -> Any:
    size = abs(x)
    s = x * x
    p = (((_T4 * s + _T3) * s + _T2) * s + _T1) * s + _T0
    small = x + x * s * p
    large = F(1) - F(2) / (_exp32(size + size) + F(1))
    large = -large if x < F(0) else large
    return small if size < F(0.625) else large


@device
def _softplus(x: Any) -> Any:
    positive = x if x > 0 else type(x)(0) * x
    return positive + np.log1p(np.exp(-abs(x)))


@device
def _tanh64(x: Any) -> Any:
    return np.tanh(x)


@device
def _sigmoid64(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


@device
def _exp(x: Any) -> Any:
    return np.exp(x)


#: What the printed source calls, by dtype.
FUNCTIONS = {
    "float32": SimpleNamespace(
        tanh=_tanh32, sigmoid=_sigmoid32, exp=_exp, softplus=_softplus, plus=_plus
    ),
    "float64": SimpleNamespace(
        tanh=_tanh64, sigmoid=_sigmoid64, exp=_exp, softplus=_softplus, plus=_plus
    ),
}
