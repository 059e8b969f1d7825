"""Compilation ahead of time: the cache on the disk, filled for common networks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from pytensor import config
from pytensor.compile.mode import Mode

from . import backends, convolution, feedforward, linkers, recurrent
from .errors import ConfigurationError, unknown
from .network import Network

#: Title, model, layers, inputs and targets of a network.
Case = tuple[str, type[Network], list[Any], Any, Any]


def _feedforward() -> Iterator[Case]:
    x, labels = np.zeros((8, 4)), np.arange(8) % 3
    for depth in range(4):
        sizes = [4, *[5] * depth]
        title = f"{depth} hidden layer{'s' * (depth != 1)}"
        yield f"classifier, {title}", feedforward.Classifier, [*sizes, 3], x, labels
        yield f"regressor, {title}", feedforward.Regressor, [*sizes, 2], x, x[:, :2]
    yield "autoencoder, 1 hidden layer", feedforward.Autoencoder, [4, 2, 4], x, None


def _recurrent() -> Iterator[Case]:
    x, labels = np.zeros((8, 6, 4)), np.arange(48).reshape(8, 6) % 3
    for form in ("rnn", "lstm", "gru"):
        yield f"{form} classifier", recurrent.Classifier, [4, (5, form), 3], x, labels
        yield f"{form} regressor", recurrent.Regressor, [4, (5, form), 2], x, x[..., :2]


def _convolution() -> Iterator[Case]:
    x, labels = np.zeros((8, 12, 12, 1)), np.arange(8) % 3
    layers = [
        (12, 12, 1),
        {"size": 2, "form": "conv2", "filter_size": (3, 3)},
        {"form": "pool2", "pool_size": (2, 2)},
        "flatten",
        3,
    ]
    yield "convolutional classifier", convolution.Classifier, layers, x, labels


KINDS = {"feedforward": _feedforward, "recurrent": _recurrent, "convolution": _convolution}


def warmup(
    kinds: str | Iterable[str] = ("feedforward", "recurrent", "convolution"),
    *,
    dtype: str = "float32",
    mode: str | Mode | None = None,
    progress: bool = True,
) -> dict[str, float]:
    """Compile what common networks need, once, into PyTensor's cache on the disk.

    What is compiled depends on the kinds of layers and on their number, not
    on their sizes or the number of classes, except where two of these are the
    same in a recurrent or convolutional network: that may compile a part anew.
    So the first training of such a network, in any later process, takes what
    is there: about two seconds instead of ten or more, see
    `benchmarks/run.py --only starts`. It is a step for the image of a
    container, or after an installation.

    Parameters
    ----------
    kinds : str or list of str
        ``'feedforward'``: classifiers and regressors of up to three hidden
        layers, and an autoencoder; ``'recurrent'``: classifiers and
        regressors of an rnn, lstm or gru layer; ``'convolution'``: a
        classifier with a convolution and a pooling. Each is trained by adam
        with its default loss, evaluated, and asked for predictions.
    dtype : str
        ``'float32'`` or ``'float64'``.
    mode : str, Mode or None
        As for `theanets.Network.train`; ``'NUMBA'`` or ``'CVM'``.
    progress : bool
        Whether to print a line for each network.

    Returns
    -------
    dict
        Seconds for each network.

    Raises
    ------
    ConfigurationError
        If there is no such kind, or the mode keeps nothing on the disk.

    Examples
    --------
    In the file that makes an image of a container::

        RUN python -c "import theanets; theanets.warmup('feedforward')"
    """
    names = [kinds] if isinstance(kinds, str) else list(kinds)
    for name in names:
        if name not in KINDS:
            raise unknown("kinds", name, KINDS)
    linker = backends.linker(mode)
    if not linker.keeps_on_disk:
        known = f", by PyTensor's configuration {config.mode!r}," if mode is None else ""
        raise ConfigurationError(
            f"mode={mode!r}{known} keeps nothing on the disk, so there is nothing to warm up; "
            f"expected {linkers.modes('keeps_on_disk')}"
        )
    linker.check_cache()
    seconds: dict[str, float] = {}
    for name in names:
        for title, model, layers, x, target in KINDS[name]():
            start = time.perf_counter()
            _use(model(layers, dtype=dtype, mode=mode), x, target)
            seconds[title] = time.perf_counter() - start
            if progress:
                print(f"{title:<32} {seconds[title]:6.1f} s", flush=True)
    return seconds


def _use(net: Network, x: Any, target: Any) -> None:
    """Do with a network what is done with most networks."""
    data = [x] if target is None else [x, target]
    net.train(data, data, epochs=1, batch_size=4, progress=False)
    net.predict(x)
    if isinstance(net, feedforward.Classifier):
        net.predict_proba(x)
