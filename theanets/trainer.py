"""The trainers of earlier versions: what ``algo=`` of ``train`` names, as objects.

Each is used in the place of a name, ``net.train(data, algo=SampleTrainer(net))``,
or by itself, ``SampleTrainer(net).itertrain(data)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from .errors import checked, deprecated
from .network import Network

__all__ = [
    "DownhillTrainer",
    "SampleTrainer",
    "SupervisedPretrainer",
    "UnsupervisedPretrainer",
]

Monitors = tuple[dict[str, float], dict[str, float]]


class _Trainer:
    """A network, and the keywords of `Network.train` that say how to train it."""

    def __init__(self, network: Network, **options: Any) -> None:
        named = ", ".join(f"{key}={value!r}" for key, value in options.items())
        deprecated(f"trainer.{type(self).__name__} is now network.train(data, {named})")
        self.network = network
        self._options = options

    def itertrain(self, train: Any, valid: Any = None, **kwargs: Any) -> Iterator[Monitors]:
        """Train, epoch by epoch; see `theanets.Network.itertrain`."""
        return self.network.itertrain(train, valid, **self._options, **kwargs)


class DownhillTrainer(_Trainer):
    """Trains a network by an optimizer.

    Parameters
    ----------
    algo : str or Optimizer
        See `theanets.optimizers`.
    network : Network
        The network.
    """

    def __init__(self, algo: Any, network: Network) -> None:
        super().__init__(network, algo=algo)


class SampleTrainer(_Trainer):
    """Gives a network samples of the data as weights; see `theanets.pretraining.sampling`.

    Parameters
    ----------
    network : Network
        The network.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network, algo="sample")


class _Pretrainer(_Trainer):
    method: ClassVar[str]

    @checked
    def __init__(self, algo: Any, network: Network) -> None:
        super().__init__(network, algo=self.method, subalgo=algo)


class SupervisedPretrainer(_Pretrainer):
    """Trains a network layer by layer; see `theanets.pretraining`.

    Parameters
    ----------
    algo : str or Optimizer
        What trains each stage.
    network : Network
        The network.
    """

    method = "layerwise"


class UnsupervisedPretrainer(_Pretrainer):
    """Trains the hidden layers of a network as an autoencoder; see `theanets.pretraining`.

    Parameters
    ----------
    algo : str or Optimizer
        What trains each stage.
    network : Network
        The network.
    """

    method = "pretrain"
