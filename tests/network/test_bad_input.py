"""What a user may do wrong: one clear error for each, and no crash."""

import io
import subprocess
import sys
import textwrap

import numpy as np
import pytensor.tensor as pt
import pytest

import theanets
from theanets import ConfigurationError, DataError, FileError, UnknownNameError
from theanets.errors import MissingFileError
from theanets.layers import Feedforward
from theanets.regularizers import GaussianNoise

RNG = np.random.default_rng(8)
X = RNG.normal(size=(20, 4))
Y = RNG.normal(size=(20, 3))
LABELS = RNG.integers(0, 3, 20)
W = np.ones((20, 3))
NAN = X * np.nan


def reg(**kwargs):
    return theanets.Regressor([4, 5, 3], **kwargs)


def cla(**kwargs):
    return theanets.Classifier([4, 5, 3], **kwargs)


def auto(**kwargs):
    return theanets.Autoencoder([4, (2, "sigmoid"), 4], **kwargs)


def two():
    b = {"form": "input", "size": 2, "name": "b"}
    return theanets.Regressor([4, b, {"size": 5, "inputs": ("in", "b")}, 3])


def layer(spec, **kwargs):
    return theanets.Regressor([4, spec, 3], **kwargs)


def train(net=None, data=None, *args, **kwargs):
    return (net or reg()).train([X, Y] if data is None else data, *args, **{"epochs": 1, **kwargs})


class Vector(theanets.Loss, register=False):
    def __call__(self, outputs):
        return outputs[self.output_name].sum(axis=1)


class Nothing(theanets.Loss, register=False):
    def __call__(self, outputs):
        return None


class Formless(theanets.Loss, register=False):
    pass


def nothing(*args):
    return None


def rows(target, output):
    return (target - output).sum(axis=1)


def mean(target, output):
    return pt.sqr(target - output).mean()


def first(w):
    return w[0]


def listed(net, loss):
    net.losses.append(loss)
    return net.evaluate([X, LABELS if isinstance(net, theanets.Classifier) else Y])


# Each: a call, the class of the error, and what its message has to show.
CONSTRUCTION = [
    (lambda: theanets.Regressor(5), ConfigurationError, r"layers=5 is not a list"),
    (lambda: theanets.Regressor("abc"), ConfigurationError, r"layers='abc' is not a list"),
    (lambda: theanets.Regressor([4, 5.5, 3]), ConfigurationError, r"5\.5 is a float; expected"),
    (lambda: theanets.Regressor([4, True, 3]), ConfigurationError, r"True is a bool; expected"),
    (lambda: theanets.Regressor([4, 0, 3]), ConfigurationError, r"size 0 is not positive"),
    (lambda: theanets.Regressor([4, -1, 3]), ConfigurationError, r"size -1 is not positive"),
    (lambda: theanets.Regressor(["ff", 3]), ConfigurationError, r"first layer is .*an input"),
    (lambda: theanets.Autoencoder([4, 5, 3]), ConfigurationError, r"shape \(3,\).*\(4,\)"),
    (lambda: reg(dtype="int32"), ConfigurationError, r"dtype='int32' is not 'float32'"),
    (lambda: reg(dtype=[]), ConfigurationError, r"dtype=\[\] is not 'float32'"),
    (lambda: reg(rng="a"), ConfigurationError, r"rng='a' is not a source of randomness"),
    (lambda: reg(rng=-1), ConfigurationError, r"rng=-1 is negative"),
    (lambda: reg(mode="NUMBER"), UnknownNameError, r"mode 'NUMBER' \(did you mean 'NUMBA'"),
    (lambda: reg(mode=5), ConfigurationError, r"mode=5 is neither"),
    (lambda: layer((5, "rleu")), ConfigurationError, r"'rleu' .*did you mean 'relu'"),
    (lambda: layer((5, "feedfoward")), ConfigurationError, r"'feedfoward' .*'feedforward'"),
    (lambda: layer("flta"), ConfigurationError, r"'flta' is not the name of a layer"),
    (lambda: layer(()), ConfigurationError, r"layer \(\) is empty"),
    (lambda: layer((5, 6, "tanh")), ConfigurationError, r"two shapes"),
    (lambda: layer({"sise": 5}), ConfigurationError, r"'sise' \(did you mean 'size'"),
    (lambda: layer({"size": "5"}), ConfigurationError, r"'5'"),
    (lambda: layer({"size": 5, "shape": 4}), ConfigurationError, r"both a size and a shape"),
    (lambda: layer({"size": 5, "name": "a b"}), ConfigurationError, r"name 'a b' is not"),
    (lambda: layer({"size": 5, "name": 5}), ConfigurationError, r"name 5 is not"),
    (lambda: layer({"size": 5, "name": "in"}), ConfigurationError, r"'in' is taken"),
    (lambda: layer({"size": 5, "inputs": "inn"}), UnknownNameError, r"'inn:out' .*'in:out'"),
    (lambda: layer({"size": 5, "inputs": "in:pre"}), UnknownNameError, r"'in:pre'.*valid"),
    (lambda: layer({"size": 5, "inputs": 5}), ConfigurationError, r"inputs=5|5 is not"),
    (lambda: layer({"size": 5, "inputs": []}), ConfigurationError, r"no input|\[\]"),
    (lambda: layer({"size": 5, "activation": 5}), ConfigurationError, r"activation=5 is neither"),
    (lambda: layer({"size": 5, "std": "a"}), ConfigurationError, r"std.*'a'"),
    (lambda: layer({"size": 5, "std_q": 1}), ConfigurationError, r"'std_q' .*'std_w'"),
    (lambda: layer({"form": 5, "size": 5}), ConfigurationError, r"5 is not a Layer class"),
    (lambda: layer({"size": 5, "input_noise": 0.1}), ConfigurationError, r"'input_noise'"),
    (lambda: reg().add_layer(object()), ConfigurationError, r"is an? object; expected an int"),
    (lambda: reg().add_layer(5, nam="x"), ConfigurationError, r"'nam' \(did you mean 'name'"),
    (lambda: reg().add_layer(Feedforward("hid1", size=3)), ConfigurationError, r"'hid1' is taken"),
    (lambda: reg().add_layer(Feedforward("x", size=3), size=4), ConfigurationError, r"an instance"),
]

LOSSES = [
    (lambda: reg(loss="msee"), UnknownNameError, r"loss 'msee' \(did you mean 'mse'"),
    (lambda: reg(loss=5), ConfigurationError, r"loss 5 is an? int; expected a name"),
    (lambda: reg(loss={"weight": 2}), ConfigurationError, r"no 'form'"),
    (lambda: reg(loss={"form": "mse", "wieght": 2}), ConfigurationError, r"'wieght'.*'weight'"),
    (lambda: reg(loss=theanets.Network), ConfigurationError, r"expected a name, dict, Loss"),
    (lambda: reg().add_loss(None), ConfigurationError, r"add_loss\(None\) needs a loss"),
    (lambda: reg().set_loss(None), ConfigurationError, r"needs a loss"),
    (lambda: reg().add_loss("mse", wieght=2), ConfigurationError, r"'wieght'.*'weight'"),
    (lambda: reg().add_loss("mse", margin=2), ConfigurationError, r"'mse' got.*'margin'"),
    (lambda: reg().add_loss("mse", weight="a"), ConfigurationError, r"weight='a' is not a finite"),
    (lambda: reg().add_loss("mse", weight=None), ConfigurationError, r"weight=None is not"),
    (lambda: reg().add_loss("mse", weight=np.nan), ConfigurationError, r"weight=nan is not"),
    (lambda: setattr(reg().losses[0], "weight", "a"), ConfigurationError, r"weight='a' is not"),
    (lambda: reg().add_loss("mse", output_name="hid2"), UnknownNameError, r"'hid2:out'.*hid1:out"),
    (lambda: reg().add_loss("mse", output_name=5), ConfigurationError, r"5 is not the name"),
    (lambda: reg().add_loss("mse", output_name="hid1"), ConfigurationError, r"\(5,\).*\(3,\)"),
    (
        lambda: listed(cla(), theanets.Loss.build("xe", output_name="hid1:pre")),
        ConfigurationError,
        r"'target' are compared with outputs of different sizes: .*hid1:pre has 5",
    ),
    (lambda: reg().add_loss("mse", target=2.5), ConfigurationError, r"target=2\.5 is not a name"),
    (
        lambda: reg().add_loss("mse", target="in"),
        ConfigurationError,
        r"called 'in'; input layers, targ",
    ),
    (lambda: listed(reg(), "mse"), ConfigurationError, r"net\.losses has 'mse', which is not a L"),
    (lambda: train(reg(loss=None), [X]), ConfigurationError, r"no loss; add one"),
    (lambda: reg(loss=None).evaluate([X]), ConfigurationError, r"no loss; add one"),
    (
        lambda: theanets.Regressor().train([X, Y]),
        ConfigurationError,
        "the network has no layer that computes an output",
    ),
    (lambda: train(reg(loss=Vector)), ConfigurationError, r"'vector' returned.* 1 dim.*a scalar"),
    (lambda: train(reg(loss=Nothing)), ConfigurationError, r"'nothing' returned None; expected"),
    (lambda: train(reg(loss=Formless)), TypeError, r"Formless defines neither errors.* nor __call"),
    (lambda: train(reg(loss=nothing)), ConfigurationError, r"'nothing' returned None; expected"),
    (lambda: train(reg(loss=rows)), ConfigurationError, r"'rows' returned.* 1 dim.*the 2 of the"),
    (
        lambda: train(reg(loss=mean, weighted=True), [X, Y, W]),
        ConfigurationError,
        r"'mean' is weighted, so it has to return an error for each entry",
    ),
]

DATA = [
    (lambda: train(data=X), DataError, r"train data is one ndarray of shape \(20, 4\), but 2 arr"),
    (
        lambda: train(data=[X]),
        DataError,
        r"train data has 1 array, but 2 are expected: 'in' \(n, 4",
    ),
    (lambda: train(data=[X, Y, Y]), DataError, r"train data has 3 arrays, but 2"),
    (lambda: train(data=[X, Y[:5]]), DataError, r"differ in length: 'in' has 20, 'target' has 5"),
    (lambda: train(data=[X[:, :3], Y]), DataError, r"array 1 of 2 \('in'\) has shape \(20, 3\).*4"),
    (lambda: train(data=[X[0], Y]), DataError, r"'in'.*shape \(4,\).*x\[None\]"),
    (lambda: train(data=[X, Y[:, 0]]), DataError, r"array 2 of 2.*shape \(20,\).*\(n, 3\)"),
    (lambda: train(data=[X[..., None], Y]), DataError, r"shape \(20, 4, 1\).*'in' \(n, 4\)"),
    (lambda: train(data=[X[:0], Y[:0]]), DataError, r"it is empty"),
    (lambda: train(data=[[], []]), DataError, r"shape \(0,\)"),
    (lambda: train(data=[NAN, Y]), DataError, r"80 entries that are NaN.* nan at \[0, 0\]"),
    (lambda: train(data=[X, Y + np.inf]), DataError, r"'target'.*first is inf"),
    (lambda: train(data=[X, "abc"]), DataError, r"array 2 of 2 \('target'\).*<U3"),
    (lambda: train(data=[X, None]), DataError, r"array 2 of 2.*object.*numeric dtype"),
    (lambda: train(data={"in": X, "traget": Y}), DataError, r"'traget' \(did you mean 'target'"),
    (lambda: train(data=5), DataError, r"train data is one int, but 2"),
    (lambda: train(data=iter([])), DataError, r"train data is exhausted"),
    (lambda: train(data=nothing), DataError, r"train data, batch 1 is one NoneType"),
    (lambda: train(reg(), [X, Y], 5), DataError, r"valid data is one int"),
    (lambda: train(reg(), [X, Y], [X]), DataError, r"valid data has 1 array, but 2"),
    (lambda: train(reg(), None, [X, Y[:, :2]]), DataError, r"valid data, array 2 of 2.*\(20, 2\)"),
    (lambda: train(reg(weighted=True)), DataError, r"weights are missing: 'weights' \(n, 3\)"),
    (lambda: train(reg(weighted=True), [X, Y, W[:, :2]]), DataError, r"'weights'.*\(20, 2\)"),
    (lambda: train(reg(weighted=True), [X, Y, W * np.nan]), DataError, r"weights must be finite"),
    (
        lambda: train(reg(weighted=True), [X, Y * np.nan, W]),
        DataError,
        r"only where 'weights' is 0",
    ),
    (
        lambda: train(auto(weighted=True), [NAN, np.ones((20, 4))]),
        DataError,
        r"only where 'weights'",
    ),
    (lambda: train(cla(), [X, LABELS + 1]), DataError, r"largest is 3, valid is \[0, 3\)"),
    (lambda: train(cla(), [X, LABELS - 1]), DataError, r"smallest is -1, valid is \[0, 3\)"),
    (lambda: train(cla(), [X, LABELS * 1.0]), DataError, r"float64.*y\.astype\(int\)"),
    (
        lambda: train(cla(), [X, np.eye(3)[LABELS]]),
        DataError,
        r"one-hot.*argmax.*Regressor.*3, 'softmax'",
    ),
    (lambda: train(cla(), [X, ["a"] * 20]), DataError, r"array 2 of 2 \('target'\).*<U1.*int32"),
    (
        lambda: train(theanets.Classifier([4, 5, 1]), [X, LABELS > 1]),
        DataError,
        r"largest is 1.*unit per class: 2 .*Regressor\(\[..., \(1, 'sigmoid'\)\], loss='bce'",
    ),
    (lambda: reg().evaluate([X]), DataError, r"data has 1 array, but 2"),
    (lambda: reg().evaluate(5), DataError, r"data is one int"),
    (lambda: cla().evaluate([X, LABELS + 5]), DataError, r"largest is 7"),
]

TRAINING = [
    (lambda: train(epohcs=1), ConfigurationError, r"train got.*'epohcs' \(did you mean 'epochs'"),
    (lambda: train(hiden_dropout=0.1), ConfigurationError, r"'hiden_dropout'.*'hidden_dropout'"),
    (lambda: train(min_improvment=1), ConfigurationError, r"'min_improvment'.*'min_improvement'"),
    (lambda: train(lerning_rate=1), ConfigurationError, r"'lerning_rate'.*'learning_rate'"),
    (lambda: list(reg().itertrain([X, Y], epohcs=1)), ConfigurationError, r"'epohcs'.*'epochs'"),
    (lambda: train(epochs=-1), ConfigurationError, r"epochs=-1 is not a number of at least 0"),
    (lambda: train(epochs="a"), ConfigurationError, r"epochs='a' is not a number"),
    (lambda: train(epochs=1.5), ConfigurationError, r"epochs=1\.5 is not an integer"),
    (lambda: train(patience="a"), ConfigurationError, r"patience='a' is not"),
    (lambda: train(validate_every=0), ConfigurationError, r"validate_every=0"),
    (lambda: train(batch_size=0), ConfigurationError, r"batch_size=0 is not an"),
    (lambda: train(batch_size="a"), ConfigurationError, r"batch_size='a' is not an integer"),
    (lambda: train(train_batches="a"), ConfigurationError, r"train_batches='a' is not an integer"),
    (lambda: train(valid_batches=0), ConfigurationError, r"valid_batches=0 is not an"),
    (lambda: train(axis=5), DataError, r"'in'.*no axis=5"),
    (lambda: train(algo="sdg"), UnknownNameError, r"'sdg' \(did you mean 'sgd'"),
    (lambda: train(algo=5), UnknownNameError, r"optimizer 5"),
    (lambda: train(algo=[]), ConfigurationError, r"algo=\[\] names no algorithm"),
    (lambda: train(learning_rate="a"), ConfigurationError, r"learning_rate='a' is not a positive"),
    (lambda: train(learning_rate=-1), ConfigurationError, r"learning_rate=-1 is not a positive"),
    (lambda: train(mode="NUMBER"), UnknownNameError, r"'NUMBER'.*'NUMBA'"),
    (lambda: train(rng="a"), ConfigurationError, r"rng='a' is not a source"),
    (lambda: train(progress=5), ConfigurationError, r"progress=5 is not True"),
    (lambda: train(callbacks=[5]), ConfigurationError, r"callbacks.*5"),
    (lambda: train(save_every=3), ConfigurationError, r"save_every=3 needs save_progress"),
    (lambda: train(save_progress="x", save_every=float("inf")), ConfigurationError, "every=inf is"),
    (lambda: train(save_progress="x", save_every=float("nan")), ConfigurationError, "every=nan is"),
    (lambda: train(checkpoint_every=0), ConfigurationError, r"checkpoint_every=0"),
    (lambda: reg().evaluate([X, Y], batchsize=3), ConfigurationError, r"'batchsize'.*'batch_size'"),
    (lambda: reg().evaluate([X, Y], batch_size=0), ConfigurationError, r"batch_size=0 is not an"),
    (lambda: reg().evaluate([X, Y], batches=0), ConfigurationError, r"batches=0 is not an"),
    # Monitors.
    (lambda: train(monitors=5), ConfigurationError, r"monitors=5 is neither a dict"),
    (lambda: train(monitors="hid1"), ConfigurationError, r"monitors='hid1' is neither a dict"),
    (lambda: train(monitors=[5]), ConfigurationError, r"monitors: 5 is not a pair"),
    (lambda: train(monitors={"hid2": 0.1}), UnknownNameError, r"pattern 'hid2:out' .*'hid1:out'"),
    (lambda: train(monitors={"hid1 x": 0.1}), UnknownNameError, r"pattern 'x:out'"),
    (lambda: train(monitors={5: 0.1}), ConfigurationError, r"pattern 5 is neither a str"),
    (lambda: train(monitors={"hid1": None}), ConfigurationError, r"None is not a number, a callab"),
    (lambda: train(monitors={"hid1": True}), ConfigurationError, r"True is not a number"),
    (
        lambda: train(monitors={"hid1": {"a": 5}}),
        ConfigurationError,
        r"5, labelled 'a', is not cal",
    ),
    (
        lambda: train(monitors={"hid1": ("a", 5)}),
        ConfigurationError,
        r"5, labelled 'a', is not cal",
    ),
    (
        lambda: train(monitors={"hid1": nothing}),
        ConfigurationError,
        r"monitor 'hid1.*returned None",
    ),
]

REGULARIZERS = [
    (lambda: train(weight_l2="a"), ConfigurationError, r"'weight_l2': weight='a' is not a number"),
    (lambda: train(weight_l2="0.1"), ConfigurationError, r"weight='0\.1' is not a number"),
    (lambda: train(weight_l2=True), ConfigurationError, r"weight=True is not a number"),
    (lambda: train(weight_l2=[0.1]), ConfigurationError, r"weight=\[0\.1\] is not a number"),
    (
        lambda: train(weight_l2=-1),
        ConfigurationError,
        r"weight=-1 is not a number of at least 0",
    ),
    (lambda: train(weight_l2=np.nan), ConfigurationError, r"weight=nan is not a number"),
    (lambda: train(weight_l2={"hid2.w": 1}), UnknownNameError, r"'hid2\.w' .*'hid1\.w'"),
    (lambda: train(weight_l2={"hid1.w x": 1}), UnknownNameError, r"parameter pattern 'x'"),
    (lambda: train(weight_l2={5: 1}), ConfigurationError, r"pattern 5 is neither a str"),
    (lambda: train(weight_l2={"": 1}), ConfigurationError, r"pattern '' is empty"),
    (lambda: train(weight_l2={"weight": 1, "pattern": 5}), ConfigurationError, r"pattern 5 is"),
    (lambda: train(weight_l2={"weight": 1, "patern": "x"}), ConfigurationError, r"'patern'.*'patt"),
    (lambda: train(weight_l2={"pattern": "hid1.w"}), ConfigurationError, r"has no 'weight'"),
    (
        lambda: train(weight_l2={"weight": 1, "norm": "max"}),
        ConfigurationError,
        r"norm='max' is not",
    ),
    (lambda: train(weight_l2={"weight": 1, "lnorm": "a"}), ConfigurationError, r"lnorm='a' is not"),
    (lambda: train(weight_l2={"weight": 1, "lnorm": 0}), ConfigurationError, r"lnorm=0 is not"),
    (lambda: train(hidden_l1={"hid2": 1}), UnknownNameError, r"'hid2:out' .*'hid1:out'"),
    (lambda: train(layer("ff", loss=None), [X]), ConfigurationError, r"needs a size"),
    (
        lambda: train(theanets.Regressor([4, 3]), hidden_l1=1),
        ConfigurationError,
        r"no hidden layer to regularize",
    ),
    (
        lambda: train(theanets.Regressor([4, 3]), hidden_dropout=0.5),
        ConfigurationError,
        r"hidden_dropout=0\.5: the network has no such layer",
    ),
    (
        lambda: train(hidden_dropout=1),
        ConfigurationError,
        r"'dropout': weight=1 is not a number in \[0, 1\)",
    ),
    (
        lambda: train(hidden_dropout=-0.1),
        ConfigurationError,
        r"'dropout': weight=-0\.1 is not a number in \[0, 1\)",
    ),
    (
        lambda: train(dropout={"hid1": 1.5}),
        ConfigurationError,
        r"weight=1\.5 is not a number in",
    ),
    (lambda: train(dropout={"hid2": 0.5}), UnknownNameError, r"'hid2:out' .*'hid1:out'"),
    (lambda: train(dropout={"hid1 x": 0.5}), UnknownNameError, r"output pattern 'x:out'"),
    (lambda: train(noise={"weight": 1, "patern": "x"}), ConfigurationError, r"'patern'.*'pattern'"),
    (lambda: train(noise=-1), ConfigurationError, r"'noise': weight=-1 is not"),
    (lambda: train(regularizers=5), ConfigurationError, r"regularizers=5 is neither a list"),
    (lambda: train(regularizers="weight_l2"), ConfigurationError, r"'weight_l2' is neither a list"),
    (lambda: train(regularizers=[5]), ConfigurationError, r"5 is neither a Regularizer nor"),
    (
        lambda: train(regularizers=[{"form": "weight_l3", "weight": 1}]),
        UnknownNameError,
        r"_l3'.*_l2",
    ),
    (lambda: train(regularizers=[{"form": "weight_l2"}]), ConfigurationError, r"has no 'weight'"),
    (lambda: train(regularizers={"weight_l3": 1}), UnknownNameError, r"'weight_l3'.*'weight_l2'"),
    (lambda: train(regularizers={5: 1}), UnknownNameError, r"regularizer 5"),
    (lambda: train(regularizers=[GaussianNoise(1, "hid2")]), UnknownNameError, r"'hid2:out'"),
    (lambda: GaussianNoise(1, pattern=5), ConfigurationError, r"pattern 5 is neither"),
    (lambda: GaussianNoise(1, std=5), ConfigurationError, r"'noise' got unknown keyword 'std'"),
    (
        lambda: theanets.penalty(5),
        ConfigurationError,
        r"penalty\(5\): the function is not callable",
    ),
    (lambda: train(regularizers=[theanets.penalty(nothing)]), ConfigurationError, r"returned None"),
    (
        lambda: train(regularizers=[theanets.penalty(first, "hid1.w")]),
        ConfigurationError,
        r"penalty 'first' returned an expression of 1 dimensions; expected a scalar",
    ),
    (
        lambda: train(regularizers=[theanets.penalty(first, "hid2.w")]),
        UnknownNameError,
        r"pattern 'hid2\.w:out'|pattern 'hid2\.w'",
    ),
    (lambda: train(penalty_scale="a"), ConfigurationError, r"penalty_scale='a' is not a number"),
    (lambda: train(penalty_scale=-1), ConfigurationError, r"penalty_scale=-1 is not"),
    (lambda: train(penalty_scale=1, reg_lambda=1), ConfigurationError, r"are the same"),
    (lambda: reg().outputs(hiden_noise=1), UnknownNameError, r"'hiden_noise'"),
    (lambda: reg().loss(weight_l3=1), UnknownNameError, r"'weight_l3'.*'weight_l2'"),
    (lambda: reg().build_graph(5), ConfigurationError, r"regularizers=5 is neither"),
    (lambda: reg().build_graph([5]), ConfigurationError, r"5 is neither a Regularizer"),
]

USE = [
    (lambda: reg().predict(5), DataError, r"x.*'in'.*shape \(\)"),
    (lambda: reg().predict(None), DataError, r"'in'.*object"),
    (lambda: reg().predict("a"), DataError, r"'in'.*<U1"),
    (lambda: reg().predict([]), DataError, r"'in'.*shape \(0,\)"),
    (lambda: reg().predict(X[0]), DataError, r"shape \(4,\).*x\[None\]"),
    (lambda: reg().predict(X[:, :3]), DataError, r"shape \(20, 3\).*'in' \(n, 4\)"),
    (lambda: reg().predict(NAN), DataError, r"80 entries that are NaN"),
    (lambda: reg().predict([[1, 2, 3, 4], [1, 2]]), DataError, r"a list that is not one array"),
    (lambda: reg().predict([X, X]), DataError, r"x has 2 arrays, but 1 is expected"),
    (lambda: reg().predict({"inn": X}), DataError, r"'inn' \(did you mean 'in'"),
    (lambda: two().predict(X), DataError, r"one ndarray.*but 2 arrays are expected.*'b' \(n, 2\)"),
    (lambda: two().predict([X]), DataError, r"x has 1 array, but 2"),
    (lambda: two().predict([X, X[:5, :2]]), DataError, r"'in' has 20, 'b' has 5"),
    (lambda: two().predict({"in": X}), DataError, r"lacks 'b'"),
    (lambda: reg().predict(X, batch_size=0), ConfigurationError, r"batch_size=0 is not an"),
    (lambda: reg().predict(X, batch_size="a"), ConfigurationError, r"batch_size='a' is not an"),
    (lambda: reg().predict(X, batchsize=3), ConfigurationError, r"'batchsize'.*'batch_size'"),
    (lambda: reg().predict(X, wanted=["hid1"]), ConfigurationError, r"keyword 'wanted'"),
    (lambda: reg().predict(X, given="hid1"), ConfigurationError, r"keyword 'given'"),
    (lambda: reg().predict(X, where="x"), ConfigurationError, r"keyword 'where'"),
    (lambda: reg().predict(X, rng="a"), ConfigurationError, r"rng='a' is not a source"),
    (lambda: reg().predict(X, mode="NUMBER"), UnknownNameError, r"'NUMBER'.*'NUMBA'"),
    (lambda: reg().predict(X, hidden_dropout=2), ConfigurationError, r"weight=2 is not"),
    (lambda: reg().predict(X, dropout={"hid2": 0.5}), UnknownNameError, r"'hid2:out'"),
    (
        lambda: reg().feed_forward(X, hiden_noise=1),
        ConfigurationError,
        r"'hiden_noise'.*'hidden_no",
    ),
    (lambda: cla().predict_proba(X[:, :2]), DataError, r"shape \(20, 2\)"),
    (
        lambda: theanets.Regressor().predict(X),
        ConfigurationError,
        "no layer that computes an output",
    ),
    # Scores.
    (lambda: reg().score(X, Y[:5]), DataError, r"x has 20 rows, y has 5"),
    (lambda: reg().score(X, Y[:, :2]), DataError, r"'y'.*shape \(20, 2\).*\(n, 3\)"),
    (lambda: reg().score(X, LABELS), DataError, r"'y'.*shape \(20,\)"),
    (lambda: reg().score(X, "a"), DataError, r"'y'.*<U1"),
    (lambda: reg().score(X, None), DataError, r"'y'.*object"),
    (lambda: reg().score(X, Y * np.nan), DataError, r"'y'.*60 entries that are NaN"),
    (lambda: reg().score(X, Y * 0), DataError, r"R squared is not defined: y is constant"),
    (lambda: reg().score(X[:0], Y[:0]), DataError, r"'y'.*it is empty"),
    (lambda: reg().score(X, Y, "a"), DataError, r"'w'.*<U1"),
    (lambda: reg().score(X, Y, np.ones(3)), DataError, r"'y' has 20, 'w' has 3"),
    (lambda: reg().score(X, Y, np.ones((20, 2))), DataError, r"'w'.*shape \(20, 2\)"),
    (lambda: reg().score(X, Y, np.zeros(20)), DataError, r"not all 0"),
    (lambda: reg().score(X, Y, -np.ones(20)), DataError, "has the weight -1; expected 0, or"),
    (lambda: reg().score(X, Y, np.full(20, np.nan)), DataError, r"weights must be finite"),
    (
        lambda: reg().score(X, Y, hidden_nose=1),
        ConfigurationError,
        r"'hidden_nose'.*'hidden_noise'",
    ),
    (lambda: cla().score(X, LABELS + 1), DataError, r"'y'.*largest is 3, valid is \[0, 3\)"),
    (lambda: cla().score(X, LABELS * 1.0), DataError, r"'y'.*y\.astype\(int\)"),
    (lambda: cla().score(X, LABELS[:4]), DataError, r"x has 20 rows, y has 4"),
    (lambda: cla().score(X, np.eye(3)[LABELS]), DataError, r"'y'.*argmax"),
    (lambda: cla().score(X, LABELS, np.zeros(20)), DataError, r"not all 0"),
    (lambda: cla().score(X, LABELS, np.ones(5)), DataError, r"'y' has 20, 'w' has 5"),
    (lambda: auto().score(X, X), DataError, "has the weight -.*; expected 0, or"),
    (lambda: auto().score(X, np.ones(3)), DataError, r"'y' has 20, 'w' has 3"),
    (lambda: auto(weighted=True).score(NAN), DataError, r"'y'.*NaN"),
    # Codes.
    (lambda: auto().encode(X, "hid2"), UnknownNameError, r"layer 'hid2' \(did you mean 'hid1'"),
    (lambda: auto().encode(X, 5), UnknownNameError, r"layer 5"),
    (lambda: auto().encode(X, 1.5), UnknownNameError, r"layer 1\.5"),
    (lambda: auto().encode(X, []), UnknownNameError, r"layer \[\]"),
    (
        lambda: auto().encode(X, "hid1:poe"),
        UnknownNameError,
        r"'hid1:poe' \(did you mean 'hid1:pre'",
    ),
    (
        lambda: auto().encode(X, Feedforward("q", size=2)),
        UnknownNameError,
        r"layer <Feedforward 'q'",
    ),
    (lambda: auto().encode(X[:, :2]), DataError, r"shape \(20, 2\)"),
    (lambda: auto().encode(X, layers="hid1"), ConfigurationError, r"keyword 'layers'"),
    (lambda: auto().encode(X, "in", sample=True), ConfigurationError, r"probabilities.*go from -"),
    (lambda: theanets.Autoencoder([4, 4]).encode(X), ConfigurationError, r"no hidden layer"),
    (lambda: auto().decode(X), DataError, r"z.*'hid1:out'.*shape \(20, 4\).*\(n, 2\)"),
    (lambda: auto().decode(NAN[:, :2]), DataError, r"z.*NaN"),
    (lambda: auto().decode(X[0, :2]), DataError, r"z.*shape \(2,\)"),
    (lambda: auto().decode(X[:, :2], "hid2"), UnknownNameError, r"layer 'hid2'"),
    (lambda: auto().decode(X[:, :2], given="hid1"), ConfigurationError, r"keyword 'given'"),
    (
        lambda: theanets.Autoencoder([4, 2, {"size": 4, "inputs": ("hid1", "in")}]).decode(
            X[:, :2]
        ),
        ConfigurationError,
        r"computed from hid1:out alone: it depends on 'in:out'",
    ),
    # Finding.
    (lambda: reg().find("hid1"), UnknownNameError, r"'hid1' \(did you mean 'hid1\.[wb]'"),
    (lambda: reg().find("hid1.q"), UnknownNameError, r"'hid1\.q' \(did you mean 'hid1\.[wb]'"),
    (lambda: reg().find("hid3", "w"), UnknownNameError, r"layer 'hid3' \(did you mean 'hid1'"),
    (lambda: reg().find("hid1", "q"), UnknownNameError, r"layer 'hid1' 'q'; valid: b, w"),
    (lambda: reg().find("hid1", 9), UnknownNameError, r"layer 'hid1' 9"),
    (lambda: reg().find("hid1", 1.5), UnknownNameError, r"layer 'hid1' 1\.5"),
    (lambda: reg().find("hid1", []), UnknownNameError, r"layer 'hid1' \[\]"),
    (lambda: reg().find(9, "w"), UnknownNameError, r"layer 9"),
    (lambda: reg().find([], "w"), UnknownNameError, r"layer \[\]"),
    (lambda: reg().find([]), UnknownNameError, r"parameter \[\]"),
    (lambda: reg().find(None), UnknownNameError, r"parameter None"),
    # Files.
    (lambda: reg().save("/no/such/place"), MissingFileError, r"/no/such/place"),
    (lambda: theanets.Network.load("/no/such/file"), MissingFileError, r"/no/such/file"),
    (lambda: theanets.Network.load(io.BytesIO(b"abc")), FileError, r"3 bytes are too few"),
    (lambda: theanets.Network.load(io.BytesIO(b"a" * 100)), FileError, r"not a file of theanets"),
    (lambda: theanets.Network.load(io.StringIO("a" * 100)), ConfigurationError, r"text.*'rb'"),
    (lambda: reg().save(io.StringIO()), ConfigurationError, r"text.*'wb'"),
    (lambda: reg().save(5), ConfigurationError, r"5 is neither a path nor a file to"),
    (lambda: theanets.Network.load(5), ConfigurationError, r"5 is neither a path nor a file to"),
]

CASES = [*CONSTRUCTION, *LOSSES, *DATA, *TRAINING, *REGULARIZERS, *USE]


@pytest.mark.parametrize(("call", "error", "message"), CASES)
def test_clear_errors(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert type(caught.value) is error
    assert caught.value.__cause__ is None or isinstance(caught.value, (DataError, OSError))


def test_unknown_names_are_key_errors_and_value_errors():
    """A program written for either keeps working."""
    for kind in (KeyError, ValueError, theanets.Error):
        with pytest.raises(kind):
            reg().find("nope", "w")
    with pytest.raises(ValueError, match="1 array"):
        reg().evaluate([X])


def test_wrong_files(tmp_path):
    reg().save(tmp_path / "net")
    with pytest.raises(FileError, match="holds a Regressor, not a Classifier"):
        theanets.Classifier.load(tmp_path / "net")
    with pytest.raises(
        FileError, match=r"'hid1\.w' has shape \(4, 5\), the network's has \(4, 6\)"
    ):
        theanets.Regressor([4, 6, 3]).load(tmp_path / "net")
    whole = (tmp_path / "net").read_bytes()
    for length in (0, 7, 8, 100, len(whole) - 1):
        (tmp_path / "net").write_bytes(whole[:length])
        with pytest.raises(FileError, match=r"net: "):
            theanets.Regressor.load(tmp_path / "net")


def test_a_call_that_fails_leaves_the_network_as_it_was():
    net = reg()
    before = [p.get_value() for p in net.params]
    clean = net.evaluate([X, Y])
    for wrong in ({"hiden_noise": 1}, {"dropout": {"nope": 0.5}}, {"weight_l2": {"nope": 1}}):
        with pytest.raises(ConfigurationError):
            net.train([X, Y], epochs=1, **wrong)
    with pytest.raises(DataError):
        net.train([X, Y[:, :2]], epochs=1)
    assert net.evaluate([X, Y]) == clean
    for param, value in zip(net.params, before, strict=True):
        np.testing.assert_array_equal(param.get_value(), value)
    net.train([X, Y], epochs=1)


# On the linker that users have, where an index out of range would end the process.
CRASHES = """
    import numpy as np
    import theanets
    from theanets import DataError

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 4)), rng.integers(0, 3, 40)
    net = theanets.Classifier([4, 5, 3], weighted=True, mode="NUMBA")
    w = np.ones(40)
    net.train([x, y, w], epochs=1)

    def batch():
        return [x, np.where(y == 2, 10**6, y), w]

    late = y.copy()
    wrong = {
        "large": lambda: net.train([x, y + 10**6, w], epochs=1),
        "negative": lambda: net.train([x, y - 10**6, w], epochs=1),
        "masked": lambda: net.train([x, np.where(y == 1, 99, y), y != 1], epochs=1),
        "huge": lambda: net.train([x, y + 2**40, w], epochs=1),
        "float": lambda: net.train([x, y + 0.5, w], epochs=1),
        "evaluate": lambda: net.evaluate([x, y - 5, w]),
        "valid": lambda: net.train([x, y, w], [x, y + 1, w], epochs=1),
        "batch": lambda: net.train(batch, epochs=1, train_batches=2),
        "score": lambda: net.score(x, y + 7),
        "short": lambda: net.train([x, y[:5], w], epochs=1),
        "width": lambda: net.predict(x[:, :2]),
        "rank": lambda: net.predict(x[0]),
        "empty": lambda: net.train([x[:0], y[:0], w[:0]], epochs=1),
    }
    for name, call in wrong.items():
        try:
            call()
        except DataError:
            print(name)
    assert net.predict(x[:0]).shape == (0,)
    print("alive", np.isfinite(net.evaluate([x, y, w])["loss"]))
"""


@pytest.mark.linker
def test_nothing_ends_the_process():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CRASHES)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    names = "large negative masked huge float evaluate valid batch score short width rank empty"
    assert done.stdout.split() == [*names.split(), "alive", "True"]
