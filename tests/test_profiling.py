"""Where the time of a step goes."""

import numpy as np
import pytest

import theanets


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(40, 6)), rng.integers(0, 3, 40)]


@pytest.fixture
def net():
    return theanets.Classifier([6, (8, "tanh"), 5, 3], rng=1)


def test_operations_are_in_their_places(net, data):
    found = net.profile(data, weight_l2=0.01, repeats=2)
    products = [p for p in found.parts if p.kind.startswith(("Dot", "MatMul", "Gemm"))]
    places = sorted((p.phase, p.layer) for p in products)
    # Backward, each layer has the gradient of its weights, and all but the
    # first that of what it was given.
    forward = [("forward", name) for name in ("hid1", "hid2", "out")]
    backward = [("backward", name) for name in ("hid1", "hid1", "hid2", "hid2", "out")]
    assert places == sorted(forward + backward)
    tanh = [p for p in found.parts if "update" not in p.phase and p.layer == "hid1"]
    assert {p.phase for p in tanh} == {"forward", "backward"}
    updates = {p.layer for p in found.parts if p.phase == "update"}
    assert {"hid1", "hid2", "out"} <= updates
    assert {p.phase for p in found.parts} == {"forward", "backward", "update"}


def test_sums_of_times(net, data):
    found = net.profile(data, algo="sgd", repeats=2)
    assert found.total > 0 and found.step > 0
    assert all(part.seconds >= 0 for part in found.parts)
    for keys in (("phase",), ("layer", "phase"), ("kind",)):
        assert sum(found.by(*keys).values()) == pytest.approx(found.total)
    times = list(found.by("kind").values())
    assert times == sorted(times, reverse=True)
    text = str(found)
    for part in ("hid1 backward", "a step takes", "%", "forward"):
        assert part in text
    assert "operations" in repr(found)


def test_the_network_is_left_as_it_was(data):
    layers = [6, (8, "relu"), {"form": "batch_norm"}, 3]
    nets = [theanets.Classifier(layers, rng=1) for _ in range(2)]
    before = [v.get_value() for v in [*nets[0].params, *nets[0].state]]
    nets[0].profile(data, repeats=2, max_norm=0.1, hidden_dropout=0.5)
    for variable, value in zip([*nets[0].params, *nets[0].state], before, strict=True):
        np.testing.assert_array_equal(variable.get_value(), value)
    for net in nets:
        net.train(data, epochs=2)
    for one, other in zip(nets[0].params, nets[1].params, strict=True):
        np.testing.assert_array_equal(one.get_value(), other.get_value())


def test_one_batch_is_drawn(net, data):
    drawn = []

    def draw():
        drawn.append(1)
        return data

    net.profile(draw, train_batches=50, repeats=2)
    assert len(drawn) == 1


def test_bad_arguments(net, data):
    with pytest.raises(theanets.ConfigurationError, match=r"l-bfgs.*no steps"):
        net.profile(data, algo="l-bfgs")
    with pytest.raises(theanets.ConfigurationError, match="repeats=0"):
        net.profile(data, repeats=0)
    with pytest.raises(theanets.DataError):
        net.profile(data[:1])


@pytest.mark.linker
def test_under_numba(net, data):
    found = net.profile(data, mode="NUMBA", repeats=3)
    assert ("MatMul",) in found.by("kind")


def test_a_second_profile_compiles_no_other_step(net, data):
    net.profile(data, repeats=1)
    kept = dict(net._cache)
    net.profile(data, repeats=1)
    assert net._cache.keys() == kept.keys()
