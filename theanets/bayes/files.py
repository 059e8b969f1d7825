"""Files of posteriors: all groups of their draws and the network, without pickle."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
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

#: What is written, and its version; a file of a later one is refused. The first has draws alone.
FORMAT, VERSION = "theanets.bayes", 2


def write(posterior: Posterior, path: Any) -> None:
    """Write the file of a posterior; see `Posterior.save`."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "network"
        posterior.net.save(own)
        arrays = {"network": np.frombuffer(own.read_bytes(), np.uint8)}
    groups = {}
    for node in posterior.idata.subtree:
        group = node.path.strip("/")
        if group or node.variables or node.attrs:
            groups[group] = _described(node.to_dataset(inherit=False), group, arrays)
    about = {
        "format": f"{FORMAT} {VERSION}",
        "method": posterior.method,
        "noise": posterior.noise,
        "kinds": posterior._kinds,
        "linear": posterior._linear,
        "spreads": posterior._spreads,
        "groups": groups,
    }
    atomic.write(path, serialize(arrays, {"theanets": json.dumps(about)}))


def _described(dataset: xr.Dataset, group: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """Describe a group, and add its arrays; what is no number stands in the description."""
    found: dict[str, Any] = {"attrs": _plain(dataset.attrs), "variables": {}}
    for name, variable in dataset.variables.items():
        values = variable.values
        about = {"dims": list(variable.dims), "coordinate": name in dataset.coords}
        if values.dtype.kind in "biuf":
            arrays[f"{group}/{name}"] = np.asarray(values, order="C")
        elif values.dtype.kind in "OUmM" and all(map(_is_text, _flat(values))):
            about |= {"values": _flat(values), "shape": list(values.shape)}
            about["dtype"] = values.dtype.str if values.dtype.kind != "O" else "object"
        else:
            raise FileError(
                f"{name!r} of the group {group!r} of idata has dtype {values.dtype}, which no file "
                f"without pickle holds; remove it first: del posterior.idata[{group!r}][{name!r}]"
            )
        found["variables"][str(name)] = about
    return found


def _flat(values: Any) -> list[Any]:
    kind = values.dtype.kind
    return list((values.astype("int64") if kind in "mM" else values).ravel().tolist())


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool, int, float))


def _plain(value: Any) -> Any:
    """Get what JSON holds of attributes; of all else what it is printed as."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    return value if _is_text(value) else str(value)


def read(cls: type[Posterior], path: Any) -> Posterior:
    """Read the file of a posterior; see `Posterior.load`."""
    with _checked(path):
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {})["theanets"])
            _refuse_others(about, path)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        kind, _, number = about["format"].rpartition(" ")
        if kind != FORMAT:
            raise KeyError(about["format"])
        version = int(number)
    if version > VERSION:
        raise FileError(
            f"{path}: written by a later version of theanets (format {version} of posteriors; "
            f"this one reads up to {VERSION})"
        )
    with _checked(path):
        with tempfile.TemporaryDirectory() as folder:
            own = Path(folder) / "network"
            own.write_bytes(arrays.pop("network").tobytes())
            net = Network.load(own)
        idata = _tree(about, arrays) if version > 1 else _earlier(about, arrays, net)
        found = cls(net, idata, (), about["method"], about["noise"])
        found._linear = bool(about["linear"])
        found._spreads = list(about["spreads"])
        found._kinds = [(str(name), bool(known)) for name, known in about["kinds"]]
    return found


def _refuse_others(about: Mapping[str, Any], path: Any) -> None:
    """Refuse a file of ours that is of something else."""
    if "kind" in about:
        raise FileError(
            f"{path} is a file of a {about['kind']}, and none of a posterior, which Posterior.save "
            "writes; theanets.Network.load reads that of a network"
        )


@contextlib.contextmanager
def _checked(path: Any) -> Iterator[None]:
    """Say of any error of what is read that the file is none of a posterior."""
    try:
        yield
    except FileError:
        raise
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise FileError(f"{path} is no file of a posterior: {error}") from error


def _tree(about: Mapping[str, Any], arrays: Mapping[str, Any]) -> Any:
    groups = {}
    for group, described in about["groups"].items():
        values: dict[str, Any] = {}
        coords: dict[str, Any] = {}
        for name, one in described["variables"].items():
            if "values" in one:
                array = np.empty(len(one["values"]), object)
                array[:] = one["values"]
                kind = np.dtype(one["dtype"])
                array = array.astype("int64") if kind.kind in "mM" else array
                array = array.astype(kind).reshape(one["shape"])
            else:
                array = arrays[f"{group}/{name}"]
            (coords if one["coordinate"] else values)[name] = (one["dims"], array)
        groups[f"/{group}"] = xr.Dataset(values, coords, described["attrs"])
    return xr.DataTree.from_dict(groups)


def _earlier(about: Mapping[str, Any], arrays: Mapping[str, Any], net: Network) -> Any:
    draws = {name.removeprefix("draws/"): value for name, value in arrays.items()}
    values = {name: (about["dims"][name], value) for name, value in draws.items()}
    found = tree(xr.Dataset(values), net)
    found["posterior"].attrs.update(about.get("attrs", {}))
    return found
