"""Devices of JAX: their names, and which ones compute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

#: The axis of `mesh`, along which the rows of a batch lie.
ROWS = "rows"

_several: ContextVar[tuple[Any, ...]] = ContextVar("devices", default=())


def name(device: Any) -> str:
    """Get what users call a device: ``'cuda:1'``."""
    version = str(getattr(device.client, "platform_version", "")).lower()
    kinds = [kind for kind in ("cuda", "rocm") if kind in version]
    return f"{kinds[0] if kinds and device.platform == 'gpu' else device.platform}:{device.id}"


def known() -> dict[str, Any]:
    """Get all devices of this process by their names, the first one of JAX's choice."""
    found = [*jax.local_devices(), *jax.local_devices(backend="cpu")]
    return {name(device): device for device in found}


@contextmanager
def on(devices: Sequence[Any]) -> Iterator[None]:
    """Have some devices compute: the first one, or all of them what can be divided."""
    token = _several.set(tuple(devices) if len(devices) > 1 else ())
    try:
        with jax.default_device(devices[0]):
            yield
    finally:
        _several.reset(token)


def current() -> Any:
    """Get the device that JAX computes on now."""
    chosen = jax.config.jax_default_device
    if chosen is None or isinstance(chosen, str):
        return jax.local_devices(backend=chosen)[0]
    return chosen


def mesh() -> Mesh | None:
    """Get the devices that batches are divided between now, if there are several."""
    several = _several.get()
    return Mesh(list(several), (ROWS,)) if several else None


def put(array: Any) -> jax.Array:
    """Put an array on the device, or on each of several."""
    several = mesh()
    return jax.device_put(array, None if several is None else sharding(several))


def divided(arrays: Sequence[Any]) -> Sequence[Any]:
    """Divide the rows of a batch between several devices, if there are and it can be."""
    several = mesh()
    if several is None:
        return arrays
    even = all(array.ndim and len(array) % several.size == 0 for array in arrays)
    return jax.device_put(arrays, sharding(several, *([ROWS] if even else [])))


def sharding(found: Mesh, *axes: str | None) -> NamedSharding:
    """Get how an array lies on several devices: by default all of it on each."""
    return NamedSharding(found, PartitionSpec(*axes))
