"""What one does wrong at the first try, with another library in mind: what the errors say."""

import importlib
import pickle
import warnings

import numpy as np
import pytest

import theanets
from theanets import layers, optimizers
from theanets.errors import ConfigurationError, nearest
from theanets.layers import recurrent
from theanets.training.counts import of_data

X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
Y = (X[:, :2] > 0).astype("float32")
ONCE = dict(algo="sgd", epochs=1, progress=False)


def net(**keywords):
    return theanets.Regressor([4, 5, 2], **keywords)


@pytest.mark.parametrize("sizes", [(4,), (4, 5), (4, 5, 2), (np.int64(4), 5, 2)])
def test_sizes_stand_in_a_list(sizes):
    with pytest.raises(ConfigurationError, match=r"^layers=.*4.* is not a list .* in one list$"):
        theanets.Regressor(*sizes)


@pytest.mark.parametrize(
    ("what", "call"),
    [
        (r"callbacks: <.*> cannot be called with \(run\): too many", lambda f: train(callbacks=f)),
        (r"callbacks: <.*> cannot be called", lambda f: train(callbacks=[print, f])),
        (r"loss '<lambda>' cannot be called with \(target, output\)", lambda f: net(loss=f)),
        (r"schedule <.*> cannot be called with \(update, epoch\)", optimizers.schedules.build),
        (
            r"step=<.*> cannot be called with \(cell, x, h\)",
            lambda f: theanets.recurrent.Regressor([4, dict(form="cell", size=2, step=f), 2]),
        ),
    ],
)
def test_functions_of_the_user_take_what_they_get(what, call):
    with pytest.raises(ConfigurationError, match=what):
        call(lambda: 3)


def train(**keywords):
    return net().train([X, Y], **ONCE, **keywords)


def test_functions_that_do_not_say_what_they_take_are_tried():
    assert optimizers.schedules.build(max).factor(3, 5) == 5


@pytest.mark.parametrize(
    ("who", "call"),
    [
        ("loss 'f'", lambda f: net(loss=f).train([X, Y], **ONCE)),
        ("monitor 'hid1:out:f'", lambda f: train(monitors={"hid1": f})),
        (
            "layer 'hid1': function",
            lambda f: theanets.Regressor([4, dict(form="lambda", function=f), 2]).predict(X),
        ),
    ],
)
def test_functions_of_numpy_on_expressions(who, call):
    def f(*arguments):
        return np.mean(arguments[0])

    with pytest.raises(
        ConfigurationError, match=rf"{who}.* raised TypeError: .* pt\.mean"
    ) as caught:
        call(f)
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_network_is_not_called():
    for args in ((), (X,), (X, True)):
        with pytest.raises(TypeError, match=r"a Regressor is not called; net\.predict\(x\)"):
            net()(*args)


@pytest.mark.parametrize(
    ("call", "right"),
    [
        (lambda: theanets.Regressor([4, dict(units=5), 2]), "did you mean 'size'"),
        (lambda: theanets.Regressor([4, dict(form="gru", hidden_size=5), 2]), "mean 'size'"),
        (lambda: train(shuffle=False), "write nothing: arrays are shuffled in each epoch"),
        (lambda: net(lr=0.1), r"'lr' \(write learning_rate= of train\(\)\)"),
        (lambda: net(optimizer="adam"), r"'optimizer' \(write algo= of train\(\)\)"),
        (lambda: net(max_epochs=3), r"'max_epochs' \(write epochs= of train\(\)\)"),
        (lambda: train(lr=0.1), "did you mean 'learning_rate'"),
    ],
)
def test_keywords_of_others(call, right):
    with pytest.raises(ConfigurationError, match=right):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda algo: optimizers.build(algo),
        lambda algo: next(net().itertrain([X, Y], algo=algo)),
        lambda algo: net().train([X, Y], algo=["sgd", algo]),
        lambda algo: net().train([X, Y], algo="layerwise", subalgo=algo),
    ],
)
def test_letters_in_another_order(call):
    with pytest.raises(KeyError, match=r"'adma' \(did you mean 'adam'\?\)"):
        call("adma")
    assert nearest("sdg", ["sgd", "sdgx"]) == " (did you mean 'sgd'?)"


@pytest.mark.parametrize("use", ["train", "evaluate"])
def test_outputs_out_of_the_range_of_a_loss_are_said_wherever_it_is_computed(use):
    calls = {
        "train": lambda net: net.train([X, Y], **{**ONCE, "epochs": 0}),
        "evaluate": lambda net: net.evaluate([X, Y]),
    }
    with pytest.warns(
        UserWarning, match="loss 'bce' needs numbers .*of any size: .*; give"
    ) as caught:
        calls[use](net(loss="bce"))
    assert {one.filename for one in caught} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calls[use](net())


@pytest.mark.parametrize("use", ["train", "evaluate"])
def test_one_class_is_said_to_be_one(use):
    labels = np.zeros(12, int)
    calls = {
        "train": lambda net: net.train([X, labels], **ONCE),
        "evaluate": lambda net: net.evaluate([X, labels]),
    }
    with pytest.warns(
        UserWarning,
        match="loss 'xe' is over the classes of the output 'out:out', of which there is one",
    ):
        calls[use](theanets.Classifier([4, 3, 1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calls[use](theanets.Classifier([4, 3, 2]))
        theanets.Regressor([4, 3, (1, "sigmoid")], loss="bce").evaluate([X, labels[:, None]])


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("recurrent_gated", "LSTM"),
        ("recurrent_plain", "RNN"),
        ("recurrent_rates", "SCRN"),
        ("recurrent_modules", "Clockwork"),
        ("recurrent_bidirectional", "Bidirectional"),
        ("recurrent_form", "CellLayer"),
        ("recurrent", "Recurrent"),
    ],
)
def test_pickles_of_classes_where_they_were(module, name):
    place = f"theanets.layers.{module}"
    assert pickle.loads(f"c{place}\n{name}\n.".encode()) is getattr(recurrent, name)
    assert getattr(importlib.import_module(place), name) is getattr(layers.recurrent, name)


def test_all_that_counts_is_known_without_what_is_computed():
    seen = set()
    for form in ("mse", "mae", "huber", "cosine", "poisson", "bce", "mmd"):
        for weighted in (False, True):
            made = theanets.Regressor([4, 3], loss=form, weighted=weighted)
            (loss,), graph = made.bound_losses(), made.graph
            count = loss.relevance(graph.outputs())
            seen.add(loss.all_count())
            assert not (loss.all_count() and (count is not None and of_data(count)))
            assert not (weighted and loss.all_count())
    assert seen == {False, True}
    labelled = theanets.Classifier([4, 3], loss=dict(form="xe", ignore_index=-1))
    assert not labelled.bound_losses()[0].all_count()
