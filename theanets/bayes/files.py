"""Files of posteriors: the draws and the network, without pickle."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from .. import atomic
from ..errors import FileError
from ..network import Network
from .draws import tree

if TYPE_CHECKING:
    from .posterior import Posterior

#: What is written, and its version; a file of a later one is refused.
FORMAT, VERSION = "theanets.bayes", 1
#: What Laplace's method says of all draws.
ATTRIBUTES = ("log_evidence", "precision")


def write(posterior: Posterior, path: Any) -> None:
    """Write the file of a posterior; see `Posterior.save`."""
    draws = posterior.idata["posterior"]
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "network"
        posterior.net.save(own)
        network = np.frombuffer(own.read_bytes(), np.uint8)
    arrays = {f"draws/{name}": np.ascontiguousarray(draws[name].values) for name in draws}
    about = {
        "format": f"{FORMAT} {VERSION}",
        "method": posterior.method,
        "noise": posterior.noise,
        "kinds": posterior._kinds,
        "linear": posterior._linear,
        "spreads": posterior._spreads,
        "attrs": {key: draws.attrs[key] for key in ATTRIBUTES if key in draws.attrs},
        "dims": {str(name): list(draws[name].dims) for name in draws},
    }
    content = serialize({**arrays, "network": network}, {"theanets": json.dumps(about)})
    atomic.write(path, content)


def read(cls: type[Posterior], path: Any) -> Posterior:
    """Read the file of a posterior; see `Posterior.load`."""
    with _checked(path):
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {})["theanets"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        kind, _, version = about["format"].rpartition(" ")
        if kind != FORMAT:
            raise KeyError(about["format"])
        later = int(version) > VERSION
    if later:
        raise FileError(
            f"{path}: written by a later version of theanets (format {version} of posteriors; "
            f"this one reads up to {VERSION})"
        )
    with _checked(path):
        with tempfile.TemporaryDirectory() as folder:
            own = Path(folder) / "network"
            own.write_bytes(arrays.pop("network").tobytes())
            net = Network.load(own)
        draws = {name.removeprefix("draws/"): value for name, value in arrays.items()}
        values = {name: (about["dims"][name], value) for name, value in draws.items()}
        found = cls(net, tree(xr.Dataset(values), net), (), about["method"], about["noise"])
        found.idata["posterior"].attrs.update(about.get("attrs", {}))
        found._linear = bool(about["linear"])
        found._spreads = list(about["spreads"])
        found._kinds = [(str(name), bool(known)) for name, known in about["kinds"]]
    return found


@contextlib.contextmanager
def _checked(path: Any) -> Iterator[None]:
    """Say of any error of what is read that the file is none of a posterior."""
    try:
        yield
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise FileError(f"{path} is no file of a posterior: {error}") from error
