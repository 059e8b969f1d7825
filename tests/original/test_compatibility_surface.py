"""What theanets 0.8 documented: names, arguments and results, a case for each row."""

import inspect

import numpy as np
import pytest

import theanets
from theanets import convolution, recurrent
from theanets.errors import ConfigurationError


def words(text):
    return text.split()


OLD = pytest.mark.filterwarnings("ignore::DeprecationWarning")
FAST = {"mode": "FAST_COMPILE"}
ONCE = {"epochs": 1, **FAST}
RNG = np.random.default_rng(1)
X, Y, SERIES = (RNG.normal(size=shape).astype("f") for shape in ((12, 4), (12, 3), (6, 5, 4)))
LABELS = np.arange(12) % 3


# ---- activations, losses, regularizers ------------------------------------------------------

ACTIVATIONS = words(
    """linear logistic sigmoid tanh softmax softplus relu rect:max rect:min rect:minmax norm:mean
norm:max norm:std norm:z prelu leaky-relu lgrelu leaky-gain-relu elu maxout:3 tanh+norm:z"""
)
PARAMETERS = {
    "prelu": ["leak"],
    "leaky-relu": ["leak"],
    "lgrelu": ["gain", "leak"],
    "leaky-gain-relu": ["gain", "leak"],
    "elu": ["gain"],
    "maxout:3": ["intercept", "slope"],
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    net = theanets.Regressor([4, (6, name), 3])
    own = sorted(p.name.removeprefix("hid1.") for p in net.layers[1].activation.params)
    assert own == PARAMETERS.get(name, [])
    assert net.layers[1].activation.name == name
    assert np.isfinite(net.predict(X, **FAST)).all()


LOSSES = {
    "MeanSquaredError": "mse meansquarederror",
    "MeanAbsoluteError": "mae meanabsoluteerror",
    "CrossEntropy": "xe crossentropy",
    "Hinge": "hinge",
    "KullbackLeiblerDivergence": "kl kld kullbackleiblerdivergence",
    "GaussianLogLikelihood": "gll gaussianloglikelihood",
    "MaximumMeanDiscrepancy": "mmd maximummeandiscrepancy",
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    kind = getattr(theanets.losses, name)
    for alias in LOSSES[name].split():
        for spelling in (alias, alias.upper()):
            loss = theanets.Loss.build(
                spelling, target=2, weight=0.5, weighted=True, output_name="hid1"
            )
            assert type(loss) is kind
            assert (loss.weight, loss.output_name, len(loss.variables)) == (0.5, "hid1:out", 2)
            assert isinstance(loss.log(), str)


def test_options_of_losses():
    loss = theanets.losses.GaussianLogLikelihood(mean_name="m", covar_name="c", covar_eps=0.1)
    assert (loss.mean_name, loss.covar_eps) == ("m:out", 0.1)
    assert loss.covar_name.split(":")[0] == "c"
    for kernel in (2, lambda x, y: (x[:, None] * y[None]).sum(axis=-1)):
        assert theanets.losses.MaximumMeanDiscrepancy(kernel=kernel).kernel == kernel


@pytest.mark.parametrize("spec", ["mae", "MAE", {"form": "mae", "weight": 2}, "instance"])
def test_losses_of_networks(spec):
    loss = theanets.losses.MeanAbsoluteError() if spec == "instance" else spec
    net = theanets.Regressor([4, 3], loss=loss)
    net.add_loss("mse", weight=0.1, output_name="out:out")
    assert [type(one).__name__ for one in net.losses] == ["MeanAbsoluteError", "MeanSquaredError"]
    train, _ = net.train([X, Y], **ONCE)
    assert train["loss"] > 0
    net.set_loss(form="mse", weight=2)
    assert len(net.losses) == 1


PENALTIES = words(
    """weight_l2 weight_decay weightl2 weight_l1 weight_sparsity weightl1 hidden_l1 hidden_sparsity
hiddenl1 contractive"""
)


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties(name):
    net = theanets.Regressor([4, (5, "tanh"), 3], rng=1)
    values = [
        net.evaluate([X, Y], **{name: given}, **FAST)["loss"]
        for given in (0.5, dict(weight=0.5), dict(weight=0.5, pattern="hid1*"))
    ]
    plain = net.evaluate([X, Y], **FAST)["loss"]
    assert values[0] == pytest.approx(values[1])
    assert min(values) > plain


@pytest.mark.parametrize("name", ["recurrent_norm", "recurrent_state"])
def test_penalties_of_series(name):
    net = recurrent.Autoencoder([4, (5, "rnn"), 4], rng=1)
    for spelling in (name, name.replace("_", "")):
        found = net.evaluate([SERIES], **{spelling: dict(weight=0.5, pattern="hid1:out")}, **FAST)
        assert found["loss"] > found["err"]


NOISES = {
    **{
        f"{where}_{kind}": 0.4
        for where in ("input", "hidden", "output")
        for kind in ("noise", "dropout")
    },
    "noise": {"hid1:out": 0.4},
    "dropout": {"in:out": 0.4},
    "input_dropouts": 0.4,
    "hidden_dropouts": 0.4,
}


@OLD
@pytest.mark.parametrize("name", NOISES)
def test_noises(name):
    """In training, and where one predicts: new in each call."""
    net = theanets.Regressor([4, (50, "tanh"), 3], rng=1)
    clean = net.predict(X, **FAST)
    found = [net.predict(X, **{name: NOISES[name]}, **FAST) for _ in range(2)]
    assert not np.allclose(found[0], clean)
    assert not np.allclose(found[0], found[1])
    assert np.isfinite(net.train([X, Y], **{name: NOISES[name]}, **ONCE)[0]["loss"])


@pytest.mark.parametrize("as_list", [True, False])
def test_regularizers(as_list):
    net = theanets.Regressor([4, 5, 3], rng=1)
    penalty = theanets.regularizers.WeightL2(pattern="*", weight=0.5)
    given = [penalty] if as_list else {"weight_l2": 0.5}
    found = net.evaluate([X, Y], regularizers=given, **FAST)
    assert found["loss"] == pytest.approx(net.evaluate([X, Y], weight_l2=0.5, **FAST)["loss"])
    outputs, updates = net.build_graph(regularizers=[theanets.regularizers.GaussianNoise(0.1)])
    assert "hid1:out" in outputs
    assert updates


# ---- training -------------------------------------------------------------------------------

ALGORITHMS = ["sgd", "nag", "rprop", "rmsprop", "adagrad", "adadelta", "esgd", "adam"]


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_algorithms(algo):
    """With the hyper-parameters that all took."""
    net = theanets.Regressor([4, 5, 3], rng=1)
    keywords = dict(learning_rate=0.01, momentum=0.5, patience=3, validate_every=1)
    keywords.update(min_improvement=0.01, max_gradient_norm=1, **ONCE)
    before = net.find("out", "w").get_value()
    train, valid = net.train([X, Y], [X, Y], algo=algo.upper(), **keywords)
    assert {"loss", "err"} <= set(train) & set(valid)
    assert not np.allclose(before, net.find("out", "w").get_value())


HYPERS = {
    "rprop": "rprop_increase rprop_decrease rprop_min_step rprop_max_step",
    "rmsprop": "rms_halflife rms_regularizer max_gradient_elem",
    "adadelta": "rms_halflife rms_regularizer",
    "adagrad": "rms_regularizer",
    "esgd": "rms_halflife rms_regularizer",
    "adam": "beta1_halflife beta2_halflife rms_regularizer",
    "sgd": "nesterov",
}


@pytest.mark.parametrize("algo", HYPERS)
def test_hyper_parameters(algo):
    values = {"rprop_increase": 1.02, "rprop_decrease": 0.98, "nesterov": True, "rms_halflife": 10}
    values.update(rprop_max_step=1e-4, max_gradient_elem=0.01)
    extra = {"momentum": 0.5} if algo == "sgd" else {}

    def trained(**given):
        net = theanets.Regressor([4, 3], rng=1)
        net.train([X, Y], algo=algo, batch_size=3, **given, **extra, **ONCE)
        return net.find("out", "w").get_value()

    usual = trained()
    for name in HYPERS[algo].split():
        assert not np.array_equal(trained(**{name: values.get(name, 0.5)}), usual), name


@OLD
@pytest.mark.parametrize(
    "earlier, now",
    [
        ({"gradient_clip": 0.01}, {"max_gradient_elem": 0.01}),
        ({"max_gradient_clip": 0.01}, {"max_gradient_elem": 0.01}),
        ({"algorithm": ("rprop",)}, {"algo": ["rprop"]}),
    ],
)
def test_earlier_keywords_of_training(earlier, now):
    found = []
    for keywords in ({}, now, earlier):
        net = theanets.Regressor([4, 3], rng=1)
        net.train([X, Y], batch_size=3, **keywords, **ONCE)
        found.append(net.find("out", "w").get_value())
    assert not np.array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], found[1])


PRETRAINERS = words(
    """sample layerwise layer layers supervised sup pretrain pre unsupervised unsup"""
)


@OLD
@pytest.mark.parametrize("algo", PRETRAINERS)
def test_pretraining(algo):
    net = theanets.Regressor([4, 5, 3], rng=1)
    before = net.find("hid1", "w").get_value()
    own = {} if algo == "sample" else {"subalgo": "sgd"}
    net.train([X, Y], algo=algo, **own, **ONCE)
    assert not np.allclose(before, net.find("hid1", "w").get_value())
    assert [layer.name for layer in net.layers] == ["in", "hid1", "out"]


def test_data():
    """Arrays, callables, batches; how many of them; which axis."""
    net = theanets.Regressor([4, 3])
    batch = [X[:5], Y[:5]]
    for data, keywords in (
        ([X, Y], dict(batch_size=5, iteration_size=2)),
        (lambda: batch, dict(train_batches=3, valid_batches=2)),
        ([X.T.copy(), Y.T.copy()], dict(axis=1)),
        ([X.astype(float), Y.tolist()], dict(rng=13)),
    ):
        for train, valid in net.itertrain(data, **keywords, **ONCE):
            assert np.isfinite([train["loss"], valid["loss"]]).all()


class Trainer:
    """An object that trains, of the user's."""

    def itertrain(self, train, valid=None, **kwargs):
        for i in range(3):
            yield {"loss": 3 - i}, {"loss": 4 - i}


def test_a_trainer_of_ones_own():
    assert theanets.Regressor([4, 3]).train([X, Y], algo=Trainer()) == ({"loss": 1}, {"loss": 2})


MONITORS = {
    "levels": ({"hid1:out": (0.1, 0.9)}, ["hid1:out<0.1", "hid1:out<0.9"]),
    "a level": ({"hid1:out": 0.1}, ["hid1:out<0.1"]),
    "pairs": ([("*:out", (0.5,))], ["in:out<0.5", "hid1:out<0.5", "out:out<0.5"]),
    "a label": ({"hid1:out": [("mean", lambda z: z.mean())]}, ["hid1:out:mean"]),
    "labels": ({"hid1:out": {"mean": lambda z: z.mean()}}, ["hid1:out:mean"]),
    "parameters": ({"hid1.w": 0}, ["hid1.w<0"]),
    "a glob": ({"*.w": 0}, ["hid1.w<0", "out.w<0"]),
}


@pytest.mark.parametrize("name", MONITORS)
def test_monitors(name):
    monitors, expected = MONITORS[name]
    net = theanets.Regressor([4, 5, 3])
    train, valid = net.train([X, Y], monitors=monitors, **ONCE)
    assert set(train) == set(valid) == {"loss", "err", "mse", *expected}


def test_monitors_of_gradients():
    train, _ = next(theanets.Regressor([4, 3]).itertrain([X, Y], monitor_gradients=True, **ONCE))
    assert {"grad(out.w)", "grad(out.b)"} <= set(train)


# ---- models ---------------------------------------------------------------------------------

#: Arguments by name and order, as documented; further ones may come after.
ARGUMENTS = {
    "Network": "layers loss weighted rng",
    "Network.itertrain": "train valid algo",
    "Network.feed_forward": "x",
    "Network.predict": "x",
    "Network.score": "x y w",
    "Network.find": "which param",
    "Network.build_graph": "regularizers",
    "Network.add_layer": "layer is_output",
    "Network.add_loss": "loss",
    "Autoencoder.encode": "x layer sample",
    "Autoencoder.decode": "z layer",
    "Autoencoder.score": "x w",
    "Classifier.predict": "x",
    "Classifier.classify": "x",
    "Classifier.predict_proba": "x",
    "Classifier.predict_logit": "x",
    "Classifier.score": "x y w",
    "recurrent.batches": "arrays steps batch_size rng",
    "recurrent.Text": "text alpha min_count unknown",
    "recurrent.Text.classifier_batches": "steps batch_size rng",
    "recurrent.Classifier.predict_sequence": "labels steps streams rng",
    "Experiment": "network",
    "Layer": "name",
    "Layer.add_weights": "name nin nout",
    "Layer.add_bias": "name size",
    "Loss": "target weight weighted output_name",
    "util.random_matrix": "rows cols mean std sparsity radius diagonal rng",
    "util.random_vector": "size mean std rng",
    "activations.build": "spec layer",
}


@pytest.mark.parametrize("path", ARGUMENTS)
def test_arguments(path):
    found = theanets
    for name in path.split("."):
        found = getattr(found, name)
    names = [name for name in inspect.signature(found).parameters if name not in ("self", "net")]
    expected = ARGUMENTS[path].split()
    assert names[: len(expected)] == expected


def test_networks():
    net = theanets.Network(layers=[4, 5, 3], loss="mse", weighted=False, rng=13)
    assert [p.name for p in net.params] == ["hid1.w", "hid1.b", "out.w", "out.b"]
    assert [v.name for v in net.variables] == ["in", "target"]
    assert net.find("hid1", "w") is net.find(1, 0) is net.params[0]
    with pytest.raises(KeyError):
        net.find("hid1", "nothing")
    with pytest.raises(KeyError):
        net.find("nothing", "w")
    outputs = net.feed_forward(X, **FAST)
    assert set(outputs) == {"in:out", "hid1:pre", "hid1:out", "out:pre", "out:out"}
    np.testing.assert_array_equal(outputs["out:out"], net.predict(X, **FAST))
    assert net.score(X, Y, **FAST) <= 1
    assert net.loss(weight_l2=0.1).ndim == 0
    assert {"mse", "hidden_l1"} <= set(dict(net.monitors(hidden_l1=0.1)))
    assert net.updates(hidden_noise=0.1)


def test_autoencoders():
    net = theanets.Autoencoder(layers=(4, (3, "sigmoid"), (2, "sigmoid"), (3, "tied"), (4, "tied")))
    assert [v.name for v in net.variables] == ["in"]
    for layer, size in ((None, 2), ("hid1", 3), (1, 3), (net.layers[2], 2)):
        z = net.encode(X, layer=layer, **FAST)
        assert z.shape == (12, size)
        np.testing.assert_allclose(net.decode(z, layer, **FAST), net.predict(X, **FAST), rtol=1e-5)
    assert set(np.unique(net.encode(X, sample=True, **FAST))) <= {0, 1}
    assert net.score(X, **FAST) <= 1


@OLD
def test_classifiers():
    net = theanets.Classifier(layers=(4, 5, 3))
    train, _ = net.train([X, LABELS], **ONCE)
    assert {"loss", "err", "acc"} <= set(train)
    proba, logits = net.predict_proba(X, **FAST), net.predict_logit(X, **FAST)
    np.testing.assert_allclose(proba, np.exp(logits) / np.exp(logits).sum(axis=1)[:, None], 1e-4)
    for classes in (net.predict(X, **FAST), net.classify(X, **FAST)):
        np.testing.assert_array_equal(classes, proba.argmax(axis=1))
    assert net.score(X, LABELS, np.ones(12), **FAST) == (classes == LABELS).mean()
    weighted = theanets.Classifier(layers=(4, 3), weighted=True)
    weighted.train([X, LABELS, np.ones(12)], **ONCE)


def test_recurrent_models():
    draw = recurrent.batches([SERIES.reshape(30, 4)], steps=5, batch_size=3, rng=1)
    assert [a.shape for a in draw()] == [(3, 5, 4)]
    recurrent.Autoencoder([4, (5, "rnn"), 4]).train(draw, train_batches=2, **ONCE)
    weights = np.ones((6, 5, 3))
    weights[:, :2] = 0
    net = recurrent.Regressor([4, (5, "lstm"), 3], weighted=True)
    net.train([SERIES, SERIES[..., :3], weights], **ONCE)
    assert net.predict(SERIES, **FAST).shape == (6, 5, 3)
    text = recurrent.Text("abracadabra" * 4, alpha="abcdr", min_count=1, unknown="?")
    assert (text.alpha, text.decode(text.encode("abx"))) == ("abcdr", "ab?")
    net = recurrent.Classifier(
        [1 + len(text.alpha), (5, "rnn"), 1 + len(text.alpha)], mode="FAST_COMPILE"
    )
    train, _ = net.train(text.classifier_batches(4, batch_size=3, rng=1), train_batches=2, epochs=1)
    assert "acc" in train
    drawn = list(net.predict_sequence(text.encode("abra"), 5, streams=2, rng=1))
    assert np.shape(drawn) == (5, 2)


def test_convolutional_models():
    images = RNG.normal(size=(6, 8, 7, 2)).astype("f")
    layers = [(8, 7, 2), dict(form="conv2", size=3, filter_size=(3, 3), stride=(2, 2)), "flat", 3]
    convolution.Regressor(layers).train([images, Y[:6]], **ONCE)
    convolution.Classifier(layers).train([images, LABELS[:6]], **ONCE)
    spec = dict(form="conv1", size=3, filter_shape=2, stride=1, border_mode="full")
    with pytest.warns(DeprecationWarning, match="filter_size"):
        recurrent.Regressor([4, spec, 3])


def test_experiments(tmp_path):
    experiment = theanets.Experiment(theanets.Classifier, layers=(4, 5, 3), rng=2)
    experiment.train([X, LABELS], **ONCE)
    assert len(list(experiment.itertrain([X, LABELS], **ONCE))) == 1
    experiment.save(str(tmp_path / "net.pkl.gz"))
    loaded = theanets.Experiment(str(tmp_path / "net.pkl.gz"))
    np.testing.assert_array_equal(
        loaded.network.predict(X, **FAST), experiment.network.predict(X, **FAST)
    )
    with open(tmp_path / "handle", "wb") as handle:
        loaded.network.save(handle)
    with open(tmp_path / "handle", "rb") as handle:
        assert theanets.Network.load(handle).find("out.w") is not None


def test_what_networks_no_longer_have():
    net = theanets.Regressor([4, 3])
    with pytest.raises(AttributeError, match=r"OUTPUT_NDIM.*write nothing: targets have"):
        _ = net.OUTPUT_NDIM
    with pytest.raises(ConfigurationError, match="the first layer"):
        theanets.Regressor([dict(form="ff", size=3)])
