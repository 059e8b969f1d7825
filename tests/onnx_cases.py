"""What tests of the export share: random networks and data, and two runtimes to compare with."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnxruntime

from theanets.export import to_onnx


def randomize(net, seed=3, scale=0.5):
    """Give all parameters and states values that are neither equal nor zero."""
    rng = np.random.default_rng(seed)
    for param in net.params:
        value = scale * rng.normal(size=param.get_value().shape)
        param.set_value(value.astype(param.dtype))
    for variable in net.state:
        value = rng.uniform(0.5, 1.5, size=variable.get_value().shape)
        variable.set_value(value.astype(variable.dtype))
    return net


def data(net, batch, time, seed=4):
    """Get random inputs by name: values, symbols, and lengths of series."""
    rng, found = np.random.default_rng(seed), {}
    for layer in (layer for layer in net.layers if layer.is_input):
        shape = (batch, *(time if n is None else n for n in layer.output_shape))
        if layer.holds_lengths:
            lengths = rng.integers(1, time + 1, size=batch)
            lengths[0] = time
            found[layer.name] = lengths.astype("int32")
        elif hasattr(layer, "classes"):
            found[layer.name] = rng.integers(layer.classes, size=shape).astype("int32")
        else:
            found[layer.name] = rng.normal(size=shape).astype(net.dtype)
    return found


def session(model):
    bytes_ = model if isinstance(model, (bytes, str)) else model.SerializeToString()
    return onnxruntime.InferenceSession(bytes_, providers=["CPUExecutionProvider"])


def answers(model, feeds):
    """Get the outputs of a model by name, as onnxruntime computes them."""
    run = session(model)
    return dict(zip([o.name for o in run.get_outputs()], run.run(None, feeds)))


def expected(net, feeds, names):
    """Get what the network itself computes."""
    known = net.feed_forward(feeds)
    return {name: known[name] if name in known else net.predict(feeds) for name in names}


def difference(net, sizes=((1, 5), (3, 7)), model=None, **options):
    """Get the largest difference between a network and its export, for several sizes."""
    model = to_onnx(net, **options) if model is None else model
    worst = 0.0
    for batch, time in sizes:
        feeds = data(net, batch, time)
        found = answers(model, feeds)
        wanted = expected(net, feeds, found)
        for name, value in found.items():
            assert value.shape == wanted[name].shape, name
            assert value.dtype == wanted[name].dtype, name
            worst = np.maximum(worst, np.abs(value - wanted[name]).max())
    return float(worst)
