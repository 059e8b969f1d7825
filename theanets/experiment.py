"""The experiment of earlier versions: a network, and what is done with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from .checkpoint import PathOrFile
from .errors import ConfigurationError, renamed
from .network import Network


class Experiment:
    """A network that is made, loaded, trained and saved, as in earlier versions.

    There is nothing in it that a network cannot do by itself.

    Parameters
    ----------
    network : Network, callable or path
        A network; a subclass of `Network` or a function that returns a
        network, which is called with the other arguments; or the path of a
        file that `Network.save` wrote.
    *args, **kwargs
        Of the callable; nothing else takes any.

    Attributes
    ----------
    network : Network
        The network.

    Raises
    ------
    ConfigurationError
        If ``network`` is none of these.
    FileError
        If there is no such file.
    """

    def __init__(self, network: Any, *args: Any, **kwargs: Any) -> None:
        self.network: Network
        if callable(network) and not isinstance(network, Network):
            self.network = network(*args, **kwargs)
            if not isinstance(self.network, Network):
                raise ConfigurationError(
                    f"network={network!r} returned {self.network!r}, which is not a network"
                )
            return
        if not isinstance(network, (Network, str, os.PathLike)):
            raise ConfigurationError(
                f"network={network!r} is not a network, something that returns one, or a path"
            )
        if args or kwargs:
            given = ", ".join([*map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())])
            raise ConfigurationError(
                f"network={network!r} is there already; only a callable takes arguments, got "
                f"{given}"
            )
        self.network = network if isinstance(network, Network) else Network.load(network)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train the network; see `Network.train`."""
        return self.network.train(*args, **kwargs)

    def itertrain(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Train the network epoch by epoch; see `Network.itertrain`."""
        return self.network.itertrain(*args, **kwargs)

    @renamed(path="target")
    def save(self, target: PathOrFile) -> None:
        """Save the network; see `Network.save`."""
        self.network.save(target)

    @renamed(path="source")
    def load(self, source: PathOrFile) -> Network:
        """Replace the network by the one in a file, and return it; see `Network.load`."""
        self.network = Network.load(source)
        return self.network
