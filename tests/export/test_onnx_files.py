"""What is in an exported file besides nodes, and what is refused before anything is written."""

import io
import json
import os
import sys

import numpy as np
import pytensor.tensor as pt
import pytest
from onnx_cases import answers, data, difference, randomize, session

import theanets
from theanets.errors import ConfigurationError, FileError
from theanets.export import to_onnx


def test_names_types_and_axes(tmp_path):
    net = theanets.Classifier([dict(size=4, name="row"), 5, 3], rng=1)
    net.metadata.update(classes=["a", "b", "c"], scale=np.array([1.0, 2.0]), note="of a test")
    path = tmp_path / "net.ONNX"
    net.export(path)
    run = session(str(path))
    described = [(i.name, i.type, i.shape) for i in (*run.get_inputs(), *run.get_outputs())]
    assert described == [
        ("row", "tensor(float)", ["batch", 4]),
        ("label", "tensor(int64)", ["batch"]),
        ("out:out", "tensor(float)", ["batch", 3]),
    ]
    about = run.get_modelmeta()
    known = about.custom_metadata_map
    assert json.loads(known["classes"]) == ["a", "b", "c"] and known["note"] == "of a test"
    assert json.loads(known["scale"]) == [1.0, 2.0]
    assert about.producer_name == "theanets" and about.graph_name == "Classifier"


def test_outputs_that_are_wanted():
    net = randomize(theanets.Regressor([4, (5, "tanh"), 3], rng=1))
    model = to_onnx(net, outputs="hid1")
    assert [o.name for o in model.graph.output] == ["hid1:out"]
    assert difference(net, outputs="hid1") < 1e-5
    # What these do not need is not in the file.
    assert {c.name for c in model.graph.initializer} == {"hid1.w", "constant"}
    assert difference(net, outputs=["out:pre", "hid1"]) < 1e-5


def test_an_input_called_label():
    net = randomize(theanets.Classifier([dict(size=4, name="label"), 3], rng=1))
    feeds = data(net, 3, 1)
    found = answers(to_onnx(net), feeds)
    np.testing.assert_array_equal(found["label_"], net.predict(feeds))


def test_weights_that_are_tied_are_in_the_file_once():
    net = theanets.Autoencoder([40, 30, ("tied", 40)], rng=1)
    sizes = [np.prod(c.dims) for c in to_onnx(net).graph.initializer]
    assert sorted(sizes)[-2:] == [40, 1200]


def test_float64():
    net = randomize(theanets.Regressor([4, (5, "tanh"), 3], dtype="float64", rng=1))
    run = session(to_onnx(net))
    assert [i.type for i in (*run.get_inputs(), *run.get_outputs())] == ["tensor(double)"] * 2
    assert difference(net) < 1e-12
    x = data(net, 3, 1)["in"]
    single = to_onnx(net, dtype="float32")
    found = answers(single, {"in": x.astype("float32")})["out:out"]
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, net.predict(x), atol=1e-5)


def test_batch_of_none():
    net = theanets.Classifier([(2, 2), "flat", 3], rng=1)
    found = answers(to_onnx(net), {"in": np.zeros((0, 2, 2), "float32")})
    assert found["label"].shape == (0,) and found["out:out"].shape == (0, 3)


def test_outputs_that_are_inputs():
    described = [dict(form="symbols", shape=(5,), classes=3), ("embedding", 2), "flat", 3]
    net = randomize(theanets.Regressor(described, rng=1))
    feeds = data(net, 2, 1)
    found = answers(to_onnx(net, outputs=["in", "out", "out:out"]), feeds)
    assert list(found) == ["in:out", "out:out"] and found["in:out"].dtype == "int32"
    np.testing.assert_array_equal(found["in:out"], feeds["in"])


def test_export_leaves_the_network_as_it_is():
    net = theanets.Regressor([4, 5, 3], rng=1)
    before = net.predict(np.ones((2, 4)))
    known = len(net._cache)
    to_onnx(net)
    assert len(net._cache) == known
    np.testing.assert_array_equal(net.predict(np.ones((2, 4))), before)


# ---- what is refused ---------------------------------------------------------------


class Inverted(theanets.Layer, register=False):
    def transform(self, inputs):
        x = inputs.only
        return pt.gammaln(1 + pt.abs(x))


def test_an_operation_without_counterpart(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"as it was")
    net = theanets.Regressor([4, 5, Inverted("odd", size=5), 3])
    with pytest.raises(ConfigurationError, match=r"layer 'odd' .*cannot be exported.* GammaLn"):
        net.export(path)
    assert path.read_bytes() == b"as it was" and os.listdir(tmp_path) == ["net.onnx"]


class Drawing(theanets.Layer, register=False):
    def transform(self, inputs):
        generator = inputs.generator("draws")
        drawn = pt.random.normal(size=(4,), rng=generator, return_next_rng=True)
        return inputs.only + drawn[1]


def test_what_is_random_is_refused():
    net = theanets.Regressor([4, Drawing("drawn", size=4), 3])
    with pytest.raises(ConfigurationError, match=r"layer 'drawn' .*cannot be exported"):
        to_onnx(net)


def test_bad_arguments(tmp_path):
    net = theanets.Regressor([4, 5, 3])
    with pytest.raises(ConfigurationError, match=r"ends in '.onn'.*'.onnx'"):
        net.export(tmp_path / "net.onn")
    with pytest.raises(ConfigurationError, match=r"without noise.*'hidden_dropout'"):
        net.export(tmp_path / "net.onnx", hidden_dropout=0.5)
    with pytest.raises(ConfigurationError, match="did you mean 'outputs'"):
        net.export(tmp_path / "net.onnx", output="hid1")
    with pytest.raises(ConfigurationError, match="'float16'"):
        net.export(tmp_path / "net.onnx", dtype="float16")
    with pytest.raises(ConfigurationError, match=r"'hid2:out'.*did you mean 'hid1:out'"):
        net.export(tmp_path / "net.onnx", outputs=["hid2"])
    with pytest.raises(ConfigurationError, match="Regressor has no series"):
        net.export(tmp_path / "net.onnx", lengths=True)
    with pytest.raises(FileError, match="nor the directory"):
        net.export(tmp_path / "none" / "net.onnx")
    with pytest.raises(ConfigurationError, match="outputs=\\[\\]"):
        net.export(tmp_path / "net.onnx", outputs=[])
    with pytest.raises(ConfigurationError, match=r"outputs=5"):
        net.export(tmp_path / "net.onnx", outputs=5)
    assert os.listdir(tmp_path) == []


def test_more_than_a_file_may_hold(monkeypatch):
    monkeypatch.setattr("theanets.export.network.LIMIT", 1000)
    with pytest.raises(ConfigurationError, match="1000"):
        to_onnx(theanets.Regressor([4, 100, 3]))


def test_targets_that_are_no_paths():
    with pytest.raises(ConfigurationError, match="SerializeToString"):
        theanets.Regressor([4, 3]).export(io.BytesIO())


def test_without_onnx(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"theanets\[onnx\]"):
        theanets.Regressor([4, 5, 3]).export(tmp_path / "net.onnx")
