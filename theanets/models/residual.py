"""Residual networks for images.

References
----------
He, Zhang, Ren & Sun 2016, "Deep residual learning for image recognition". The stride of a
bottleneck is in its 3x3 convolution, as in most implementations since.
"""

from __future__ import annotations

from typing import Any

from .. import convolution
from ..errors import ConfigurationError
from ..export.torch_arrays import PAIRS
from ..interop.plan import Plan
from ..options import whole_number
from .weights import Weights

#: Blocks of each of the four stages by depth, and how much wider than it computes a block is.
DEPTHS: dict[int, tuple[tuple[int, ...], int]] = {
    18: ((2, 2, 2, 2), 1),
    34: ((3, 4, 6, 3), 1),
    50: ((3, 4, 6, 3), 4),
    101: ((3, 4, 23, 3), 4),
    152: ((3, 8, 36, 3), 4),
}
CONVOLUTION = ("weight", "bias")
NORM = ("weight", "bias", "running_mean", "running_var")


def resnet(
    depth: int = 18,
    classes: int = 1000,
    weights: Any = None,
    *,
    shape: tuple[int | None, int | None, int] = (None, None, 3),
    width: int = 64,
    model: Any = convolution.Classifier,
    **options: Any,
) -> Any:
    """Make a residual network, a classifier of images.

    Parameters
    ----------
    depth : {18, 34, 50, 101, 152}
        How many layers have weights; from 50 on, blocks are bottlenecks.
    classes : int
        How many classes there are.
    weights : path or dict, optional
        A file of safetensors, or arrays, with torchvision's names; by default
        new ones are drawn.
    shape : tuple
        Of an image, (height, width, channels); None is any length.
    width : int
        Number of filters of the first convolution.
    model : class
        Of the network; `theanets.convolution.Regressor` gives the scores of
        classes.
    **options
        ``loss``, ``weighted``, ``rng``, ``dtype`` and ``mode``, as for
        `theanets.Network`.

    Returns
    -------
    Network
        Layers are called as in torchvision, ``'layer1/0/conv1'``, so that
        ``net.to_torch_state()`` has the names there.

    Raises
    ------
    ConfigurationError
        If an argument has no meaning.
    FileError
        If the weights cannot be read, or are not those of such a network.

    Warns
    -----
    UserWarning
        If weights are NaN or infinite, by their names.
    """
    if depth not in DEPTHS:
        raise ConfigurationError(
            f"depth={depth!r} is not one of {', '.join(map(str, DEPTHS))}, which residual networks "
            "of this kind have"
        )
    classes, width = whole_number("classes", classes), whole_number("width", width)
    if not isinstance(shape, (tuple, list)) or len(shape) != 3 or shape[-1] is None:
        raise ConfigurationError(
            f"shape={shape!r} is not that of an image, (height, width, channels), of which the "
            "last is known"
        )
    if shape[0] in (1, 3) and (shape[2] or 0) > 4:
        raise ConfigurationError(
            f"shape={shape!r} has channels first; that of an image is (height, width, channels) "
            f"here: shape={(*shape[1:], shape[0])!r}, and data have channels last"
        )
    made = _Maker(Plan("the residual network"), None if weights is None else Weights(weights))
    made.plan.add("input", "in", shape=tuple(shape))
    made.convolution("conv1", "in", shape[-1], width, 7, 2)
    source = made.norm("bn1", width, "relu")
    made.plan.add("pool2", "maxpool", pool_size=3, stride=2, padding=1)
    source, size = "maxpool", width
    counts, wider = DEPTHS[depth]
    for stage, count in enumerate(counts):
        for i in range(count):
            stride = 2 if stage and not i else 1
            inner = width * 2**stage
            name = f"layer{stage + 1}/{i}"
            source, size = made.block(name, source, size, inner, wider, stride), inner * wider
    made.plan.add("pool2", "avgpool", pool_size="global", mode="mean")
    made.add("feedforward", "fc", (classes, size), CONVOLUTION, size=classes, activation="linear")
    if made.weights is not None:
        made.weights.check_all(("num_batches_tracked",))
    return made.plan.build(model, options)


class _Maker:
    """Adds layers, with weights where there are some."""

    def __init__(self, plan: Plan, weights: Weights | None) -> None:
        self.plan = plan
        self.weights = weights

    def add(
        self, form: str, name: str, shape: tuple[int, ...], keys: tuple[str, ...], **options: Any
    ) -> None:
        """Add a layer whose counterpart has a ``weight`` of some shape."""
        params = None
        if self.weights is not None:
            path = name.replace("/", ".")
            self.weights.take(f"{path}.weight", shape)
            params = PAIRS[form].ours(self.weights.module(path, keys))
        self.plan.add(form, name, params, **options)

    def convolution(
        self, name: str, source: str, channels: int, size: int, filter_size: int, stride: int
    ) -> None:
        """Add a convolution, of an image that keeps its size but for the stride."""
        self.add(
            "conv2",
            name,
            (size, channels, filter_size, filter_size),
            CONVOLUTION,
            # Names with a stroke may be those within a block.
            inputs=[f"/{source}" if "/" in name else source],
            size=size,
            filter_size=filter_size,
            stride=stride,
            border_mode=filter_size // 2,
            activation="linear",
        )

    def norm(self, name: str, size: int, activation: str = "linear") -> str:
        """Add a normalization; get its name."""
        self.add("batch_norm", name, (size,), NORM, activation=activation)
        return name

    def block(
        self, name: str, source: str, channels: int, inner: int, wider: int, stride: int
    ) -> str:
        """Add a block of two convolutions, or three, whose sum with what comes passes on."""
        size = inner * wider
        # Filters, their size and the stride.
        parts = [(inner, 3, stride), (inner, 3, 1)]
        if wider > 1:
            parts = [(inner, 1, 1), (inner, 3, stride), (size, 1, 1)]
        before, count = source, channels
        for i, (filters, filter_size, step) in enumerate(parts, 1):
            self.convolution(f"{name}/conv{i}", before, count, filters, filter_size, step)
            activation = "relu" if i < len(parts) else "linear"
            before, count = self.norm(f"{name}/bn{i}", filters, activation), filters
        if stride > 1 or channels != size:
            self.convolution(f"{name}/downsample/0", source, channels, size, 1, stride)
            source = self.norm(f"{name}/downsample/1", size)
        self.plan.add("add", name, inputs=[f"/{before}", f"/{source}"], activation="relu")
        return name
