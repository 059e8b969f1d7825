"""The Ops of `convolution` and `pooling` for PyTorch.

Convolutions and their gradients are PyTorch's. Windows of pooling are views of the images,
or of the numbers of their entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from pytensor.link.pytorch.dispatch import pytorch_funcify
from torch.nn import functional, grad

from .convolution import Convolution, FilterGradient, ImageGradient
from .pooling import MaxGather, MaxPool, MaxScatter, SumPool, SumSpread
from .window import Window

Function = Callable[..., Any]


def _pad(x: torch.Tensor, window: Window, lengths: Any, value: float = 0) -> torch.Tensor:
    """Get images (..., height, width) with their padding."""
    window.check(lengths)
    (top, bottom), (left, right) = window.padding(lengths)
    return functional.pad(x, (left, right, top, bottom), value=value)


def _inner(x: torch.Tensor, window: Window, lengths: Any) -> torch.Tensor:
    """Get images (batch, height, width, channels) without their padding."""
    (top, _), (left, _) = window.padding(lengths)
    return x[:, top : top + lengths[0], left : left + lengths[1]]


def _first(x: torch.Tensor) -> Any:
    """Get images with channels before height and width, as PyTorch has them."""
    return x.permute(0, 3, 1, 2)


def _last(x: torch.Tensor) -> Any:
    return x.permute(0, 2, 3, 1)


def _options(window: Window) -> dict[str, Any]:
    return {"stride": window.stride, "dilation": window.dilation}


@pytorch_funcify.register(Convolution)
def _convolution(op: Convolution, **kwargs: Any) -> Function:
    window, count = op.window, op.groups

    def convolution(x: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
        padded = _pad(_first(x), window, x.shape[1:3])
        how = {"groups": count or x.shape[3], **_options(window)}
        return _last(functional.conv2d(padded, filters.permute(3, 2, 0, 1), **how))

    return convolution


@pytorch_funcify.register(FilterGradient)
def _filter_gradient(op: FilterGradient, **kwargs: Any) -> Function:
    window, count = op.window, op.groups

    def filter_gradient(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        padded = _pad(_first(x), window, x.shape[1:3])
        how = {"groups": count or x.shape[3], **_options(window)}
        shape = (y.shape[3], x.shape[3] // how["groups"], *window.size)
        found = grad.conv2d_weight(padded, shape, _first(y), **how)
        return found.permute(2, 3, 1, 0)

    return filter_gradient


@pytorch_funcify.register(ImageGradient)
def _image_gradient(op: ImageGradient, **kwargs: Any) -> Function:
    window, count = op.window, op.groups

    def image_gradient(
        filters: torch.Tensor, y: torch.Tensor, height: torch.Tensor, width: torch.Tensor
    ) -> torch.Tensor:
        lengths = int(height), int(width)
        window.check(lengths)
        padded = [n + sum(pads) for n, pads in zip(lengths, window.padding(lengths), strict=True)]
        how = {"groups": count or y.shape[3], **_options(window)}
        shape = (y.shape[0], filters.shape[2] * how["groups"], *padded)
        turned = filters.permute(3, 2, 0, 1)
        found = grad.conv2d_input(shape, turned, _first(y), **how)
        return _inner(_last(found), window, lengths)

    return image_gradient


def _windows(padded: torch.Tensor, window: Window, lengths: Any) -> torch.Tensor:
    """Get the windows of images (..., height, width) as (..., positions..., size...)."""
    axes = zip(window.entries(lengths), window.stride, window.dilation, strict=True)
    for k, s, d in axes:
        # It puts an axis behind all others, so the next is at the same place.
        padded = padded.unfold(-2, (k - 1) * d + 1, s)[..., ::d]
    return padded


def _numbers(window: Window, lengths: Any, device: Any) -> torch.Tensor:
    """Get the numbers of the entries of each window, -1 for padding: (positions..., k)."""
    numbers = torch.arange(math.prod(lengths), device=device).reshape(lengths)
    return _windows(_pad(numbers, window, lengths, -1), window, lengths).flatten(2)


def _largest(x: torch.Tensor, window: Window) -> torch.Tensor:
    """Get the number of the largest entry of each window: (batch, positions, channels)."""
    lengths = x.shape[1:3]
    padded = _pad(_first(x), window, lengths, -math.inf)
    best, where = _windows(padded, window, lengths).flatten(4).max(-1)
    numbers = _numbers(window, lengths, x.device)
    # Padding is no entry, even if all that there is is -inf.
    where = torch.where(best == -math.inf, (numbers >= 0).int().argmax(-1), where)
    numbers = numbers.expand(*where.shape, -1).gather(-1, where[..., None])[..., 0]
    return numbers.flatten(2).swapaxes(1, 2)


def _results(x: torch.Tensor, window: Window, entries: Any) -> torch.Tensor:
    return entries.reshape(x.shape[0], *window.positions(x.shape[1:3]), x.shape[3])


@pytorch_funcify.register(MaxPool)
def _max_pool(op: MaxPool, **kwargs: Any) -> Function:
    window = op.window

    def max_pool(x: torch.Tensor) -> torch.Tensor:
        lengths = x.shape[1:3]
        padded = _pad(_first(x), window, lengths, -math.inf)
        return _last(_windows(padded, window, lengths).amax((-2, -1)))

    return max_pool


@pytorch_funcify.register(MaxGather)
def _max_gather(op: MaxGather, **kwargs: Any) -> Function:
    def max_gather(x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return _results(x, op.window, v.flatten(1, 2).gather(1, _largest(x, op.window)))

    return max_gather


@pytorch_funcify.register(MaxScatter)
def _max_scatter(op: MaxScatter, **kwargs: Any) -> Function:
    def max_scatter(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        zeros = torch.zeros_like(x, dtype=y.dtype).flatten(1, 2)
        return zeros.scatter_add(1, _largest(x, op.window), y.flatten(1, 2)).reshape(x.shape)

    return max_scatter


@pytorch_funcify.register(SumPool)
def _sum_pool(op: SumPool, **kwargs: Any) -> Function:
    window = op.window

    def sum_pool(x: torch.Tensor) -> torch.Tensor:
        lengths = x.shape[1:3]
        padded = _pad(_first(x), window, lengths)
        return _last(_windows(padded, window, lengths).sum((-2, -1)))

    return sum_pool


@pytorch_funcify.register(SumSpread)
def _sum_spread(op: SumSpread, **kwargs: Any) -> Function:
    window = op.window

    def sum_spread(y: torch.Tensor, height: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
        lengths = int(height), int(width)
        numbers = _numbers(window, lengths, y.device)
        # Entry 0 gathers what goes to padding.
        zeros = y.new_zeros((y.shape[0], 1 + math.prod(lengths), y.shape[3]))
        shares = y[:, :, :, None].expand(-1, -1, -1, numbers.shape[2], -1).flatten(1, 3)
        found = zeros.index_add(1, 1 + numbers.flatten(), shares)
        return found[:, 1:].reshape(y.shape[0], *lengths, y.shape[3])

    return sum_spread
