"""Pipelines as models of ONNX: what skl2onnx has to know of the estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier

from ..errors import ConfigurationError
from .autoencoder import NetAutoencoder
from .estimators import NetClassifier, NetRegressor
from .exporting import to_onnx


def register() -> None:
    """Tell skl2onnx of the estimators, so that it converts pipelines with them.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.
    """
    from skl2onnx import update_registered_converter

    options = {"zipmap": [True, False, "columns"], "output_class_labels": [False, True]}
    options["nocl"] = [True, False]
    for kind in (NetClassifier, NetRegressor, NetAutoencoder):
        given = {"options": options} if kind is NetClassifier else {}
        update_registered_converter(kind, f"Theanets{kind.__name__}", _shapes, _convert, **given)


def _shapes(operator: Any) -> None:
    """Say the types and shapes of the outputs."""
    from skl2onnx.common.data_types import (
        DoubleTensorType,
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
    )

    estimator, given = operator.raw_operator, operator.inputs[0].type
    rows = operator.inputs[0].get_first_dimension()
    kind = DoubleTensorType if isinstance(given, DoubleTensorType) else FloatTensorType
    if not is_classifier(estimator):
        many = estimator.network_.graph.shape(getattr(estimator, "_code", "out"))[-1]
        each = getattr(estimator, "_of_each", None)
        shape = [rows, many] if each is None else [rows, many // each, each]
        operator.outputs[0].set_type(kind(shape=shape))
        return
    count = len(estimator.classes_)
    texts = np.asarray(estimator.classes_).dtype.kind in "UO"
    labels = StringTensorType if texts else Int64TensorType
    operator.outputs[0].set_type(labels([rows, count] if estimator._several else [rows]))
    operator.outputs[1].set_type(kind(shape=[rows, count]))


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of an estimator."""
    from onnx import TensorProto, compose, helper
    from skl2onnx.common.data_types import DoubleTensorType

    from ..export.writer import OPSET

    if container.target_opset < OPSET:
        raise ConfigurationError(
            f"target_opset={container.target_opset}: networks need at least {OPSET}"
        )
    given = operator.inputs[0]
    dtype = "float64" if isinstance(given.type, DoubleTensorType) else "float32"
    prefix = scope.get_unique_variable_name("network_")
    graph = compose.add_prefix(to_onnx(operator.raw_operator, dtype=dtype), prefix).graph
    for tensor in graph.initializer:
        texts = tensor.data_type == TensorProto.STRING
        content = list(tensor.string_data) if texts else tensor
        container.add_initializer(tensor.name, tensor.data_type, list(tensor.dims), content)
    to = TensorProto.DOUBLE if dtype == "float64" else TensorProto.FLOAT
    first = helper.make_node("Cast", [given.full_name], [graph.input[0].name], to=to)
    last = [
        helper.make_node("Identity", [output.name], [name])
        for output, name in zip(graph.output, operator.output_full_names, strict=True)
    ]
    for node in (first, *graph.node, *last):
        name = scope.get_unique_operator_name(node.op_type)
        options = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        container.add_node(
            node.op_type,
            list(node.input),
            list(node.output),
            op_domain="",
            op_version=OPSET,
            name=name,
            **options,
        )
