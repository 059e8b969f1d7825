"""Classes that are defined again, as when a notebook's cell is run twice."""

import copy
import io
import pickle
import sys
import types

import numpy as np
import pytest

import theanets
from theanets.errors import ConfigurationError, FileError

CELL = """
import pytensor.tensor as pt
import theanets
from theanets import activations, metrics, optimizers

class TwiceLoss(theanets.Loss, names=("twice",)):
    options = {"factor": 2.0}
    def errors(self, target, output):
        return SIGN * self.factor * abs(target - output)

class PrivateLoss(theanets.Loss, register=False):
    def errors(self, target, output):
        return abs(target - output)

class TwiceLayer(theanets.Layer):
    options = {"factor": 1.0}
    def setup(self):
        self.add_weights("w")
    def transform(self, inputs):
        return self.activation(SIGN * self.factor * pt.dot(inputs.only, self.find("w")))

class PrivateLayer(theanets.Layer, register=False):
    def setup(self):
        self.add_weights("w")
    def transform(self, inputs):
        return self.activation(pt.dot(inputs.only, self.find("w")))

class TwiceActivation(theanets.Activation):
    def __call__(self, x):
        return SIGN * 2 * x

class TwiceRnn(theanets.layers.RNN):
    pass

class TwiceRegularizer(theanets.Regularizer, names=("twice_penalty",)):
    pass

class TwiceMetric(metrics.Metric, names=("twice_metric",)):
    pass

class TwiceOptimizer(optimizers.FirstOrder, names=("twice_algorithm",)):
    pass

class TwiceSchedule(optimizers.Schedule, names=("twice_schedule",)):
    pass

class TwiceModel(theanets.Regressor):
    pass

def twice_function(x):
    return SIGN * x / 2
"""


@pytest.fixture
def cell(monkeypatch):
    """Get a function that runs the cell in a module, and that module."""
    module = types.ModuleType("a_notebook")
    monkeypatch.setitem(sys.modules, "a_notebook", module)

    def run(sign=1):
        module.SIGN = sign
        # Classes look the sign up when they are used.
        exec(CELL.replace("SIGN", f"({sign})"), module.__dict__)
        return module

    return run


def through_a_file(net, **custom):
    handle = io.BytesIO()
    net.save(handle)
    handle.seek(0)
    return theanets.Network.load(handle, custom)


def pickled(net):
    return pickle.loads(pickle.dumps(net))


def networks(module):
    layer = dict(form="twicelayer", size=3, factor=0.5, activation="linear")
    worker = dict(form="bidirectional", worker=module.TwiceRnn, size=4)
    return {
        "model": module.TwiceModel([4, 2], rng=1),
        "loss": module.TwiceModel([4, 2], loss=dict(form="twice", factor=3.0), rng=1),
        "layer": module.TwiceModel([4, layer, 2], rng=1),
        "activation": module.TwiceModel([4, (3, "twiceactivation"), 2], rng=1),
        "class": module.TwiceModel([4, (3, module.TwiceActivation()), 2], rng=1),
        "composed": module.TwiceModel([4, (3, "tanh+twiceactivation"), 2], rng=1),
        "worker": theanets.recurrent.Regressor([4, worker, 2], rng=1),
        "private loss": module.TwiceModel([4, 2], loss=module.PrivateLoss, rng=1),
        "private layer": module.TwiceModel([4, (3, module.PrivateLayer), 2], rng=1),
        "function": module.TwiceModel([4, (3, module.twice_function), 2], rng=1),
    }


KINDS = [
    *("model", "loss", "layer", "activation", "class", "composed", "worker"),
    *("private loss", "private layer", "function"),
]
X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
Y = np.ones((5, 2), "float32")


def figures(net):
    predicted = net.predict(X[None] if net.layers[0].ndim == 3 else X).tolist()
    own = type(net.losses[0]).__module__ == "a_notebook"
    return predicted, net.evaluate([X, Y]) if own else None


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_an_older_definition(cell, kind, again):
    net = networks(cell())[kind]
    before = figures(net)
    old, new = type(net), cell() if again else sys.modules["a_notebook"]
    custom = {n: getattr(new, n) for n in ("PrivateLoss", "PrivateLayer", "twice_function")}
    loaded = through_a_file(net, **custom)
    assert figures(loaded) == before
    assert type(loaded) is getattr(new, "TwiceModel" if kind != "worker" else "", old)
    handle = io.BytesIO()
    net.save(handle)
    handle.seek(0)
    assert figures(old.load(handle, custom)) == before
    assert figures(copy.deepcopy(net)) == before
    # What has no name can be pickled only where Python finds the same object.
    if not (again and kind in ("private loss", "private layer", "function")):
        assert figures(pickled(net)) == before
    # The older network goes on as it was.
    assert figures(net) == before


@pytest.mark.parametrize("kind", ["loss", "layer", "activation", "composed", "function"])
def test_copies_keep_the_older_classes_and_files_get_the_newer(cell, kind):
    net = networks(cell(sign=1))[kind]
    old, new = figures(net), cell(sign=-1)
    assert figures(copy.deepcopy(net)) == figures(copy.copy(net)) == old
    newer = figures(networks(new)[kind])
    assert newer != old
    assert figures(through_a_file(net, twice_function=new.twice_function)) == newer
    if kind != "function":
        assert figures(pickled(net)) == newer


@pytest.mark.parametrize(
    ("name", "registered"),
    [
        ("TwiceLoss", "twice"),
        ("TwiceLayer", "twicelayer"),
        ("TwiceActivation", "twiceactivation"),
        ("TwiceRegularizer", "twice_penalty"),
        ("TwiceMetric", "twice_metric"),
        ("TwiceOptimizer", "twice_algorithm"),
        ("TwiceSchedule", "twice_schedule"),
    ],
)
def test_the_older_class_keeps_its_name(cell, name, registered):
    old = getattr(cell(), name)
    new = getattr(cell(), name)
    assert old is not new
    assert old.registry[registered] is new
    assert old.registry.name_of(old) == old.registry.name_of(new) == registered


def test_a_class_that_gives_up_its_name(cell):
    old = cell().TwiceLoss
    private = type(old)("TwiceLoss", (theanets.Loss,), vars(old) | {}, register=False)
    assert theanets.Loss.registry.name_of(old) is theanets.Loss.registry.name_of(private) is None
    assert "twice" not in theanets.Loss.registry


def test_functions_of_an_older_definition_side_by_side(cell):
    old, new = cell().twice_function, cell(sign=-1).twice_function
    net = theanets.Regressor([4, (3, old), (3, new), 2], rng=1)
    loaded = through_a_file(net, twice_function=new)
    assert figures(loaded) == figures(theanets.Regressor([4, (3, new), (3, new), 2], rng=1))

    def made(factor):
        def closure(x):
            return factor * x

        return closure

    net = theanets.Regressor([4, (3, made(1)), (3, made(2)), 2])
    with pytest.raises(ConfigurationError, match="two callables have the name 'closure'"):
        net.save(io.BytesIO())


def test_a_checkpoint_continues_with_the_newer_definition(cell, tmp_path):
    kwargs = dict(algo="sgd", epochs=2, checkpoint=tmp_path / "run")
    spec = dict(layers=[4, (3, "twicelayer"), 2], loss="twice", rng=1)
    cell()
    net = theanets.Regressor(**spec)
    net.train([X, Y], **kwargs)
    cell()
    # The network that there was, and one of the newer classes.
    for one in (net, theanets.Regressor(**spec)):
        one.train([X, Y], **kwargs)
        assert len(one.history) == 2


def test_a_subclass_of_an_older_model(cell):
    base = cell().TwiceModel
    net = type("Derived", (base,), {"__module__": "a_notebook"})([4, 2])
    newer = cell().TwiceModel
    handle = io.BytesIO()
    net.save(handle)
    for one in (base, newer):
        handle.seek(0)
        assert type(one.load(handle)) is type(net)
    handle.seek(0)
    with pytest.raises(FileError, match="holds a Derived, not a Classifier"):
        theanets.Classifier.load(handle)
