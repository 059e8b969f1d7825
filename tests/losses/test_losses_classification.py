"""Losses over classes and of decisions: values by hand, extreme scores, options."""

import numpy as np
import pytest
from scipy import special

import theanets
from theanets.errors import ConfigurationError
from theanets.losses import Loss

SCORES = [
    ("xe", {"logits": True}),
    ("xe", {"logits": True, "label_smoothing": 0.1, "temperature": 2.0}),
    ("focal", {"logits": True}),
    ("focal", {"logits": True, "gamma": 0.5}),
    ("hinge", {}),
    ("hinge", {"kind": "weston-watkins"}),
    ("squared_hinge", {}),
    ("squared_hinge", {"kind": "weston-watkins"}),
    ("square", {}),
    ("squentropy", {}),
]


@pytest.mark.parametrize(
    ("form", "options", "output", "target", "value", "gradient"),
    [
        ("xe", {}, [0.25, 0.75], 0, np.log(4), None),
        ("xe", {"logits": True}, [np.log(3), 0], 0, np.log(4 / 3), [-0.25, 0.25]),
        # Smoothed by half: 3/4 at the label, 1/4 at the other.
        (
            "xe",
            {"logits": True, "label_smoothing": 0.5},
            [0, 0],
            0,
            np.log(2),
            [-0.25, 0.25],
        ),
        ("xe", {"logits": True, "temperature": 2}, [2 * np.log(3), 0], 0, np.log(4 / 3), None),
        ("focal", {"logits": True}, [np.log(3), 0], 0, np.log(4 / 3) / 16, None),
        ("hinge", {}, [1, 0.5, 3], 0, 3, [-1, 0, 1]),
        ("hinge", {"margin": 0}, [1, 0.5, 3], 0, 2, [-1, 0, 1]),
        ("hinge", {}, [3, 0.5, 1], 0, 0, [0, 0, 0]),
        ("hinge", {"kind": "weston-watkins"}, [1, 0.5, 3], 0, 3.5, [-2, 1, 1]),
        ("squared_hinge", {}, [1, 0.5, 3], 0, 9, [-6, 0, 6]),
        ("squared_hinge", {"kind": "weston-watkins"}, [1, 0.5, 3], 0, 9.25, [-7, 1, 6]),
        ("square", {}, [1, 2], 1, 1, [1, 1]),
        ("square", {"k": 3, "M": 4}, [1, 2], 1, 6.5, [1, -6]),
        ("squentropy", {}, [0, 0, 0], 1, np.log(3), None),
        ("squentropy", {}, [3, 0], 1, 9 - np.log(special.softmax([3, 0])[1]), None),
    ],
)
def test_by_hand(form, options, output, target, value, gradient):
    loss = Loss.build(form, **options)
    assert loss.value([output], [target]) == pytest.approx(value, abs=1e-14)
    if gradient is not None:
        np.testing.assert_allclose(loss.gradient([output], [target]), [gradient], atol=1e-14)


@pytest.mark.parametrize(
    ("form", "options", "output", "target", "value", "gradient"),
    [
        ("bce", {}, 0.25, 1, np.log(4), -4),
        ("bce", {}, 0.25, 0, -np.log(0.75), 4 / 3),
        ("bce_logits", {}, 0, 1, np.log(2), -0.5),
        ("bce_logits", {"pos_weight": 3}, 0, 1, 3 * np.log(2), -1.5),
        ("bce_logits", {"pos_weight": 3}, 0, 0, np.log(2), 0.5),
        ("binary_focal", {"logits": True}, 0, 1, np.log(2) / 4, None),
        ("binary_focal", {"logits": True, "alpha": 0.25}, 0, 0, 0.75 * np.log(2) / 4, None),
        ("hinge", {"kind": "binary"}, 0.5, 1, 0.5, -1),
        ("hinge", {"kind": "binary"}, 0.5, -1, 1.5, 1),
        ("hinge", {"kind": "binary"}, 0.5, 0, 1.5, 1),
        ("hinge", {"kind": "binary"}, 1.5, 1, 0, 0),
        ("squared_hinge", {"kind": "binary"}, 0.5, 0, 2.25, 3),
    ],
)
def test_decisions_by_hand(form, options, output, target, value, gradient):
    loss = Loss.build(form, **options)
    assert loss.value([[output]], [[target]]) == pytest.approx(value, abs=1e-14)
    if gradient is not None:
        assert loss.gradient([[output]], [[target]])[0, 0] == pytest.approx(gradient, abs=1e-14)


# ---- extreme scores -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("form", "options"), SCORES, ids=str)
def test_extreme_logits(form, options, dtype):
    big = 1e4 if dtype == "float32" else 1e30
    z = np.array([[big, -big, 0], [big, big, -big], [-big, -big, -big], [0, 0, big]], dtype)
    loss = Loss.build(form, reduction="none", **options)
    for label in range(3):
        t = np.full(4, label)
        value, slope = loss.value(z, t), loss.gradient(z, t)
        assert np.isfinite(value).all()
        assert (value >= 0).all()
        assert np.isfinite(slope).all()
        if form not in ("square", "squentropy"):
            # More for the label is never worse, and shifting all changes nothing.
            assert (slope[:, label] <= 0).all() or "label_smoothing" in options
            np.testing.assert_allclose(slope.sum(-1), 0, atol=1e-6 * np.abs(slope).max())
        wrong = z.argmax(-1) != label
        if form != "square":
            assert (slope[wrong & (z[:, label] < z.max(-1)), label] < 0).all()


@pytest.mark.parametrize(("dtype", "big"), [("float32", 1e4), ("float64", 1e30)])
def test_cross_entropy_of_extreme_logits_is_exact(dtype, big):
    z = np.array([[big, -big, 0]] * 3, dtype)
    loss = Loss.build("xe", logits=True, reduction="none")
    np.testing.assert_allclose(loss.value(z, [0, 1, 2]), [0, 2 * big, big], rtol=1e-6)
    np.testing.assert_array_equal(loss.gradient(z, [0, 1, 2]), [[0, 0, 0], [1, -1, 0], [1, 0, -1]])
    soft = loss.value(z[:1], [[0.5, 0.25, 0.25]])
    np.testing.assert_allclose(soft, [0.75 * big], rtol=1e-6)
    binary = Loss.build("bce_logits", reduction="none")
    z, t = np.array([[big, -big, big, -big]], dtype), [[1, 0, 0, 1]]
    np.testing.assert_allclose(binary.value(z, t), [[0, 0, big, big]], rtol=1e-6)
    np.testing.assert_array_equal(binary.gradient(z, t), [[0, 0, 1, -1]])
    focal = Loss.build("binary_focal", logits=True, reduction="none")
    np.testing.assert_allclose(focal.value(z, t), [[0, 0, big, big]], rtol=1e-6)
    np.testing.assert_array_equal(focal.gradient(z, t), [[0, 0, 1, -1]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["xe", "focal"])
def test_probabilities_of_zero_and_one(form, dtype):
    p = np.array([[1, 0], [1, 0]], dtype)
    loss = Loss.build(form, reduction="none")
    right, wrong = loss.value(p, [0, 1])
    assert right == pytest.approx(0, abs=1e-25)
    assert 60 < wrong < 1000
    slope = loss.gradient(p, [0, 1])
    assert np.isfinite(slope).all()
    assert slope[1, 1] < -1e20


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["bce", "binary_focal"])
def test_decisions_of_zero_and_one(form, dtype):
    p, t = np.array([[0, 1, 0, 1]], dtype), [[0, 1, 1, 0]]
    loss = Loss.build(form, reduction="none")
    value, slope = loss.value(p, t)[0], loss.gradient(p, t)[0]
    np.testing.assert_array_equal(value[:2], 0)
    assert ((value[2:] > 60) & (value[2:] < 1000)).all()
    assert np.isfinite(slope).all()
    assert slope[2] < -1e20
    assert slope[3] > 1e20


def test_small_probabilities_keep_their_digits():
    loss = Loss.build("bce")
    assert loss.value([[1e-18]], [[0]]) == pytest.approx(1e-18, rel=1e-12)
    assert loss.value([[1e-190]], [[1]]) == pytest.approx(190 * np.log(10), rel=1e-12)
    # Nearly certain: 1 - p is what the focal loss is about.
    focal = Loss.build("focal", logits=True, gamma=1)
    q = np.exp(-40.0)
    assert focal.value([[40.0, 0.0]], [0]) == pytest.approx(q * np.log1p(q), rel=1e-9)


def test_nan_is_not_hidden():
    """A network that has diverged must not look well."""
    net = theanets.Classifier([2, 3], loss="hinge")
    net.find("out.w").set_value(np.full((2, 3), np.nan, "float32"))
    assert np.isnan(net.evaluate([np.ones((2, 2)), [0, 1]])["loss"])


# ---- cross-entropy -----------------------------------------------------------------------


def test_one_hot_and_soft_targets_are_labels(rng):
    z, labels = rng.normal(size=(6, 4)), rng.integers(0, 4, size=6)
    hot = np.eye(4)[labels]
    for options in ({}, {"label_smoothing": 0.2}, {"temperature": 3.0}):
        loss = Loss.build("xe", logits=True, **options)
        assert loss.value(z, hot) == pytest.approx(loss.value(z, labels), rel=1e-12)
        # Weights of examples mean the same for both.
        w = rng.random(6)
        assert loss.value(z, hot, w) == pytest.approx(loss.value(z, labels, w), rel=1e-12)
    for form in ("hinge", "square", "squentropy"):
        loss = Loss.build(form)
        assert loss.value(z, hot) == pytest.approx(loss.value(z, labels), rel=1e-12)


def test_reductions_of_weighted_classes(rng):
    z, labels = rng.normal(size=(6, 3)), rng.integers(0, 3, size=6)
    labels[2] = -1
    factors = np.array([1.0, 2.0, 5.0])
    logp = np.log(special.softmax(z, -1))
    errors = np.array([0 if t < 0 else -factors[t] * logp[i, t] for i, t in enumerate(labels)])
    options = {"logits": True, "class_weight": factors.tolist(), "ignore_index": -1}
    expected = {
        "none": errors,
        "sum": errors.sum(),
        "mean": errors.sum() / factors[labels[labels >= 0]].sum(),
        "batch": errors.sum() / 6,
    }
    for reduction, value in expected.items():
        found = Loss.build("xe", reduction=reduction, **options).value(z, labels)
        np.testing.assert_allclose(found, value, rtol=1e-12)


@pytest.mark.parametrize("form", ["xe", "focal", "hinge", "square", "squentropy"])
@pytest.mark.parametrize("ignore", [-100, 1, 7])
def test_ignored_labels_have_no_influence(form, ignore, rng):
    z, labels = rng.normal(size=(6, 4)), rng.choice([0, 2, 3], size=6)
    labels[[1, 2]] = ignore
    z[1] = np.nan
    # The others take logits only.
    options = {"logits": True} if form in ("xe", "focal") else {}
    loss = Loss.build(form, ignore_index=ignore, **options)
    kept = labels != ignore
    expected = Loss.build(form, **options).value(z[kept], labels[kept])
    assert loss.value(z, labels) == pytest.approx(expected, rel=1e-12)
    assert (loss.gradient(z, labels)[~kept] == 0).all()
    w = rng.random(6)
    expected = Loss.build(form, **options).value(z[kept], labels[kept], w[kept])
    assert loss.value(z, labels, w) == pytest.approx(expected, rel=1e-12)
    # Nothing but ignored labels.
    z[1] = 0
    assert loss.value(z, np.full(6, ignore)) == 0
    assert (loss.gradient(z, np.full(6, ignore)) == 0).all()


def test_focal_of_extreme_logits_is_exact():
    b = 1e30
    z, q = [[b, b, -b], [b, b, b], [0, 0, b]], np.array([0.5, 1 / 3, 0])
    loss = Loss.build("focal", logits=True, reduction="none")
    expected = [-(0.5**2) * np.log(0.5), -((2 / 3) ** 2) * np.log(1 / 3), b]
    np.testing.assert_allclose(loss.value(z, [0, 0, 0]), expected, rtol=1e-12)
    np.testing.assert_array_equal(loss.gradient(z, [0, 0, 0])[2], [-1, 0, 1])
    # By the chain rule, from the derivative with respect to the probability.
    slope = 2 * (1 - q[:2]) * np.log(q[:2]) - (1 - q[:2]) ** 2 / q[:2]
    np.testing.assert_allclose(
        loss.gradient(z, [0, 0, 0])[:2, 0], slope * q[:2] * (1 - q[:2]), rtol=1e-12
    )


@pytest.mark.parametrize(("form", "options"), SCORES, ids=str)
def test_a_single_class(form, options):
    loss = Loss.build(form, **options)
    assert np.isfinite(loss.value([[3.0]], [0]))
    assert np.isfinite(loss.gradient([[3.0]], [0])).all()
    if form not in ("square",):
        assert loss.value([[3.0]], [0]) == 0


def test_focal_without_focus_is_cross_entropy(rng):
    z, labels = rng.normal(size=(6, 4)), rng.integers(0, 4, size=6)
    found = Loss.build("focal", gamma=0, logits=True)
    expected = Loss.build("xe", logits=True)
    assert found.value(z, labels) == pytest.approx(expected.value(z, labels), rel=1e-12)
    np.testing.assert_allclose(
        found.gradient(z, labels), expected.gradient(z, labels), rtol=1e-10, atol=1e-15
    )
    y = rng.integers(0, 2, size=(6, 4))
    found, expected = Loss.build("binary_focal", gamma=0, logits=True), Loss.build("bce_logits")
    np.testing.assert_allclose(found.gradient(z, y), expected.gradient(z, y), rtol=1e-12)


def test_bce_is_bce_of_logits(rng):
    z, t = rng.normal(size=(6, 4)) * 3, rng.random((6, 4))
    found = Loss.build("bce").value(special.expit(z), t)
    for loss in (Loss.build("bce_logits"), Loss.build("bce", logits=True)):
        assert loss.value(z, t) == pytest.approx(found, rel=1e-10)


def test_two_classes_are_one_decision(rng):
    z, labels = rng.normal(size=(6, 1)), rng.integers(0, 2, size=6)
    both = np.concatenate([0 * z, z], axis=1)
    binary = Loss.build("bce_logits").value(z, labels[:, None])
    assert Loss.build("xe", logits=True).value(both, labels) == pytest.approx(binary, rel=1e-12)


def test_signs_and_bits_are_the_same_targets(rng):
    z, bits = rng.normal(size=(6, 3)), rng.integers(0, 2, size=(6, 3))
    loss = Loss.build("hinge", kind="binary")
    assert loss.value(z, bits) == loss.value(z, 2 * bits - 1)
    assert not loss.labels


# ---- large-margin softmax -----------------------------------------------------------------


@pytest.mark.parametrize("margin", [1, 2, 3, 4])
def test_psi(margin):
    """It falls with the angle, without jumps, from 1 to 1 - 2 m, and is not above the cosine."""
    angles = np.linspace(0, np.pi, 2001)
    loss = Loss.build("l_softmax", margin=margin)
    psi = np.asarray(loss.psi(np.cos(angles)).eval())
    assert psi[0] == pytest.approx(1)
    assert psi[-1] == pytest.approx(1 - 2 * margin)
    assert (np.diff(psi) < 1e-12).all()
    assert np.abs(np.diff(psi)).max() < 1.01 * margin * np.pi / 2000
    assert (psi <= np.cos(angles) + 1e-12).all()


def test_larger_margins_cost_more(rng):
    x, w, t = rng.normal(size=(6, 4)), rng.normal(size=(4, 3)), rng.integers(0, 3, size=6)
    values = [Loss.build("l_softmax", margin=m).value((x, w), t) for m in (1, 2, 3, 4)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(Loss.build("xe", logits=True).value(x @ w, t), rel=1e-12)
    mild = Loss.build("l_softmax", margin=4, plain=1e9).value((x, w), t)
    assert mild == pytest.approx(values[0], rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_layers(dtype):
    big = 1e4 if dtype == "float32" else 1e30
    x = np.array([[big, 0], [0, 0], [-big, big], [1, 0]], dtype)
    w = np.array([[1, 0, -1], [0, 0, 1]], dtype)
    for margin in (1, 2, 3, 4):
        for label in range(3):
            loss = Loss.build("l_softmax", margin=margin)
            t = np.full(4, label)
            assert np.isfinite(loss.value((x, w), t))
            for part in loss.gradient((x, w), t):
                assert np.isfinite(part).all()


# ---- options ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("xe", {"label_smoothing": 1}),
        ("xe", {"label_smoothing": -0.1}),
        ("xe", {"temperature": 0}),
        ("xe", {"class_weight": [1, -1]}),
        ("xe", {"class_weight": 2.0}),
        ("focal", {"gamma": -1}),
        ("focal", {"alpha": [np.nan]}),
        ("hinge", {"kind": "crammer"}),
        ("hinge", {"margin": -1}),
        ("square", {"k": 0}),
        ("square", {"M": -1}),
        ("bce", {"pos_weight": -1}),
        ("binary_focal", {"alpha": 2}),
        ("l_softmax", {"margin": 5}),
        ("l_softmax", {"margin": 1.5}),
        ("l_softmax", {"plain": -1}),
    ],
)
def test_options_without_meaning(form, options):
    (key,) = options
    with pytest.raises(ConfigurationError, match=f"loss '{form}': {key}="):
        Loss.build(form, **options)


@pytest.mark.parametrize(
    ("form", "options", "target"),
    [
        ("xe", {"class_weight": [1, 2]}, [0, 1]),
        ("focal", {"alpha": [1, 2]}, [0, 1]),
        ("bce_logits", {"pos_weight": [1, 2]}, np.ones((2, 3))),
    ],
)
def test_factors_for_another_number_of_classes(form, options, target):
    with pytest.raises(ConfigurationError, match="has 2 numbers, but the output has 3"):
        Loss.build(form, **options).value(np.ones((2, 3)), target)
    with pytest.raises(ConfigurationError, match="has 2 numbers, but the output has 3"):
        kind = theanets.Regressor if form == "bce_logits" else theanets.Classifier
        kind([2, 3], loss={"form": form, **options}).evaluate([np.ones((2, 2)), target])
