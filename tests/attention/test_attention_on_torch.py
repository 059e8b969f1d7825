"""Attention by PyTorch's kernel, which has its own idea of masks, against the formula."""

import numpy as np
import pytensor.tensor as pt
import pytest

from theanets import backends
from theanets.ops.attention import ENDLESS, attend

torch = pytest.importorskip("torch")
by_torch = pytest.importorskip("theanets.ops.attention.by_torch")

HEADS, SIZE = 4, 3
ALL, PAST = (ENDLESS, ENDLESS), (ENDLESS, 0)

#: Queries, keys, heads of keys, reach, places, how many queries and keys of each series exist, and
#: whether the kernel needs a mask.
CASES = {
    "all": (5, 5, 4, ALL, [0], None, False),
    "all of two groups": (5, 5, 2, ALL, [0], None, False),
    "of another series": (5, 7, 4, ALL, [0], None, False),
    "far enough": (5, 5, 4, (4, 4), [0], None, False),
    "one too near": (5, 5, 4, (3, 4), [0], None, True),
    "one too near ahead": (5, 5, 4, (4, 3), [0], None, True),
    "causal": (6, 6, 4, PAST, [0], None, False),
    "causal of two groups": (6, 6, 2, PAST, [0], None, True),
    "causal, fewer keys": (6, 4, 4, PAST, [0], None, True),
    "causal, more keys": (4, 6, 4, PAST, [0], None, True),
    "causal within reach": (6, 6, 4, (5, 0), [0], None, False),
    "window": (9, 9, 4, (2, 2), [0], None, True),
    "window of the past": (9, 9, 2, (2, 0), [0], None, True),
    "one more step": (1, 9, 4, PAST, [8], None, False),
    "one more step, in a room": (1, 16, 4, PAST, [8, 8, 8], [(1, 9)] * 3, False),
    "steps after others": (3, 9, 1, PAST, [6], None, True),
    "different lengths": (5, 5, 4, ALL, [0], [(5, 5), (2, 2), (4, 4)], True),
    "different lengths, causal": (5, 5, 2, PAST, [0], [(5, 5), (2, 2), (4, 4)], True),
    "shorter than the array": (5, 7, 4, ALL, [0], [(5, 6), (5, 6), (5, 4)], True),
    "nothing there": (3, 4, 2, ALL, [0], [(3, 4), (3, 0), (0, 4)], True),
    "nothing at all": (3, 4, 2, ALL, [0], [(3, 0)] * 3, False),
    "places of their own": (3, 12, 2, (4, 0), [9, 2, 0], [(3, 12), (2, 5), (3, 3)], True),
}


def arguments(case, rng, dtype):
    queries, keys, groups, reach, places, ranges, _ = CASES[case]
    q = rng.normal(size=(3, queries, HEADS, SIZE))
    k, v = rng.normal(size=(2, 3, keys, groups, SIZE))
    ranges = [(queries, keys)] * 3 if ranges is None else ranges
    floats = [x.astype(dtype) for x in (q, k, v)]
    return [*floats, np.array(ranges), np.array(reach), np.array(places)]


def computed(arrays, mode):
    """Get sums and logs, and the gradients of what comes of the sums."""
    inputs = [pt.as_tensor(x).type() for x in arrays]
    q, k, v, ranges, reach, places = inputs
    none = np.zeros((0, 0), q.dtype)
    out, logs = attend(q, k, v, ranges, reach, none, np.zeros(3, "int64"), places)
    cost = (pt.sin(out) * np.cos(np.arange(SIZE)).astype(q.dtype)).sum()
    results = [out, logs, *pt.grad(cost, [q, k, v])]
    return backends.function(inputs, results, mode=mode, dtype=q.dtype)(*arrays)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 2e-5)])
@pytest.mark.parametrize("case", CASES)
def test_it_is_the_formula(case, dtype, tolerance, rng, monkeypatch):
    arrays, masked = arguments(case, rng, dtype), []

    def noting(kernel):
        def noted(*args, **options):
            masked.append("attn_mask" in options)
            return kernel(*args, **options)

        return noted

    for name in ("_KERNEL", "_KERNEL_BACKWARD"):
        monkeypatch.setattr(by_torch, name, noting(getattr(by_torch, name)))
    found, expected = computed(arrays, "PYTORCH"), computed(arrays, "FAST_COMPILE")
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    # What needs no mask has none: it would take as long as the rest.
    assert masked == ([] if case == "nothing at all" else [CASES[case][-1]] * 2)


def test_without_the_kernel(rng, monkeypatch):
    arrays = arguments("causal", rng, "float64")
    monkeypatch.setattr(by_torch, "_KERNEL", None)
    for ours, theirs in zip(computed(arrays, "PYTORCH"), computed(arrays, "FAST_COMPILE")):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
