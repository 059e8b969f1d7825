"""The network: what one does with layers and losses."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

import numpy.typing as npt

from . import export as _export
from . import prediction, predictor, process, saving
from .errors import hint
from .structure import Structure

if TYPE_CHECKING:
    from . import drawing, profiling, runs
    from .training import Run, measuring
    from .training.keywords import TrainKeywords
else:  # who only predicts has no use for them
    drawing, profiling = process.Later("theanets.drawing"), process.Later("theanets.profiling")
    runs, measuring = process.Later("theanets.runs"), process.Later("theanets.training.measuring")

Array = npt.NDArray[Any]
Monitors = dict[str, float]


@saving.register
class Network(Structure):
    """A network of layers with a list of weighted losses.

    Use `Regressor`, `Classifier` or `Autoencoder`, which know their usual
    losses and targets, or this class for anything else.

    Parameters
    ----------
    layers : sequence
        Specifications of the layers, from input to output: an int (a size), a
        tuple such as ``(100, 'tanh')``, the name of a form such as
        ``'flat'``, a dict, a `Layer` instance or a `Layer` class.
    loss : str, dict, Loss, callable or None
        The first loss; see `Loss.build`. None for no loss yet; ``'auto'``, by
        default, for what networks of the kind are trained with, ``'mse'``, and
        those of `Classifier` ``'xe'`` or ``'crf'``.
    weighted : bool
        Whether the data hold an array of weights for the target, see `Loss`.
    rng : int, Generator, RandomState or None
        The seed that governs everything random in this network. By default
        a fresh one, see `theanets.set_seed`; it is kept in ``seed``, and in
        files.
    dtype : {'float32', 'float64', 'floatX'}
        Type of parameters and computations; ``'floatX'`` is PyTensor's.
    mode : str or Mode, optional
        How functions are compiled: ``'NUMBA'``, ``'CVM'``, ``'JAX'``,
        ``'PYTORCH'``, ``'FAST_COMPILE'``. By default PyTensor's
        configuration, ``pytensor.config.mode``.

    Attributes
    ----------
    losses : list of Loss
        What training minimizes the weighted sum of. Weights may be changed at
        any time: ``net.losses[1].weight = 2``.
    history : History
        The history of the last call of `train`.
    metadata : dict
        Anything of yours that JSON can hold, such as names of classes; files have it.

    Raises
    ------
    ConfigurationError
        If a specification has no meaning, or layers do not fit each other.
    """

    #: Whether `score` takes what losses call decisions for such.
    _decides: ClassVar[bool] = True
    _current: weakref.ref[Run] | None = None

    # ---- saving --------------------------------------------------------------------

    to_spec = saving.to_spec
    from_spec: ClassVar[Any] = classmethod(saving.from_spec)
    save = saving.save
    export, to_torch_state = _export.export, _export.to_torch_state
    load: ClassVar[Any] = saving.Load()
    load_params = saving.load_params
    astype = saving.astype
    _load: ClassVar[Any] = classmethod(saving.load)
    __getstate__ = saving.state
    __setstate__ = saving.set_state
    __reduce_ex__ = saving.reduced
    __copy__ = saving.copied
    __deepcopy__ = saving.deep_copied

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        saving.register(cls)

    if not TYPE_CHECKING:  # for a type checker, every name would exist

        def __getattr__(self, name: str) -> Any:
            valid = [known for known in dir(type(self)) if known[0] != "_"]
            found = "" if name.startswith("_") else hint(name, [*valid, *vars(self)])
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{found}")

    # ---- training ------------------------------------------------------------------

    def itertrain(
        self, train: Any, valid: Any = None, algo: Any = None, **kwargs: Unpack[TrainKeywords]
    ) -> Iterator[tuple[Monitors, Monitors]]:
        """Train, epoch by epoch.

        Takes what `train` takes. However the iteration ends, by itself, by a ``break``, an
        interruption or an error, the network then has the best parameters that were validated.

        Yields
        ------
        (train, valid) : dicts
            Monitors of the epoch's batches, and of the last validation.
        """
        several = runs.begin(self, train, valid, algo, dict(kwargs))
        while (run := runs.alone(self, next, several, None)) is not None:
            yield from run.iterate()
            if run.stop_reason == "interrupted":
                break

    def train(
        self, train: Any, valid: Any = None, algo: Any = None, **kwargs: Unpack[TrainKeywords]
    ) -> tuple[Monitors, Monitors]:
        """Train until validation no longer improves, or a limit is reached.

        Parameters
        ----------
        train : list, tuple, dict, array, callable or iterable
            Arrays in the order of `~Structure.variables`, or by name, or one array if
            one is needed; or a callable that returns a batch, or an iterable
            of batches. See `theanets.data.Dataset`.
        valid : optional
            Data to validate on, like ``train``. By default arrays to train on
            are validated on too.
        algo : str, Optimizer, trainer, or list of these
            How to train, see `theanets.optimizers`; ``'adam'`` by default.
            ``'layerwise'``, ``'pretrain'`` and ``'sample'`` give a network
            better weights to start from, see `theanets.pretraining`. A
            trainer is an object whose method ``itertrain(train, valid,
            **kwargs)`` yields pairs of monitors. Several are used one after
            the other, each with the keywords that it knows.
        subalgo : str or Optimizer
            What trains each stage of ``'layerwise'`` and ``'pretrain'``;
            ``'adam'`` by default. Limits hold for each stage.
        epochs, max_updates, max_seconds : optional
            Limits of passes, updates and time.
        patience, min_improvement, validate_every : optional
            When to validate, and when to give up; see
            `theanets.training.limits.Limits`.
        criterion : str or pair
            Which monitor of the validation decides about the best parameters,
            patience, and schedules that wait for a plateau. ``'loss'``, by
            default, has no penalties; ``'objective'`` is the loss with them.
            Any other that is measured, such as ``'acc'``; of one that may be
            better either way, ``('hid1<0.1', 'max')`` says which.
        batch_size, train_batches, valid_batches : int, optional
            Examples in a batch, 32 by default; batches in an epoch and in a validation.
        validation_split : float, optional
            The part of the examples that is held back to validate on, in
            (0, 1), where the data are arrays and ``valid`` is not given. They
            are drawn at random, by the network's seed, so that each call
            holds back the same ones; where ``rng`` is given, by that.
        axis : int
            The axis of the arrays that has the examples.
        prefetch : int
            How many batches a thread prepares ahead, 0 by default: for data
            that one waits for. The batches are the same, but they are read in
            that thread.
        buckets : bool
            Whether batches have series of similar length, where data are lists
            of series (of recurrent models), which saves work: by default True.
            Each epoch has other batches. Batches are no longer than the longest
            series in them in any case.
        metrics : str, dict or list, optional
            Figures of agreement to measure, as for `evaluate`; in the history
            as ``'train_f1'`` and ``'valid_f1'``. Those of training are of
            the batches as they were, with noise. (L-BFGS has only those of
            the validation.)
        monitors : dict or list, optional
            Further things to watch, see `theanets.monitors.custom`.
        monitor_gradients : bool
            Whether to watch the norm of each parameter's gradient.
        freeze : str or list of str, optional
            Layers or parameters that stay as they are, by name or pattern: ``'hid1'``,
            ``['hid*.w', 'hid2.b']``. So do the running means of such a ``batch_norm``.
        average : str, dict or Average, optional
            ``'ema'`` or ``'swa'``: averages of the parameters, that are validated and kept in
            their place; see `theanets.training.averaging`.
        callbacks : Callback, callable, or list of these
            See `theanets.Callback`; a function runs after each epoch.
        progress : bool or 'auto'
            Whether to show progress; by default if a person watches.
        checkpoint : path, optional
            Where the state of the run is kept. If the file exists the run continues from it, bit
            for bit; a run that was finished does nothing, unless its limits were raised. A network
            made without a seed gets that of the file. Several algorithms have a file each,
            ``'run.1.ckpt'``, ``'run.2.ckpt'`` for ``'run.ckpt'``; for these give the network a
            seed, if it is to be bit for bit. A file is one run's at a time. Where the data are
            callables or iterators, what they give after that is up to the caller.
        checkpoint_every : int
            Epochs between writing it.
        save_progress : path or file, optional
            Where the network is saved when training ends, with its best parameters. ``{}`` in a
            path stands for the time of saving, in seconds since 1970, so that each time has a file
            of its own. A file object is rewound and truncated first.
        save_every : int or float
            Also save, as it is then, every so many epochs (int) or minutes
            (float); 0 is never.
        mode : str or Mode, optional
            How to compile; by default as the network says.
        device : str or list of str, optional
            Where to compute, with JAX or PyTorch: one of `theanets.devices`. JAX divides
            the batches of arrays between several. The network is not bound to it.
        rng : int, Generator or RandomState, optional
            Seed of this run; by default a child of the network's.
        **kwargs
            Hyper-parameters of the algorithm (``learning_rate``, ``momentum``, ...), see
            `theanets.optimizers`; regularizers (``weight_l2``, ``hidden_dropout``, ...), see
            `theanets.regularizers.from_kwargs`.

        Returns
        -------
        (train, valid) : dicts
            Clean monitors of the parameters that the network now has. (Where
            ``train`` is not arrays, those of its batches in the best epoch,
            with noise and penalties, or of the first batch if the initial
            parameters stay the best; and so for ``valid`` if it is not given.)

        Raises
        ------
        ConfigurationError
            If an argument is unknown or has a value without meaning.
        DataError
            If the data do not have the form that the network needs, or none counts.
        """
        several = runs.begin(self, train, valid, algo, dict(kwargs))
        return runs.alone(self, runs.finish, several)

    def _ready(self, *data: Any) -> tuple[Any, ...]:
        """Get the network that takes some data, which shares all with this one, and the data."""
        return (self, *data)

    def profile(self, data: Any, algo: Any = "adam", **kwargs: Any) -> profiling.Profile:
        """Find out where the time of a training step goes.

        Each operation of the compiled step is compiled by itself and timed on
        a batch, which takes a few seconds the first time. So the parts only
        add up to about a step, and for small networks to more than that, see
        `theanets.profiling.Profile`; what they tell is the shares. The
        network is left as it was.

        Parameters
        ----------
        data : optional
            Data to train on, as for `train`.
        algo : str or Optimizer
            An algorithm of gradients.
        repeats : int
            How often each operation is run, 20 by default; the least time counts.
        **kwargs
            As for `train`: ``batch_size``, ``mode``, regularizers, and so on.

        Returns
        -------
        theanets.profiling.Profile
            Prints as tables of times, by phase (forward, backward, update),
            by layer, and by kind of operation.

        Raises
        ------
        ConfigurationError
            If an argument is unknown, or the algorithm has no steps.
        """
        net, data = self._ready(data)
        return profiling.profile(net, data, algo, **kwargs)

    def evaluate(self, data: Any, **kwargs: Any) -> Monitors:
        """Evaluate the network on data, without noise.

        Parameters
        ----------
        data : list, tuple, dict, array, callable or iterable
            As for `train`.
        batch_size : int
            Examples that are computed at once.
        batches : int, optional
            How many batches; by default all.
        prefetch : int
            As for `train`.
        metrics : str, dict or list, optional
            Figures of agreement, see `theanets.metrics`: names such as
            ``'f1'``, ``'f1_micro'``, ``'top_5'``, ``'auc'``, ``'r2'``, dicts
            with options, or instances. Each is of every output for which it
            has a meaning, and called ``'f1'`` for the network's output, else
            ``'f1:<layer>'``. A dict says which are of which output.
        monitors : dict or list, optional
            Further things to watch, see `theanets.monitors.custom`.
        mode : str or Mode, optional
            How to compile; by default as the network says.
        **kwargs
            Penalties to add to the loss, ``weight_l2=0.1``; noise to put in.

        Returns
        -------
        dict
            ``loss``, the total; ``err``, the losses without penalties; then
            each loss and penalty by name, ``acc`` where targets are labels or
            decisions, monitors and metrics.
        """
        net, data = self._ready(data)
        return measuring.evaluate(net, data, **kwargs)

    # ---- prediction ----------------------------------------------------------------

    def feed_forward(self, x: Any, **kwargs: Any) -> dict[str, Array]:
        """Compute all outputs.

        Parameters
        ----------
        x : array_like, list or dict
            Inputs: one array, or several in order or by name of the layers.
        **kwargs
            ``batch_size`` (4096 rows are computed at once by default),
            ``mode``, and noise, for instance ``hidden_dropout=0.5``: see
            `theanets.regularizers.from_kwargs`. It is new in each call;
            ``rng`` (an int or Generator) starts it anew. ``training=True`` takes layers as they
            are in training: ``dropout`` is on, ``batch_norm`` by the rows computed at once.

        Returns
        -------
        dict of str to ndarray
            By full name, ``'hid1:out'``, with a row for each of ``x``; where there is noise,
            what it was added to as ``'hid1:out-prenoise'`` or ``'hid1:out-predrop'``.

        Raises
        ------
        DataError
            If ``x`` does not have the form that the network needs.
        ConfigurationError
            If a keyword is unknown or has a value without meaning.
        """
        return self._outputs(x, None, kwargs)

    def predict(self, x: Any, **kwargs: Any) -> Array:
        """Compute the network's output, `output_name`, as `feed_forward` does."""
        snapshot = self.snapshot()
        return self._compute(x, snapshot.output_name, kwargs, snapshot=snapshot)

    predictor = predictor.make
    _outputs, _compute = prediction.compute, prediction.compute_one

    def score(self, x: Any, y: Any, w: Any = None, **kwargs: Any) -> float:
        r"""Get the coefficient of determination, R squared; of decisions, the share that is right.

        Decisions, yes or no, are what losses such as ``bce`` and binary
        ``hinge`` are about; those of an autoencoder are values all the same.
        R squared of quantiles is that of the median.

        Parameters
        ----------
        x : array_like, list or dict
            Inputs.
        y : array_like
            Targets.
        w : array_like, optional
            Weights of the targets' entries, or of examples.
        **kwargs
            See `feed_forward`.

        Returns
        -------
        float
            :math:`1 - \sum w (y - \hat y)^2 / \sum w (y - \bar y)^2` for each
            output variable, averaged over those that are not constant. At
            most 1; 0 is what predicting the mean gives. Of decisions it is
            what `evaluate` calls ``acc``.

        Raises
        ------
        DataError
            If ``x``, ``y`` or ``w`` do not have the form that the network
            needs, a weight is negative or all are 0, or ``y`` is values that
            are constant.
        ConfigurationError
            If it predicts several quantiles, and none of them is the median.
        """
        return prediction.score(self, self.predict(x, **kwargs).astype(float), y, w)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{layer.name} {layer.output_shape}" for layer in self.layers)
        losses = " + ".join(loss.log() for loss in self.losses)
        return f"<{type(self).__name__} [{sizes}] {losses}>"

    def _repr_html_(self) -> str:
        return drawing.network_html(self)
