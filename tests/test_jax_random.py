"""Under JAX too, one seed governs everything, and a generator that is set anew is heeded."""

import copy

import numpy as np
import pytest

import theanets
from theanets import backends, rng

pytest.importorskip("jax")

from theanets.ops.jax_random import FromKey

pytestmark = pytest.mark.linker

X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
Y = np.random.default_rng(1).integers(2, size=20)
LAYERS = [4, 8, dict(form="dropout", rate=0.3), 2]
OPTIONS = {"epochs": 2, "hidden_noise": 0.3, "batch_size": 8}


def network(layers=LAYERS, kind=theanets.Classifier):
    return kind(layers, mode="JAX", rng=3)


def values(net):
    return [param.get_value() for param in net.params]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(values(one), values(other), strict=True))


def test_networks_of_one_seed_and_copies_train_alike():
    one, other = network(), network()
    one.train([X, Y], **OPTIONS)
    other.train([X, Y], **OPTIONS)
    assert same(one, other)
    copied = copy.deepcopy(one)
    one.train([X, Y], **OPTIONS)
    copied.train([X, Y], **OPTIONS)
    assert same(one, copied) and not same(one, other)


def test_a_seed_of_a_run_governs_it():
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


def test_a_resumed_run_goes_on_with_the_same_bits(tmp_path):
    layers = [1, dict(form="rnn", size=3, zoneout=0.3), 2]
    whole, first, second = (network(layers, theanets.recurrent.Classifier) for _ in range(3))
    data = [X[:, :, None], np.stack([Y] * 4, 1)]
    options = {"algo": "sgd", "batch_size": 8, "hidden_dropout": 0.3}
    whole.train(data, epochs=4, **options)
    first.train(data, epochs=2, **options, checkpoint=tmp_path / "run")
    second.train(data, epochs=4, **options, checkpoint=tmp_path / "run")
    assert same(whole, second) and not same(whole, first)


def test_noise_in_predictions_goes_on_or_starts_anew():
    net = network()
    draws = [net.predict_proba(X, hidden_noise=1.0, rng=seed) for seed in (1, 1, None, 2, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[0], draws[4])
    for i, j in ((1, 2), (1, 3), (2, 3)):
        assert not np.array_equal(draws[i], draws[j])


def drawing(updated):
    """Get a generator, and a function that draws from it for rows that it gets."""
    import pytensor.tensor as pt

    generator = rng.shared_rng(np.random.default_rng(0), "g")
    x = pt.matrix("x", dtype="float32")
    after, draws = rng.normal(generator, x.shape, "float32")
    updates = {generator: after} if updated else {}
    return generator, backends.function([x], x + draws, updates, mode="JAX")


def test_draws_are_those_that_they_should_be():
    _, draw = drawing(True)
    zeros = np.zeros((200, 300), "float32")
    one, other = np.asarray(draw(zeros)), np.asarray(draw(zeros))
    for found in (one, other):
        assert abs(found.mean()) < 0.02 and abs(found.std() - 1) < 0.01
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02
    # Not even the first of many calls are alike.
    first = np.array([draw(zeros[:1, :1])[0, 0] for _ in range(300)])
    assert abs(first.mean()) < 0.2 and abs(first.std() - 1) < 0.15


def test_a_generator_that_is_not_updated_stays_where_it_is():
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


def test_each_draw_of_a_step_can_be_timed_by_itself():
    net = network([4, dict(form="dropout", rate=0.3), 8, 2])
    found = net.profile([X, Y], repeats=1, input_noise=0.3)
    draws = [(p.phase, p.layer, p.kind) for p in found.parts if p.kind.endswith("RV")]
    # They are of what comes before the first parameters.
    assert sorted(draws) == [("forward", "in", "NormalRV"), ("forward", "in", "UniformRV")]
