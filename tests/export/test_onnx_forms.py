"""Every form of layer is exported to ONNX, and onnxruntime computes what the network does."""

import pytensor.tensor as pt
import pytest
from onnx_cases import difference, randomize
from onnx_forms import FORMS, RECURRENT

import theanets
from theanets import recurrent


def canonical(registry):
    names = {registry[n]: n for n in reversed(registry.names())}
    return {n for kind, n in names.items() if kind.__module__.startswith("theanets.")}


def test_every_form_is_tried():
    assert canonical(theanets.Layer.registry) == {*FORMS, *RECURRENT, "lengths", "crf"}


@pytest.mark.parametrize(
    "form, what", [(form, what) for form, cases in FORMS.items() for what in cases]
)
def test_form(form, what):
    described = FORMS[form][what]
    series = any(isinstance(d, tuple) and d[0] is None for d in described[:1])
    model = theanets.Classifier if form == "classifier" else theanets.Regressor
    model = recurrent.Regressor if series else model
    assert difference(randomize(model(described))) < 1e-5


@pytest.mark.parametrize("activation", sorted(canonical(theanets.Activation.registry)))
def test_activation(activation):
    size = 6 if activation in ("maxout", "glu", "geglu", "swiglu") else 4
    options = {"maxout": "maxout:2"}.get(activation, activation)
    net = randomize(theanets.Regressor([5, (size, options), 3]))
    assert difference(net, outputs=["hid1", "out"]) < 1e-5


def test_custom_layer_of_operations():
    class Gathering(theanets.Layer, register=False):
        def resolve_outputs(self):
            return {"out": (self.shape[0],), "rows": (2, 2)}

        def transform(self, inputs):
            x = inputs.only
            turned = x[:, ::-1][:, [3, 1, 0, 2]]
            changed = turned[:, 1:3].inc(x[:, :2] ** 2)
            top = pt.max(changed, axis=1, keepdims=True)
            ranked = pt.argsort(x, axis=1).astype(x.dtype) / 7 + pt.cumsum(changed, axis=1)
            both = pt.matmul(x.reshape((-1, 2, 2)), pt.stack([changed[:, :2], x[:, 2:]], axis=1))
            return {"out": pt.clip(ranked % 3, -1, top), "rows": both}

    net = theanets.Regressor([4, Gathering("mix", size=4), 3])
    assert difference(randomize(net), outputs=["mix", "mix:rows", "out"]) < 1e-5
