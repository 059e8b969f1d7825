"""What a user may do wrong in making a network and with data: calls, and what the errors say."""

import numpy as np
import pytensor.tensor as pt

import theanets
from theanets import ConfigurationError, DataError, UnknownNameError
from theanets.layers import Feedforward

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
