"""Separable convolutions: of each channel by itself, and then of all channels of each place.

References
----------
Chollet 2017, "Xception: Deep learning with depthwise separable convolutions".
"""

from __future__ import annotations

from typing import Any

import pytensor.tensor as pt

from ..errors import ConfigurationError
from ..expressions import Expression
from ..ops.windows import EACH, Window
from ..ops.windows import Convolution as ConvolutionOp
from .convolution import Conv1, Conv2, Convolution
from .traits import LinearMap


class Separable(Convolution, abstract=True):
    """Base class of separable convolutions; see `Convolution` for their arguments.

    A filter for each channel of the input, and a matrix that makes the
    channels of the output of these: of k entries and m channels, ``k * m + m *
    size`` weights in place of ``k * m * size``. There is no activation between
    the two; layers with ``groups=`` and with filters of one entry have one.
    """

    linear_map: LinearMap = None

    def setup(self) -> None:
        """Make ``depthwise``, ``w`` and ``b``."""
        if self.groups != 1:
            raise ConfigurationError(
                f"layer {self.full_name!r}: groups={self.groups} has no meaning for a separable "
                "convolution, whose filters see one channel each"
            )
        k1, k2 = self.window.size
        nin, nout = self.input_size, self.pre_size
        kinds = ("mean", "std", "sparsity")
        draws = self._draws("depthwise", kinds, {"std": (k1 * k2) ** -0.5}, kinds)

        def draw() -> Any:
            found = self._random_matrix("depthwise", k1 * k2, nin, draws)
            return found.reshape(k1, k2, nin, 1).transpose(2, 3, 0, 1)

        self.add_param("depthwise", draw, (nin, 1, k1, k2))
        own = self._draws("w", kinds, {"std": (2.0 / (nin + nout)) ** 0.5}, kinds)
        self.add_param(
            "w",
            lambda: self._random_matrix("w", nin, nout, own).T.reshape(nout, nin, 1, 1),
            (nout, nin, 1, 1),
        )
        self.add_bias("b", nout)

    def _apply(self, x: Expression, w: Expression, window: Window) -> Expression:
        filters = self.find("depthwise")[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
        return pt.dot(ConvolutionOp(window, EACH)(x, filters), w[:, :, 0, 0].T)


class Conv1Separable(Separable, Conv1, names=("conv1_separable",)):
    """A separable convolution of series (time, channels); see `Separable`.

    Parameters ``depthwise`` (channels, 1, 1, filter_size), ``w`` (size,
    channels, 1, 1) and ``b`` (size).
    """


class Conv2Separable(Separable, Conv2, names=("conv2_separable",)):
    """A separable convolution of images (width, height, channels); see `Separable`.

    Parameters ``depthwise``, of shape (channels, 1) and then the filter's size,
    ``w`` (size, channels, 1, 1) and ``b`` (size).
    """
