"""Recurrent layers, masks and chains of labels as ONNX, of other lengths than any at the export."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from onnx_cases import answers, data, difference, randomize
from onnx_forms import OPERATORS, RECURRENT, recurrent_layer

import theanets
from theanets import recurrent
from theanets.export import to_onnx

CASES = [(form, what) for form, cases in RECURRENT.items() for what in cases]


def operators(model):
    return {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("form, what", CASES)
def test_form(form, what):
    net = randomize(recurrent.Regressor(recurrent_layer(form, **RECURRENT[form][what])))
    assert difference(net) < 1e-5
    # As many steps as lengths say, which the network need not have a layer for.
    names = ["out:out", *(f"hid1:{key}" for key in net.layers[1].output_shapes)]
    model = to_onnx(net, lengths=True, outputs=names)
    assert [i.name for i in model.graph.input] == ["in", "lengths"]
    feeds = data(net, 3, 7)
    feeds["lengths"] = np.array([7, 2, 1], "int32")
    wanted = net.feed_forward(feeds)
    # What is in steps that do not exist does not matter.
    feeds["in"][np.arange(7) >= feeds["lengths"][:, None]] = np.nan
    found = answers(model, feeds)
    assert list(found) == names
    for name, value in found.items():
        np.testing.assert_allclose(value, wanted[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "form, direction",
    [
        ("rnn", "backward"),
        ("lstm", "forward"),
        ("lstm", "backward"),
        ("gru", "reversed"),
        ("mut1", "backward"),
    ],
)
def test_directions_and_last_with_lengths(form, direction):
    described = [
        (None, 4),
        dict(form="lengths", name="lengths"),
        dict(form=form, size=6, direction=direction),
        dict(form=form, size=5, direction=direction, last=True),
        3,
    ]
    net = randomize(recurrent.Regressor(described))
    model = to_onnx(net)
    assert OPERATORS.get(form, "Scan") in operators(model)
    assert difference(net, sizes=((1, 5), (3, 7), (4, 1)), model=model) < 1e-5


@pytest.mark.parametrize("form, what", [case for case in CASES if case[0] in OPERATORS])
def test_equations_that_onnx_has_are_operators(form, what):
    net = recurrent.Regressor(recurrent_layer(form, **RECURRENT[form][what]))
    same = what not in ("softsign", "prelu", "zoneout", "normalized")
    found = operators(to_onnx(net))
    assert (OPERATORS[form] in found) is same and ("Scan" in found) is not same
    if not what:
        # What the operator does not give.
        inner = {"rnn": "pre", "lstm": "cell", "gru": "rate"}[form]
        assert "Scan" in operators(to_onnx(net, outputs=f"hid1:{inner}"))


def test_a_cell_with_the_equations_of_an_operator_is_one():
    def step(cell, x, h):
        return pt.tanh(x + cell.dot(h, "hh") + cell.vector("b"))

    net = randomize(recurrent.Regressor([(None, 4), dict(form="cell", size=6, step=step), 3]))
    model = to_onnx(net)
    assert "RNN" in operators(model) and difference(net, model=model) < 1e-5


def test_steps_that_do_not_exist_are_zero_whatever_a_runtime_leaves_there():
    # The operators of ONNX do not say what they put out for these steps.
    described = [(None, 4), dict(form="lengths", name="lengths"), (6, "lstm"), 3]
    model = to_onnx(recurrent.Regressor(described), outputs="hid1")
    made = {output: node for node in model.graph.node for output in node.output}
    last = made[made["hid1:out"].input[0]]
    assert last.op_type == "Where" and made[last.input[1]].op_type == "Transpose"


class Ones(theanets.Layer, register=False):
    def transform(self, inputs):
        return pt.ones((inputs.only.shape[0], self.shape[0]), dtype=self.dtype)


@pytest.mark.parametrize("form", ["lstm", "mut1"])
def test_initial_states(form):
    described = [
        dict(size=3, name="start"),
        dict(form="input", name="in", shape=(None, 4)),
        dict(form="feedforward", name="begin", size=6, inputs="start"),
        dict(form=form, name="hid", size=6, inputs="in", h_0="begin"),
        dict(form=form, name="both", size=6, inputs="hid", h_0="start6"),
        dict(size=2, name="out", inputs="both"),
    ]
    described.insert(3, Ones("start6", size=6, inputs="start"))
    net = randomize(theanets.Regressor(described))
    assert difference(net) < 1e-5


def test_float64_is_a_scan():
    net = randomize(recurrent.Regressor(recurrent_layer("gru"), dtype="float64"))
    assert "Scan" in operators(to_onnx(net)) and difference(net) < 1e-12
    assert "GRU" in operators(to_onnx(net, dtype="float32"))


@pytest.mark.parametrize("lengths", [False, True])
def test_chain_of_labels(lengths):
    layer = [dict(form="lengths", name="lengths")] if lengths else []
    net = randomize(recurrent.Classifier([(None, 4), *layer, (5, "rnn"), (3, "crf")]), scale=2)
    transition = net.find("out", "transition")
    value = transition.get_value()
    value[0, 1] = value[2, 2] = -np.inf
    transition.set_value(value)
    model = to_onnx(net)
    for batch, time in ((1, 5), (3, 7), (2, 1)):
        feeds = data(net, batch, time)
        found = answers(model, feeds)
        mask = np.arange(time) < feeds.get("lengths", np.full(batch, time))[:, None]
        np.testing.assert_array_equal(found["label"], net.predict(feeds, mask=mask))
        known = net.predict_proba(feeds, mask=mask)
        np.testing.assert_allclose(found["out:out"], known, atol=1e-5)


def test_names_of_axes():
    net = recurrent.Classifier([(None, 4), (6, "gru"), (3, "softmax")])
    model = to_onnx(net, lengths=True)
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "in": ["batch", "time", 4],
        "lengths": ["batch"],
        "label": ["batch", "time"],
        "out:out": ["batch", "time", 3],
    }


def test_scan_of_a_layer():
    class Fibonacci(theanets.Layer, register=False):
        def resolve_outputs(self):
            return {"out": (None, self.shape[0]), "last": (self.shape[0],)}

        def transform(self, inputs):
            x = inputs.only.dimshuffle(1, 0, 2)

            def step(now, before, two_before, total, around):
                new = 0.5 * before - 0.25 * two_before + pt.tanh(now)
                return new, total + new * around, now.sum()

            start = pt.stack([pt.zeros_like(x[0]), pt.ones_like(x[0])])
            rows, totals, _ = pytensor.scan(
                step,
                sequences=[x],
                outputs_info=[
                    dict(initial=start, taps=[-1, -2]),
                    pt.zeros_like(x[0]),
                    None,
                ],
                non_sequences=[inputs.only.mean(axis=1)],
                return_updates=False,
            )
            return {"out": rows.dimshuffle(1, 0, 2), "last": totals[-1]}

    net = recurrent.Regressor([(None, 4), Fibonacci("sums", size=4), 3])
    assert difference(randomize(net), outputs=["sums", "sums:last", "out"]) < 1e-5
