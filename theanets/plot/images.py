"""Images: of weights, and of what an autoencoder makes of its inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ConfigurationError, DataError
from ..network import Network
from ..options import whole_number
from .axes import GREY, new_or_given, pyplot


def weights(
    net: Network,
    param: str,
    shape: Sequence[int] | None = None,
    ax: Any = None,
    *,
    scale: str = "common",
    outgoing: bool = False,
    units: Any = None,
    columns: int | None = None,
    cmap: Any = "RdBu_r",
) -> Any:
    """Draw the weights of each unit, or filter, as an image.

    Blue is negative, red positive, white 0; ``cmap='gray'`` is for print
    without colours.

    Parameters
    ----------
    net : theanets.Network
        The network.
    param : str
        Name of the parameter, such as ``'hid1.w'``: weights (inputs, units) of
        any layer, or the filters (size, channels, ...) of a convolution, which
        are drawn as they lie on the image.
    shape : tuple, optional
        What the inputs of a unit are an image of: (rows, columns), or (rows,
        columns, 3) of colours, where grey is 0. By default a square. Filters
        have a shape; those of three channels are drawn in colours, and of
        others there is a row for each filter, and a column for each channel.
    ax : Axes, optional
        Where to draw.
    scale : {'common', 'each'}
        Whether all images have the same scale, or each its own.
    outgoing : bool
        Whether the weights (units, outputs) are those that leave each unit:
        for the layer that makes an autoencoder's output.
    units : int, slice or list of int, optional
        The first so many, or which; by default all.
    columns : int, optional
        Images in a row; by default as many as make a square.
    cmap : str or Colormap
        Colours.

    Returns
    -------
    Axes

    Raises
    ------
    UnknownNameError
        If there is no such parameter.
    ConfigurationError
        If it does not have the shape.
    """
    pyplot("weights")
    if scale not in ("common", "each"):
        raise ConfigurationError(f"scale={scale!r} is not 'common' or 'each'")
    images, row = _images(net, param, shape, outgoing)
    images = _chosen(images, units)
    if row is not None:
        images = images.reshape(-1, *images.shape[2:])
    limit = float(np.abs(images).max(initial=0.0)) or 1.0
    if scale == "each":
        largest = np.abs(images).max(axis=tuple(range(1, images.ndim)), keepdims=True, initial=0.0)
        images, limit = images / np.where(largest > 0, largest, 1.0), 1.0
    colours = images.ndim == 4
    if colours:
        images = (images / limit + 1) / 2
    mosaic = _mosaic(images, columns or row)
    height, width = mosaic.shape[:2]
    bar = scale == "common" and not colours
    wide = max(1.0, min(4.6, 9.0 * width / height))
    size = (wide + 0.9 * bar, max(1.2, min(wide * height / width, 9.0) + 0.1))
    (ax,) = new_or_given("weights", ax, size)
    image = _show(ax, mosaic, cmap, -limit, limit)
    if bar:
        scale_bar = ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.02)
        scale_bar.outline.set_visible(False)
    return ax


def _images(
    net: Network, param: str, shape: Any, outgoing: bool
) -> tuple[np.ndarray[Any, Any], int | None]:
    """Get the images (units, rows, columns, maybe 3), or (filters, channels, rows, columns).

    And for the latter the number of channels.
    """
    values = net.find(param).get_value().astype(float)
    layer = net.graph.layer(param.rpartition(".")[0])
    if values.ndim == 4 and hasattr(layer, "window"):
        if layer.linear_map != "transposed_filters":
            # A convolution turns its filters around.
            values = values[:, :, ::-1, ::-1]
        if shape is not None:
            raise ConfigurationError(f"shape={shape}: the filters of {param!r} have a shape")
        count = values.shape[1]
        if len(layer.axes) == 1:
            # A series is one line for each of its channels.
            return values[:, :, 0], None
        if count == 3:
            return values.transpose(0, 2, 3, 1), None
        return (values[:, 0], None) if count == 1 else (values, count)
    if values.ndim != 2:
        raise ConfigurationError(
            f"param={param!r} has shape {values.shape}; weights (inputs, units) are needed, or "
            "the filters of a convolution"
        )
    values = values if outgoing else values.T
    return values.reshape(-1, *_shape(shape, values.shape[1], param)), None


def _shape(shape: Any, size: int, what: str) -> tuple[int, ...]:
    if shape is None:
        side = math.isqrt(size)
        if side * side != size:
            raise ConfigurationError(
                f"{what}: {size} values are not a square; give shape=(rows, columns)"
            )
        return side, side
    found = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    grey = len(found) == 2 or (len(found) == 3 and found[2] in (1, 3))
    if not grey or math.prod(found) != size:
        raise ConfigurationError(
            f"shape={shape}: {what} has {size} values for each image; expected (rows, columns) "
            "or (rows, columns, 3) of so many"
        )
    return found[:2] if found[2:] == (1,) else found


def _chosen(images: np.ndarray[Any, Any], units: Any) -> np.ndarray[Any, Any]:
    if units is None:
        return images
    found = images[: int(units)] if isinstance(units, (int, np.integer)) else images[units]
    if not len(found):
        raise ConfigurationError(f"units={units!r} are none of the {len(images)} units")
    return found


def _mosaic(images: np.ndarray[Any, Any], columns: int | None) -> np.ndarray[Any, Any]:
    """Lay images beside and below each other, with NaN in between."""
    count, height, width = images.shape[:3]
    # As nearly a square as the images allow.
    columns = columns or max(1, round(math.sqrt(count * height / width)))
    columns = min(columns, count)
    rows = -(-count // columns)
    # Each entry is some pixels, so that what separates images can be thinner.
    zoom = -(-40 // max(height, width))
    images = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    height, width = height * zoom, width * zoom
    gap = max(2, max(height, width) // 16)
    full = (rows * (height + gap) - gap, columns * (width + gap) - gap, *images.shape[3:])
    mosaic = np.full(full, np.nan)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        mosaic[top : top + height, left : left + width] = image
    return mosaic


def _show(ax: Any, mosaic: Any, cmap: Any, low: float, high: float) -> Any:
    from matplotlib import colormaps, colors

    if mosaic.ndim == 3:
        # Grey is a colour among others here.
        mosaic = np.where(np.isnan(mosaic), 1.0, mosaic)
    else:
        grey = colors.to_rgb(GREY)
        cmap = (colormaps[cmap] if isinstance(cmap, str) else cmap).with_extremes(bad=grey)
    image = ax.imshow(mosaic, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    return image


def reconstructions(
    net: Network,
    x: Any,
    shape: Sequence[int] | None = None,
    ax: Any = None,
    *,
    count: int = 10,
    cmap: Any = "gray_r",
    **kwargs: Any,
) -> Any:
    """Draw inputs, and below each what an autoencoder makes of it.

    Parameters
    ----------
    net : theanets.Autoencoder
        The network; its outputs have the shape of its inputs.
    x : array_like of shape (examples, ...)
        Inputs.
    shape : tuple, optional
        What an example is an image of: (rows, columns), or (rows, columns, 3)
        of colours, which are 0 to 1. By default that of ``x``, or a square.
    ax : Axes, optional
        Where to draw.
    count : int
        How many of the examples, the first ones.
    cmap : str or Colormap
        Colours of the values from the least to the greatest in ``x``.
    **kwargs
        As for the network's ``predict``.

    Returns
    -------
    Axes

    Raises
    ------
    ConfigurationError
        If examples do not have the shape.
    DataError
        If outputs do not have the shape of inputs, or there are no examples.
    """
    pyplot("reconstructions")
    original = np.asarray(x)[: whole_number("count", count)]
    if original.ndim < 2 or not len(original):
        raise DataError(f"x has shape {np.shape(x)}; expected examples with one axis or more")
    made = np.asarray(net.predict(original, **kwargs))
    if made.shape != original.shape:
        raise DataError(f"outputs have shape {made.shape}, inputs {original.shape}")
    if shape is None and original.ndim > 2:
        shape = original.shape[1:]
    shape = _shape(shape, original[0].size, "x")
    pairs = np.concatenate([original, made]).reshape(-1, *shape).astype(float)
    low, high = float(np.nanmin(original)), float(np.nanmax(original))
    if len(shape) == 3:
        pairs = np.clip(pairs, 0, 1)
    mosaic = _mosaic(pairs, len(original))
    wide = min(1.2 + 0.75 * len(original), 9.0)
    size = (wide, max(1.4, (wide - 1.2) * mosaic.shape[0] / mosaic.shape[1] + 0.2))
    (ax,) = new_or_given("reconstructions", ax, size)
    _show(ax, mosaic, cmap, low, high)
    middle = (mosaic.shape[0] - 1) / 2
    ax.set_yticks([middle / 2, middle * 3 / 2], ["input", "output"])
    ax.tick_params(length=0)
    return ax
