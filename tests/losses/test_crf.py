"""The linear-chain CRF: recursions, layer, network, linkers."""

import io
import itertools
import pickle
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from structured_cases import COSTS, MATRIX, TWINS, Chains, differences

import theanets
from theanets.losses import Loss
from theanets.ops.sequences import chain
from theanets.ops.sequences import chain_by_numpy as numpy_chain

Array = np.ndarray
K = 4
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]], bool)


class Enumerated:
    """Scores of all label sequences; the boundary is the last row and column."""

    def __init__(self, u: Array, a: Array, mask: Array) -> None:
        self.steps = np.flatnonzero(mask)
        n = len(self.steps)
        self.paths = np.array(list(itertools.product(range(K), repeat=n)), int).reshape(K**n, n)
        self.counts = np.zeros((len(self.paths), K + 1, K + 1))
        for i, path in enumerate(self.paths):
            if n:
                np.add.at(self.counts[i], ([K, *path], [*path, K]), 1)
        self.scores = u[self.steps, self.paths].sum(axis=1) + (self.counts * a).sum(axis=(1, 2))
        p = np.exp(self.scores - self.scores.max())
        self.p = p / p.sum()
        self.logz = np.log(p.sum()) + self.scores.max()


@pytest.fixture
def scores(rng: np.random.Generator) -> tuple[Array, Array]:
    a = rng.normal(size=(K + 1, K + 1))
    a[K, K] = 100  # without meaning
    return rng.normal(size=(4, 4, K)), a


# ---- recursions ----------------------------------------------------------------------


def test_sums_and_maxima_against_enumeration(scores: tuple[Array, Array]) -> None:
    u, a = scores
    logz, node, pair = numpy_chain.forward_backward(u, a, MASK)
    path = numpy_chain.viterbi(u, a, MASK)
    for b, mask in enumerate(MASK):
        every = Enumerated(u[b], a, mask)
        assert logz[b] == pytest.approx(every.logz, abs=1e-12)
        expected = np.zeros((4, K))
        for i, t in enumerate(every.steps):
            expected[t] = [every.p[every.paths[:, i] == k].sum() for k in range(K)]
        np.testing.assert_allclose(node[b], expected, atol=1e-12)
        np.testing.assert_allclose(pair[b], np.tensordot(every.p, every.counts, 1), atol=1e-12)
        best = every.scores.argmax()
        np.testing.assert_array_equal(path[b, mask], every.paths[best])
        assert (path[b, ~mask] == 0).all()
        counts = numpy_chain.path_counts(path[b : b + 1], a, mask[None])
        np.testing.assert_array_equal(counts[0], every.counts[best])


def weighted_sums(u: Any, a: Any, mask: Any, rng: np.random.Generator) -> Any:
    """Get a scalar that depends on all that ForwardBackward returns."""
    logz, node, pair = chain.chain_sums(u, a, mask)
    return sum(
        (x * rng.normal(size=shape).astype(x.dtype)).sum()
        for x, shape in ((logz, 4), (node, (4, 4, K)), (pair, (4, K + 1, K + 1)))
    )


def symbols(dtype: str = "float64") -> list[Any]:
    return [pt.tensor3("u", dtype=dtype), pt.matrix("a", dtype=dtype), pt.matrix("m", dtype="bool")]


def test_gradients_of_sums_and_marginals(
    scores: tuple[Array, Array], rng: np.random.Generator
) -> None:
    inputs = symbols()
    total = weighted_sums(*inputs, rng)
    f = pytensor.function(inputs, [total, *pytensor.grad(total, inputs[:2])])
    u, a = scores
    _, of_u, of_a = f(u, a, MASK)
    np.testing.assert_allclose(of_u, differences(lambda x: f(x, a, MASK)[0], u), atol=1e-8)
    np.testing.assert_allclose(of_a, differences(lambda x: f(u, x, MASK)[0], a), atol=1e-8)


def test_one_long_sequence_in_float32(rng: np.random.Generator) -> None:
    u = (1e4 * rng.normal(size=(1, 300, K))).astype("float32")
    a = rng.normal(size=(K + 1, K + 1)).astype("float32")
    mask = np.ones((1, 300), bool)
    single = numpy_chain.forward_backward(u, a, mask)
    double = numpy_chain.forward_backward(u.astype(float), a.astype(float), mask)
    assert single[0].dtype == single[1].dtype == single[2].dtype == np.float32
    for x, y in zip(single, double, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(single[1].sum(axis=2), 1, rtol=1e-6)


@pytest.mark.linker
def test_numba_agrees(scores: tuple[Array, Array]) -> None:
    inputs = symbols()
    labels = pt.matrix("labels", dtype="int32")
    total = weighted_sums(*inputs, np.random.default_rng(1))
    results = [
        total,
        *pytensor.grad(total, inputs[:2]),
        chain.chain_best(*inputs),
        chain.chain_counts(labels, *inputs[1:]),
    ]
    f = pytensor.function([*inputs, labels], results, mode="NUMBA")
    g = pytensor.function([*inputs, labels], results, mode="FAST_COMPILE")
    u, a = scores
    y = np.arange(16, dtype="int32").reshape(4, 4) % K
    a = a.copy()
    a[1, 2] = -np.inf
    for x, y_ in zip(f(u, a, MASK, y), g(u, a, MASK, y), strict=True):
        assert x.dtype == y_.dtype
        np.testing.assert_allclose(x, y_, atol=1e-12)
    # What does not fit is refused, and not read or written out of bounds.
    for wrong in ((u, a[:-1, :-1], MASK, y), (u, a, MASK[:, :3], y), (u, a, MASK, y + 1)):
        for function in (f, g):
            with pytest.raises(ValueError, match=r"(?s)(fit|need|range|not all in)"):
                function(*wrong)


# ---- layer ---------------------------------------------------------------------------


def network(**options: Any) -> theanets.Classifier:
    options = {"dtype": "float64", **options}
    net = theanets.Classifier([dict(shape=(None, 3)), dict(form="crf", size=K)], **options)
    rng = np.random.default_rng(5)
    for param in net.params:
        param.set_value(rng.normal(size=param.get_value().shape).astype(net.dtype))
    return net


def values(net: theanets.Network) -> dict[str, Array]:
    return {p.name.partition(".")[2]: p.get_value() for p in net.params}


def as_chain(parameters: dict[str, Array]) -> Chains:
    found = Chains(np.random.default_rng())
    found.transition, found.start, found.end = (
        parameters[key] for key in ("transition", "start", "end")
    )
    return found


def test_layer() -> None:
    layers = [dict(shape=(None, 3)), dict(form="crf", size=K)]
    net = theanets.Classifier(layers)
    shapes = {name: value.shape for name, value in values(net).items()}
    assert shapes == {"w": (3, K), "b": (K,), "transition": (K, K), "start": (K,), "end": (K,)}
    assert net.losses[0].name == "crf"
    assert all((values(net)[key] == 0).all() for key in ("b", "transition", "start", "end"))
    assert values(net)["w"].std() > 0
    layers[1]["std_transition"] = 0.5
    assert values(theanets.Classifier(layers))["transition"].std() > 0.1


def test_wrong_layers() -> None:
    with pytest.raises(theanets.ConfigurationError, match="steps of a series"):
        theanets.Classifier([3, dict(form="crf", size=K)])
    with pytest.raises(theanets.ConfigurationError, match="activation='tanh' has no meaning"):
        theanets.Classifier([dict(shape=(None, 3)), dict(form="crf", size=K, activation="tanh")])
    net = network()
    with pytest.raises(theanets.ConfigurationError, match="has its own"):
        net.set_loss("crf", transition=np.zeros((K, K)))
        net.evaluate([np.zeros((2, 3, 3)), np.zeros((2, 3), int)])
    with pytest.raises(theanets.DataError, match=r"mask has shape \(2, 2\)"):
        net.predict(np.zeros((2, 3, 3)), mask=np.ones((2, 2)))
    with pytest.raises(theanets.ConfigurationError, match="crf layer"):
        theanets.Classifier([dict(shape=(None, 3)), K]).predict(np.zeros((2, 3, 3)), mask=1)


def test_predictions(rng: np.random.Generator) -> None:
    net = network()
    for name in ("out.transition", "out.end"):
        net.find(name).set_value(4 * net.find(name).get_value())
    x = rng.normal(size=(4, 4, 3))
    parameters = values(net)
    a = np.zeros((K + 1, K + 1))
    a[:K, :K] = parameters["transition"]
    a[K, :K], a[:K, K] = parameters["start"], parameters["end"]
    pre = x @ parameters["w"] + parameters["b"]
    np.testing.assert_allclose(net.predict_logit(x), pre)
    for mask in (None, MASK):
        found, probabilities = net.predict(x, mask=mask), net.predict_proba(x, mask=mask)
        assert found.dtype.kind == "i"
        for b in range(4):
            every = Enumerated(pre[b], a, np.ones(4, bool) if mask is None else mask[b])
            best = every.paths[every.scores.argmax()]
            np.testing.assert_array_equal(found[b, every.steps], best)
            for i, t in enumerate(every.steps):
                expected = [every.p[every.paths[:, i] == k].sum() for k in range(K)]
                np.testing.assert_allclose(probabilities[b, t], expected)
    assert (net.predict(x) != pre.argmax(axis=2)).any()
    np.testing.assert_allclose(net.feed_forward(x)["out:out"], net.predict_proba(x))
    # Scores are of the steps that exist, in sequences of these.
    y = net.predict(x, mask=MASK)
    assert (y != net.predict(x))[MASK].any()
    assert net.score(x, np.where(MASK, y, 3), MASK) == 1
    wrong = y.copy()
    wrong[0, 0] = (wrong[0, 0] + 1) % K
    assert net.score(x, wrong, MASK) == pytest.approx(1 - 1 / MASK.sum())


@pytest.mark.parametrize("case", TWINS)
def test_loss_and_gradient_of_parameters(case: str, rng: np.random.Generator) -> None:
    spec = {"form": case.split()[0], "cost": MATRIX, "reduction": "batch", **TWINS[case][0]}
    if case in ("crf", "perceptron"):  # Costs mean nothing for these.
        del spec["cost"]
    net = network(loss=spec, weighted=True)
    x, y = rng.normal(size=(3, 3, 3)), rng.integers(0, K, (3, 3)).astype("int32")
    mask = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 1.0]])
    loss = net.loss()
    f = pytensor.function(net.variables, [loss, *pytensor.grad(loss, net.params)])
    found = f(x, y, mask)

    def twin(parameters: dict[str, Array]) -> float:
        z = x @ parameters["w"] + parameters["b"]
        each = as_chain(parameters).twin(case, z, y, mask, COSTS["matrix"][1])
        return float(each.mean())

    start = values(net)
    assert found[0] == pytest.approx(twin(start), rel=1e-9)
    for key, gradient in zip(start, found[1:], strict=True):
        expected = differences(lambda v, key=key: twin({**start, key: v}), start[key])
        np.testing.assert_allclose(gradient, expected, atol=1e-7, err_msg=key)


def test_cross_entropy_of_marginals(rng: np.random.Generator) -> None:
    net = network(loss="xe")
    x, y = rng.normal(size=(3, 4, 3)), rng.integers(0, K, (3, 4))
    marginals = net.predict_proba(x)
    expected = -np.log(np.take_along_axis(marginals, y[:, :, None], 2)).mean()
    assert net.evaluate([x, y])["loss"] == pytest.approx(expected)
    f = pytensor.function(net.variables, pytensor.grad(net.loss(), net.find("out.transition")))

    def loss(value: Array) -> float:
        net.find("out.transition").set_value(value)
        return net.evaluate([x, y])["loss"]

    start = net.find("out.transition").get_value()
    expected = differences(loss, start)
    net.find("out.transition").set_value(start)
    np.testing.assert_allclose(f(x, y.astype("int32")), expected, atol=1e-8)


def test_padding_by_weights_or_labels(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(6, 5, 3)), rng.integers(0, K, (6, 5))
    lengths = np.array([5, 3, 1, 4, 2, 5])
    mask = np.arange(5) < lengths[:, None]
    single = network(loss={"form": "crf", "reduction": "sum"})
    parts = [single.evaluate([x[i : i + 1, :n], y[i : i + 1, :n]]) for i, n in enumerate(lengths)]
    expected = sum(part["loss"] for part in parts) / mask.sum()
    met = sum(part["acc"] * n for part, n in zip(parts, lengths, strict=True)) / mask.sum()
    for data, net in (
        ([np.where(mask[:, :, None], x, 9), y, mask], network(weighted=True)),
        ([x, np.where(mask, y, -1)], network(loss={"form": "crf", "ignore_index": -1})),
    ):
        # Batches of any size give the same.
        for size in (2, 6):
            found = net.evaluate(data, batch_size=size)
            assert found["loss"] == pytest.approx(expected)
            assert found["acc"] == pytest.approx(met)


def test_files_and_pickles(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(3, 4, 3)), rng.integers(0, K, (3, 4))
    net = network(loss={"form": "ramp", "variant": 3, "cost": MATRIX}, dtype="float32")
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    for again in (theanets.Classifier.load(file), pickle.loads(pickle.dumps(net))):
        assert again.evaluate([x, y]) == net.evaluate([x, y])
        np.testing.assert_array_equal(again.predict(x), net.predict(x))
    assert net.predict_proba(x).dtype == np.float32


def test_several_losses_and_noise(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(8, 4, 3)), rng.integers(0, K, (8, 4))
    net = network(dtype="float32")
    net.add_loss("structured_hinge", weight=0.5)
    found = net.evaluate([x, y])
    assert found["loss"] == pytest.approx(found["crf"] + 0.5 * found["structured_hinge"], rel=1e-6)
    net.train([x, y], epochs=2, input_noise=0.1, weight_l2=0.01)
    assert np.isfinite(net.evaluate([x, y])["loss"])


def test_learns_a_hidden_markov_model_better_than_step_by_step(rng: np.random.Generator) -> None:
    moves = np.array(
        [[0.85, 0.15, 0, 0], [0, 0.85, 0.15, 0], [0, 0, 0.85, 0.15], [0.15, 0, 0, 0.85]]
    )
    y = rng.integers(0, K, (300, 12))
    for t in range(1, 12):
        y[:, t] = (moves[y[:, t - 1]].cumsum(axis=1) > rng.random((300, 1))).argmax(axis=1)
    x = np.eye(K)[y] + 0.8 * rng.normal(size=(300, 12, K))
    train, test = [x[:200], y[:200]], [x[200:], y[200:]]
    scores = {}
    for form in ("crf", "softmax"):
        net = theanets.Classifier([dict(shape=(None, K)), dict(form=form, size=K)])
        net.train(train, algo="adam", learning_rate=0.05, epochs=8, batch_size=50)
        scores[form] = net.score(*test)
    assert scores["crf"] > scores["softmax"] + 0.1
    assert scores["crf"] > 0.8


def test_numbers_of_a_fixed_chain_and_of_the_layer_agree(rng: np.random.Generator) -> None:
    net = network(loss="softmax_margin")
    x, y = rng.normal(size=(3, 4, 3)), rng.integers(0, K, (3, 4))
    parameters = values(net)
    options = {key: parameters[key] for key in ("transition", "start", "end")}
    loss = Loss.build("softmax_margin", **options)
    assert loss.value(net.predict_logit(x), y) == pytest.approx(net.evaluate([x, y])["loss"])
