"""Sampling: a run of training that sets weights to examples of the data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytensor.compile.mode import Mode

from .. import rng as _rng
from ..data import Dataset, sparse
from ..errors import ConfigurationError
from ..structure import Structure
from ..training import Run, options, setup
from ..training.engines import Epoch, Pacing, UnresumableEngine
from ..training.evaluation import Evaluation
from ..training.task import Seeds, Task
from .samples import draw, set_weights, units

#: Examples that are drawn from the data, at least; weights are taken from these.
POOL = 1024

#: Keywords of ``train`` for ``algo='sample'``. A file of a checkpoint is for other
#: algorithms: the same seed gives the same samples.
KEYWORDS = (
    *options.LIMITS,
    *options.DATA,
    *("callbacks", "progress", "save_progress", "save_every", "monitors", "mode", "rng"),
    *("checkpoint", "checkpoint_every", "freeze"),
)


def make_run(
    net: Structure,
    train: Any,
    valid: Any = None,
    *,
    run_number: int = 0,
    network: Any = None,
    **kwargs: Any,
) -> Run:
    """Make a run that sets the weights of a network to samples of the data.

    Layer by layer, in order: as many examples as a layer has units are drawn
    from the data. What the layer gets for each of these, scaled to length 1,
    is what the unit multiplies its inputs by: a column of ``w``. For a
    convolution it is what a filter sees at a random position. For inputs of
    more axes, series for instance, it is one random step of each example.

    In an output layer each row of ``w`` is the target of an example, scaled to
    length 1; labels count as vectors with a 1 at the label. If the layer before
    has its weights from examples, these are the ones.

    Examples that are all zero, and targets of weight 0, are left out. If there
    are too few, they are taken again with noise of their standard deviation.
    Biases and all other parameters stay as they are.

    Parameters
    ----------
    net : Structure
        The network.
    train, valid, **kwargs
        See `theanets.Network.train`, and `KEYWORDS`.
    run_number : int
        How many runs there were before; each has its own random streams.
    network : Structure, optional
        The network of the user's, see `theanets.training.setup.make_run`.

    Returns
    -------
    Run
        Of one epoch, which counts as one update.

    Raises
    ------
    ConfigurationError
        If a layer has weights of another kind, or is to be frozen.
    DataError
        If the data do not have the form that the network needs.
    """
    _check(net)
    if kwargs.get("freeze"):
        raise ConfigurationError(
            f"algo='sample' sets the weights of all layers, so freeze={kwargs['freeze']!r} is not "
            "for it; call train() for it alone, and again with freeze="
        )
    given = options.TrainOptions.parse({**kwargs, "freeze": None}, KEYWORDS, net.mode)
    # It is checked, and has no other use.
    loop = replace(given.loop, checkpoint=None)
    network = net if network is None else network
    task = Task.of(net, given)
    seeds = Seeds.of(network, run_number, loop)
    data = setup.datasets(net, train, valid, given, seeds, shuffle=False)
    validation = setup.validation(task, [])
    return Run(
        SampleEngine(net, validation, data.train, seeds.run, task.mode),
        [*net.params, *net.state],
        given.limits,
        evaluation=validation,
        data=data,
        callbacks=setup.callbacks(net, network, data.train, given.loop),
        network=network,
        # What comes out counts even if the loss was less before.
        initial=False,
    )


class SampleEngine(UnresumableEngine):
    """Sets the weights of a network, in one epoch.

    Parameters
    ----------
    net : Structure
        The network.
    evaluation : Evaluation
        Measures what came out.
    data : Dataset
        Batches to draw examples from.
    seed : int
        Seed of the choice.
    mode : str or Mode
        How to compile.
    """

    def __init__(
        self,
        net: Structure,
        evaluation: Evaluation,
        data: Dataset,
        seed: int,
        mode: Mode | str | None,
    ) -> None:
        self.net = net
        self.evaluation = evaluation
        self.data = data
        self.seed = seed
        self.mode = mode
        self.partial = Epoch(0, {})

    def epoch(self, epoch: int, update: int, limit: float, pacing: Pacing | None) -> Epoch:
        """Set all weights."""
        self.partial = Epoch(0, {})
        size = max(POOL, *(4 * units(layer) for layer in self.net.layers), 1)
        pool = draw(self.data, size, _rng.generator(self.seed, "sample"))
        set_weights(self.net, pool, self.seed, self.mode)
        fields = self.net.fields
        batch = sparse.flat(fields, [pool[field.name] for field in fields])
        monitors = self.evaluation.run([(batch, 0)])
        self.partial = Epoch(1, monitors, converged=True)
        if pacing is not None:
            pacing(update + 1)
        return self.partial


def _check(net: Structure) -> None:
    """Refuse layers with weights of a kind that samples are no use for."""
    found = False
    for layer in net.layers:
        sampled = units(layer) > 0
        found = found or sampled
        if not sampled and any(p.ndim > 1 for p in layer.params):
            raise ConfigurationError(
                f"algo='sample': layer {layer.name!r} is a {type(layer).__name__.lower()} layer; "
                "only the weights of feedforward and convolution layers can be samples of the data"
            )
    if not found:
        raise ConfigurationError(
            "algo='sample': the network has no feedforward or convolution layer; layers: "
            f"{', '.join(str(layer.name) for layer in net.layers)}"
        )
