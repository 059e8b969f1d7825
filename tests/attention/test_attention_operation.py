"""Attention as an operation, against loops over queries and keys."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from linker_cases import FORMED

import theanets  # noqa: F401
from theanets.ops.attention import ENDLESS, attend, attention_weights

BATCH, HEADS, SIZE, WIDTH = 3, 4, 3, 2


def looped(q, k, v, ranges, reach, bias, places):
    """Get sums and weights of attention, one query at a time."""
    batch, queries, heads, size = q.shape
    keys, each = k.shape[1], heads // k.shape[2]
    out = np.zeros((batch, queries, heads, v.shape[3]))
    weights = np.zeros((batch, heads, queries, keys))
    middle = bias.shape[1] - 1 if reach[1] == 0 else bias.shape[1] // 2
    for b, h, i in np.ndindex(batch, heads, queries):
        n, after = ranges[b]
        place = i + places[b % len(places)]
        near = [j for j in range(after) if -reach[0] <= j - place <= reach[1]]
        if i >= n or not near:
            continue
        scores = np.array([q[b, i, h] @ k[b, j, h // each] / np.sqrt(size) for j in near])
        if bias.size:
            columns = [min(max(j - place + middle, 0), bias.shape[1] - 1) for j in near]
            scores += bias[h, columns]
        powers = np.exp(scores - scores.max())
        weights[b, h, i, near] = powers / powers.sum()
        for j in near:
            out[b, i, h] += weights[b, h, i, j] * v[b, j, h // each]
    return out, weights


def arguments(rng, queries, keys, groups, reach, columns, places=None, dtype="float64"):
    """Get arrays; the last series has a key for none of its queries.

    By default, the last query is where the last key is, in all series.
    """
    ranges = np.array([[queries, keys], [queries - 1, keys - 2], [queries, 0]])
    arrays = [
        rng.normal(size=(BATCH, queries, HEADS, SIZE)),
        rng.normal(size=(BATCH, keys, groups, SIZE)),
        rng.normal(size=(BATCH, keys, groups, WIDTH)),
        ranges,
        np.array(reach),
        rng.normal(size=(HEADS, columns)) if columns else np.zeros((0, 0)),
        np.array([keys - queries] if places is None else places),
    ]
    return [x.astype(dtype) if x.dtype.kind == "f" else x for x in arrays]


#: Queries, keys, heads of keys, reach and columns of biases; blocks are of 64 queries.
CASES = {
    "all": (5, 5, 4, (ENDLESS, ENDLESS), 0),
    "causal": (6, 6, 2, (ENDLESS, 0), 0),
    "continued": (2, 9, 1, (ENDLESS, 0), 4),
    "window": (9, 9, 4, (2, 2), 5),
    "narrow": (9, 9, 2, (0, 0), 0),
    "more queries": (7, 3, 4, (ENDLESS, ENDLESS), 3),
    "blocks": (70, 75, 2, (9, 0), 6),
    "long": (130, 130, 2, (ENDLESS, 0), 0),
    "places of their own": (3, 12, 2, (4, 0), 4, (9, 2, 0)),
    "places with a look ahead": (70, 90, 4, (9, 3), 7, (20, 0, 5)),
}
NO_NOISE = pt.constant(np.zeros(3, "int64"))


def symbols(arrays):
    found = [pt.as_tensor(x).type() for x in arrays]
    if not arrays[5].size:
        found[5] = pt.constant(arrays[5])
    return found


def attended(inputs, noise):
    return attend(*inputs[:6], noise, inputs[6])


def compiled(arrays, mode, noise=NO_NOISE):
    """Get sums, and the gradients of their product with a fixed array."""
    inputs = symbols(arrays)
    out, _ = attended(inputs, noise)
    factors = np.cos(np.arange(out.type.shape[3] or WIDTH)).astype(out.dtype)
    cost = (pt.sin(out) * factors).sum()
    wrt = [inputs[i] for i in (0, 1, 2, 5) if not hasattr(inputs[i], "data")]
    results = [out, *pytensor.grad(cost, wrt)]
    given = [x for x in inputs if not hasattr(x, "data")]
    function = pytensor.function(given, results, mode=mode, on_unused_input="ignore")
    return function(*(a for a, x in zip(arrays, inputs) if not hasattr(x, "data")))


@pytest.mark.parametrize("case", CASES)
def test_sums_and_weights_are_those_of_loops(case, rng):
    arrays = arguments(rng, *CASES[case])
    expected, weights = looped(*arrays)
    found = compiled(arrays, "FAST_COMPILE")
    np.testing.assert_allclose(found[0], expected, rtol=1e-12, atol=1e-14)
    assert not found[0][1, -1].any() and not found[0][2].any()
    inputs = symbols(arrays)
    shown = attention_weights(inputs[0], inputs[1], *inputs[3:])
    given = [x for x in inputs if not hasattr(x, "data")]
    function = pytensor.function(given, shown, mode="FAST_COMPILE", on_unused_input="ignore")
    got = function(*(a for a, x in zip(arrays, inputs) if not hasattr(x, "data")))
    np.testing.assert_allclose(got, weights, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", ["window", "blocks", "places of their own"])
def test_gradients_are_those_of_differences(case, rng):
    queries, keys, *others = CASES[case]
    arrays = arguments(rng, min(queries, 9), min(keys, 12), *others)
    _, *grads = compiled(arrays, "FAST_COMPILE")
    factors = np.cos(np.arange(WIDTH))

    def cost(changed):
        return (np.sin(looped(*changed)[0]) * factors).sum()

    for place, grad in zip((0, 1, 2, 5), grads):
        direction = rng.normal(size=arrays[place].shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = list(arrays)
            moved[place] = arrays[place] + step * direction
            ends.append(cost(moved))
        slope = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose((grad * direction).sum(), slope, rtol=1e-7, atol=1e-8)
    # What does not exist has no gradient.
    d_q, d_k = grads[:2]
    assert not d_q[1, -1].any() and not d_k[1, -2:].any()
    assert not d_q[2].any() and not d_k[2].any()


@pytest.mark.linker
@pytest.mark.parametrize(
    "dtype, cases",
    [
        ("float64", ("continued", "window", "blocks", "more queries", "places with a look ahead")),
        ("float32", ("long",)),
    ],
)
@pytest.mark.parametrize("mode", FORMED)
def test_linkers_agree(mode, dtype, cases, rng):
    for case in cases:
        arrays = arguments(rng, *CASES[case], dtype=dtype)
        noise = pt.constant(np.array([77, 2**32 - 3, 2**30 if case != "long" else 0]))
        expected = compiled(arrays, "FAST_COMPILE", noise)
        found = compiled(arrays, mode, noise)
        for a, b in zip(found, expected):
            tolerance = 1e-12 if dtype == "float64" else 1e-5
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=case)


@pytest.mark.linker
def test_arrays_that_do_not_lie_in_one_piece(rng):
    """Queries, keys and values side by side, backward in time, and turned axes."""
    arrays = arguments(rng, *CASES["causal"])
    inputs = symbols(arrays)
    out, _ = attended(inputs, NO_NOISE)
    grads = pytensor.grad(pt.sin(out).sum(), inputs[:3])
    given = [x for x in inputs if not hasattr(x, "data")]
    function = pytensor.function(given, [out, *grads], mode="NUMBA")
    plain = function(*arrays[:5], arrays[6])
    wide = np.concatenate(arrays[:2], axis=2)
    q, k = wide[:, :, :HEADS], wide[:, ::-1, HEADS:][:, ::-1]
    v = np.ascontiguousarray(arrays[2].transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
    for a, b in zip(function(q, k, v, *arrays[3:5], arrays[6]), plain, strict=True):
        np.testing.assert_array_equal(a, b)


def test_dropout_keeps_the_expected_value(rng):
    arrays = arguments(rng, *CASES["long"])
    arrays[2] = np.ones((BATCH, 130, 2, WIDTH))
    share = 0.25
    noise = pt.constant(np.array([3, 5, round(share * 2**32)]))
    found = compiled(arrays, "FAST_COMPILE", noise)[0][0]
    assert 0.98 < found.mean() < 1.02 and found.std() > 0.01
    # The first query attends to one key: its weight is dropped, or larger.
    first = found[0, :, 0]
    assert set(np.round(first, 12)) <= {0, round(1 / (1 - share), 12)}
    other = pt.constant(np.array([4, 5, round(share * 2**32)]))
    assert (compiled(arrays, "FAST_COMPILE", other)[0][0] != found).mean() > 0.9


@pytest.mark.parametrize("mode", ["FAST_COMPILE", pytest.param("NUMBA", marks=pytest.mark.linker)])
def test_what_does_not_fit_is_refused(mode, rng):
    arrays = arguments(rng, *CASES["window"])
    inputs = symbols(arrays)
    inputs = [pt.tensor(dtype=x.dtype, shape=(None,) * x.ndim) for x in inputs]
    function = pytensor.function(inputs, attended(inputs, NO_NOISE)[0], mode=mode)
    changes = {
        0: arrays[0][:2],
        1: arrays[1][:, :, :3],
        2: arrays[2][:, :-1],
        3: np.where(arrays[3] == 9, 10, arrays[3]),
        4: np.array([1, 2, 3]),
        5: arrays[5][:3],
        6: np.array([0, 0]),
    }
    for place, wrong in changes.items():
        with pytest.raises(ValueError, match="attention"):
            function(*(wrong if i == place else a for i, a in enumerate(arrays)))
    with pytest.raises(ValueError, match="attention"):
        function(*arrays[:3], arrays[3] - 5, *arrays[4:])
    with pytest.raises(TypeError, match="is not of 4 axes"):
        attended([inputs[0][0], *inputs[1:]], NO_NOISE)
