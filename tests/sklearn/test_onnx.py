"""Estimators as models of ONNX, alone and in pipelines that skl2onnx converts."""

import json
import warnings

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from onnx_cases import answers, session
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from theanets.errors import ConfigurationError
from theanets.sklearn import NetAutoencoder, NetClassifier, NetRegressor, register_onnx

RNG = np.random.default_rng(0)
X = RNG.normal(3, 4, size=(60, 4)).astype("float32")
CLASSES = (X[:, 0] * X[:, 1] > X.prod(axis=1)).astype(int) + (X[:, 2] > 3)
LABELS = {
    "int": CLASSES * 5 - 3,
    "text": np.array(["no", "maybe", "yes"])[CLASSES],
    "object": np.array(["no", "maybe", "yes"], dtype=object)[CLASSES],
    "float": CLASSES * 2.0,
    "two": (CLASSES > 0).astype(int),
    "bool": CLASSES > 0,
}


def fitted(estimator, *data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.set_params(**parameters(estimator)).fit(*data)


def parameters(estimator):
    last = estimator.steps[-1][0] + "__" if hasattr(estimator, "steps") else ""
    return {f"{last}epochs": 5, f"{last}random_state": 1}


@pytest.mark.parametrize("kind", LABELS)
def test_classifier(kind, tmp_path):
    net = fitted(NetClassifier([8]), X, LABELS[kind])
    net.export(tmp_path / "clf.onnx")
    found = answers(str(tmp_path / "clf.onnx"), {"X": X[:7]})
    assert list(found) == ["label", "probabilities"]
    np.testing.assert_array_equal(found["label"], net.predict(X[:7]))
    np.testing.assert_allclose(found["probabilities"], net.predict_proba(X[:7]), atol=1e-5)
    about = session(str(tmp_path / "clf.onnx")).get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == net.classes_.tolist()


def test_classifier_of_several_labels(tmp_path):
    sets = np.stack([X[:, 0] > 3, X[:, 1] > 3, X[:, 2] > 3], axis=1).astype(int)
    net = fitted(NetClassifier([8]), X, sets)
    net.export(tmp_path / "clf.onnx")
    found = answers(str(tmp_path / "clf.onnx"), {"X": X})
    np.testing.assert_array_equal(found["label"], net.predict(X))
    np.testing.assert_allclose(found["probabilities"], net.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(
    "loss, many",
    [(None, 1), (None, 2), ("poisson", 1), ({"form": "quantile", "quantile": [0.1, 0.5, 0.9]}, 2)],
)
def test_regressor(loss, many, tmp_path):
    y = np.abs(X[:, :many]) if many > 1 else np.abs(X[:, 0])
    net = fitted(NetRegressor([8], loss=loss), X, y)
    net.export(tmp_path / "reg.onnx")
    found = answers(str(tmp_path / "reg.onnx"), {"X": X})
    wanted = net.predict(X)
    assert list(found) == ["variable"]
    shape = (60, many, 3) if isinstance(loss, dict) else (60, many)
    np.testing.assert_allclose(found["variable"], wanted.reshape(shape), rtol=1e-5, atol=1e-5)


def test_types_and_autoencoder(tmp_path):
    net = fitted(NetAutoencoder([6, 2, 6]), X.astype("float64"))
    net.export(tmp_path / "a.onnx")
    double = session(str(tmp_path / "a.onnx")).run(None, {"X": X.astype("float64")})[0]
    np.testing.assert_allclose(double, net.transform(X), atol=1e-12)
    net.export(tmp_path / "a.onnx", dtype="float32")
    single = session(str(tmp_path / "a.onnx")).run(None, {"X": X})[0]
    assert single.dtype == "float32"
    np.testing.assert_allclose(single, net.transform(X), atol=1e-5)


def test_refused(tmp_path):
    with pytest.raises(NotFittedError):
        NetClassifier().export(tmp_path / "a.onnx")
    with pytest.raises(ConfigurationError, match=r"'.pkl'"):
        fitted(NetRegressor([3]), X, X[:, 0]).export(tmp_path / "a.pkl")


# ---- pipelines ---------------------------------------------------------------------


@pytest.fixture
def skl2onnx():
    found = pytest.importorskip("skl2onnx")
    register_onnx()
    return found


@pytest.mark.parametrize("kind", ["text", "two"])
def test_pipeline_of_a_classifier(kind, skl2onnx):
    pipeline = fitted(make_pipeline(StandardScaler(), NetClassifier([8])), X, LABELS[kind])
    model = skl2onnx.to_onnx(pipeline, X[:1], options={"zipmap": False})
    found = answers(model, {"X": X})
    assert list(found) == ["label", "probabilities"]
    np.testing.assert_array_equal(found["label"], pipeline.predict(X))
    np.testing.assert_allclose(found["probabilities"], pipeline.predict_proba(X), atol=1e-5)
    with pytest.raises(ConfigurationError, match="target_opset=15"):
        skl2onnx.to_onnx(pipeline, X[:1], target_opset=15)


def test_pipelines_of_others(skl2onnx):
    scaled = ColumnTransformer([("scaled", StandardScaler(), [0, 2])], remainder="passthrough")
    pipeline = fitted(make_pipeline(scaled, NetRegressor([8])), X, X[:, 0])
    found = answers(skl2onnx.to_onnx(pipeline, X[:1]), {"X": X})
    np.testing.assert_allclose(found["variable"][:, 0], pipeline.predict(X), atol=1e-5)
    coded = fitted(make_pipeline(StandardScaler(), NetAutoencoder([6, 2, 6])), X)
    double = X.astype("float64")
    found = answers(skl2onnx.to_onnx(coded, double[:1]), {"X": double})
    np.testing.assert_allclose(found["variable"], coded.transform(double), atol=1e-5)
