"""Training layer by layer: it is what one does by hand, and what it takes and refuses."""

import numpy as np
import pytest
from stage_cases import ROWS, Watch, same, values

import theanets
from theanets import DataError, UnknownNameError, optimizers
from theanets.errors import ConfigurationError


@pytest.fixture
def data(rng):
    x = rng.normal(size=(ROWS, 6)).astype("float32")
    return x, x[:, :2] - x[:, 2:4], (x[:, 0] > 0).astype(int)


def put(net, found):
    """Give a network those values that it has parameters for."""
    for param in net.params:
        if param.name in found:
            param.set_value(found[param.name])


# ---- the same by hand ----------------------------------------------------------------


HOW = dict(rng=7, epochs=2, batch_size=8, hidden_dropout=0.2, weight_l2=0.01)


def test_layerwise_is_what_one_does_by_hand(data):
    x, _, labels = data
    net = theanets.Classifier([6, (5, "prelu"), 4, 3, 2], rng=3)
    net.train([x, labels], algo="layerwise", subalgo="rmsprop", learning_rate=0.01, **HOW)
    found = {}
    for layers in ([6, (5, "prelu"), 2], [6, (5, "prelu"), 4, 2], [6, (5, "prelu"), 4, 3, 2]):
        hand = theanets.Classifier(layers, rng=3)
        put(hand, {k: v for k, v in found.items() if k[:3] != "out"})
        hand.train([x, labels], algo="rmsprop", learning_rate=0.01, **HOW)
        found.update(values(hand))
    assert same(values(net), found)


@pytest.mark.parametrize("algo", ["layerwise", "pretrain"])
def test_autoencoders_are_what_one_does_by_hand(algo, data):
    x, _, labels = data
    if algo == "layerwise":
        net = theanets.Autoencoder([6, 5, 4, 3, ("tied", "relu"), ("tied", "relu"), "tied"], rng=3)
        net.train([x], algo=algo, **HOW)
        names = ["hid4", "hid5", "out"]
    else:
        net = theanets.Classifier([6, 5, 4, 3, 2], rng=3)
        output = values(net)
        net.train([x, labels], algo=algo, **HOW)
        names = ["hid3_back", "hid2_back", "out"]
    found = {}
    for depth in (1, 2, 3):
        tied = [dict(form="tied", name=name, activation="relu") for name in names[-depth:]]
        tied[-1]["activation"] = "linear"
        hand = theanets.Autoencoder([6, *(5, 4, 3)[:depth], *tied], rng=3)
        put(hand, found)
        own = {**HOW, "hidden_dropout": {"hid?": 0.2}} if algo == "pretrain" else HOW
        hand.train([x], **own)
        found.update(values(hand))
    if algo == "pretrain":
        # The output layer is as it was.
        found = {k: v for k, v in found.items() if k.partition(".")[0] in ("hid1", "hid2", "hid3")}
        found.update({k: v for k, v in output.items() if k[:3] == "out"})
    assert same(values(net), found)


def test_a_list_of_algorithms_is_one_after_the_other(data):
    x, _, labels = data
    nets = [theanets.Classifier([6, 5, 4, 2], rng=1) for _ in range(2)]
    algos = ["sample", "pretrain", "layerwise", "adam"]
    how = dict(epochs=2, learning_rate=0.01)
    nets[0].train([x, labels], algo=algos, subalgo="sgd", momentum=0.5, **how)
    nets[1].train([x, labels], algo="sample", epochs=2)
    for algo in algos[1:3]:
        nets[1].train([x, labels], algo=algo, subalgo="sgd", momentum=0.5, **how)
    nets[1].train([x, labels], algo="adam", momentum=0.5, **how)
    assert same(values(nets[0]), values(nets[1]))


def test_subalgo_is_what_trains(data):
    x, y, _ = data
    start = values(theanets.Regressor([6, 5, 4, 2], rng=1))
    tap = values(theanets.Regressor([6, 5, 2], rng=1))
    hidden = x @ start["hid1.w"]
    out = np.maximum(hidden, 0) @ tap["out.w"]
    slope = (2 * (out - y) / y.size) @ tap["out.w"].T * (hidden > 0)
    expected = start["hid1.w"] - 0.1 * x.T @ slope
    for subalgo in ("sgd", "SGD", optimizers.SGD(learning_rate=0.1), optimizers.SGD):
        net = theanets.Regressor([6, 5, 4, 2], rng=1)
        watch = Watch(net)
        rate = {} if isinstance(subalgo, optimizers.Optimizer) else {"learning_rate": 0.1}
        net.train(
            [x, y], algo="layerwise", subalgo=subalgo, max_updates=1, batch_size=ROWS,
            callbacks=watch, **rate,
        )  # fmt: skip
        np.testing.assert_allclose(watch.ends[0]["hid1.w"], expected, rtol=1e-4, atol=1e-6)
    net = theanets.Regressor([6, 5, 4, 2])
    before = net.evaluate([x, y])["loss"]
    net.train([x, y], algo="layerwise", subalgo="l-bfgs", epochs=5)
    assert net.evaluate([x, y])["loss"] < before


# ---- whatever happens ----------------------------------------------------------------


@pytest.mark.parametrize("algo", ["layerwise", "pretrain"])
@pytest.mark.parametrize(
    ("stage", "error"),
    [(1, RuntimeError), (2, RuntimeError), (3, RuntimeError), (2, KeyboardInterrupt)],
)
def test_what_is_left_after_an_error(algo, stage, error, data):
    x, _, labels = data
    net = theanets.Classifier([6, 5, 4, 3, 2])
    layers, watch = list(net.layers), Watch(net)

    def fail(run):
        if len(watch.starts) == stage and run.epoch == 2:
            raise error

    def train():
        net.train([x, labels], algo=algo, epochs=3, callbacks=[watch, fail])

    if error is KeyboardInterrupt:
        train()
    else:
        with pytest.raises(error):
            train()
    assert net.history.stop_reason == ("error" if error is RuntimeError else "interrupted")
    assert len(watch.starts) == stage
    # As with any other training: the best parameters that were validated.
    run = watch.runs[-1]
    best = {p.name: v for p, v in zip(run.params, run.best_values)}
    for name, value in values(net).items():
        expected = watch.starts[-1][name]
        if any(p is net.find(name) for p in run.params):
            expected = best[name]
        assert (value == expected).all(), name
    assert run.best_epoch == 2
    assert list(net.layers) == layers
    assert [loss._target.name for loss in net.bound_losses()] == ["target"]
    assert net.predict(x).shape == (ROWS,)
    if stage == 2:
        net.train([x, labels], epochs=1)


def test_leaving_the_loop(data):
    x, _, labels = data
    net = theanets.Classifier([6, 5, 4, 2])
    layers, seen = list(net.layers), []
    for train, valid in net.itertrain([x, labels], [x, labels], algo="layerwise", epochs=2):
        assert {"loss", "acc"} <= train.keys() & valid.keys()
        seen.append(valid["loss"])
        if len(seen) == 3:
            break
    assert net.history.stop_reason == "closed"
    assert net.history.rows[-1]["valid_loss"] == seen[-1]
    assert net.layers == layers
    assert len(list(net.itertrain([x, labels], algo="layerwise", epochs=3))) == 6
    assert len(list(net.itertrain([x, labels], algo="pretrain", epochs=3))) == 6
    assert len(list(net.itertrain([x, labels], algo="sample"))) == 1


def test_what_callbacks_and_files_get(data, tmp_path):
    x, _, labels = data
    net = theanets.Classifier([6, 5, 4, 2])
    watch = Watch(net)
    net.train(
        [x, labels], algo="layerwise", epochs=1, callbacks=watch, save_progress=tmp_path / "net"
    )
    assert all(run.network is net for run in watch.runs)
    assert same(values(theanets.Classifier.load(tmp_path / "net")), values(net))


@pytest.mark.parametrize("algo", ["layerwise", ["sample", "pretrain", "adam"]])
def test_checkpoints_continue_bit_for_bit(algo, data, tmp_path):
    x, _, labels = data

    def train(path, stop_at=None, seed=1):
        theanets.set_seed(seed)
        # Layers that come later have other initial values with another seed.
        net = theanets.Classifier([6, 5, 4, 2], rng=None if algo == "layerwise" else 1)
        seen = []

        def count(run):
            seen.append(run.epoch)
            if len(seen) == stop_at:
                raise RuntimeError

        net.train([x, labels], algo=algo, epochs=3, checkpoint=path, callbacks=count)
        return values(net)

    whole = train(tmp_path / "a.ckpt")
    with pytest.raises(RuntimeError):
        train(tmp_path / "b.ckpt", stop_at=5)
    # The seed that nobody chose is the checkpoint's.
    assert same(train(tmp_path / "b.ckpt", seed=2), whole)
    names = {path.name for path in tmp_path.glob("a.*")}
    lists = {"a.2.1.ckpt", "a.2.2.ckpt", "a.3.ckpt"}
    assert names == ({"a.1.ckpt", "a.2.ckpt"} if algo == "layerwise" else lists)


# ---- data ----------------------------------------------------------------------------


def test_pretrain_takes_data_with_labels_and_without(data):
    x, _, labels = data
    batches = [(x[i : i + 10], labels[i : i + 10]) for i in range(0, ROWS, 10)]

    class Again:
        def __init__(self, function):
            self.function = function

        def __iter__(self):
            return iter(map(self.function, batches))

    forms = {
        "arrays": [[x, labels], x, [x], {"in": x}, {"in": x, "target": labels}],
        "again": [Again(lambda b: b), Again(lambda b: b[0]), Again(lambda b: {"in": b[0]})],
        "list": [iter(batches * 9), iter([b[0] for b in batches] * 9)],
    }
    for kind, several in forms.items():
        results = []
        for train in several:
            net = theanets.Classifier([6, 5, 4, 2], rng=1)
            how = {} if kind == "arrays" else {"valid": [x, labels]}
            if kind == "list":
                how["train_batches"] = 4
            net.train(train, algo="pretrain", epochs=2, **how)
            results.append(values(net))
        assert all(same(results[0], other) for other in results[1:]), kind
    net = theanets.Classifier([6, 5, 4, 2], rng=1)
    drawn = iter(batches * 9)
    net.train(lambda: next(drawn), x, algo="pretrain", train_batches=4, epochs=2)
    assert same(values(net), results[0])


@pytest.mark.parametrize("algo", ["layerwise", "pretrain"])
def test_weights_of_zero_have_no_influence(algo, data, rng):
    x, y, _ = data
    weights = (rng.random(y.shape) > 0.3).astype(float)
    found = []
    for hole in (np.nan, 1e6):
        net = theanets.Regressor([6, 5, 4, 2], weighted=True, rng=1)
        net.train([x, np.where(weights, y, hole), weights], algo=algo, epochs=2)
        found.append(values(net))
    assert same(*found)
    assert all(np.isfinite(value).all() for value in found[0].values())
    weights_of_x = (rng.random(x.shape) > 0.3).astype(float)
    found = []
    for hole in (np.nan, 0.0):
        layers = [6, 5, 4, ("tied", "relu"), "tied"]
        net = theanets.Autoencoder(layers, weighted=True, rng=1)
        net.train([np.where(weights_of_x, x, hole), weights_of_x], algo=algo, epochs=2)
        found.append(values(net))
    assert same(*found)


@pytest.mark.parametrize(
    "loss", ["mse", "mae", "huber", "poisson", dict(form="mmd"), lambda t, y: abs(t - y) ** 3]
)
def test_losses_of_values(loss, data):
    x, y, _ = data
    net = theanets.Regressor([6, 5, 4, (2, "softplus")], loss=loss)
    before = values(net)
    _, valid = net.train([x, np.abs(y)], algo="layerwise", epochs=1)
    assert not any(np.array_equal(before[name], value) for name, value in values(net).items())
    assert valid["loss"] == pytest.approx(net.evaluate([x, np.abs(y)])["loss"], rel=1e-5)


@pytest.mark.parametrize("loss", ["xe", "hinge", "focal"])
def test_losses_of_labels_and_several_at_once(loss, data):
    x, y, labels = data
    net = theanets.Classifier([6, 5, 4, 2], loss=loss)
    net.add_layer(2, name="values", inputs="hid2", activation="linear")
    net.add_loss("mse", output_name="values", target="y", weight=0.5)
    watch = Watch(net)
    net.train([x, labels, y], algo=["layerwise", "adam"], epochs=1, callbacks=watch)
    for monitors in watch.first:
        total = monitors[loss] + 0.5 * monitors["mse:values"]
        assert monitors["loss"] == pytest.approx(total, rel=1e-5)


def test_patterns_that_match_later(data):
    x, _, labels = data
    net = theanets.Classifier([6, 5, 4, 3, 2])
    watch = Watch(net)
    how = dict(
        dropout={"hid1, hid3": 0.1},
        weight_l2={"hid2.w": 0.1},
        weight_l1={"out.w": 0.1},
        monitors={"hid3": 0.5, "hid[12]": {"size": abs}},
    )
    net.train([x, labels], algo="layerwise", epochs=1, callbacks=watch, **how)
    found = [
        [key for key in monitors if key in ("hid3<0.5", "hid1:size", "hid2:size")]
        for monitors in watch.first
    ]
    assert found == [["hid1:size"], ["hid1:size", "hid2:size"], ["hid3<0.5", *found[1]]]
    assert ["weightl2" in "".join(run.train).replace("_", "") for run in watch.runs] == [
        False,
        True,
        True,
    ]
    for wrong in ({"dropout": {"hid4": 0.1}}, {"weight_l2": {"hid4.w": 0.1}}):
        with pytest.raises(UnknownNameError, match="hid4"):
            net.train([x, labels], algo="layerwise", epochs=1, **wrong)


# ---- what is refused -----------------------------------------------------------------


def test_what_cannot_be_pretrained_is_refused_before_anything_is_trained(data, rng):
    x, y, labels = data
    series, steps = rng.normal(size=(5, 4, 6)), rng.integers(2, size=(5, 4))
    net = theanets.recurrent.Classifier([6, 5, ("lstm", 4), 2])
    before = values(net)
    with pytest.raises(ConfigurationError, match=r"'hid2' is a lstm layer.*try algo='layerwise'"):
        net.train([series, steps], algo="pretrain")
    with pytest.raises(ConfigurationError, match="'hid2' is a lstm layer; only the weights of"):
        net.train([series, steps], algo="sample")
    assert same(values(net), before)
    net = theanets.Classifier([6, 2])
    for algo in ("layerwise", "pretrain"):
        with pytest.raises(ConfigurationError, match="no hidden layer with weights"):
            net.train([x, labels], algo=algo)
    branches = theanets.Regressor([6, 5, 4, dict(size=3, inputs=["hid1", "hid2"]), 2])
    with pytest.raises(ConfigurationError, match="only a chain of layers"):
        branches.train([x, y], algo="pretrain")
    gated = theanets.Regressor([6, (5, "glu"), 4, 2])
    with pytest.raises(ConfigurationError, match="no transpose"):
        gated.train([x, y], algo="pretrain")
    sparse = theanets.Regressor([dict(form="input", size=6, sparse=True), 5, 4, 2])
    with pytest.raises(ConfigurationError, match="'in' is sparse"):
        sparse.train([x, y], algo="unsupervised")
    sparse.train([x, y], algo="Supervised", epochs=1)
    two = theanets.Network([6, dict(form="input", size=3, name="more")])
    two.add_layer(4, inputs=["in", "more"], name="hid")
    two.add_layer(2, name="out")
    with pytest.raises(ConfigurationError, match=r"one input of quantities.*more"):
        two.train([x, x[:, :3], y], algo="pretrain")
    conv = dict(form="conv2", size=2, filter_size=2)
    strange = theanets.convolution.Regressor([(8, 8, 1), dict(conv, stride=2), conv, conv])
    x, y = rng.normal(size=(5, 8, 8, 1)), rng.normal(size=(5, 2, 2, 2))
    with pytest.raises(ConfigurationError, match=r"on top of layer 'hid1'.*\(3, 3, 2\), not"):
        strange.train([x, y], algo="layerwise")
    assert [layer.name for layer in strange.layers] == ["in", "hid1", "hid2", "out"]


def test_arguments_that_are_refused(data):
    x, _, labels = data
    net = theanets.Classifier([6, 5, 4, 2])
    for kwargs, message in [
        (dict(algo="layrwise"), "unknown algorithm 'layrwise'.*'layerwise'"),
        (dict(algo="layerwise", subalgo="admm"), "unknown algorithm 'admm'.*'adam'"),
        (dict(algo="layerwise", subalgo="pretrain"), "subalgo='pretrain' is a method"),
        (dict(algo="layerwise", subalgo=["adam"]), r"subalgo=\['adam'\] is neither"),
        (dict(algo="layerwise", lerning_rate=1), "lerning_rate.*learning_rate"),
        (dict(algo="pretrain", epocs=1), "epocs.*epochs"),
        (dict(algo="sample", learning_rate=1), "learning_rate"),
        (dict(algo="adam", subalgo="sgd"), "subalgo"),
        (dict(algo=["sample", "adam"], subalgo="sgd"), "subalgo"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            net.train([x, labels], **kwargs)
    with pytest.raises(DataError, match="lacks 'in'"):
        net.train({"target": labels}, algo="pretrain")
