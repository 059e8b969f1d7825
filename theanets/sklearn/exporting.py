"""Estimators as models of ONNX.

Inputs and outputs are those of skl2onnx: ``X``, ``label`` and ``probabilities`` of a
classifier, ``variable`` of any other.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor.tensor as pt
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from ..errors import ConfigurationError
from ..export import made, written

if TYPE_CHECKING:
    import onnx

    from .base import NetEstimator


def export(self: NetEstimator, target: str | os.PathLike[str], *, dtype: str | None = None) -> None:
    """Write the estimator, as it predicts, to a file of ONNX, for other runtimes.

    The input is called ``X``. A classifier's outputs are ``label``, with the labels of
    `classes_` (int64, or strings), and ``probabilities``; of several classes for each
    example, ``label`` is a matrix of 0 and 1. What others predict, or transform to, is
    ``variable``, of two axes, or three where there are several quantiles.

    Parameters
    ----------
    target : path
        Ends in ``.onnx``; written atomically.
    dtype : {'float32', 'float64'}, optional
        Type of the floats in the file; by default that of the data that it was fitted on.

    Raises
    ------
    ConfigurationError
        If something that it computes has no counterpart in ONNX.
    FileError
        If the file cannot be written.
    ImportError
        If the package onnx is not installed.
    """
    check_is_fitted(self)
    written(target, lambda: to_onnx(self, dtype=dtype))


def to_onnx(estimator: NetEstimator, *, dtype: str | None = None) -> onnx.ModelProto:
    """Get an estimator as a model of ONNX; see `NetEstimator.export`."""
    check_is_fitted(estimator)
    net: Any = estimator.network_
    layer, out = net.output_layer, net.output_name
    names = [estimator._code] if hasattr(estimator, "_code") else [out]
    if is_classifier(estimator):
        names.append(f"{layer.name}:pre")

    def outputs(found: Any) -> dict[str, Any]:
        first = found[names[0]]
        if not is_classifier(estimator):
            return {"variable": _values(estimator, first)}
        if estimator._several:
            return {"label": pt.gt(first, 0.5).astype("int64"), "probabilities": first}
        return {"label": pt.argmax(found[names[1]], axis=1), "probabilities": first}

    model = made(net, names, dtype, outputs)
    _rename_input(model)
    if is_classifier(estimator) and not estimator._several:
        _name_labels(model, np.asarray(estimator.classes_))
        model.metadata_props.add(key="classes", value=json.dumps(estimator.classes_.tolist()))
    return model


def _values(estimator: Any, output: Any) -> Any:
    """Get what is predicted, of the output of the network."""
    if getattr(estimator, "_of_each", None) is not None:
        return output.reshape((output.shape[0], estimator.n_outputs_, estimator._of_each))
    return estimator.network_.losses[0].point(output) if hasattr(estimator, "_flat") else output


def _rename_input(model: onnx.ModelProto) -> None:
    from onnx import helper

    given = model.graph.input[0]
    model.graph.node.insert(0, helper.make_node("Identity", ["X"], [given.name]))
    given.name = "X"


def _name_labels(model: onnx.ModelProto, classes: Any) -> None:
    """Let the output be labels and not their numbers."""
    from onnx import helper, numpy_helper

    texts = classes.dtype.kind in "UO"
    if classes.dtype.kind == "O" and not all(isinstance(one, str) for one in classes):
        raise ConfigurationError(f"the classes {classes} are neither numbers nor texts")
    # Classes that are floats are whole numbers all the same.
    labels = numpy_helper.from_array(classes.astype(object if texts else "int64"), "classes")
    model.graph.initializer.append(labels)
    last = next(node for node in model.graph.node if list(node.output) == ["label"])
    last.output[0] = "class"
    model.graph.node.append(helper.make_node("Gather", ["classes", "class"], ["label"]))
    model.graph.output[0].type.tensor_type.elem_type = labels.data_type
