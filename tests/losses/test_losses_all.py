"""What holds for every loss: it is its formula, and weights, reductions and files do not matter."""

import json

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from loss_cases import CASES, OTHERS, as_tuple, finite_differences
from pytensor.graph.traversal import ancestors

from theanets import checkpoint
from theanets.losses import Loss

EVERY = [*CASES, *OTHERS]
FORMULAS = [case for case in CASES if case.twin is not None]
NAMES = [
    name for name in Loss.registry if Loss.registry[name].__module__.startswith("theanets.losses.")
]


def weights_for(case, target, rng):
    """Get a positive weight for each entry; for each vector where errors are about vectors."""
    error = np.ndim(case.build(reduction="none").value(*case.sample(np.random.default_rng(0))))
    shape = target.shape[:error] + (1,) * (target.ndim - error)
    return np.broadcast_to(rng.random(shape) + 0.1, target.shape)


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_has_a_case(name):
    assert name in {case.form for case in EVERY}, f"add a case of {name!r} to loss_cases.py"


@pytest.mark.parametrize("case", FORMULAS, ids=str)
def test_errors_are_those_of_the_twin(case, rng):
    output, target = case.sample(rng)
    errors, _ = case.expected(output, target)
    found = case.build(reduction="none").value(output, target)
    assert found.shape == errors.shape
    np.testing.assert_allclose(found, errors, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", FORMULAS, ids=str)
def test_weighted_mean(case, rng):
    output, target = case.sample(rng)
    errors, counts = case.expected(output, target)
    if case.options.get("axis") == 1:
        w = np.repeat(rng.random((len(target), 1, target.shape[2])), target.shape[1], 1)
        by_error = w[:, 0]
    else:
        w = weights_for(case, target, rng)
        by_error = w.reshape(*errors.shape, -1)[..., 0]
    expected = (by_error * errors).sum() / (by_error * counts).sum()
    assert case.loss.value(output, target, w) == pytest.approx(expected, rel=1e-9)
    expected = errors.sum() / counts.sum()
    assert case.loss.value(output, target) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("case", [c for c in EVERY if c.options != {"kernel": "median"}], ids=str)
def test_gradient_by_differences(case, rng):
    output, target = case.sample(rng)
    loss = case.loss
    found = as_tuple(loss.gradient(output, target))
    expected = finite_differences(lambda y: loss.value(y, target), output)
    scale = max(np.abs(array).max() for array in expected)
    for mine, other in zip(found, expected, strict=True):
        assert mine.shape == other.shape
        np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-6 * scale)
    assert scale > 0


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_weighted_with_zeros_is_unweighted_on_the_rest(case, rng):
    output, target = case.sample(rng)
    loss = case.loss
    keep = np.array([True, False, True, True, False, True])
    w = keep.astype(float).reshape(-1, *[1] * (target.ndim - 1))
    # Where there is no weight, there may be anything; weights of a layer have no examples.
    arrays = as_tuple(output)
    by_example = [len(array) == len(keep) for array in arrays]
    spoilt = tuple(
        np.where(keep.reshape(-1, *[1] * (a.ndim - 1)), a, np.nan) if rows else a
        for a, rows in zip(arrays, by_example)
    )
    rest = tuple(a[keep] if rows else a for a, rows in zip(arrays, by_example))
    if not isinstance(output, tuple):
        spoilt, rest = spoilt[0], rest[0]
    bad = np.where(w > 0, target, np.nan) if target.dtype.kind == "f" else target
    expected = loss.value(rest, target[keep])
    assert loss.value(spoilt, bad, w) == pytest.approx(expected, rel=1e-12)
    gradients = as_tuple(loss.gradient(spoilt, bad, w))
    others = as_tuple(loss.gradient(rest, target[keep]))
    for mine, other, rows in zip(gradients, others, by_example):
        if rows:
            assert (mine[~keep] == 0).all()
            mine = mine[keep]
        np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_no_weight_at_all_gives_zero(case, rng):
    output, target = case.sample(rng)
    loss = case.loss
    w = np.zeros(target.shape)
    assert loss.value(output, target, w) == 0
    for part in as_tuple(loss.gradient(output, target, w)):
        np.testing.assert_array_equal(part, 0)


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_equal_weights_are_none(case, rng):
    output, target = case.sample(rng)
    loss = case.loss
    found = loss.value(output, target, np.full(target.shape, 0.5))
    assert found == pytest.approx(loss.value(output, target), rel=1e-9)


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_rebuilt_from_its_specification(case, rng):
    loss = case.build(weight=0.5, weighted=True)
    spec = json.loads(json.dumps(checkpoint.encode(loss.to_spec(), "loss")))
    again = Loss.build(checkpoint.decode(spec, {}, "test"))
    assert type(again) is type(loss)
    for key in [*loss.valid_options(), "weight", "weighted", "output_name", "labels"]:
        assert getattr(again, key) == getattr(loss, key), key
    output, target = case.sample(rng)
    assert again.value(output, target) == loss.value(output, target)


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_float32_stays_float32(case, rng):
    """No variable of the graph is of another type, whatever PyTensor's configuration is."""
    output, target = case.sample(rng)
    loss = case.loss
    arrays = [a.astype("float32") for a in as_tuple(output)]
    inputs = {
        name: pt.tensor(name, dtype="float32", shape=(None, *a.shape[1:]))
        for name, a in zip(loss.array_names, arrays)
    }
    dtype = "int32" if target.dtype.kind == "i" else "float32"
    loss.bind(
        pt.tensor("target", dtype=dtype, shape=(None, *target.shape[1:])),
        pt.tensor("weights", dtype="float32", shape=(None, *target.shape[1:])),
    )
    with pytensor.config.change_flags(floatX="float32"):
        value = loss(inputs)
        gradients = pytensor.grad(value, list(inputs.values()), disconnected_inputs="ignore")
    wide = [v for v in ancestors([value, *gradients]) if getattr(v, "dtype", "") == "float64"]
    assert not wide
    given = tuple(arrays) if isinstance(output, tuple) else arrays[0]
    found = loss.value(given, target)
    assert found.dtype == np.float32
    assert found == pytest.approx(float(loss.value(output, target)), rel=2e-4, abs=1e-5)
    assert {part.dtype for part in as_tuple(loss.gradient(given, target))} == {np.dtype("float32")}


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_a_bad_option_is_refused(case):
    with pytest.raises(ValueError, match=rf"loss '{case.form}' got unknown keyword 'margn'"):
        case.build(margn=1)


@pytest.mark.parametrize("name", NAMES)
def test_docstring_says_what_is_computed(name):
    text = Loss.registry[name].__doc__
    assert ":math:" in text or ".. math::" in text, "what is the formula?"
    for key in set(Loss.registry[name].__dict__.get("options", {})) - {"logits"}:
        assert key in text, f"{name}: {key} is not described"
