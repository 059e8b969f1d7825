"""What the estimators have in common: their parameters, and how they train and compute."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pytensor
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .. import rng as _rng
from ..callbacks import Callback
from ..data.tables import in_memory, refuse_dask
from ..errors import ConfigurationError, is_integer
from ..network import Network
from ..options import Number
from .exporting import export as _export

Array = npt.NDArray[Any]

#: What estimators take: arrays, tables and sparse matrices.
Examples: TypeAlias = npt.ArrayLike | sp.spmatrix | sp.sparray

#: Parameters that ``train`` takes under the same name.
_TRAIN = ("algo", "epochs", "patience", "min_improvement")
#: Those that it takes unless they are None or 0.
_OPTIONAL = (
    "learning_rate",
    "batch_size",
    "weight_l1",
    "weight_l2",
    "input_noise",
    "hidden_noise",
    "input_dropout",
    "hidden_dropout",
    "callbacks",
)


@dataclass(eq=False, repr=False)
class NetEstimator(BaseEstimator):
    """Base class of the estimators; see `NetClassifier` for the parameters."""

    hidden_layers: Any = (100,)
    _: KW_ONLY
    activation: Any = "relu"
    loss: Any = None
    algo: Any = "adam"
    learning_rate: Any = None
    batch_size: Any = 32
    epochs: Any = 200
    patience: Any = 10
    min_improvement: Any = 1e-4
    validation_fraction: Any = None
    weight_l1: Any = 0.0
    weight_l2: Any = 0.0
    input_noise: Any = 0.0
    hidden_noise: Any = 0.0
    input_dropout: Any = 0.0
    hidden_dropout: Any = 0.0
    train_options: Any = None
    callbacks: Any = None
    warm_start: Any = False
    dtype: Any = "auto"
    mode: Any = None
    random_state: Any = None
    verbose: Any = False

    _model: ClassVar[type[Network]] = Network

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # ---- data ----------------------------------------------------------------------

    def _dtype(self) -> Any:
        """Get the type, or types, that inputs may have."""
        if isinstance(self.dtype, str) and self.dtype == "auto":
            return (np.float64, np.float32)
        return pytensor.config.floatX if self.dtype == "floatX" else self.dtype

    def _check_inputs(self, X: Any) -> Any:
        """Check inputs of a network that is fitted."""
        check_is_fitted(self)
        refuse_dask(X, "X")
        return validate_data(self, X, reset=False, accept_sparse="csr", dtype=self.network_.dtype)

    def _check_training(self, X: Any, y: Any, going_on: bool, **kwargs: Any) -> Any:
        """Check data to train on; ``'no_validation'`` for no targets."""
        dtype = self.network_.dtype if going_on else self._dtype()
        options = {"accept_sparse": "csr", "dtype": dtype, **kwargs}
        X, y = in_memory(X, "X"), in_memory(y, "y")
        return validate_data(self, X, y, reset=not going_on, **options)

    @staticmethod
    def _check_weights(weights: Any, X: Any) -> Array | None:
        """Check weights of examples."""
        if weights is None:
            return None
        weights = _check_sample_weight(in_memory(weights, "sample_weight"), X, dtype=np.float64)
        if weights.min() < 0 or not weights.any():
            raise ValueError(
                "sample_weight must be at least 0 and not all zero; the least weight is "
                f"{weights.min():g}, the greatest {weights.max():g}"
            )
        return weights

    # ---- the network ---------------------------------------------------------------

    def _layers(self, outputs: dict[str, Any]) -> list[Any]:
        hidden = self.hidden_layers
        if is_integer(hidden):
            hidden = [hidden]
        if isinstance(hidden, (str, bytes, Mapping)) or not hasattr(hidden, "__iter__"):
            raise ConfigurationError(
                f"hidden_layers={hidden!r} is neither a size nor a list of layers such as "
                "[100, (50, 'tanh')]"
            )

        def described(layer: Any) -> Any:
            if is_integer(layer):
                return {"size": layer, "activation": self.activation}
            # A network makes a Layer its own, and this one is the user's.
            return copy.deepcopy(layer)

        return [self.n_features_in_, *map(described, hidden), outputs]

    def _network(self, outputs: dict[str, Any], weighted: bool, dtype: str, seed: Any) -> Network:
        """Make the network, with an output layer as described."""
        common = {"weighted": weighted, "rng": seed, "dtype": dtype, "mode": self.mode}
        layers = self._layers(outputs)
        model, loss = self._kind()
        if self.loss is None:
            return model(layers, loss=loss, **common)
        net = model(layers, loss=None, **common)
        for loss in self.loss if isinstance(self.loss, (list, tuple)) else [self.loss]:
            net.add_loss(copy.deepcopy(loss), weighted=weighted)
        return net

    def _kind(self) -> tuple[type[Network], str]:
        """Get the class of the network, and the loss that it has by default."""
        return self._model, "mse"

    def _accept(self, net: Network) -> None:
        """Refuse a network that the estimator cannot use, before it is trained."""

    def _continued(self, net: Network) -> Network:
        """Give a new network the parameters of the one that is fitted."""
        before = self.network_
        old, new = ([*n.params, *n.state] for n in (before, net))
        if [(p.name, p.type.shape) for p in old] != [(p.name, p.type.shape) for p in new]:
            raise ValueError(
                f"hidden_layers={self.hidden_layers!r} has other parameters than the network "
                "that is fitted, so training cannot go on; use fit() with warm_start=False"
            )
        net.go_on_from(before)
        return net

    # ---- training ------------------------------------------------------------------

    def _train(
        self,
        X: Any,
        y: Array | None,
        weights: Array | None,
        outputs: dict[str, Any],
        *,
        going_on: bool,
        partial: bool = False,
        classes: int | None = None,
    ) -> None:
        """Train on checked data.

        Parameters
        ----------
        X, y, weights
            Inputs, targets if there are any, weights of examples if they differ.
        outputs : dict
            The output layer.
        going_on : bool
            Whether the parameters are those that the estimator has.
        partial : bool
            Whether to train for one epoch, without choosing among parameters.
        classes : int, optional
            Number of classes, if the targets are labels.
        """
        arrays = [X] if y is None else [X, y]
        if weights is not None:
            # Examples without weight would take the place of others in a batch.
            rows = np.flatnonzero(weights)
            arrays, weights = [array[rows] for array in arrays], weights[rows]
            weights = None if weights.min() == weights.max() else weights
        if weights is not None:
            arrays.append(weights)
        if going_on:
            seed = self.network_.seed
        elif self.random_state is None and _rng.is_set():
            seed = _rng.as_seed(None)
        else:
            seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        net = self._network(outputs, weights is not None, str(X.dtype), seed)
        self._accept(net)
        if going_on:
            net = self._continued(net)
        if partial:
            self._run_partial(net, arrays)
            self._warn(partial)
            return
        train, valid = arrays, None
        if not (self.validation_fraction is None or _is_zero(self.validation_fraction)):
            train, valid = self._split(arrays, seed, classes)
        options = self._options()
        with self._of_one_class():
            net.train(train, valid, **options)
        self._finish(net)
        self.n_iter_ = len(net.history)
        self._optimizer_state: dict[str, Array] = {}
        self._warn(partial)

    def _options(self) -> dict[str, Any]:
        options = {key: getattr(self, key) for key in _TRAIN}
        # An optimizer may have a state, and this one is the user's.
        options["algo"] = copy.deepcopy(self.algo)
        given = {key: getattr(self, key) for key in _OPTIONAL}
        options.update({k: v for k, v in given.items() if not (v is None or _is_zero(v))})
        return {**options, "progress": bool(self.verbose), **(self.train_options or {})}

    def _split(
        self, arrays: list[Any], seed: int, classes: int | None
    ) -> tuple[list[Any], list[Any]]:
        """Split off examples to validate on; of each class if there are enough."""
        fraction = Number(None, "inner").check("validation_fraction", self.validation_fraction)
        labels = None
        if classes is not None:
            counts = np.bincount(arrays[1], minlength=classes)
            part = round(len(arrays[1]) * fraction)
            if counts.min() > 1 and classes <= part <= len(arrays[1]) - classes:
                labels = arrays[1]
        parts = train_test_split(
            *arrays,
            test_size=fraction,
            random_state=int(_rng.generator(seed, "split").integers(2**32)),
            stratify=labels,
        )
        return parts[0::2], parts[1::2]

    @contextlib.contextmanager
    def _of_one_class(self) -> Iterator[None]:
        """Say nothing of labels that are all the same, as scikit-learn's estimators do not."""
        if len(getattr(self, "classes_", ())) != 1:
            yield
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "loss .* of which there is one")
            yield

    def _run_partial(self, net: Network, arrays: list[Any]) -> None:
        options = self._options()
        size = options.pop("batch_size", 32)
        order = _rng.generator(net.seed, "partial", net._runs).permutation(arrays[0].shape[0])
        own = options.get("callbacks")
        own = [] if own is None else list(own) if isinstance(own, (list, tuple)) else [own]
        goes_on = _GoesOn(getattr(self, "_optimizer_state", {}))
        options.update(callbacks=[goes_on, *own], epochs=1)
        changed = (*net.params, *net.state)
        before = [value.get_value() for value in changed]
        # Of batches that come in only once, the parameters before are no better.
        with self._of_one_class():
            net.train(_batches(arrays, order, size), **options)
        # The loss of the last batch, which is of before its update, may not show it.
        if goes_on.diverged or not all(_finite(value.get_value()) for value in changed):
            for value, old in zip(changed, before, strict=True):
                value.set_value(old)
            net.history.stop_reason = "diverged"
            goes_on.state = getattr(self, "_optimizer_state", {})
        self._finish(net)
        self.n_iter_ = getattr(self, "n_iter_", 0) + 1
        self._optimizer_state = goes_on.state

    def _finish(self, net: Network) -> None:
        self.network_ = net
        self.history_ = net.history

    def _warn(self, partial: bool) -> None:
        reason = self.history_.stop_reason
        text = None
        if partial and reason == "diverged":
            text = (
                "the loss, or the optimizer's state, became NaN or infinite; the parameters and "
                "the state are again those from before this call"
            )
        elif reason == "epochs" and self.patience is not None and not partial:
            text = (
                f"all epochs={self.epochs} were used up before training converged; give more, "
                "or patience=None to train for so many and no others"
            )
        elif reason == "diverged":
            text = "the loss became NaN or infinite; the best parameters before that are kept"
        elif reason == "interrupted":
            text = "training was interrupted; the best parameters until then are kept"
        if text:
            warnings.warn(text, ConvergenceWarning, stacklevel=5)

    def astype(self, dtype: str) -> Self:
        """Get a fitted estimator that computes in another type, see `theanets.Network.astype`.

        Parameters
        ----------
        dtype : {'float32', 'float64', 'floatX'}
            The type, which its parameter ``dtype`` is then too.
        """
        check_is_fitted(self)
        found = copy.copy(self)
        found.network_ = self.network_.astype(dtype)
        found.dtype = dtype
        return found

    # ---- computing -----------------------------------------------------------------

    export = _export

    def _compute(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the network."""
        return getattr(self.network_, method)(*args, **kwargs)


class _GoesOn(Callback):
    """Lets the optimizer go on where the last call of ``partial_fit`` left it.

    Attributes
    ----------
    state : dict of str to ndarray
        The optimizer's state after the last call whose parameters were kept.
    diverged : bool
        Whether something in it became NaN or infinite.
    """

    def __init__(self, state: dict[str, Array]) -> None:
        self.state = state
        self.diverged = False
        self._before: dict[str, Array] = {}

    def start(self, run: Any) -> None:
        found = run.engine.arrays()
        shapes = {name: np.shape(value.get_value(borrow=True)) for name, value in found.items()}
        # Another algorithm starts anew.
        if shapes == {name: np.shape(value) for name, value in self.state.items()}:
            for name, variable in found.items():
                variable.set_value(self.state[name])
        self._before = {name: value.get_value() for name, value in found.items()}

    def end(self, run: Any) -> None:
        after = {name: value.get_value() for name, value in run.engine.arrays().items()}
        # What is infinite from the start means something.
        fell = [name for name in after if _finite(self._before[name]) and not _finite(after[name])]
        kept = run.best_epoch == run.epoch
        # A whole epoch whose parameters are not kept has some that are not finite.
        undone = run.stop_reason == "diverged" or (run.stop_reason == "epochs" and not kept)
        self.diverged = bool(fell) or undone
        # An interrupted call has no parameters that belong to the state.
        if kept and not self.diverged:
            self.state = after


def _finite(values: Array) -> bool:
    return bool(np.isfinite(values).all())


def _is_zero(value: Any) -> bool:
    return isinstance(value, Real) and value == 0


def _batches(arrays: list[Any], order: Array, size: int) -> Iterator[list[Any]]:
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        parts = [array[rows] for array in arrays]
        yield [part.toarray() if sp.issparse(part) else part for part in parts]
