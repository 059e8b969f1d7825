"""Seeds of networks."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import theanets
from theanets import rng as _rng
from theanets.errors import ConfigurationError


def bits(net):
    return [p.get_value().tobytes() for p in net.params]


SOURCES = {
    "int": lambda: 5,
    "numpy": lambda: np.int32(5),
    "sequence": lambda: np.random.SeedSequence(5),
    "generator": lambda: np.random.default_rng(5),
    "state": lambda: np.random.RandomState(5),
}


@pytest.mark.parametrize("source", SOURCES)
def test_same_seed_same_bits(source, rng):
    """Weights, noise and batches alike."""
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    nets = [theanets.Regressor([3, (4, "maxout:2"), 2], rng=SOURCES[source]()) for _ in range(2)]
    for net in nets:
        net.train([x, y], epochs=2, batch_size=8, hidden_dropout=0.3, input_noise=0.1)
    assert bits(nets[0]) == bits(nets[1])


def test_seeds_differ():
    nets = [theanets.Regressor([3, 3, 3], rng=make()) for make in SOURCES.values()]
    assert len({bits(net)[0] for net in nets}) == len(SOURCES) - 1
    fresh = [theanets.Regressor([3, 3, 3], rng=None) for _ in range(2)]
    assert bits(fresh[0]) != bits(fresh[1])
    generator = np.random.default_rng(5)
    drawn = [theanets.Regressor([3, 3, 3], rng=generator) for _ in range(2)]
    assert bits(drawn[0]) != bits(drawn[1])
    default = [theanets.Regressor([3, 3, 3]) for _ in range(2)]
    assert bits(default[0]) != bits(default[1])


def test_set_seed_makes_fresh_seeds_repeatable():
    def seeds():
        return [theanets.Regressor([3, 2]).seed for _ in range(3)]

    theanets.set_seed(1)
    first, then = seeds(), seeds()
    assert len({*first, *then}) == 6
    theanets.set_seed(1)
    assert seeds() == first
    theanets.Regressor([3, 2], rng=5)  # draws none
    assert seeds() == then
    theanets.set_seed(np.random.default_rng(1))
    assert not set(seeds()) & {*first, *then}
    theanets.set_seed(None)
    assert seeds() != seeds()
    with pytest.raises(ConfigurationError, match="negative"):
        theanets.set_seed(-1)


def test_set_seed_governs_all_that_has_no_seed(rng):
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))

    def outcome():
        theanets.set_seed(2)
        net = theanets.Regressor([3, 4, 2])
        net.train([x, y], epochs=2, hidden_dropout=0.5)
        drawn = theanets.init.random_matrix(3, 2)
        return bits(net), drawn.tobytes()

    assert outcome() == outcome()


def test_threads_draw_seeds_of_their_own():
    def draw(count):
        return [_rng.as_seed(None) for _ in range(count)]

    theanets.set_seed(3)
    alone = draw(400)
    theanets.set_seed(3)
    with ThreadPoolExecutor(4) as pool:
        found = [seed for part in pool.map(draw, [100] * 4) for seed in part]
    assert len(set(found)) == 400
    assert set(found) == set(alone)


def test_the_seed_stays_with_copies_and_files(tmp_path):
    net = theanets.Regressor([3, 2])
    net.save(tmp_path / "net")
    for twin in (copy.deepcopy(net), theanets.Network.load(tmp_path / "net")):
        assert twin.seed == net.seed
        assert bits(twin) == bits(net)


@pytest.mark.parametrize("rng", ["13", -1, 1.5, True, [1]])
def test_wrong_seeds(rng):
    with pytest.raises(ConfigurationError, match="rng="):
        theanets.Regressor([3, 2], rng=rng)


def test_weights_of_a_layer_belong_to_its_name():
    """Another layer before it, or an activation of it, does not change how it is drawn."""
    short = theanets.Regressor([3, dict(size=3, name="x"), 2], rng=1)
    layers = [3, (3, "maxout:2"), dict(size=3, name="x", activation="prelu"), 2]
    long = theanets.Regressor(layers, rng=1)
    for key in ("x.w", "out.w"):
        np.testing.assert_array_equal(short.find(key).get_value(), long.find(key).get_value())
