"""Every form of layer is exported to ONNX, and onnxruntime computes what the network does."""

import pytensor.tensor as pt
import pytest
from onnx_cases import difference, randomize

import theanets
from theanets import recurrent

SERIES = [(None, 4)]
IMAGES = [(9, 8, 2)]
#: For each form networks that have it, by what is special of them.
FORMS = {
    "input": {"": [4, 3]},
    "feedforward": {
        "": [4, (5, "tanh"), (3, "softmax")],
        "of series": [(None, 4), (5, "tanh"), 3],
        "of several": [
            dict(size=4, name="a"),
            dict(form="input", size=3, name="b"),
            dict(size=2, name="out", inputs=["a", "b"]),
        ],
        "sparse": [dict(size=4, sparse=True), 5, 3],
    },
    "classifier": {"": [4, 5, (3, "classifier")]},
    "tied": {"": [4, (5, "tanh"), (3, "relu"), "tied", "tied"]},
    "concatenate": {"": [4, 5, dict(form="concatenate", inputs=["in", "hid1"]), 3]},
    "product": {"": [4, (4, "tanh"), dict(form="product", inputs=["in", "hid1"]), 3]},
    "add": {"": [4, (4, "tanh"), dict(form="add", inputs=["in", "hid1"]), 3]},
    "flatten": {"": [(2, 3), "flat", 3]},
    "reshape": {"": [6, ("reshape", (2, 3)), "flat", 3]},
    "lambda": {"": [4, dict(form="lambda", function=abs), 3]},
    "batch_norm": {"": [4, 5, "batch_norm", 3]},
    "layer_norm": {"": [4, 5, "layer_norm", 3]},
    "dropout": {"": [4, dict(form="dropout", rate=0.2), 3]},
    "noise": {"": [4, dict(form="noise", std=0.1), 3]},
    "symbols": {"": [dict(form="symbols", shape=(5,), classes=3), ("embedding", 2), "flat", 3]},
    "embedding": {"of series": [dict(form="symbols", shape=(None,), classes=3), ("embedding", 2)]},
}
for form, options in {
    "conv1": {
        "": {},
        "strided": dict(stride=2, border_mode="full"),
        "dilated": dict(dilation=2, border_mode=((2, 1),)),
        "same": dict(stride=2, border_mode="same"),
    },
    "conv1_transposed": {
        "": {},
        "strided": dict(stride=3, border_mode="half"),
        "dilated": dict(dilation=2, stride=2),
        "same": dict(stride=4, border_mode="same"),
    },
}.items():
    FORMS[form] = {
        what: [*SERIES, dict(form=form, size=3, filter_size=3, **given)]
        for what, given in options.items()
    }
    FORMS[form.replace("1", "2")] = {
        what: [
            *IMAGES,
            dict(
                form=form.replace("1", "2"),
                size=3,
                filter_size=(3, 2),
                **{k: v[0] if isinstance(v, tuple) else v for k, v in given.items()},
            ),
        ]
        for what, given in options.items()
    }
FORMS["conv2"]["paddings"] = [
    *IMAGES,
    dict(form="conv2", size=3, filter_size=(3, 2), border_mode=((1, 0), 1)),
]
for mode in ("max", "mean", "sum"):
    for what, given in {
        "": dict(pool_size=2),
        "padded": dict(pool_size=3, stride=2, padding=((1, 2),)),
        "same": dict(pool_size=3, stride=2, padding="same"),
        "global": dict(pool_size="global"),
    }.items():
        padding = given.get("padding")
        images = {**given, "padding": padding * 2} if isinstance(padding, tuple) else given
        for form, source, own in (("pool1", SERIES, given), ("pool2", IMAGES, images)):
            described = [*source, dict(form=form, mode=mode, **own)]
            FORMS.setdefault(form, {})[f"{mode} {what}"] = described
FORMS["upsample1"] = {"": [*SERIES, dict(form="upsample1", factor=3)]}
FORMS["upsample2"] = {"": [*IMAGES, dict(form="upsample2", factor=(3, 2))]}

#: What is left out: there is no counterpart yet.
REFUSED = {
    *("rnn", "lstm", "gru", "mut1", "rrnn", "mrnn", "scrn", "clockwork", "bcrnn"),
    *("cell", "bidirectional", "lengths", "crf"),
}


def canonical(registry):
    names = {registry[n]: n for n in reversed(registry.names())}
    return {n for kind, n in names.items() if kind.__module__.startswith("theanets.")}


def test_every_form_is_tried():
    assert canonical(theanets.Layer.registry) == set(FORMS) | REFUSED


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
    size = 6 if activation in ("maxout", "glu") else 4
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
