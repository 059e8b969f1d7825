"""Attention whose weights are dropped, against its formula with the same draws; large scores."""

import numpy as np
import pytensor
import pytensor.tensor as pt

from theanets.ops.attention import ENDLESS, attend

BATCH, TIME, HEADS, SIZE = 2, 4, 2, 3
SHARE = 0.4


def compiled(arrays, noise, grad=True):
    q, k, v = inputs = [pt.as_tensor(x).type() for x in arrays[:3]]
    out, _ = attend(q, k, v, *map(pt.constant, [*arrays[3:], noise, np.zeros(1, int)]))
    found = [out, *(pytensor.grad(pt.sin(out).sum(), inputs) if grad else [])]
    return pytensor.function(inputs, found, mode="FAST_COMPILE")(*arrays[:3])


def arguments(rng):
    arrays = [rng.normal(size=(BATCH, TIME, HEADS, SIZE)) for _ in range(3)]
    ranges = np.array([[TIME, TIME]] * BATCH)
    return [*arrays, ranges, np.array([ENDLESS, ENDLESS]), np.zeros((0, 0))]


def factors(noise):
    """Get what each weight (batch, heads, queries, keys) is multiplied by: of equal scores."""
    arrays = arguments(np.random.default_rng(0))
    arrays[0] = np.zeros_like(arrays[0])
    # A value for each key, by its unit, so that what is left of each weight is seen.
    arrays[2] = np.broadcast_to(np.eye(TIME)[None, :, None], (BATCH, TIME, HEADS, TIME)).copy()
    out = compiled(arrays, noise, grad=False)[0]
    return out.transpose(0, 2, 1, 3) * TIME


def test_dropped_weights_and_their_gradients(rng):
    noise = np.array([11, 12, round(SHARE * 2**32)])
    keep = factors(noise)
    assert set(np.round(keep, 6).ravel()) == {0, round(1 / (1 - SHARE), 6)}
    # Each example has its own.
    assert (keep[0] != keep[1]).any() and (keep[:, 0] != keep[:, 1]).any()
    arrays = arguments(rng)

    def cost(q, k, v):
        scores = np.einsum("bihd,bjhd->bhij", q, k) / np.sqrt(SIZE)
        powers = np.exp(scores)
        weights = powers / powers.sum(axis=-1, keepdims=True) * keep
        return np.einsum("bhij,bjhd->bihd", weights, v)

    out, *grads = compiled(arrays, noise)
    np.testing.assert_allclose(out, cost(*arrays[:3]), rtol=1e-12)
    for place, grad in enumerate(grads):
        direction = rng.normal(size=grad.shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = arrays[:3]
            moved[place] = moved[place] + step * direction
            ends.append(np.sin(cost(*moved)).sum())
        np.testing.assert_allclose((grad * direction).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-7)


def test_large_scores(rng):
    arrays = arguments(rng)
    arrays[0] *= 1e4
    out, *grads = compiled(arrays, np.zeros(3, "int64"))
    scores = np.einsum("bihd,bjhd->bhij", *arrays[:2])
    best = scores.argmax(axis=-1)
    expected = [
        [[arrays[2][b, best[b, h, i], h] for h in range(HEADS)] for i in range(TIME)]
        for b in range(BATCH)
    ]
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    assert all(np.isfinite(grad).all() for grad in grads)
