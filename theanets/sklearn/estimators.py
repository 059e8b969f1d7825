"""The estimators: classifier and regressor."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.special import log_expit, log_softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from ..feedforward import Classifier, Regressor
from ..losses import Loss, Quantile
from ..network import Network
from ..prediction import compute
from .autoencoder import NetAutoencoder  # noqa: F401 - pickles of before look for it here
from .base import Examples, NetEstimator

Array = npt.NDArray[Any]


@dataclass(eq=False, repr=False)
class NetClassifier(ClassifierMixin, NetEstimator):
    """A network that tells classes apart, as an estimator of scikit-learn.

    Parameters
    ----------
    hidden_layers : int or list
        The layers between inputs and outputs, as `theanets.Network` takes
        them: sizes, ``(50, 'tanh')``, dicts, names, `Layer` instances, classes.
        An empty list makes a linear model.
    activation : str, Activation or callable
        Of the hidden layers that are given as a size only.
    loss : str, dict, Loss, callable, or list of these, optional
        What training minimizes, the sum of several; see `Loss.build`. By
        default the model's: ``'xe'`` for classes, ``'bce'`` for sets of
        classes, ``'mse'`` for values.
    algo, epochs, patience, min_improvement, batch_size, learning_rate
        See `theanets.Network.train`. ``epochs`` is at most so many; where
        ``patience`` is not None and they are used up, there is a
        ``ConvergenceWarning``. A learning rate of None is the algorithm's own.
    validation_fraction : float, optional
        The part of the examples, in (0, 1), that is split off at random to
        validate on: when to stop, and which parameters are the best, is then
        decided by these. By default it is decided by the examples that are
        trained on.
    weight_l1, weight_l2, input_noise, hidden_noise, input_dropout, hidden_dropout : float or dict
        Regularizers, see `theanets.regularizers.from_kwargs`; 0 is none.
    train_options : dict, optional
        More keywords of `theanets.Network.train`: other regularizers,
        ``momentum``, ``max_seconds``, ...
    callbacks : Callback, callable, or list of these, optional
        See `theanets.Callback`.
    warm_start : bool
        Whether `fit` goes on with the parameters that there are.
    dtype : {'auto', 'float32', 'float64', 'floatX'}
        Type of the computations; ``'auto'`` is that of the inputs, float64 if
        these are neither float32 nor float64.
    mode : str or Mode, optional
        How to compile, see `theanets.Network`.
    random_state : int, RandomState or None
        Governs all that is random; None takes what `theanets.set_seed` started,
        or else NumPy's global generator.
    verbose : bool
        Whether to show progress.
    class_weight : dict or 'balanced', optional
        Weights of the classes, by label; ``'balanced'`` makes all classes
        weigh the same, where examples of weight 0 do not count. They multiply
        the weights of the examples.

    Attributes
    ----------
    network_ : theanets.Classifier
        The network. It may be used, and trained, as any other. For sets of
        classes it is a `theanets.Regressor` of their probabilities.
    classes_ : ndarray of shape (classes,)
        The labels, sorted; for sets of classes the numbers of the columns.
    history_ : History
        The history of the last training, also of its last algorithm.
    n_iter_ : int
        Epochs that it took.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Notes
    -----
    Examples of weight 0 are left out, so that they have no influence whatever.
    In a batch, the loss is the weighted mean of the errors.

    An example may have several classes, or none: where the labels are a matrix
    of 0 and 1, as of scikit-learn's ``MultiLabelBinarizer``, each column is a
    class of its own with a sigmoid for its probability, and a class is
    predicted where that is more than 1/2.

    Inputs may be sparse. Compiled functions are used again by estimators of
    equal structure, as those of a grid search, if no code of the user's is in
    the network. Any number of threads may fit estimators, each its own, and predict
    with any; those that share compiled functions take turns.

    Raises
    ------
    ConfigurationError
        From `fit`, if a parameter has a value without meaning; also a
        ValueError.
    """

    _: KW_ONLY
    class_weight: Any = None

    # Pickles of before have none; an annotation would make it an argument.
    _several = False

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(
        self, X: Examples, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> Self:
        """Train on inputs and labels.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (examples, features)
            Inputs.
        y : array_like of shape (examples,) or (examples, classes)
            Labels: strings, integers or whatever can be sorted. Or a matrix of
            0 and 1, maybe sparse, for the classes of each example.
        sample_weight : array_like of shape (examples,), optional
            Weights of the examples, at least 0 and not all of them 0.

        Returns
        -------
        NetClassifier
            The estimator itself.
        """
        return self._fit(X, y, sample_weight, None, bool(self.warm_start), False)

    def partial_fit(
        self,
        X: Examples,
        y: npt.ArrayLike,
        classes: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch, from the parameters and the state that there are.

        Neither validation nor `epochs`, `patience` and `validation_fraction`
        play a part in it. Schedules of the learning rate start anew.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array_like, optional
            All labels that there are; needed if nothing was fitted before,
            unless ``y`` is a matrix.

        Returns
        -------
        NetClassifier
            The estimator itself.
        """
        return self._fit(X, y, sample_weight, classes, True, True)

    def _fit(
        self, X: Any, y: Any, weights: Any, classes: Any, going_on: bool, partial: bool
    ) -> Self:
        going_on = going_on and hasattr(self, "network_")
        X, y = self._check_training(X, y, going_on, multi_output=True)
        check_classification_targets(y)
        several = type_of_target(y) == "multilabel-indicator"
        if going_on and several != self._several:
            kinds = ("one label for each example", "a matrix of 0 and 1")
            raise ValueError(f"y is {kinds[several]}; before it was {kinds[self._several]}")
        if several:
            y = (y.toarray() if sp.issparse(y) else y).astype(X.dtype)
            if classes is None:
                classes = np.arange(y.shape[1])
        else:
            y = column_or_1d(y, warn=True)
        found = np.unique(y) if classes is None else np.unique(np.asarray(classes))
        if partial and not going_on and classes is None:
            raise ValueError("the first call of partial_fit() needs classes=, all that there are")
        if several and len(found) != y.shape[1]:
            raise ValueError(f"y has {y.shape[1]} columns, but the classes are {found}")
        if not going_on:
            self.classes_ = found
            self._several = several
        elif (classes is not None or not partial) and not np.array_equal(found, self.classes_):
            raise ValueError(f"the classes are {found}; before they were {self.classes_}")
        number = len(self.classes_)
        if several:
            if self.class_weight is not None:
                raise ValueError(
                    f"class_weight={self.class_weight!r} is for one label for each example; y is "
                    "a matrix of 0 and 1"
                )
            weights, targets = self._check_weights(weights, X), y
            outputs = {"size": number, "activation": "sigmoid"}
        else:
            unseen = np.setdiff1d(y, self.classes_)
            if len(unseen):
                raise ValueError(f"y has labels that are not among the classes: {unseen}")
            weights = self._weights(weights, X, y)
            targets = np.searchsorted(self.classes_, y).astype(np.int32)
            outputs = {"size": number}
        self._train(
            X,
            targets,
            weights,
            outputs,
            going_on=going_on,
            partial=partial,
            classes=None if several else number,
        )
        return self

    def _kind(self) -> tuple[type[Network], str]:
        return (Regressor, "bce") if self._several else (Classifier, "auto")

    def _weights(self, weights: Any, X: Any, y: Array) -> Array | None:
        weights = self._check_weights(weights, X)
        if self.class_weight is None:
            return weights
        kept = np.ones(len(y), bool) if weights is None else weights > 0
        known = self.classes_ if isinstance(self.class_weight, Mapping) else np.unique(y[kept])
        of_class = compute_class_weight(self.class_weight, classes=known, y=y[kept])
        by_class = np.zeros(len(y))
        by_class[kept] = of_class[np.searchsorted(known, y[kept])]
        return self._check_weights(by_class if weights is None else weights * by_class, X)

    def predict(self, X: Examples) -> Array:
        """Get the most probable label of each example, or the set of its classes as 0 and 1."""
        X = self._check_inputs(X)
        found = self._compute("predict", X)
        return (found > 0.5).astype(int) if self._several else self.classes_[found]

    def predict_proba(self, X: Examples) -> Array:
        """Get the probability of each class, of shape (examples, classes)."""
        X = self._check_inputs(X)
        return self._compute("predict" if self._several else "predict_proba", X)

    def predict_log_proba(self, X: Examples) -> Array:
        """Get the logarithm of the probability of each class."""
        logits = self._logits(X)
        return log_expit(logits) if self._several else log_softmax(logits, axis=1)

    def decision_function(self, X: Examples) -> Array:
        """Get the logits, what the softmax or sigmoid is taken of, of shape (examples, classes).

        Of two classes of which each example has one, get the logarithm of the
        odds of the second, of shape (examples,).
        """
        logits = self._logits(X)
        both = len(self.classes_) == 2 and not self._several
        return logits[:, 1] - logits[:, 0] if both else logits

    def _logits(self, X: Any) -> Array:
        X = self._check_inputs(X)
        name = f"{self.network_.output_layer.name}:pre"
        return compute(self.network_, X, [name])[name]


@dataclass(eq=False, repr=False)
class NetRegressor(RegressorMixin, NetEstimator):
    """A network that computes values, as an estimator of scikit-learn.

    Takes what `NetClassifier` takes, except ``class_weight``. Targets are of
    shape (examples,) or (examples, outputs), and so is what `predict` returns.
    The network does not scale targets; scikit-learn's
    ``TransformedTargetRegressor`` does.

    With the loss ``{'form': 'quantile', 'quantile': [0.05, 0.5, 0.95]}`` it
    predicts several quantiles of each output, of shape (examples, quantiles)
    or (examples, outputs, quantiles); `score` is then that of the median.

    Parameters
    ----------
    output_activation : str, Activation or callable, optional
        Of the output layer; ``'linear'`` by default.

    Attributes
    ----------
    network_ : theanets.Regressor
        The network.
    n_outputs_ : int
        Number of outputs.
    history_, n_iter_, n_features_in_, feature_names_in_
        As of `NetClassifier`.
    """

    _: KW_ONLY
    output_activation: Any = None

    _model: ClassVar[type[Network]] = Regressor
    # As `NetClassifier._several`.
    _of_each = cast("int | None", None)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(
        self, X: Examples, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> Self:
        """Train on inputs and values.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (examples, features)
            Inputs.
        y : array_like of shape (examples,) or (examples, outputs)
            Values.
        sample_weight : array_like of shape (examples,), optional
            Weights of the examples, at least 0 and not all of them 0.

        Returns
        -------
        NetRegressor
            The estimator itself.
        """
        return self._fit(X, y, sample_weight, bool(self.warm_start), False)

    def partial_fit(
        self, X: Examples, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> Self:
        """Train for one epoch, see `NetClassifier.partial_fit`; takes what `fit` takes."""
        return self._fit(X, y, sample_weight, True, True)

    def _fit(self, X: Any, y: Any, weights: Any, going_on: bool, partial: bool) -> Self:
        going_on = going_on and hasattr(self, "network_")
        X, y = self._check_training(X, y, going_on, multi_output=True, y_numeric=True)
        weights = self._check_weights(weights, X)
        number = 1 if y.ndim == 1 else y.shape[1]
        quantiles = self._quantiles()
        many = 1 if quantiles is None else len(quantiles.orders)
        self._train(
            X,
            y.reshape(len(y), number).astype(X.dtype),
            weights,
            {"size": number * many, "activation": self.output_activation},
            going_on=going_on,
            partial=partial,
        )
        self.n_outputs_, self._flat = number, y.ndim == 1
        self._of_each = None if quantiles is None else many
        return self

    def _quantiles(self) -> Quantile | None:
        """Get the loss of several quantiles, if there is one."""
        for loss in self.loss if isinstance(self.loss, (list, tuple)) else [self.loss]:
            built = None if loss is None else Loss.build(copy.deepcopy(loss))
            if isinstance(built, Quantile) and np.ndim(built.quantile):
                return built
        return None

    def predict(self, X: Examples) -> Array:
        """Compute values, of shape (examples,) or (examples, outputs) as those of `fit`.

        Of losses whose outputs are logarithms, such as ``'poisson'``, these are the means.
        Several quantiles of each are a further axis.
        """
        X = self._check_inputs(X)
        predicted = self._compute("predict", X)
        if self._of_each is not None:
            predicted = predicted.reshape(len(predicted), self.n_outputs_, self._of_each)
        else:
            predicted = self.network_.losses[0].point(predicted)
        return predicted[:, 0] if self._flat else predicted

    def score(
        self, X: Examples, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Get R squared, as scikit-learn computes it; of several quantiles that of the median.

        Raises
        ------
        ConfigurationError
            If the median is not among the quantiles.
        """
        predicted = self.predict(X)
        quantiles = self._quantiles()
        if self._of_each is not None and quantiles is not None:
            predicted = quantiles.point(predicted)
            predicted = predicted.reshape(len(predicted), -1)
        return float(r2_score(y, predicted, sample_weight=sample_weight))
