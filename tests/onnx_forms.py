"""Networks by the form of layer that they are about, which tests of the export go through."""

import pytensor.tensor as pt

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
    "sequential": {"": [4, dict(form="sequential", layers=[(5, "tanh"), 4], repeat=2), 3]},
    "residual": {
        "": [4, dict(form="residual", layers=[(5, "tanh"), 3], activation="relu"), 3],
        "of images": [
            *IMAGES,
            dict(
                form="residual",
                layers=[dict(form="conv2", size=3, filter_size=3, stride=2, border_mode="same")],
            ),
        ],
    },
    "flatten": {"": [(2, 3), "flat", 3]},
    "reshape": {"": [6, ("reshape", (2, 3)), "flat", 3]},
    "lambda": {"": [4, dict(form="lambda", function=abs), 3]},
    "batch_norm": {"": [4, 5, "batch_norm", 3]},
    "layer_norm": {"": [4, 5, "layer_norm", 3]},
    "rms_norm": {"": [4, 5, "rms_norm", 3]},
    "group_norm": {"": [(None, 4), dict(form="group_norm", groups=2), 3]},
    "instance_norm": {"": [(5, 6, 2), "instance_norm", 3]},
    "dropout": {"": [4, dict(form="dropout", rate=0.2), 3]},
    "attention": {
        "": [*SERIES, dict(form="attention", heads=2), 3],
        "causal": [*SERIES, dict(form="attention", size=8, causal=True, kv_heads=2), 3],
        "window": [*SERIES, dict(form="attention", window=2, dropout=0.1, bias=False), 3],
        "rotary": [*SERIES, dict(form="attention", heads=2, position="rotary"), 3],
        "relative": [*SERIES, dict(form="attention", position="relative", reach=3), 3],
        "of another": [
            *SERIES,
            dict(form="conv1", size=5, filter_size=2),
            dict(form="attention", heads=2, inputs=["in", "hid1"]),
            3,
        ],
    },
    "position": {
        "": [*SERIES, "position", 3],
        "learned": [*SERIES, dict(form="position", kind="learned", steps=50), 3],
    },
    "transformer": {
        "": [*SERIES, dict(form="transformer", heads=2, hidden=6, dropout=0.1), 3],
        "post": [*SERIES, dict(form="transformer", norm="post", activation="swiglu"), 3],
    },
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
FORMS["upsample2"] = {
    "": [*IMAGES, dict(form="upsample2", factor=(3, 2))],
    "bilinear": [*IMAGES, dict(form="upsample2", factor=(3, 2), mode="bilinear")],
}
FORMS["conv2"]["groups"] = [*IMAGES, dict(form="conv2", size=4, filter_size=3, groups=2)]
FORMS["conv2"]["depthwise"] = [*IMAGES, dict(form="conv2", size=2, filter_size=3, groups=2)]
FORMS["conv1_transposed"]["groups"] = [
    *SERIES,
    dict(form="conv1_transposed", size=2, filter_size=3, groups=2),
]
FORMS["conv1_separable"] = {"": [*SERIES, dict(form="conv1_separable", size=3, filter_size=3)]}
FORMS["conv2_separable"] = {"": [*IMAGES, dict(form="conv2_separable", size=3, filter_size=3)]}
for mode in ("zero", "reflect", "replicate"):
    for form, source in (("pad1", SERIES), ("pad2", IMAGES)):
        described = [*source, dict(form=form, padding=2, mode=mode)]
        FORMS.setdefault(form, {})[mode] = described
FORMS["pool_time"] = {
    mode: [*SERIES, dict(form="pool_time", mode=mode), 3]
    for mode in ("mean", "max", "sum", "last", "attention")
}


def leaky(cell, x, h):
    return 0.5 * h + 0.5 * pt.tanh(x + cell.dot(h, "hh"))


def sorted_step(cell, x, h):
    # Not done entry by entry, so that it is PyTensor's scan.
    return pt.tanh(x + pt.sort(cell.dot(h, "hh"), axis=-1))


def recurrent_layer(form, **options):
    return [*SERIES, dict(form=form, size=6, **options), 3]


#: What each recurrent form is called in the file where it has an operator.
OPERATORS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
RECURRENT = {
    "rnn": {
        "": {},
        "relu": dict(activation="relu"),
        "sigmoid": dict(activation="sigmoid"),
        "softsign": dict(activation="softsign"),
        "zoneout": dict(zoneout=0.3),
        "prelu": dict(activation="prelu"),
    },
    "lstm": {
        "": {},
        "plain": dict(peepholes=False),
        "normalized": dict(normalized=True),
        "zoneout": dict(zoneout={"h": 0.1, "c": 0.4}),
    },
    "gru": {"": {}, "reset_after": dict(reset_after=True), "relu": dict(activation="relu")},
    "mut1": {"": {}, "inner_bias": dict(inner_bias=True)},
    "rrnn": {"": {}},
    "mrnn": {"": dict(factors=2)},
    "scrn": {"": {}},
    "clockwork": {"": dict(periods=[1, 3])},
    "bcrnn": {"": dict(num_modules=2)},
    "cell": {"": dict(step=leaky), "of rows": dict(step=sorted_step)},
    "bidirectional": {
        "": dict(worker="gru"),
        "lstm": dict(worker="lstm"),
        "not aligned": dict(worker="rnn", aligned=False),
    },
}
