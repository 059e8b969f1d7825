"""What theanets 0.8 documented: names, arguments and results, a case for each row."""

import numpy as np
import pytest
from surface_cases import FAST, ONCE, SERIES, X, Y

import theanets
from theanets import recurrent


def words(text):
    return text.split()


OLD = pytest.mark.filterwarnings("ignore::DeprecationWarning")

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
