"""Errors and warnings of the package.

Every error names the argument, the value it had and what was expected; where
a name was misspelt, the nearest valid one.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, ParamSpec, TypeVar

import numpy as np

from .earlier import successor

P = ParamSpec("P")
R = TypeVar("R")


class Error(Exception):
    """Base class of the errors that this package raises."""


class ConfigurationError(Error, ValueError):
    """A network, layer, loss, optimizer or call was specified wrongly."""


class UnknownNameError(ConfigurationError, KeyError):
    """A name that refers to nothing."""

    # KeyError would show the repr of the message.
    __str__ = Exception.__str__


class DataError(Error, ValueError):
    """An array does not have the form that a network needs."""


class ExhaustedError(DataError):
    """An iterator has no more batches."""


class FileError(Error, ValueError):
    """A file is not one of ours, is damaged, or belongs to another network."""


class DerivativeError(Error, NotImplementedError):
    """A derivative of a higher order is needed than an operation has.

    Parameters
    ----------
    message : str
        What is said of it.
    op : Op, optional
        The operation that has no derivative.
    """

    def __init__(self, message: str, op: Any = None) -> None:
        super().__init__(message)
        self.op = op


class ZeroGradientWarning(UserWarning):
    """A loss does not depend, differentiably, on some parameters."""


#: What other libraries call it, and what that is here.
SYNONYMS = {
    **dict.fromkeys(("lr", "learning_rate_init", "eta"), "learning_rate"),
    **dict.fromkeys(("lr_scheduler", "scheduler", "lr_schedule"), "learning_rate_schedule"),
    **dict.fromkeys(("betas", "beta_1", "beta1_decay"), "beta1"),
    **dict.fromkeys(("beta_2", "beta2_decay"), "beta2"),
    **dict.fromkeys(("eps", "epsilon"), "rms_regularizer"),
    "rho": "decay",
    "clipnorm": "max_gradient_norm",
    "clipvalue": "max_gradient_elem",
    "global_clipnorm": "max_global_norm",
    **dict.fromkeys(("n_epochs", "num_epochs", "nb_epoch", "max_epochs", "max_iter"), "epochs"),
    **dict.fromkeys(("optimizer", "solver"), "algo"),
    **dict.fromkeys(("validation_data", "valid_data", "eval_set"), "valid"),
    **dict.fromkeys(("validation_fraction", "val_split"), "validation_split"),
    **dict.fromkeys(("steps_per_epoch", "steps"), "train_batches"),
    "validation_steps": "valid_batches",
    **dict.fromkeys(("validation_freq", "eval_every"), "validate_every"),
    **dict.fromkeys(("n_iter_no_change", "early_stopping"), "patience"),
    **dict.fromkeys(("tol", "min_delta"), "min_improvement"),
    "verbose": "progress",
    **dict.fromkeys(("alpha", "l2", "kernel_regularizer"), "weight_l2"),
    "l1": "weight_l1",
    **dict.fromkeys(("dropout_rate", "drop"), "dropout"),
    **dict.fromkeys(("random_state", "seed"), "rng"),
    # Methods and attributes.
    **dict.fromkeys(("fit", "fit_generator", "partial_fit", "learn"), "train"),
    **dict.fromkeys(("forward", "call"), "feed_forward"),
    **dict.fromkeys(("parameters", "named_parameters", "trainable_weights"), "params"),
    **dict.fromkeys(("state_dict", "save_weights", "dump"), "save"),
    **dict.fromkeys(("load_state_dict", "load_weights"), "load_params"),
    **dict.fromkeys(("compile", "compile_loss"), "set_loss"),
    "add": "add_layer",
    "eval": "evaluate",
    "transform": "encode",
}

#: Losses, layers, activations and metrics of other libraries that are the same as some here:
#: by their names in lower case, without anything between the words.
CLASSES = {
    # Losses.
    **dict.fromkeys(("meansquarederror", "squarederror", "mseloss", "l2", "l2loss"), "mse"),
    **dict.fromkeys(("meanabsoluteerror", "absoluteerror", "maeloss", "l1", "l1loss"), "mae"),
    "meanabsolutepercentageerror": "mape",
    **dict.fromkeys(("meansquaredlogarithmicerror", "meansquaredlogerror"), "msle"),
    **dict.fromkeys(("sparsecategoricalcrossentropy", "categoricalcrossentropy"), "xe"),
    **dict.fromkeys(("crossentropyloss", "softmaxcrossentropy", "nll", "nllloss"), "xe"),
    **dict.fromkeys(("logloss", "negativeloglikelihood"), "xe"),
    **dict.fromkeys(("binarycrossentropy", "bceloss"), "bce"),
    **dict.fromkeys(("bcewithlogits", "bcewithlogitsloss", "sigmoidcrossentropy"), "bce_logits"),
    **dict.fromkeys(("categoricalfocalcrossentropy", "focalloss"), "focal"),
    "binaryfocalcrossentropy": "binary_focal",
    "huberloss": "huber",
    "smoothl1loss": "smooth_l1",
    **dict.fromkeys(("kldivergence", "kldiv", "kldivloss"), "kl"),
    **dict.fromkeys(("gaussiannll", "gaussiannllloss"), "gll"),
    **dict.fromkeys(("poissonnll", "poissonnllloss"), "poisson"),
    **dict.fromkeys(("cosinesimilarity", "cosinedistance"), "cosine"),
    **dict.fromkeys(("quantileloss", "pinballloss"), "quantile"),
    "meanpinballloss": "pinball",
    "ctcloss": "ctc",
    # Layers.
    "dense": "feedforward",
    "simplernn": "rnn",
    **dict.fromkeys(("conv1d", "convolution1d"), "conv1"),
    **dict.fromkeys(("conv2d", "convolution2d"), "conv2"),
    **dict.fromkeys(("conv1dtranspose", "convtranspose1d"), "conv1_transposed"),
    **dict.fromkeys(("conv2dtranspose", "convtranspose2d"), "conv2_transposed"),
    **dict.fromkeys(
        ("maxpooling1d", "maxpool1d", "averagepooling1d", "avgpool1d", "pooling1d"), "pool1"
    ),
    **dict.fromkeys(
        ("maxpooling2d", "maxpool2d", "averagepooling2d", "avgpool2d", "pooling2d"), "pool2"
    ),
    "upsampling1d": "upsample1",
    "upsampling2d": "upsample2",
    **dict.fromkeys(("batchnormalization", "batchnorm1d", "batchnorm2d"), "batch_norm"),
    "layernormalization": "layer_norm",
    **dict.fromkeys(("multiply", "mul"), "product"),
    **dict.fromkeys(("bilstm", "bigru"), "bidirectional"),
    # Activations.
    "identity": "linear",
    "leakyrelu": "leaky-relu",
    # Metrics.
    **dict.fromkeys(
        ("categoricalaccuracy", "sparsecategoricalaccuracy", "binaryaccuracy", "accuracyscore"),
        "accuracy",
    ),
    "balancedaccuracyscore": "balanced_accuracy",
    **dict.fromkeys(
        ("topkcategoricalaccuracy", "sparsetopkcategoricalaccuracy", "topkaccuracyscore"), "top_k"
    ),
    **dict.fromkeys(("rocauc", "rocaucscore", "auroc"), "auc"),
    "f1score": "f1",
    "precisionscore": "precision",
    "recallscore": "recall",
    **dict.fromkeys(("r2score", "rsquared"), "r2"),
    "rootmeansquarederror": "rmse",
}


def nearest(name: str, choices: Iterable[str]) -> str:
    """Get a hint at the valid name that is nearest to a misspelt one, or means the same elsewhere.

    Parameters
    ----------
    name : str
        The name that was not found.
    choices : iterable of str
        The valid names.

    Returns
    -------
    str
        ``" (did you mean 'x'?)"``, or an empty string when nothing is near.
    """
    lowered = {choice.lower(): choice for choice in choices}
    plain = str(name).lower()
    squeezed = plain.replace("_", "").replace("-", "").replace(" ", "")
    for same in (SYNONYMS.get(plain), CLASSES.get(squeezed)):
        if same in lowered:
            return f" (did you mean {same!r}?)"
    found = difflib.get_close_matches(str(name).lower(), lowered, n=1, cutoff=0.6)
    return f" (did you mean {lowered[found[0]]!r}?)" if found else ""


def unknown(kind: str, name: object, choices: Iterable[str]) -> UnknownNameError:
    """Make the error for a name that is not one of the valid choices.

    Parameters
    ----------
    kind : str
        What the name should have been the name of, for instance ``'loss'``.
    name : object
        The value that was given.
    choices : iterable of str
        The valid names.

    Returns
    -------
    UnknownNameError
        To be raised by the caller.
    """
    choices = list(choices)
    listed = ", ".join(sorted(choices)) or "none"
    return UnknownNameError(
        f"unknown {kind} {name!r}{successor(name) or nearest(str(name), choices)}; valid: {listed}"
    )


def interrupted(error: BaseException | None) -> bool:
    """Tell whether an error is an interruption, Ctrl-C, or what compiled code makes of one.

    Where it comes while Numba's code runs, this returns "with an exception
    set", for which Python has a SystemError.
    """
    while isinstance(error, SystemError):
        error = error.__cause__ or error.__context__
    return isinstance(error, KeyboardInterrupt)


def is_integer(value: object, least: int | None = None) -> bool:
    """Tell whether a value is an integer, of at least some number; True and False are none."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        return False
    return least is None or int(value) >= least


def whole_number(name: str, value: Any, least: int = 1, where: str = "") -> int:
    """Check an argument that has to be an integer of at least some number.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : Any
        Its value.
    least : int
        The smallest valid number.
    where : str
        What the message begins with, for instance ``"layer 'hid1': "``.

    Returns
    -------
    int

    Raises
    ------
    ConfigurationError
        If it is anything else.
    """
    if not is_integer(value, least):
        raise ConfigurationError(f"{where}{name}={value!r} is not an integer of at least {least}")
    return int(value)


def check_keywords(where: str, given: Iterable[str], valid: Iterable[str]) -> None:
    """Refuse keywords that nobody consumes.

    Parameters
    ----------
    where : str
        The function or class that got the keywords.
    given : iterable of str
        The keywords that were left over.
    valid : iterable of str
        The keywords that would have been accepted.

    Raises
    ------
    ConfigurationError
        If any keyword was given; names the nearest valid one.
    """
    valid = list(valid)
    wrong = [f"{name!r}{successor(name) or nearest(name, valid)}" for name in given]
    if wrong:
        listed = ", ".join(sorted(valid)) or "none"
        raise ConfigurationError(f"{where} got unknown keyword {', '.join(wrong)}; valid: {listed}")


def deprecated(message: str) -> None:
    """Warn of something deprecated, at the line of the caller's that is outside of this package.

    Python shows such warnings only where they concern the program that runs.
    """
    level, frame = 1, sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith(f"{__package__}."):
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    warnings.warn(message, DeprecationWarning, stacklevel=level)


def check_arguments(
    where: str, signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    """Refuse arguments that a method does not take, in words of the class that was called.

    Python would name the class that has the method, which may be a base that
    the user has never heard of.

    Parameters
    ----------
    where : str
        The class that was called.
    signature : Signature
        Of the method, ``self`` included.
    args, kwargs
        The arguments, without ``self``.

    Raises
    ------
    ConfigurationError
        If the call would fail; names the nearest valid keyword.
    """
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = list(signature.parameters.values())[1:]
    valid = [p.name for p in parameters if p.kind not in many]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        check_keywords(where, [key for key in kwargs if key not in valid], valid)
    try:
        return signature.bind(None, *args, **kwargs)
    except TypeError as error:
        raise ConfigurationError(f"{where}: {error}; it takes {', '.join(valid)}") from None


def checked(method: Callable[P, R]) -> Callable[P, R]:
    """Let a constructor do what `check_arguments` does, for all classes that inherit it."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        check_arguments(type(args[0]).__name__, signature, args[1:], kwargs)
        return method(*args, **kwargs)

    return call


def renamed(**keywords: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function take keywords by the names that they had in earlier versions, too.

    Parameters
    ----------
    **keywords
        The present name by the earlier one.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old, new in keywords.items():
                if old in kwargs:
                    deprecated(f"{old}= is now {new}=")
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


#: The least and the greatest weight but 0: sums of them, and of their products with errors,
#: are numbers of the type.
WEIGHTS = {"float32": (1e-30, 1e30), "float64": (1e-200, 1e200)}


def check_weights(weights: Any, dtype: Any, where: str) -> None:
    """Refuse weights that are negative, or so small or large that their sums are not right.

    Those that are not finite are left to others.

    Parameters
    ----------
    weights : ndarray
        The weights, as they were given.
    dtype : dtype
        The type that they will have.
    where : str
        Describes them in the message.

    Raises
    ------
    DataError
        If there are such.
    """
    # Not Python's numbers, which NumPy would cast to the type of the weights.
    least, most = np.array(WEIGHTS.get(str(np.dtype(dtype)), (0.0, np.inf)))
    wrong = (weights < least) & (weights != 0)
    if weights.dtype.kind == "f":
        wrong |= (weights > most) & np.isfinite(weights)
    if wrong.any():
        value = weights[wrong][0]
        hint = "; divide all by their mean, which changes nothing" if value > 0 else ""
        raise DataError(
            f"{where} has the weight {value:g}; expected 0, or a number from {least:g} to "
            f"{most:g}{hint}"
        )
