"""Structured losses, over classes and over sequences, against enumeration of all outputs."""

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from structured_cases import COSTS, MATRIX, TIME, TWINS, VECTOR, Array, Chains, K, differences

import theanets
from theanets.losses import Loss

#: Those that costs mean nothing for.
COSTLESS = ("crf", "perceptron")


def build(case: str, **options: Any) -> Loss:
    if case in COSTLESS:
        options.pop("cost", None)
    return Loss.build(case.split()[0], **TWINS[case][0], **options)


@pytest.fixture
def chains(rng: np.random.Generator) -> Chains:
    return Chains(rng)


# ---- over classes ------------------------------------------------------------------


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("case", TWINS)
def test_classes_value_and_gradient(case: str, cost: str, rng: np.random.Generator) -> None:
    given, matrix = COSTS[cost]
    z, y = rng.normal(size=(6, K)), rng.integers(0, K, 6)
    y[:4] = range(4)
    w = np.array([1, 2, 0.5, 0, 1, 3.0])
    loss = build(case, cost=given)

    def twin(z: Array) -> float:
        each = [TWINS[case][1](s, matrix[t], t) for s, t in zip(z, y, strict=True)]
        return float(w @ each / w.sum())

    assert loss.value(z, y, w) == pytest.approx(twin(z), rel=1e-7, abs=1e-9)
    np.testing.assert_allclose(loss.gradient(z, y, w), differences(twin, z), atol=1e-7)


@pytest.mark.parametrize("case", ["crf", "risk", "infinite_ramp"])
def test_classes_of_each_step(case: str, rng: np.random.Generator) -> None:
    z, y = rng.normal(size=(3, 5, K)), rng.integers(0, K, (3, 5))
    loss = build(case, reduction="none")
    flat = loss.value(z.reshape(15, K), y.ravel())
    np.testing.assert_allclose(loss.value(z, y), flat.reshape(3, 5), rtol=1e-12)


def test_hand_computed() -> None:
    z, y = np.array([[1.0, 2.0]]), np.array([0])
    assert Loss.build("perceptron").value(z, y) == pytest.approx(1)
    assert Loss.build("structured_hinge").value(z, y) == pytest.approx(2)
    assert Loss.build("ramp").value(z, y) == pytest.approx(1)
    assert Loss.build("ramp", variant=2, cost=[3, 1]).value(z, y) == pytest.approx(1)
    assert Loss.build("risk", cost=[3, 1]).value(z, y) == pytest.approx(3 / (1 + np.exp(-1)))
    assert Loss.build("crf").value(z, y) == pytest.approx(np.log(1 + np.e))


def test_crf_over_classes_is_cross_entropy(rng: np.random.Generator) -> None:
    z, y = rng.normal(size=(6, K)), rng.integers(0, K, 6)
    expected = Loss.build("xe", logits=True).value(z, y)
    assert Loss.build("crf").value(z, y) == pytest.approx(expected)


# ---- over sequences ----------------------------------------------------------------


MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [1, 0, 0, 0, 0]])


@pytest.mark.parametrize("cost", ["none", "matrix"])
@pytest.mark.parametrize("case", TWINS)
def test_sequences_value_and_gradient(
    case: str, cost: str, chains: Chains, rng: np.random.Generator
) -> None:
    given, matrix = COSTS[cost]
    mask = MASK if cost == "none" else MASK[:2, :3]
    z, y = rng.normal(size=(*mask.shape, K)), rng.integers(0, K, mask.shape)
    loss = build(case, cost=given, reduction="batch", **chains.options)

    def twin(z: Array) -> float:
        return float(chains.twin(case, z, y, mask, matrix).mean())

    assert loss.value(z, y, mask) == pytest.approx(twin(z), rel=1e-7, abs=1e-9)
    np.testing.assert_allclose(loss.gradient(z, y, mask), differences(twin, z), atol=1e-7)


@pytest.mark.parametrize("case", ["crf", "structured_hinge"])
def test_reductions(case: str, chains: Chains, rng: np.random.Generator) -> None:
    z, y = rng.normal(size=(4, TIME, K)), rng.integers(0, K, (4, TIME))
    each = chains.twin(case, z, y, MASK, 1 - np.eye(K))
    found = {
        key: build(case, reduction=key, **chains.options).value(z, y, MASK)
        for key in ("mean", "sum", "batch", "none")
    }
    assert found["sum"] == pytest.approx(each.sum())
    assert found["batch"] == pytest.approx(each.mean())
    assert found["mean"] == pytest.approx(each.sum() / MASK.sum())
    np.testing.assert_allclose(found["none"].sum(axis=1), each, atol=1e-9)
    assert (found["none"][MASK == 0] == 0).all()


@pytest.mark.parametrize("case", ["crf", "risk", "infinite_ramp"])
def test_masked_steps_have_no_influence(
    case: str, chains: Chains, rng: np.random.Generator
) -> None:
    z, y = rng.normal(size=(2, TIME, K)), rng.integers(0, K, (2, TIME))
    loss = build(case, **chains.options)
    short = loss.value(z[:, :3], y[:, :3]), loss.gradient(z[:, :3], y[:, :3])
    mask = np.array([[1, 1, 1, 0, 0]] * 2)
    z[:, 3:] = np.nan
    assert loss.value(z, y, mask) == pytest.approx(short[0], rel=1e-12)
    gradient = loss.gradient(z, y, mask)
    np.testing.assert_allclose(gradient[:, :3], short[1], rtol=1e-12)
    assert (gradient[:, 3:] == 0).all()
    # The same by labels that are ignored, before the sequence instead of after it.
    ignoring = build(case, ignore_index=-1, **chains.options)
    z, y = np.roll(z, 2, axis=1), np.roll(y, 2, axis=1)
    z[:, :2], y[:, :2] = 7, -1
    assert ignoring.value(z, y) == pytest.approx(short[0], rel=1e-12)
    # And nothing is left of no steps at all.
    assert loss.value(z, y * 0, 0 * mask) == 0
    assert (loss.gradient(z, y * 0, 0 * mask) == 0).all()


def test_weights_of_sequences(chains: Chains, rng: np.random.Generator) -> None:
    z, y = rng.normal(size=(3, TIME, K)), rng.integers(0, K, (3, TIME))
    each = chains.twin("crf", z, y, np.ones((3, TIME)), 1 - np.eye(K))
    found = build("crf", **chains.options).value(z, y, np.array([0.5, 2, 0]))
    assert found == pytest.approx((0.5 * each[0] + 2 * each[1]) / (2.5 * TIME))


# ---- properties --------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sequences", [False, True])
def test_orderings(sequences: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, y = 3 * rng.normal(size=(20, TIME, K)), rng.integers(0, K, (20, TIME))
    cost = MATRIX * (1 - np.eye(K))
    options = Chains(rng).options if sequences else {}
    found = {
        case: build(case, cost=cost, reduction="none", **options).value(z, y) for case in TWINS
    }
    least = -1e-12
    hinge = found["structured_hinge"]
    assert (hinge - found["perceptron"] >= least).all()
    assert (found["softmax_margin"] - found["crf"] >= least).all()
    assert (found["softmax_margin"] - hinge >= least).all()
    assert (found["crf"] - found["perceptron"] >= least).all()
    for case in ("ramp", "ramp 2", "ramp 3", "infinite_ramp"):
        assert (hinge - found[case] >= least).all()
    for case in TWINS:
        assert (found[case] >= least).all(), case
    # The differences are not all 0.
    assert (hinge - found["ramp"]).max() > 0.1


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("case", TWINS)
def test_constants_of_positions_cancel(
    case: str, sequences: bool, chains: Chains, rng: np.random.Generator
) -> None:
    z, y = rng.normal(size=(3, TIME, K)), rng.integers(0, K, (3, TIME))
    loss = build(case, **(chains.options if sequences else {}))
    shift = np.exp2(rng.integers(0, 30, (3, TIME, 1)))
    assert loss.value(z + shift, y) == pytest.approx(loss.value(z, y), rel=1e-6)
    np.testing.assert_allclose(loss.gradient(z, y).sum(axis=-1), 0, atol=1e-15)


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize(("dtype", "scale"), [("float32", 1e4), ("float64", 1e30)])
@pytest.mark.parametrize("case", TWINS)
def test_extreme_scores(
    case: str, dtype: str, scale: float, sequences: bool, chains: Chains, rng: np.random.Generator
) -> None:
    y = rng.integers(0, K, (4, TIME))
    z = (scale * rng.choice([-1.0, 0, 1], size=(4, TIME, K))).astype(dtype)
    z[0] = scale * np.eye(K)[y[0]]
    loss = build(case, reduction="none", **(chains.options if sequences else {}))
    value, gradient = loss.value(z, y), loss.gradient(z, y)
    assert value.dtype == gradient.dtype == dtype
    assert np.isfinite(value).all() and np.isfinite(gradient).all()
    assert (np.abs(gradient) <= 2 + 1e-5).all()
    np.testing.assert_allclose(gradient.sum(axis=-1), 0, atol=1e-5)
    # The first is right beyond doubt.
    assert np.abs(value[0]).max() < 1e-5 and np.abs(gradient[0]).max() < 1e-5
    if sequences and scale < 1e5:
        exact = chains.twin(case, z.astype(float), y, np.ones(y.shape), 1 - np.eye(K))
        np.testing.assert_allclose(value.sum(axis=1), exact, rtol=1e-5, atol=1e-4)


def test_forbidden_transitions(rng: np.random.Generator) -> None:
    transition = np.zeros((2, 2))
    transition[1, 0] = -np.inf
    z = rng.normal(size=(1, 3, 2))
    y = np.array([[0, 1, 1]])
    allowed = [[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]]
    s = [z[0, range(3), path].sum() for path in allowed]
    loss = Loss.build("crf", transition=transition, reduction="sum")
    assert loss.value(z, y) == pytest.approx(logsumexp(s) - s[2])
    assert np.isfinite(loss.gradient(z, y)).all()
    best = Loss.build("perceptron", transition=transition, reduction="sum")
    assert best.value(z, y) == pytest.approx(max(s) - s[2])


# ---- specifications ----------------------------------------------------------------


@pytest.mark.parametrize("case", [c for c in TWINS if c[-1].isalpha()] + ["ramp 3"])
def test_specification(case: str, chains: Chains, rng: np.random.Generator) -> None:
    z, y = rng.normal(size=(2, TIME, K)), rng.integers(0, K, (2, TIME))
    loss = build(case, cost=VECTOR.tolist(), reduction="batch", **chains.options)
    again = Loss.build(loss.to_spec())
    assert type(again) is type(loss) and loss.name == case.split()[0]
    expected = chains.twin(case, z, y, np.ones(y.shape), COSTS["vector"][1]).mean()
    assert again.value(z, y) == loss.value(z, y) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cost": np.ones((2, 3))}, "cost="),
        ({"cost": [1, -1]}, "at least 0"),
        ({"cost": [1, np.inf]}, "at least 0"),
        ({"cost": "high"}, "cost='high'"),
        ({"cost": 1.0}, r"\(K\) or \(K, K\)"),
        ({"transition": np.ones(3)}, r"\(K, K\)"),
        ({"start": np.ones(3)}, "needs transition="),
        ({"transition": np.ones((3, 3)), "end": np.ones(2)}, "end has 2 scores"),
        ({"costs": 1}, "did you mean 'cost'"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(theanets.ConfigurationError, match=message):
        Loss.build("structured_hinge", **options)


def test_variants_are_checked() -> None:
    with pytest.raises(theanets.ConfigurationError, match="variant=4 is not one of 1, 2, 3"):
        Loss.build("ramp", variant=4)


def test_sizes_are_checked(rng: np.random.Generator) -> None:
    y = np.array([0, 1])
    with pytest.raises(theanets.ConfigurationError, match="cost has shape"):
        Loss.build("risk", cost=MATRIX).value(rng.normal(size=(2, 3)), y)
    with pytest.raises(theanets.ConfigurationError, match="transition is for outputs"):
        Loss.build("crf", transition=np.zeros((K, K))).value(rng.normal(size=(2, 3)), y)
    with pytest.raises(theanets.ConfigurationError, match="integer labels"):
        Loss.build("crf").value(rng.normal(size=(2, 3)), np.eye(3)[y])


@pytest.mark.parametrize("case", ["crf", "structured_hinge", "risk", "soft_ramp"])
def test_trains_a_classifier_by_its_logits(case: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(60, 3))
    y = x.argmax(axis=1)
    net = theanets.Classifier([3, 3], loss=case)
    # After 30 epochs some seeds give soft_ramp 0.7 yet; after 60, all of 20 give 0.95 or more.
    net.train([x, y], algo="adam", learning_rate=0.1, epochs=60, batch_size=60)
    assert net.score(x, y) > 0.9
    # A softmax layer's loss is that of its logits.
    expected = net.evaluate([x, y])["loss"]
    found = Loss.build(case).value(net.predict_logit(x), y)
    assert found == pytest.approx(expected, rel=1e-5)
