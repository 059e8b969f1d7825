"""Names that other libraries have: what they are called here."""

from __future__ import annotations

import copy
import pickle
import typing

import numpy as np
import pytest

import theanets
from theanets import optimizers, runs
from theanets.activations import Activation
from theanets.earlier import NAMES, PHRASES, namesakes, phrase
from theanets.errors import ConfigurationError
from theanets.losses import Loss
from theanets.metrics import Metric
from theanets.regularizers import Regularizer
from theanets.training.keywords import TrainKeywords

DATA = [np.zeros((4, 2)), np.zeros((4, 1))]


@pytest.fixture
def net():
    return theanets.Regressor([2, 1])


@pytest.mark.parametrize(
    ("keyword", "right"),
    [
        ("lr", "learning_rate"),
        ("betas", "beta1"),
        ("n_epochs", "epochs"),
        ("epoch", "epochs"),
        ("optimizer", "algo"),
        ("validation_data", "valid"),
        ("validation_fraction", "validation_split"),
        ("verbose", "progress"),
        ("random_state", "rng"),
    ],
)
@pytest.mark.parametrize("algo", ["adam", "layerwise", ["sgd", "adam"]])
def test_keywords_of_train(net, keyword, right, algo):
    with pytest.raises(ConfigurationError, match=f"{keyword!r} \\(did you mean '{right}'"):
        net.train(DATA, algo=algo, **{keyword: 1})


@pytest.mark.parametrize("algo", ["adam", "layerwise", ["sgd", "adam"]])
def test_options_of_layers_and_losses_are_not_those_of_train(net, algo):
    for keyword, what in {
        "bptt_limit": r"an option of a layer, 'bidirectional', .*, \.\.\.: dict\(.*bptt_limit=\.",
        "heads": r"an option of a layer, 'attention', 'transformer': dict\(.*heads=\.",
        "delta": r"an option of a loss, 'huber'.*: loss=dict\(form='huber', delta=\.\.\.\) for",
        # What is said of these is nearer.
        "epsilon": "did you mean 'rms_regularizer'",
        "activation": "write ",
    }.items():
        with pytest.raises(ConfigurationError, match=rf"train got .* {keyword!r} \({what}"):
            net.train(DATA, algo=algo, **{keyword: 1})


def test_keywords_of_another_algorithm_are_no_options_of_layers(net):
    with pytest.raises(ConfigurationError, match="unknown keyword 'beta1'") as caught:
        net.train(DATA, algo="sgd", beta1=0.9)
    assert "an option of" not in str(caught.value)


@pytest.mark.parametrize("call", ["train", "evaluate", "network"])
def test_weights_of_classes_and_examples_belong_to_the_network(call):
    net = theanets.Classifier([2, 2])
    calls = {"network": lambda **kwargs: theanets.Classifier([2, 2], **kwargs)}
    take = calls.get(call) or (lambda **kwargs: getattr(net, call)(DATA, **kwargs))
    with pytest.raises(ConfigurationError, match=r"'class_weight' \(write loss={'form': 'xe', 'cl"):
        take(class_weight={0: 1, 1: 2})
    with pytest.raises(ConfigurationError, match=r"'sample_weight' \(write weighted=True for"):
        take(sample_weight=[1, 2, 3, 4])


@pytest.mark.parametrize(
    ("call", "keyword"),
    [("train", "activation"), ("predict", "learning_rate"), ("evaluate", "patience")],
)
def test_a_hint_says_nothing_of_what_a_method_had(net, call, keyword):
    with pytest.raises(ConfigurationError, match=rf"'{keyword}' \(write ") as caught:
        getattr(net, call)(DATA[0] if call == "predict" else DATA, **{keyword: 1})
    assert "versions" not in str(caught.value)


REGISTRIES = {
    "loss": Loss.registry,
    "layer": theanets.Layer.registry,
    "activation": Activation.registry,
    "metric": Metric.registry,
    "algorithm": optimizers.Optimizer.registry,
}


@pytest.mark.parametrize(
    ("kind", "name", "right"),
    [
        ("loss", "mean_squared_error", "mse"),
        ("loss", "MSELoss", "mse"),
        ("loss", "l1", "mae"),
        ("loss", "sparse_categorical_crossentropy", "xe"),
        ("loss", "CategoricalCrossentropy", "xe"),
        ("loss", "CrossEntropyLoss", "xe"),
        ("loss", "binary_crossentropy", "bce"),
        ("loss", "BCEWithLogitsLoss", "bce_logits"),
        ("loss", "huber_loss", "huber"),
        ("layer", "Dense", "feedforward"),
        ("layer", "MaxPooling2D", "pool2"),
        ("activation", "identity", "linear"),
        ("activation", "LeakyReLU", "leaky-relu"),
        ("metric", "roc_auc_score", "auc"),
        ("metric", "mean_squared_error", "mse"),
    ],
)
def test_classes_of_other_libraries(kind, name, right):
    with pytest.raises(KeyError, match=rf"unknown {kind} '{name}' \(did you mean '{right}'\?\)"):
        REGISTRIES[kind][name]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("algorithm", name) for name in ("Adam", "AdamW", "SGD", "RMSprop", "NAdam", "LBFGS")),
        *(("activation", name) for name in ("ReLU", "SELU", "GELU", "SiLU", "Sigmoid", "Hardtanh")),
        *(("metric", name) for name in ("acc", "roc_auc", "auc", "RMSE")),
        *(("layer", name) for name in ("LSTM", "GRU", "Embedding", "Dropout")),
    ],
)
def test_names_of_other_libraries_that_are_ours(kind, name):
    assert name in REGISTRIES[kind]


def test_names_lead_somewhere(net):
    keywords = {"valid", "algo", *runs.keywords("adam"), *runs.keywords("rmsprop")}
    methods = {*dir(net), *dir(theanets.Autoencoder)}
    sizes = net.layers[1]._keywords()
    layers = REGISTRIES["layer"]
    options = {key for name in layers.names() for key in getattr(layers[name], "options", {})}
    every = (keywords, methods, sizes, options, *REGISTRIES.values())
    for right, others in NAMES.items():
        kinds = [kind for kind in every if right in kind]
        assert kinds, right
        for name in others:
            # Where a name is valid itself it needs no hint, unless it is an alias.
            valid = [kind for kind in kinds if name in kind]
            assert all(kind[name] is kind[right] for kind in valid), name
            # What it is depends on the kind of name only.
            assert {n for n in namesakes(name) for kind in kinds if n in kind} == {right}, name
            assert phrase(name) is None
    assert all(name == name.lower() and phrase(name) for name in PHRASES)


def test_a_loss_that_is_a_class_of_another_library():
    class MSELoss:
        pass

    with pytest.raises(ConfigurationError, match=r"is a type \(did you mean 'mse'\?\); expected"):
        theanets.Regressor([2, 1], loss=MSELoss)


def test_several_losses_in_a_list():
    with pytest.raises(ConfigurationError, match=r"give the first, and net.add_loss\('mae'\) the"):
        theanets.Regressor([2, 1], loss=["mse", "mae"])


@pytest.mark.parametrize(
    ("name", "right"), [("fit", "train"), ("forward", "feed_forward"), ("trian", "train")]
)
def test_methods(net, name, right):
    with pytest.raises(AttributeError, match=f"{name!r} \\(did you mean '{right}'"):
        getattr(net, name)
    assert not hasattr(net, name)


def test_what_has_no_name_in_common(net):
    with pytest.raises(AttributeError, match=r"has no attribute 'xyzzy'$"):
        net.xyzzy  # noqa: B018
    assert copy.deepcopy(net).params
    assert pickle.loads(pickle.dumps(net)).params


def test_the_keywords_for_type_checkers_are_those_there_are():
    def ours(registry):
        forms = {name: registry[name] for name in registry.names()}
        return {k: v for k, v in forms.items() if v.__module__.startswith("theanets.")}

    found = {"subalgo"}
    for name in ours(optimizers.Optimizer.registry):
        found |= set(runs.keywords(name))
    penalties = ours(Regularizer.registry)
    # Those of other tests, names of classes, and names that are deprecated.
    left_out = set(Regularizer.registry.names()) - set(penalties)
    left_out |= {name for name, form in penalties.items() if name == form.__name__.lower()}
    left_out |= {"input_dropouts", "hidden_dropouts", "gradient_clip", "max_gradient_clip"}
    written = set(typing.get_type_hints(TrainKeywords))
    assert written <= found
    assert found - written == found & left_out - written
