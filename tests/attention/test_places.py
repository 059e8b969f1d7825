"""The formula of arrays for a whole batch, of which each example has a place of its own."""

import numpy as np

from theanets.ops.attention import arrays
from theanets.ops.attention.operation import NUMPY, _add

BATCH, QUERIES, KEYS, HEADS, GROUPS, SIZE = 3, 4, 9, 4, 2, 3


def test_a_batch_is_its_examples(rng):
    """As JAX and PyTorch compute it, against one example after the other, as NumPy does."""
    each = [
        rng.normal(size=(BATCH, QUERIES, HEADS, SIZE)),
        rng.normal(size=(BATCH, KEYS, GROUPS, SIZE)),
        rng.normal(size=(BATCH, KEYS, GROUPS, SIZE)),
        np.array([[4, 9], [3, 6], [4, 0]]),
    ]
    shared = [np.array([3, 1]), rng.normal(size=(HEADS, 5)), np.array([3, 4, 2**30])]
    places = np.array([5, 2, 0])
    options = {"lib": NUMPY, "biased": True, "dropping": True}
    out, logs = arrays.forward(*each, *shared, places, placed=True, **options)
    arriving = rng.normal(size=out.shape)
    found = arrays.backward(
        *(*each, *shared, places, logs, out, arriving), placed=True, add=_add, **options
    )
    total = np.zeros_like(found[3])
    for b in range(BATCH):
        own, part = [x[b : b + 1] for x in each], slice(b, b + 1)
        some = {**options, "placed": False, "start": b}
        one, log = arrays.forward(*own, *shared, places[part], **some)
        np.testing.assert_allclose(out[part], one, rtol=1e-12)
        np.testing.assert_allclose(logs[part], log, rtol=1e-12)
        known = log, one, arriving[part]
        *grads, d_bias = arrays.backward(*own, *shared, places[part], *known, add=_add, **some)
        for whole, grad in zip(found, grads):
            np.testing.assert_allclose(whole[part], grad, rtol=1e-10, atol=1e-12)
        total += d_bias
    np.testing.assert_allclose(found[3], total, rtol=1e-10)
    # No distance of 2 ahead is attended to.
    assert np.abs(total[:, :4]).min() > 0 and not total[:, 4].any()
