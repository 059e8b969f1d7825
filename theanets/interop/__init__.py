"""Networks and parameters of other libraries: from PyTorch and from Keras.

`from_torch` and `from_keras` find out which layers of ours compute what a model of theirs does, and
make a network of these with the same parameters; what has no counterpart is refused by its name,
before anything is made. The way back is ``net.to_torch_state()``, see `theanets.export`.

Neither library is imported here: models are recognized by the names of their classes.

To read: `torch_walk` goes from module to module, and `torch_modules`, `torch_windows`,
`torch_recurrent` and `torch_activations` know what each means; what they find is collected in a
`Plan` (`plan`), which makes the network. `keras_models` goes through the graph of a model of Keras,
with `keras_layers`, `keras_recurrent` and `keras_attention`. How the arrays of a layer correspond
to those of PyTorch, both ways, is in `theanets.export.torch_arrays`.
"""

from __future__ import annotations

from typing import Any

from ..errors import ConfigurationError, check_keywords
from ..export.torch_arrays import TORCH
from ..options import flag
from . import (  # noqa: F401
    keras_attention,
    keras_layers,
    keras_models,
    keras_recurrent,
    torch_activations,
    torch_attention,
    torch_modules,
    torch_recurrent,
    torch_windows,
)
from .plan import Plan, refused
from .torch_attention import ATTENDING
from .torch_walk import LAST, READERS, begin, check_known, kind_of, leaves

#: Keywords of networks that may be given.
KEYWORDS = ("loss", "weighted", "rng", "dtype", "mode")


def from_torch(
    module: Any, shape: Any = None, model: Any = None, causal: bool = False, **options: Any
) -> Any:
    """Make a network of a module of PyTorch, with its parameters.

    Its predictions are the outputs of the module in evaluation, to rounding.

    Parameters
    ----------
    module : torch.nn.Module, list or dict
        A ``Sequential`` of modules, nested or not, or one of those it may
        consist of: linear maps, convolutions and their transposes, pooling,
        normalization, dropout, activations, embedding, recurrences,
        attention. Of a recurrent module what passes on is its output, without
        the states. Or a list of modules in the order in which a ``forward``
        of one's own applies them; in it ``'last'`` after a recurrent module
        lets only that pass what it ends with, ``h_n``, of both directions
        side by side. A dict is such a list with names, those of the attributes
        for instance, so that the network's state has the names of the module's.
    shape : tuple, optional
        Shape of one example as the module takes it, without the axis of
        examples: ``(channels, height, width)`` of an image. None is any
        length. By default what the first modules say: ``(inputs,)`` for a
        linear map, ``(None, inputs)`` for a recurrence, any width and height
        for a convolution. The flat vector of an image needs a known one.
    model : class, optional
        Class of the network, `theanets.Classifier` for instance: then the
        outputs of the module are the scores of classes, with or without a
        softmax (``net.predict_logit`` gives them). By default the regressor for such
        data, whose predictions are what the module gives.
    causal : bool
        Whether each step attends to itself and to those before it only, in
        all attention there is: what a ``forward`` would be given as a mask,
        ``module(x, mask=..., is_causal=True)``, and no module holds.
    **options
        ``loss``, ``weighted``, ``rng``, ``dtype`` and ``mode``, as for
        `theanets.Network`. By default the type is that of the parameters, if
        that is float64, and else float32.

    Returns
    -------
    Network
        Layers are called by the path of their module, with ``/`` for dots:
        ``'features/0'``, and that of a module by itself by its class. Images are
        (batch, height, width, channels), series (batch, time, channels), whatever order the
        module has.

    Raises
    ------
    ConfigurationError
        If some module has no counterpart, or an option of it; says which.

    Warns
    -----
    UserWarning
        If what training does with some module has no counterpart, where
        predictions agree; or if parameters are NaN or infinite, by their names.
    """
    check_keywords(
        "from_torch", set(options) - set(KEYWORDS), [*KEYWORDS, "shape", "model", "causal"]
    )
    flag("causal", causal, "from_torch")
    found = list(leaves(module, ""))
    check_known(found)
    attending = [part for _, part in found if kind_of(part) in ATTENDING]
    if causal and not attending:
        raise ConfigurationError("causal=True, but nothing in the module attends to anything")
    if all(isinstance(part, str) for _, part in found):
        raise ConfigurationError(f"module={module!r} is empty: there is nothing to make layers of")
    plan = Plan("the module")
    walk = begin(plan, found, shape)
    walk.causal = causal
    for path, part in found:
        if isinstance(part, str):
            torch_recurrent.only_last(walk, path)
        else:
            READERS[kind_of(part)].read(walk, part, path)
    walk.give_axes()
    if walk.order is not None:
        path, part = found[-1]
        raise refused(
            path,
            type(part).__name__,
            "the module ends with a flat image, whose entries are in another order here: channels "
            "come last; a linear module has to follow",
        )
    net = plan.build(model, options)
    if len(found) == 1 and found[0][1] is module:
        # Its state has no path; a layer needs a name.
        net.metadata[TORCH] = {"module": plan.name(found[0][0])}
    return net


def from_keras(keras_model: Any, model: Any = None, **options: Any) -> Any:
    """Make a network of a model of Keras, with its parameters.

    Its predictions are those of the model, to rounding.

    Parameters
    ----------
    keras_model : keras.Model
        A ``Sequential``, or a functional model of one output, whose layers
        are dense, convolutions and their transposes, pooling, normalization,
        dropout, activations, embedding, recurrences, and what adds, multiplies
        or joins several; or models of these.
    model : class, optional
        Class of the network, `theanets.Classifier` for instance, whose scores
        of classes (``net.predict_logit``) are then what the last layer gives
        before its softmax, if it has one. By default the regressor for such
        data, whose predictions are what the model gives.
    **options
        ``loss``, ``weighted``, ``rng``, ``dtype`` and ``mode``, as for
        `theanets.Network`.

    Returns
    -------
    Network
        Layers are called as in the model, within others by their paths,
        ``'body/dense'``. Data are as there, with channels last.

    Raises
    ------
    ConfigurationError
        If some layer has no counterpart, or an option of it; says which.

    Warns
    -----
    UserWarning
        If parameters are NaN or infinite, by their names.
    """
    check_keywords("from_keras", set(options) - set(KEYWORDS), [*KEYWORDS, "model"])
    if keras_models.kind_of(keras_model) not in keras_models.MODELS:
        raise ConfigurationError(
            f"keras_model={keras_model!r} is not a Sequential or functional model of Keras; one "
            "with a call of its own has no counterpart"
        )
    plan = Plan("the model")
    keras_models.walk(plan, keras_model)
    return plan.build(model, options)


__all__ = ["LAST", "from_keras", "from_torch"]
