"""Draws of parameters as what ArviZ works on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..network import Network
from . import priors as _priors

Array = npt.NDArray[Any]


def tree(dataset: xr.Dataset, net: Network) -> Any:
    """Put draws into what ArviZ works on, with the coordinates of the parameters."""
    coords = {dim: v for p in net.params for dim, v in _priors.coords_of(p).items()}
    coords = {dim: v for dim, v in coords.items() if dim in dataset.dims}
    return xr.DataTree.from_dict({"posterior": dataset.assign_coords(coords)})


def inference_data(draws: Mapping[str, Array], net: Network) -> Any:
    """Put draws of parameters and spreads into what ArviZ works on.

    Parameters
    ----------
    draws : dict of ndarray
        Chains, draws, and the shape of the parameter.
    net : Network
        The network that they are of.
    """
    dims = {str(p.name): list(_priors.dims_of(p)) for p in net.params}
    variables = {
        name: (["chain", "draw", *dims.get(name, [])], value) for name, value in draws.items()
    }
    made = xr.Dataset(variables).assign_coords(
        chain=np.arange(next(iter(draws.values())).shape[0]),
        draw=np.arange(next(iter(draws.values())).shape[1]),
    )
    return tree(made, net)
