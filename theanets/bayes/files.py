"""Files of posteriors: the draws and the network, without pickle."""

from __future__ import annotations

import json
import tempfile
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
        "format": "theanets.bayes 1",
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
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {})["theanets"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about["format"] != "theanets.bayes 1":
            raise KeyError(about["format"])
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
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise FileError(f"{path} is no file of a posterior: {error}") from error
    return found
