"""The experiment of earlier versions: a network, and what is done with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from .checkpoint import PathOrFile
from .errors import ConfigurationError
from .network import Network


class Experiment:
    """A network that is made, loaded, trained and saved, as in earlier versions.

    There is nothing in it that a network cannot do by itself.

    Parameters
    ----------
    network : Network, class or path
        A network; a subclass of `Network`, which is called with the other
        arguments; or the path of a file that `Network.save` wrote.
    *args, **kwargs
        Of the class; nothing else takes any.

    Attributes
    ----------
    network : Network
        The network.

    Raises
    ------
    ConfigurationError
        If ``network`` is none of these.
    FileNotFoundError
        If there is no such file.
    """

    def __init__(self, network: Any, *args: Any, **kwargs: Any) -> None:
        self.network: Network
        if isinstance(network, type) and issubclass(network, Network):
            self.network = network(*args, **kwargs)
            return
        if not isinstance(network, (Network, str, os.PathLike)):
            raise ConfigurationError(
                f"network={network!r} is not a network, a class of networks, or a path"
            )
        if args or kwargs:
            given = ", ".join([*map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())])
            raise ConfigurationError(
                f"network={network!r} is there already; only a class takes arguments, got {given}"
            )
        self.network = network if isinstance(network, Network) else Network.load(network)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train the network; see `Network.train`."""
        return self.network.train(*args, **kwargs)

    def itertrain(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Train the network epoch by epoch; see `Network.itertrain`."""
        return self.network.itertrain(*args, **kwargs)

    def save(self, target: PathOrFile) -> None:
        """Save the network; see `Network.save`."""
        self.network.save(target)

    def load(self, source: PathOrFile) -> Network:
        """Replace the network by the one in a file, and return it; see `Network.load`."""
        self.network = Network.load(source)
        return self.network
