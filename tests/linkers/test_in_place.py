"""Linkers that compute elsewhere see what is changed in place between calls."""

from dataclasses import dataclass

import numpy as np
import pytensor
import pytest

import theanets

pytestmark = [
    pytest.mark.linker,
    # Of PyTorch, about itself and about arrays of PyTensor.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The given NumPy array is not writable"),
]


@pytest.fixture
def mode(request):
    """A mode, of whose linker nothing is compiled where it would take long."""
    if request.param == "JAX":
        pytest.importorskip("jax")
        yield "JAX"
    elif request.param == "PYTORCH":
        torch = pytest.importorskip("torch")
        with torch.compiler.set_stance("force_eager"):
            yield "PYTORCH"
    else:
        yield request.param


def in_place(variable, how):
    """Double a shared variable by a function of the user's, or with its own array at hand."""
    if how == "borrowed":
        value = variable.get_value(borrow=True)
        value *= 2
    else:
        pytensor.function([], updates=[(variable, 2 * variable)], mode=how)()


@pytest.mark.parametrize(
    "mode, how",
    [(m, h) for m in ("JAX", "PYTORCH", "NUMBA") for h in ("borrowed", "NUMBA")] + [("JAX", "JAX")],
    indirect=["mode"],
)
def test_what_is_changed_in_place_is_seen(mode, how):
    x = np.eye(4)
    data = [x, np.zeros((4, 2))]
    net = theanets.Regressor([4, 2], rng=1, mode=mode, dtype="float64")
    weights = net.find("out", "w")
    start = weights.get_value()
    for factor in (1, 2, 4):
        expected = factor * start
        # In one batch, and in several, between which arrays may be held.
        for size in (4, 4, 1, 1):
            np.testing.assert_allclose(net.predict(x, batch_size=size), expected)
            found = net.evaluate(data, batch_size=size)["loss"]
            assert found == pytest.approx((expected**2).mean())
        in_place(weights, how)


@pytest.mark.parametrize("how", ["borrowed", "NUMBA"])
@pytest.mark.parametrize("mode", ["JAX", "PYTORCH"], indirect=True)
def test_what_a_callback_changes_in_place_is_seen_by_the_next_step(mode, how, rng):
    """Of parameters that stay as they are; the others are new arrays after each step."""
    data = [rng.normal(size=(7, 4)), rng.normal(size=(7, 2))]
    nets = []
    for linker in (mode, "FAST_COMPILE"):
        net = theanets.Regressor([4, 3, 2], rng=1, mode=linker, dtype="float64")

        class Change(theanets.callbacks.Callback):
            def batch(self, run, net=net):
                in_place(net.find("hid1", "w"), how)

        options = dict(algo="sgd", learning_rate=0.01, epochs=2, batch_size=2, progress=False)
        net.train(data, data, freeze="hid1.w", callbacks=Change(), **options)
        nets.append(net)
    for ours, theirs in zip(*(net.params for net in nets)):
        np.testing.assert_allclose(ours.get_value(), theirs.get_value(), rtol=1e-9)


# ---- settings that are objects ---------------------------------------------------


@dataclass
class Settings:
    factor: float = 1.0


class Plain:
    def __init__(self):
        self.factor, self.itself = 1.0, self


def set_factor(thing):
    thing.factor = 2.0


def set_column(frame):
    frame["factor"] = 2.0


THINGS = {
    "array": (lambda: np.ones(1), lambda a: a[0], lambda a: a.fill(2)),
    "dict": (lambda: {"factor": 1.0}, lambda d: d["factor"], lambda d: d.update(factor=2.0)),
    "list": (lambda: [[1.0]], lambda x: x[0][0], lambda x: x[0].append(x[0].pop() * 2)),
    "set": (lambda: {1.0}, sum, lambda x: (x.clear(), x.add(2.0))),
    "dataclass": (Settings, lambda s: s.factor, set_factor),
    "object": (Plain, lambda s: s.factor, set_factor),
    "nested": (lambda: [Plain()], lambda s: s[0].factor, lambda s: set_factor(s[0])),
    "table": (
        lambda: pytest.importorskip("pandas").DataFrame({"factor": [1.0]}),
        lambda f: float(f["factor"].iloc[0]),
        set_column,
    ),
}


@pytest.mark.parametrize("kind", THINGS)
def test_settings_of_a_loss_that_are_changed_in_place_are_seen(kind, rng):
    make, read, change = THINGS[kind]

    class Scaled(theanets.Loss, names=()):
        def __call__(self, outputs):
            error = outputs[self.output_name] - self._target
            return (error**2).mean() * float(read(self.thing))

    loss = Scaled()
    loss.thing = make()
    net = theanets.Regressor([3, 2], loss=loss, rng=1, mode="FAST_COMPILE")
    data = [rng.normal(size=(5, 3)), rng.normal(size=(5, 2))]
    before = net.evaluate(data)["loss"]
    functions = len(net._cache)
    assert net.evaluate(data)["loss"] == before and len(net._cache) == functions
    change(net.losses[0].thing)
    assert net.evaluate(data)["loss"] == pytest.approx(2 * before)


def test_an_activation_that_is_changed_in_place_is_seen(rng):
    class Slope:
        factor = 1.0

        def __call__(self, x):
            return self.factor * x

    slope = Slope()
    layers = [3, dict(size=4, activation=slope), 2]
    net = theanets.Regressor(layers, rng=1, mode="FAST_COMPILE", dtype="float64")
    x = rng.normal(size=(5, 3))
    before = net.predict(x)
    slope.factor = 2.0
    np.testing.assert_allclose(net.predict(x), 2 * before)
