"""Parameters of other libraries that are NaN or infinite are told by their names, and kept."""

import warnings

import numpy as np
import pytest

import theanets
from theanets import models

torch = pytest.importorskip("torch")


def linear():
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    return module, module.state_dict()


def of_torch(change):
    module, state = linear()
    with torch.no_grad():
        change(state["2.weight"])
    return theanets.from_torch(module)


def of_keras(change):
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    model.add(keras.layers.Dense(2, name="2"))
    kernel = np.array(model.layers[1].kernel.numpy())
    change(kernel)
    model.layers[1].kernel.assign(kernel)
    return theanets.from_keras(model)


def of_gpt2(change):
    rng = np.random.default_rng(1)
    shapes = {"wte.weight": (5, 4), "wpe.weight": (6, 4), "ln_f.weight": (4,), "ln_f.bias": (4,)}
    weights = {key: rng.normal(size=shape).astype("f") for key, shape in shapes.items()}
    change(weights["wpe.weight"])
    return models.gpt2(weights, heads=2)


def of_resnet(change):
    state = models.resnet(18, 2, width=2).to_torch_state()
    change(state["fc.weight"])
    return models.resnet(18, 2, state, width=2)


LOADERS = {"2.w": [of_torch, of_keras], "wpe.w": [of_gpt2], "fc.w": [of_resnet]}


def as_nan(values):
    values[1, 1:] = float("nan")


def as_infinite(values):
    values[0, 1] = -float("inf")


@pytest.mark.parametrize("change", [as_nan, as_infinite])
@pytest.mark.parametrize("name, load", [(k, load) for k, v in LOADERS.items() for load in v])
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_they_are_named_and_kept(name, load, change):
    with pytest.warns(UserWarning, match=rf"NaN or infinite.*: '{name}' \(\d+ of \d+\)$") as seen:
        net = load(change)
    (one,) = [each for each in seen if each.category is UserWarning]
    assert one.filename == __file__
    value = net.find(*name.split(".")).get_value()
    assert not np.isfinite(value).all() and np.isfinite(value).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        load(lambda values: None)


def test_of_many_the_first_are_named():
    modules = [torch.nn.Linear(3, 3) for _ in range(7)]
    with torch.no_grad():
        for module in modules:
            module.weight.fill_(float("nan"))
    with pytest.warns(UserWarning, match=r"'0.w' \(9 of 9\), .*'4.w' \(9 of 9\) and others"):
        theanets.from_torch(modules)
