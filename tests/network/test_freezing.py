"""Layers that training leaves alone, and what it does to the others."""

import numpy as np
import pytest

import theanets
from theanets.errors import ConfigurationError, FileError, UnknownNameError

RNG = np.random.default_rng(3)
X = RNG.normal(size=(24, 4))
Y = RNG.normal(size=(24, 2))
TRAIN = dict(epochs=3, patience=None, batch_size=6)


def make(layers=(4, (5, "tanh"), (3, "tanh"), 2), **kwargs):
    return theanets.Regressor(list(layers), rng=1, dtype="float64", **kwargs)


def values(net):
    return {str(v.name): v.get_value() for v in [*net.params, *net.state]}


def changed(net, **kwargs):
    """Get the names of what training changes."""
    before = values(net)
    net.train([X, Y], **{**TRAIN, **kwargs})
    return {name for name, value in values(net).items() if (value != before[name]).any()}


EVERY = {"hid1.w", "hid1.b", "hid2.w", "hid2.b", "out.w", "out.b"}


@pytest.mark.parametrize(
    ("freeze", "frozen"),
    [
        (None, set()),
        ([], set()),
        ("hid1", {"hid1.w", "hid1.b"}),
        ("hid1.*", {"hid1.w", "hid1.b"}),
        ("hid*", {"hid1.w", "hid1.b", "hid2.w", "hid2.b"}),
        ("*.w", {"hid1.w", "hid2.w", "out.w"}),
        (["hid2", "out.b"], {"hid2.w", "hid2.b", "out.b"}),
    ],
)
def test_what_is_frozen_stays_as_it_is(freeze, frozen):
    assert changed(make(), freeze=freeze) == EVERY - frozen


@pytest.mark.parametrize(
    "options",
    [
        dict(algo="adamw", weight_decay=0.1),
        dict(algo="l-bfgs"),
        dict(max_norm=0.1),
        dict(weight_l2=0.1, input_noise=0.1, max_global_norm=0.1),
    ],
)
def test_whatever_would_change_it(options):
    assert changed(make(), freeze="hid1", **options) == EVERY - {"hid1.w", "hid1.b"}


def test_the_others_are_trained_as_if_its_outputs_were_data():
    whole, top = make(), make([5, (3, "tanh"), 2])
    for name, of in {"hid1": "hid2", "out": "out"}.items():
        for part in "wb":
            top.find(name, part).set_value(whole.find(of, part).get_value())
    inputs = whole.feed_forward(X)["hid1:out"]
    # The length is that of what is trained, so that clipping does the same to both.
    options = dict(TRAIN, algo="sgd", learning_rate=0.1, batch_size=24, max_global_norm=0.3)
    whole.train([X, Y], freeze="hid1", **options)
    top.train([inputs, Y], **options)
    np.testing.assert_allclose(whole.predict(X), top.predict(inputs), rtol=1e-9)


def test_running_means_are_frozen_and_states_of_series_are_not():
    layers = [4, (5, "tanh"), dict(form="batch_norm", name="bn"), 2]
    own = {"bn.scale", "bn.shift", "bn.mean", "bn.variance"}
    longer = dict(epochs=30, learning_rate=0.05)
    assert own <= changed(make(layers), **longer)
    assert "out.w" in changed(net := make(layers), freeze="bn", **longer)
    for name, value in {"scale": 1, "shift": 0, "mean": 0, "variance": 1}.items():
        assert (values(net)[f"bn.{name}"] == value).all()
    lstm = dict(form="rnn", size=5, stateful=True)
    net = theanets.recurrent.Regressor([4, lstm, 2], dtype="float64")
    x, y = X.reshape(2, 12, 4), Y.reshape(2, 12, 2)
    before = values(net)
    net.train([x, y], freeze="hid1", batch_size=2, epochs=1)
    after = values(net)
    assert {n for n in before if (after[n] != before[n]).any()} == {"out.w", "out.b"}


def test_each_call_has_its_own():
    net = make()
    assert "hid1.w" not in changed(net, freeze="hid1")
    assert changed(net) == EVERY
    assert "hid1.w" not in changed(net, freeze="hid1")


def test_gradients_are_watched_of_what_is_trained():
    net = make()
    net.train([X, Y], freeze="hid*", monitor_gradients=True, **TRAIN)
    assert [c for c in net.history.columns if "grad" in c] == [
        "train_grad(out.w)",
        "train_grad(out.b)",
    ]


@pytest.mark.parametrize("algo", ["layerwise", "pretrain"])
def test_stages_of_pretraining(algo):
    # The pattern of the second layer means nothing to the first stage.
    assert not {"hid2.w", "hid2.b"} & changed(make(), algo=algo, freeze="hid2")


def test_errors():
    net = make()
    with pytest.raises(UnknownNameError, match=r"parameter pattern 'hid9\.\*' \(did you mean 'hid"):
        net.train([X, Y], freeze=["hid1", "hid9"], **TRAIN)
    with pytest.raises(UnknownNameError, match=r"did you mean 'hid1\.w'"):
        net.train([X, Y], freeze="hid1.v", **TRAIN)
    for algo in ("adam", "l-bfgs"):
        with pytest.raises(ConfigurationError, match="no parameters to train: all are frozen"):
            net.train([X, Y], algo=algo, freeze="*", **TRAIN)
    with pytest.raises(ConfigurationError, match="sets the weights of all layers"):
        net.train([X, Y], algo=["sample", "adam"], freeze="hid1", **TRAIN)
    with pytest.raises(ConfigurationError, match="neither a str"):
        net.train([X, Y], freeze=True, **TRAIN)


def test_a_checkpoint_is_of_what_was_frozen(tmp_path):
    path = tmp_path / "run.checkpoint"
    make().train([X, Y], freeze="hid1", checkpoint=path, **TRAIN)
    make().train([X, Y], freeze=["hid1.b", "hid1.w"], checkpoint=path, **TRAIN)
    with pytest.raises(FileError, match="freeze"):
        make().train([X, Y], checkpoint=path, **TRAIN)
