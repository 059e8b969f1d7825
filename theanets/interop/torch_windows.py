"""Modules of PyTorch with windows: convolutions and pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export.torch_arrays import PAIRS
from .torch_walk import Lengths, Walk, reads, state

#: Modes of padding by how the names of their classes begin.
PADS = {"Zer": "zero", "Ref": "reflect", "Rep": "replicate", "Cir": "circular"}


def _places(module: Any) -> int:
    """Get along how many axes the windows of a module go, which its class says."""
    name = next(c.__name__ for c in type(module).__mro__ if c.__name__[-2:] in ("1d", "2d"))
    return int(name[-2])


def _each(value: Any, count: int) -> tuple[Any, ...]:
    """Get a number for each axis."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * count


def _positions(n: int | None, k: int, s: int, pad: int) -> int | None:
    return None if n is None else (n + pad - k) // s + 1


def _start(module: Any) -> Lengths:
    return (module.in_channels, *(None,) * _places(module))


@reads("Conv1d", "Conv2d", start=_start, channels_first=True)
def convolution(walk: Walk, module: Any, path: str) -> None:
    """Read a convolution of series or images."""
    count = _begin(walk, module, path)
    size, stride = _each(module.kernel_size, count), _each(module.stride, count)
    dilation = _each(module.dilation, count)
    extents = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    padding = module.padding
    if padding == "same":
        pads = [e - 1 for e in extents]
    else:
        padding = (0,) * count if padding == "valid" else _each(padding, count)
        pads = [2 * p for p in padding]
    found = zip(walk.shape[1:], extents, stride, pads, strict=True)
    lengths = tuple(_positions(*each) for each in found)
    if module.padding_mode != "zeros" and any(pads):
        walk.refuse_unless(
            module.padding_mode in ("reflect", "replicate", "circular"),
            module,
            path,
            f"padding_mode={module.padding_mode!r} has no counterpart, 'zeros', 'reflect', "
            "'replicate' and 'circular' have",
        )
        # Of an odd number, the larger half is behind.
        both = tuple((p // 2, p - p // 2) for p in pads)
        _pad(walk, f"{walk.plan.name(path)}+pad", both, module.padding_mode)
        padding = (0,) * count
    _convolution(walk, module, path, f"conv{count}", lengths, padding)


@reads("ConvTranspose1d", "ConvTranspose2d", start=_start, channels_first=True)
def transposed(walk: Walk, module: Any, path: str) -> None:
    """Read a transposed convolution."""
    count = _begin(walk, module, path)
    size, stride = _each(module.kernel_size, count), _each(module.stride, count)
    padding, more = _each(module.padding, count), _each(module.output_padding, count)
    walk.refuse_unless(
        all(m <= p for m, p in zip(more, padding, strict=True)),
        module,
        path,
        f"output_padding={more} is more than padding={padding}, which has no counterpart",
    )
    pads = tuple((p, p - m) for p, m in zip(padding, more, strict=True))
    dilation = _each(module.dilation, count)
    lengths = tuple(
        None if n is None else (n - 1) * s + (k - 1) * d + 1 - low - high
        for n, k, s, d, (low, high) in zip(
            walk.shape[1:], size, stride, dilation, pads, strict=True
        )
    )
    _convolution(walk, module, path, f"conv{count}_transposed", lengths, pads)


def _begin(walk: Walk, module: Any, path: str) -> int:
    """Check what comes to a convolution; get the number of axes of places."""
    count = _places(module)
    walk.give_axes()
    walk.expect(module, path, count + 1, True)
    walk.refuse_unless(
        walk.shape[0] == module.in_channels,
        module,
        path,
        f"in_channels={module.in_channels}, but {walk.shape[0]} come",
    )
    return count


def _pad(walk: Walk, name: str, padding: tuple[tuple[int, int], ...], mode: str) -> None:
    """Add a padding of its own."""
    walk.plan.add(f"pad{len(padding)}", name, padding=padding, mode=mode)


def _convolution(
    walk: Walk, module: Any, path: str, form: str, lengths: Lengths, border: Any
) -> None:
    count = len(lengths)
    found = state(module, ["weight", "bias"])
    found.setdefault("bias", np.zeros(module.out_channels, found["weight"].dtype))
    walk.plan.add(
        form,
        walk.plan.name(path),
        PAIRS[form].ours(found),
        groups=module.groups,
        size=module.out_channels,
        filter_size=_each(module.kernel_size, count),
        stride=_each(module.stride, count),
        dilation=_each(module.dilation, count),
        border_mode=border,
        activation="linear",
    )
    walk.shape = (module.out_channels, *lengths)


@reads(
    *("ZeroPad1d", "ZeroPad2d", "ReflectionPad1d", "ReflectionPad2d", "ReplicationPad1d"),
    *("ReplicationPad2d", "CircularPad1d", "CircularPad2d"),
    channels_first=True,
)
def padding(walk: Walk, module: Any, path: str) -> None:
    """Read a padding of its own; the last axis comes first there."""
    count = _places(module)
    walk.give_axes()
    walk.expect(module, path, count + 1, True)
    sides = _each(module.padding, 2 * count)
    both = tuple((int(sides[2 * i]), int(sides[2 * i + 1])) for i in reversed(range(count)))
    walk.refuse_unless(
        all(n >= 0 for pair in both for n in pair),
        module,
        path,
        f"padding={module.padding} takes something away, which has no counterpart",
    )
    names = {cls.__name__[:3] for cls in type(module).__mro__}
    _pad(walk, walk.plan.name(path), both, next(m for p, m in PADS.items() if p in names))
    lengths = zip(walk.shape[1:], both, strict=True)
    walk.shape = (walk.shape[0], *(None if n is None else n + sum(p) for n, p in lengths))


# ---- pooling ---------------------------------------------------------------------------


@reads("MaxPool1d", "MaxPool2d", "AvgPool1d", "AvgPool2d", channels_first=True)
def pooling(walk: Walk, module: Any, path: str) -> None:
    """Read pooling of windows."""
    count, mean = _places(module), hasattr(module, "count_include_pad")
    walk.give_axes()
    walk.expect(module, path, count + 1, True)
    size, padding = _each(module.kernel_size, count), _each(module.padding, count)
    stride = _each(module.kernel_size if module.stride is None else module.stride, count)
    for option, plain in (("dilation", 1), ("return_indices", False), ("divisor_override", None)):
        value = getattr(module, option, plain)
        walk.refuse_unless(
            value == plain or _each(value, count) == (plain,) * count,
            module,
            path,
            f"{option}={value} has no counterpart",
        )
    if mean and module.count_include_pad and any(padding):
        # Else windows over the border have the mean of what there is.
        _pad(walk, f"{walk.plan.name(path)}+pad", tuple((p, p) for p in padding), "zero")
        lengths = (
            None if n is None else n + 2 * p for n, p in zip(walk.shape[1:], padding, strict=True)
        )
        walk.shape, padding = (walk.shape[0], *lengths), (0,) * count
    pads: list[tuple[int, int]] = []
    made: list[int | None] = []
    for n, k, s, p in zip(walk.shape[1:], size, stride, padding, strict=True):
        high = p + (_more(walk, module, path, n, k, s, p) if module.ceil_mode else 0)
        pads.append((p, high))
        made.append(_positions(n, k, s, p + high))
    _pool(walk, path, count, "mean" if mean else "max", pool_size=size, stride=stride, padding=pads)
    walk.shape = (walk.shape[0], *made)


def _more(walk: Walk, module: Any, path: str, n: int | None, k: int, s: int, p: int) -> int:
    """Get by how much windows reach farther over the end, so that the rest is in one too."""
    walk.refuse_unless(
        n is not None,
        module,
        path,
        "ceil_mode=True has a counterpart only for known lengths; give the shape of an example",
    )
    rest = (int(n or 0) + 2 * p - k) % s
    # A window that would begin behind the end is none.
    last = (int(n or 0) + 2 * p - k) // s + 1
    return s - rest if rest and last * s < int(n or 0) + p else 0


@reads(
    *("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d"),
    channels_first=True,
)
def adaptive(walk: Walk, module: Any, path: str) -> None:
    """Read pooling to a number of windows, which has to divide the length."""
    count = _places(module)
    mode = "mean" if any("Avg" in c.__name__ for c in type(module).__mro__) else "max"
    walk.give_axes()
    walk.expect(module, path, count + 1, True)
    wanted = _each(module.output_size, count)
    walk.refuse_unless(
        not getattr(module, "return_indices", False),
        module,
        path,
        "return_indices=True has no counterpart",
    )
    if all(m == 1 for m in wanted):
        _pool(walk, path, count, mode, pool_size="global")
        # Modules see axes of length 1 behind the channels.
        walk.shape, walk.channels_first, walk.ones = walk.shape[:1], False, count
        return
    wanted = tuple(n if m is None else m for m, n in zip(wanted, walk.shape[1:], strict=True))
    walk.refuse_unless(
        all(n is not None and n % m == 0 for n, m in zip(walk.shape[1:], wanted, strict=True)),
        module,
        path,
        f"output_size={module.output_size} of the lengths {walk.shape[1:]} would be of windows of "
        "several lengths, or of unknown ones",
    )
    size = tuple(int(n or 0) // m for n, m in zip(walk.shape[1:], wanted, strict=True))
    _pool(walk, path, count, mode, pool_size=size)
    walk.shape = (walk.shape[0], *wanted)


def _pool(walk: Walk, path: str, count: int, mode: str, **options: Any) -> None:
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    walk.plan.add(f"pool{count}", walk.plan.name(path), mode=mode, **options)


@reads("Upsample", "UpsamplingNearest2d", channels_first=True)
def upsampling(walk: Walk, module: Any, path: str) -> None:
    """Read repetition of entries, or what is in between."""
    count = len(walk.shape) - 1
    walk.expect(module, path, 2 if count < 1 else min(count, 2) + 1, True)
    factors = None if module.scale_factor is None else _each(module.scale_factor, count)
    walk.refuse_unless(
        module.mode in ("nearest", "linear", "bilinear")
        and factors is not None
        and all(f == int(f) for f in factors),
        module,
        path,
        f"scale_factor={module.scale_factor}, size={module.size}, mode={module.mode!r} has no "
        "counterpart: ours is by whole factors, by repetition or linear",
    )
    walk.refuse_unless(
        not module.align_corners,
        module,
        path,
        f"align_corners={module.align_corners} has no counterpart, False has",
    )
    whole = tuple(int(f) for f in factors or ())
    mode = "repeat" if module.mode == "nearest" else "linear"
    walk.plan.add(f"upsample{count}", walk.plan.name(path), factor=whole, mode=mode)
    lengths = (None if n is None else n * f for n, f in zip(walk.shape[1:], whole, strict=True))
    walk.shape = (walk.shape[0], *lengths)
