"""The losses that PyTorch has too, with every reduction and parameter."""

import numpy as np
import pytest

from theanets.losses import Loss

torch = pytest.importorskip("torch")
nn = torch.nn.functional

REDUCTIONS = ["mean", "sum", "none"]


def pair(rng):
    return rng.normal(size=(6, 3)) * 2, rng.normal(size=(6, 3))


def positive(rng):
    return rng.gamma(2.0, size=(6, 3)), rng.poisson(3.0, size=(6, 3)).astype(float)


def labels(rng):
    return rng.normal(size=(6, 4)) * 2, rng.integers(0, 4, size=6)


def ignored(rng):
    z, t = labels(rng)
    t[[0, 3]] = -100
    return z, t


def soft(rng):
    return rng.normal(size=(6, 4)), rng.dirichlet(np.ones(4), size=6)


def decisions(rng):
    return rng.normal(size=(6, 3)), rng.random((6, 3))


def proba(rng):
    return rng.random((6, 3)), rng.random((6, 3))


WEIGHT = [1.0, 2.0, 0.5, 3.0]


def of_classes(weight=WEIGHT, **options):
    def loss(y, t, reduction):
        w = None if weight is None else torch.tensor(weight, dtype=y.dtype)
        return nn.cross_entropy(y, t, weight=w, reduction=reduction, **options)

    return loss


def of_distributions(y, t, reduction):
    """Theirs divides by the sum of the factors for labels, but not for the same as indicators."""
    found = of_classes(label_smoothing=0.2)(y, t, reduction)
    if reduction != "mean":
        return found
    return found * len(t) / (t @ torch.tensor(WEIGHT, dtype=t.dtype)).sum()


# What ours is called, its options, a sample, and theirs; some differ by a factor.
PAIRS = [
    ("mse", {}, pair, nn.mse_loss),
    ("mae", {}, pair, nn.l1_loss),
    ("huber", {}, pair, nn.huber_loss),
    ("huber", {"delta": 0.3}, pair, lambda y, t, reduction: nn.huber_loss(y, t, reduction, 0.3)),
    ("smooth_l1", {}, pair, nn.smooth_l1_loss),
    (
        "smooth_l1",
        {"beta": 0.3},
        pair,
        lambda y, t, reduction: nn.smooth_l1_loss(y, t, reduction=reduction, beta=0.3),
    ),
    (
        "smooth_l1",
        {"beta": 0},
        pair,
        lambda y, t, reduction: nn.smooth_l1_loss(y, t, reduction=reduction, beta=0),
    ),
    (
        "poisson",
        {},
        lambda rng: (pair(rng)[0], positive(rng)[1]),
        lambda y, t, reduction: nn.poisson_nll_loss(y, t, reduction=reduction),
    ),
    (
        "poisson",
        {"log_input": False},
        positive,
        lambda y, t, reduction: nn.poisson_nll_loss(y, t, False, reduction=reduction, eps=0),
    ),
    (
        "gll",
        {"covar_eps": 0},
        lambda rng: ((*pair(rng),), pair(rng)[0]),
        lambda y, t, reduction: nn.gaussian_nll_loss(
            y[0], t, y[1], full=True, eps=0, reduction=reduction
        ),
    ),
    ("xe", {"logits": True}, labels, of_classes(None)),
    ("xe", {"logits": True, "class_weight": WEIGHT}, labels, of_classes()),
    ("xe", {"logits": True, "ignore_index": -100}, ignored, of_classes(None)),
    (
        "xe",
        {"logits": True, "label_smoothing": 0.2},
        labels,
        of_classes(None, label_smoothing=0.2),
    ),
    (
        "xe",
        {
            "logits": True,
            "class_weight": WEIGHT,
            "label_smoothing": 0.2,
            "ignore_index": -100,
        },
        ignored,
        of_classes(label_smoothing=0.2),
    ),
    ("xe", {"logits": True}, soft, of_classes(None)),
    (
        "xe",
        {"logits": True, "class_weight": WEIGHT, "label_smoothing": 0.2},
        soft,
        of_distributions,
    ),
    ("bce", {}, proba, lambda y, t, reduction: nn.binary_cross_entropy(y, t, reduction=reduction)),
    (
        "bce_logits",
        {},
        decisions,
        lambda y, t, reduction: nn.binary_cross_entropy_with_logits(y, t, reduction=reduction),
    ),
    (
        "bce_logits",
        {"pos_weight": [1.0, 2.0, 0.5]},
        decisions,
        lambda y, t, reduction: nn.binary_cross_entropy_with_logits(
            y, t, reduction=reduction, pos_weight=torch.tensor([1.0, 2.0, 0.5], dtype=y.dtype)
        ),
    ),
]


def tensors(output):
    parts = output if isinstance(output, tuple) else (output,)
    found = tuple(torch.tensor(part, requires_grad=True) for part in parts)
    return found if isinstance(output, tuple) else found[0]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("form", "options", "sample", "theirs"), PAIRS)
def test_value_and_gradient(form, options, sample, theirs, reduction, rng):
    output, target = sample(rng)
    if form == "gll":
        output = (output[0], np.abs(output[1]) + 0.1)
    ours = Loss.build(form, reduction=reduction, **options)
    y = tensors(output)
    expected = theirs(y, torch.tensor(target), reduction=reduction)
    np.testing.assert_allclose(
        ours.value(output, target), expected.detach().numpy(), rtol=1e-10, atol=1e-12
    )
    expected.sum().backward()
    found = ours.gradient(output, target)
    if isinstance(output, tuple):
        for mine, other in zip(found, y):
            np.testing.assert_allclose(mine, other.grad.numpy(), rtol=1e-9, atol=1e-12)
    else:
        np.testing.assert_allclose(found, y.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_full_poisson(reduction, rng):
    """Ours has the factorial itself where theirs has Stirling's approximation of it."""
    output, target = pair(rng)[0], rng.poisson(300.0, size=(6, 3)).astype(float)
    found = Loss.build("poisson", full=True, reduction=reduction).value(output, target)
    expected = nn.poisson_nll_loss(
        torch.tensor(output), torch.tensor(target), full=True, reduction=reduction
    )
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    ("form", "p", "margin"), [("hinge", 1, 1.0), ("hinge", 1, 0.4), ("squared_hinge", 2, 1.0)]
)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_multi_class_hinge(form, p, margin, reduction, rng):
    """Theirs is divided by the number of classes."""
    z, t = labels(rng)
    ours = Loss.build(form, kind="weston-watkins", margin=margin, reduction=reduction)
    y = tensors(z)
    expected = 4 * nn.multi_margin_loss(y, torch.tensor(t), p, margin, reduction=reduction)
    np.testing.assert_allclose(ours.value(z, t), expected.detach().numpy(), rtol=1e-10)
    expected.sum().backward()
    np.testing.assert_allclose(ours.gradient(z, t), y.grad.numpy(), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize(("ours", "theirs"), [("sum", "sum"), ("mean", "batchmean")])
def test_kl(ours, theirs, rng):
    z, t = soft(rng)
    y = tensors(z)
    expected = nn.kl_div(torch.log_softmax(y, -1), torch.tensor(t), reduction=theirs)
    loss = Loss.build("kl", logits=True, reduction=ours)
    assert loss.value(z, t) == pytest.approx(expected.item(), rel=1e-10)
    expected.backward()
    np.testing.assert_allclose(loss.gradient(z, t), y.grad.numpy(), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cosine(reduction, rng):
    a, b = pair(rng)
    y = tensors(a)
    expected = nn.cosine_embedding_loss(y, torch.tensor(b), torch.ones(6), reduction=reduction)
    loss = Loss.build("cosine", reduction=reduction)
    np.testing.assert_allclose(loss.value(a, b), expected.detach().numpy(), rtol=1e-9)
    expected.sum().backward()
    np.testing.assert_allclose(loss.gradient(a, b), y.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_distributions(rng):
    """Likelihoods that PyTorch has as distributions."""
    d = torch.distributions
    mean, scale, target = rng.normal(size=(6, 3)), rng.random((6, 3)) + 0.1, rng.normal(size=(6, 3))
    m, s, t = (torch.tensor(x, requires_grad=True) for x in (mean, scale, target))
    pairs = [
        (Loss.build("laplace", scale_eps=0), d.Laplace(m, s)),
        (Loss.build("student_t", df=4.5, scale_eps=0), d.StudentT(4.5, m, s)),
    ]
    for loss, theirs in pairs:
        expected = -theirs.log_prob(t).mean()
        assert loss.value((mean, scale), target) == pytest.approx(expected.item(), rel=1e-10)
        m.grad = s.grad = None
        expected.backward()
        for mine, other in zip(loss.gradient((mean, scale), target), (m, s)):
            np.testing.assert_allclose(mine, other.grad.numpy(), rtol=1e-9, atol=1e-12)
    logits, means, scales = (
        rng.normal(size=(6, 2)),
        rng.normal(size=(6, 2, 3)),
        rng.random((6, 2, 3)),
    )
    mixture = d.MixtureSameFamily(
        d.Categorical(logits=torch.tensor(logits)),
        d.Independent(d.Normal(torch.tensor(means), torch.tensor(scales) + 1e-3), 1),
    )
    expected = -mixture.log_prob(torch.tensor(target)).mean()
    arrays = (logits, means.reshape(6, -1), scales.reshape(6, -1))
    found = Loss.build("mixture_density").value(arrays, target)
    assert found == pytest.approx(expected.item(), rel=1e-10)


@pytest.mark.parametrize("big", [0, 1e4])
def test_extreme_logits(big):
    z = np.array([[big, -big, 0.0], [big, big, 0.0]], "float32")
    for t in ([0, 0], [1, 2], [2, 1]):
        y = tensors(z)
        expected = nn.cross_entropy(y, torch.tensor(t))
        expected.backward()
        loss = Loss.build("xe", logits=True)
        assert loss.value(z, t) == pytest.approx(expected.item(), rel=1e-6)
        np.testing.assert_allclose(loss.gradient(z, t), y.grad.numpy(), rtol=1e-6, atol=1e-7)
