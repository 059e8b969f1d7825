"""CTC against enumeration of all alignments, and against PyTorch."""

import importlib.util
import itertools
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.special import log_softmax, softmax

import theanets
from theanets.losses import Loss, ctc_beam_decode, ctc_greedy_decode
from theanets.ops.sequences.ctc import Alignments, Tangent, alignments, alignments_tangent

Array = np.ndarray
K, TIME = 4, 5

# Repetitions, gaps in the padding, nothing at all, and (for 5 frames) the impossible.
TARGETS = np.array([[1, 2, -1], [3, 3, -1], [-1, -1, -1], [2, -1, 2], [-1, -1, 3], [1, 1, 1]])
POSSIBLE = np.array([0, 1, 2, 3, 4, 5])


def read(path: tuple[int, ...], blank: int) -> list[int]:
    return [p for i, p in enumerate(path) if p != blank and (i == 0 or p != path[i - 1])]


def twin(z: Array, labels: Array, blank: int = 0) -> float:
    """Compute minus the log of the sum over alignments, for logits (time, K)."""
    logp = log_softmax(z, axis=1)
    wanted = [int(label) for label in labels if label >= 0]
    total = 0.0
    for path in itertools.product(range(z.shape[1]), repeat=len(z)):
        if read(path, blank) == wanted:
            total += np.exp(sum(logp[t, p] for t, p in enumerate(path)))
    return -np.log(total) if total else np.inf


@pytest.fixture
def z(rng: np.random.Generator) -> Array:
    return 2 * rng.normal(size=(len(TARGETS), TIME, K))


# ---- values and gradients ------------------------------------------------------------


@pytest.mark.parametrize("blank", [0, 2, -1])
def test_against_enumeration(blank: int, z: Array) -> None:
    targets = TARGETS.copy()
    if blank:
        targets[targets == blank % K] = 0
    loss = Loss.build("ctc", logits=True, reduction="none", blank=blank)
    expected = [twin(x, y, blank % K) for x, y in zip(z, targets, strict=True)]
    np.testing.assert_allclose(loss.value(z, targets), expected, rtol=1e-10)
    # Examples do not influence each other, so one step does for all.
    gradient = loss.gradient(z, targets)
    for i in np.ndindex(TIME, K):
        step = np.zeros(z.shape)
        step[(slice(None), *i)] = 1e-5
        slope = (loss.value(z + step, targets) - loss.value(z - step, targets)) / 2e-5
        np.testing.assert_allclose(gradient[(slice(None), *i)], slope, atol=1e-8)


def test_probabilities_and_logits_agree(z: Array) -> None:
    value = Loss.build("ctc").value(softmax(z, axis=2), TARGETS)
    assert value == pytest.approx(Loss.build("ctc", logits=True).value(z, TARGETS))


def test_hand_computed() -> None:
    p = np.array([[[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]]])
    loss = Loss.build("ctc")
    # As 1: "1 1", "blank 1", "1 blank".
    expected = -np.log(0.3 * 0.6 + 0.5 * 0.6 + 0.3 * 0.1)
    assert loss.value(p, [[1]]) == pytest.approx(expected)
    assert loss.value(p, [[1, 2]]) == pytest.approx(-np.log(0.3 * 0.3) / 2)


def test_reductions(z: Array) -> None:
    each = np.array([twin(x, y) for x, y in zip(z, TARGETS, strict=True)])
    lengths = np.maximum((TARGETS >= 0).sum(axis=1), 1)
    expected = {"sum": each.sum(), "batch": each.mean(), "mean": (each / lengths).mean()}
    for reduction, value in expected.items():
        loss = Loss.build("ctc", logits=True, reduction=reduction)
        assert loss.value(z, TARGETS) == pytest.approx(value)


@pytest.mark.parametrize("zero_infinity", [True, False])
def test_impossible_alignments(zero_infinity: bool, z: Array) -> None:
    short = z[:, :3]
    loss = Loss.build("ctc", logits=True, reduction="none", zero_infinity=zero_infinity)
    expected = np.array([twin(x, y) for x, y in zip(short, TARGETS, strict=True)])
    impossible = np.isinf(expected)
    assert impossible.tolist() == [False, False, False, False, False, True]
    expected[impossible] = 0 if zero_infinity else np.inf
    np.testing.assert_allclose(loss.value(short, TARGETS), expected, rtol=1e-10)
    gradient = loss.gradient(short, TARGETS)
    assert (gradient[impossible] == 0).all() and np.isfinite(gradient).all()
    assert (np.abs(gradient[~impossible]).sum(axis=(1, 2)) > 0).all()


def test_weights_and_frames(z: Array) -> None:
    frames = np.array([5, 4, 3, 5, 1, 5])
    weights = np.array([[1, 1, 0], [2, 2, 2], [1, 1, 1], [0, 1, 3], [0, 0, 0], [1, 0, 0.0]])
    loss = Loss.build("ctc", logits=True, reduction="sum", frames="n")
    each = [
        twin(z[0], TARGETS[0]),
        2 * twin(z[1, :4], TARGETS[1]),
        twin(z[2, :3], TARGETS[2]),
        2 * twin(z[3], TARGETS[3, 2:]),
        twin(z[5], TARGETS[5, :1]),
    ]
    z[4] = np.nan
    data = (z, frames[:, None])
    assert loss.value(data, TARGETS, weights) == pytest.approx(sum(each))
    gradient, _ = loss.gradient(data, TARGETS, weights)
    assert (gradient[4] == 0).all() and (gradient[1, 4:] == 0).all()
    mean = Loss.build("ctc", logits=True, frames="n")
    parts = np.array(each) / [2, 2, 1, 1, 1]
    assert mean.value(data, TARGETS, weights) == pytest.approx(parts.sum() / 7)


@pytest.mark.parametrize(("dtype", "scale"), [("float32", 1e4), ("float64", 1e30)])
def test_extreme_logits(dtype: str, scale: float, rng: np.random.Generator) -> None:
    z = (scale * rng.choice([-1.0, 0, 1], size=(6, TIME, K))).astype(dtype)
    loss = Loss.build("ctc", logits=True, reduction="none")
    value, gradient = loss.value(z, TARGETS), loss.gradient(z, TARGETS)
    assert value.dtype == gradient.dtype == dtype
    assert np.isfinite(value).all() and np.isfinite(gradient).all()
    assert (np.abs(gradient) <= 1 + 1e-6).all()
    np.testing.assert_allclose(gradient.sum(axis=2), 0, atol=1e-6)


def test_long_series_keep_their_digits(rng: np.random.Generator) -> None:
    z = rng.normal(size=(2, 400, 6))
    y = rng.integers(1, 6, (2, 100))
    single = Loss.build("ctc", logits=True).value(z.astype("float32"), y)
    assert single == pytest.approx(Loss.build("ctc", logits=True).value(z, y), rel=1e-5)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_against_pytorch(reduction: str, rng: np.random.Generator) -> None:
    import torch

    z = rng.normal(size=(6, 9, 5))
    y = np.array([[1, 2, 3, 4], [2, 2, 2, 2], [4, 4, -1, -1], [1, -1, -1, -1], [3] * 4, [1] * 4])
    lengths, frames = (y >= 0).sum(axis=1), np.array([9, 9, 5, 1, 6, 9])
    x = torch.tensor(z, requires_grad=True)
    theirs = torch.nn.functional.ctc_loss(
        x.log_softmax(2).transpose(0, 1),
        torch.tensor(np.where(y < 0, 1, y)),
        torch.tensor(frames),
        torch.tensor(lengths),
        reduction=reduction,
        zero_infinity=True,
    )
    theirs.sum().backward()
    loss = Loss.build("ctc", logits=True, reduction=reduction, frames="n")
    value = loss.value((z, frames[:, None]), y)
    np.testing.assert_allclose(value, theirs.detach().numpy(), rtol=1e-9)
    assert 0 in np.atleast_1d(value) or reduction != "none"
    gradient, _ = loss.gradient((z, frames[:, None]), y)
    np.testing.assert_allclose(gradient, x.grad.numpy(), atol=1e-9)


@pytest.mark.linker
def test_numba_agrees(z: Array, rng: np.random.Generator) -> None:
    scores, labels = pt.tensor3("z", dtype="float64"), pt.matrix("y", dtype="int32")
    mask = pt.matrix("m", dtype="bool")
    total, usage = Alignments(0)(scores, labels, mask)
    direction = rng.normal(size=z.shape)
    tangent = Tangent(0)(scores, labels, mask, direction)
    results = [total, usage, pytensor.grad(pt.exp(total).sum(), scores), tangent]
    y, m = TARGETS.astype("int32"), np.ones((6, TIME), bool)
    m[1, 2] = m[2] = m[5, 0] = False
    f = pytensor.function([scores, labels, mask], results, mode="NUMBA")
    total, usage = alignments(z, y, m)
    assert total[5] == -np.inf
    tangent = alignments_tangent(z, y, m, direction)
    assert not tangent[5].any() and tangent[:2].any(axis=(1, 2)).all()
    expected_ones = (total, usage, np.exp(total)[:, None, None] * usage, tangent)
    for found, expected in zip(f(z, y, m), expected_ones, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)
    for wrong in ((z, y + 2, m), (z, y.clip(0), m), (z, y[:5], m), (z, y, m[:, :4])):
        with pytest.raises(ValueError, match=r"(?s)(fit|in \[0, 4\)|out of range)"):
            f(*wrong)


# ---- decoding --------------------------------------------------------------------------


def test_greedy_decoding() -> None:
    paths = np.array([[1, 1, 0, 1, 2], [0, 3, 3, 2, 2], [0, 0, 0, 0, 0]])
    p = np.eye(K)[paths]
    assert ctc_greedy_decode(p) == [[1, 1, 2], [3, 2], []]
    assert ctc_greedy_decode(p, lengths=[2, 4, 0]) == [[1], [3, 2], []]
    assert ctc_greedy_decode(p, blank=-1) == [[1, 0, 1, 2], [0, 2], [0]]


@pytest.mark.parametrize("blank", [0, 3])
def test_beam_decoding_finds_the_best(blank: int, rng: np.random.Generator) -> None:
    p = softmax(rng.normal(size=(8, 4, K)), axis=2)
    found = ctc_beam_decode(p, blank=blank, width=1000)
    differ = 0
    for q, labels, greedy in zip(p, found, ctc_greedy_decode(p, blank=blank), strict=True):
        totals: dict[tuple[int, ...], float] = {}
        for path in itertools.product(range(K), repeat=4):
            key = tuple(read(path, blank))
            totals[key] = totals.get(key, 0) + q[range(4), path].prod()
        assert tuple(labels) == max(totals, key=lambda k: totals[k])
        differ += labels != greedy
    assert differ  # else the search has shown nothing
    assert ctc_beam_decode(p, lengths=[0] * 8, blank=blank, width=1) == [[]] * 8


def test_decoding_wrong_arguments() -> None:
    p = np.full((2, 3, 4), 0.25)
    for arguments, message in (
        ({"probabilities": p[0]}, "batch, time, labels"),
        ({"probabilities": p, "blank": 4}, "blank=4"),
        ({"probabilities": p, "lengths": [1, 4]}, "between 0 and 3"),
        ({"probabilities": p, "lengths": [1]}, "2 numbers"),
    ):
        with pytest.raises(theanets.errors.DataError, match=message):
            ctc_greedy_decode(**arguments)
    with pytest.raises(theanets.errors.DataError, match="softmax of logits"):
        ctc_beam_decode(-p)
    with pytest.raises(theanets.ConfigurationError, match="width=0"):
        ctc_beam_decode(p, width=0)


# ---- in a network ----------------------------------------------------------------------


def events(n: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Make series in which each label lasts for a few frames, and its frames look alike."""
    y = np.full((n, 3), -1)
    x = rng.normal(size=(n, 12, 3)) * 0.3
    frames = rng.integers(9, 13, n)
    for i in range(n):
        count = rng.integers(1, 4)
        y[i, :count] = rng.integers(1, 3, count)
        for j, label in enumerate(y[i, :count]):
            start = 3 * j + rng.integers(0, 2)
            x[i, start : start + rng.integers(1, 3), label] += 2
        x[i, frames[i] :] = 50
    return x, frames[:, None], y


def test_network_learns_labels_without_their_places(rng: np.random.Generator) -> None:
    x, frames, y = events(120, rng)
    net = theanets.Classifier(
        [
            dict(shape=(None, 3)),
            dict(form="input", name="frames", size=1),
            dict(form="softmax", name="out", size=3, inputs="in"),
        ],
        loss=dict(form="ctc", frames="frames"),
        rng=13,
    )
    assert [field.name for field in net.fields] == ["in", "frames", "target"]
    data = [x, frames, y]
    before = net.evaluate(data)
    assert set(before) == {"loss", "err", "ctc"}
    net.train(data, algo="adam", learning_rate=0.1, epochs=15, batch_size=40)
    after = net.evaluate(data)
    assert after["loss"] < 0.25 * before["loss"]
    decoded = ctc_beam_decode(net.predict_proba([x, frames]), lengths=frames, width=5)
    wanted = [[label for label in row if label >= 0] for row in y.tolist()]
    assert np.mean([a == b for a, b in zip(decoded, wanted, strict=True)]) > 0.8
    # Frames beyond the number have no influence, and a gradient of 0.
    x[:, 12:] = -50
    assert net.evaluate([x, frames, y])["loss"] == after["loss"]
    again = Loss.build(net.losses[0].to_spec())
    assert (again.frames, again.blank, again.zero_infinity) == ("frames", 0, True)


def test_targets_of_any_length_for_series_of_one(rng: np.random.Generator) -> None:
    net = theanets.Classifier([dict(shape=(6, 3)), K], loss="ctc", weighted=True)
    x = rng.normal(size=(2, 6, 3))
    y = np.array([[1, 2], [3, -1]])
    loss = net.evaluate([x, y, np.ones(2)])["loss"]
    logits = net.predict_logit(x).astype(float)
    assert loss == pytest.approx((twin(logits[0], y[0]) / 2 + twin(logits[1], y[1])) / 2, rel=1e-5)
    assert net.evaluate([x, np.pad(y, ((0, 0), (0, 5)), constant_values=-1), np.ones(2)])[
        "loss"
    ] == pytest.approx(loss)
    with pytest.raises(theanets.errors.DataError, match=r"out of range.*\[0, 4\) or -1"):
        net.evaluate([x, y + 1, np.ones(2)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blank": 1.5}, "blank=1.5"),
        ({"blank": -2}, "blank=-2"),
        ({"frames": 3}, "frames=3"),
        ({"zero_infinity": "no"}, "zero_infinity='no'"),
        ({"blanks": 0}, "did you mean 'blank'"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(theanets.ConfigurationError, match=message):
        Loss.build("ctc", **options)


def test_outputs_are_checked(z: Array) -> None:
    with pytest.raises(theanets.ConfigurationError, match="blank=7 is not one of the 4 labels"):
        Loss.build("ctc", blank=7, logits=True).value(z, TARGETS)
    with pytest.raises(theanets.ConfigurationError, match="shape \\(time, labels\\)"):
        theanets.Classifier([3, K], loss="ctc")
    with pytest.raises(theanets.ConfigurationError, match="output 'length:out'"):
        theanets.Classifier([dict(shape=(None, 3)), K], loss=dict(form="ctc", frames="length"))
