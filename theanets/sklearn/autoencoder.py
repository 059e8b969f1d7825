"""The transformer: an autoencoder."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from ..data.tables import refuse_dask
from ..feedforward import Autoencoder, middle_output
from ..network import Network
from .base import Examples, NetEstimator

Array = npt.NDArray[Any]


@dataclass(eq=False, repr=False)
class NetAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, NetEstimator):
    """A network that reproduces its inputs, as a transformer of scikit-learn.

    Takes what `NetClassifier` takes, except ``class_weight``, and turns inputs
    into what a hidden layer makes of them, their code.

    Parameters
    ----------
    output_activation : str, Activation or callable, optional
        Of the output layer; ``'linear'`` by default.
    code_layer : str or int, optional
        Name or position of the layer that has the code, ``'hid1'`` for the
        first hidden one; by default the one in the middle, see
        `theanets.Autoencoder.encode`.

    Attributes
    ----------
    network_ : theanets.Autoencoder
        The network.
    history_, n_iter_, n_features_in_, feature_names_in_
        As of `NetClassifier`.
    """

    hidden_layers: Any = (32,)
    _: KW_ONLY
    output_activation: Any = None
    code_layer: Any = None

    _model: ClassVar[type[Network]] = Autoencoder

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        dtype = self._dtype()
        tags.transformer_tags.preserves_dtype = (
            ["float64", "float32"] if isinstance(dtype, tuple) else [np.dtype(dtype).name]
        )
        return tags

    def fit(
        self,
        X: Examples,
        y: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Train on inputs.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (examples, features)
            Inputs.
        y : ignored
            There for the sake of pipelines.
        sample_weight : array_like of shape (examples,), optional
            Weights of the examples, at least 0 and not all of them 0.

        Returns
        -------
        NetAutoencoder
            The estimator itself.
        """
        return self._fit(X, sample_weight, bool(self.warm_start), False)

    def partial_fit(
        self,
        X: Examples,
        y: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch, see `NetClassifier.partial_fit`; takes what `fit` takes."""
        return self._fit(X, sample_weight, True, True)

    def _fit(self, X: Any, weights: Any, going_on: bool, partial: bool) -> Self:
        going_on = going_on and hasattr(self, "network_")
        X = self._check_training(X, "no_validation", going_on)
        weights = self._check_weights(weights, X)
        self._train(
            X,
            None,
            weights,
            {"size": self.n_features_in_, "activation": self.output_activation},
            going_on=going_on,
            partial=partial,
        )
        return self

    def _accept(self, net: Network) -> None:
        self._code = middle_output(net, self.code_layer)
        self._n_features_out = net.graph.shape(self._code)[-1]

    def transform(self, X: Examples) -> Array:
        """Compute the codes of inputs, of shape (examples, units)."""
        X = self._check_inputs(X)
        return self._compute("encode", X, self._code)

    def inverse_transform(self, X: Examples) -> Array:
        """Compute inputs from codes, of shape (examples, features).

        Raises
        ------
        ConfigurationError
            If the output does not depend on the code alone.
        """
        check_is_fitted(self)
        refuse_dask(X, "X")
        X = check_array(X, dtype=self.network_.dtype)
        return self._compute("decode", X, self._code)

    def score(
        self,
        X: Examples,
        y: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> float:
        """Get R squared of the reproduction of inputs, the mean over features that vary."""
        X = self._check_inputs(X)
        weights = self._check_weights(sample_weight, X)
        return self._compute("score", X, weights)
