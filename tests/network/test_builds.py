"""Networks of one build have what is compiled in common, and nothing else."""

import gc
import weakref
from contextlib import contextmanager
from threading import Thread

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets
from theanets.structure import builds

LINKERS = [
    "FAST_COMPILE",
    pytest.param("NUMBA", marks=pytest.mark.linker),
    pytest.param("CVM", marks=pytest.mark.linker),
    pytest.param("JAX", marks=pytest.mark.linker),
    pytest.param(
        "PYTORCH",
        marks=[
            pytest.mark.linker,
            pytest.mark.slow,
            pytest.mark.filterwarnings("ignore::DeprecationWarning"),
            pytest.mark.filterwarnings("ignore:The given NumPy array is not writable"),
        ],
    ),
]


@contextmanager
def compilations(monkeypatch):
    """Collect the names of the functions that PyTensor compiles meanwhile."""
    found, function = [], pytensor.function

    def counted(*args, **kwargs):
        found.append(kwargs.get("name"))
        return function(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(pytensor, "function", counted)
        yield found


def network(mode="FAST_COMPILE", rng=1, **options):
    layers = [4, (5, "tanh"), "batch_norm", (6, "relu"), 3]
    return theanets.Classifier(layers, mode=mode, rng=rng, **options)


def data(seed=0, n=24):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, 4)).astype("f"), rng.integers(0, 3, n).astype("i")]


OPTIONS = {"algo": "adam", "hidden_dropout": 0.2, "weight_l2": 0.01, "batch_size": 8}


def life(net, seed):
    """Train a network by steps, with all that it does meanwhile; other things happen between."""
    train = data(seed)
    run = net.itertrain(train, data(seed + 100), learning_rate=0.01 * seed, **OPTIONS)
    for _ in range(2):
        yield next(run)
        yield net.predict_proba(train[0], hidden_dropout=0.1 * seed)
        yield net.evaluate(train)
    run.close()
    yield [v.get_value() for v in [*net.params, *net.state]]


def flat(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [part for one in value for part in flat(one)]
    return [np.asarray(value)]


def assert_same(found, expected):
    found, expected = flat(found), flat(expected)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", LINKERS)
def test_networks_that_share_do_not_influence_each_other(mode, monkeypatch):
    """Bit for bit what they do alone: parameters, the optimizer's state, random streams."""
    if mode in ("JAX", "PYTORCH"):
        pytest.importorskip({"JAX": "jax", "PYTORCH": "torch"}[mode])

    def make(seed):
        if mode == "FAST_COMPILE":
            return network(mode, seed)
        return theanets.Classifier([4, 5, 3], mode=mode, rng=seed)

    alone = []
    for seed in (1, 2):
        builds.clear()
        alone.append(list(life(make(seed), seed)))
    builds.clear()
    lives = [life(make(seed), seed) for seed in (1, 2)]
    together = [[next(lives[0])], []]
    with compilations(monkeypatch) as compiled:
        together[1].append(next(lives[1]))
    assert not compiled
    for _ in range(len(alone[0]) - 1):
        for i in (1, 0):
            together[i].append(next(lives[i]))
    assert_same(together, alone)


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: theanets.recurrent.Regressor([2, ("lstm", 3), 1], rng=rng),
        lambda rng: theanets.recurrent.Regressor(
            [2, {"form": "bidirectional", "worker": "gru", "size": 4}, 1], rng=rng
        ),
        lambda rng: theanets.recurrent.Regressor(
            [2, {"form": "rnn", "size": 3, "stateful": True}, 1], rng=rng
        ),
    ],
    ids=["lstm", "bidirectional", "stateful"],
)
def test_recurrent_networks_do_what_they_do_alone(make):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 4, 2)).astype("f"), rng.normal(size=(6, 4, 1)).astype("f")

    def results(net):
        net.train([x, y], max_updates=3, batch_size=3, hidden_noise=0.1, progress=False)
        return [net.predict(x), *(p.get_value() for p in net.params)]

    alone = []
    for seed in (1, 2):
        builds.clear()
        alone.append(results(make(seed)))
    builds.clear()
    assert_same([results(make(1)), results(make(2))], alone)


def test_a_second_network_compiles_nothing(monkeypatch):
    def use(rng, rate):
        net = network(rng=rng)
        net.train(data(), max_updates=2, learning_rate=rate, progress=False, hidden_noise=0.1)
        net.train(data(), algo="l-bfgs", max_updates=1, progress=False)
        net.predict(data()[0])
        net.evaluate(data(), metrics="f1")

    use(1, 0.1)
    with compilations(monkeypatch) as compiled:
        use(2, 0.2)
    assert not compiled


def test_streams_are_shared(monkeypatch):
    nets = [theanets.recurrent.Regressor([2, ("gru", 3), 1], rng=rng) for rng in (1, 2, 1)]
    x = np.ones(2, "f")
    first = nets[0].stream().step(x)
    with compilations(monkeypatch) as compiled:
        second, third = (net.stream().step(x) for net in nets[1:])
    assert not compiled
    np.testing.assert_array_equal(first, third)
    assert not np.array_equal(first, second)


def test_other_strengths_of_noise_compile_nothing(monkeypatch):
    net, x = network(), data()[0]
    twin = network()
    for p in (0.1, 0.5):
        builds.clear()
        fresh = network()
        expected = fresh.predict_proba(x, hidden_dropout=p, rng=3)
        with compilations(monkeypatch) as compiled:
            found = net.predict_proba(x, hidden_dropout=p, rng=3)
            twin.feed_forward(x, input_noise=p)
        np.testing.assert_array_equal(found, expected)
        assert p == 0.1 or not compiled
    assert not np.array_equal(found, net.predict_proba(x, hidden_dropout=0.1, rng=3))


def test_clone_shares_what_is_compiled(monkeypatch):
    net = network()
    net.train(data(), max_updates=2, progress=False)
    before = net.predict_proba(data()[0])
    with compilations(monkeypatch) as compiled:
        clone = net.clone()
        same = clone.predict_proba(data()[0])
        clone.train(data(), max_updates=2, progress=False)
    assert not compiled
    np.testing.assert_array_equal(same, before)
    np.testing.assert_array_equal(net.predict_proba(data()[0]), before)


# ---- what tells builds apart ------------------------------------------------------------


def probe(net):
    """Get numbers that depend on each part of a network's graphs."""
    found = net.evaluate(data(), weight_l1=0.1)
    return [net.predict_proba(data()[0]), found["loss"]]


def scaled(net, factor):
    layer = net.layers[1]
    old = layer.transform
    layer.transform = lambda inputs: {key: factor * value for key, value in old(inputs).items()}
    return net


VARIANTS = [
    lambda: theanets.Classifier([4, 5, 3], rng=1),
    lambda: theanets.Classifier([4, (5, "tanh"), 3], rng=1),
    lambda: theanets.Classifier([4, (5, "maxout:2"), 3], rng=1),
    lambda: theanets.Classifier([4, (5, "maxout:3"), 3], rng=1),
    lambda: theanets.Classifier([4, (5, lambda x: 2 * x), 3], rng=1),
    lambda: theanets.Classifier([4, (5, lambda x: 3 * x), 3], rng=1),
    lambda: theanets.Classifier([4, 5, 3], rng=1, dtype="float64"),
    lambda: theanets.Classifier([4, 5, 3], rng=1, loss={"form": "xe", "label_smoothing": 0.1}),
    lambda: theanets.Classifier([4, 5, 3], rng=1, loss={"form": "xe", "class_weight": [1, 2, 3]}),
    lambda: theanets.Classifier([4, 5, 3], rng=1, loss={"form": "xe", "class_weight": [1, 2, 4]}),
    lambda: theanets.Classifier([4, 5, 3], rng=1, loss={"form": "xe", "temperature": 2}),
    lambda: theanets.Classifier([4, {"form": "batch_norm", "epsilon": 0.1}, 3], rng=1),
    lambda: theanets.Classifier([4, {"form": "batch_norm", "epsilon": 0.2}, 3], rng=1),
    lambda: scaled(theanets.Classifier([4, 5, 3], rng=1), 2),
    lambda: scaled(theanets.Classifier([4, 5, 3], rng=1), 3),
]


def test_networks_of_other_builds_do_not_share():
    """Whatever shapes a graph tells networks apart, be it a number or an object of the user's."""
    alone = []
    for make in VARIANTS:
        builds.clear()
        alone.append(probe(make()))
    builds.clear()
    assert_same([probe(make()) for make in VARIANTS], alone)
    assert len({(predicted.tobytes(), loss) for predicted, loss in alone}) == len(VARIANTS)


def test_what_is_of_the_users_making_is_not_shared():
    class Own(theanets.Loss):
        def __call__(self, outputs):
            return pt.mean(outputs[self.output_name] * self.factor)

    class Net(theanets.Classifier):
        pass

    def key(net, *parts, objective=True):
        return builds.described(net, parts, objective)

    plain = theanets.Classifier([4, 5, 3], rng=1)
    assert key(plain) == key(theanets.Classifier([4, 5, 3], rng=2))
    assert key(plain) is not None
    assert key(Net([4, 5, 3])) is None
    assert key(theanets.Classifier([4, (5, lambda x: x), 3])) is None
    assert key(theanets.Classifier([4, 5, 3], loss=Own())) is None
    assert key(theanets.Classifier([4, 5, 3], loss=lambda t, o: (o - t) ** 2)) is None
    assert key(plain, lambda x: x) is None
    assert key(plain, plain.outputs()["out:out"]) is None
    assert key(plain, object()) is None
    # A loss shapes no output.
    assert key(theanets.Classifier([4, 5, 3], loss=Own()), objective=False) is not None
    tied = theanets.Classifier([4, 5, 3])
    tied.layers[1]._params["w"] = theanets.Classifier([4, 5, 3]).find("hid1.w")
    assert key(tied) is not None  # by its name and type, as any parameter


def test_what_tells_numbers_apart():
    key = builds._Describer(network())
    assert len({key(value) for value in (1, 1.0, True, "1", np.float32(1), np.ones(1))}) == 6
    assert key([1, {"a": (2,)}]) == key((1, {"a": [2]}))


def test_warnings_are_given_for_each_network():
    def net():
        found = theanets.Regressor([2, 3, 2], rng=1)
        found.add_layer(2, name="idle", inputs="hid1")
        return found

    x = np.ones((4, 2), "f")
    for _ in range(2):
        with pytest.warns(theanets.ZeroGradientWarning, match="idle"):
            net().train([x, x], max_updates=1, progress=False)


# ---- memory ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", LINKERS[:3])
def test_what_is_kept_holds_nothing_of_a_network(mode):
    """Neither parameters nor expressions of them."""
    net = theanets.Classifier([4, 5, 3], mode=mode, rng=1)
    net.train(data(), max_updates=2, progress=False, hidden_dropout=0.1)
    net.predict(data()[0])
    variables = [*net.params, *net.state]
    held = [weakref.ref(v) for v in variables]
    held += [weakref.ref(v.get_value(borrow=True)) for v in [*net.params, *net.state]]
    assert builds._builds
    del net, variables
    gc.collect()
    assert not [ref() for ref in held if ref() is not None]


def test_the_number_of_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(builds, "SIZE", 3)
    for n in range(2, 8):
        theanets.Regressor([2, n, 1]).predict(np.ones((1, 2)))
    assert len(builds._builds) == 3


def test_starts_take_no_memory_and_are_refused_where_they_are_not_even():
    start = builds._Start(np.full((1000, 1000), 0.5, "f"))
    assert not any(isinstance(v, np.ndarray) and v.size > 1 for v in vars(start).values())
    np.testing.assert_array_equal(start.value(), np.full((1000, 1000), 0.5, "f"))
    assert start.value() is not start.value()
    with pytest.raises(builds._Unknown):
        builds._Start(np.arange(3))


@pytest.mark.parametrize("algo", ["adam", "rprop"])
def test_the_state_of_each_optimizer_starts_as_alone(algo):
    def end(rng):
        net = theanets.Classifier([4, 5, 3], rng=rng)
        net.train(data(), algo=algo, max_updates=3, progress=False)
        return [p.get_value() for p in net.params]

    alone = []
    for rng in (1, 2):
        builds.clear()
        alone.append(end(rng))
    builds.clear()
    assert_same([end(1), end(2)], alone)


# ---- threads -----------------------------------------------------------------------------


def test_two_networks_of_a_build_in_two_threads():
    nets = [network(rng=rng) for rng in (1, 2)]
    x = data()[0]
    expected = [net.predict_proba(x) for net in nets]
    wrong = []

    def work(net, result):
        for _ in range(300):
            if not np.array_equal(net.predict_proba(x), result):
                wrong.append(net)

    threads = [Thread(target=work, args=pair) for pair in zip(nets, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_costs_that_are_minimized_are_their_own():
    """Nothing tells two of them apart but their expressions."""
    found = []
    for target in (1.0, 2.0):
        w = pytensor.shared(np.zeros(2), name="w")
        theanets.minimize(pt.sum((w - target) ** 2), algo="sgd", max_updates=200, progress=False)
        found.append(w.get_value())
    np.testing.assert_allclose(found, [[1, 1], [2, 2]], atol=0.1)
