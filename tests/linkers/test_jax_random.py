"""Under JAX too, one seed governs everything, and a generator that is set anew is heeded."""

import copy

import numpy as np
import pytest

import theanets
from theanets import backends, rng

pytest.importorskip("jax")

from theanets.ops.draws import by_jax as jax_random
from theanets.ops.draws.by_jax import FromKey

pytestmark = pytest.mark.linker

X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
Y = np.random.default_rng(1).integers(2, size=20)
LAYERS = [4, 8, dict(form="dropout", rate=0.3), 2]
OPTIONS = {"epochs": 2, "hidden_noise": 0.3, "batch_size": 8}


@pytest.fixture(params=["cpu", "gpu"])
def device(request, monkeypatch):
    """Draw the numbers on the CPU, or keys as for another device."""
    monkeypatch.setattr(jax_random.jax, "default_backend", lambda: request.param)
    return request.param


def network(layers=LAYERS, kind=theanets.Classifier, mode="JAX"):
    return kind(layers, mode=mode, rng=3)


def values(net):
    return [param.get_value() for param in net.params]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(values(one), values(other), strict=True))


def test_networks_of_one_seed_and_copies_train_alike(device):
    one, other = network(), network()
    one.train([X, Y], **OPTIONS)
    other.train([X, Y], **OPTIONS)
    assert same(one, other)
    copied = copy.deepcopy(one)
    one.train([X, Y], **OPTIONS)
    copied.train([X, Y], **OPTIONS)
    assert same(one, copied) and not same(one, other)


def test_a_seed_of_a_run_governs_it(device):
    one, other = network(), network()
    other.evaluate([X, Y])
    start = values(one)
    other.train([X, Y], **OPTIONS)
    for param, value in zip(other.params, start, strict=True):
        param.set_value(value)
    for net in (one, other):
        net.train([X, Y], **OPTIONS, rng=5)
    assert same(one, other)
    third = network()
    third.train([X, Y], **OPTIONS, rng=6)
    assert not same(one, third)


def test_a_resumed_run_goes_on_with_the_same_bits(device, tmp_path):
    layers = [1, dict(form="rnn", size=3, zoneout=0.3), 2]
    whole, first, second = (network(layers, theanets.recurrent.Classifier) for _ in range(3))
    data = [X[:, :, None], np.stack([Y] * 4, 1)]
    options = {"algo": "sgd", "batch_size": 8, "hidden_dropout": 0.3}
    whole.train(data, epochs=4, **options)
    first.train(data, epochs=2, **options, checkpoint=tmp_path / "run")
    second.train(data, epochs=4, **options, checkpoint=tmp_path / "run")
    assert same(whole, second) and not same(whole, first)


def test_noise_in_predictions_goes_on_or_starts_anew(device):
    net = network()
    draws = [net.predict_proba(X, hidden_noise=1.0, rng=seed) for seed in (1, 1, None, 2, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[0], draws[4])
    for i, j in ((1, 2), (1, 3), (2, 3)):
        assert not np.array_equal(draws[i], draws[j])


class Watch(theanets.callbacks.Callback):
    """Keeps the states of all generators after each epoch."""

    def __init__(self):
        self.states = []

    def epoch(self, run):
        step = run.engine.step
        for generators in (step.generators, step.optimizer.generators):
            for name, generator in generators.items():
                self.states.append((name, generator.get_value().bit_generator.state))


NOISY = {
    "dropout": (theanets.Classifier, LAYERS, {"hidden_noise": 0.3, "hidden_dropout": 0.2}),
    "algorithm and penalty": (
        theanets.Classifier,
        [4, 8, 6, 2],
        {"algo": "esgd", "contractive": 0.1},
    ),
    "recurrent": (
        theanets.recurrent.Classifier,
        [
            1,
            dict(form="bidirectional", size=4),
            dict(form="rnn", size=3, zoneout=0.3),
            "dropout",
            2,
        ],
        {"hidden_dropout": {"weight": 0.2, "per_series": True}},
    ),
}


@pytest.mark.parametrize("name", NOISY)
def test_numbers_and_states_of_generators_are_those_of_other_linkers(name):
    kind, layers, options = NOISY[name]
    x, y = X, Y
    if name == "recurrent":
        x, y = X[:, :, None], np.stack([Y] * 4, 1)
    ours, theirs = network(layers, kind), network(layers, kind, "FAST_COMPILE")
    watches = []
    for net in (ours, theirs):
        watches.append(Watch())
        # The last batch is smaller, and the last call goes on from where the first has stopped.
        for _ in range(2):
            net.train([x, y], epochs=2, batch_size=8, callbacks=watches[-1], **options)
    for one, other in zip(values(ours), values(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-4)
    assert watches[0].states == watches[1].states != []
    noisy = {"input_noise": 0.5}
    for seed in (1, None, 2):
        found = [net.predict_proba(x, rng=seed, **noisy) for net in (ours, theirs)]
        np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("first, then", [("JAX", "FAST_COMPILE"), ("FAST_COMPILE", "JAX")])
def test_a_run_can_be_resumed_by_another_linker(first, then, tmp_path):
    data, options = [X, Y], {"algo": "sgd", "batch_size": 8, "hidden_dropout": 0.3}
    whole = network(mode=then)
    whole.train(data, epochs=4, **options)
    for mode, epochs in ((first, 2), (then, 4)):
        net = network(mode=mode)
        net.train(data, epochs=epochs, **options, checkpoint=tmp_path / "run")
    for one, other in zip(values(net), values(whole), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_networks_that_take_turns_do_not_disturb_each_other():
    one, other, alone = network(), network(), network()
    runs = [net.itertrain([X, Y], **OPTIONS) for net in (one, other)]
    for _ in zip(*runs, strict=True):
        one.predict_proba(X, hidden_noise=1.0)
    alone.train([X, Y], **OPTIONS)
    assert same(one, other) and same(one, alone)


@pytest.mark.parametrize("computed", [False, True])
def test_draws_whose_parameters_are_computed_have_keys(computed):
    import pytensor.tensor as pt

    generator = rng.shared_rng(np.random.default_rng(0), "g")
    x = pt.matrix("x", dtype="float32")
    mean = x.sum() if computed else np.float32(3)
    after, draws = pt.random.normal(mean, size=x.shape, rng=generator, return_next_rng=True)
    draw = backends.function([x], draws, {generator: after}, mode="JAX")
    found = draw(np.full((200, 300), 3 / 6e4, "float32"))
    assert np.asarray(found).mean() == pytest.approx(3, abs=0.02)
    expected = np.random.default_rng(0).normal(3, size=(200, 300))
    assert np.allclose(found, expected, atol=1e-4) != computed


def drawing(updated):
    """Get a generator, and a function that draws from it for rows that it gets."""
    import pytensor.tensor as pt

    generator = rng.shared_rng(np.random.default_rng(0), "g")
    x = pt.matrix("x", dtype="float32")
    after, draws = rng.normal(generator, x.shape, "float32")
    updates = {generator: after} if updated else {}
    return generator, backends.function([x], x + draws, updates, mode="JAX")


def test_draws_are_those_that_they_should_be(device):
    _, draw = drawing(True)
    zeros = np.zeros((200, 300), "float32")
    one, other = np.asarray(draw(zeros)), np.asarray(draw(zeros))
    for found in (one, other):
        assert abs(found.mean()) < 0.02 and abs(found.std() - 1) < 0.01
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02
    # Not even the first of many calls are alike.
    first = np.array([draw(zeros[:1, :1])[0, 0] for _ in range(300)])
    assert abs(first.mean()) < 0.2 and abs(first.std() - 1) < 0.15


def test_a_generator_that_is_not_updated_stays_where_it_is(device):
    generator, draw = drawing(False)
    zeros = np.zeros((2, 3), "float32")
    before = generator.get_value().bit_generator.state
    np.testing.assert_array_equal(draw(zeros), draw(zeros))
    assert generator.get_value().bit_generator.state == before
    generator.set_value(np.random.default_rng(1))
    assert not np.array_equal(draw(zeros), np.asarray(drawing(False)[1](zeros)))


def test_keys_make_generators_of_numpy_too():
    import pytensor
    import pytensor.tensor as pt

    key = pt.vector("key", dtype="uint32")
    _, draws = rng.normal(FromKey()(key), (3,), "float64")
    found = pytensor.function([key], draws, mode="FAST_COMPILE")(np.array([1, 2], "uint32"))
    np.testing.assert_array_equal(found, np.random.default_rng([1, 2]).normal(size=3))


def test_each_draw_of_a_step_can_be_timed_by_itself(monkeypatch):
    monkeypatch.setattr(jax_random.jax, "default_backend", lambda: "gpu")
    net = network([4, dict(form="dropout", rate=0.3), 8, 2])
    found = net.profile([X, Y], repeats=1, input_noise=0.3)
    draws = [(p.phase, p.layer, p.kind) for p in found.parts if p.kind.endswith("RV")]
    # They are of what comes before the first parameters.
    assert sorted(draws) == [("forward", "in", "NormalRV"), ("forward", "in", "UniformRV")]
