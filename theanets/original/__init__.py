"""Files of theanets 0.6 to 0.8, for Theano, loaded as networks of this version.

`load_original` is what users call. `pickles` reads a pickle without running
anything that it names, `networks` finds the layers in it, and `forms` knows
what each layer computed then.
"""

from __future__ import annotations

import gzip
import io
import os
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import convolution, feedforward, recurrent, saving
from ..checkpoint import PathOrFile, name_of
from ..errors import ConfigurationError, FileError, naming
from ..layers.held import Held
from ..network import Network
from .forms import OldLayer, renew
from .networks import dtype_of, is_network, layers_of, old_layers, old_losses
from .pickles import array_of, read_pickle

#: The models, by the names that pickles have for them.
MODELS: Mapping[str, type[Network]] = {
    "feedforward.Autoencoder": feedforward.Autoencoder,
    "feedforward.Regressor": feedforward.Regressor,
    "feedforward.Classifier": feedforward.Classifier,
    "recurrent.Autoencoder": recurrent.Autoencoder,
    "recurrent.Predictor": recurrent.Autoencoder,
    "recurrent.Regressor": recurrent.Regressor,
    "recurrent.Classifier": recurrent.Classifier,
    "convolution.Regressor": convolution.Regressor,
    "convolution.Classifier": convolution.Classifier,
}


def load_original(
    source: PathOrFile,
    trust: bool = False,
    network: Network | None = None,
    version: str | None = None,
) -> Network:
    """Load a network that theanets 0.6, 0.7 or 0.8 wrote, for Theano.

    It predicts what it predicted there. Where those versions computed
    something else than the formulas that layers have here, for instance a
    backward layer whose outputs were in the order of its run, the layers of
    the result have the option that does the same.

    Parameters
    ----------
    source : path or binary file
        What ``net.save`` wrote there, a pickle, compressed or not; or a file
        of NumPy's ``savez`` with the parameters by their names, and if
        possible the ``version`` of theanets.
    trust : bool
        Whether a pickle is read. No code runs that it names, and nothing is
        imported for it: all but containers, numbers and arrays of them is
        taken for a plain record. Still, a file that was made to do harm can
        ask for much memory. Arrays need no trust.
    network : Network, optional
        For a file of parameters only: what the script makes here of the
        layers. It is left as it is.
    version : str, optional
        The version that wrote the file, ``'0.7.3'`` for instance. By default
        what the file says, or what its layers tell; where that does not show
        the activation of hidden layers that have none of their own, it is
        ``'relu'``, as since 0.7.

    Returns
    -------
    Network
        Of the class of the same name. Series are (batch, time, variables),
        which in theanets 0.6 were (time, batch, variables).

    Raises
    ------
    ConfigurationError
        If the file is a pickle, and ``trust`` is not given; or if it needs
        ``network`` or ``version``, or these have no meaning.
    FileError
        If there is no such file, or it is damaged or holds something else,
        or a layer that cannot be had here.

    Warns
    -----
    UserWarning
        If the network had losses of classes that are not defined here.
    """
    data, where = _read(source)
    if version is not None and version[:4] not in ("0.6", "0.6.", "0.7", "0.7.", "0.8", "0.8."):
        raise ConfigurationError(f"version={version!r} is not 0.6, 0.7 or 0.8, or one of these")
    if zipfile.is_zipfile(io.BytesIO(data)):
        return _from_arrays(_arrays(data, where), network, version, where)
    if not trust:
        raise ConfigurationError(
            f"{where}: no file of arrays; if it is a pickle of theanets, and you know who made it, "
            "trust=True reads it"
        )
    read = read_pickle(data, where)
    try:
        if isinstance(read, dict):
            named = {str(name): array_of(value) for name, value in read.items()}
            return _from_arrays(
                {k: v for k, v in named.items() if v is not None}, network, version, where
            )
        if not is_network(read):
            raise FileError("the pickle holds no network of theanets")
        late = None if version is None else version.startswith("0.8")
        layers = old_layers(read, late)
        model = MODELS.get(".".join(read.path.split(".")[-2:]), Network)
        losses, weighted, unknown = old_losses(read)
        net = _build(model, layers, {"losses": losses, "weighted": weighted}, where)
    except FileError as error:
        # Some say it themselves.
        if str(error).startswith(f"{where}: "):
            raise
        raise FileError(f"{where}: {error}") from error
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        # What a file says may be of any type.
        raise FileError(f"{where}: {error}") from error
    if unknown:
        warnings.warn(
            f"{where}: losses {', '.join(unknown)} are not defined here, and left out; add_loss "
            "adds others",
            stacklevel=2,
        )
    return net


def _read(source: PathOrFile) -> tuple[bytes, str]:
    where = name_of(source)
    if isinstance(source, (str, os.PathLike)):
        with naming(source), open(source, "rb") as handle:
            data = handle.read()
    elif hasattr(source, "read"):
        data = source.read()
    else:
        raise ConfigurationError(f"{source!r} is neither a path nor a file to read")
    if not isinstance(data, bytes):
        raise ConfigurationError(f"{where}: the file is open as text; open it with 'rb'")
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise FileError(f"{where}: the compressed file is damaged: {error}") from None
    return data, where


def _arrays(data: bytes, where: str) -> dict[str, Any]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(f"{where}: the arrays cannot be read: {error}") from error


def _from_arrays(
    arrays: dict[str, Any], network: Network | None, version: str | None, where: str
) -> Network:
    if not isinstance(network, Network):
        raise ConfigurationError(
            f"{where}: holds parameters only; network={network!r} has to be a network of the same "
            "layers, made here as it was there"
        )
    said = arrays.pop("version", None)
    version = version or (None if said is None else str(said))
    layers = layers_of(network, arrays, version or "0.8")
    if version is None and not _guess(layers, where):
        layers = layers_of(network, arrays, "0.7")
    known = {f"{layer.name}." for old in layers for layer in (old.halves or [old])}
    extra = [name for name in arrays if not any(name.startswith(k) for k in known)]
    if extra:
        raise FileError(f"{where}: the network has no parameter {', '.join(sorted(extra))}")
    keep = ("losses", "weighted", "mode")
    described = {k: v for k, v in network.to_spec().items() if k in keep}
    return _build(type(network), layers, described, where)


def _guess(layers: list[OldLayer], where: str) -> bool:
    """Tell whether arrays are of 0.8, by names that changed."""
    every = [half for layer in layers for half in (layer.halves or [layer])]
    for layer in every:
        if layer.form in ("gru", "scrn"):
            return "w" in layer.params
    slopes = {"prelu", "leaky-relu", "lgrelu", "leaky-gain-relu"}
    for layer in every:
        if layer.form == "clockwork" or str(layer.options.get("activation")).lower() in slopes:
            raise ConfigurationError(
                f"{where}: layer {layer.name!r} was not the same in all versions; version= has to "
                "say which one wrote the file, '0.7' or '0.8' for instance"
            )
    return True


def _build(
    model: type[Network], layers: list[OldLayer], described: dict[str, Any], where: str
) -> Network:
    dtype = dtype_of(layers)
    specs, arrays = [], {}
    for layer in layers:
        try:
            spec, values = renew(layer)
        except FileError as error:
            raise FileError(f"{where}: {error}") from None
        specs.append(spec)
        arrays.update(values)
    shapes = {name: np.shape(value) for name, value in arrays.items()}
    spec = {**described, "layers": specs, "seed": 0, "dtype": dtype}
    net = model.from_spec(spec, held=Held(shapes, where))
    saving.check_shapes(net, shapes, where)
    saving.set_arrays(net, arrays, where)
    return net


__all__ = ["load_original"]
