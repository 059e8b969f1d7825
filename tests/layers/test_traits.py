"""What the rest of the package asks a layer, whatever its class."""

import ast
from pathlib import Path

import pytest
from package_source import Package, dotted

import theanets
from theanets.layers import Layer

#: Classes of the library by name; tests of others register their own.
FORMS = {
    kind.__name__.lower(): kind
    for kind in (Layer.registry[name] for name in Layer.registry.names())
    if kind.__module__.startswith("theanets.")
}
FLAGS = ("is_input", "holds_lengths", "unasked", "keeps_entries", "chooses_jointly")
FLAGS += ("leaves_out_steps", "is_recurrent")
MAPS = {
    "feedforward": "matrix",
    "classifier": "matrix",
    "conv1": "filters",
    "conv2": "filters",
    "conv1transposed": "transposed_filters",
    "conv2transposed": "transposed_filters",
}
#: The forms that answer yes, of all there are.
YES = {
    "is_input": {"input", "symbols", "lengths"},
    "holds_lengths": {"lengths"},
    "unasked": set(),
    "keeps_entries": {"batchnorm", "layernorm", "rmsnorm", "groupnorm", "instancenorm"}
    | {"dropout", "noise", "sequential", "transformer"},
    "chooses_jointly": {"crf"},
    "leaves_out_steps": {"bidirectional", "celllayer", "lstm", "gru", "mut1", "rnn", "clockwork"}
    | {"bcrnn", "rrnn", "mrnn", "scrn"},
}
YES["is_recurrent"] = YES["leaves_out_steps"]


@pytest.mark.parametrize("question", FLAGS)
def test_forms_that_say_yes(question):
    answers = {form: getattr(kind, question) for form, kind in FORMS.items()}
    assert set(map(type, answers.values())) == {bool}
    assert {form for form, answer in answers.items() if answer} == YES[question]


def test_linear_maps():
    assert {form: kind.linear_map for form, kind in FORMS.items() if kind.linear_map} == MAPS


@pytest.fixture(scope="module")
def layers():
    chain = theanets.recurrent.Classifier(
        [
            (None, 3),
            {"form": "lengths", "name": "n", "of": "in"},
            (4, "lstm"),
            {"form": "bidirectional", "size": 4, "name": "both"},
            {"form": "dropout", "rate": 0.5, "name": "drop"},
            (2, "crf"),
        ]
    )
    flat = theanets.Autoencoder([6, (2, "tanh"), {"form": "tied", "partner": "hid1"}])
    classes = theanets.Classifier([4, 3])
    return chain.graph.by_name, flat.graph.by_name, classes.graph.by_name


def test_inputs(layers):
    chain, flat, _ = layers
    assert chain["in"].is_series and not flat["in"].is_series
    assert not chain["n"].is_series and chain["n"].named() == ["in"]
    assert not chain["hid1"].is_series
    assert flat["in"].ndim == 2 and chain["in"].ndim == 3


def test_axes_are_expected_of_an_input_that_does_not_say_them():
    free, said = theanets.layers.Input("a", size=3), theanets.layers.Input("b", size=3, ndim=2)
    wide = theanets.layers.Input("c", shape=(4, 5, 3))
    other = theanets.layers.Feedforward("d", size=3)
    for layer in (free, said, wide, other):
        layer.expect_axes(3)
    assert (free.ndim, said.ndim, wide.ndim) == (3, 2, 4)
    assert not hasattr(other, "ndim")


def test_layers_that_a_layer_consists_of_or_is_tied_to(layers):
    chain, flat, _ = layers
    assert [len(layer.workers) for layer in chain.values()] == [0, 0, 0, 2, 0, 0]
    assert flat["out"].tied_to is flat["hid1"]
    assert all(layer.tied_to is None for layer in (*chain.values(), flat["in"], flat["hid1"]))


def test_scores(layers):
    chain, flat, classes = layers
    assert chain["out"].label_loss == "crf" and chain["out"].scores_output == "out:pre"
    assert chain["out"].logits_output is None
    assert classes["out"].label_loss == "xe" and classes["out"].logits_output == "out:pre"
    assert flat["out"].scores_output == "out:out" and flat["out"].chain({}) is None


def test_series_in_parts(layers):
    chain, _, _ = layers
    assert chain["both"].cannot_continue == "runs backward"
    assert chain["hid1"].cannot_continue is None and chain["drop"].cannot_continue is None
    assert len(chain["hid1"].state_shapes()) == 2 and not chain["drop"].state_shapes()


def classes_asked(package):
    """Find where a class of layers is asked for, besides `Layer`, in other packages."""
    found = {}
    for module, tree in package.trees.items():
        for node in ast.walk(tree):
            asked = isinstance(node, ast.Call) and dotted(node.func) in ("isinstance", "issubclass")
            if module.partition(".")[0] == "layers" or not asked:
                continue
            for name, _ in package.uses(module, node.args[1]):
                if name.startswith("theanets.layers.") and name.rpartition(".")[2] != "Layer":
                    found.setdefault(module, set()).add(name.rpartition(".")[2])
    return found


def test_nobody_else_asks_of_what_class_a_layer_is():
    found = classes_asked(Package(Path(theanets.__file__).parent))
    # The class is meant: the formula of one, and a decoder for each.
    assert found == {
        "regularizers.contractive": {"Feedforward"},
        "pretraining.decoders": {"Pool1", "Pool2", "Flatten", "Reshape"},
    }
